//! What a program that was started writes: its output is the response, its errors are for the log.

use super::answer::Output;
use super::connection::Outcome;
use super::errors::{Failure, Stderr};
use crate::exchange::seam::Clients;
use crate::exchange::turn::Turn;
use gwanmun_reactor::arena::Key;
use gwanmun_reactor::epoll::Readiness;
use gwanmun_sys::syscall::{self, Transfer};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Reads of one program before others have their turn.
const TURNS: u32 = 8;

#[derive(Debug)]
pub(super) struct Pipes {
    output: OwnedFd,
    errors: OwnedFd,
    /// Which one is, nobody says.
    readable: bool,
    errors_readable: bool,
    /// The output is at its end.
    has_ended: bool,
    moved: bool,
}

impl Pipes {
    pub(super) fn new(output: OwnedFd, errors: OwnedFd) -> Self {
        let (readable, errors_readable) = (true, true);
        Self { output, errors, readable, errors_readable, has_ended: false, moved: false }
    }

    pub(super) fn fds(&self) -> [BorrowedFd<'_>; 2] {
        [self.output.as_fd(), self.errors.as_fd()]
    }

    pub(super) fn note(&mut self, readiness: Readiness) {
        let is_readable = readiness.readable || readiness.gone || readiness.read_closed;
        self.readable |= is_readable;
        self.errors_readable |= is_readable;
    }

    /// Whether something has come since this was asked last.
    pub(super) fn has_moved(&mut self) -> bool {
        std::mem::take(&mut self.moved)
    }

    pub(super) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Reads as far as that goes. [`Outcome::End`]: the output is at its end. `is_wanted`: there is somebody to have it.
    pub(super) fn talk(
        &mut self,
        turn: &mut Turn,
        clients: &mut impl Clients,
        (exchange, is_wanted): (Key, bool),
        output: &mut Output,
        stderr: &mut Stderr,
        buffer: &mut [u8],
    ) -> Outcome {
        for _ in 0..TURNS {
            // Also while the client has no room: a program that complains must not stand still (C44).
            self.read_errors(turn, exchange, stderr, buffer);
            if !self.readable || self.has_ended {
                return Outcome::Wait;
            }
            let ahead = turn.exchanges.get_mut(exchange).and_then(|own| own.responder.ahead_mut());
            let room = match ahead {
                Some(ahead) if is_wanted => (ahead.credit as usize).min(buffer.len()),
                _ => buffer.len(),
            };
            if room == 0 {
                return Outcome::Wait;
            }
            match syscall::read(self.output.as_fd(), &mut buffer[..room]) {
                Ok(Transfer::WouldBlock) => self.readable = false,
                Ok(Transfer::Bytes(0)) | Err(_) => {
                    self.has_ended = true;
                    self.read_errors(turn, exchange, stderr, buffer);
                    return Outcome::End;
                }
                Ok(Transfer::Bytes(count)) => {
                    self.moved = true;
                    if let Err(error) = output.take(&buffer[..count]) {
                        return Outcome::Failed(Failure::Head(error));
                    }
                    match output.deliver(turn, clients, exchange, false) {
                        Ok(None) => {}
                        Ok(Some(target)) => return Outcome::Redirect(target),
                        Err(error) => return Outcome::Failed(Failure::Head(error)),
                    }
                }
            }
        }
        Outcome::Yield
    }

    pub(super) fn read_errors(
        &mut self,
        turn: &Turn,
        exchange: Key,
        stderr: &mut Stderr,
        buffer: &mut [u8],
    ) {
        for _ in 0..TURNS {
            if !self.errors_readable {
                return;
            }
            match syscall::read(self.errors.as_fd(), buffer) {
                Ok(Transfer::Bytes(count @ 1..)) => stderr.take(turn, exchange, &buffer[..count]),
                Ok(Transfer::Bytes(_) | Transfer::WouldBlock) | Err(_) => {
                    self.errors_readable = false
                }
            }
        }
    }
}
