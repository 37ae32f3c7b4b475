//! Request ids: the client's own, or one that is made here for the price of a counter.

use crate::config::RequestIds;
use std::hash::{BuildHasher, Hasher, RandomState};

/// The header that an id comes and goes in.
pub(crate) const NAME: &[u8] = b"X-Request-Id";

/// A longer one is not taken over: it would stand in every line about its request.
const LONGEST: usize = 128;

const PREFIX: usize = 16;
const MADE: usize = PREFIX + 8;

/// What a request is called in the log, in its environ and in its response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RequestId {
    Made([u8; MADE]),
    /// As the client sent it, in one well-formed header.
    Given(Box<[u8]>),
}

impl RequestId {
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Made(id) => id,
            Self::Given(id) => id,
        }
    }

    /// `X-Request-Id: …`
    pub(crate) fn write_line(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"X-Request-Id: ");
        out.extend_from_slice(self.bytes());
        out.extend_from_slice(b"\r\n");
    }
}

/// Where a thread's ids come from.
#[derive(Debug)]
pub(crate) struct IdSource {
    mode: RequestIds,
    prefix: [u8; PREFIX],
    count: u32,
}

impl IdSource {
    pub(crate) fn new(mode: RequestIds) -> Self {
        Self { mode, prefix: prefix(), count: 0 }
    }

    pub(crate) fn is_off(&self) -> bool {
        self.mode == RequestIds::Off
    }

    /// The id of a request with these `X-Request-Id` headers.
    pub(crate) fn id<'a>(&mut self, mut given: impl Iterator<Item = &'a [u8]>) -> RequestId {
        if self.mode == RequestIds::Accept
            && let (Some(id), None) = (given.next(), given.next())
            && is_well_formed(id)
        {
            return RequestId::Given(id.into());
        }
        self.make()
    }

    /// 16 hexadecimal digits that are random, and a count. Never the same twice, and no secret.
    pub(crate) fn make(&mut self) -> RequestId {
        let mut id = [0; MADE];
        id[..PREFIX].copy_from_slice(&self.prefix);
        hexadecimal(&mut id[PREFIX..], self.count.into());
        self.count = self.count.wrapping_add(1);
        if self.count == 0 {
            self.prefix = prefix();
        }
        RequestId::Made(id)
    }
}

fn is_well_formed(id: &[u8]) -> bool {
    (1..=LONGEST).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic)
}

/// The keys of a `RandomState` are the system's random bytes, other ones each time.
fn prefix() -> [u8; PREFIX] {
    let mut prefix = [0; PREFIX];
    hexadecimal(&mut prefix, RandomState::new().build_hasher().finish());
    prefix
}

/// The number's last digits, as many as there is room for.
fn hexadecimal(out: &mut [u8], mut number: u64) {
    for digit in out.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(number & 15) as usize];
        number >>= 4;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(mode: RequestIds, given: &[&[u8]]) -> RequestId {
        IdSource::new(mode).id(given.iter().copied())
    }

    #[test]
    fn a_well_formed_id_of_the_client_is_taken_over() {
        let longest = [b'x'; LONGEST];
        for given in [&b"a"[..], b"f7a1-\"<\\>", &longest] {
            assert_eq!(id(RequestIds::Accept, &[given]).bytes(), given);
            assert_ne!(id(RequestIds::Generate, &[given]).bytes(), given);
        }
    }

    #[test]
    fn anything_else_gets_an_id_of_ours() {
        let long = [b'x'; LONGEST + 1];
        let cases: [&[&[u8]]; 7] =
            [&[], &[b""], &[b"a b"], &[b"a\tb"], &[b"\xc3\xa9"], &[&long], &[b"one", b"two"]];
        for given in cases {
            let id = id(RequestIds::Accept, given);
            assert_eq!(id.bytes().len(), MADE);
            assert!(id.bytes().iter().all(u8::is_ascii_hexdigit), "{given:?}");
        }
    }

    #[test]
    fn ids_differ_between_requests_threads_and_rounds_of_the_counter() {
        let (mut one, mut other) =
            (IdSource::new(RequestIds::Accept), IdSource::new(RequestIds::Accept));
        one.count = u32::MAX - 2;
        let mut seen = std::collections::HashSet::new();
        for _ in 0..100 {
            assert!(seen.insert(one.make().bytes().to_vec()));
            assert!(seen.insert(other.make().bytes().to_vec()));
        }
    }
}
