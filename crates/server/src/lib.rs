//! The web server: it owns every client connection, serves files, and hands dynamic requests to application workers.
//!
//! A request's way through the modules: [`listener`](config::Listen) → connection → router → mount (files, or an
//! application's worker pool over a link) → and back through the connection. Each I/O thread runs that whole way for its own
//! connections without locks; only the worker pools and the log are shared.

mod clients;
pub mod config;
mod error;
mod exchange;
mod filters;
mod generation;
mod listener;
mod mounts;
mod peer;
mod pools;
mod request_id;
mod router;
mod server;
mod shared;
mod spool;
mod thread;
mod transport;
mod trusted;
mod upstreams;
mod usage;

pub use error::{Error, ErrorKind};
pub use gwanmun_access::{entry_fault as network_fault, hash_password};
pub use gwanmun_tls::{
    Authority, Challenge as TlsChallenge, Described as CertificateFacts, DescribedClients,
    Given as GivenCertificate, GivenClients,
};
pub use listener::Address;
pub use pools::memory::Pulse;
pub use server::{
    GivenTls, Server, Status, WorkerEnds, WorkerLoad, read_authorities, read_certificate,
};
pub use shared::Event;
pub use shared::challenges::HttpChallenge;
pub use shared::task::{Part, TaskAnswer, TaskRequest};
pub use usage::{Handshakes, Usage};
