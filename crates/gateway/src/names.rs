//! Ids for recurring sequences of header names, so that a worker builds its environ with a function compiled once per sequence.

use rustc_hash::{FxBuildHasher, FxHashMap};
use std::hash::BuildHasher;

/// Most ids that are ever given out: a client that invents header names cannot fill a worker with compiled functions.
pub const MAX_NAMES: usize = 256;
/// How often a sequence must be seen before it gets an id.
const SIGHTS: u8 = 3;
/// Sequences under observation; a power of two. A newcomer takes the place of whoever hashes to its seat.
const SEATS: usize = 256;

/// In the alphabet of names that cross this bit is the case of a letter, and set in digits and `-`.
const CASE: u8 = 0x20;

/// Whether a token, brought to lower case, is `lower`, which is as long.
fn folds_to(token: &[u8], lower: &[u8]) -> bool {
    const CASES: u64 = u64::from_ne_bytes([CASE; 8]);
    let word = |bytes: &[u8]| bytes.first_chunk().map(|bytes| u64::from_ne_bytes(*bytes));
    let length = token.len();
    let mut at = 0;
    while let (Some(ours), Some(theirs)) = (word(&token[at..]), word(&lower[at..])) {
        if ours | CASES != theirs {
            return false;
        }
        at += 8;
        if at + 8 > length && length >= 8 && at < length {
            // The last word overlaps the one before.
            at = length - 8;
        }
    }
    token[at..].iter().zip(&lower[at..]).all(|(ours, theirs)| ours | CASE == *theirs)
}

/// Table of sequences, one per I/O thread.
///
/// FxHash is fast and not keyed, which is safe here: both tables are bounded, so collisions cost a bounded comparison.
#[derive(Debug)]
pub struct NamesTable {
    ids: FxHashMap<Box<[u8]>, u32>,
    sequences: Vec<Box<[u8]>>,
    seats: Box<[(u64, u8); SEATS]>,
    scratch: Vec<u8>,
    last: u32,
}

impl Default for NamesTable {
    fn default() -> Self {
        Self {
            ids: FxHashMap::default(),
            sequences: Vec::new(),
            seats: Box::new([(0, 0); SEATS]),
            scratch: Vec::new(),
            last: 0,
        }
    }
}

impl NamesTable {
    /// The id of this sequence of names if it is the one that was asked for last, as it mostly is: a client repeats its
    /// headers, and so do clients of a kind. Names are tokens; those that are not made of letters, digits and `-` match nothing.
    pub fn last<'a>(&self, names: impl Iterator<Item = &'a [u8]>) -> Option<u32> {
        let mut rest = self.sequence(self.last)?;
        for name in names {
            let (head, tail) = rest.split_at_checked(name.len())?;
            let ([0, after @ ..], true) = (tail, folds_to(name, head)) else { return None };
            rest = after;
        }
        rest.is_empty().then_some(self.last)
    }

    /// The id of this sequence of names, 0 if it has none (yet). Names hold letters, digits and `-` only.
    pub fn id<'a>(&mut self, names: impl Iterator<Item = &'a [u8]>) -> u32 {
        self.scratch.clear();
        for name in names {
            self.scratch.extend(name.iter().map(|byte| byte | CASE));
            self.scratch.push(0);
        }
        if self.sequence(self.last) == Some(&self.scratch) {
            return self.last;
        }
        if let Some(&id) = self.ids.get(self.scratch.as_slice()) {
            self.last = id;
            return id;
        }
        self.observe()
    }

    /// The payload of the NAMES frame for `id`: each name lower-cased and followed by NUL.
    #[must_use]
    pub fn sequence(&self, id: u32) -> Option<&[u8]> {
        self.sequences.get((id as usize).checked_sub(1)?).map(AsRef::as_ref)
    }

    fn observe(&mut self) -> u32 {
        if self.sequences.len() >= MAX_NAMES {
            return 0;
        }
        let hash = FxBuildHasher.hash_one(self.scratch.as_slice());
        let seat = &mut self.seats[hash as usize % SEATS];
        if seat.0 != hash {
            *seat = (hash, 0);
        }
        seat.1 += 1;
        if seat.1 < SIGHTS {
            return 0;
        }
        *seat = (0, 0);
        let sequence: Box<[u8]> = self.scratch.as_slice().into();
        self.sequences.push(sequence.clone());
        let id = self.sequences.len() as u32;
        self.ids.insert(sequence, id);
        self.last = id;
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(table: &mut NamesTable, names: &[&str]) -> u32 {
        table.id(names.iter().map(|name| name.as_bytes()))
    }

    #[test]
    fn a_recurring_sequence_gets_an_id_whatever_its_case() {
        let mut table = NamesTable::default();
        assert_eq!(id(&mut table, &["Host", "User-Agent"]), 0);
        assert_eq!(id(&mut table, &["host", "user-agent"]), 0);
        assert_eq!(id(&mut table, &["HOST", "User-agent"]), 1);
        assert_eq!(id(&mut table, &["Host", "User-Agent"]), 1);
        assert_eq!(table.sequence(1), Some(&b"host\0user-agent\0"[..]));
        assert_eq!(id(&mut table, &["User-Agent", "Host"]), 0, "another order is another sequence");
        assert_eq!(id(&mut table, &["HostUser-Agent"]), 0);
        assert_eq!(table.sequence(0), None);
        assert_eq!(table.sequence(2), None);
    }

    #[test]
    fn the_last_sequence_is_recognised_exactly() {
        let mut table = NamesTable::default();
        let names = ["host", "x", "user-agent", "accept-language", "sec-fetch-dest"];
        assert_eq!(table.last(names.iter().map(|name| name.as_bytes())), None);
        while id(&mut table, &names) == 0 {}
        let last = |names: &[&str]| table.last(names.iter().map(|name| name.as_bytes()));
        assert_eq!(last(&names), Some(1));
        assert_eq!(
            last(&["Host", "X", "User-Agent", "Accept-LANGUAGE", "Sec-Fetch-Dest"]),
            Some(1)
        );
        assert_eq!(last(&names[..4]), None, "shorter");
        assert_eq!(last(&[&names[..], &["x"]].concat()), None, "longer");
        assert_eq!(last(&["hosts", "x", "user-agent", "accept-language", "sec-fetch-dest"]), None);
        assert_eq!(last(&["hos", "tx", "user-agent", "accept-language", "sec-fetch-dest"]), None);
        for changed in 0..names.len() {
            for at in 0..names[changed].len() {
                let mut other = names.map(str::to_owned);
                other[changed].replace_range(at..=at, "_");
                let other: Vec<&str> = other.iter().map(String::as_str).collect();
                assert_eq!(last(&other), None, "{other:?}");
            }
        }
    }

    #[test]
    fn invented_names_cannot_grow_the_table_without_bound() {
        let mut table = NamesTable::default();
        for n in 0..10_000 {
            let name = format!("x-{n}");
            for _ in 0..4 {
                id(&mut table, &[&name]);
            }
        }
        assert_eq!(table.sequences.len(), MAX_NAMES);
        assert_eq!(id(&mut table, &["x-0"]), 1, "known ones keep their id");
    }
}
