//! Byte buffers that are lent for a request and come back: an idle connection owns none.

#[derive(Debug, Default)]
pub(crate) struct Buffers {
    free: Vec<Vec<u8>>,
}

const INITIAL: usize = 2048;
/// A buffer that grew beyond this is given back to the allocator.
const KEEP_CAPACITY: usize = 64 * 1024;
const KEEP: usize = 1024;

impl Buffers {
    pub(crate) fn take(&mut self) -> Vec<u8> {
        self.free.pop().unwrap_or_else(|| Vec::with_capacity(INITIAL))
    }

    pub(crate) fn give(&mut self, mut buffer: Vec<u8>) {
        if (1..=KEEP_CAPACITY).contains(&buffer.capacity()) && self.free.len() < KEEP {
            buffer.clear();
            self.free.push(buffer);
        }
    }
}
