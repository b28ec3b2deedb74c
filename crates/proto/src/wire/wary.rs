//! Decoding that believes no length before the bytes are there.

use postcard::de_flavors::{Flavor, Slice};
use postcard::{Deserializer, Result};
use serde::Deserialize;

/// Decodes a value from the start of a peer's bytes; returns it and how many bytes are left over.
pub(super) fn take<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<(T, usize)> {
    let mut deserializer = Deserializer::from_flavor(Wary(Slice::new(bytes)));
    let value = T::deserialize(&mut deserializer)?;
    Ok((value, deserializer.finalize()?.len()))
}

/// A peer's bytes. A sequence reserves nothing for the elements it says it has: a claim of one byte could otherwise
/// reserve a mebibyte at each level of nesting. Sequences grow as their elements come, which costs a long and honest
/// one a dozen moves.
struct Wary<'de>(Slice<'de>);

impl<'de> Flavor<'de> for Wary<'de> {
    type Remainder = &'de [u8];
    type Source = &'de [u8];

    fn pop(&mut self) -> Result<u8> {
        self.0.pop()
    }

    fn size_hint(&self) -> Option<usize> {
        Some(0)
    }

    fn try_take_n(&mut self, count: usize) -> Result<&'de [u8]> {
        self.0.try_take_n(count)
    }

    fn finalize(self) -> Result<&'de [u8]> {
        self.0.finalize()
    }
}
