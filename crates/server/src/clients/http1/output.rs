//! What a connection still has to send: bytes and pieces of files, in order.

use crate::clients::open_file::OpenFile;
use crate::exchange::holding::Holding;
use crate::transport::{Records, SEALED_AT_ONCE, Tls, Transport};
use gwanmun_files::{FileEntry, PIECE, read_at_once, read_resident};
use gwanmun_reactor::buffers::Buffers;
use gwanmun_sys::syscall::Transfer;
use std::collections::VecDeque;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

/// Pieces of a file up to this many bytes are read and not sent from it.
const SHORT_PIECE: u64 = 16 * 1024;
/// So much of a file that only a blocking thread may read is in memory at once.
const FETCHED: usize = 128 * 1024;
/// So much is sealed for one client before the others get their turn.
const SEALED_IN_TURN: u64 = 512 * 1024;

/// Most output is one buffer that is sent whole, so that one stands apart from the queue and needs no allocation.
#[derive(Debug, Default)]
pub(crate) struct Output {
    /// Sent before `rest`. Without capacity when there is none.
    bytes: Vec<u8>,
    /// Bytes at the start of `bytes` that are sent.
    sent: usize,
    rest: VecDeque<Segment>,
}

#[derive(Debug)]
enum Segment {
    Bytes(Vec<u8>),
    File { source: OpenFile, offset: u64, end: u64 },
}

/// Where sending came to.
#[derive(Debug)]
pub(crate) enum Sent {
    /// Nothing is left.
    All,
    /// The socket takes no more for now.
    Blocked,
    /// More can be sent at once, after others had their turn.
    Yielded,
    /// This piece of the file must be read into memory first, by a thread that may block. `fetch`: into the core's, not the kernel's alone.
    Absent { source: OpenFile, offset: u64, length: usize, fetch: bool },
    /// The file has become shorter than what was announced.
    Shrunk,
}

impl Output {
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.rest.is_empty()
    }

    /// What is not sent yet. Pieces of one file count once.
    #[inline]
    pub(crate) fn holds(&self) -> Holding {
        let bytes = self.bytes.len() - self.sent;
        if self.rest.is_empty() { Holding::new(bytes, 0) } else { self.holds_with_rest(bytes) }
    }

    fn holds_with_rest(&self, mut bytes: usize) -> Holding {
        let mut files = 0;
        let mut last = None;
        for segment in &self.rest {
            match segment {
                Segment::Bytes(part) => bytes += part.len(),
                Segment::File { source, .. } => {
                    let file = source.address();
                    files += usize::from(last != Some(file));
                    last = Some(file);
                }
            }
        }
        Holding::new(bytes, files)
    }

    /// How many bytes are not sent yet.
    pub(super) fn left(&self) -> u64 {
        let segment = |segment: &Segment| match segment {
            Segment::Bytes(bytes) => bytes.len() as u64,
            Segment::File { offset, end, .. } => end - offset,
        };
        (self.bytes.len() - self.sent) as u64 + self.rest.iter().map(segment).sum::<u64>()
    }

    /// A buffer whose content is sent after everything that is there.
    pub(crate) fn tail(&mut self, buffers: &mut Buffers) -> &mut Vec<u8> {
        if self.rest.is_empty() {
            if self.bytes.capacity() == 0 {
                self.bytes = buffers.take();
            }
            return &mut self.bytes;
        }
        if !matches!(self.rest.back(), Some(Segment::Bytes(_))) {
            self.rest.push_back(Segment::Bytes(buffers.take()));
        }
        match self.rest.back_mut() {
            Some(Segment::Bytes(bytes)) => bytes,
            _ => unreachable!("a segment of bytes was pushed if the last was none"),
        }
    }

    /// A part of a file that is kept in memory or open.
    pub(crate) fn push_entry(
        &mut self,
        entry: &Arc<FileEntry>,
        start: u64,
        end: u64,
        buffers: &mut Buffers,
    ) {
        match &entry.content {
            Some(content) => {
                let part = content.get(start as usize..end as usize).unwrap_or_default();
                self.tail(buffers).extend_from_slice(part);
            }
            // A short piece is cheaper copied than sent from the file: it goes with the head.
            None if end.saturating_sub(start) <= SHORT_PIECE
                && entry.fd().is_some_and(|file| {
                    let length = (end - start) as usize;
                    read_resident(file, start, length, self.tail(buffers))
                }) => {}
            None => self.push_file(OpenFile::Entry(Arc::clone(entry)), start, end),
        }
    }

    pub(crate) fn push_file(&mut self, source: OpenFile, offset: u64, end: u64) {
        if offset < end {
            self.rest.push_back(Segment::File { source, offset, end });
        }
    }

    /// The beginning of the file that is to be sent next.
    pub(super) fn take_fetched(&mut self, bytes: Vec<u8>) {
        let Some(Segment::File { offset, end, .. }) = self.rest.front_mut() else { return };
        *offset += bytes.len() as u64;
        if *offset >= *end {
            self.rest.pop_front();
        }
        self.rest.push_front(Segment::Bytes(bytes));
    }

    /// Moves all of `other`, of which nothing has been sent, behind what is there.
    pub(crate) fn append(&mut self, mut other: Self, buffers: &mut Buffers) {
        if self.is_empty() {
            let unused = std::mem::replace(self, other);
            buffers.give(unused.bytes);
            return;
        }
        // Small answers of a pipeline become one send.
        self.tail(buffers).extend_from_slice(&other.bytes);
        buffers.give(other.bytes);
        self.rest.append(&mut other.rest);
    }

    pub(crate) fn clear(&mut self, buffers: &mut Buffers) {
        self.sent = 0;
        buffers.give(std::mem::take(&mut self.bytes));
        for segment in std::mem::take(&mut self.rest) {
            if let Segment::Bytes(bytes) = segment {
                buffers.give(bytes);
            }
        }
    }

    /// Sends as much as the socket takes. `loaded`: the first piece of a file has just been read in. `now_ms`: by the thread's clock.
    /// Gives where it came to and how many bytes went out.
    pub(crate) fn send(
        &mut self,
        transport: &mut Transport,
        records: &mut Records,
        buffers: &mut Buffers,
        loaded: bool,
        now_ms: u64,
    ) -> io::Result<(Sent, u64)> {
        match transport {
            Transport::Tls(tls) => self.send_sealed(tls, records, buffers, loaded, now_ms),
            plain => self.send_plain(plain, buffers, loaded, now_ms),
        }
    }

    fn send_plain(
        &mut self,
        transport: &mut Transport,
        buffers: &mut Buffers,
        mut loaded: bool,
        now_ms: u64,
    ) -> io::Result<(Sent, u64)> {
        let mut went_out = 0;
        loop {
            if self.sent < self.bytes.len() {
                // A head leaves with the beginning of its file, in one segment.
                let more = matches!(self.rest.front(), Some(Segment::File { .. }));
                match transport.send(&self.bytes[self.sent..], more)? {
                    Transfer::WouldBlock => return Ok((Sent::Blocked, went_out)),
                    Transfer::Bytes(count) => {
                        self.sent += count;
                        went_out += count as u64;
                    }
                }
                if self.sent < self.bytes.len() {
                    return Ok((Sent::Blocked, went_out));
                }
            }
            self.sent = 0;
            // An idle connection keeps no memory for what it has sent.
            buffers.give(std::mem::take(&mut self.bytes));
            match self.rest.front_mut() {
                None => {
                    if self.rest.capacity() > 0 {
                        self.rest = VecDeque::new();
                    }
                    return Ok((Sent::All, went_out));
                }
                Some(Segment::Bytes(bytes)) => {
                    self.bytes = std::mem::take(bytes);
                    self.rest.pop_front();
                }
                Some(Segment::File { source, offset, end }) => {
                    let length = (*end - *offset).min(PIECE - *offset % PIECE) as usize;
                    let Some(file) = source.held() else { return Ok((Sent::Shrunk, went_out)) };
                    if file.waits() {
                        return Ok((Sent::to_fetch(source, *offset, length), went_out));
                    }
                    let file = file.as_fd();
                    if !std::mem::take(&mut loaded) && !source.is_resident(*offset, length, now_ms)
                    {
                        return Ok((Sent::to_load(source, *offset, length), went_out));
                    }
                    // Until the socket is full: what has been found resident needs no second look.
                    let piece_end = *offset + length as u64;
                    while *offset < piece_end {
                        let left = (piece_end - *offset) as usize;
                        match transport.send_file(file, *offset, left)? {
                            Transfer::WouldBlock => return Ok((Sent::Blocked, went_out)),
                            Transfer::Bytes(0) => return Ok((Sent::Shrunk, went_out)),
                            Transfer::Bytes(count) => {
                                *offset += count as u64;
                                went_out += count as u64;
                            }
                        }
                    }
                    if *offset == *end {
                        self.rest.pop_front();
                    } else {
                        return Ok((Sent::Yielded, went_out));
                    }
                }
            }
        }
    }

    /// As [`send_plain`](Self::send_plain), over TLS: bytes and pieces of files are sealed together, so that a head leaves in one record with what follows it.
    fn send_sealed(
        &mut self,
        tls: &mut Tls,
        records: &mut Records,
        buffers: &mut Buffers,
        mut loaded: bool,
        now_ms: u64,
    ) -> io::Result<(Sent, u64)> {
        let mut went_out = 0;
        loop {
            let have = self.bytes.len() - self.sent;
            match self.rest.front_mut() {
                None if have == 0 => {
                    if !tls.flush(buffers)? {
                        return Ok((Sent::Blocked, went_out));
                    }
                    self.sent = 0;
                    buffers.give(std::mem::take(&mut self.bytes));
                    if self.rest.capacity() > 0 {
                        self.rest = VecDeque::new();
                    }
                    return Ok((Sent::All, went_out));
                }
                Some(Segment::Bytes(bytes)) if have == 0 => {
                    self.sent = 0;
                    buffers.give(std::mem::replace(&mut self.bytes, std::mem::take(bytes)));
                    self.rest.pop_front();
                    continue;
                }
                Some(Segment::File { source, offset, end }) if have < SEALED_AT_ONCE => {
                    let length = (*end - *offset).min((SEALED_AT_ONCE - have) as u64) as usize;
                    let Some(file) = source.held() else { return Ok((Sent::Shrunk, went_out)) };
                    if self.bytes.capacity() == 0 {
                        self.bytes = buffers.take_for(SEALED_AT_ONCE);
                    }
                    let read = if file.waits() {
                        None
                    } else {
                        read_at_once(file.as_fd(), *offset, length, &mut self.bytes)?
                    };
                    match read {
                        Some(0) if have == 0 => return Ok((Sent::Shrunk, went_out)),
                        Some(count) => {
                            loaded = false;
                            *offset += count as u64;
                            if *offset >= *end {
                                self.rest.pop_front();
                            }
                        }
                        // What is before it goes out first.
                        None if have > 0 => {}
                        None => {
                            let length = (*end - *offset).min(PIECE - *offset % PIECE) as usize;
                            // What was read in and is gone again is not asked for twice.
                            let fetch = file.waits() || std::mem::take(&mut loaded);
                            let absent = if fetch { Sent::to_fetch } else { Sent::to_load };
                            return Ok((absent(source, *offset, length), went_out));
                        }
                    }
                }
                _ => {}
            }
            if went_out >= SEALED_IN_TURN {
                return Ok((Sent::Yielded, went_out));
            }
            match tls.send(&self.bytes[self.sent..], records, buffers, now_ms)? {
                Transfer::WouldBlock => return Ok((Sent::Blocked, went_out)),
                Transfer::Bytes(count) => {
                    self.sent += count;
                    went_out += count as u64;
                }
            }
            if self.sent == self.bytes.len() {
                self.sent = 0;
                buffers.give(std::mem::take(&mut self.bytes));
            }
        }
    }
}

impl Sent {
    fn to_load(source: &OpenFile, offset: u64, length: usize) -> Self {
        Self::Absent { source: source.clone(), offset, length, fetch: false }
    }

    fn to_fetch(source: &OpenFile, offset: u64, length: usize) -> Self {
        let length = length.min(FETCHED);
        Self::Absent { source: source.clone(), offset, length, fetch: true }
    }
}
