//! TLS without I/O: bytes in, events and bytes out.
//!
//! The only place where the library underneath, rustls, is named: what the server sees are [`Certificates`] and [`Session`]s. The library's
//! unbuffered interface works in the caller's buffers, so that an idle session owns none.

mod certificates;
mod challenges;
mod clients;
mod failure;
mod outgoing;
mod session;
mod tickets;

pub use certificates::{
    Asked, Certificates, Described, Given, MinVersion, Policy, Refused, describe,
};
pub use challenges::{Challenge, Challenges};
pub use clients::{Authority, ClientCertificate, DescribedClients, GivenClients, describe_clients};
pub use failure::Failure;
pub use gwanmun_certificates::{ClientFacts, Fault};
pub use outgoing::Outgoing;
pub use session::{Ended, Established, MOST_HELD, RECORD, Received, Session};
pub use tickets::TicketKeys;
