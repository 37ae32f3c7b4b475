//! What a connection still has to send: bytes and pieces of files, in order.

use crate::mounts::files::FileEntry;
use crate::syscall::{self, Transfer};
use crate::thread::buffers::Buffers;
use std::collections::VecDeque;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

/// Most bytes of a file that one call sends, so that one fast client does not hold up the others of its thread, and so that
/// residency is asked about small pieces.
const FILE_CHUNK: u64 = 512 * 1024;

#[derive(Debug, Default)]
pub(crate) struct Output {
    segments: VecDeque<Segment>,
}

#[derive(Debug)]
enum Segment {
    Bytes { buffer: Vec<u8>, sent: usize },
    File { entry: Arc<FileEntry>, offset: u64, end: u64 },
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
    /// This piece of the file must be read into memory first, by a thread that may block.
    Absent { entry: Arc<FileEntry>, offset: u64, length: usize },
    /// The file has become shorter than what was announced.
    Shrunk,
}

impl Output {
    pub(crate) fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// A buffer whose content is sent after everything that is there.
    pub(crate) fn tail(&mut self, buffers: &mut Buffers) -> &mut Vec<u8> {
        if !matches!(self.segments.back(), Some(Segment::Bytes { .. })) {
            self.segments.push_back(Segment::Bytes { buffer: buffers.take(), sent: 0 });
        }
        match self.segments.back_mut() {
            Some(Segment::Bytes { buffer, .. }) => buffer,
            _ => unreachable!("a segment of bytes was pushed if the last was none"),
        }
    }

    pub(crate) fn push_file(&mut self, entry: Arc<FileEntry>, offset: u64, end: u64) {
        if offset < end {
            self.segments.push_back(Segment::File { entry, offset, end });
        }
    }

    pub(crate) fn append(&mut self, mut other: Self, buffers: &mut Buffers) {
        if let Some(Segment::Bytes { buffer, sent: 0 }) = other.segments.front()
            && matches!(self.segments.back(), Some(Segment::Bytes { .. }))
        {
            // Small answers of a pipeline become one send.
            self.tail(buffers).extend_from_slice(buffer);
            if let Some(Segment::Bytes { buffer, .. }) = other.segments.pop_front() {
                buffers.give(buffer);
            }
        }
        self.segments.append(&mut other.segments);
    }

    pub(crate) fn clear(&mut self, buffers: &mut Buffers) {
        for segment in self.segments.drain(..) {
            if let Segment::Bytes { buffer, .. } = segment {
                buffers.give(buffer);
            }
        }
    }

    /// Sends as much as the socket takes. `loaded`: the first piece of a file has just been read in.
    /// Gives where it came to and whether any byte went out.
    pub(crate) fn send(
        &mut self,
        fd: BorrowedFd<'_>,
        buffers: &mut Buffers,
        mut loaded: bool,
    ) -> io::Result<(Sent, bool)> {
        let mut progress = false;
        loop {
            match self.segments.front_mut() {
                None => {
                    // An idle connection keeps no memory for its queue.
                    self.segments = VecDeque::new();
                    return Ok((Sent::All, progress));
                }
                Some(Segment::Bytes { buffer, sent }) => {
                    if *sent < buffer.len() {
                        match syscall::send(fd, &buffer[*sent..])? {
                            Transfer::WouldBlock => return Ok((Sent::Blocked, progress)),
                            Transfer::Bytes(count) => *sent += count,
                        }
                        progress = true;
                        if *sent < buffer.len() {
                            return Ok((Sent::Blocked, progress));
                        }
                    }
                    if let Some(Segment::Bytes { buffer, .. }) = self.segments.pop_front() {
                        buffers.give(buffer);
                    }
                }
                Some(Segment::File { entry, offset, end }) => {
                    let length = (*end - *offset).min(FILE_CHUNK) as usize;
                    let Some(file) = entry.fd() else { return Ok((Sent::Shrunk, progress)) };
                    if !std::mem::take(&mut loaded) && !crate::mounts::files::resident(file, *offset, length) {
                        let absent = Sent::Absent { entry: Arc::clone(entry), offset: *offset, length };
                        return Ok((absent, progress));
                    }
                    match syscall::send_file(fd, file, *offset, length)? {
                        Transfer::WouldBlock => return Ok((Sent::Blocked, progress)),
                        Transfer::Bytes(0) => return Ok((Sent::Shrunk, progress)),
                        Transfer::Bytes(count) => *offset += count as u64,
                    }
                    progress = true;
                    if *offset == *end {
                        self.segments.pop_front();
                    } else {
                        return Ok((Sent::Yielded, progress));
                    }
                }
            }
        }
    }
}
