//! The floor: what answering a request costs when nothing but the kernel's part of the work is done.
//!
//! One thread, one level-triggered epoll loop. It looks for the blank line that ends a request head and answers each with
//! the same bytes; keep-alive and pipelining work, nothing else of HTTP does. No server on sockets and epoll can be much
//! below it, so a row's distance from it is what that server's own work costs.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

const RESPONSE: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, world!";
const HEAD_END: &[u8; 4] = b"\r\n\r\n";
const LISTENER: u64 = u64::MAX;

fn main() -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let epoll = Epoll::new()?;
    epoll.control(libc::EPOLL_CTL_ADD, listener.as_raw_fd(), libc::EPOLLIN, LISTENER)?;
    eprintln!("listening on http://{}", listener.local_addr()?);

    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut events = [libc::epoll_event { events: 0, u64: 0 }; 256];
    let mut input = vec![0; 64 * 1024];
    let mut output = Vec::with_capacity(64 * 1024);
    loop {
        for event in epoll.wait(&mut events)? {
            let (ready, token) = (event.events, event.u64);
            if token == LISTENER {
                accept(&listener, &epoll, &mut connections)?;
                continue;
            }
            let Some(slot) = connections.get_mut(token as usize) else { continue };
            let Some(connection) = slot else { continue };
            // Dropping a connection closes its socket, and that takes it out of the epoll set.
            if connection.turn(ready, &epoll, token, &mut input, &mut output).is_err() {
                *slot = None;
            }
        }
    }
}

fn accept(
    listener: &TcpListener,
    epoll: &Epoll,
    connections: &mut Vec<Option<Connection>>,
) -> io::Result<()> {
    loop {
        match listener.accept() {
            Ok((socket, _)) => {
                socket.set_nonblocking(true)?;
                socket.set_nodelay(true)?;
                let fd = socket.as_raw_fd();
                let slot = fd as usize;
                if connections.len() <= slot {
                    connections.resize_with(slot + 1, || None);
                }
                epoll.control(libc::EPOLL_CTL_ADD, fd, libc::EPOLLIN, slot as u64)?;
                connections[slot] = Some(Connection { socket, matched: 0, unsent: Vec::new() });
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

struct Connection {
    socket: TcpStream,
    /// How many bytes of `HEAD_END` the last read ended with: a head may be cut anywhere.
    matched: usize,
    /// What the socket did not take yet; nothing is read meanwhile.
    unsent: Vec<u8>,
}

impl Connection {
    /// One readiness event. An error means that the connection is over.
    fn turn(
        &mut self,
        ready: u32,
        epoll: &Epoll,
        token: u64,
        input: &mut [u8],
        output: &mut Vec<u8>,
    ) -> io::Result<()> {
        if ready & libc::EPOLLOUT as u32 != 0 && !self.unsent.is_empty() {
            let sent = write(&mut self.socket, &self.unsent)?;
            self.unsent.drain(..sent);
            if self.unsent.is_empty() {
                epoll.control(
                    libc::EPOLL_CTL_MOD,
                    self.socket.as_raw_fd(),
                    libc::EPOLLIN,
                    token,
                )?;
            }
            return Ok(());
        }
        let length = match self.socket.read(input) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(length) => length,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        output.clear();
        for _ in 0..self.heads(&input[..length]) {
            output.extend_from_slice(RESPONSE);
        }
        let sent = write(&mut self.socket, output)?;
        if sent < output.len() {
            self.unsent.extend_from_slice(&output[sent..]);
            epoll.control(libc::EPOLL_CTL_MOD, self.socket.as_raw_fd(), libc::EPOLLOUT, token)?;
        }
        Ok(())
    }

    /// How many request heads end in these bytes.
    fn heads(&mut self, bytes: &[u8]) -> usize {
        let mut heads = 0;
        for &byte in bytes {
            if byte == HEAD_END[self.matched] {
                self.matched += 1;
                if self.matched == HEAD_END.len() {
                    self.matched = 0;
                    heads += 1;
                }
            } else {
                self.matched = usize::from(byte == b'\r');
            }
        }
        heads
    }
}

/// Writes what the socket takes now.
fn write(socket: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    if bytes.is_empty() {
        return Ok(0);
    }
    match socket.write(bytes) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        other => other,
    }
}

struct Epoll(OwnedFd);

impl Epoll {
    fn new() -> io::Result<Self> {
        // SAFETY: no pointers are passed.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call above has just made this fd and nothing else owns it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    fn control(&self, operation: i32, fd: RawFd, interest: i32, token: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events: interest as u32, u64: token };
        // SAFETY: `event` outlives the call, which only reads it.
        let result = unsafe { libc::epoll_ctl(self.0.as_raw_fd(), operation, fd, &mut event) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    fn wait<'a>(&self, events: &'a mut [libc::epoll_event]) -> io::Result<&'a [libc::epoll_event]> {
        let capacity = i32::try_from(events.len()).unwrap_or(i32::MAX);
        // SAFETY: the kernel writes at most `capacity` events, and the slice has that many.
        let count =
            unsafe { libc::epoll_wait(self.0.as_raw_fd(), events.as_mut_ptr(), capacity, -1) };
        match usize::try_from(count) {
            Ok(count) => Ok(&events[..count]),
            Err(_) => match io::Error::last_os_error() {
                error if error.kind() == ErrorKind::Interrupted => Ok(&[]),
                error => Err(error),
            },
        }
    }
}
