//! Application mounts: requests wait in a pool until a worker has a free slot, then cross to it over a link.

mod dispatch;
mod frames;
pub(crate) mod link;
pub(crate) mod memory;
pub(crate) mod pool;
