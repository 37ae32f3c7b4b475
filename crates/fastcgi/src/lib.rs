//! Sans-I/O FastCGI 1.0, the web server's side: one request on a connection, and what comes back.
//!
//! Requests are never multiplexed, and nothing is asked of the application but to answer: php-fpm loses a child, or runs a script without its body,
//! when it is (F8, F9).

mod records;
mod request;

pub use records::{Event, ProtocolError, Reader, Status};
pub use request::{HEADER, MAX_BODY, begin, end_of_body, params, stdin_header};

const VERSION: u8 = 1;
/// The one request of a connection (F7).
const REQUEST: u16 = 1;

const BEGIN_REQUEST: u8 = 1;
const END_REQUEST: u8 = 3;
const PARAMS: u8 = 4;
const STDIN: u8 = 5;
const STDOUT: u8 = 6;
const STDERR: u8 = 7;
