//! Stories and storms of the catalog, and the bytes it must survive and keep.

mod chance;
mod clients;
mod directory;
mod golden;
mod hostile;
mod linear;
mod operator;
mod replicas;
mod storm;
mod weather;
mod world;
