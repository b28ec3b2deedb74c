//! Reading a peer's name from its certificate.

use muster_proto::peer::is_name;
use muster_proto::{Peer, Role};
use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// Why a certificate names no peer of ours. The peer's own text is never repeated: it may be made to mislead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is not a certificate, or has something behind it, or its alternative names are malformed.
    #[error("its certificate cannot be read")]
    Unreadable,
    /// It has no URI.
    #[error("its certificate carries no muster:// URI")]
    NoUri,
    /// It has more than one URI: whoever checks one may be shown the other.
    #[error("its certificate carries {found} URIs where one is allowed")]
    ManyUris {
        /// How many.
        found: usize,
    },
    /// The URI is not `muster://<federation>/<site>/<role>/<name>`.
    #[error("the URI in its certificate is not of the form muster://federation/site/role/name")]
    Shape,
    /// It belongs to another federation.
    #[error("its certificate is of another federation")]
    OtherFederation,
    /// The role is not one of ours.
    #[error("the role in its certificate is not one of Muster's")]
    UnknownRole,
    /// The site or the name breaks the rule of names.
    #[error("the site or the name in its certificate is not a name")]
    BadName,
}

/// Who the holder of `certificate` is in `federation`.
///
/// It checks what the certificate says, not who signed it: the handshake has done that.
///
/// # Errors
/// Says which rule the certificate breaks.
pub fn peer_of(certificate: &CertificateDer<'_>, federation: &str) -> Result<Peer, Refusal> {
    let (rest, certificate) =
        X509Certificate::from_der(certificate).map_err(|_| Refusal::Unreadable)?;
    if !rest.is_empty() {
        return Err(Refusal::Unreadable);
    }
    let names = certificate
        .subject_alternative_name()
        .map_err(|_| Refusal::Unreadable)?
        .ok_or(Refusal::NoUri)?;
    let mut uris = Vec::new();
    for name in &names.value.general_names {
        if let GeneralName::URI(uri) = name {
            uris.push(*uri);
        }
    }
    match uris[..] {
        [] => Err(Refusal::NoUri),
        [uri] => peer_in(uri, federation),
        _ => Err(Refusal::ManyUris { found: uris.len() }),
    }
}

fn peer_in(uri: &str, federation: &str) -> Result<Peer, Refusal> {
    let path = uri.strip_prefix("muster://").ok_or(Refusal::Shape)?;
    let mut parts = path.split('/');
    let (Some(theirs), Some(site), Some(role), Some(name), None) = (
        parts.next(),
        parts.next(),
        parts.next(),
        parts.next(),
        parts.next(),
    ) else {
        return Err(Refusal::Shape);
    };
    if theirs != federation {
        return Err(Refusal::OtherFederation);
    }
    let role: Role = role.parse().map_err(|_| Refusal::UnknownRole)?;
    if !is_name(site) || !is_name(name) {
        return Err(Refusal::BadName);
    }
    Ok(Peer {
        role,
        site: site.to_owned(),
        name: name.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_uris_name_nobody() {
        for (uri, refusal) in [
            ("", Refusal::Shape),
            ("https://fed/site/worker/w1", Refusal::Shape),
            ("MUSTER://fed/site/worker/w1", Refusal::Shape),
            ("muster:fed/site/worker/w1", Refusal::Shape),
            ("muster://fed/site/worker", Refusal::Shape),
            ("muster://fed/site/worker/w1/", Refusal::Shape),
            ("muster://fed/site/worker/w1/x", Refusal::Shape),
            ("muster://user@fed/site/worker/w1", Refusal::OtherFederation),
            ("muster://fed:1/site/worker/w1", Refusal::OtherFederation),
            ("muster://fe/site/worker/w1", Refusal::OtherFederation),
            ("muster:///site/worker/w1", Refusal::OtherFederation),
            ("muster://fed/site/Worker/w1", Refusal::UnknownRole),
            ("muster://fed/site/chief/w1", Refusal::UnknownRole),
            ("muster://fed/site/worker/w1?role=master", Refusal::BadName),
            ("muster://fed/site/worker/w%31", Refusal::BadName),
            ("muster://fed/../worker/w1", Refusal::BadName),
            ("muster://fed//worker/w1", Refusal::BadName),
            ("muster://fed/site/worker/", Refusal::BadName),
            ("muster://fed/site/worker/-w1", Refusal::BadName),
            ("muster://fed/site/worker/w1\n", Refusal::BadName),
        ] {
            assert_eq!(peer_in(uri, "fed"), Err(refusal), "{uri:?}");
        }
    }

    #[test]
    fn a_good_uri_names_its_peer() {
        for role in Role::ALL {
            let peer = peer_in(&format!("muster://fed/cern/{role}/n-1.a"), "fed");
            assert_eq!(
                peer,
                Ok(Peer {
                    role,
                    site: "cern".into(),
                    name: "n-1.a".into()
                })
            );
        }
    }
}
