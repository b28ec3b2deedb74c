//! Who a process is, and who may say so.
//!
//! A federation is everything that one authority vouches for. The authority is a private key in a directory of its
//! owner's; a process's identity is a certificate signed with it, carrying exactly one URI,
//! `muster://<federation>/<site>/<role>/<name>`. The TLS library checks signatures, dates and one DNS name that all
//! servers share; the URI is checked here, after the handshake, by [`peer_of`].
//!
//! Not here: invitations for other hosts, and revocation.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use muster_proto::Peer;
use muster_proto::peer::is_name;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use rustls::pki_types::CertificateDer;

mod credentials;
mod peer;
mod vault;

pub use credentials::{Credentials, Flaw};
pub use peer::{Refusal, peer_of};

use credentials::{federation_of, pieces};
use vault::Publish;

/// The DNS name in every certificate: the TLS library verifies no other kind of name, and the URI says the rest.
pub const SERVER_NAME: &str = "muster.internal";

/// A federation's private key and certificate: whoever holds it decides who belongs.
pub struct Authority {
    federation: String,
    certificate: CertificateDer<'static>,
    certificate_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Opens the authority in `dir`, or makes one; processes that do so at once end up with the same one.
    ///
    /// `authority.key` holds the private key and the certificate, and its appearance under that name is the moment
    /// the authority exists. `authority.pem` is a copy of the certificate for people, made again when missing.
    ///
    /// # Errors
    /// The directory or the key is open to others, is not ours, is damaged, or the disk refuses.
    pub fn open_or_create(dir: &Path) -> Result<Authority, IdentityError> {
        vault::private_dir(dir)?;
        let key_path = dir.join(KEY_FILE);
        // Looked for first: where the certificate is, a key has been before.
        let lived = vault::read(&dir.join(CERTIFICATE_FILE))?.is_some();
        if let Some(text) = vault::read(&key_path)? {
            return Authority::open(dir, &text);
        }
        if lived {
            return Err(IdentityError::Damaged {
                path: key_path,
                flaw: Flaw::KeyGone,
            });
        }
        Authority::make(dir, Authority::draw()?)
    }

    /// Opens the authority in `dir`, or makes the one that belongs to `secret`: whoever has the secret has the authority,
    /// so it has to be as hard to guess as a key is. For launchers that hand a password to every host.
    ///
    /// # Errors
    /// As for [`Authority::open_or_create`].
    pub fn of_secret(dir: &Path, secret: &[u8; SECRET_BYTES]) -> Result<Authority, IdentityError> {
        vault::private_dir(dir)?;
        match vault::read(&dir.join(KEY_FILE))? {
            Some(text) => Authority::open(dir, &text),
            None => Authority::make(dir, Authority::derive(secret)?),
        }
    }

    /// Writes what was drawn into `dir`, and reads what is there then: another process may have been faster.
    fn make(dir: &Path, drawn: String) -> Result<Authority, IdentityError> {
        let key_path = dir.join(KEY_FILE);
        vault::publish(&key_path, &drawn, Publish::Once)?;
        let text = vault::read(&key_path)?.ok_or_else(|| IdentityError::Disk {
            path: key_path,
            source: io::ErrorKind::NotFound.into(),
        })?;
        Authority::open(dir, &text)
    }

    /// Makes an authority that is written nowhere: an embedded federation's, gone with the process.
    ///
    /// # Errors
    /// The machine gives no random numbers.
    pub fn ephemeral() -> Result<Authority, IdentityError> {
        let text = Authority::draw()?;
        Authority::parse(&text).map_err(|flaw| IdentityError::Damaged {
            path: PathBuf::from(KEY_FILE),
            flaw,
        })
    }

    /// The federation's name: 16 hexadecimal digits drawn when the authority was made.
    pub fn federation(&self) -> &str {
        &self.federation
    }

    /// Makes a key and a certificate for `who`, good for both ends of a connection.
    ///
    /// # Errors
    /// A name breaks the rule of names, or the machine gives no random numbers.
    pub fn issue(&self, who: &Peer) -> Result<Credentials, IdentityError> {
        for name in [&who.site, &who.name] {
            if !is_name(name) {
                return Err(IdentityError::BadName { name: name.clone() });
            }
        }
        let uri = format!(
            "muster://{}/{}/{}/{}",
            self.federation, who.site, who.role, who.name
        );
        let mut params = certificate_of(&who.to_string(), LEAF_LIFE);
        params.subject_alt_names = vec![
            SanType::DnsName(SERVER_NAME.try_into()?),
            SanType::URI(uri.as_str().try_into()?),
        ];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        let leaf = params.signed_by(&key, &self.issuer)?;
        let text = [
            leaf.pem(),
            key.serialize_pem(),
            self.certificate_pem.clone(),
        ]
        .concat();
        Credentials::from_pem(&text).map_err(IdentityError::Unusable)
    }

    fn open(dir: &Path, text: &str) -> Result<Authority, IdentityError> {
        let damaged = |file: &str, flaw| IdentityError::Damaged {
            path: dir.join(file),
            flaw,
        };
        let authority = Authority::parse(text).map_err(|flaw| damaged(KEY_FILE, flaw))?;
        let public = dir.join(CERTIFICATE_FILE);
        match vault::read(&public)? {
            Some(text) if text == authority.certificate_pem => {}
            Some(_) => return Err(damaged(CERTIFICATE_FILE, Flaw::OtherKey)),
            None => vault::publish(&public, &authority.certificate_pem, Publish::Once)?,
        }
        Ok(authority)
    }

    fn parse(text: &str) -> Result<Authority, Flaw> {
        let (certificates, key) = pieces(text)?;
        let [certificate] = <[_; 1]>::try_from(certificates).map_err(|_| Flaw::Pieces)?;
        let start = text.find(CERTIFICATE_BEGINS).ok_or(Flaw::Pieces)?;
        let federation = federation_of(&certificate)?;
        let key = KeyPair::try_from(&key).map_err(|_| Flaw::Key)?;
        if credentials::public_key_of(&certificate)? != key.public_key_raw() {
            return Err(Flaw::OtherKey);
        }
        let issuer =
            Issuer::from_ca_cert_der(&certificate, key).map_err(|_| Flaw::NotACertificate)?;
        Ok(Authority {
            federation,
            certificate_pem: text[start..].to_owned(),
            certificate,
            issuer,
        })
    }

    /// Draws a key and a federation; returns the contents of `authority.key`.
    fn draw() -> Result<String, IdentityError> {
        let mut bytes = [0; 8];
        vault::random(&mut bytes)?;
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        Authority::compose(u64::from_be_bytes(bytes), &key)
    }

    /// The same from a secret, always with the same key, federation and subject, which is what peers compare.
    fn derive(secret: &[u8; SECRET_BYTES]) -> Result<String, IdentityError> {
        let [federation, key] = ["federation", "key"].map(|what| {
            blake3::derive_key(
                &format!("muster 2026 authority of a secret: {what}"),
                secret,
            )
        });
        let key = rustls::pki_types::PrivatePkcs8KeyDer::from([ED25519_PREFIX, &key].concat());
        let key = KeyPair::from_pkcs8_der_and_sign_algo(&key, &rcgen::PKCS_ED25519)?;
        let [a, b, c, d, e, f, g, h, ..] = federation;
        Authority::compose(u64::from_be_bytes([a, b, c, d, e, f, g, h]), &key)
    }

    fn compose(federation: u64, key: &KeyPair) -> Result<String, IdentityError> {
        let subject = format!("{SUBJECT_PREFIX}{federation:016x}");
        let mut params = certificate_of(&subject, AUTHORITY_LIFE);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(key)?;
        Ok(key.serialize_pem() + &certificate.pem())
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority")
            .field("federation", &self.federation)
            .field("certificate_bytes", &self.certificate.len())
            .finish_non_exhaustive()
    }
}

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The file system refused.
    #[error("cannot use {}", path.display())]
    Disk {
        /// What was to be read or written.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A directory or file that holds a key can be reached by others.
    #[error(
        "{} can be reached by other users (mode {mode:04o}), so its key is not a secret; if nobody has used it, run: chmod go-rwx {}",
        path.display(), path.display()
    )]
    Exposed {
        /// What is open.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A directory or file that holds a key belongs to another user.
    #[error("{} belongs to another user; choose a directory of your own", path.display())]
    NotYours {
        /// Whose owner is wrong.
        path: PathBuf,
    },
    /// A file does not hold what it should.
    #[error("{} is damaged: {flaw}; restore it from a copy or move it away", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        flaw: Flaw,
    },
    /// A site or process is named against the rule of names.
    #[error("{name:?} is no name: 1 to 64 of A-Z a-z 0-9 . _ -, beginning with neither - nor .")]
    BadName {
        /// The name.
        name: String,
    },
    /// What was issued cannot be read back: the authority signs for somebody else's rules.
    #[error("the authority issued an identity that is not one: {0}")]
    Unusable(Flaw),
    /// A certificate could not be made.
    #[error("cannot make a certificate")]
    Certificate(#[from] rcgen::Error),
    /// The machine gives no random numbers.
    #[error("the system gives no random numbers")]
    NoRandom,
}

/// A certificate's common fields: `subject`, and a validity of `life` from a day ago.
fn certificate_of(subject: &str, life: Duration) -> CertificateParams {
    let begin = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_millis(crate::clock::wall_ms());
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, subject);
    params.not_before = begin - CLOCK_SLACK;
    params.not_after = begin + life;
    params
}

const KEY_FILE: &str = "authority.key";
const CERTIFICATE_FILE: &str = "authority.pem";
const CERTIFICATE_BEGINS: &str = "-----BEGIN CERTIFICATE-----";
/// Bytes of a secret that an authority may belong to.
pub const SECRET_BYTES: usize = 32;
/// What precedes the 32 bytes of an Ed25519 key in PKCS #8 (RFC 8410, section 7).
const ED25519_PREFIX: &[u8] = &[
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];
/// Before the federation in the subject of the authority's certificate.
const SUBJECT_PREFIX: &str = "muster ";
const DAY: Duration = Duration::from_secs(24 * 3600);
/// The clocks of a campus differ; by a day only where nobody has ever set one.
const CLOCK_SLACK: Duration = DAY;
/// Longer than a research project, so that nobody has to move a federation to another authority.
const AUTHORITY_LIFE: Duration = Duration::from_secs(DAY.as_secs() * 365 * 40);
/// Longer than an allocation on a machine: nobody is at hand to renew the identity of a worker.
const LEAF_LIFE: Duration = Duration::from_secs(DAY.as_secs() * 365 * 5);

#[cfg(test)]
mod tests;
