//! What goes wrong in one storm: which kinds of fault, and how strongly.
//!
//! Each seed picks for itself, so that a fault also comes alone and not only among all others: what one fault hides
//! another storm shows. Wall clocks are not here, because no brain reads one.

use std::fmt;

use muster_proto::Span;

use crate::rng::Rng;

/// Something that strikes at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strike {
    /// A process dies and starts again, ten times likelier while its writes are pending.
    Crash,
    /// A foreman's process dies and its disk is lost with it.
    LostDisk,
    /// Nothing passes between two processes for a while, in one direction or both.
    Cut,
    /// A link is cut and healed again many times in short order.
    Flap,
    /// A process stands still and goes on.
    Pause,
    /// What a master of an earlier epoch said comes once more.
    Ghost,
    /// Contents in a foreman's store are no longer what they were.
    Rot,
}

impl Strike {
    /// Every kind that may strike together.
    pub const ALL: &'static [Strike] = &[
        Strike::Crash,
        Strike::LostDisk,
        Strike::Cut,
        Strike::Flap,
        Strike::Pause,
        Strike::Ghost,
    ];
}

/// What may go wrong under a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Climate {
    /// What may strike.
    pub strikes: &'static [Strike],
    /// Loss, frames that come twice, jitter, fetches that fail.
    pub links: Rough,
    /// Slow fsyncs.
    pub disks: Rough,
    /// Hosts' clocks at different rates.
    pub clocks: Rough,
}

/// Whether something is ever bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rough {
    /// Never.
    Calm,
    /// At times.
    Rough,
}

impl Climate {
    /// Nothing goes wrong.
    pub const CALM: Climate = Climate {
        strikes: &[],
        links: Rough::Calm,
        disks: Rough::Calm,
        clocks: Rough::Calm,
    };
    /// Everything may.
    pub const ROUGH: Climate = Climate {
        strikes: Strike::ALL,
        links: Rough::Rough,
        disks: Rough::Rough,
        clocks: Rough::Rough,
    };
}

/// What goes wrong in one storm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weather {
    /// What strikes, and how often among all.
    pub strikes: Vec<(Strike, u64)>,
    /// How long it rages.
    pub rage: Span,
    /// Mean time between two strikes.
    pub calm: Span,
    /// Chances in a thousand that a packet is lost and sent again.
    pub loss_permille: u64,
    /// Chances in a thousand that a frame comes twice.
    pub twice_permille: u64,
    /// Greatest addition to a packet's latency, in percent of it.
    pub jitter_percent: u64,
    /// Chances in a thousand that a fetch fails for no reason.
    pub fetch_fails_permille: u64,
    /// Chances in a thousand that a disk has no room for what was fetched.
    pub unkept_permille: u64,
    /// Bytes per second of one transfer.
    pub bulk_bytes_per_s: u64,
    /// Contents of more bytes are served on while they arrive.
    pub passes_above_bytes: u64,
    /// Shortest and longest fsync, in microseconds.
    pub fsync_us: (u64, u64),
    /// How much faster or slower than true a clock may run, in thousandths.
    pub drift_permille: u64,
}

impl Weather {
    /// Draws the weather of one storm.
    pub fn draw(rng: &mut Rng, climate: &Climate) -> Weather {
        let mut pick = |rough: Rough, calm: u64, choices: &[u64]| match rough {
            Rough::Rough if rng.permille(SWARM_PERMILLE) => *rng.pick(choices),
            Rough::Rough | Rough::Calm => calm,
        };
        let Climate {
            strikes: _,
            links,
            disks,
            clocks,
        } = *climate;
        let loss_permille = pick(links, 0, &[10, 100, 200, 300]);
        let twice_permille = pick(links, 0, &[5, 50, 300]);
        let jitter_percent = pick(links, 20, &[0, 200, 1_000]);
        let fetch_fails_permille = pick(links, 0, &[10, 200]);
        let unkept_permille = pick(disks, 0, &[10, 400]);
        let bulk_bytes_per_s = pick(links, 100_000_000, &[20_000, 1_000_000]);
        let passes_above_bytes = pick(links, 1 << 20, &[0, 5_000]);
        let drift_permille = pick(clocks, 0, &[1, 20, 100]);
        let slow = pick(disks, 8_000, &[500, 60_000, 900_000, 5_000_000]);
        Weather {
            strikes: strikes(rng, climate.strikes),
            rage: Span::secs(rng.between(30, 240)),
            calm: Span::millis(rng.between(500, 15_000)),
            loss_permille,
            twice_permille,
            jitter_percent,
            fetch_fails_permille,
            unkept_permille,
            bulk_bytes_per_s,
            passes_above_bytes,
            fsync_us: (slow / 16, slow),
            drift_permille,
        }
    }
}

/// Some of what may strike, at least one if any may.
fn strikes(rng: &mut Rng, may: &[Strike]) -> Vec<(Strike, u64)> {
    let mut chosen: Vec<Strike> = may
        .iter()
        .copied()
        .filter(|_| rng.permille(SWARM_PERMILLE))
        .collect();
    if chosen.is_empty() && !may.is_empty() {
        chosen.push(*rng.pick(may));
    }
    let weighed = chosen.into_iter().map(|strike| (strike, rng.between(1, 5)));
    weighed.collect()
}

impl fmt::Display for Weather {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of weather", self.rage)?;
        if self.strikes.is_empty() {
            write!(f, ", nothing strikes")?;
        } else {
            let strikes = self.strikes.iter();
            let strikes: Vec<String> = strikes
                .map(|(strike, weight)| format!("{strike:?} {weight}"))
                .collect();
            write!(f, ", each {} one of: {}", self.calm, strikes.join(", "))?;
        }
        write!(
            f,
            "; loss {}/1000, twice {}/1000, jitter {} %, failing fetches {}/1000, full disks {}/1000, {} bytes/s, files of more than {} bytes pass, fsync {} to {} us, clocks within {}/1000",
            self.loss_permille,
            self.twice_permille,
            self.jitter_percent,
            self.fetch_fails_permille,
            self.unkept_permille,
            self.bulk_bytes_per_s,
            self.passes_above_bytes,
            self.fsync_us.0,
            self.fsync_us.1,
            self.drift_permille,
        )
    }
}

/// Chances in a thousand that a seed uses a kind of fault that its profile allows.
const SWARM_PERMILLE: u64 = 600;
