//! The napi-rs binding, thin: start and close the core, make and remove workers; a worker's receive and flush.
//!
//! Nothing here runs on threads of its own, and nothing of napi's asynchronous runtime is used: what the core has to tell and
//! what a link receives come through `uv_poll` on the loop of the JavaScript thread that asked for it.

#![expect(unsafe_code, reason = "Node-API and libuv are C")]
#![expect(unreachable_pub, reason = "napi exports to JavaScript what no other crate reaches")]

mod constants;
mod core;
mod link;
mod process;
mod uv;
mod watch;
