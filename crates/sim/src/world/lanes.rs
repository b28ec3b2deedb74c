//! Bandwidth that transfers share.
//!
//! A lane gives each transfer that crosses it an equal share of its bandwidth at every instant. It counts *virtual
//! bytes*, what one transfer has got since the beginning; a transfer that enters at `v` with `n` bytes leaves when
//! that count reaches `v + n`, whoever else comes and goes meanwhile. So a change costs O(log n), and only the next
//! departure of a lane is on the agenda.
//!
//! A transfer crosses one lane, the narrowest on its way when it begins. What the others on its way carry meanwhile
//! does not slow it down.

use std::collections::BTreeSet;

use muster_proto::{Span, Time};

/// The number of a link's two lanes in the world: one down, one up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LanesId(pub u32);

/// A lane's number in the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneId(u32);

impl LanesId {
    /// The lane away from the superior.
    pub fn down(self) -> LaneId {
        LaneId(2 * self.0)
    }

    /// The lane towards the superior.
    pub fn up(self) -> LaneId {
        LaneId(2 * self.0 + 1)
    }
}

impl LaneId {
    /// Its place among all lanes.
    pub fn place(self) -> usize {
        self.0 as usize
    }
}

/// Whatever crosses a lane, by a number of its owner's.
pub type Crossing = u64;

/// One direction of a link, whose bandwidth is shared.
#[derive(Debug)]
pub struct Lane {
    bytes_per_s: u64,
    /// Virtual bytes so far, in parts of [`PARTS`].
    virtually: u128,
    /// When that was so.
    at: Time,
    /// Who crosses, by the count at which it leaves.
    crossing: BTreeSet<(u128, Crossing)>,
    /// How often the next departure has changed: tells a departure on the agenda from one that was put off.
    plan: u32,
}

/// Parts of a virtual byte: a share of one byte in an hour is not lost.
const PARTS: u128 = 1 << 32;

impl Lane {
    /// An empty lane of this bandwidth, in bytes per second, at least one.
    pub fn new(bytes_per_s: u64) -> Self {
        Self {
            bytes_per_s: bytes_per_s.max(1),
            virtually: 0,
            at: Time(0),
            crossing: BTreeSet::new(),
            plan: 0,
        }
    }

    /// What one more transfer would get, in bytes per second.
    pub fn share(&self) -> u64 {
        self.bytes_per_s / (self.crossing.len() as u64 + 1)
    }

    /// A transfer of `bytes` enters; gives its place, to leave by.
    pub fn enter(&mut self, now: Time, crossing: Crossing, bytes: u64) -> u128 {
        self.advance(now);
        let leaves = self.virtually + u128::from(bytes) * PARTS;
        self.crossing.insert((leaves, crossing));
        self.plan += 1;
        leaves
    }

    /// A transfer leaves before its end; nothing if it has left.
    pub fn leave(&mut self, now: Time, place: u128, crossing: Crossing) {
        self.advance(now);
        self.crossing.remove(&(place, crossing));
        self.plan += 1;
    }

    /// When the next transfer leaves, and the number of the plan that says so.
    pub fn next(&self) -> Option<(Time, u32)> {
        let (leaves, _) = self.crossing.first()?;
        let left = leaves.saturating_sub(self.virtually);
        let others = self.crossing.len() as u128;
        let us = (left * others * 1_000_000).div_ceil(u128::from(self.bytes_per_s) * PARTS);
        let span = Span(u64::try_from(us).unwrap_or(u64::MAX));
        Some((self.at + span, self.plan))
    }

    /// Takes out whoever has got all its bytes by `now`, if the plan still stands.
    pub fn depart(&mut self, now: Time, plan: u32) -> Option<Vec<Crossing>> {
        if plan != self.plan {
            return None;
        }
        self.advance(now);
        let mut gone = Vec::new();
        while let Some((leaves, crossing)) = self.crossing.first().copied()
            && leaves <= self.virtually
        {
            self.crossing.pop_first();
            gone.push(crossing);
        }
        self.plan += 1;
        Some(gone)
    }

    fn advance(&mut self, now: Time) {
        let us = u128::from(now.since(self.at).0);
        self.at = now;
        if !self.crossing.is_empty() {
            let all = us * u128::from(self.bytes_per_s) * PARTS / 1_000_000;
            self.virtually += all / self.crossing.len() as u128;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When each of `transfers` (entering at, of so many bytes) leaves a lane of 1 MB/s, in microseconds.
    fn times(transfers: &[(u64, u64)]) -> Vec<u64> {
        let mut lane = Lane::new(1_000_000);
        let mut left = vec![0; transfers.len()];
        let mut entered = 0;
        while left.contains(&0) {
            let next = transfers.get(entered).map(|(at, _)| Time(*at));
            match (lane.next(), next) {
                (Some((at, plan)), next) if next.is_none_or(|next| at <= next) => {
                    for crossing in lane.depart(at, plan).unwrap_or_default() {
                        left[crossing as usize] = at.0;
                    }
                }
                (_, Some(at)) => {
                    lane.enter(at, entered as u64, transfers[entered].1);
                    entered += 1;
                }
                (_, None) => break,
            }
        }
        left
    }

    #[test]
    fn a_lane_is_shared_evenly_by_whoever_crosses_it() {
        assert_eq!(times(&[(0, 1_000_000)]), [1_000_000]);
        assert_eq!(
            times(&[(0, 1_000_000), (0, 1_000_000)]),
            [2_000_000, 2_000_000]
        );
        // The second comes when the first is half through: both need as long again, then the second has it alone.
        assert_eq!(
            times(&[(0, 1_000_000), (500_000, 1_000_000)]),
            [1_500_000, 2_000_000]
        );
        assert_eq!(times(&[(0, 0)]), [0]);
    }

    #[test]
    fn whoever_leaves_early_makes_room() {
        let mut lane = Lane::new(1_000);
        let place = lane.enter(Time(0), 1, 1_000);
        lane.enter(Time(0), 2, 1_000);
        let (_, old) = lane.next().expect("two cross");
        lane.leave(Time(1_000_000), place, 1);
        assert_eq!(lane.depart(Time(2_000_000), old), None, "put off");
        let (at, plan) = lane.next().expect("one crosses");
        assert_eq!(at, Time(1_500_000));
        assert_eq!(lane.depart(at, plan), Some(vec![2]));
    }
}
