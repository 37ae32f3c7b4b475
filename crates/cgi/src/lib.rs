//! Sans-I/O CGI (RFC 3875), as programs know it that are started for each request, and those that speak FastCGI.
//!
//! - [`variables`]: a request as the meta-variables that a program gets.
//! - [`scripts`]: which part of a path names a script, and which files are scripts.
//! - [`response`]: the head of what a program answers.

pub mod response;
pub mod scripts;
pub mod variables;
