//! An end of a log: a file, a pipe, a terminal, and how to write to each without being held up.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use super::Target;

/// What a pipe takes whole or not at all, at least on Linux, so that lines are not mixed with those of other writers.
/// A pipe that polls as writable has room for it, so a write does not block even if the pipe could.
const STREAM_PIECE: usize = 4096;

/// A queue that grew in a burst gives its memory back above this.
const KEPT_CAPACITY: usize = 256 * 1024;

/// An open target, and what is to be written to it now.
pub(super) struct Sink {
    /// `None` in tests that give a descriptor.
    target: Option<Target>,
    /// `None` once nobody reads any more.
    output: Option<File>,
    /// Not a regular file: may take nothing for a while.
    is_stream: bool,
    chunk: Vec<u8>,
    written: usize,
    /// A line was written in part before a disk was full; the next one needs a line of its own.
    torn: bool,
}

/// How far a write went.
pub(super) enum Progress {
    /// All is written.
    Done,
    /// The target takes nothing now.
    Blocked,
    /// So many lines could not be written, and why.
    Lost(u64, io::Error),
    /// Nobody reads any more.
    Closed,
}

impl Sink {
    pub(super) fn open(target: Target) -> io::Result<Sink> {
        let output = match &target {
            Target::Stdout => duplicate(io::stdout().as_fd()),
            Target::Stderr => duplicate(io::stderr().as_fd()),
            Target::File(path) => Some(append_to(path)?),
        };
        Ok(Sink::new(Some(target), output))
    }

    fn new(target: Option<Target>, output: Option<File>) -> Sink {
        let is_stream = output.as_ref().is_some_and(is_stream);
        Sink { target, output, is_stream, chunk: Vec::new(), written: 0, torn: false }
    }

    /// Whether both write to the same file, pipe or terminal.
    pub(super) fn is_same(&self, other: &Sink) -> bool {
        let place = |sink: &Sink| {
            let metadata = sink.output.as_ref()?.metadata().ok()?;
            Some((metadata.dev(), metadata.ino()))
        };
        place(self).is_some_and(|here| place(other) == Some(here))
    }

    /// Takes the bytes to be written next, if those before are done. Says how many.
    pub(super) fn take(&mut self, bytes: &mut Vec<u8>) -> Option<usize> {
        if !self.chunk.is_empty() || bytes.is_empty() {
            return None;
        }
        std::mem::swap(&mut self.chunk, bytes);
        Some(self.chunk.len())
    }

    /// Writes as much of the chunk as goes without waiting for a reader.
    pub(super) fn write(&mut self) -> Progress {
        let Some(output) = &mut self.output else {
            self.finish();
            return Progress::Closed;
        };
        while self.written < self.chunk.len() {
            let rest = &self.chunk[self.written..];
            if self.is_stream && !poll(&[output.as_fd()], Duration::ZERO) {
                return Progress::Blocked;
            }
            let result = if self.torn {
                output.write(b"\n").map(|count| {
                    self.torn = count == 0;
                    0
                })
            } else {
                output.write(if self.is_stream { stream_piece(rest) } else { rest })
            };
            match result {
                Ok(count) => self.written += count,
                Err(error) => match error.raw_os_error() {
                    Some(libc::EINTR) => {}
                    Some(libc::EAGAIN) => return Progress::Blocked,
                    // Nobody reads, and nobody will: a pipe or socket without its other end, a terminal that hung up, a
                    // descriptor that was never open for writing. Nothing is left to tell it to.
                    Some(libc::EPIPE | libc::ECONNRESET | libc::ENOTCONN | libc::EBADF) => {
                        return self.close();
                    }
                    Some(libc::EIO) if self.is_stream => return self.close(),
                    // A full disk may have room later.
                    _ => return self.give_up(error),
                },
            }
        }
        self.finish();
        Progress::Done
    }

    /// Opens a file anew by its name.
    pub(super) fn reopen(&mut self) -> Result<(), String> {
        let Some(Target::File(path)) = &self.target else { return Ok(()) };
        let file = append_to(path)
            .map_err(|error| format!("log file {} was not reopened: {error}", path.display()))?;
        self.is_stream = is_stream(&file);
        self.output = Some(file);
        self.torn = false;
        Ok(())
    }

    /// Whether nobody reads any more.
    pub(super) fn is_closed(&self) -> bool {
        self.output.is_none()
    }

    fn close(&mut self) -> Progress {
        self.output = None;
        self.finish();
        Progress::Closed
    }

    fn give_up(&mut self, error: io::Error) -> Progress {
        let (written, rest) = self.chunk.split_at(self.written);
        let lost = count_lines(rest);
        self.torn |= written.last().is_some_and(|&byte| byte != b'\n');
        self.finish();
        Progress::Lost(lost, error)
    }

    fn finish(&mut self) {
        self.written = 0;
        self.chunk.clear();
        if self.chunk.capacity() > KEPT_CAPACITY {
            self.chunk = Vec::new();
        }
    }
}

/// Non-blocking, or opening a FIFO would wait for its reader.
fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o640)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
}

/// A descriptor of our own: should somebody close number 1, its next owner may be a client's connection. `None` if it is
/// closed already, as it is for some daemons.
fn duplicate(fd: BorrowedFd<'_>) -> Option<File> {
    fd.try_clone_to_owned().map(File::from).ok()
}

fn is_stream(file: &File) -> bool {
    !file.metadata().is_ok_and(|metadata| metadata.is_file())
}

/// Whole lines of at most [`STREAM_PIECE`] bytes together, or a piece of a longer line.
fn stream_piece(bytes: &[u8]) -> &[u8] {
    if bytes.len() <= STREAM_PIECE {
        return bytes;
    }
    let piece = &bytes[..STREAM_PIECE];
    match piece.iter().rposition(|&byte| byte == b'\n') {
        Some(end) => &piece[..=end],
        None => piece,
    }
}

/// Waits a moment for one of the sinks that have more to write.
pub(super) fn wait_writable(sinks: &[Sink], limit: Duration) {
    let blocked: Vec<BorrowedFd<'_>> = sinks
        .iter()
        .filter(|sink| !sink.chunk.is_empty())
        .filter_map(|sink| sink.output.as_ref().map(AsFd::as_fd))
        .collect();
    if poll(&blocked, limit) {
        // Something polls as writable and yet may refuse; do not spin on it.
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// Whether one of these can be written to, or has nobody reading any more.
fn poll(fds: &[BorrowedFd<'_>], limit: Duration) -> bool {
    let mut list: Vec<libc::pollfd> = fds
        .iter()
        .map(|fd| libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLOUT, revents: 0 })
        .collect();
    let limit = i32::try_from(limit.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: `list` is an array of as many initialised `pollfd` as is said, and outlives the call.
    let ready = unsafe { libc::poll(list.as_mut_ptr(), list.len() as libc::nfds_t, limit) };
    ready > 0
}

impl From<OwnedFd> for Sink {
    fn from(fd: OwnedFd) -> Sink {
        Sink::new(None, Some(fd.into()))
    }
}

fn count_lines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|&&byte| byte == b'\n').count() as u64
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    const LINE: &[u8; 64] = b"0123456789012345678901234567890123456789012345678901234567890..\n";

    #[test]
    fn after_half_a_line_the_next_one_starts_anew() {
        let (mut reader, writer) = io::pipe().unwrap();
        let mut sink = Sink::from(OwnedFd::from(writer));
        sink.chunk = b"one\ntwo\nthree\n".to_vec();
        sink.written = 6;
        let error = io::Error::from_raw_os_error(libc::ENOSPC);
        assert!(matches!(sink.give_up(error), Progress::Lost(2, _)));
        sink.chunk = b"four\n".to_vec();
        assert!(matches!(sink.write(), Progress::Done));
        drop(sink);
        let mut log = String::new();
        reader.read_to_string(&mut log).unwrap();
        assert_eq!(log, "\nfour\n");
    }

    #[test]
    fn pieces_end_at_lines() {
        let lines = LINE.repeat(100);
        assert_eq!(stream_piece(&lines).len(), STREAM_PIECE);
        assert_eq!(stream_piece(&lines[1..]).len(), STREAM_PIECE - 1);
        assert_eq!(stream_piece(&lines[..100]).len(), 100);
        assert_eq!(stream_piece(&[b'x'; 10_000]).len(), STREAM_PIECE);
    }
}
