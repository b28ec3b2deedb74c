//! The catalog: the directory in which masters, foremen and workers find each other by name.
//!
//! There is nothing here yet. Until there is, processes are told the addresses of their superiors.
//!
//! This crate will hold the directory as a pure state machine: projects and sites as leases that their owners
//! renew, watches without gaps, commands applied once, replicated over one, three or five nodes by Raft, whose
//! messages travel as frames of ours. It will have no socket, no file and no clock of its own, like every brain.
