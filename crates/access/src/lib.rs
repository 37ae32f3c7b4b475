//! Who may enter. No socket, no clock of its own: what is asked is answered from what was built of the configuration.

mod addresses;
mod networks;

pub use addresses::AddressRules;
pub use networks::{Entry, UNIX, entry_fault};
