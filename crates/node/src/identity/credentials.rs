//! What a process shows: its certificate, its key, and the authority it trusts.

use std::fmt;
use std::path::{Path, PathBuf};

use muster_proto::Peer;
use muster_proto::peer::is_name;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::vault::{self, Publish};
use super::{IdentityError, Refusal, SUBJECT_PREFIX, peer_of};

/// A process's identity: made by [`super::Authority::issue`], kept in a state directory over restarts.
///
/// It is what its own certificate says; a value that exists has a well-formed one.
pub struct Credentials {
    peer: Peer,
    federation: String,
    leaf: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
    authority: CertificateDer<'static>,
    pem: String,
}

impl Credentials {
    /// Reads what [`Credentials::save`] wrote into `dir`; `None` if there is nothing yet.
    ///
    /// # Errors
    /// The file or the directory is open to others, is not ours, is damaged, or the disk refuses.
    pub fn load(dir: &Path) -> Result<Option<Credentials>, IdentityError> {
        vault::private_dir(dir)?;
        let path = file_in(dir);
        let Some(text) = vault::read(&path)? else {
            return Ok(None);
        };
        Credentials::from_pem(&text)
            .map(Some)
            .map_err(|flaw| IdentityError::Damaged { path, flaw })
    }

    /// Writes `identity.pem` into `dir`, readable by its owner alone, in place of an earlier one.
    ///
    /// # Errors
    /// The directory is open to others or is not ours, or the disk refuses.
    pub fn save(&self, dir: &Path) -> Result<(), IdentityError> {
        vault::private_dir(dir)?;
        vault::publish(&file_in(dir), &self.pem, Publish::Over)
    }

    /// Reads a text of certificate, private key and authority's certificate, in that order.
    ///
    /// # Errors
    /// Says which part is missing or wrong. Whether the authority signed the certificate is for the peers to say.
    pub fn from_pem(text: &str) -> Result<Credentials, Flaw> {
        let (certificates, key) = pieces(text)?;
        let [leaf, authority] = <[_; 2]>::try_from(certificates).map_err(|_| Flaw::Pieces)?;
        let federation = federation_of(&authority)?;
        let peer = peer_of(&leaf, &federation).map_err(Flaw::Peer)?;
        Ok(Credentials {
            peer,
            federation,
            leaf,
            key,
            authority,
            pem: text.to_owned(),
        })
    }

    /// The text that [`Credentials::from_pem`] reads. It contains the private key.
    pub fn to_pem(&self) -> &str {
        &self.pem
    }

    /// Who this is.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// The federation this belongs to.
    pub fn federation(&self) -> &str {
        &self.federation
    }

    pub(crate) fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![self.leaf.clone()]
    }

    pub(crate) fn key(&self) -> PrivateKeyDer<'static> {
        self.key.clone_key()
    }

    pub(crate) fn authority(&self) -> CertificateDer<'static> {
        self.authority.clone()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("peer", &self.peer)
            .field("federation", &self.federation)
            .finish_non_exhaustive()
    }
}

/// What is wrong with a text of keys and certificates.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// It is not PEM.
    #[error("it is not in PEM form")]
    NotPem,
    /// It has not the certificates and the key it should have.
    #[error("it does not hold the certificates and the key it should")]
    Pieces,
    /// A certificate in it cannot be read.
    #[error("a certificate in it cannot be read")]
    NotACertificate,
    /// The key in it cannot be used.
    #[error("the private key in it cannot be used")]
    Key,
    /// A certificate and a key are not of one pair.
    #[error("certificate and key do not belong together")]
    OtherKey,
    /// The certificate is there and the key is not: what it signed would be orphaned by a new one.
    #[error("the private key is gone, but its certificate is still there")]
    KeyGone,
    /// The authority's certificate names no federation.
    #[error("its authority is not one of Muster's")]
    NoFederation,
    /// The certificate's own URI is wrong.
    #[error("{0}")]
    Peer(Refusal),
}

/// The certificates and the key in a PEM text.
pub(super) fn pieces(
    text: &str,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), Flaw> {
    let certificates = CertificateDer::pem_slice_iter(text.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| Flaw::NotPem)?;
    let key = PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| Flaw::Pieces)?;
    Ok((certificates, key))
}

/// The federation that an authority's certificate names in its subject.
pub(super) fn federation_of(authority: &CertificateDer<'_>) -> Result<String, Flaw> {
    let (_, certificate) =
        X509Certificate::from_der(authority).map_err(|_| Flaw::NotACertificate)?;
    let mut names = certificate.subject().iter_common_name();
    let subject = names
        .next()
        .and_then(|name| name.as_str().ok())
        .ok_or(Flaw::NoFederation)?;
    let federation = subject
        .strip_prefix(SUBJECT_PREFIX)
        .filter(|name| is_name(name))
        .ok_or(Flaw::NoFederation)?;
    Ok(federation.to_owned())
}

/// The public key in a certificate, as raw bytes.
pub(super) fn public_key_of(certificate: &CertificateDer<'_>) -> Result<Vec<u8>, Flaw> {
    let (_, certificate) =
        X509Certificate::from_der(certificate).map_err(|_| Flaw::NotACertificate)?;
    Ok(certificate.public_key().subject_public_key.data.to_vec())
}

fn file_in(dir: &Path) -> PathBuf {
    dir.join("identity.pem")
}
