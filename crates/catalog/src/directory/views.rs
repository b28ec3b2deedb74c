//! What is read from the directory: lists by pages, changes after a revision.

use std::ops::Bound;

use muster_proto::Span;
use muster_proto::catalog::{Change, Filter, Found, Key, Named, Pattern, Revision};
use muster_proto::limits::{PAGE_BYTES_MAX, PAGE_ITEMS_MAX};

use super::Directory;
use super::keys::encode;

impl Directory {
    /// What stands under a key, as an answer.
    pub(crate) fn found(&self, key: &Key, age: Span) -> Found {
        let item = self.items.get(key).cloned();
        let named = item.map(|item| Named {
            key: key.clone(),
            item,
        });
        Found {
            items: named.into_iter().collect(),
            next: None,
            revision: self.revision,
            age,
        }
    }

    /// One page of the items that match, in order of names. Costs O(items of the kind).
    pub fn list(&self, filter: &Filter, after: Option<&str>, limit: u32, age: Span) -> Found {
        let key = |name: &str| Key {
            kind: filter.kind,
            name: name.to_owned(),
        };
        let prefix = match &filter.names {
            Pattern::All => "",
            Pattern::Prefix(prefix) => prefix,
            Pattern::Glob(glob) => glob.split(['*', '?']).next().unwrap_or_default(),
        };
        let first = match after {
            Some(after) if after >= prefix => Bound::Excluded(key(after)),
            Some(_) | None => Bound::Included(key(prefix)),
        };
        let candidates = self.items.range((first, Bound::Unbounded));
        let candidates = candidates
            .take_while(|(key, _)| key.kind == filter.kind && key.name.starts_with(prefix));
        let mut page = Found {
            items: Vec::new(),
            next: None,
            revision: self.revision,
            age,
        };
        let limit = (limit.max(1) as usize).min(PAGE_ITEMS_MAX);
        let mut bytes = 0;
        for (key, item) in candidates.filter(|(key, _)| matches(&filter.names, &key.name)) {
            if page.items.len() >= limit || bytes >= PAGE_BYTES_MAX {
                page.next = page.items.last().map(|named| named.key.name.clone());
                break;
            }
            bytes += encode(&(key, item)).len();
            page.items.push(Named {
                key: key.clone(),
                item: item.clone(),
            });
        }
        page
    }

    /// The changes after `since` that match, up to a page, and the revision up to which there are no others.
    ///
    /// # Errors
    /// They are no longer kept; the first revision after which all are.
    pub fn changes(
        &self,
        since: Revision,
        filter: &Filter,
    ) -> Result<(Vec<Change>, Revision), Revision> {
        let kept = self.changes.len() as u64;
        let oldest = Revision(self.revision.0 - kept);
        if since < oldest {
            return Err(oldest);
        }
        let skipped = (since.0 - oldest.0).min(kept) as usize;
        let (mut changes, mut upto, mut bytes) = (Vec::new(), since.max(self.revision), 0);
        for change in self.changes.range(skipped..) {
            if changes.len() >= PAGE_ITEMS_MAX || bytes >= PAGE_BYTES_MAX {
                upto = Revision(change.revision.0 - 1);
                break;
            }
            if change.key.kind == filter.kind && matches(&filter.names, &change.key.name) {
                bytes += encode(change).len();
                changes.push(change.clone());
            }
        }
        Ok((changes, upto))
    }
}

fn matches(pattern: &Pattern, name: &str) -> bool {
    match pattern {
        Pattern::All => true,
        Pattern::Prefix(prefix) => name.starts_with(prefix),
        Pattern::Glob(glob) => glob_matches(glob, name),
    }
}

/// Whether `name` matches `glob` wholly. Costs at most the product of their lengths: one star is open at a time.
fn glob_matches(glob: &str, name: &str) -> bool {
    let (glob, name): (Vec<char>, Vec<char>) = (glob.chars().collect(), name.chars().collect());
    let (mut g, mut n) = (0, 0);
    // Where the last star stands, and up to where it has been stretched.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match glob.get(g) {
            Some('*') => {
                star = Some((g, n));
                g += 1;
            }
            Some(c) if *c == '?' || *c == name[n] => {
                g += 1;
                n += 1;
            }
            Some(_) | None => {
                let Some((at, upto)) = star else {
                    return false;
                };
                star = Some((at, upto + 1));
                g = at + 1;
                n = upto + 1;
            }
        }
    }
    glob[g..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::glob_matches;

    #[test]
    fn a_star_is_any_text_and_a_question_mark_is_one_character() {
        for (glob, name, wanted) in [
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("a*b", "a-x-b", true),
            ("a*b", "a-x-bc", false),
            ("*fold*", "my-folding-2", true),
            ("p?", "p1", true),
            ("p?", "p", false),
            ("*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
            ("a**", "a", true),
        ] {
            assert_eq!(glob_matches(glob, name), wanted, "{glob} {name}");
        }
    }
}
