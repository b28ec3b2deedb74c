//! Who is at the other end of a link, as its certificate says.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::limits::NAME_BYTES_MAX;

/// What a process is in the chain; decides which messages it may send (see `wire::allowed`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Role {
    /// Owns a project's queue.
    Master,
    /// Serves masters for one site.
    Foreman,
    /// Runs tasks.
    Worker,
    /// A replica of the directory.
    Catalog,
    /// A person's command: submits, waits, asks.
    User,
}

impl Role {
    /// Every role, in order.
    pub const ALL: [Role; 5] = [
        Role::Master,
        Role::Foreman,
        Role::Worker,
        Role::Catalog,
        Role::User,
    ];

    /// The role's name in certificates, logs and commands.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Master => "master",
            Role::Foreman => "foreman",
            Role::Worker => "worker",
            Role::Catalog => "catalog",
            Role::User => "user",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The text names no role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a role is master, foreman, worker, catalog or user")]
pub struct NotARole;

impl FromStr for Role {
    type Err = NotARole;

    fn from_str(text: &str) -> Result<Role, NotARole> {
        Role::ALL
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or(NotARole)
    }
}

/// The verified identity of a process: what its certificate's one URI says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Peer {
    /// What it is.
    pub role: Role,
    /// The site it belongs to; see [`is_name`].
    pub site: String,
    /// Its own name, unique in its site and role; see [`is_name`].
    pub name: String,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.site, self.role, self.name)
    }
}

/// Whether `text` may name a site, a process, a project or a federation: 1 to 64 characters of
/// `A-Z a-z 0-9 . _ -`, not beginning with `-` or `.`.
pub fn is_name(text: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&text.len())
        && !text.starts_with(['-', '.'])
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}
