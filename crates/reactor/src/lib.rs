//! What an event loop is made of, without a word of HTTP: epoll, things by key, buffers, the clock, messages between threads, threads that may
//! wait, and open files whose closing may.

pub mod arena;
pub mod blocking;
pub mod buffers;
pub mod clock;
pub mod epoll;
mod held;
pub mod mailbox;
pub mod trim;

pub use held::HeldFile;
