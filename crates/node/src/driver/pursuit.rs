//! Dialling superiors for ever, those that are wanted at the time.

use std::collections::BTreeSet;
use std::time::Duration;

use muster_proto::Peer;
use muster_proto::machine::Side;
use muster_proto::wire::CloseCode;
use tokio::sync::watch;
use tokio::time::timeout;

use super::chain::{BACKOFF_MAX, Backoff, Chain};
use super::frames::End;
use super::{Superior, Superiors};
use crate::clock::Clock;
use crate::endpoint::{Kind, Link};
use crate::tasks::Tasks;

/// Pursues whoever is wanted until the process is leaving.
pub(super) async fn follow(mut chain: Chain, superiors: Superiors) {
    let Superiors {
        mut wanted,
        leaves,
        linked,
    } = superiors;
    let mut tasks = Tasks::new();
    let mut pursued: Vec<(Superior, watch::Sender<Option<Superior>>)> = Vec::new();
    while !*chain.leaving.borrow() {
        let list = wanted.borrow_and_update().clone();
        // One that is not wanted may still be linked, and be wanted again before it is not.
        pursued.retain(|(_, orders)| !orders.is_closed());
        for (superior, orders) in &pursued {
            if !list.iter().any(|wanted| wanted.is(superior)) {
                orders.send_if_modified(|ordered| ordered.take().is_some());
            }
        }
        for superior in list {
            match pursued.iter_mut().find(|(known, _)| known.is(&superior)) {
                Some((_, orders)) if *orders.borrow() == Some(superior.clone()) => {}
                Some((known, orders)) => {
                    known.clone_from(&superior);
                    orders.send_replace(Some(superior));
                }
                None => {
                    let (orders, ordered) = watch::channel(Some(superior.clone()));
                    let task = pursue(chain.clone(), ordered, leaves, linked.clone());
                    tasks.spawn("superior", task);
                    pursued.push((superior, orders));
                }
            }
        }
        tokio::select! {
            Ok(()) = wanted.changed() => {}
            _ = chain.leaving.wait_for(|leaving| *leaving) => {}
        }
    }
    tasks.join().await;
}

/// Keeps a link to a superior until it is not wanted any more or the process is leaving.
async fn pursue(
    mut chain: Chain,
    mut orders: watch::Receiver<Option<Superior>>,
    leaves: bool,
    linked: watch::Sender<BTreeSet<Peer>>,
) {
    let clock = Clock::start();
    let mut backoff = Backoff::default();
    let mut said = String::new();
    let mut turn = 0;
    while !*chain.leaving.borrow() {
        let Some(superior) = orders.borrow_and_update().clone() else {
            return;
        };
        let begun = clock.now();
        let address = superior
            .addresses
            .get(turn % superior.addresses.len().max(1));
        let Some(address) = address.copied() else {
            return;
        };
        let dialled = tokio::select! {
            dialled = backoff.dial(address, &chain.credentials, Kind::Control, &superior.roles) => dialled,
            Ok(()) = orders.changed() => continue,
            _ = chain.leaving.wait_for(|leaving| *leaving) => return,
        };
        let why = match dialled {
            Ok(link) if is_other(&superior, &link) => {
                let why = format!("{} answers there", link.peer());
                link.close(CloseCode::Done);
                Some(why)
            }
            Ok(link) => {
                let peer = link.peer().clone();
                linked.send_modify(|linked| {
                    linked.insert(peer.clone());
                });
                let unwanted = release(link.clone(), orders.clone(), leaves);
                let attended = chain.attend(
                    link,
                    End::Dialer,
                    Side::Superior,
                    Some((&superior, address)),
                );
                let (ended, ()) = tokio::join!(attended, unwanted);
                let why = ended.err().map(|why| why.to_string());
                linked.send_modify(|linked| {
                    linked.remove(&peer);
                });
                why
            }
            Err(why) => Some(why.to_string()),
        };
        match why {
            // A superior may be away for days; each reason is worth one line.
            Some(why) if why != said => {
                tracing::warn!(%address, %why, "cannot reach a superior; trying on");
                said = why;
                turn += 1;
            }
            Some(_) => turn += 1,
            None => said.clear(),
        }
        // A link that is closed as soon as it stands is no reason to hurry.
        if Duration::from_micros(clock.now().since(begun).0) > BACKOFF_MAX {
            backoff = Backoff::default();
        }
        let ordered = async {
            tokio::select! {
                Ok(()) = orders.changed() => {}
                _ = chain.leaving.wait_for(|leaving| *leaving) => {}
            }
        };
        timeout(backoff.next(), ordered).await.ok();
    }
}

/// Closes a link when its superior is not wanted any more, if that is to be; over when the link is.
async fn release(link: Link, mut orders: watch::Receiver<Option<Superior>>, leaves: bool) {
    let unwanted = async {
        // Whoever gives the orders is gone: the process leaves, and sees to its links itself.
        let is_over = orders.wait_for(Option::is_none).await.is_err();
        if is_over || !leaves {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        _ = link.closed() => {}
        () = unwanted => {
            link.finish(CloseCode::Done).await;
        }
    }
}

/// Whether somebody else answered than the one who is wanted.
fn is_other(superior: &Superior, link: &Link) -> bool {
    superior
        .peer
        .as_ref()
        .is_some_and(|peer| peer != link.peer())
}
