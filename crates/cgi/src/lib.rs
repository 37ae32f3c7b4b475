//! Sans-I/O CGI (RFC 3875), as programs know it that are started for each request, and those that speak FastCGI.
//!
//! - [`variables`]: a request as the meta-variables that a program gets.
//! - [`response`]: the head of what a program answers.

pub mod response;
pub mod variables;
