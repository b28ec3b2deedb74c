//! Cutting what is to be sent into frames that are within their limits.

use crate::limits::{BATCH_MAX, BODY_BYTES_MAX};

/// Cuts `items` into batches of at most [`BATCH_MAX`] items and [`BODY_BYTES_MAX`] bytes by `weight`, in order.
///
/// An item heavier than the limit stands alone. Linear in the number of items.
pub fn cut<T>(items: impl IntoIterator<Item = T>, weight: impl Fn(&T) -> usize) -> Vec<Vec<T>> {
    let mut batches: Vec<Vec<T>> = Vec::new();
    let mut bytes = 0;
    for item in items {
        let more = weight(&item);
        match batches.last_mut() {
            Some(batch) if batch.len() < BATCH_MAX && bytes + more <= BODY_BYTES_MAX => {
                batch.push(item);
                bytes += more;
            }
            Some(_) | None => {
                batches.push(vec![item]);
                bytes = more;
            }
        }
    }
    batches
}
