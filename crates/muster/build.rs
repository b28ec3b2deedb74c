//! Compiles the external program of `muster demo`, so that the `muster` binary can carry it.
//!
//! A fresh clone runs the demo with one cargo command, and a binary that was copied somewhere runs it without a clone.
//! The program is compiled by plain `rustc`: it has no dependencies, and cargo cannot make the binary of one package an
//! input of another.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    let root = Path::new(&wanted("CARGO_MANIFEST_DIR")).join("../../examples/gomodel");
    println!("cargo::rerun-if-changed={}", root.join("src").display());
    println!("cargo::rerun-if-changed=build.rs");
    let program = PathBuf::from(wanted("OUT_DIR")).join("gomodel");
    let mut rustc = Command::new(wanted("RUSTC"));
    rustc
        .args(["--crate-name", "gomodel", "--edition", "2024"])
        .args([
            "-C",
            "opt-level=3",
            "-C",
            "strip=symbols",
            "-C",
            "panic=abort",
        ])
        .arg("-o")
        .arg(&program)
        .arg(root.join("src/main.rs"));
    let (host, target) = (wanted("HOST"), wanted("TARGET"));
    if host != target {
        rustc.arg("--target").arg(target);
    }
    let status = rustc.status().expect("rustc, which cargo named, starts");
    assert!(
        status.success(),
        "examples/gomodel does not compile: {status}"
    );
}

fn wanted(variable: &str) -> OsString {
    env::var_os(variable).unwrap_or_else(|| panic!("cargo sets {variable} for build scripts"))
}
