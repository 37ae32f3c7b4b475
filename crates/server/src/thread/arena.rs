//! Values that are named by keys which never come to mean another value: a slab with generations.
//!
//! Keys go where a reference can't: into epoll, into the shared queue of a pool, into work for the blocking threads. When
//! they come back their value may be gone, and then they find nothing.

use slab::Slab;

/// Room that is kept when an arena becomes empty.
const KEEP: usize = 256;

/// Name of a value in an [`Arena`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

#[derive(Debug)]
pub(crate) struct Arena<T> {
    slab: Slab<(u32, T)>,
    next_generation: u32,
}

impl<T> Default for Arena<T> {
    fn default() -> Self {
        Self { slab: Slab::new(), next_generation: 0 }
    }
}

impl<T> Arena<T> {
    /// Generations are 30 bits, so that a key fits an epoll token beside two bits of kind. A key would have to be kept for a
    /// thousand million insertions to be mistaken.
    pub(crate) const GENERATION_MASK: u32 = (1 << 30) - 1;

    /// An arena whose keys differ from those of the thread's earlier lives, which may still come back from elsewhere.
    pub(crate) fn of_life(life: u32) -> Self {
        Self { next_generation: (life << 20) & Self::GENERATION_MASK, ..Self::default() }
    }

    /// Adds the value that `make` makes for its key.
    pub(crate) fn insert_with(&mut self, make: impl FnOnce(Key) -> T) -> Key {
        self.next_generation = (self.next_generation + 1) & Self::GENERATION_MASK;
        let entry = self.slab.vacant_entry();
        let key = Key { index: entry.key() as u32, generation: self.next_generation };
        entry.insert((key.generation, make(key)));
        key
    }

    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        match self.slab.get_mut(key.index as usize) {
            Some((generation, value)) if *generation == key.generation => Some(value),
            _ => None,
        }
    }

    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        match self.slab.get(key.index as usize) {
            Some((generation, value)) if *generation == key.generation => Some(value),
            _ => None,
        }
    }

    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        self.get(key)?;
        let value = self.slab.remove(key.index as usize).1;
        if self.slab.is_empty() && self.slab.capacity() > KEEP {
            // Memory of a burst goes back when the burst is over.
            self.slab = Slab::with_capacity(KEEP);
        }
        Some(value)
    }

    pub(crate) fn len(&self) -> usize {
        self.slab.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.slab.is_empty()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (Key, &mut T)> {
        self.slab.iter_mut().map(|(index, (generation, value))| {
            (Key { index: index as u32, generation: *generation }, value)
        })
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.slab.iter().map(|(_, (_, value))| value)
    }

    pub(crate) fn keys(&self) -> Vec<Key> {
        let key = |(index, (generation, _)): (usize, &(u32, T))| Key {
            index: index as u32,
            generation: *generation,
        };
        self.slab.iter().map(key).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_a_removed_value_finds_nothing_even_when_its_place_is_taken() {
        let mut arena = Arena::default();
        let first = arena.insert_with(|_| "first");
        let _keep = arena.insert_with(|_| "keep");
        assert_eq!(arena.remove(first), Some("first"));
        let second = arena.insert_with(|_| "second");
        assert_eq!(second.index, first.index);
        assert_eq!(arena.get(first), None);
        assert_eq!(arena.remove(first), None);
        assert_eq!(arena.get_mut(second), Some(&mut "second"));
    }
}
