//! What is done to a response on its way, whoever answers and whoever has asked. A filter knows heads and bytes; in which order they come, and where they
//! go, is [`deliver`](crate::exchange::deliver)'s.

pub(crate) mod compress;
pub(crate) mod cors;
pub(crate) mod head;
pub(crate) mod rules;
pub(crate) mod sendfile;
