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

#[derive(Debug, Default)]
pub(crate) struct Buffers {
    shelves: [Vec<Vec<u8>>; SHELVES],
}

impl Buffers {
    pub(crate) fn take(&mut self) -> Vec<u8> {
        self.take_for(USUAL)
    }

    /// An empty buffer that holds `length` bytes before it must grow, if it is not too long to be kept.
    pub(crate) fn take_for(&mut self, length: usize) -> Vec<u8> {
        let size = length.next_power_of_two().clamp(SMALLEST, SMALLEST << (SHELVES - 1));
        self.shelves[shelf(size)].pop().unwrap_or_else(|| Vec::with_capacity(size))
    }

    pub(crate) fn give(&mut self, mut buffer: Vec<u8>) {
        let capacity = buffer.capacity();
        if (SMALLEST..=SMALLEST << (SHELVES - 1)).contains(&capacity) {
            let index = shelf(capacity);
            if self.shelves[index].len() < KEEP / (SMALLEST << index) {
                buffer.clear();
                self.shelves[index].push(buffer);
            }
        }
    }
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
        assert!(buffers.shelves.iter().all(Vec::is_empty));
        for _ in 0..100 {
            buffers.give(Vec::with_capacity(65_536));
        }
        assert_eq!(buffers.shelves[SHELVES - 1].len(), KEEP / 65_536);
    }
}
