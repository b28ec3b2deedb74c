//! Tables of comma-separated values, by RFC 4180.

/// Reads `text` as rows of fields: fields may be quoted, quotes in them are doubled, and a quoted field may hold commas
/// and line ends. Empty lines are no rows. `None` if a quote is never closed.
pub(super) fn rows(text: &str) -> Option<Vec<Vec<String>>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut rows = Vec::new();
    let mut row = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (field, after) = field(rest)?;
        row.push(field);
        rest = match after.strip_prefix(',') {
            Some("") => {
                row.push(String::new());
                ""
            }
            Some(next) => {
                rest = next;
                continue;
            }
            None => after
                .strip_prefix("\r\n")
                .or_else(|| after.strip_prefix('\n'))
                .unwrap_or(after),
        };
        if row.iter().any(|field| !field.is_empty()) {
            rows.push(std::mem::take(&mut row));
        }
        row.clear();
    }
    Some(rows)
}

/// The first field of `text`, and what follows it: a comma, a line end or nothing.
fn field(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut rest = text;
    if let Some(quoted) = text.strip_prefix('"') {
        rest = quoted;
        loop {
            let end = rest.find('"')?;
            value.push_str(&rest[..end]);
            rest = &rest[end + 1..];
            match rest.strip_prefix('"') {
                Some(more) => {
                    value.push('"');
                    rest = more;
                }
                None => break,
            }
        }
    }
    // What follows a closing quote up to the comma is taken as it stands.
    let end = rest.find([',', '\n']).unwrap_or(rest.len());
    let end = match rest[..end].strip_suffix('\r') {
        Some(before) if rest[end..].starts_with('\n') => before.len(),
        Some(_) | None => end,
    };
    value.push_str(&rest[..end]);
    Some((value, &rest[end..]))
}
