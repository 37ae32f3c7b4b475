//! Sans-I/O HTTP/1.1: head parsing, framing, chunked coding, response heads.
