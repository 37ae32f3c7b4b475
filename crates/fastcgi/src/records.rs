//! Reading a response.

use crate::{END_REQUEST, REQUEST, STDERR, STDOUT, VERSION};
use std::fmt;

/// What comes back of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    Stdout(&'a [u8]),
    Stderr(&'a [u8]),
    /// The request is over. Nothing may follow (F14).
    End {
        exit: u32,
        status: Status,
    },
}

/// How an application is done with a request (F13).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Complete,
    /// It takes one request at a time on a connection.
    CannotMultiplex,
    Overloaded,
    UnknownRole,
}

/// An application does not speak FastCGI as it is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProtocolError(&'static str);

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for ProtocolError {}

/// Takes records apart, wherever they are cut (F2). Contents go on as they come: a record is never kept whole.
#[derive(Debug, Default)]
pub struct Reader {
    header: [u8; 8],
    /// Bytes of the header that have come.
    have: usize,
    /// Bytes of the record's content that have not.
    content: usize,
    padding: usize,
    /// The content of END_REQUEST.
    ending: [u8; 8],
    ended: bool,
}

impl Reader {
    /// The next event in `bytes`, of which it takes what it has read. `None`: all is read.
    ///
    /// # Errors
    /// The application breaks a rule. The connection is of no more use.
    pub fn next<'a>(&mut self, bytes: &mut &'a [u8]) -> Result<Option<Event<'a>>, ProtocolError> {
        while !bytes.is_empty() {
            if self.ended && self.have == 0 {
                return Err(ProtocolError("it goes on after the end of the request"));
            }
            if self.have < 8 {
                let count = (8 - self.have).min(bytes.len());
                let (taken, rest) = bytes.split_at(count);
                self.header[self.have..self.have + count].copy_from_slice(taken);
                self.have += count;
                *bytes = rest;
                if self.have < 8 {
                    break;
                }
                self.begin()?;
                if self.content + self.padding == 0 {
                    self.have = 0;
                }
                continue;
            }
            if self.content > 0 {
                let (taken, rest) = bytes.split_at(self.content.min(bytes.len()));
                *bytes = rest;
                self.content -= taken.len();
                let is_whole = self.content == 0;
                if is_whole && self.padding == 0 {
                    self.have = 0;
                }
                match self.kind() {
                    Some(STDOUT) => return Ok(Some(Event::Stdout(taken))),
                    Some(STDERR) => return Ok(Some(Event::Stderr(taken))),
                    Some(END_REQUEST) => {
                        let at = 8 - self.content - taken.len();
                        self.ending[at..at + taken.len()].copy_from_slice(taken);
                        if is_whole {
                            self.ended = true;
                            return self.end().map(Some);
                        }
                    }
                    // About the application as a whole, and not asked for (F17).
                    _ => {}
                }
                continue;
            }
            let (taken, rest) = bytes.split_at(self.padding.min(bytes.len()));
            *bytes = rest;
            self.padding -= taken.len();
            if self.padding == 0 {
                self.have = 0;
            }
        }
        Ok(None)
    }

    /// Whether END_REQUEST has come.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// The record's kind; none: it is not about the request.
    fn kind(&self) -> Option<u8> {
        (u16::from_be_bytes([self.header[2], self.header[3]]) != 0).then_some(self.header[1])
    }

    /// A record's header is there.
    fn begin(&mut self) -> Result<(), ProtocolError> {
        let [version, kind, ..] = self.header;
        if version != VERSION {
            return Err(ProtocolError("a record is not of version 1: it does not speak FastCGI"));
        }
        let request = u16::from_be_bytes([self.header[2], self.header[3]]);
        self.content = usize::from(u16::from_be_bytes([self.header[4], self.header[5]]));
        self.padding = usize::from(self.header[6]);
        match (request, kind) {
            (0, _) | (REQUEST, STDOUT | STDERR) => Ok(()),
            (REQUEST, END_REQUEST) if self.content == 8 => Ok(()),
            (REQUEST, END_REQUEST) => Err(ProtocolError("END_REQUEST has a wrong length")),
            (REQUEST, _) => Err(ProtocolError("a record is of an unknown type")),
            _ => Err(ProtocolError("a record is of a request that there is not")),
        }
    }

    fn end(&self) -> Result<Event<'static>, ProtocolError> {
        let [a, b, c, d, status, ..] = self.ending;
        let status = match status {
            0 => Status::Complete,
            1 => Status::CannotMultiplex,
            2 => Status::Overloaded,
            3 => Status::UnknownRole,
            _ => return Err(ProtocolError("END_REQUEST has an unknown status")),
        };
        Ok(Event::End { exit: u32::from_be_bytes([a, b, c, d]), status })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u8, request: u8, content: &[u8], padding: u8) -> Vec<u8> {
        let [a, b] = (content.len() as u16).to_be_bytes();
        let mut out = vec![1, kind, 0, request, a, b, padding, 0];
        out.extend_from_slice(content);
        out.extend(vec![0xee; padding.into()]);
        out
    }

    fn end(exit: u32, status: u8) -> Vec<u8> {
        let mut content = exit.to_be_bytes().to_vec();
        content.extend([status, 0, 0, 0]);
        record(3, 1, &content, 0)
    }

    type Read = (Vec<u8>, Vec<u8>, Option<(u32, Status)>);

    /// Standard output, standard error, and how it ends, when it comes in pieces of this size.
    fn read(bytes: &[u8], size: usize) -> Result<Read, ProtocolError> {
        let mut reader = Reader::default();
        let (mut out, mut err, mut end) = (Vec::new(), Vec::new(), None);
        for mut piece in bytes.chunks(size) {
            while let Some(event) = reader.next(&mut piece)? {
                match event {
                    Event::Stdout(bytes) => out.extend_from_slice(bytes),
                    Event::Stderr(bytes) => err.extend_from_slice(bytes),
                    Event::End { exit, status } => end = Some((exit, status)),
                }
            }
            assert!(piece.is_empty());
        }
        assert_eq!(reader.has_ended(), end.is_some());
        Ok((out, err, end))
    }

    #[test]
    fn f2_f10_records_are_read_wherever_they_are_cut() {
        let bytes = [
            record(6, 1, b"Status: 200\r\n", 3),
            record(7, 1, b"a warn", 0),
            record(6, 1, b"\r\nbody", 255),
            record(7, 1, b"ing\n", 4),
            record(6, 1, b"", 0),
            record(6, 1, b"more", 0),
            record(10, 0, b"FCGI_VALUES", 5),
            end(3, 0),
        ]
        .concat();
        let expected = (
            b"Status: 200\r\n\r\nbodymore".to_vec(),
            b"a warning\n".to_vec(),
            Some((3, Status::Complete)),
        );
        for size in 1..=bytes.len() {
            assert_eq!(read(&bytes, size).unwrap(), expected, "{size}");
        }
    }

    #[test]
    fn f11_an_empty_record_ends_nothing() {
        let bytes = [record(6, 1, b"", 8), record(7, 1, b"", 0), record(6, 1, b"a", 0)].concat();
        assert_eq!(read(&bytes, 100).unwrap(), (b"a".to_vec(), vec![], None));
    }

    #[test]
    fn f13_each_way_to_end_is_told() {
        for (number, status) in [
            (0, Status::Complete),
            (1, Status::CannotMultiplex),
            (2, Status::Overloaded),
            (3, Status::UnknownRole),
        ] {
            assert_eq!(read(&end(0, number), 3).unwrap().2, Some((0, status)));
        }
        assert!(read(&end(0, 4), 100).is_err());
    }

    #[test]
    fn f7_f14_f17_f18_what_is_not_of_the_protocol_is_refused() {
        for bytes in [
            record(6, 2, b"a", 0),
            record(9, 1, b"a", 0),
            record(3, 1, b"short", 0),
            [&[2][..], &record(6, 1, b"a", 0)[1..]].concat(),
            b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
            [end(0, 0), vec![1]].concat(),
            [end(0, 0), record(6, 1, b"a", 0)].concat(),
        ] {
            for size in [1, 7, 100] {
                assert!(read(&bytes, size).is_err(), "{}", bytes.escape_ascii());
            }
        }
    }
}
