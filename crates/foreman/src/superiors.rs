//! The links upwards: what masters and foremen above hand down, acknowledge, cancel.

use std::collections::BTreeMap;
use std::sync::Arc;

use muster_proto::batch::cut;
use muster_proto::limits::TEMPLATES_PER_MASTER_MAX;
use muster_proto::machine::{Gate, Output};
use muster_proto::outcome::Report;
use muster_proto::task::Template;
use muster_proto::wire::{Ack, Assign, Cancel, CloseCode, Frame, Held, Inventory, Reports, Retire};
use muster_proto::{
    Attempt, Epoch, LinkId, MasterId, Peer, Resources, TaskKey, TemplateId, Time, Try,
};
use muster_sched::ClassId;

use crate::{Effect, Event, Foreman};

/// Someone above.
#[derive(Debug, Default)]
pub(crate) struct Superior {
    /// Its link, while it stands.
    pub link: Option<LinkId>,
    /// What it was last told the site can run.
    pub offered: Option<Vec<(Resources, u32)>>,
}

/// A master whose tasks come down.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Its greatest epoch; what comes from a smaller one is late.
    pub epoch: Epoch,
    /// The templates its superior's link has carried.
    pub templates: BTreeMap<TemplateId, Arc<Template>>,
    /// The queues they wait in.
    pub classes: BTreeMap<TemplateId, ClassId>,
}

impl Foreman {
    /// A superior is there: it is told all that is held for it.
    pub(crate) fn superior_up(&mut self, link: LinkId, peer: Peer, out: &mut Vec<Effect>) {
        self.by_link.insert(link, peer.clone());
        self.superiors.insert(
            peer.clone(),
            Superior {
                link: Some(link),
                offered: None,
            },
        );
        self.report_held(link, &peer, out);
        self.take_stock(link, &peer, out);
        let (spool, cache) = (&self.spool, &mut self.cache);
        for file in cache.reconnect(link, |task| spool.masters.get(&task.master) == Some(&peer)) {
            out.push(Output::Fetch {
                link,
                digest: file.digest,
                bytes: file.bytes,
            });
        }
    }

    /// Sends every spooled result of the masters behind `peer`.
    fn report_held(&self, link: LinkId, peer: &Peer, out: &mut Vec<Effect>) {
        let mut reports: BTreeMap<MasterId, Vec<Report>> = BTreeMap::new();
        for (Attempt { key, round }, ran) in &self.spool.results {
            if self.spool.masters.get(&key.master) == Some(peer) {
                let end = muster_proto::outcome::End::Ran(ran.clone());
                reports.entry(key.master).or_default().push(Report {
                    task: key.task,
                    round: *round,
                    end,
                });
            }
        }
        for (master, reports) in reports {
            for reports in cut(reports, Report::weight) {
                let frame = Frame::from(Reports { master, reports });
                out.push(Output::Send {
                    link,
                    frame,
                    gate: Gate::Durable(self.lsn),
                });
            }
        }
    }

    /// Sends the inventory: every lease of the masters behind `peer`. It follows the reports, behind the same gate.
    pub(crate) fn take_stock(&self, link: LinkId, peer: &Peer, out: &mut Vec<Effect>) {
        let mine = self
            .leases
            .iter()
            .filter(|(key, _)| self.spool.masters.get(&key.master) == Some(peer));
        let held = mine.map(|(key, lease)| Held {
            attempt: Attempt {
                key: *key,
                round: lease.round,
            },
            resources: lease.resources(),
        });
        let mut held: Vec<Held> = held.collect();
        held.sort_unstable_by_key(|held| held.attempt);
        let mut parts = cut(held, |_| 0);
        let last = parts.pop().unwrap_or_default();
        let settled = self.settling.is_none();
        for (held, last) in parts
            .into_iter()
            .map(|held| (held, false))
            .chain([(last, true)])
        {
            let frame = Frame::from(Inventory {
                held,
                last,
                settled,
            });
            out.push(Output::Send {
                link,
                frame,
                gate: Gate::Durable(self.lsn),
            });
        }
    }

    /// Tasks come down.
    pub(crate) fn assigned(
        &mut self,
        now: Time,
        link: LinkId,
        assign: Assign,
        out: &mut Vec<Effect>,
    ) {
        let Some(peer) = self.by_link.get(&link).cloned() else {
            return out.push(Output::Close {
                link,
                code: CloseCode::WrongRole,
            });
        };
        let Assign {
            master,
            epoch,
            templates,
            tasks,
        } = assign;
        let known = self.masters.entry(master).or_default();
        if epoch < known.epoch {
            return;
        }
        known.epoch = epoch;
        if known.templates.len() + templates.len() > TEMPLATES_PER_MASTER_MAX {
            return out.push(Output::Close {
                link,
                code: CloseCode::Protocol,
            });
        }
        for (id, template) in templates {
            known.templates.insert(id, template);
        }
        if self.spool.masters.get(&master) != Some(&peer) {
            self.record(Event::Met(master, peer.clone()), out);
            self.safe = self.lsn;
            // Results of an attempt it brought earlier, by another way perhaps.
            self.report_held(link, &peer, out);
        }
        for task in tasks {
            self.lease(now, master, task, out);
        }
    }

    /// Whether the peer of `link` brings the tasks of `master`; nobody else has a say in them.
    fn is_of(&self, master: MasterId, link: LinkId) -> bool {
        self.link_to(master) == Some(link)
    }

    /// Results are safe above.
    pub(crate) fn acknowledged(&mut self, link: LinkId, ack: &Ack, out: &mut Vec<Effect>) {
        if !self.is_of(ack.master, link) {
            return;
        }
        let attempts = ack
            .attempts
            .iter()
            .map(|attempt| attempt_of(ack.master, *attempt));
        let held = attempts
            .filter(|attempt| self.spool.results.contains_key(attempt))
            .collect();
        self.release(held, out);
    }

    /// Results need not be kept.
    pub(crate) fn release(&mut self, attempts: Vec<Attempt>, out: &mut Vec<Effect>) {
        if attempts.is_empty() {
            return;
        }
        for attempt in &attempts {
            if let Some(ran) = self.spool.results.get(attempt) {
                ran.files().for_each(|file| self.cache.unpin(file.digest));
            }
        }
        self.record(Event::Released(attempts), out);
    }

    /// Attempts are not wanted any more, wherever they are.
    pub(crate) fn cancelled(&mut self, link: LinkId, cancel: &Cancel, out: &mut Vec<Effect>) {
        if !self.by_link.contains_key(&link) {
            return out.push(Output::Close {
                link,
                code: CloseCode::WrongRole,
            });
        }
        if !self.is_of(cancel.master, link) {
            return;
        }
        let mut held = Vec::new();
        for attempt in cancel
            .attempts
            .iter()
            .map(|attempt| attempt_of(cancel.master, *attempt))
        {
            if self
                .leases
                .get(&attempt.key)
                .is_some_and(|lease| lease.round == attempt.round)
            {
                self.drop_lease(attempt.key);
            }
            self.drop_arriving(attempt);
            if self.spool.results.contains_key(&attempt) {
                held.push(attempt);
            }
        }
        self.release(held, out);
    }

    /// Templates will not be referred to any more.
    pub(crate) fn retired(&mut self, link: LinkId, retire: &Retire) {
        if !self.is_of(retire.master, link) {
            return;
        }
        for template in &retire.templates {
            if let Some(known) = self.masters.get_mut(&retire.master) {
                known.templates.remove(template);
                let class = known.classes.remove(template);
                class.into_iter().for_each(|class| self.sched.retire(class));
            }
            for link in self.crew.retire((retire.master, *template)) {
                self.outbox.retire(link, retire.master, *template);
            }
        }
    }

    /// The link to whoever brings the tasks of `master`, while it stands.
    pub(crate) fn link_to(&self, master: MasterId) -> Option<LinkId> {
        self.superiors.get(self.spool.masters.get(&master)?)?.link
    }

    /// Reports upwards that an attempt was lost; a superior that is away learns it from the next inventory.
    pub(crate) fn report(&mut self, key: TaskKey, round: Try, end: muster_proto::outcome::End) {
        if let Some(link) = self.link_to(key.master) {
            self.outbox.report(
                link,
                key.master,
                Report {
                    task: key.task,
                    round,
                    end,
                },
            );
        }
    }
}

fn attempt_of(master: MasterId, (task, round): (muster_proto::TaskId, Try)) -> Attempt {
    Attempt {
        key: TaskKey { master, task },
        round,
    }
}
