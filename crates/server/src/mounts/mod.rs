//! What a route can lead to.

pub mod files;
