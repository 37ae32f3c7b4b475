//! A link: this thread's socketpair to one worker, its streams, and what waits to be written to it.

use crate::exchange::responder::StreamName;
use crate::pools::Pool;
use crate::pools::memory::WorkerMemory;
use gwanmun_gateway::frame::{
    self, FLAG_END, FLAG_FD, FLAG_NARROW, FLAG_SHARED, FrameError, Kind, MAX_PAYLOAD, ResetReason,
};
use gwanmun_gateway::names::{MAX_NAMES, NamesId, NamesTable};
use gwanmun_gateway::pairs::write_pairs;
use gwanmun_gateway::request::{HeadView, set_names_number};
use gwanmun_gateway::response::Encoding;
use gwanmun_http1::response::BlockFacts;
use gwanmun_reactor::HeldFile;
use gwanmun_reactor::arena::{Arena, Key};
use gwanmun_sys::descriptors::is_exhaustion;
use gwanmun_sys::passing::{Received, send_with_fd};
use gwanmun_sys::syscall::{self, Transfer};
use slab::Slab;
use socket2::SockRef;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Arc;

pub(crate) type Links = Arena<Link>;

/// Bytes of header lines that a worker may have defined on one link at once.
const MAX_BLOCK_BYTES: usize = 4 * 1024 * 1024;
/// With more than this unsent, no streamed request body goes to the worker until all of it is sent.
const CONGESTED: usize = 64 * 1024;
/// A piece of a body of so many bytes is sent at once, which saves a copy; shorter ones share a system call.
const DIRECT: usize = 8 * 1024;
/// What the kernel is asked to hold of a link in each direction; it makes twice as much of it, for its own bookkeeping too. Its
/// default, this undoubled, is full with three pieces of a body, and the two sides wait for each other all the time. No more,
/// for every system allows this, and a multiple does not stay in the processor's cache.
const SEND_BUFFER: usize = 208 * 1024;
/// A worker with a request that it has not begun for so long gets no more from this thread.
const STALLED_AFTER_MS: u64 = 5;

#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) worker: u32,
    /// The number that operators know the worker by, once it is ready.
    pub(crate) number: u32,
    pub(crate) pool: Arc<Pool>,
    pub(crate) fd: OwnedFd,
    pub(crate) state: LinkState,
    /// The worker wants to know of clients that have ended their side.
    pub(crate) wants_closed: bool,
    /// The worker reads pieces of bodies from the shared buffers.
    pub(crate) shares: bool,
    /// How its worker reads heads, from HELLO on.
    pub(crate) encoding: Encoding,
    /// No more requests, but for those that another thread has assigned to it already.
    pub(crate) draining: bool,
    /// No request is on its way to it any more: it is shut down when its streams have ended.
    pub(crate) ending: bool,
    pub(crate) shut: bool,
    pub(crate) dirty: bool,
    /// The kernel did not take everything; the event loop tells when it takes more.
    pub(crate) blocked: bool,
    /// The kernel had no memory, or no room for another descriptor on its way: nothing tells when it has.
    pub(crate) starved: bool,
    /// Bytes of a frame that has not arrived completely.
    pub(crate) partial: Vec<u8>,
    /// The worker passes descriptors: only then is it worth looking for them.
    pub(crate) passing: bool,
    /// Descriptors that came with frames that are not handled yet.
    pub(crate) descriptors: VecDeque<Received>,
    pub(crate) streams: Slab<Stream>,
    blocks: Vec<Option<Rc<Block>>>,
    block_bytes: usize,
    memory: Arc<WorkerMemory>,
    slot: usize,
    sequence: u32,
    unstarted: VecDeque<(u32, u64)>,
    /// By their number: the names that the worker knows by it.
    names_sent: Vec<NamesId>,
    out: Vec<u8>,
    out_sent: usize,
    /// Descriptors to pass, each with the position in `out` of the frame that it belongs to.
    out_files: VecDeque<(usize, Arc<HeldFile>)>,
    /// Exchanges whose request bodies are held back until everything is sent.
    pub(crate) held_back: Vec<Key>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinkState {
    /// Nothing has come yet.
    Connected,
    /// HELLO has come; the applications are loading.
    Greeted {
        concurrency: u32,
    },
    Ready,
}

/// Most 1xx responses before the final one (H36).
const MAX_INFORMATIONAL: u8 = 16;

/// An open stream of a link; its number is its index + 1.
///
/// What the worker may send next depends on what it has sent, and on nothing else: the client may be gone, or have got an answer of the
/// core's, at any time between.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stream {
    pub(crate) exchange: Key,
    pub(crate) sequence: u32,
    informed: u8,
    has_head: bool,
    has_trailers: bool,
    /// RESET has been sent: the worker may end it as it likes.
    reset: bool,
    /// It was begun behind other responses: no descriptor comes with it.
    pub(crate) is_narrow: bool,
}

impl Stream {
    fn new(exchange: Key, sequence: u32, is_narrow: bool) -> Self {
        Self {
            exchange,
            sequence,
            informed: 0,
            has_head: false,
            has_trailers: false,
            reset: false,
            is_narrow,
        }
    }

    /// # Errors
    /// The worker has sent its HEAD before.
    pub(crate) fn on_head(&mut self) -> Result<(), FrameError> {
        if std::mem::replace(&mut self.has_head, true) {
            return Err(FrameError("a second HEAD on one stream"));
        }
        Ok(())
    }

    /// # Errors
    /// It comes after HEAD, or too often.
    pub(crate) fn on_informational(&mut self) -> Result<(), FrameError> {
        self.informed += 1;
        if self.has_head || self.informed > MAX_INFORMATIONAL {
            return Err(FrameError("INFO must come before HEAD, and at most 16 times"));
        }
        Ok(())
    }

    /// # Errors
    /// It comes before HEAD.
    pub(crate) fn on_body(&self) -> Result<(), FrameError> {
        if self.has_head || self.reset {
            return Ok(());
        }
        Err(FrameError("body before HEAD"))
    }

    /// # Errors
    /// It comes before HEAD, or again.
    pub(crate) fn on_trailers(&mut self) -> Result<(), FrameError> {
        if !self.has_head || std::mem::replace(&mut self.has_trailers, true) {
            return Err(FrameError("TRAILERS must come once, after HEAD"));
        }
        Ok(())
    }
}

/// Header lines that a worker has defined once.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) lines: Box<[u8]>,
    pub(crate) facts: BlockFacts,
}

/// A request body as it crosses.
pub(crate) enum Passed<'a> {
    None,
    Bytes(&'a [u8]),
    File(&'a Arc<HeldFile>),
    /// It follows when the worker grants credit.
    Later,
}

/// The two ends of a new link: the core's and the worker's.
pub(crate) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let (near, far) = UnixStream::pair()?;
    for end in [&near, &far] {
        end.set_nonblocking(true)?;
        // A failure costs time only.
        let _ = SockRef::from(end).set_send_buffer_size(SEND_BUFFER);
    }
    Ok((near.into(), far.into()))
}

impl Link {
    pub(crate) fn new(
        worker: u32,
        pool: Arc<Pool>,
        fd: OwnedFd,
        memory: Arc<WorkerMemory>,
        slot: usize,
    ) -> Self {
        Self {
            worker,
            number: 0,
            pool,
            fd,
            state: LinkState::Connected,
            wants_closed: false,
            shares: false,
            encoding: Encoding::Offsets,
            draining: false,
            ending: false,
            shut: false,
            dirty: false,
            blocked: false,
            starved: false,
            partial: Vec::new(),
            passing: false,
            descriptors: VecDeque::new(),
            streams: Slab::new(),
            blocks: Vec::new(),
            block_bytes: 0,
            memory,
            slot,
            sequence: 0,
            unstarted: VecDeque::new(),
            names_sent: Vec::new(),
            out: Vec::new(),
            out_sent: 0,
            out_files: VecDeque::new(),
            held_back: Vec::new(),
        }
    }

    /// Queues a request and gives its stream. `is_narrow`: its response has to wait behind others.
    pub(crate) fn send_request(
        &mut self,
        exchange: Key,
        head: &[u8],
        body: &Passed<'_>,
        is_narrow: bool,
        names: &NamesTable,
        now_ms: u64,
    ) -> u32 {
        self.sequence = self.sequence.wrapping_add(1);
        let stream =
            self.streams.insert(Stream::new(exchange, self.sequence, is_narrow)) as u32 + 1;
        self.unstarted.push_back((self.sequence, now_ms));
        let number = if self.encoding == Encoding::Offsets {
            self.announce_names(HeadView::new(head).names(), names)
        } else {
            0
        };
        let narrow = if is_narrow { FLAG_NARROW } else { 0 };
        let flags = narrow
            | match body {
                Passed::None => FLAG_END,
                Passed::Bytes(_) | Passed::Later => 0,
                Passed::File(file) => {
                    self.out_files.push_back((self.out.len(), Arc::clone(file)));
                    FLAG_END | FLAG_FD
                }
            };
        match self.encoding {
            Encoding::Offsets => {
                let start = self.out.len();
                frame::write(&mut self.out, Kind::Head, flags, stream, self.sequence, head);
                set_names_number(&mut self.out[start..], number);
            }
            Encoding::Pairs => {
                let start = frame::begin(&mut self.out, Kind::Head, flags, stream, self.sequence);
                write_pairs(&mut self.out, head);
                frame::finish(&mut self.out, start);
            }
        }
        if let Passed::Bytes(bytes) = body {
            self.send_body(stream, bytes, true);
        }
        stream
    }

    /// Receives a piece of a request body, `most` bytes at the most, where the worker sees it, and queues the word of that.
    /// `left`: bytes to the body's end. `None`: no buffer is free.
    pub(crate) fn receive_body(
        &mut self,
        stream: u32,
        fd: BorrowedFd<'_>,
        most: usize,
        left: u64,
    ) -> Option<io::Result<Transfer>> {
        if !self.shares {
            return None;
        }
        let buffer = self.memory.free_buffer(self.slot)?;
        let received = self.memory.receive(self.slot, buffer, fd, most);
        if let Ok(Transfer::Bytes(count @ 1..)) = received {
            let flags = FLAG_SHARED | if count as u64 == left { FLAG_END } else { 0 };
            let extra = (buffer << 16 | count) as u32;
            frame::write(&mut self.out, Kind::Data, flags, stream, extra, b"");
        }
        Some(received)
    }

    /// Queues a piece of a request body. `end`: its last; that one may be empty.
    pub(crate) fn send_body(&mut self, stream: u32, bytes: &[u8], end: bool) {
        let (most, last) =
            bytes.split_at(bytes.len().saturating_sub(1) / MAX_PAYLOAD * MAX_PAYLOAD);
        for piece in most.chunks(MAX_PAYLOAD) {
            self.send_piece(stream, piece, 0);
        }
        self.send_piece(stream, last, if end { FLAG_END } else { 0 });
    }

    fn send_piece(&mut self, stream: u32, piece: &[u8], flags: u8) {
        let mut sent = 0;
        if piece.len() >= DIRECT && self.out.is_empty() {
            let header = frame::header(Kind::Data, flags, stream, 0, piece.len());
            let size = header.len() + piece.len();
            let padding = &[0; frame::ALIGN][..frame::padded(size) - size];
            match syscall::send_parts(self.fd.as_fd(), [&header, piece, padding]) {
                Ok(Transfer::Bytes(count)) if count == frame::padded(size) => return,
                Ok(Transfer::Bytes(count)) => sent = count,
                // A broken link is seen when what is queued is sent.
                Ok(Transfer::WouldBlock) | Err(_) => {}
            }
        }
        let is_first = self.out.is_empty();
        frame::write(&mut self.out, Kind::Data, flags, stream, 0, piece);
        if is_first {
            self.out_sent = sent;
        }
    }

    /// Bytes that the worker has not taken.
    pub(crate) fn unsent(&self) -> usize {
        self.out.len() - self.out_sent
    }

    /// Whether so much is unsent that request bodies have to wait.
    pub(crate) fn congested(&self) -> bool {
        self.unsent() > CONGESTED
    }

    /// Queues a frame without a payload, or a small one about the link.
    pub(crate) fn send_frame(&mut self, kind: Kind, stream: u32, extra: u32, payload: &[u8]) {
        frame::write(&mut self.out, kind, 0, stream, extra, payload);
    }

    /// Defines header lines under an id, from now on.
    ///
    /// # Errors
    /// The worker broke a rule of the protocol.
    pub(crate) fn define_block(&mut self, id: u16, block: Block) -> Result<(), FrameError> {
        let index = usize::from(id);
        if self.blocks.len() <= index {
            self.blocks.resize(index + 1, None);
        }
        if let Some(old) = self.blocks[index].take() {
            self.block_bytes -= old.lines.len();
        }
        self.block_bytes += block.lines.len();
        if self.block_bytes > MAX_BLOCK_BYTES {
            // How many it defines is the worker's choice, whatever its application is asked for.
            return Err(FrameError("the BLOCKs of a link must not exceed 4 MiB"));
        }
        self.blocks[index] = Some(Rc::new(block));
        Ok(())
    }

    pub(crate) fn block(&self, id: u16) -> Option<Rc<Block>> {
        self.blocks.get(usize::from(id))?.clone()
    }

    pub(crate) fn stream(&self, stream: u32) -> Option<Stream> {
        self.streams.get((stream as usize).checked_sub(1)?).copied()
    }

    /// # Errors
    /// There is no such stream.
    pub(crate) fn open_stream(&mut self, stream: u32) -> Result<&mut Stream, FrameError> {
        (stream as usize)
            .checked_sub(1)
            .and_then(|index| self.streams.get_mut(index))
            // The worker alone ends streams.
            .ok_or(FrameError("a frame on a stream that is not open"))
    }

    /// Tells the worker, once, that nobody wants the rest of a stream.
    pub(crate) fn reset(&mut self, stream: u32, reason: ResetReason) {
        let Ok(open) = self.open_stream(stream) else { return };
        if !std::mem::replace(&mut open.reset, true) {
            self.send_frame(Kind::Reset, stream, reason as u32, b"");
        }
    }

    /// Removes a stream that has ended in the worker's direction.
    pub(crate) fn end_stream(&mut self, stream: u32) {
        if let Some(ended) = self.streams.try_remove(stream as usize - 1) {
            // A worker can end a stream without a mark, a RESET before it began: it does not leave that one lying.
            self.forget_unstarted(ended.sequence);
        }
    }

    /// Whether the worker had begun a request of this sequence number.
    pub(crate) fn begun(&self, sequence: u32) -> bool {
        reached(self.memory.begun(self.slot), sequence)
    }

    /// Whether the worker has begun the request of a stream.
    pub(crate) fn has_begun(&self, name: StreamName) -> bool {
        let stream = self.stream(name.stream);
        stream.is_some_and(|stream| self.begun(stream.sequence))
    }

    /// How many requests were sent after this one.
    pub(crate) fn age(&self, sequence: u32) -> u32 {
        self.sequence.wrapping_sub(sequence)
    }

    /// Whether the worker leaves requests lying.
    pub(crate) fn stalled(&mut self, now_ms: u64) -> bool {
        self.forget_started();
        self.unstarted
            .front()
            .is_some_and(|&(_, sent)| now_ms.saturating_sub(sent) > STALLED_AFTER_MS)
    }

    /// Writes what is queued. `Ok(false)`: the kernel took only a part.
    pub(crate) fn flush(&mut self) -> io::Result<bool> {
        while self.out_sent < self.out.len() {
            let file = match self.out_files.front() {
                Some((position, _)) if *position == self.out_sent => self.out_files.pop_front(),
                _ => None,
            };
            let end = self.out_files.front().map_or(self.out.len(), |(position, _)| *position);
            let bytes = &self.out[self.out_sent..end];
            let transfer = match &file {
                Some((_, file)) => {
                    syscall::would_block(send_with_fd(self.fd.as_fd(), bytes, file.as_fd()))
                }
                None => syscall::send(self.fd.as_fd(), bytes, false),
            };
            let transfer = match transfer {
                Err(error) if is_exhaustion(&error) => {
                    self.starved = true;
                    Transfer::WouldBlock
                }
                transfer => transfer?,
            };
            match transfer {
                Transfer::Bytes(count) => self.out_sent += count,
                Transfer::WouldBlock => {
                    if let Some(file) = file {
                        self.out_files.push_front(file);
                    }
                    self.drop_sent();
                    return Ok(false);
                }
            }
        }
        self.out.clear();
        self.out_sent = 0;
        if self.out.capacity() > 1024 * 1024 {
            self.out = Vec::new();
        }
        Ok(true)
    }

    /// Gives up the space of what is sent, so that a link that always has something to send does not grow.
    fn drop_sent(&mut self) {
        if self.out_sent > CONGESTED {
            self.out.drain(..self.out_sent);
            for (position, _) in &mut self.out_files {
                *position -= self.out_sent;
            }
            self.out_sent = 0;
        }
    }

    fn forget_started(&mut self) {
        self.forget_unstarted(self.memory.begun(self.slot));
    }

    fn forget_unstarted(&mut self, mark: u32) {
        while let Some(&(sequence, _)) = self.unstarted.front()
            && reached(mark, sequence)
        {
            self.unstarted.pop_front();
        }
    }

    /// Sees to it that the worker knows these names, and gives their number there; 0 if the number has become others'.
    fn announce_names(&mut self, id: NamesId, names: &NamesTable) -> u32 {
        let number = id.number();
        let Some(known) = self.names_sent.get_mut(number as usize) else {
            if number as usize > MAX_NAMES {
                return 0;
            }
            self.names_sent.resize(MAX_NAMES + 1, NamesId::NONE);
            return self.announce_names(id, names);
        };
        if *known == id {
            return number;
        }
        let Some(sequence) = names.sequence(id) else { return 0 };
        *known = id;
        frame::write(&mut self.out, Kind::Names, 0, 0, number, sequence);
        number
    }
}

/// Sequence numbers wrap; those in flight lie close together.
fn reached(mark: u32, sequence: u32) -> bool {
    mark.wrapping_sub(sequence) as i32 >= 0
}
