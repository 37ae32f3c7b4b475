//! Byte buffers that are lent for a request and come back: an idle connection owns none.
//!
//! They lie on shelves by their size. A thousand short request heads are then a thousand short buffers, which the processor's
//! cache holds, as it does not hold a thousand that could be long.

/// The capacity of the buffers on the first shelf; each further one has twice as much.
const SMALLEST: usize = 256;
/// Up to 64 KiB. What grew beyond is given back to the allocator.
const SHELVES: usize = 9;
/// What is lent without a word about its length.
const USUAL: usize = 2048;
/// Bytes that a shelf keeps.
const KEEP: usize = 2 * 1024 * 1024;
/// What has not been used for so long goes back to the allocator.
const KEEP_MS: u64 = 2000;

#[derive(Debug, Default)]
pub struct Buffers {
    shelves: [Shelf; SHELVES],
    aged_ms: u64,
}

#[derive(Debug, Default)]
struct Shelf {
    buffers: Vec<Vec<u8>>,
    /// The fewest that lay there since the last look: so many were not needed.
    fewest: usize,
}

impl Buffers {
    #[inline]
    pub fn take(&mut self) -> Vec<u8> {
        self.take_for(USUAL)
    }

    /// An empty buffer that holds `length` bytes before it must grow, if it is not too long to be kept.
    #[inline]
    pub fn take_for(&mut self, length: usize) -> Vec<u8> {
        let index = shelf_for(length);
        let shelf = &mut self.shelves[index];
        let buffer = shelf.buffers.pop();
        shelf.fewest = shelf.fewest.min(shelf.buffers.len());
        buffer.unwrap_or_else(|| Vec::with_capacity(SMALLEST << index))
    }

    #[inline]
    pub fn give(&mut self, mut buffer: Vec<u8>) {
        let capacity = buffer.capacity();
        if (SMALLEST..=SMALLEST << (SHELVES - 1)).contains(&capacity) {
            let index = shelf(capacity);
            if self.shelves[index].buffers.len() < KEEP / (SMALLEST << index) {
                buffer.clear();
                self.shelves[index].buffers.push(buffer);
            }
        }
    }

    /// Gives up what was not needed lately.
    #[inline]
    pub fn age(&mut self, now_ms: u64) {
        if now_ms < self.aged_ms + KEEP_MS {
            return;
        }
        self.aged_ms = now_ms;
        for shelf in &mut self.shelves {
            shelf.buffers.drain(..shelf.fewest);
            shelf.fewest = shelf.buffers.len();
        }
    }

    /// Bytes that lie here.
    #[inline]
    pub fn kept(&self) -> usize {
        let sizes = (0..SHELVES).map(|index| SMALLEST << index);
        self.shelves.iter().zip(sizes).map(|(shelf, size)| shelf.buffers.len() * size).sum()
    }
}

/// The first shelf whose buffers all hold so much, or the last one.
#[inline]
fn shelf_for(length: usize) -> usize {
    let power = (length.saturating_sub(1) | (SMALLEST - 1)).ilog2() + 1;
    ((power - SMALLEST.ilog2()) as usize).min(SHELVES - 1)
}

/// The shelf of the buffers that hold at least so much, from [`SMALLEST`] to the last shelf's.
fn shelf(capacity: usize) -> usize {
    (capacity.ilog2() - SMALLEST.ilog2()) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_holds_what_it_was_taken_for() {
        let mut buffers = Buffers::default();
        for length in [0, 1, 255, 256, 257, 2048, 2049, 65_535, 65_536] {
            let buffer = buffers.take_for(length);
            assert!(buffer.capacity() >= length, "{length}");
            buffers.give(buffer);
            assert!(buffers.take_for(length).capacity() >= length, "{length} again");
        }
        // A capacity between two sizes counts as the smaller one.
        buffers.give(Vec::with_capacity(1000));
        assert!(buffers.take_for(600).capacity() >= 1024);
        assert_eq!(buffers.take_for(512).capacity(), 1000);
    }

    #[test]
    fn what_comes_back_is_empty_and_bounded() {
        let mut buffers = Buffers::default();
        buffers.give(vec![1; 300]);
        assert!(buffers.take_for(256).is_empty());
        // Nothing was allocated, or too much.
        buffers.give(Vec::new());
        buffers.give(Vec::with_capacity(1024 * 1024));
        assert_eq!(buffers.kept(), 0);
        for _ in 0..100 {
            buffers.give(Vec::with_capacity(65_536));
        }
        assert_eq!(buffers.kept(), KEEP);
    }

    #[test]
    fn what_is_not_needed_for_a_while_goes_back() {
        let mut buffers = Buffers::default();
        buffers.age(10_000);
        for _ in 0..20 {
            buffers.give(Vec::with_capacity(1024));
        }
        // They have only just come.
        buffers.age(12_000);
        assert_eq!(buffers.kept(), 20 * 1024);
        let used: Vec<_> = (0..5).map(|_| buffers.take_for(1024)).collect();
        used.into_iter().for_each(|buffer| buffers.give(buffer));
        buffers.age(13_999);
        assert_eq!(buffers.kept(), 20 * 1024);
        buffers.age(14_000);
        assert_eq!(buffers.kept(), 5 * 1024);
        buffers.age(16_000);
        assert_eq!(buffers.kept(), 0);
    }
}
