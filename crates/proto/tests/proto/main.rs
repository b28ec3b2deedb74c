//! The wire, tried: its bytes are frozen, its limits hold, and nothing a peer sends can hurt.

mod allowed;
mod batch;
mod catalog;
mod counting;
mod draw;
mod golden;
mod hostile;
mod samples;
mod weight;

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

/// How often a property is tried: enough to meet its corners, few enough for every run of the tests.
fn tries(cases: u32) -> proptest::test_runner::Config {
    proptest::test_runner::Config {
        cases,
        failure_persistence: None,
        rng_seed: proptest::test_runner::RngSeed::Fixed(20_260_101),
        ..Default::default()
    }
}
