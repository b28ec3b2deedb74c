//! What comes from the superior, and what it is told when its link stands.

use std::collections::BTreeMap;

use muster_proto::batch::cut;
use muster_proto::limits::TEMPLATES_PER_MASTER_MAX;
use muster_proto::machine::{Gate, Output};
use muster_proto::outcome::{End, Loss, Report};
use muster_proto::wire::{Ack, Assign, Cancel, CloseCode, Frame, Held, Inventory, Reports};
use muster_proto::{Attempt, LinkId, MasterId, Peer, TaskKey};

use crate::{Effect, Worker};

impl Worker {
    /// The superior is there: it is told all that is held for it.
    pub(crate) fn superior_up(&mut self, link: LinkId, peer: Peer, out: &mut Vec<Effect>) {
        if let Some((old, _)) = self.superior.replace((link, peer)) {
            self.cache.disconnect(old);
            out.push(Output::Close {
                link: old,
                code: CloseCode::Superseded,
            });
        }
        self.templates.clear();
        self.offer(link, out);
        let mut reports: BTreeMap<MasterId, Vec<Report>> = BTreeMap::new();
        for (Attempt { key, round }, ran) in &self.results {
            let report = Report {
                task: key.task,
                round: *round,
                end: End::Ran(ran.clone()),
            };
            reports.entry(key.master).or_default().push(report);
        }
        for (master, reports) in reports {
            for reports in cut(reports, Report::weight) {
                let frame = Frame::from(Reports { master, reports });
                out.push(Output::Send {
                    link,
                    frame,
                    gate: Gate::Now,
                });
            }
        }
        let held = self.tasks.iter().map(|(key, task)| Held {
            attempt: Attempt {
                key: *key,
                round: task.round,
            },
            resources: task.template.resources,
        });
        let mut parts = cut(held, |_| 0);
        let last = parts.pop().unwrap_or_default();
        for (held, last) in parts
            .into_iter()
            .map(|held| (held, false))
            .chain([(last, true)])
        {
            let frame = Frame::from(Inventory {
                held,
                last,
                settled: true,
            });
            out.push(Output::Send {
                link,
                frame,
                gate: Gate::Now,
            });
        }
        for file in self.cache.reconnect(link, |_| true) {
            out.push(Output::Fetch {
                link,
                digest: file.digest,
                bytes: file.bytes,
            });
        }
    }

    /// Attempts come down.
    pub(crate) fn assigned(&mut self, link: LinkId, assign: Assign, out: &mut Vec<Effect>) {
        let Assign {
            master,
            epoch,
            templates,
            tasks,
        } = assign;
        let known = self.epochs.entry(master).or_default();
        if epoch < *known {
            return;
        }
        *known = epoch;
        if self.templates.len() + templates.len() > TEMPLATES_PER_MASTER_MAX {
            return out.push(Output::Close {
                link,
                code: CloseCode::Protocol,
            });
        }
        for (id, template) in templates {
            self.templates.insert((master, id), template);
        }
        for task in tasks {
            let attempt = Attempt {
                key: TaskKey {
                    master,
                    task: task.task,
                },
                round: task.round,
            };
            match self.templates.get(&(master, task.template)).cloned() {
                Some(template) if !self.leaving => self.accept(attempt, template, task.body, out),
                Some(_) => self.report(attempt, End::Lost(Loss::Evicted)),
                None => self.report(attempt, End::Lost(Loss::Forgotten)),
            }
        }
    }

    /// Results are safe above.
    pub(crate) fn acknowledged(&mut self, ack: &Ack) {
        for (task, round) in &ack.attempts {
            let attempt = Attempt {
                key: TaskKey {
                    master: ack.master,
                    task: *task,
                },
                round: *round,
            };
            self.drop_result(attempt);
        }
    }

    /// Attempts are not wanted any more: not started, killed, or their results dropped.
    pub(crate) fn cancelled(&mut self, cancel: &Cancel, out: &mut Vec<Effect>) {
        for (task, round) in &cancel.attempts {
            let attempt = Attempt {
                key: TaskKey {
                    master: cancel.master,
                    task: *task,
                },
                round: *round,
            };
            self.drop_result(attempt);
            if self
                .tasks
                .get(&attempt.key)
                .is_some_and(|held| held.round == attempt.round)
            {
                self.drop_task(attempt.key, out);
            }
        }
    }

    /// Hands back everything that has not ended, and asks for nothing new.
    pub(crate) fn vacate(&mut self, out: &mut Vec<Effect>) {
        self.leaving = true;
        if let Some(link) = self.link() {
            self.offer(link, out);
        }
        for (key, round) in self
            .tasks
            .iter()
            .map(|(key, task)| (*key, task.round))
            .collect::<Vec<_>>()
        {
            self.drop_task(key, out);
            self.report(Attempt { key, round }, End::Lost(Loss::Evicted));
        }
    }

    fn drop_result(&mut self, attempt: Attempt) {
        if let Some(ran) = self.results.remove(&attempt) {
            ran.files().for_each(|file| self.cache.unpin(file.digest));
        }
    }
}
