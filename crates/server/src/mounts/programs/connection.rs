//! A run's connection to its program: the request goes out and the response comes in at the same time, whichever of them the program cares for (F26).

use super::answer::Output;
use super::errors::{Failure, Stderr};
use crate::exchange::RequestBody;
use crate::exchange::seam::Clients;
use crate::exchange::turn::Turn;
use crate::shared::message::Message;
use gwanmun_cgi::variables::Variables;
use gwanmun_fastcgi::{self as fastcgi, Event, HEADER, MAX_BODY, Reader, Status};
use gwanmun_files::{fetch, read_resident};
use gwanmun_reactor::HeldFile;
use gwanmun_reactor::arena::Key;
use gwanmun_reactor::epoll::Readiness;
use gwanmun_sys::syscall::{self, Transfer};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// Receives of one connection before others have their turn.
const TURNS: u32 = 8;

#[derive(Debug)]
pub(super) struct Connection {
    fd: OwnedFd,
    readable: bool,
    writable: bool,
    out: Vec<u8>,
    sent: usize,
    body: Sending,
    reader: Reader,
    /// Bytes that have come.
    received: u64,
    /// Something has gone or come since that was asked last.
    moved: bool,
}

/// What of the request's body is not in `out`.
#[derive(Debug)]
enum Sending {
    Nothing,
    File {
        file: Arc<HeldFile>,
        offset: u64,
        end: u64,
        is_loading: bool,
    },
    /// The program takes no more of it.
    Refused,
}

/// How far a connection has come.
#[derive(Debug)]
pub(super) enum Outcome {
    Wait,
    /// There is more to do, after others.
    Yield,
    /// The response is whole.
    End,
    /// It is that of another path of this server.
    Redirect(Box<[u8]>),
    Failed(Failure),
}

impl Connection {
    pub(super) fn new(fd: OwnedFd) -> Self {
        Self {
            fd,
            readable: false,
            writable: false,
            out: Vec::new(),
            sent: 0,
            body: Sending::Nothing,
            reader: Reader::default(),
            received: 0,
            moved: false,
        }
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// What has become possible.
    pub(super) fn note(&mut self, readiness: Readiness) {
        self.readable |= readiness.readable || readiness.read_closed || readiness.gone;
        self.writable |= readiness.writable || readiness.gone;
    }

    pub(super) fn is_writable(&self) -> bool {
        self.writable
    }

    /// Whether something has gone or come since this was asked last.
    pub(super) fn has_moved(&mut self) -> bool {
        std::mem::take(&mut self.moved)
    }

    /// Bytes of the request that have not gone.
    pub(super) fn unsent(&self) -> usize {
        self.out.len() - self.sent
    }

    /// Writes the request. `false`: its variables are too much.
    pub(super) fn write_request(&mut self, variables: &Variables, body: &RequestBody) -> bool {
        self.writable = true;
        self.out.reserve(variables.size() + 256);
        fastcgi::begin(&mut self.out);
        if !fastcgi::params(&mut self.out, variables.iter()) {
            return false;
        }
        match body {
            RequestBody::File(spooled) => {
                let file = Arc::clone(&spooled.file);
                self.body =
                    Sending::File { file, offset: 0, end: spooled.length, is_loading: false };
                return true;
            }
            RequestBody::Memory(bytes) => {
                for piece in bytes.chunks(MAX_BODY) {
                    self.write_piece(piece);
                }
            }
            RequestBody::None | RequestBody::Streamed(_) => {}
        }
        fastcgi::end_of_body(&mut self.out);
        true
    }

    fn write_piece(&mut self, piece: &[u8]) {
        self.out.extend_from_slice(&fastcgi::stdin_header(piece.len()));
        self.out.extend_from_slice(piece);
    }

    /// Takes a piece of the body that has been read from its file.
    pub(super) fn take_piece(&mut self, piece: &[u8]) {
        let Sending::File { offset, end, is_loading, .. } = &mut self.body else { return };
        *is_loading = false;
        *offset += piece.len() as u64;
        let is_last = *offset >= *end;
        self.write_piece(piece);
        if is_last {
            self.body = Sending::Nothing;
            fastcgi::end_of_body(&mut self.out);
        }
    }

    /// Sends and receives as far as that goes. `is_wanted`: there is somebody to have the response; else it only comes to its end.
    pub(super) fn talk(
        &mut self,
        turn: &mut Turn,
        clients: &mut impl Clients,
        (run, exchange, is_wanted): (Key, Key, bool),
        output: &mut Output,
        stderr: &mut Stderr,
        buffer: &mut [u8],
    ) -> Outcome {
        self.send(turn, run);
        for _ in 0..TURNS {
            if !self.readable {
                return Outcome::Wait;
            }
            // No more than the client has room for: then the program waits.
            let ahead = turn.exchanges.get_mut(exchange).and_then(|own| own.responder.ahead_mut());
            let room = match ahead {
                Some(ahead) if is_wanted => (ahead.credit as usize).min(buffer.len()),
                _ => buffer.len(),
            };
            if room == 0 {
                return Outcome::Wait;
            }
            match syscall::receive(self.fd.as_fd(), &mut buffer[..room]) {
                Ok(Transfer::WouldBlock) => self.readable = false,
                Ok(Transfer::Bytes(0)) => {
                    return Outcome::Failed(Failure::Closed(None, self.received));
                }
                Err(error) => {
                    return Outcome::Failed(Failure::Closed(Some(error), self.received));
                }
                Ok(Transfer::Bytes(count)) => {
                    self.received += count as u64;
                    self.moved = true;
                    let mut bytes = &buffer[..count];
                    match self.read(turn, exchange, output, stderr, &mut bytes) {
                        Err(failure) => return Outcome::Failed(failure),
                        Ok(end) => match output.deliver(turn, clients, exchange, end) {
                            Ok(Some(target)) => return Outcome::Redirect(target),
                            Ok(None) if end => return Outcome::End,
                            Ok(None) => {}
                            Err(error) => return Outcome::Failed(Failure::Head(error)),
                        },
                    }
                }
            }
        }
        Outcome::Yield
    }

    /// Reads what has come. Gives whether the response is whole.
    fn read(
        &mut self,
        turn: &mut Turn,
        exchange: Key,
        output: &mut Output,
        stderr: &mut Stderr,
        bytes: &mut &[u8],
    ) -> Result<bool, Failure> {
        while let Some(event) = self.reader.next(bytes).map_err(Failure::Protocol)? {
            match event {
                Event::Stdout(bytes) => output.take(bytes).map_err(Failure::Head)?,
                Event::Stderr(bytes) => stderr.take(turn, exchange, bytes),
                Event::End { status: Status::Complete, exit } => {
                    if let Some(head) = output.unfinished() {
                        return Err(Failure::NoHead(head.to_vec()));
                    }
                    stderr.exit = exit;
                    return Ok(true);
                }
                Event::End { status, .. } => return Err(Failure::Refused(status)),
            }
        }
        Ok(false)
    }

    /// Sends what there is of the request. A program that does not want all of it may answer all the same.
    fn send(&mut self, turn: &mut Turn, run: Key) {
        while self.writable {
            if self.unsent() == 0 {
                self.out.clear();
                self.sent = 0;
                if !self.fill(turn, run) {
                    return;
                }
            }
            match syscall::send(self.fd.as_fd(), &self.out[self.sent..], false) {
                Ok(Transfer::Bytes(count)) => {
                    self.sent += count;
                    self.moved = true;
                }
                Ok(Transfer::WouldBlock) => self.writable = false,
                Err(_) => {
                    self.body = Sending::Refused;
                    self.sent = self.out.len();
                    // What it has answered before can still be read, and so can its end.
                    self.readable = true;
                    return;
                }
            }
        }
    }

    /// Puts the next piece of the body into `out`. `false`: there is none, or not yet.
    fn fill(&mut self, turn: &Turn, run: Key) -> bool {
        let Sending::File { file, offset, end, is_loading } = &mut self.body else { return false };
        if *is_loading {
            return false;
        }
        let length = (*end - *offset).min(MAX_BODY as u64) as usize;
        self.out.extend_from_slice(&fastcgi::stdin_header(length));
        if !read_resident(file.as_fd(), *offset, length, &mut self.out) {
            self.out.truncate(self.out.len() - HEADER);
            *is_loading = true;
            let (file, offset) = (Arc::clone(file), *offset);
            let lane = Arc::clone(file.lane());
            turn.run_blocking(
                &lane,
                move || Message::Piece { run, result: fetch(&file, offset, length) },
                move |error| Message::Piece { run, result: Err(error) },
            );
            return false;
        }
        *offset += length as u64;
        if *offset >= *end {
            self.body = Sending::Nothing;
            fastcgi::end_of_body(&mut self.out);
        }
        true
    }
}
