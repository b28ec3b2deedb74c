//! TLS 1.3 with our one authority, our certificate, and nothing that could be replayed or resumed.

use std::sync::Arc;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, ring};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig, version};

use super::{EndpointError, Kind};
use crate::identity::Credentials;

/// A QUIC server that asks every client for a certificate of our authority.
pub(super) fn server(credentials: &Credentials) -> Result<Arc<QuicServerConfig>, EndpointError> {
    let config = QuicServerConfig::try_from(server_config(credentials)?)?;
    Ok(Arc::new(config))
}

/// A QUIC client that shows its certificate and accepts a server of our authority.
pub(super) fn client(
    credentials: &Credentials,
    kind: Kind,
) -> Result<Arc<QuicClientConfig>, EndpointError> {
    let config = QuicClientConfig::try_from(client_config(credentials, kind)?)?;
    Ok(Arc::new(config))
}

/// The same server for any transport.
pub(crate) fn server_config(credentials: &Credentials) -> Result<ServerConfig, EndpointError> {
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
    Ok(config)
}

/// The same client for any transport.
pub(crate) fn client_config(
    credentials: &Credentials,
    kind: Kind,
) -> Result<ClientConfig, EndpointError> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&version::TLS13])?
        .with_root_certificates(roots(credentials)?)
        .with_client_auth_cert(credentials.chain(), credentials.key())?;
    config.alpn_protocols = vec![kind.alpn().to_vec()];
    config.enable_early_data = false;
    config.resumption = Resumption::disabled();
    Ok(config)
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
