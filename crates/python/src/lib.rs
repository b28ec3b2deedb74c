//! The Python face: Muster's client as an extension module.
//!
//! There is nothing here yet. Until there is, Python programs use the command `muster`.
//!
//! This crate will hold the extension behind two packages: `muster`, for new programs, and a drop-in `work_queue`,
//! for those written for that system. It will add no behaviour to the client of `muster-node`, only a face.
