//! What a listener keeps over its restarts, so that its peers notice them at once.
//!
//! A peer of a process that was killed sends into the void until its idle time-out. If the successor, at the same
//! port, can tell that a packet belongs to a connection it never had, it answers with a stateless reset (RFC 9000,
//! section 10.3) and the peer dials again after its next keep-alive. For that
//! the key of its resets must be the predecessor's: it is derived from the private key that the process keeps.

use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::{CryptoError, HmacKey};
use quinn::{ConnectionId, ConnectionIdGenerator, EndpointConfig};

use crate::identity::Credentials;

/// Configures an endpoint whose resets are understood by the peers of its predecessor with the same credentials.
pub(super) fn endpoint_config(credentials: &Credentials) -> EndpointConfig {
    let secret = credentials.to_pem().as_bytes();
    let resets = blake3::derive_key("muster 2026 quic stateless reset", secret);
    let mut config = EndpointConfig::new(Arc::new(Key(resets)));
    config.cid_generator(|| Box::new(Identifiers));
    config
}

/// A key that signs.
struct Key([u8; 32]);

impl Key {
    fn signature(&self, data: &[u8]) -> [u8; 32] {
        *blake3::keyed_hash(&self.0, data).as_bytes()
    }
}

impl HmacKey for Key {
    fn sign(&self, data: &[u8], signature_out: &mut [u8]) {
        signature_out.copy_from_slice(&self.signature(data)[..signature_out.len()]);
    }

    fn signature_len(&self) -> usize {
        32
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        // The comparison of the hash type takes the same time whatever differs.
        let given = <[u8; 32]>::try_from(signature).map_err(|_| CryptoError)?;
        let is_ours = blake3::Hash::from_bytes(given) == blake3::keyed_hash(&self.0, data);
        is_ours.then_some(()).ok_or(CryptoError)
    }
}

/// Makes connection identifiers by chance, and holds none for foreign: only so does a process that does not know the
/// identifiers of its predecessor answer them.
struct Identifiers;

/// Bytes of an identifier, as many as quinn's own have.
const IDENTIFIER_BYTES: usize = 8;

impl ConnectionIdGenerator for Identifiers {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut bytes = [0; IDENTIFIER_BYTES];
        let drawn = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
        assert_eq!(drawn, Ok(IDENTIFIER_BYTES), "the system gives random bytes");
        ConnectionId::new(&bytes)
    }

    fn cid_len(&self) -> usize {
        IDENTIFIER_BYTES
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}
