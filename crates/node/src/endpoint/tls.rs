//! TLS 1.3 with our one authority, our certificate, and nothing that could be replayed or resumed.

use std::sync::Arc;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, ring};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig, version};

use super::{EndpointError, Kind};
use crate::identity::Credentials;

/// A server that asks every client for a certificate of our authority.
pub(super) fn server(credentials: &Credentials) -> Result<Arc<QuicServerConfig>, EndpointError> {
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots(credentials)?), provider())
            .build()?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(credentials.chain(), credentials.key())?;
    config.alpn_protocols = Kind::ALL.map(|kind| kind.alpn().to_vec()).to_vec();
    // Early data can be replayed, and a resumed session would outlive the certificate it began with.
    config.max_early_data_size = 0;
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(Arc::new(QuicServerConfig::try_from(config)?))
}

/// A client that shows its certificate and accepts a server of our authority.
pub(super) fn client(
    credentials: &Credentials,
    kind: Kind,
) -> Result<Arc<QuicClientConfig>, EndpointError> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&version::TLS13])?
        .with_root_certificates(roots(credentials)?)
        .with_client_auth_cert(credentials.chain(), credentials.key())?;
    config.alpn_protocols = vec![kind.alpn().to_vec()];
    config.enable_early_data = false;
    config.resumption = Resumption::disabled();
    Ok(Arc::new(QuicClientConfig::try_from(config)?))
}

fn roots(credentials: &Credentials) -> Result<RootCertStore, rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(credentials.authority())?;
    Ok(roots)
}

/// Named rather than left to a process-wide default, which any library could set.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}
