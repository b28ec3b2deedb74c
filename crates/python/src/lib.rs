//! The Python face: Muster's master and client as the extension module `muster._core`.
//!
//! Two packages stand on it: `muster`, for new programs, and a drop-in `work_queue`, for those written for that
//! system. This crate adds no behaviour to the client of `muster-node`, only a face: what is asked for by Python
//! objects is handed to threads of Rust, and what comes back waits in a queue until Python takes it.
//!
//! A [`core::Core`] has up to three threads: `home` owns a master, `line` speaks with a master as a user does, `sites`
//! keeps the process alive that keeps foremen and workers alive. None of them ever holds Python's lock.

use pyo3::prelude::*;

mod core;
mod home;
mod line;
mod outcome;
mod shared;
mod sites;
mod spec;
mod stage;

/// The low level of the package `muster`.
#[pymodule]
mod _core {
    #[pymodule_export]
    use super::core::{Core, MusterError, make_authority};
    #[pymodule_export]
    use super::outcome::Outcome;
    #[pymodule_export]
    use super::spec::Template;
}
