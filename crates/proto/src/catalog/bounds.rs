//! Which words of the catalog are within their limits.

use super::{Command, Filter, Grant, Key, Kind, Member, Pattern, Place, Project, Query, Value};
use crate::limits::{
    ADDRESS_BYTES_MAX, ADDRESSES_MAX, LEASE_MAX, LEASE_MIN, NAME_BYTES_MAX,
    REGISTERED_NAME_BYTES_MAX, SETTING_BYTES_MAX, TEXT_BYTES_MAX,
};
use crate::peer::is_name;
use crate::time::Span;

impl Key {
    /// Whether it names something that there may be.
    pub fn is_well_formed(&self) -> bool {
        let name = self.name.as_str();
        match self.kind {
            Kind::Project | Kind::Site | Kind::Weight => is_name(name),
            Kind::Foreman => {
                matches!(name.split_once('/'), Some((site, own)) if is_name(site) && is_name(own))
            }
            Kind::Token => is_hex(name, 64),
            Kind::Member => is_hex(name, 16),
            Kind::Revocation | Kind::Setting => {
                (1..=REGISTERED_NAME_BYTES_MAX).contains(&name.len())
                    && !name.contains(char::is_control)
            }
        }
    }
}

impl Value {
    /// Whether each part of it is within its limit.
    pub fn is_within(&self) -> bool {
        match self {
            Value::Project(Project {
                addresses, version, ..
            })
            | Value::Site(Place {
                addresses, version, ..
            })
            | Value::Foreman(Place {
                addresses, version, ..
            }) => are_addresses(addresses) && version.len() <= NAME_BYTES_MAX,
            Value::Token(grant) => grant.is_within(),
            Value::Revocation(why) => why.len() <= SETTING_BYTES_MAX,
            Value::Weight(_) => true,
            Value::Setting(bytes) => bytes.len() <= SETTING_BYTES_MAX,
            Value::Member(member) => member.is_within(),
        }
    }
}

impl Grant {
    /// Whether its names are names.
    pub fn is_within(&self) -> bool {
        is_name(&self.site) && self.name.as_deref().is_none_or(is_name)
    }
}

impl Member {
    /// Whether its names are names and its addresses few and short.
    pub fn is_within(&self) -> bool {
        self.node.0 != 0
            && is_name(&self.peer.site)
            && is_name(&self.peer.name)
            && are_addresses(&self.addresses)
    }
}

impl Command {
    /// Whether each part of it is within its limit, and values are of the kind of their keys.
    pub fn is_within(&self) -> bool {
        match self {
            Command::Open
            | Command::Fence { .. }
            | Command::Check { .. }
            | Command::Redeem { .. } => true,
            Command::Register { key, value, lease } => fits(key, value) && is_lease(*lease),
            Command::Renew { key, value } => {
                key.is_well_formed() && value.as_ref().is_none_or(|value| fits(key, value))
            }
            Command::Invite { grant, lease, .. } => grant.is_within() && is_lease(*lease),
            Command::Put { key, value, .. } => fits(key, value),
            Command::Remove { key } | Command::Delete { key, .. } | Command::Expire { key, .. } => {
                key.is_well_formed()
            }
        }
    }
}

impl Filter {
    /// Whether its pattern is short enough.
    pub fn is_within(&self) -> bool {
        match &self.names {
            Pattern::All => true,
            Pattern::Prefix(text) | Pattern::Glob(text) => text.len() <= REGISTERED_NAME_BYTES_MAX,
        }
    }
}

impl Query {
    /// Whether each part of it is within its limit.
    pub fn is_within(&self) -> bool {
        match self {
            Query::Get(key) => key.is_well_formed(),
            Query::List { filter, after, .. } => {
                filter.is_within()
                    && after
                        .as_ref()
                        .is_none_or(|name| name.len() <= TEXT_BYTES_MAX)
            }
            Query::Status => true,
        }
    }
}

fn fits(key: &Key, value: &Value) -> bool {
    key.is_well_formed() && key.kind == value.kind() && value.is_within()
}

fn is_lease(lease: Span) -> bool {
    (LEASE_MIN..=LEASE_MAX).contains(&lease)
}

fn are_addresses(addresses: &[String]) -> bool {
    addresses.len() <= ADDRESSES_MAX
        && addresses.iter().all(|address| {
            (1..=ADDRESS_BYTES_MAX).contains(&address.len()) && !address.contains(char::is_control)
        })
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}
