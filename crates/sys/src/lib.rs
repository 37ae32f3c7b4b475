//! What the core asks of the operating system, whatever for: system calls on sockets, descriptors that are passed from process to process, who
//! may have the last descriptors, signals, other programs.

pub mod descriptors;
pub mod passing;
pub mod process;
mod signals;
pub mod syscall;

pub use signals::block_signals;
