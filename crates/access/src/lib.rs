//! Who may enter. No socket, no clock of its own: what is asked is answered from what was built of the configuration.

mod addresses;
mod basic;
mod networks;
mod passwords;
mod rates;

pub use addresses::AddressRules;
pub use basic::{Basic, Credentials, Fingerprint, network_of};
pub use networks::{Entry, UNIX, entry_fault};
pub use passwords::{UserFault, Users, hash_password};
pub use rates::{Pace, Rates};
