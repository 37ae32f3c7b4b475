//! TLS over a client's socket: records are opened in the thread's room, and sealed there. An idle client owns no buffer.

use gwanmun_reactor::buffers::Buffers;
use gwanmun_sys::syscall::{self, Transfer};
use gwanmun_tls::{
    Certificates, Ended, Established, MOST_HELD, Outgoing, RECORD, Received, Session,
};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

/// A record with all that it is wrapped in (RFC 8446 §5.2).
const SEALED_RECORD: usize = 5 + RECORD + 256;
/// Plaintext that is sealed at once, and so what of it is held at the most when the client does not take it (T122).
pub(crate) const SEALED_AT_ONCE: usize = 48 * 1024;
/// Sealed, such a part takes a segment of its own: no client waits for the rest of a record that the network has not let through yet (T121).
const SMALL_PART: usize = 1400 - 32;
/// So much of what a client is sent is cut small, when it is the first or nothing was sent for [`RESTED_MS`].
const SENT_SMALL: usize = 32 * 1024;
const RESTED_MS: u64 = 1000;
/// What fits in the ten segments that leave at once (RFC 6928) is not cut: it comes whole, or not at all.
const FIRST_FLIGHT: usize = 10 * 1400;
/// What is sealed and not sent up to this goes with what is sealed next: the server's part of a handshake with the first response (T64).
const JOINED: usize = 4 * 1024;

/// Where the records of a thread's clients are worked on.
#[derive(Debug, Default)]
pub(crate) struct Records {
    incoming: Vec<u8>,
    outgoing: Outgoing,
}

impl Records {
    /// Made when the first client comes.
    fn incoming(&mut self) -> &mut [u8] {
        if self.incoming.is_empty() {
            self.incoming = vec![0; MOST_HELD + SEALED_RECORD];
        }
        &mut self.incoming
    }
}

#[derive(Debug)]
pub(crate) struct Tls {
    fd: OwnedFd,
    session: Session,
    /// The client does not speak TLS, but HTTP.
    is_plain: bool,
    /// Until the handshake is done.
    certificates: Option<Arc<Certificates>>,
    /// Received and not used: part of a record or of a handshake's message.
    held: Vec<u8>,
    /// There may be plaintext in `held`, or in the session.
    has_more: bool,
    /// The socket had less than was asked for.
    is_short: bool,
    /// Sealed; what is before `sent` has left.
    sealed: Vec<u8>,
    sent: usize,
    /// So much more goes in small records.
    small_left: usize,
    /// When bytes were sealed last, by the thread's clock.
    sealed_ms: u64,
    ended: Option<Ended>,
}

impl Tls {
    pub(crate) fn new(fd: OwnedFd, certificates: Arc<Certificates>) -> Self {
        Self {
            fd,
            session: Session::default(),
            is_plain: false,
            certificates: Some(certificates),
            held: Vec::new(),
            has_more: false,
            is_short: false,
            sealed: Vec::new(),
            sent: 0,
            small_left: SENT_SMALL,
            sealed_ms: 0,
            ended: None,
        }
    }

    pub(crate) fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        self.certificates.is_some()
    }

    pub(crate) fn is_plain(&self) -> bool {
        self.is_plain
    }

    pub(crate) fn established(&self) -> Option<&Established> {
        self.session.established()
    }

    /// Whether the client has sent anything.
    pub(crate) fn has_spoken(&self) -> bool {
        !self.held.is_empty() || self.session.has_begun()
    }

    /// Why it could not go on.
    pub(crate) fn ended(&self) -> Option<&Ended> {
        self.ended.as_ref()
    }

    /// Sealed bytes that have not left.
    pub(crate) fn unsent(&self) -> usize {
        self.sealed.len() - self.sent
    }

    /// Bytes that came and are not delivered.
    pub(crate) fn undelivered(&self) -> usize {
        self.held.len() + self.session.holds()
    }

    /// Bytes of memory, beside the library's own.
    pub(crate) fn holds(&self) -> usize {
        size_of::<Self>() + self.held.capacity() + self.sealed.capacity() + self.session.holds()
    }

    /// Whether there is nothing to receive until the socket has more.
    pub(crate) fn is_drained(&self) -> bool {
        self.is_short && !self.has_more
    }

    /// Receives plaintext. No bytes are the end: the client's goodbye, or the socket's. If what came had no plaintext in it, it would block, and is perhaps
    /// not [drained](Self::is_drained).
    ///
    /// # Errors
    /// The connection is broken, or has [ended](Self::ended).
    pub(crate) fn receive(
        &mut self,
        into: &mut [u8],
        records: &mut Records,
        buffers: &mut Buffers,
    ) -> io::Result<Transfer> {
        if self.is_plain {
            return self.receive_plain(into, buffers);
        }
        if self.session.has_ended() {
            // After our own goodbye nothing that comes is of interest.
            self.has_more = false;
            return self.receive_raw(into);
        }
        if self.session.peer_closed() {
            self.has_more = false;
            return Ok(Transfer::Bytes(0));
        }
        let held = self.held.len();
        let incoming = records.incoming();
        incoming[..held].copy_from_slice(&self.held);
        let mut filled = held;
        if !self.has_more {
            let most = (held + into.len().max(SEALED_RECORD)).min(incoming.len());
            match self.receive_raw(&mut incoming[held..most])? {
                Transfer::WouldBlock => return Ok(Transfer::WouldBlock),
                Transfer::Bytes(0) => return Ok(Transfer::Bytes(0)),
                Transfer::Bytes(count) => filled += count,
            }
        }
        let result = self.open(into, records, filled);
        self.keep_sealed(records, buffers);
        let Received { used, written, has_more } = match result {
            Ok(received) => received,
            Err(Ended::PlainHttp) => {
                self.is_plain = true;
                self.certificates = None;
                self.keep_held(&records.incoming[..filled], buffers);
                return self.receive_plain(into, buffers);
            }
            Err(ended) => {
                self.ended = Some(ended);
                self.keep_held(b"", buffers);
                return Err(io::ErrorKind::InvalidData.into());
            }
        };
        self.keep_held(&records.incoming[used..filled], buffers);
        self.has_more = has_more;
        if self.certificates.is_some() && self.session.established().is_some() {
            self.certificates = None;
        }
        if self.session.peer_closed() {
            // What came before it is delivered first.
            self.has_more = written > 0;
            return Ok(Transfer::Bytes(written));
        }
        Ok(if written > 0 { Transfer::Bytes(written) } else { Transfer::WouldBlock })
    }

    /// Receives what the socket has, as it is.
    fn receive_raw(&mut self, into: &mut [u8]) -> io::Result<Transfer> {
        let received = syscall::receive(self.fd.as_fd(), into)?;
        self.is_short = match received {
            Transfer::WouldBlock => true,
            Transfer::Bytes(count) => count < into.len(),
        };
        Ok(received)
    }

    /// What came before it was known to be plain, and then what comes.
    fn receive_plain(&mut self, into: &mut [u8], buffers: &mut Buffers) -> io::Result<Transfer> {
        let count = self.held.len().min(into.len());
        if count == 0 {
            return self.receive_raw(into);
        }
        into[..count].copy_from_slice(&self.held[..count]);
        self.held.drain(..count);
        self.has_more = !self.held.is_empty();
        if !self.has_more {
            self.keep_held(b"", buffers);
        }
        Ok(Transfer::Bytes(count))
    }

    fn open(
        &mut self,
        into: &mut [u8],
        records: &mut Records,
        filled: usize,
    ) -> Result<Received, Ended> {
        let Records { incoming, outgoing } = records;
        // It is everybody's: nothing of another client's may be in it.
        outgoing.clear();
        let fd = &self.fd;
        let local = || syscall::local_of(fd.as_fd());
        let certificates = self.certificates.as_deref();
        self.session.receive(certificates, local, &mut incoming[..filled], into, outgoing)
    }

    fn keep_held(&mut self, rest: &[u8], buffers: &mut Buffers) {
        if rest.is_empty() {
            if self.held.capacity() > 0 {
                buffers.give(std::mem::take(&mut self.held));
            }
            return;
        }
        if self.held.capacity() < rest.len() {
            buffers.give(std::mem::take(&mut self.held));
            self.held = buffers.take_for(rest.len());
        }
        self.held.clear();
        self.held.extend_from_slice(rest);
    }

    /// Keeps what is in the thread's room to be sent.
    fn keep_sealed(&mut self, records: &mut Records, buffers: &mut Buffers) {
        if records.outgoing.is_empty() {
            return;
        }
        if self.sealed.capacity() == 0 {
            self.sealed = buffers.take_for(records.outgoing.bytes().len());
        }
        self.sealed.extend_from_slice(records.outgoing.bytes());
        records.outgoing.clear();
    }

    /// Seals some of the bytes and sends them, behind what was sealed before. Gives how many were sealed; what of them does not leave is kept. Nothing is
    /// sealed while much is kept.
    ///
    /// # Errors
    /// The connection is broken.
    pub(crate) fn send(
        &mut self,
        bytes: &[u8],
        records: &mut Records,
        buffers: &mut Buffers,
        now_ms: u64,
    ) -> io::Result<Transfer> {
        if self.is_plain {
            return syscall::send(self.fd.as_fd(), bytes, false);
        }
        if self.unsent() > JOINED && !self.flush(buffers)? {
            return Ok(Transfer::WouldBlock);
        }
        records.outgoing.clear();
        records.outgoing.append(&self.sealed[self.sent..]);
        self.forget_sealed(buffers);
        let bytes = &bytes[..bytes.len().min(SEALED_AT_ONCE)];
        let (small, large) = bytes.split_at(self.small_part(bytes.len(), now_ms));
        let out = &mut records.outgoing;
        let result = self.session.seal(small, SMALL_PART, out);
        let result = result.and_then(|()| self.session.seal(large, RECORD, out));
        if result.is_err() {
            records.outgoing.clear();
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.send_sealed(records, buffers)?;
        Ok(Transfer::Bytes(bytes.len()))
    }

    /// How much of so many bytes is sealed in small records.
    fn small_part(&mut self, length: usize, now_ms: u64) -> usize {
        if now_ms.saturating_sub(self.sealed_ms) >= RESTED_MS {
            self.small_left = SENT_SMALL;
        }
        self.sealed_ms = now_ms;
        let small = self.small_left.min(length);
        self.small_left -= small;
        if length > FIRST_FLIGHT { small } else { 0 }
    }

    /// Sends what is in the thread's room, and keeps the rest.
    fn send_sealed(&mut self, records: &mut Records, buffers: &mut Buffers) -> io::Result<()> {
        let bytes = records.outgoing.bytes();
        let sent = match syscall::send(self.fd.as_fd(), bytes, false) {
            Ok(Transfer::WouldBlock) => 0,
            Ok(Transfer::Bytes(count)) => count,
            Err(error) => {
                records.outgoing.clear();
                return Err(error);
            }
        };
        if sent < bytes.len() {
            self.sealed = buffers.take_for(bytes.len() - sent);
            self.sealed.extend_from_slice(&bytes[sent..]);
        }
        records.outgoing.clear();
        Ok(())
    }

    /// Sends what was sealed. Gives whether all of it has left.
    ///
    /// # Errors
    /// The connection is broken.
    pub(crate) fn flush(&mut self, buffers: &mut Buffers) -> io::Result<bool> {
        while self.unsent() > 0 {
            match syscall::send(self.fd.as_fd(), &self.sealed[self.sent..], false)? {
                Transfer::WouldBlock => return Ok(false),
                Transfer::Bytes(count) => self.sent += count,
            }
        }
        self.forget_sealed(buffers);
        Ok(true)
    }

    fn forget_sealed(&mut self, buffers: &mut Buffers) {
        self.sent = 0;
        if self.sealed.capacity() > 0 {
            buffers.give(std::mem::take(&mut self.sealed));
        }
    }

    /// Says goodbye (T115), once. Gives whether it has left.
    ///
    /// # Errors
    /// The connection is broken.
    pub(crate) fn say_goodbye(
        &mut self,
        records: &mut Records,
        buffers: &mut Buffers,
    ) -> io::Result<bool> {
        if self.is_plain {
            return Ok(true);
        }
        if !self.session.has_ended() {
            records.outgoing.clear();
            records.outgoing.append(&self.sealed[self.sent..]);
            self.forget_sealed(buffers);
            self.session.close_notify(&mut records.outgoing);
            if !records.outgoing.is_empty() {
                self.send_sealed(records, buffers)?;
            }
        }
        self.flush(buffers)
    }

    pub(crate) fn give_back(&mut self, buffers: &mut Buffers) {
        buffers.give(std::mem::take(&mut self.held));
        buffers.give(std::mem::take(&mut self.sealed));
        self.sent = 0;
    }
}
