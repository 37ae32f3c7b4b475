//! New connections: accepted in batches from the listeners, and held back where file descriptors run short (H43, H62).

use super::{Message, Thread, shedding};
use crate::config::Listen;
use crate::connection::{Connection, Local, crossing};
use crate::listener::{Address, Listener};
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

/// What one thread listens on: its socket of each listener.
pub(crate) type Sockets = Vec<(Arc<OwnedFd>, Address)>;

/// The sockets of `listeners` that belong to thread number `thread` of so many.
pub(crate) fn sockets_of(
    listeners: &[(Listen, Vec<Arc<Listener>>)],
    thread: usize,
    threads: usize,
) -> Sockets {
    let own = |listener: &Arc<Listener>| {
        let address = listener.address.clone();
        listener.sockets(thread, threads).into_iter().map(move |socket| (socket, address.clone()))
    };
    listeners.iter().flat_map(|(_, bound)| bound).flat_map(own).collect()
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

impl Thread {
    /// Listens on these sockets and no others. Who waits at an address that goes was promised nothing, but gets an answer all the same.
    pub(super) fn listen_on(&mut self, sockets: Sockets) {
        for index in 0..self.acceptor.listeners.len() {
            let socket = &self.acceptor.listeners[index].socket;
            if !sockets.iter().any(|(other, _)| Arc::ptr_eq(other, socket)) {
                self.accept(index);
            }
        }
        for listener in self.acceptor.listeners.drain(..) {
            self.cx.epoll.remove(listener.socket.as_fd());
        }
        self.acceptor.listeners = sockets.iter().map(ThreadListener::new).collect();
        *self.acceptor.sockets.borrow_mut() = sockets;
        self.resume_accepting();
    }

    /// Takes who is in the listeners' queues, or was held back, and nobody after them.
    pub(super) fn stop_listening(&mut self) {
        for index in 0..self.acceptor.listeners.len() {
            self.accept(index);
        }
        for (local, fd) in std::mem::take(&mut self.acceptor.held_back) {
            self.add_connection(local, fd);
        }
        self.acceptor.sockets.borrow_mut().clear();
        for listener in self.acceptor.listeners.drain(..) {
            self.cx.epoll.remove(listener.socket.as_fd());
        }
    }

    /// Accepts again, if it is paused and the pause is over.
    pub(super) fn retry_accepting(&mut self) {
        let again_ms = self.acceptor.again_ms;
        if again_ms != 0 && self.cx.clock.ms() >= again_ms {
            self.resume_accepting();
        }
    }

    pub(super) fn accept(&mut self, index: usize) {
        for _ in 0..ACCEPT_BATCH {
            let Some(listener) = self.acceptor.listeners.get(index) else { return };
            match syscall::accept(listener.socket.as_fd()) {
                Ok(None) => return,
                Ok(Some(fd)) => {
                    let local = Rc::clone(&listener.local);
                    let is_last = descriptors::is_kept(fd.as_fd(), Purpose::Connection);
                    self.admit(local, fd);
                    // What is shed is closed at the end of this turn.
                    if is_last {
                        return;
                    }
                }
                Err(error) => {
                    if is_exhaustion(&error) {
                        self.make_room();
                        self.pause_accepting(&error);
                        return;
                    }
                    // The connection was gone before it was accepted; the next one may be fine.
                }
            }
        }
    }

    /// Where only descriptors that are kept for others are left, a connection comes in when another has given way.
    fn admit(&mut self, local: Rc<Local>, fd: OwnedFd) {
        if !descriptors::is_kept(fd.as_fd(), Purpose::Connection) {
            self.add_connection(local, fd);
            return;
        }
        self.acceptor.held_back.push((local, fd));
        self.make_room();
        self.pause_accepting("only the reserve of file descriptors is left");
    }

    /// Closes connections of this thread, or has the others close some of theirs if it has none that can give way.
    fn make_room(&mut self) {
        if self.shed() {
            self.acceptor.has_shed = true;
            return;
        }
        for (index, mailbox) in self.cx.shared.mailboxes.iter().enumerate() {
            if index != self.cx.thread {
                mailbox.post(Message::GiveWay);
            }
        }
    }

    /// What was shed is closed: who was held back comes in.
    pub(super) fn accept_after_shedding(&mut self) {
        if std::mem::take(&mut self.acceptor.has_shed) {
            self.resume_accepting();
        }
    }

    fn add_connection(&mut self, local: Rc<Local>, fd: OwnedFd) {
        let remote = syscall::peer_of(fd.as_fd());
        let cx = &mut self.cx;
        let mut watched = Ok(());
        let key = self.connections.insert_with(|key| {
            watched = cx.epoll.add_edges(fd.as_fd(), Token::Connection(key));
            let remote = match remote {
                Some(address) => {
                    syscall::set_no_delay(fd.as_fd());
                    (address.ip().to_string().into_boxed_str(), address.port())
                }
                None => (Box::from(""), 0),
            };
            Connection::new(key, fd, remote, local, cx)
        });
        if watched.is_err() {
            self.connections.remove(key);
        }
    }

    /// H43: closes the connections that have waited longest, so that others can come. Gives whether there were any.
    pub(super) fn shed(&mut self) -> bool {
        let cx = &mut self.cx;
        let candidates = self.connections.iter_mut();
        let candidates = candidates.filter_map(|(key, other)| Some((other.gives_way(cx)?, key)));
        let victims = shedding::victims(candidates.collect(), cx.clock.ms());
        for &key in &victims {
            if let Some(connection) = self.connections.get_mut(key) {
                connection.shed(cx);
            }
        }
        if !victims.is_empty() && cx.clock.ms() >= self.acceptor.tell_shedding_ms {
            self.acceptor.tell_shedding_ms = cx.clock.ms() + TELL_AGAIN_MS;
            cx.shared.logger.error(
                Level::Warn,
                "File descriptors run short: connections that are idle or slow are closed, the longest and slowest first. \
                 Raise the limit (ulimit -n, or LimitNOFILE= of systemd).",
            );
        }
        !victims.is_empty()
    }

    /// H62: without descriptors, accepting again at once would only spin.
    fn pause_accepting(&mut self, why: impl Display) {
        if self.acceptor.again_ms == 0 {
            if !self.acceptor.has_shed && self.cx.clock.ms() >= self.acceptor.tell_pause_ms {
                self.acceptor.tell_pause_ms = self.cx.clock.ms() + TELL_AGAIN_MS;
                self.cx.log_error(&format!(
                    "No connection could be accepted: {why}. Accepting is paused for a moment."
                ));
            }
            for listener in &self.acceptor.listeners {
                self.cx.epoll.remove(listener.socket.as_fd());
            }
        }
        self.acceptor.again_ms = self.cx.clock.ms() + ACCEPT_PAUSE_MS;
    }

    fn resume_accepting(&mut self) {
        for (local, fd) in std::mem::take(&mut self.acceptor.held_back) {
            // A copy has the lowest number that is free now.
            self.admit(local, fd.try_clone().unwrap_or(fd));
        }
        if !self.acceptor.held_back.is_empty() {
            return;
        }
        self.acceptor.again_ms = 0;
        for (index, listener) in self.acceptor.listeners.iter().enumerate() {
            // It was watched before; if the kernel has no memory now, the next tick tries again.
            if self
                .cx
                .epoll
                .add_readable(listener.socket.as_fd(), Token::Listener(index as u32))
                .is_err()
            {
                self.acceptor.again_ms = self.cx.clock.ms() + ACCEPT_PAUSE_MS;
            }
        }
    }
}

impl ThreadListener {
    fn new((socket, address): &(Arc<OwnedFd>, Address)) -> Self {
        let local = match address {
            Address::Tcp(address) => {
                let ip = address.ip();
                let name = (!ip.is_unspecified()).then(|| crossing::in_url(ip).into());
                Local { name, port: address.port(), is_unix: false }
            }
            // SERVER_NAME and SERVER_PORT are never empty (W03).
            Address::Unix(_) => Local { name: Some("localhost".into()), port: 80, is_unix: true },
        };
        Self { socket: Arc::clone(socket), local: Rc::new(local) }
    }
}
