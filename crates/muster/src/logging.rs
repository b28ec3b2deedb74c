//! Where logs go: standard error, as text or JSON lines.

use std::io;

use tracing_subscriber::EnvFilter;

/// How a process logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voice {
    /// A person's command: only what needs attention.
    Command,
    /// A daemon, in lines for people.
    Daemon,
    /// A daemon, in lines of JSON.
    DaemonJson,
}

/// Begins logging; `MUSTER_LOG` overrides what is logged, in the syntax of `RUST_LOG`.
pub fn begin(voice: Voice) {
    let level = match voice {
        Voice::Command => "warn",
        Voice::Daemon | Voice::DaemonJson => "info",
    };
    let filter = EnvFilter::try_from_env("MUSTER_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(io::stderr);
    // Fails only if logging has begun before, which a process does once.
    let _begun = match voice {
        Voice::Command => builder.without_time().with_target(false).try_init(),
        Voice::Daemon => builder.try_init(),
        Voice::DaemonJson => builder.json().flatten_event(true).try_init(),
    };
}
