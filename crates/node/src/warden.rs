//! How a worker executes tasks: fast, and with no survivors.
//!
//! A worker is a large process with many threads; it never forks. It starts one small process, the *mother*, which
//! is its own executable again, and the mother makes one *warden* per slot. A warden is process 1 of a PID namespace
//! of its own, has a single thread and runs one task after another. When a task has ended the warden kills whatever
//! else lives in its namespace; when the warden dies, for whatever reason, the kernel does. Wardens die with the
//! mother and the mother dies with the worker, by the parent-death signal, so there is no order of deaths in which a
//! process of a task stays behind, were it a daemon in a session of its own.
//!
//! The worker talks to each warden over a stream socket of its own in frames of [`ToWarden`] and [`FromWarden`].
//! What is told to a warden is trusted; what a task leaves in its sandbox is not.
//!
//! Begin with [`Nursery`], then `slot` (the warden's loop). `docs/decisions/0002-warden.md` says why it is so, and
//! what tasks notice of it. Limits of memory and processor time are not here.

mod collect;
mod execute;
mod glob;
mod message;
mod mother;
mod nursery;
mod quota;
mod sandbox;
mod server;
mod slot;
mod spares;
mod streams;
mod sweep;
mod sys;
mod unpack;

#[cfg(test)]
mod tests;

pub use message::{
    Confinement, Decoder, End, Ended, FRAME_BYTES_MAX, FromWarden, Malformed, Missing,
    RUNS_QUEUED_MAX, Run, ToWarden, Why, encode,
};
pub use mother::main_mother;
pub use nursery::{Nursery, Places, WardenLink};
