//! Values that are named by keys which never come to mean another value: a slab with generations.
//!
//! Keys go where a reference can't: into epoll, into the shared queue of a pool, into work for the blocking threads. When
//! they come back their value may be gone, and then they find nothing.

use slab::Slab;
use std::cell::Cell;
use std::rc::Rc;

/// Room that is kept when an arena becomes empty.
const KEEP: usize = 256;

/// Name of a value in an [`Arena`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    pub index: u32,
    pub generation: u32,
}

/// Counts the values of a thread's arenas. It outlives them: the thread may begin anew, and keys of its earlier lives may still come back
/// from elsewhere.
pub type Generations = Rc<Cell<u32>>;

#[derive(Debug)]
pub struct Arena<T> {
    slab: Slab<(u32, T)>,
    generations: Generations,
}

impl<T> Arena<T> {
    /// Generations are 30 bits, so that a key fits an epoll token beside two bits of kind. A key would have to be kept for a
    /// thousand million insertions to be mistaken.
    pub const GENERATION_MASK: u32 = (1 << 30) - 1;

    /// An arena whose keys differ from those of every arena with the same count, before it and beside it.
    #[inline]
    pub fn new(generations: &Generations) -> Self {
        Self { slab: Slab::new(), generations: Rc::clone(generations) }
    }

    /// Adds the value that `make` makes for its key.
    #[inline]
    pub fn insert_with(&mut self, make: impl FnOnce(Key) -> T) -> Key {
        let generation = (self.generations.get() + 1) & Self::GENERATION_MASK;
        self.generations.set(generation);
        let entry = self.slab.vacant_entry();
        let key = Key { index: entry.key() as u32, generation };
        entry.insert((key.generation, make(key)));
        key
    }

    #[inline]
    pub fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        match self.slab.get_mut(key.index as usize) {
            Some((generation, value)) if *generation == key.generation => Some(value),
            _ => None,
        }
    }

    #[inline]
    pub fn get(&self, key: Key) -> Option<&T> {
        match self.slab.get(key.index as usize) {
            Some((generation, value)) if *generation == key.generation => Some(value),
            _ => None,
        }
    }

    #[inline]
    pub fn remove(&mut self, key: Key) -> Option<T> {
        self.get(key)?;
        let value = self.slab.remove(key.index as usize).1;
        if self.slab.is_empty() && self.slab.capacity() > KEEP {
            // Memory of a burst goes back when the burst is over.
            self.slab = Slab::with_capacity(KEEP);
        }
        Some(value)
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.slab.len()
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.slab.is_empty()
    }

    #[inline]
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (Key, &mut T)> {
        self.slab.iter_mut().map(|(index, (generation, value))| {
            (Key { index: index as u32, generation: *generation }, value)
        })
    }

    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.slab.iter().map(|(_, (_, value))| value)
    }

    #[inline]
    pub fn keys(&self) -> Vec<Key> {
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
        let mut arena = Arena::new(&Generations::default());
        let first = arena.insert_with(|_| "first");
        let _keep = arena.insert_with(|_| "keep");
        assert_eq!(arena.remove(first), Some("first"));
        let second = arena.insert_with(|_| "second");
        assert_eq!(second.index, first.index);
        assert_eq!(arena.get(first), None);
        assert_eq!(arena.remove(first), None);
        assert_eq!(arena.get_mut(second), Some(&mut "second"));
    }

    #[test]
    fn a_key_of_an_earlier_life_finds_nothing_however_long_that_was() {
        let generations = Generations::default();
        let mut arena = Arena::new(&generations);
        // A life of more insertions than a number of lives could be told apart by.
        generations.set(1 << 20);
        let earlier = arena.insert_with(|_| "earlier");
        let mut arena = Arena::new(&generations);
        let later = arena.insert_with(|_| "later");
        assert_eq!(later.index, earlier.index);
        assert_eq!(arena.get(earlier), None);
    }
}
