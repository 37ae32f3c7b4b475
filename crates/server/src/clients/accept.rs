//! New connections: accepted in batches from the listeners, and held back where file descriptors run short (H43, H62).

use super::http1::Connection;
use super::{Client, ClientTable, shedding};
use crate::exchange::turn::Turn;
use crate::listener::{Address, Secures, Sockets, in_url};
use crate::peer::{Elsewhere, Local, Peer};
use crate::shared::message::Message;
use crate::transport::{Tls, Transport};
use gwanmun_log::Level;
use gwanmun_reactor::epoll::{Epoll, Token};
use gwanmun_sys::descriptors::{self, Purpose, is_exhaustion};
use gwanmun_sys::syscall;
use std::cell::RefCell;
use std::fmt::Display;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;

/// Connections accepted in a row before the others get their turn.
const ACCEPT_BATCH: usize = 64;
const ACCEPT_PAUSE_MS: u64 = 100;
/// How often the log is told the same about want of descriptors.
const TELL_AGAIN_MS: u64 = 10_000;

/// What a thread listens on, and who waits to be let in.
pub(super) struct Acceptor {
    listeners: Vec<ThreadListener>,
    /// What the listeners were made of, for another life of the thread.
    sockets: Rc<RefCell<Sockets>>,
    /// Accepting is paused until then, for want of descriptors; 0 = it is not.
    again_ms: u64,
    /// Accepted, but their descriptors are kept for others. They come in when another connection has given way, with a descriptor that has
    /// become free: else what is kept would be used up one by one.
    held_back: Vec<(Rc<Local>, OwnedFd)>,
    /// Connections have been closed for them, at the end of this turn.
    has_shed: bool,
    /// Until then the log has it that connections are shed.
    tell_shedding_ms: u64,
    /// Until then the log has it that accepting is paused at times.
    tell_pause_ms: u64,
}

struct ThreadListener {
    socket: Arc<OwnedFd>,
    local: Rc<Local>,
}

impl Acceptor {
    pub(super) fn new(epoll: &Epoll, sockets: Rc<RefCell<Sockets>>) -> io::Result<Self> {
        let listeners: Vec<ThreadListener> =
            sockets.borrow().iter().map(ThreadListener::new).collect();
        for (index, listener) in listeners.iter().enumerate() {
            epoll.add_readable(listener.socket.as_fd(), Token::Listener(index as u32))?;
        }
        Ok(Self {
            listeners,
            sockets,
            again_ms: 0,
            held_back: Vec::new(),
            has_shed: false,
            tell_shedding_ms: 0,
            tell_pause_ms: 0,
        })
    }
}

impl ClientTable {
    /// Listens on these sockets and no others. Who waits at an address that goes was promised nothing, but gets an answer all the same.
    pub(crate) fn listen_on(&mut self, turn: &mut Turn, sockets: Sockets) {
        for index in 0..self.acceptor.listeners.len() {
            let socket = &self.acceptor.listeners[index].socket;
            if !sockets.iter().any(|(other, ..)| Arc::ptr_eq(other, socket)) {
                self.accept(turn, index);
            }
        }
        for listener in self.acceptor.listeners.drain(..) {
            turn.epoll.remove(listener.socket.as_fd());
        }
        self.acceptor.listeners = sockets.iter().map(ThreadListener::new).collect();
        *self.acceptor.sockets.borrow_mut() = sockets;
        self.resume_accepting(turn);
    }

    /// Takes who is in the listeners' queues, or was held back, and nobody after them.
    pub(crate) fn stop_listening(&mut self, turn: &mut Turn) {
        for index in 0..self.acceptor.listeners.len() {
            self.accept(turn, index);
        }
        for (local, fd) in std::mem::take(&mut self.acceptor.held_back) {
            self.add_connection(turn, local, fd);
        }
        self.acceptor.sockets.borrow_mut().clear();
        for listener in self.acceptor.listeners.drain(..) {
            turn.epoll.remove(listener.socket.as_fd());
        }
    }

    /// Accepts again, if it is paused and the pause is over.
    pub(crate) fn retry_accepting(&mut self, turn: &mut Turn) {
        let again_ms = self.acceptor.again_ms;
        if again_ms != 0 && turn.clock.ms() >= again_ms {
            self.resume_accepting(turn);
        }
    }

    pub(crate) fn accept(&mut self, turn: &mut Turn, index: usize) {
        for _ in 0..ACCEPT_BATCH {
            let Some(listener) = self.acceptor.listeners.get(index) else { return };
            match syscall::accept(listener.socket.as_fd()) {
                Ok(None) => return,
                Ok(Some(fd)) => {
                    let local = Rc::clone(&listener.local);
                    let is_last = descriptors::is_kept(fd.as_fd(), Purpose::Connection);
                    self.admit(turn, local, fd);
                    // What is shed is closed at the end of this turn.
                    if is_last {
                        return;
                    }
                }
                Err(error) => {
                    if is_exhaustion(&error) {
                        self.make_room(turn);
                        self.pause_accepting(turn, &error);
                        return;
                    }
                    // The connection was gone before it was accepted; the next one may be fine.
                }
            }
        }
    }

    /// Where only descriptors that are kept for others are left, a connection comes in when another has given way.
    fn admit(&mut self, turn: &mut Turn, local: Rc<Local>, fd: OwnedFd) {
        if !descriptors::is_kept(fd.as_fd(), Purpose::Connection) {
            self.add_connection(turn, local, fd);
            return;
        }
        self.acceptor.held_back.push((local, fd));
        self.make_room(turn);
        self.pause_accepting(turn, "only the reserve of file descriptors is left");
    }

    /// Closes connections of this thread, or has the others close some of theirs if it has none that can give way.
    fn make_room(&mut self, turn: &mut Turn) {
        if self.shed(turn) {
            self.acceptor.has_shed = true;
            return;
        }
        for (index, mailbox) in turn.shared.mailboxes.iter().enumerate() {
            if index != turn.thread {
                mailbox.post(Message::GiveWay);
            }
        }
    }

    /// What was shed is closed: who was held back comes in.
    pub(crate) fn accept_after_shedding(&mut self, turn: &mut Turn) {
        if std::mem::take(&mut self.acceptor.has_shed) {
            self.resume_accepting(turn);
        }
    }

    fn add_connection(&mut self, turn: &mut Turn, local: Rc<Local>, fd: OwnedFd) {
        if local.plain.is_some() && turn.certificates.is_none() {
            // Its listener goes, and nobody is served without TLS who has asked for it.
            return;
        }
        let remote = syscall::peer_of(fd.as_fd());
        let mut watched = Ok(());
        let key = self.clients.insert_with(|key| {
            watched = turn.epoll.add_edges(fd.as_fd(), Token::Connection(key));
            let (addr, port) = match remote {
                Some(address) => {
                    syscall::set_no_delay(fd.as_fd());
                    (address.ip().to_string().into_boxed_str(), address.port())
                }
                None => (Box::from(""), 0),
            };
            let transport = match &turn.certificates {
                Some(certificates) if local.plain.is_some() => {
                    Transport::Tls(Box::new(Tls::new(fd, Arc::clone(certificates))))
                }
                _ => Transport::Plain(fd),
            };
            let peer = Peer { addr, port, local };
            Client::Http1(Connection::new(key, transport, peer, turn))
        });
        if watched.is_err() {
            self.clients.remove(key);
        }
    }

    /// H43: closes the connections that have waited longest, so that others can come. Gives whether there were any.
    pub(crate) fn shed(&mut self, turn: &mut Turn) -> bool {
        let candidates = self.clients.iter_mut();
        let candidates = candidates.filter_map(|(key, other)| Some((other.gives_way(turn)?, key)));
        let victims = shedding::victims(candidates.collect(), turn.clock.ms());
        for &key in &victims {
            if let Some(client) = self.clients.get_mut(key) {
                client.shed(turn);
            }
        }
        if !victims.is_empty() && turn.clock.ms() >= self.acceptor.tell_shedding_ms {
            self.acceptor.tell_shedding_ms = turn.clock.ms() + TELL_AGAIN_MS;
            turn.shared.logger.error(
                Level::Warn,
                "File descriptors run short: connections that are idle or slow are closed, the longest and slowest first. \
                 Raise the limit (ulimit -n, or LimitNOFILE= of systemd).",
            );
        }
        !victims.is_empty()
    }

    /// H62: without descriptors, accepting again at once would only spin.
    fn pause_accepting(&mut self, turn: &mut Turn, why: impl Display) {
        if self.acceptor.again_ms == 0 {
            if !self.acceptor.has_shed && turn.clock.ms() >= self.acceptor.tell_pause_ms {
                self.acceptor.tell_pause_ms = turn.clock.ms() + TELL_AGAIN_MS;
                turn.log_error(&format!(
                    "No connection could be accepted: {why}. Accepting is paused for a moment."
                ));
            }
            for listener in &self.acceptor.listeners {
                turn.epoll.remove(listener.socket.as_fd());
            }
        }
        self.acceptor.again_ms = turn.clock.ms() + ACCEPT_PAUSE_MS;
    }

    fn resume_accepting(&mut self, turn: &mut Turn) {
        for (local, fd) in std::mem::take(&mut self.acceptor.held_back) {
            // A copy has the lowest number that is free now.
            self.admit(turn, local, fd.try_clone().unwrap_or(fd));
        }
        if !self.acceptor.held_back.is_empty() {
            return;
        }
        self.acceptor.again_ms = 0;
        for (index, listener) in self.acceptor.listeners.iter().enumerate() {
            // It was watched before; if the kernel has no memory now, the next tick tries again.
            if turn
                .epoll
                .add_readable(listener.socket.as_fd(), Token::Listener(index as u32))
                .is_err()
            {
                self.acceptor.again_ms = turn.clock.ms() + ACCEPT_PAUSE_MS;
            }
        }
    }
}

impl ThreadListener {
    fn new((socket, address, secures): &(Arc<OwnedFd>, Address, Secures)) -> Self {
        let mut local = match address {
            Address::Tcp(address) => {
                let ip = address.ip();
                let name = (!ip.is_unspecified()).then(|| in_url(ip).into());
                Local { name, port: address.port(), ..Local::default() }
            }
            // SERVER_NAME and SERVER_PORT are never empty (W03).
            Address::Unix(_) => {
                let port = if *secures == Secures::Tls { 443 } else { 80 };
                Local { name: Some("localhost".into()), port, is_unix: true, ..Local::default() }
            }
        };
        match *secures {
            Secures::No => {}
            Secures::Redirect(port) => local.elsewhere = Some(Elsewhere::Redirect(port)),
            Secures::Tls => {
                let elsewhere = Some(Elsewhere::Tls(local.port));
                local.plain = Some(Rc::new(Local { elsewhere, ..local.clone() }));
            }
        }
        Self { socket: Arc::clone(socket), local: Rc::new(local) }
    }
}
