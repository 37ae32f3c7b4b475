//! Sans-I/O gateway protocol: what crosses between the web server and an application worker.
//!
//! `docs/gateway-protocol.md` is the specification; this crate is its one implementation in Rust. It knows neither
//! sockets nor HTTP: bytes in, frames out.
//!
//! - [`frame`]: the frame header, writing frames, splitting received bytes into frames.
//! - [`request`]: the core's HEAD payload: a table of offsets over the text of a request head.
//! - [`response`]: what a worker may send, decoded and checked like network input.
//! - [`pairs`]: the same head as the environ it becomes.
//! - [`names`]: ids for recurring sequences of header names.

pub mod frame;
pub mod names;
pub mod pairs;
pub mod request;
pub mod response;

/// The version that HELLO carries in both directions.
pub const VERSION: u32 = 1;
/// HELLO, worker → core: the worker reads request heads as a table of offsets.
pub const ENCODING_OFFSETS: u32 = 1;
/// HELLO's capabilities, worker → core: the worker wants CLOSED.
pub const CAPABILITY_CLOSED: u32 = 1;
/// HELLO's capabilities, worker → core: the worker reads pieces of bodies from the shared buffers.
pub const CAPABILITY_SHARED: u32 = 2;
/// HELLO, worker → core: the worker reads request heads as environ pairs.
pub const ENCODING_PAIRS: u32 = 2;
/// Bytes of body that each side may send on a stream before it gets CREDIT.
pub const WINDOW: u32 = 256 * 1024;
/// The same for a response that has to wait behind others: a client that pipelines has the core keep no more of each.
pub const NARROW_WINDOW: u32 = 8 * 1024;
/// Distance in bytes between two links' started marks in the shared page: one cache line each.
pub const MARK_STRIDE: usize = 64;
/// Where in the page a worker counts the beats of its event loop, in bytes: behind the first link's mark.
pub const PULSE_BEATS: usize = 32;
/// Where it says by how many milliseconds the last one was late.
pub const PULSE_LAG: usize = 36;
/// Size in bytes of the shared page of started marks.
pub const MARK_PAGE: usize = 4096;
/// Buffers that each link has in the shared memory, behind the page: enough for as many clients that upload at once. With fewer,
/// more pieces go through the socket.
pub const SHARED_BUFFERS: usize = 16;
/// Size in bytes of a shared buffer: a header, and as much as a frame's payload.
pub const SHARED_BUFFER: usize = frame::MAX_FRAME;
/// Where in a shared buffer the bytes of a piece are. The header before them begins with a u32, 0 when the buffer is the core's.
pub const SHARED_BYTES: usize = frame::HEADER;
