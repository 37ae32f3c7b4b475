//! The napi-rs binding, thin: start and close the core, make and remove workers; a worker's receive and flush.
//!
//! Nothing here runs on threads of its own, and nothing of napi's asynchronous runtime is used: what the core has to tell and
//! what a link receives come through `uv_poll` on the loop of the JavaScript thread that asked for it.

#![expect(unreachable_pub, reason = "what #[napi] exports is reached from JavaScript")]

mod constants;
mod core;
mod link;
mod process;
mod uv;
mod watch;
