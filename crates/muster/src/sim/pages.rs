//! Large pages for large worlds.
//!
//! A million workers take ten gigabytes in small pieces, and each event touches some dozens of them at random: with
//! pages of 4 KiB the processor spends as long finding where they are as reading them. The system's allocator asks
//! for pages of 2 MiB if it is told to before the process starts, by a variable of the environment, and in no
//! other way.

use std::env;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// The C library's switches, and the one that has it ask for large pages (glibc 2.35 and later; others ignore it).
const SWITCHES: &str = "GLIBC_TUNABLES";
const LARGE_PAGES: &str = "glibc.malloc.hugetlb=1";

/// Starts this process anew with large pages, unless the switches are set already; goes on if that cannot be done.
pub(super) fn ask_for_large() {
    if env::var_os(SWITCHES).is_some() {
        return;
    }
    let Ok(program) = env::current_exe() else {
        return;
    };
    let why = Command::new(program)
        .args(env::args_os().skip(1))
        .env(SWITCHES, LARGE_PAGES)
        .exec();
    tracing::debug!(%why, "going on with small pages");
}
