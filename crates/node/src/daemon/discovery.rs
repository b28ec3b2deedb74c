//! Daemons and the catalog: being found, and finding superiors.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use muster_proto::catalog::{Item, Key, Kind, Value};
use muster_proto::{Peer, Role, Span, Time};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::{Discovery, state};
use crate::catalog::announce::announce;
use crate::catalog::reach::{addresses_of, resolve};
use crate::catalog::seek::{Known, seek};
use crate::catalog::{Client, Names};
use crate::clock::Clock;
use crate::driver::{Superior, Superiors};
use crate::identity::Credentials;
use crate::tasks::Tasks;

/// What a daemon does with the catalog while it runs.
#[derive(Debug, Default)]
pub(super) struct Directory {
    announcing: Tasks,
    seeking: Tasks,
    /// Dropped to take the name out again.
    values: Option<watch::Sender<Value>>,
}

impl Directory {
    /// Registers under `key` what `values` is told.
    pub(super) fn announce(
        &mut self,
        client: &Client,
        key: Key,
        value: Value,
    ) -> watch::Sender<Value> {
        let (sender, values) = watch::channel(value);
        self.announcing
            .spawn("announcer", announce(client.clone(), key, values));
        self.values = Some(sender.clone());
        sender
    }

    /// Ends everything; a name that is registered is taken out if the catalog hears it in time.
    pub(super) async fn leave(mut self) {
        self.seeking.stop().await;
        drop(self.values.take());
        timeout(FAREWELL, self.announcing.join()).await.ok();
    }

    /// Finds masters for a foreman, beside those that it was given.
    pub(super) fn find_masters(
        &mut self,
        client: &Client,
        projects: Names,
        given: Vec<Superior>,
    ) -> Superiors {
        let (wanted, superiors) = watch::channel(given.clone());
        let (known, mut news) = watch::channel(Known::None);
        self.seeking
            .spawn("seeker", seek(client.clone(), Kind::Project, known));
        self.seeking.spawn("finder", async move {
            while news.changed().await.is_ok() {
                let matching: Vec<Item> = {
                    let known = news.borrow_and_update();
                    let named = known.iter().flatten();
                    let named = named.filter(|(name, _)| projects.hold(name));
                    named.map(|(_, item)| item.clone()).collect()
                };
                let mut all = given.clone();
                for item in &matching {
                    all.extend(superior(item).await);
                }
                wanted.send_if_modified(|wanted| replace(wanted, all));
            }
        });
        Superiors {
            wanted: superiors,
            leaves: false,
            linked: watch::Sender::default(),
        }
    }

    /// Finds one superior for a worker: a foreman of its site, else a master of a project that matches. `idle` says
    /// when the worker could leave one for the other.
    pub(super) fn find_one(
        &mut self,
        client: &Client,
        projects: Names,
        site: String,
        idle: watch::Receiver<bool>,
    ) -> Superiors {
        let (wanted, superiors) = watch::channel(Vec::new());
        let linked = watch::Sender::new(BTreeSet::new());
        let search = Search {
            site,
            projects,
            foremen: self.known(client, Kind::Foreman),
            masters: self.known(client, Kind::Project),
            weights: self.known(client, Kind::Weight),
            linked: linked.subscribe(),
            idle,
            clock: Clock::start(),
            missed: None,
            spurned: None,
        };
        self.seeking.spawn("finder", search.run(wanted));
        Superiors {
            wanted: superiors,
            leaves: true,
            linked,
        }
    }

    fn known(&mut self, client: &Client, kind: Kind) -> watch::Receiver<Known> {
        let (known, news) = watch::channel(Known::None);
        self.seeking
            .spawn("seeker", seek(client.clone(), kind, known));
        news
    }
}

/// How a worker chooses.
struct Search {
    site: String,
    projects: Names,
    foremen: watch::Receiver<Known>,
    masters: watch::Receiver<Known>,
    weights: watch::Receiver<Known>,
    linked: watch::Receiver<BTreeSet<Peer>>,
    idle: watch::Receiver<bool>,
    clock: Clock,
    /// Since when the chosen one is not linked.
    missed: Option<Time>,
    /// One that was not reached from here, and when.
    spurned: Option<(Peer, Time)>,
}

impl Search {
    /// Keeps to one superior as long as it is linked or registered, and then chooses another; leaves a master for a
    /// foreman of its site when it is idle.
    async fn run(mut self, wanted: watch::Sender<Vec<Superior>>) {
        loop {
            let chosen = wanted.borrow().first().cloned();
            self.despair(chosen.as_ref());
            match chosen {
                Some(chosen) if self.is_there(&chosen) && !self.is_passed_by(&chosen) => {
                    self.refresh(&wanted).await;
                }
                Some(_) | None => {
                    let choice = self.foreman().or_else(|| self.master());
                    let superior = match choice {
                        Some(item) => superior(&item).await,
                        None => None,
                    };
                    let superior = superior.into_iter().collect();
                    wanted.send_if_modified(|wanted| replace(wanted, superior));
                }
            }
            let Search {
                foremen,
                masters,
                linked,
                idle,
                ..
            } = &mut self;
            tokio::select! {
                Ok(()) = foremen.changed() => {}
                Ok(()) = masters.changed() => {}
                Ok(()) = linked.changed() => {}
                Ok(()) = idle.changed() => {}
                () = sleep(LOOK) => {}
            }
        }
    }

    /// Whether a worker that has nothing to do is with a master although its site has a foreman.
    fn is_passed_by(&self, chosen: &Superior) -> bool {
        let is_master = chosen.roles == [Role::Master];
        is_master && *self.idle.borrow() && self.foreman().is_some()
    }

    /// Follows the chosen one to another address.
    async fn refresh(&self, wanted: &watch::Sender<Vec<Superior>>) {
        let chosen = wanted
            .borrow()
            .first()
            .and_then(|chosen| chosen.peer.clone());
        let item = chosen.and_then(|peer| self.item_of(&peer));
        if let Some(item) = item
            && let Some(superior) = superior(&item).await
        {
            wanted.send_if_modified(|wanted| replace(wanted, vec![superior]));
        }
    }

    /// Gives up one that is registered and not reached: it may be no more than registered, or on another network.
    fn despair(&mut self, chosen: Option<&Superior>) {
        let now = self.clock.now();
        let chosen = chosen.and_then(|chosen| chosen.peer.as_ref());
        let missed = chosen.filter(|peer| !self.linked.borrow().contains(peer));
        self.missed = missed.and(self.missed.or(Some(now)));
        if let (Some(peer), Some(since)) = (missed, self.missed)
            && now.since(since) > UNREACHED
        {
            self.spurned = Some((peer.clone(), now));
            self.missed = None;
        }
        self.spurned
            .take_if(|(_, since)| now.since(*since) > FORGIVEN);
    }

    fn is_spurned(&self, peer: &Peer) -> bool {
        let spurned = self.spurned.as_ref();
        spurned.is_some_and(|(spurned, _)| spurned == peer)
    }

    fn is_there(&self, superior: &Superior) -> bool {
        let Some(peer) = &superior.peer else {
            return false;
        };
        let is_linked = self.linked.borrow().contains(peer);
        is_linked || !self.is_spurned(peer) && self.item_of(peer).is_some()
    }

    fn item_of(&self, peer: &Peer) -> Option<Item> {
        let known = match peer.role {
            Role::Foreman => &self.foremen,
            Role::Master | Role::Worker | Role::Catalog | Role::User => &self.masters,
        };
        let known = known.borrow();
        let mut items = known.iter().flatten().map(|(_, item)| item);
        items.find(|item| item.owner == *peer).cloned()
    }

    /// A foreman of the site, rather one with few workers.
    fn foreman(&self) -> Option<Item> {
        let known = self.foremen.borrow();
        let is_of_site = |name: &str| {
            name.split_once('/')
                .is_some_and(|(site, _)| site == self.site)
        };
        let of_site = known
            .iter()
            .flatten()
            .filter(|(name, item)| is_of_site(name) && !self.is_spurned(&item.owner));
        drawn(of_site.map(|(_, item)| {
            let workers = if let Value::Foreman(place) = &item.value {
                u64::from(place.workers)
            } else {
                0
            };
            (SCALE / (workers + 1), item)
        }))
    }

    /// A master that matches, rather one that has much to do and a large weight.
    fn master(&self) -> Option<Item> {
        let known = self.masters.borrow();
        let weights = self.weights.borrow();
        let weight = |name: &str| {
            let item = weights.as_ref().and_then(|weights| weights.get(name));
            if let Some(Value::Weight(weight)) = item.map(|item| &item.value) {
                u64::from(*weight)
            } else {
                ORDINARY
            }
        };
        let matching = known
            .iter()
            .flatten()
            .filter(|(name, item)| self.projects.hold(name) && !self.is_spurned(&item.owner));
        drawn(matching.map(|(name, item)| {
            let wanted = if let Value::Project(project) = &item.value {
                u64::from(project.wanted)
            } else {
                0
            };
            (weight(name) * (wanted + 1), item)
        }))
    }
}

/// One of these, each as likely as its share says; those with the same thing to offer spread over all by chance.
fn drawn<'a>(choices: impl Iterator<Item = (u64, &'a Item)>) -> Option<Item> {
    let choices: Vec<(u64, &Item)> = choices.map(|(share, item)| (share.max(1), item)).collect();
    let sum: u64 = choices.iter().map(|(share, _)| share).sum();
    let mut at = state::draw() % sum.max(1);
    for (share, item) in &choices {
        match at.checked_sub(*share) {
            Some(rest) => at = rest,
            None => return Some((*item).clone()),
        }
    }
    None
}

/// Replaces a list by another; `false` if they are the same.
fn replace(list: &mut Vec<Superior>, other: Vec<Superior>) -> bool {
    let is_new = *list != other;
    *list = other;
    is_new
}

/// Whom to dial for what is registered, if it has an address; a name that somebody else than a master or foreman holds
/// leads to nobody.
async fn superior(item: &Item) -> Option<Superior> {
    let texts = match (&item.value, item.owner.role) {
        (Value::Project(project), Role::Master) => &project.addresses,
        (Value::Foreman(place), Role::Foreman) => &place.addresses,
        (
            Value::Project(_)
            | Value::Foreman(_)
            | Value::Site(_)
            | Value::Token(_)
            | Value::Revocation(_)
            | Value::Weight(_)
            | Value::Setting(_)
            | Value::Member(_),
            _,
        ) => return None,
    };
    let addresses = resolve(texts).await;
    (!addresses.is_empty()).then(|| Superior {
        addresses,
        roles: vec![item.owner.role],
        peer: Some(item.owner.clone()),
    })
}

/// A client of the catalog for a daemon, and what the daemon tells of where it can be reached.
pub(super) async fn open(
    discovery: &Discovery,
    credentials: &Arc<Credentials>,
    local: Option<SocketAddr>,
) -> (Client, Vec<String>) {
    let client = Client::new(discovery.catalog.clone(), Arc::clone(credentials));
    let told = match (&discovery.advertise[..], local) {
        ([], Some(local)) => addresses_of(local, &resolve(&discovery.catalog).await),
        ([], None) => Vec::new(),
        (told, _) => told.to_vec(),
    };
    (client, told)
}

/// When a daemon that leaves no longer waits for the catalog to hear of it.
const FAREWELL: Duration = Duration::from_millis(800);
/// How often a worker without a superior looks again.
const LOOK: Duration = Duration::from_secs(2);
/// When one that is registered and not linked is left for another: longer than a restart.
const UNREACHED: Span = Span::secs(10);
/// When it is thought of again.
const FORGIVEN: Span = Span::secs(300);
/// What is divided by a foreman's workers.
const SCALE: u64 = 1 << 20;
/// The weight of a project that has none of its own.
const ORDINARY: u64 = 1_000;
