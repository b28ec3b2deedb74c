//! Which known word an unknown one was meant to be.

/// What to say about `word`, of which nobody knows: the nearest of `known`, or all of them if none is near.
pub(super) fn advice<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> String {
    let mut known: Vec<&str> = known.collect();
    known.sort_unstable();
    known.dedup();
    let nearest = known.iter().min_by_key(|other| distance(word, other));
    match nearest {
        Some(nearest) if is_near(word, nearest) => format!("the nearest is `{nearest}`"),
        Some(only) if known.len() == 1 => format!("the only one is `{only}`"),
        Some(_) => format!("there are {}", quoted(&known)),
        None => "there are none".to_owned(),
    }
}

/// The few of `known` that are nearest to `word`, quoted.
pub(super) fn nearest_few<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> String {
    let mut known: Vec<&str> = known.collect();
    known.sort_by_key(|other| distance(word, other));
    known.truncate(FEW);
    quoted(&known)
}

/// Whether one was likely meant by the other: a third of its letters differ at most, or two.
pub(super) fn is_near(word: &str, other: &str) -> bool {
    let length = other.chars().count();
    distance(word, other) <= (length / 3).max(usize::from(length > 3) + 1).min(4)
}

fn quoted(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    quoted.join(", ")
}

/// How many letters must be put in, left out or replaced to make one out of the other, by Wagner and Fischer.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (above, a) in one.chars().enumerate() {
        let mut diagonal = above;
        row[0] = above + 1;
        for (at, b) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[at + 1];
            row[at + 1] = replaced.min(row[at] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

/// As many as a sentence bears.
const FEW: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_counted_in_letters() {
        for (one, other, wanted) in [
            ("", "abc", 3),
            ("machnes", "machines", 1),
            ("machines", "machnes", 1),
            ("kitten", "sitting", 3),
            ("run", "run", 0),
        ] {
            assert_eq!(distance(one, other), wanted, "{one} {other}");
        }
    }

    #[test]
    fn advice_names_the_nearest_or_all() {
        let known = ["speed", "site", "cores"];
        assert_eq!(advice("core", known.into_iter()), "the nearest is `cores`");
        assert_eq!(
            advice("colour_of_hair", known.into_iter()),
            "there are `cores`, `site`, `speed`"
        );
    }
}
