//! The form of a journal's records: `kind u8 | schema u8 | payload in postcard`, the same for every brain.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::machine::BadRecord;

/// Appends a record of this `kind` and `schema` to `buffer`.
///
/// # Panics
/// If `payload` cannot be serialized, which plain data always can.
pub fn write<T: Serialize>(buffer: &mut Vec<u8>, (kind, schema): (u8, u8), payload: &T) {
    buffer.extend_from_slice(&[kind, schema]);
    let bytes = std::mem::take(buffer);
    *buffer = postcard::to_extend(payload, bytes).expect("plain data always serializes");
}

/// Reads a payload that [`write`] wrote.
///
/// # Errors
/// [`BadRecord::Malformed`] if it does not decode, or bytes are left over.
pub fn read<T: DeserializeOwned>(payload: &[u8]) -> Result<T, BadRecord> {
    match postcard::take_from_bytes(payload) {
        Ok((value, [])) => Ok(value),
        Ok(_) | Err(_) => Err(BadRecord::Malformed),
    }
}
