//! Which names someone wants.

use std::str::FromStr;

use regex_lite::Regex;

/// A regular expression that a name must match from its beginning to its end.
#[derive(Clone, Debug)]
pub struct Names(Regex);

/// The text is no regular expression; says why.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct BadNames(#[from] regex_lite::Error);

impl Names {
    /// Every name.
    pub fn all() -> Names {
        ".*".parse().expect("this expression is well-formed")
    }

    /// Whether `name` is one of them.
    pub fn hold(&self, name: &str) -> bool {
        self.0.is_match(name)
    }
}

impl FromStr for Names {
    type Err = BadNames;

    fn from_str(text: &str) -> Result<Names, BadNames> {
        // Alone first: a bracket too many must not close ours.
        Regex::new(text)?;
        Ok(Names(Regex::new(&format!("^(?:{text})$"))?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_matches_whole_or_not_at_all() {
        let names: Names = "fold|folding-.*".parse().expect("an expression");
        assert!(names.hold("fold"));
        assert!(names.hold("folding-1"));
        assert!(!names.hold("folding"));
        assert!(!names.hold("unfold"));
        assert!("a)(b".parse::<Names>().is_err());
        assert!(Names::all().hold("anything"));
    }
}
