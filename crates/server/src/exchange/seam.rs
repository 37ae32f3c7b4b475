//! What a client protocol and a responder may ask of each other, by way of an exchange.
//!
//! Calls go one way at a time, so that nothing is entered twice. A client hands a request to what answers ([`Respond`]) and gets back what is there at
//! once. A responder gives what comes later to the client ([`Client`]), through [`deliver`](super::deliver). What a client tells of itself later is a
//! [`Note`], which the responders read once a turn.

use super::Exchange;
use super::answer::Answer;
use super::turn::Turn;
use crate::filters::head::ResponseHead;
use crate::peer::Peer;
use gwanmun_files::FileEntry;
use gwanmun_http1::{HeaderSpan, RequestHead};
use gwanmun_reactor::HeldFile;
use gwanmun_reactor::arena::Key;
use gwanmun_sys::syscall::Transfer;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

/// A request whose head has come.
pub(crate) struct Request<'a> {
    pub(crate) peer: &'a Peer,
    /// The client's socket, to ask for its address. None: it has none.
    pub(crate) socket: Option<BorrowedFd<'a>>,
    /// The head, and what of the body has come with it.
    pub(crate) bytes: &'a [u8],
    pub(crate) head: &'a RequestHead,
    pub(crate) headers: &'a mut Vec<HeaderSpan>,
}

impl Request<'_> {
    /// Bytes of its body that have come with its head, if they are the request's own.
    pub(crate) fn here(&self) -> usize {
        self.bytes.len() - self.head.len
    }
}

/// How a request is going to be answered.
pub(crate) enum Start {
    /// By this, at once. A body is not wanted.
    Answer(Answer),
    /// With an error, after which the client can't go on: a status, and why, for the logs.
    Refused(u16, &'static str),
    /// When the answer is there. A body is not wanted.
    Started,
    /// Whether it may begin is being found out. Its client keeps it as it has come, and starts it again after [`Client::on_decided`].
    Undecided,
    /// Its body is to be collected first, up to so many bytes; then comes [`Respond::proceed`].
    Collect { limit: u64 },
    /// Its body, of at most so many bytes, is passed on as it comes.
    Pass { limit: u64 },
}

impl Start {
    pub(crate) const TOO_LARGE_TO_PASS: Self =
        Self::Refused(431, "the request head is too large to pass on");
}

/// What answers: the mounts.
pub(crate) trait Respond {
    /// Begins to answer a request.
    fn start(&mut self, turn: &mut Turn, key: Key, request: &mut Request<'_>) -> Start;

    /// The request's body has been collected: `length` bytes, which the exchange has.
    fn proceed(&mut self, turn: &mut Turn, key: Key, length: u64) -> Option<Answer>;

    /// How many bytes of a body that is passed on are taken now. After 0, [`Client::on_room`] says when there are some.
    fn room(&mut self, turn: &mut Turn, key: Key) -> usize;

    /// Passes on a piece of the body, within that room.
    fn body(&mut self, turn: &mut Turn, key: Key, bytes: &[u8], end: bool);

    /// Receives a piece from the client's socket straight to where it goes, `most` bytes at the most. `left`: bytes to the body's end. `None`: it is to be
    /// received and passed on.
    fn receive(
        &mut self,
        turn: &mut Turn,
        key: Key,
        from: BorrowedFd<'_>,
        most: usize,
        left: u64,
    ) -> Option<io::Result<Transfer>>;
}

/// A part of a response's body.
pub(crate) enum Body<'a> {
    Bytes(&'a [u8]),
    /// Of a file that is kept in memory or open.
    Entry(&'a Arc<FileEntry>, u64, u64),
    /// Of a file that an application has opened.
    Passed(Arc<HeldFile>, u64, u64),
}

impl Body<'_> {
    pub(crate) const NONE: Self = Self::Bytes(b"");
}

/// Who has asked: what a client protocol does for an exchange.
pub(crate) trait Client {
    fn peer(&self) -> &Peer;

    /// Whether a response may be compressed as it comes, beside all else that is held for this client.
    fn has_room_to_compress(&self, exchange: &Exchange) -> bool;

    /// Counts what an exchange comes to hold.
    fn charge(&mut self, exchange: &mut Exchange, bytes: usize, files: usize);

    /// Writes the head of a response, whose exchange says how long its body is, with the body's beginning. `end`: that is all of it.
    fn head(
        &mut self,
        turn: &mut Turn,
        key: Key,
        head: &ResponseHead<'_>,
        body: Body<'_>,
        end: bool,
    );

    /// Writes a part of the body. `end`: it is the last, and the exchange is complete with it.
    fn body(&mut self, turn: &mut Turn, key: Key, body: Body<'_>, end: bool);

    /// Writes an informational head, if the client may want it.
    fn informational(&mut self, turn: &mut Turn, key: Key, status: u16, lines: &[u8]);

    /// The response can't be completed, and the exchange is broken off: its client must notice.
    fn abort(&mut self, turn: &mut Turn, key: Key);

    /// It is known whether a request may begin.
    fn on_decided(&mut self, turn: &mut Turn);

    /// More of a request's body is taken than [`Respond::room`] said last.
    fn on_room(&mut self, turn: &mut Turn, key: Key);
}

/// All clients of a thread. Which type that is, is known when this is compiled: a call costs no more than it would without the wall.
pub(crate) trait Clients {
    type Client: Client;

    /// The client of this key, unless it is gone.
    fn client(&mut self, key: Key) -> Option<&mut Self::Client>;
}

/// What clients tell the responders of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Note {
    /// The client has taken what it was sent: more may come.
    Taken(Key),
    /// The client has ended its side, and so has most likely left.
    Closed(Key),
    /// Nobody waits for the answer any more.
    Cancelled(Key),
}
