//! The driver, bulk transfers and the client, tried with toy machines over loopback.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a test names what it expects; anything else fails it"
)]

mod driver {
    pub mod toy;

    mod bulk;
    mod client;
    mod lies;
    mod links;
    mod parts;
}
