//! The napi-rs binding, thin: start and close the core, make and remove workers; a worker's receive and flush.
//!
//! Nothing of napi's asynchronous runtime is used: what the core has to tell and what a link receives come through `uv_poll` on the
//! loop of the JavaScript thread that asked for it. Only who asks where a worker's code is has a thread (`interrupt.rs`).

#![expect(unreachable_pub, reason = "what #[napi] exports is reached from JavaScript")]

mod constants;
mod core;
mod interrupt;
mod link;
mod process;
mod uv;
mod watch;
