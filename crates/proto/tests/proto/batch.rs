//! Cutting: order is kept, limits are respected, nothing is lost.

use muster_proto::batch::cut;
use muster_proto::limits::{BATCH_MAX, BODY_BYTES_MAX};
use proptest::prelude::*;

proptest! {
    #![proptest_config(crate::tries(8))]

    #[test]
    fn batches_keep_the_order_and_the_limits(
        weights in prop::collection::vec(prop_oneof![8 => 0_usize..400, 1 => 0_usize..2 * BODY_BYTES_MAX], 0..12_000)
    ) {
        let batches = cut(weights.iter().copied().enumerate(), |(_, weight)| *weight);
        let order: Vec<usize> = batches.iter().flatten().map(|(place, _)| *place).collect();
        prop_assert_eq!(order, (0..weights.len()).collect::<Vec<_>>());
        for batch in &batches {
            let bytes: usize = batch.iter().map(|(_, weight)| weight).sum();
            prop_assert!((1..=BATCH_MAX).contains(&batch.len()));
            prop_assert!(bytes <= BODY_BYTES_MAX || batch.len() == 1, "{bytes} bytes in {} items", batch.len());
        }
        // No batch could have taken the first of the next.
        for (batch, next) in batches.iter().zip(batches.iter().skip(1)) {
            let bytes: usize = batch.iter().chain(next.first()).map(|(_, weight)| weight).sum();
            prop_assert!(batch.len() == BATCH_MAX || bytes > BODY_BYTES_MAX);
        }
    }
}

#[test]
fn nothing_makes_no_batch() {
    assert!(cut(Vec::<u8>::new(), |_| 1).is_empty());
}
