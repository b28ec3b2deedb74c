//! The smallest task there is: a static program without a C library that exits with 0.
//!
//! An ordinary `true` spends most of its life in the start-up code of the C library, so it measures that and not the
//! system which runs it. `cargo xtask compare` therefore runs this one too. It is no member of the workspace, because
//! `cargo test` could not build it: it has neither `main` nor the standard library. `compare` makes it with nothing
//! but rustc and a linker:
//!
//! ```text
//! rustc --edition 2024 -C opt-level=z -C panic=abort -C relocation-model=static \
//!     -C link-args="-nostartfiles -nostdlib -static" -o null null.rs
//! ```

#![no_std]
#![no_main]

use core::arch::asm;
use core::panic::PanicInfo;

/// Where the kernel enters: leaves at once.
#[unsafe(no_mangle)]
pub extern "C" fn _start() -> ! {
    exit()
}

#[cfg(target_arch = "x86_64")]
fn exit() -> ! {
    // SAFETY: `exit` (number 60) takes one integer, touches no memory of ours and does not return.
    unsafe { asm!("syscall", in("rax") 60, in("rdi") 0, options(noreturn, nostack)) }
}

#[cfg(target_arch = "aarch64")]
fn exit() -> ! {
    // SAFETY: `exit` (number 93) takes one integer, touches no memory of ours and does not return.
    unsafe { asm!("svc 0", in("x8") 93, in("x0") 0, options(noreturn, nostack)) }
}

#[panic_handler]
fn panic(_: &PanicInfo) -> ! {
    exit()
}
