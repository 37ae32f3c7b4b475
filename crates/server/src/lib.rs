//! The web server: it owns every client connection, serves files, and hands dynamic requests to application workers.
//!
//! A request's way through the modules: [`listener`](config::Listen) → connection → router → mount (files, or an
//! application's worker pool over a link) → and back through the connection. Each I/O thread runs that whole way for its own
//! connections without locks; only the worker pools and the log are shared.

mod compression;
pub mod config;
mod connection;
mod descriptors;
mod error;
mod exchange;
#[cfg(fuzzing)]
pub mod fuzzing;
mod generation;
mod held;
mod listener;
pub mod log;
mod mounts;
pub mod passing;
mod request_id;
mod router;
mod server;
mod spool;
mod syscall;
mod thread;
mod trusted;
mod usage;

pub use error::{Error, ErrorKind};
pub use listener::Address;
pub use server::{Event, Pulse, Server, Status, WorkerEnds, WorkerLoad, block_signals};
pub use thread::blocking::silent;
pub use trusted::trusted_proxy_fault;
pub use usage::Usage;
