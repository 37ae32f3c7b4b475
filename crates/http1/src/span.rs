//! Pieces of a buffer, named by position so that a head can outlive a borrow of the buffer it was parsed from.

/// A byte range of the buffer that was parsed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Offset of the first byte.
    pub start: u32,
    /// Offset behind the last byte.
    pub end: u32,
}

impl Span {
    /// The bytes this span names in `buf`, which must be the buffer it was parsed from (or start with the same bytes).
    ///
    /// # Panics
    /// If the span reaches beyond `buf`.
    #[inline]
    pub fn of(self, buf: &[u8]) -> &[u8] {
        &buf[self.start as usize..self.end as usize]
    }

    /// Length in bytes.
    #[inline]
    pub fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    /// Whether it holds no byte.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// The offsets of a head fit: the parser never looks further than `u32::MAX` bytes.
    #[inline]
    pub(crate) fn new(start: usize, end: usize) -> Span {
        debug_assert!(start <= end && end <= u32::MAX as usize);
        Span { start: start as u32, end: end as u32 }
    }
}

/// One header field, as received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderSpan {
    /// The name, in the case it came in.
    pub name: Span,
    /// The value without the white space around it.
    pub value: Span,
}
