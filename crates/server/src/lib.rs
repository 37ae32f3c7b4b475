//! The web server.

pub mod log;
pub mod mounts;
