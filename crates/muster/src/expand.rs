//! From one command line to many: sources of arguments, and the holes in words that they fill.
//!
//! The habits are GNU parallel's, less the shell: a word stays one word whatever is put into it, and nothing is quoted
//! or split. Sources are held, expanded tasks are not: any row is computed from its number, so a million tasks cost
//! what their sources cost.
//!
//! Everything here is pure; files are read by a function that the caller brings.

mod csv;
mod holes;
mod sources;

pub use holes::{Pattern, Words};
pub use sources::{BadSources, Column, Group, Row, Sources, split};

#[cfg(test)]
mod tests;
