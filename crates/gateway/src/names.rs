//! Ids for recurring sequences of header names, so that a worker builds its environ with a function compiled once per sequence.

use rustc_hash::{FxBuildHasher, FxHashMap};
use std::hash::BuildHasher;

/// Most sequences that have an id at once: a client that invents header names cannot fill a worker with compiled functions.
pub const MAX_NAMES: usize = 256;
/// When all ids are given out, one changes hands after so many requests with names that have none.
const CHANGE_AFTER: u32 = 64;
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
    ids: FxHashMap<Box<[u8]>, NamesId>,
    entries: Vec<Entry>,
    seats: Box<[(u64, u8); SEATS]>,
    scratch: Vec<u8>,
    last: usize,
    /// How often a place has changed hands.
    changes: u32,
    /// Sequences without an id since a place last did.
    unknown: u32,
}

/// A sequence of names: the number that it has on the wire, from 1, and which of those that had this number it is. 0: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct NamesId(u32);

impl NamesId {
    /// No sequence.
    pub const NONE: Self = Self(0);
    const NUMBER: u32 = (1 << 9) - 1;

    /// As it was kept by [`bits`](Self::bits).
    #[must_use]
    pub fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// All of it in a word.
    #[must_use]
    pub fn bits(self) -> u32 {
        self.0
    }

    /// Its number on the wire: 1 to [`MAX_NAMES`], or 0.
    #[must_use]
    pub fn number(self) -> u32 {
        self.0 & Self::NUMBER
    }

    fn new(index: usize, changes: u32) -> Self {
        Self(changes << 9 | (index as u32 + 1))
    }

    fn index(self) -> Option<usize> {
        (self.number() as usize).checked_sub(1)
    }
}

#[derive(Debug)]
struct Entry {
    id: NamesId,
    sequence: Box<[u8]>,
    /// How often it was asked for; what is long ago counts less.
    uses: u32,
}

impl Default for NamesTable {
    fn default() -> Self {
        Self {
            ids: FxHashMap::default(),
            entries: Vec::new(),
            seats: Box::new([(0, 0); SEATS]),
            scratch: Vec::new(),
            last: 0,
            changes: 0,
            unknown: 0,
        }
    }
}

impl NamesTable {
    /// The id of this sequence of names if it is the one that was asked for last, as it mostly is: a client repeats its
    /// headers, and so do clients of a kind. Names are tokens; those that are not made of letters, digits and `-` match nothing.
    pub fn last<'a>(&mut self, names: impl Iterator<Item = &'a [u8]>) -> Option<NamesId> {
        let entry = self.entries.get_mut(self.last)?;
        let mut rest = &*entry.sequence;
        for name in names {
            let (head, tail) = rest.split_at_checked(name.len())?;
            let ([0, after @ ..], true) = (tail, folds_to(name, head)) else { return None };
            rest = after;
        }
        entry.uses = entry.uses.saturating_add(1);
        rest.is_empty().then_some(entry.id)
    }

    /// The id of this sequence of names, none if it has none (yet). Names hold letters, digits and `-` only.
    pub fn id<'a>(&mut self, names: impl Iterator<Item = &'a [u8]>) -> NamesId {
        self.scratch.clear();
        for name in names {
            self.scratch.extend(name.iter().map(|byte| byte | CASE));
            self.scratch.push(0);
        }
        let Some(&id) = self.ids.get(self.scratch.as_slice()) else { return self.observe() };
        if let Some(index) = id.index() {
            self.last = index;
            self.entries[index].uses = self.entries[index].uses.saturating_add(1);
        }
        id
    }

    /// The payload of the NAMES frame for `id`: each name lower-cased and followed by NUL. None if its number is another
    /// sequence's by now.
    #[must_use]
    pub fn sequence(&self, id: NamesId) -> Option<&[u8]> {
        let entry = self.entries.get(id.index()?)?;
        (entry.id == id).then_some(&*entry.sequence)
    }

    fn observe(&mut self) -> NamesId {
        self.unknown = self.unknown.saturating_add(1);
        let hash = FxBuildHasher.hash_one(self.scratch.as_slice());
        let seat = &mut self.seats[hash as usize % SEATS];
        if seat.0 != hash {
            *seat = (hash, 0);
        }
        seat.1 = seat.1.saturating_add(1);
        if seat.1 < SIGHTS {
            return NamesId::NONE;
        }
        let Some(index) = self.place() else { return NamesId::NONE };
        self.seats[hash as usize % SEATS] = (0, 0);
        let sequence: Box<[u8]> = self.scratch.as_slice().into();
        let id = NamesId::new(index, self.changes);
        let entry = Entry { id, sequence: sequence.clone(), uses: u32::from(SIGHTS) };
        if let Some(old) = self.entries.get_mut(index) {
            self.ids.remove(&old.sequence);
            *old = entry;
        } else {
            self.entries.push(entry);
        }
        self.ids.insert(sequence, id);
        self.last = index;
        id
    }

    /// Where a newcomer goes: where nobody is, else, now and then, where the one is that was asked for least. Each costs the
    /// workers a compilation, so a client that invents names is held to a rate; and what it invents is the first to go.
    fn place(&mut self) -> Option<usize> {
        if self.entries.len() < MAX_NAMES {
            return Some(self.entries.len());
        }
        if self.unknown < CHANGE_AFTER {
            return None;
        }
        self.unknown = 0;
        self.changes = self.changes.wrapping_add(1);
        let (index, _) = self.entries.iter().enumerate().min_by_key(|(_, entry)| entry.uses)?;
        for entry in &mut self.entries {
            entry.uses -= entry.uses / 8;
        }
        Some(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(table: &mut NamesTable, names: &[&str]) -> u32 {
        table.id(names.iter().map(|name| name.as_bytes())).bits()
    }

    #[test]
    fn a_recurring_sequence_gets_an_id_whatever_its_case() {
        let mut table = NamesTable::default();
        assert_eq!(id(&mut table, &["Host", "User-Agent"]), 0);
        assert_eq!(id(&mut table, &["host", "user-agent"]), 0);
        assert_eq!(id(&mut table, &["HOST", "User-agent"]), 1);
        assert_eq!(id(&mut table, &["Host", "User-Agent"]), 1);
        assert_eq!(table.sequence(NamesId(1)), Some(&b"host\0user-agent\0"[..]));
        assert_eq!(id(&mut table, &["User-Agent", "Host"]), 0, "another order is another sequence");
        assert_eq!(id(&mut table, &["HostUser-Agent"]), 0);
        assert_eq!(table.sequence(NamesId::NONE), None);
        assert_eq!(table.sequence(NamesId(2)), None);
    }

    #[test]
    fn the_last_sequence_is_recognised_exactly() {
        let mut table = NamesTable::default();
        let names = ["host", "x", "user-agent", "accept-language", "sec-fetch-dest"];
        assert_eq!(table.last(names.iter().map(|name| name.as_bytes())), None);
        while id(&mut table, &names) == 0 {}
        let mut last = |names: &[&str]| {
            table.last(names.iter().map(|name| name.as_bytes())).map(NamesId::bits)
        };
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
    fn invented_names_neither_grow_the_table_nor_keep_others_out() {
        let mut table = NamesTable::default();
        let known = ["host", "accept"];
        while id(&mut table, &known) == 0 {}
        let mut changed = 0;
        for n in 0..10_000 {
            let name = format!("x-{n}");
            for _ in 0..4 {
                let before = table.changes;
                id(&mut table, &[&name]);
                changed += u32::from(table.changes != before);
            }
            assert_eq!(id(&mut table, &known), 1, "one that is in use keeps its id");
        }
        assert_eq!((table.entries.len(), table.ids.len()), (MAX_NAMES, MAX_NAMES));
        assert!((1..=40_000 / CHANGE_AFTER).contains(&changed), "{changed}");
        let late = ["host", "user-agent"];
        let asked = (1..1000).find(|_| id(&mut table, &late) != 0);
        assert!(asked.is_some_and(|asked| asked <= CHANGE_AFTER as usize + 3), "{asked:?}");
        let late = table.id(late.iter().map(|name| name.as_bytes()));
        assert_eq!(table.sequence(late), Some(&b"host\0user-agent\0"[..]));
    }

    #[test]
    fn an_id_whose_number_is_given_to_others_names_nothing() {
        let mut table = NamesTable::default();
        let mut ids = std::collections::HashSet::new();
        for n in 0..2000 {
            let name = format!("x-{n}");
            for _ in 0..64 {
                ids.insert(table.id([name.as_bytes()].into_iter()));
            }
        }
        assert!(ids.len() > 2 * MAX_NAMES);
        let named = ids.iter().filter(|id| table.sequence(**id).is_some()).count();
        assert_eq!(named, MAX_NAMES);
        assert!(ids.iter().all(|id| id.number() as usize <= MAX_NAMES));
    }
}
