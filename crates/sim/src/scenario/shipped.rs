//! The scenarios that come with the program.

/// Names and texts, the talk's own first.
pub const SHIPPED: [(&str, &str); 6] = [
    (
        "folding-at-work",
        include_str!("../../scenarios/folding-at-work.toml"),
    ),
    (
        "folding-wide",
        include_str!("../../scenarios/folding-wide.toml"),
    ),
    (
        "replica-exchange",
        include_str!("../../scenarios/replica-exchange.toml"),
    ),
    (
        "flat-vs-hierarchy",
        include_str!("../../scenarios/flat-vs-hierarchy.toml"),
    ),
    ("campuses", include_str!("../../scenarios/campuses.toml")),
    ("million", include_str!("../../scenarios/million.toml")),
];

/// The text of the scenario that ships under this name.
pub fn shipped(name: &str) -> Option<&'static str> {
    let found = SHIPPED.iter().find(|(known, _)| *known == name);
    found.map(|(_, text)| *text)
}
