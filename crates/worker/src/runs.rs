//! The runs that the hands have been told of: under way, or in line behind one that is.
//!
//! Between the end of a run and the start of the next in its place lies a round trip to the hands. Where runs last
//! about as long as that, a place would stand empty for much of the time, so runs are *lined up*: handed over early,
//! to begin one after the other in the place of the run at the head without anyone being asked. What does not begin
//! soon is recalled, so that a run that turns out long holds nothing behind it. `docs/decisions/0004-lined-up.md` has
//! the figures.

use std::collections::{BTreeSet, VecDeque};

use litemap::LiteMap;
use muster_proto::limits::RUNS_MAX;
use muster_proto::{Resources, Span, TaskKey, Time};

use crate::RunId;

/// What a line may last, head included: a round trip to the hands takes some 0.3 ms, 3 % of it, so that longer runs
/// are not worth lining up for.
const LINE_WALL_MAX: Span = Span::millis(10);
/// Runs behind one head: enough for one wake of the hands to serve several runs, few enough to be taken back soon.
const LINE_MAX: usize = 8;
/// How long a run may wait in line before the next turn recalls it, and how long the head may have lasted when one
/// joins.
const LINE_WAIT_MAX: Span = Span::millis(20);

/// The runs of a worker, and what they leave free.
#[derive(Debug)]
pub(crate) struct Runs {
    shape: Resources,
    free: Resources,
    open: LiteMap<RunId, Box<Run>>,
    made: u64,
    /// The mean wall time of late, each new one with a weight of an eighth.
    pace: Option<Span>,
}

#[derive(Debug)]
struct Run {
    /// The task that waits for it; none if nobody does any more.
    task: Option<TaskKey>,
    claim: Resources,
    place: Place,
}

#[derive(Debug)]
enum Place {
    /// It occupies its claim, since then; the others begin in its place, in order, when it has ended.
    Head { since: Time, line: VecDeque<RunId> },
    /// It waits in the line of a head, since then.
    Behind { head: RunId, since: Time },
    /// It has been recalled from the line of a head: it comes back, or begins because that came too late.
    Recalled { head: RunId },
}

/// A head that another run may be lined up behind: how long its line is, which it is, the last in its line, what it
/// occupies. The shortest line comes first.
pub(crate) type Head = (usize, RunId, RunId, Resources);

impl Runs {
    pub fn new(shape: Resources) -> Self {
        Self {
            shape,
            free: shape,
            open: LiteMap::new(),
            made: 0,
            pace: None,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// How many runs occupy a place of their own.
    pub fn under_way(&self) -> usize {
        let heads = self.open.values();
        heads
            .filter(|run| matches!(run.place, Place::Head { .. }))
            .count()
    }

    /// What no run occupies.
    pub fn free(&self) -> Resources {
        self.free
    }

    /// How many more the hands take.
    pub fn room(&self) -> usize {
        RUNS_MAX.saturating_sub(self.open.len())
    }

    /// A run that begins at once and occupies `claim`.
    pub fn begin(&mut self, now: Time, task: TaskKey, claim: Resources) -> RunId {
        self.free = self.free.minus(&claim);
        let line = VecDeque::new();
        self.enter(task, claim, Place::Head { since: now, line })
    }

    /// A run that begins in the place of `head`, when that and all in its line have ended.
    pub fn line_up(&mut self, now: Time, task: TaskKey, head: RunId) -> RunId {
        let claim = self.open[&head].claim;
        let run = self.enter(task, claim, Place::Behind { head, since: now });
        if let Some(line) = self.line_of(head) {
            line.push_back(run);
        }
        run
    }

    fn enter(&mut self, task: TaskKey, claim: Resources, place: Place) -> RunId {
        self.made += 1;
        let run = RunId(self.made);
        let task = Some(task);
        self.open.insert(run, Box::new(Run { task, claim, place }));
        run
    }

    fn line_of(&mut self, head: RunId) -> Option<&mut VecDeque<RunId>> {
        match &mut self.open.get_mut(&head)?.place {
            Place::Head { line, .. } => Some(line),
            Place::Behind { .. } | Place::Recalled { .. } => None,
        }
    }

    /// How many may be in line behind one head: as many as will have begun within [`LINE_WALL_MAX`], by the pace of
    /// late; none before there is one.
    fn line_max(&self) -> usize {
        let pace = self.pace.map_or(u64::MAX, |pace| pace.0.max(1));
        usize::try_from(LINE_WALL_MAX.0 / pace).map_or(LINE_MAX, |max| max.min(LINE_MAX))
    }

    /// The heads that others may be lined up behind, if runs are short of late, with the length a line may have.
    pub fn heads(&self, now: Time) -> (BTreeSet<Head>, usize) {
        let line_max = self.line_max();
        if line_max == 0 {
            return (BTreeSet::new(), 0);
        }
        let heads = self.open.iter().filter_map(|(id, run)| match &run.place {
            Place::Head { since, line } => {
                let takes = line.len() < line_max
                    && run.task.is_some()
                    && now.since(*since) <= LINE_WAIT_MAX;
                takes.then(|| {
                    let last = line.back().unwrap_or(id);
                    (line.len(), *id, *last, run.claim)
                })
            }
            Place::Behind { .. } | Place::Recalled { .. } => None,
        });
        (heads.collect(), line_max)
    }

    /// Marks as recalled what has waited in line too long, and what there is room for elsewhere, the latest first.
    pub fn recall(&mut self, now: Time, room: Room) -> Vec<RunId> {
        // What is on its way back already has a claim to the room.
        let coming = self.open.values().filter_map(|run| match run.place {
            Place::Recalled { .. } => Some(run.claim),
            Place::Head { .. } | Place::Behind { .. } => None,
        });
        let mut free = coming.fold(self.free, |free, claim| free.minus(&claim));
        let mut recalled = Vec::new();
        for (id, run) in self.open.iter_mut().rev() {
            let Place::Behind { head, since } = run.place else {
                continue;
            };
            let has_room = room == Room::Free && run.claim.fits(&free);
            if has_room {
                free = free.minus(&run.claim);
            }
            if has_room || now.since(since) > LINE_WAIT_MAX {
                run.place = Place::Recalled { head };
                recalled.push(*id);
            }
        }
        recalled
    }

    /// Nobody waits for this run any more; it occupies its place until it has ended.
    pub fn disown(&mut self, run: RunId) {
        if let Some(run) = self.open.get_mut(&run) {
            run.task = None;
        }
    }

    /// A run has ended, or never began: the first in its line has its place. Gives the task that waited for it.
    pub fn ended(&mut self, now: Time, run: RunId) -> Option<TaskKey> {
        let ended = self.open.remove(&run)?;
        match ended.place {
            Place::Head { line, .. } => self.move_up(now, line, ended.claim),
            Place::Behind { head, .. } | Place::Recalled { head } => {
                if let Some(line) = self.line_of(head) {
                    line.retain(|waiting| *waiting != run);
                }
            }
        }
        ended.task
    }

    fn move_up(&mut self, now: Time, mut line: VecDeque<RunId>, claim: Resources) {
        let Some(first) = line.pop_front() else {
            self.free = self.free.plus(&claim);
            return;
        };
        for waiting in &line {
            if let Some(run) = self.open.get_mut(waiting)
                && let Place::Behind { head, .. } | Place::Recalled { head } = &mut run.place
            {
                *head = first;
            }
        }
        if let Some(run) = self.open.get_mut(&first) {
            run.place = Place::Head { since: now, line };
        }
    }

    /// Takes the wall time of a run that ended into account.
    pub fn lasted(&mut self, wall: Span) {
        let pace = self
            .pace
            .map_or(wall.0, |pace| pace.0 - pace.0 / 8 + wall.0 / 8);
        self.pace = Some(Span(pace));
    }

    /// # Panics
    /// If the runs and what is free do not make the worker's shape, or a line has a gap.
    pub fn check(&self) {
        let mut sum = self.free;
        let mut in_line = 0;
        for run in self.open.values() {
            if let Place::Head { line, .. } = &run.place {
                sum = sum.plus(&run.claim);
                in_line += line.len();
            }
        }
        assert_eq!(
            self.open.len(),
            self.under_way() + in_line,
            "every run is a head or in one line"
        );
        assert_eq!(
            sum, self.shape,
            "what runs and what is free make the worker's shape"
        );
    }
}

/// What becomes of room that is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// Nobody who waits takes it.
    Free,
    /// Somebody waits who may.
    Wanted,
}
