//! Sans-I/O HTTP/1.1: head parsing, framing, chunked coding, response heads.
//!
//! Bytes in, events out: nothing here reads a socket, a clock or a log, so all of it can be fuzzed and tested without
//! one. `httparse` finds the fields of a head; it is lenient (bare LF, any target), and the strictness of RFC 9112 is
//! added here. What is not plainly right is refused with a [`Rejection`], after which the connection must be closed: no
//! byte behind a refused message has a known meaning.

pub mod path;
pub mod response;

mod chunked;
mod forwarded;
mod framing;
mod host;
mod rejection;
mod request;
mod request_line;
mod response_head;
mod span;
mod syntax;

pub use chunked::{Chunk, ChunkedDecoder};
pub use forwarded::{Authority, Forwarded, port_behind, read_forwarded};
pub use framing::Body;
pub use rejection::Rejection;
pub use request::{Limits, RequestHead, parse_request};
pub use request_line::{TargetForm, Version};
pub use response_head::{ResponseHead, ResponseHeadError, parse_response_head};
pub use span::{HeaderSpan, Span};
