//! How much may be in flight: by what the path to the peer is like.
//!
//! Within a campus a lost packet means that a queue is full, and Cubic makes room; far away it mostly means nothing, and
//! Cubic, which slows down all the same, comes to a fiftieth of what the path carries (40 ms and 0.1 % of loss). BBR
//! goes by the rate at which packets arrive and keeps nearly all of it, but takes more than its share beside others and
//! costs a third of the speed within one host. Which of the two counts is seen from the shortest round trip so far:
//! both are kept up to date, and the path may change under a connection.

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quinn::congestion::{Bbr, BbrConfig, Controller, ControllerFactory, Cubic, CubicConfig};
use quinn_proto::RttEstimator;

/// Makes the controllers of connections.
#[derive(Debug, Default)]
pub(super) struct ByDistance;

impl ControllerFactory for ByDistance {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        Box::new(Both {
            near: Cubic::new(Arc::new(CubicConfig::default()), now, current_mtu),
            far: Bbr::new(Arc::new(BbrConfig::default()), current_mtu),
            distance: Distance::Near,
        })
    }
}

/// How far away the peer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Distance {
    Near,
    Far,
}

#[derive(Clone, Debug)]
struct Both {
    near: Cubic,
    far: Bbr,
    distance: Distance,
}

impl Both {
    fn chosen(&self) -> &dyn Controller {
        match self.distance {
            Distance::Near => &self.near,
            Distance::Far => &self.far,
        }
    }
}

impl Controller for Both {
    fn on_sent(&mut self, now: Instant, bytes: u64, last_packet_number: u64) {
        self.near.on_sent(now, bytes, last_packet_number);
        self.far.on_sent(now, bytes, last_packet_number);
    }

    fn on_ack(
        &mut self,
        now: Instant,
        sent: Instant,
        bytes: u64,
        app_limited: bool,
        rtt: &RttEstimator,
    ) {
        self.near.on_ack(now, sent, bytes, app_limited, rtt);
        self.far.on_ack(now, sent, bytes, app_limited, rtt);
        self.distance = if rtt.min() < FAR {
            Distance::Near
        } else {
            Distance::Far
        };
    }

    fn on_end_acks(
        &mut self,
        now: Instant,
        in_flight: u64,
        app_limited: bool,
        largest_packet_num_acked: Option<u64>,
    ) {
        self.near
            .on_end_acks(now, in_flight, app_limited, largest_packet_num_acked);
        self.far
            .on_end_acks(now, in_flight, app_limited, largest_packet_num_acked);
    }

    fn on_congestion_event(
        &mut self,
        now: Instant,
        sent: Instant,
        is_persistent_congestion: bool,
        lost_bytes: u64,
    ) {
        self.near
            .on_congestion_event(now, sent, is_persistent_congestion, lost_bytes);
        self.far
            .on_congestion_event(now, sent, is_persistent_congestion, lost_bytes);
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.near.on_mtu_update(new_mtu);
        self.far.on_mtu_update(new_mtu);
    }

    fn window(&self) -> u64 {
        self.chosen().window()
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }

    fn initial_window(&self) -> u64 {
        self.near.initial_window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

/// The shortest round trip of a peer that is far away: campuses span a millisecond or two.
const FAR: Duration = Duration::from_millis(5);
