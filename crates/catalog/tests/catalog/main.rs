//! Stories and storms of the catalog, and the bytes it must survive and keep. Its world is `muster_sim::catalog`.

mod directory;
mod golden;
mod hostile;
mod replicas;
mod storms;
