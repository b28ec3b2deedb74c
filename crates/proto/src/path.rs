//! The only form in which a file's name crosses a wire or enters a sandbox.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

use crate::limits::{PART_BYTES_MAX, PATH_BYTES_MAX};

/// A relative path that stays inside the directory it is joined to.
///
/// Its components are separated by single slashes; none is empty, `.` or `..`; there is no NUL, no
/// control character, at most [`PATH_BYTES_MAX`] bytes in all and [`PART_BYTES_MAX`] in a component.
/// Deserializing checks all of this, so a value that exists is a value that is safe to join; links on
/// the disk are the opener's matter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct RelPath(Box<str>);

/// Why a text is not a [`RelPath`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPath {
    /// It has no characters.
    #[error("the name is empty")]
    Empty,
    /// It has more than [`PATH_BYTES_MAX`] bytes.
    #[error("the name is longer than {PATH_BYTES_MAX} bytes")]
    Long,
    /// It has a component of more than [`PART_BYTES_MAX`] bytes.
    #[error("the name has a component longer than {PART_BYTES_MAX} bytes")]
    LongPart,
    /// It begins with a slash.
    #[error("the name is absolute; names in a sandbox are relative")]
    Absolute,
    /// It has an empty, `.` or `..` component.
    #[error("the name has an empty, '.' or '..' component")]
    Component,
    /// It has a NUL or another control character.
    #[error("the name has a control character")]
    Control,
}

impl RelPath {
    /// Checks `text`.
    ///
    /// # Errors
    /// Says which rule of the type it breaks.
    pub fn new(text: &str) -> Result<Self, BadPath> {
        match text {
            "" => return Err(BadPath::Empty),
            _ if text.len() > PATH_BYTES_MAX => return Err(BadPath::Long),
            _ if text.starts_with('/') => return Err(BadPath::Absolute),
            _ if text.chars().any(char::is_control) => return Err(BadPath::Control),
            _ => {}
        }
        if text.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(BadPath::Component);
        }
        if text.split('/').any(|part| part.len() > PART_BYTES_MAX) {
            return Err(BadPath::LongPart);
        }
        Ok(Self(text.into()))
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its components, outermost first; at least one.
    pub fn parts(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl AsRef<std::path::Path> for RelPath {
    fn as_ref(&self) -> &std::path::Path {
        std::path::Path::new(&*self.0)
    }
}

impl<'de> Deserialize<'de> for RelPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <&str>::deserialize(deserializer)?;
        RelPath::new(text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_are_refused() {
        let long = "a/".repeat(PATH_BYTES_MAX) + "a";
        let long_part = format!("a/{}", "b".repeat(PART_BYTES_MAX + 1));
        for hostile in [
            "",
            "/",
            "/etc/passwd",
            "..",
            "../x",
            "a/../b",
            "a/..",
            "./a",
            "a/./b",
            "a//b",
            "a/",
            "a\0b",
            "a\nb",
            "\u{1b}[2J",
            long.as_str(),
            long_part.as_str(),
        ] {
            assert!(RelPath::new(hostile).is_err(), "{hostile:?}");
            let bytes = postcard::to_stdvec(hostile).expect("a string");
            assert!(
                postcard::from_bytes::<RelPath>(&bytes).is_err(),
                "{hostile:?} on the wire"
            );
        }
    }

    #[test]
    fn ordinary_names_pass() {
        for name in [
            "a",
            "a b",
            "-rf",
            "..a",
            "a..",
            ".hidden",
            "out/*.dat",
            "größe/日本",
        ] {
            let path = RelPath::new(name).expect(name);
            let bytes = postcard::to_stdvec(&path).expect("a path");
            assert_eq!(postcard::from_bytes::<RelPath>(&bytes), Ok(path));
        }
    }
}
