//! What was seen while the ensemble ran.

use std::collections::BTreeMap;

use muster_apps::replica_exchange::{Exchange, Statistics};
use muster_proto::outcome::Ran;
use muster_proto::wire::StatusReply;
use muster_proto::{Role, Time};

use crate::report::timeline::{Event, Site, Timeline};

/// Observations, in seconds since the demo's clock began.
#[derive(Debug)]
pub struct Record {
    workers_wanted: u32,
    workers_seen: u32,
    sites: BTreeMap<String, Site>,
    /// When each worker's last run ended.
    idle_since: BTreeMap<String, f64>,
    first_submit: Option<f64>,
    last_result: f64,
    end: f64,
    events: Vec<Event>,
    contacts: Vec<Statistics>,
    walls: Statistics,
    failures: Vec<String>,
    status: StatusReply,
    /// What the master had counted in its earlier epochs, as far as it was asked.
    past: Counted,
    restarts: u32,
}

/// What a master counts anew in each epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Attempts assigned.
    pub attempts: u64,
    /// Attempts lost, by cause.
    pub losses: BTreeMap<String, u64>,
}

impl Counted {
    /// Attempts lost, for any cause.
    pub fn lost(&self) -> u64 {
        self.losses.values().sum()
    }

    fn add(&mut self, status: &StatusReply) {
        self.attempts += status.tasks.attempts;
        for (cause, count) in &status.losses {
            *self.losses.entry(cause.clone()).or_default() += count;
        }
    }
}

impl Record {
    /// Nothing seen yet of an ensemble for which `workers` were started.
    pub fn new(exchange: &Exchange, workers: u32) -> Record {
        Record {
            workers_wanted: workers,
            workers_seen: 0,
            sites: BTreeMap::new(),
            idle_since: BTreeMap::new(),
            first_submit: None,
            last_result: 0.0,
            end: 0.0,
            events: Vec::new(),
            contacts: vec![Statistics::default(); exchange.replicas().len()],
            walls: Statistics::default(),
            failures: Vec::new(),
            status: StatusReply::default(),
            past: Counted::default(),
            restarts: 0,
        }
    }

    /// Something worth a letter in the figure.
    pub fn happened(&mut self, now: Time, what: impl Into<String>) {
        if self.events.len() < EVENTS_MAX {
            self.events.push(Event {
                at_s: seconds(now),
                what: what.into(),
            });
        }
    }

    /// Tasks were submitted.
    pub fn submitted(&mut self, now: Time) {
        if self.first_submit.is_none() {
            self.first_submit = Some(seconds(now));
            self.happened(now, "first tasks submitted");
        }
    }

    /// The master said how things stand.
    pub fn status(&mut self, now: Time, status: StatusReply) {
        let at = seconds(now);
        if self.status.epoch != 0 && self.status.epoch != status.epoch {
            self.past.add(&self.status);
            self.status = StatusReply::default();
            self.restarts += 1;
            self.happened(now, "the master is back");
        }
        let mut slots: BTreeMap<&str, u32> =
            self.sites.keys().map(|name| (name.as_str(), 0)).collect();
        for link in status
            .links
            .iter()
            .filter(|link| link.peer.role == Role::Foreman)
        {
            *slots.entry(&link.peer.site).or_default() += link.slots;
        }
        let seen: u32 = slots.values().sum();
        let slots: Vec<(String, u32)> = slots
            .into_iter()
            .map(|(name, count)| (name.to_owned(), count))
            .collect();
        for (name, count) in slots {
            let site = self.site(&name);
            if site.workers.last().map_or(0, |(_, before)| *before) != count {
                site.workers.push((at, count));
            }
        }
        if seen != self.workers_seen {
            self.workers_changed(now, seen);
        }
        let lost_before = self.counted().lost();
        self.status = status;
        match self.counted().lost().saturating_sub(lost_before) {
            0 => {}
            1 => self.happened(now, "an attempt was lost; another follows"),
            count => self.happened(now, format!("{count} attempts were lost; others follow")),
        }
    }

    /// While they come up only the last one is an event; later each change is.
    fn workers_changed(&mut self, now: Time, seen: u32) {
        let wanted = self.workers_wanted;
        let were_all = self.events.iter().any(|event| event.what.starts_with(ALL));
        match (were_all, seen == wanted) {
            (false, true) => self.happened(now, format!("{ALL} {wanted} workers are connected")),
            (true, true) => self.happened(now, format!("again {wanted} workers")),
            (true, false) => self.happened(now, format!("{seen} of {wanted} workers connected")),
            (false, false) => {}
        }
        self.workers_seen = seen;
    }

    /// A run came back that counts.
    pub fn ran(&mut self, now: Time, site: &str, ran: &Ran) {
        let at = seconds(now);
        let wall = ran.measured.wall.as_secs_f64();
        let worker = format!("{site}/{}", ran.worker);
        // A result that was long under way must not make its worker look busy twice.
        let free = self.idle_since.insert(worker, at).unwrap_or(0.0);
        if self.walls.count() == 0 {
            self.happened(now, "first result");
        }
        self.walls.add(wall);
        self.last_result = at;
        self.site(site).runs.push(((at - wall).max(free), at));
    }

    /// A task did not do what it should.
    pub fn failed(&mut self, sentence: String) {
        self.failures.push(sentence);
    }

    /// Counts the native contacts of a rung's replica.
    pub fn contacts(&mut self, rung: usize, share: f64) {
        self.contacts[rung].add(share);
    }

    /// It is over.
    pub fn ended(&mut self, now: Time) {
        self.end = seconds(now);
    }

    fn site(&mut self, name: &str) -> &mut Site {
        self.sites.entry(name.to_owned()).or_insert_with(|| Site {
            name: name.to_owned(),
            ..Site::default()
        })
    }

    /// The sites, by name.
    pub fn sites(&self) -> impl Iterator<Item = &Site> {
        self.sites.values()
    }

    /// Results that came.
    pub fn received(&self) -> u32 {
        self.walls.count()
    }

    /// The run times of single tasks, in seconds.
    pub fn walls(&self) -> &Statistics {
        &self.walls
    }

    /// The share of native contacts on each rung, since equilibration.
    pub fn contacts_by_rung(&self) -> &[Statistics] {
        &self.contacts
    }

    /// A sentence for each task that failed.
    pub fn failures(&self) -> &[String] {
        &self.failures
    }

    /// What the master said last.
    pub fn last_status(&self) -> &StatusReply {
        &self.status
    }

    /// What the master counted in all its epochs.
    pub fn counted(&self) -> Counted {
        let mut counted = self.past.clone();
        counted.add(&self.status);
        counted
    }

    /// How often the master was started again.
    pub fn restarts(&self) -> u32 {
        self.restarts
    }

    /// From the first submit to the last result.
    pub fn makespan(&self) -> f64 {
        (self.last_result - self.first_submit.unwrap_or(0.0)).max(0.0)
    }

    /// From the start of the demo to its end.
    pub fn seconds(&self) -> f64 {
        self.end
    }

    /// The figure's data.
    pub fn timeline(&self) -> Timeline {
        Timeline {
            end_s: self
                .last_result
                .max(self.events.last().map_or(0.0, |event| event.at_s)),
            sites: self.sites.values().cloned().collect(),
            events: self.events.clone(),
        }
    }
}

fn seconds(now: Time) -> f64 {
    now.since(Time(0)).as_secs_f64()
}

const ALL: &str = "all";

/// As many as there are letters; a federation that loses workers all the time needs no more to be seen.
const EVENTS_MAX: usize = 26;

#[cfg(test)]
mod tests;
