//! What answers for a path: files, an application's workers.

pub(crate) mod application;
