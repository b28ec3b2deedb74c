//! Patterns for the last component of an output's name.

/// Whether `name` has a character that makes it a pattern.
pub(super) fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?', '['])
}

/// Whether `name` matches `pattern`, as a shell would: `*` any run of characters, `?` one, `[a-z]` and `[!a-z]` one
/// of a set; a leading dot only by a leading dot. A `[` that is never closed is itself.
///
/// Costs at most the product of the two lengths.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    if name.starts_with('.') && !pattern.starts_with('.') {
        return false;
    }
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    let (mut p, mut n) = (0, 0);
    // Where to resume when what follows the last star does not fit: after that star, one character further on.
    let mut resume = None;
    while n < name.len() {
        if pattern.get(p) == Some(&'*') {
            p += 1;
            resume = Some((p, n));
        } else if let Some(after) = one(&pattern, p, name[n]) {
            p = after;
            n += 1;
        } else if let Some((star, from)) = resume {
            p = star;
            n = from + 1;
            resume = Some((star, n));
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|&c| c == '*')
}

/// Where the pattern goes on if its element at `at`, which is no star, takes `c`.
fn one(pattern: &[char], at: usize, c: char) -> Option<usize> {
    match *pattern.get(at)? {
        '?' => Some(at + 1),
        '[' => match close(pattern, at) {
            Some(end) => set_has(&pattern[at + 1..end], c).then_some(end + 1),
            None => (c == '[').then_some(at + 1),
        },
        literal => (literal == c).then_some(at + 1),
    }
}

/// Where the set that opens at `open` closes; a `]` that comes first is a member.
fn close(pattern: &[char], open: usize) -> Option<usize> {
    let negated = matches!(pattern.get(open + 1), Some('!' | '^'));
    let first = open + 2 + usize::from(negated);
    (first..pattern.len()).find(|&i| pattern[i] == ']')
}

fn set_has(set: &[char], c: char) -> bool {
    let (members, wanted) = match set {
        ['!' | '^', rest @ ..] => (rest, false),
        _ => (set, true),
    };
    let mut found = false;
    let mut i = 0;
    while i < members.len() {
        if i + 2 < members.len() && members[i + 1] == '-' {
            found |= (members[i]..=members[i + 2]).contains(&c);
            i += 3;
        } else {
            found |= members[i] == c;
            i += 1;
        }
    }
    found == wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_what_they_mean_to_a_shell() {
        for (pattern, yes, no) in [
            (
                "*.dat",
                &["a.dat", "a.b.dat"][..],
                &["a.dat2", ".dat", ".x.dat", "dat"][..],
            ),
            (".*", &[".x"], &["x"]),
            ("a?c", &["abc", "aéc"], &["ac", "abbc"]),
            ("run[0-9]*", &["run1", "run12x"], &["run", "runx"]),
            ("[!a-c]x", &["dx"], &["ax", "cx", "x"]),
            ("[]x]", &["]", "x"], &["[", "y"]),
            ("[a-]", &["a", "-"], &["b"]),
            ("a[b", &["a[b"], &["ab"]),
            ("*a*b*c", &["abc", "xaxbxc", "aabbcc"], &["acb", "abcx"]),
            ("*", &["", "x"], &[".x"]),
        ] {
            for name in yes {
                assert!(matches(pattern, name), "{pattern} takes {name}");
            }
            for name in no {
                assert!(!matches(pattern, name), "{pattern} refuses {name}");
            }
        }
    }

    #[test]
    fn a_hostile_pattern_costs_no_more_than_the_product() {
        let pattern = "a*".repeat(500) + "b";
        assert!(!matches(&pattern, &"a".repeat(2_000)));
    }
}
