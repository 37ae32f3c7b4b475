//! Who asks: the clients of an I/O thread, whatever protocol they speak.

mod accept;
#[cfg(test)]
mod frames;
mod http1;
#[cfg(test)]
mod machine;
mod open_file;
mod shedding;
mod task;

use crate::exchange::Exchange;
use crate::exchange::holding::Holding;
use crate::exchange::seam::{self, Body, Respond};
use crate::exchange::turn::Turn;
use crate::filters::head::ResponseHead;
use crate::listener::Sockets;
use crate::peer::Peer;
use crate::shared::task::Order;
use accept::Acceptor;
use gwanmun_reactor::HeldFile;
use gwanmun_reactor::arena::{Arena, Generations, Key};
use gwanmun_reactor::epoll::{Epoll, Readiness};
use http1::Connection;
use rustc_hash::FxHashMap;
use shedding::Standing;
use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use task::Task;

/// A client, by the protocol that it speaks.
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all are of the largest one, and a box would cost each an allocation"
)]
pub(crate) enum Client {
    Http1(Connection),
    /// The core itself.
    Task(Box<Task>),
}

/// The clients of a thread, and the listeners that they come from.
pub(crate) struct ClientTable {
    clients: Arena<Client>,
    /// By the numbers that they were given.
    tasks: FxHashMap<u64, Key>,
    acceptor: Acceptor,
}

impl ClientTable {
    /// `generations`: of all the thread's lives.
    ///
    /// # Errors
    /// A listener can't be watched.
    pub(crate) fn new(
        generations: &Generations,
        epoll: &Epoll,
        sockets: Rc<RefCell<Sockets>>,
    ) -> io::Result<Self> {
        let acceptor = Acceptor::new(epoll, sockets)?;
        Ok(Self { clients: Arena::new(generations), tasks: FxHashMap::default(), acceptor })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.clients.len() == 0
    }

    /// How many have a connection.
    pub(crate) fn connections(&self) -> usize {
        self.clients.len() - self.tasks.len()
    }

    /// Something happened on a client's socket.
    #[inline]
    pub(crate) fn on_event(
        &mut self,
        turn: &mut Turn,
        respond: &mut dyn Respond,
        key: Key,
        readiness: Readiness,
    ) {
        if let Some(Client::Http1(connection)) = self.clients.get_mut(key) {
            connection.on_event(turn, respond, readiness);
        }
    }

    /// Has a client send what there is, and go on with what can.
    #[inline]
    pub(crate) fn settle(&mut self, turn: &mut Turn, respond: &mut dyn Respond, key: Key) {
        match self.clients.get_mut(key) {
            Some(Client::Http1(connection)) => connection.settle(turn, respond),
            Some(Client::Task(task)) => task.settle(turn, respond),
            None => {}
        }
    }

    /// Has a client settle in the next turn.
    pub(crate) fn mark_dirty(&mut self, turn: &mut Turn, key: Key) {
        match self.clients.get_mut(key) {
            Some(Client::Http1(connection)) => connection.mark_dirty(turn),
            Some(Client::Task(task)) => task.mark_dirty(turn),
            None => {}
        }
    }

    /// Removes a client that has been closed.
    pub(crate) fn remove(&mut self, turn: &mut Turn, key: Key) {
        match self.clients.remove(key) {
            Some(Client::Http1(mut connection)) => connection.dispose(turn),
            Some(Client::Task(mut task)) => {
                self.tasks.retain(|_, other| *other != key);
                task.dispose(turn);
            }
            None => {}
        }
    }

    /// The core asks one of its mounts.
    pub(crate) fn ask(&mut self, turn: &mut Turn, respond: &mut dyn Respond, order: Order) {
        let deadline_ms = turn.clock.ms() + order.timeout.as_millis() as u64;
        let key = self.clients.insert_with(|key| {
            Client::Task(Box::new(Task::new(key, order.parts.clone(), deadline_ms)))
        });
        self.tasks.insert(order.id, key);
        if let Some(Client::Task(task)) = self.clients.get_mut(key) {
            task.start(turn, respond, order);
        }
    }

    /// So many bytes of a task's answer have been taken.
    pub(crate) fn on_taken(&mut self, turn: &mut Turn, id: u64, bytes: usize) {
        if let Some(task) = self.task(id) {
            task.on_taken(turn, bytes);
        }
    }

    /// Nobody wants a task's answer any more.
    pub(crate) fn drop_task(&mut self, turn: &mut Turn, id: u64) {
        if let Some(task) = self.task(id) {
            task.close(turn);
        }
    }

    fn task(&mut self, id: u64) -> Option<&mut Task> {
        match self.clients.get_mut(*self.tasks.get(&id)?)? {
            Client::Task(task) => Some(task),
            Client::Http1(_) => None,
        }
    }

    /// A blocking thread has written a piece of a request's body.
    pub(crate) fn on_spooled(
        &mut self,
        turn: &mut Turn,
        respond: &mut dyn Respond,
        (client, exchange): (Key, Key),
        result: io::Result<Arc<HeldFile>>,
    ) {
        if let Some(Client::Http1(connection)) = self.clients.get_mut(client) {
            connection.on_spooled(turn, respond, exchange, result);
        }
    }

    /// A blocking thread has read in the piece of file that was absent.
    pub(crate) fn on_loaded(
        &mut self,
        turn: &mut Turn,
        client: Key,
        result: io::Result<Option<Vec<u8>>>,
    ) {
        match self.clients.get_mut(client) {
            Some(Client::Http1(connection)) => connection.on_loaded(turn, result),
            Some(Client::Task(task)) => task.on_loaded(turn, result),
            None => {}
        }
    }

    /// Gives up on whatever takes too long.
    pub(crate) fn on_tick(&mut self, turn: &mut Turn) {
        for (_, client) in self.clients.iter_mut() {
            match client {
                Client::Http1(connection) => connection.on_tick(turn),
                Client::Task(task) => task.on_tick(turn),
            }
        }
    }

    /// Lets those go that have not proved what is asked of clients now.
    pub(crate) fn judge(&mut self, turn: &mut Turn) {
        let asked = turn.asked();
        for (_, client) in self.clients.iter_mut() {
            if let Client::Http1(connection) = client {
                connection.judge(turn, asked);
            }
        }
    }

    /// Closes all clients, or those on which nothing is in progress.
    pub(crate) fn close(&mut self, turn: &mut Turn, idle_only: bool) {
        for (_, client) in self.clients.iter_mut() {
            match client {
                Client::Http1(connection) if idle_only => connection.close_if_idle(turn),
                Client::Http1(connection) => connection.close(turn),
                Client::Task(_) if idle_only => {}
                Client::Task(task) => task.close(turn),
            }
        }
    }

    /// What is held for each client.
    pub(crate) fn holdings(&self, turn: &Turn) -> impl Iterator<Item = Holding> {
        self.clients.iter().map(|client| match client {
            Client::Http1(connection) => connection.holds(turn),
            Client::Task(task) => task.holds(),
        })
    }
}

impl Client {
    /// Whether it may be closed when others need its descriptor.
    fn gives_way(&self, turn: &Turn) -> Option<Standing> {
        match self {
            Self::Http1(connection) => connection.gives_way(turn),
            // It has none.
            Self::Task(_) => None,
        }
    }

    /// Closes it so that others can come.
    fn shed(&mut self, turn: &mut Turn) {
        if let Self::Http1(connection) = self {
            connection.shed(turn);
        }
    }
}

impl seam::Clients for ClientTable {
    type Client = Client;

    #[inline]
    fn client(&mut self, key: Key) -> Option<&mut Client> {
        self.clients.get_mut(key).filter(|client| match client {
            Client::Http1(connection) => !connection.is_closed(),
            Client::Task(task) => !task.is_closed(),
        })
    }
}

impl seam::Client for Client {
    fn peer(&self) -> &Peer {
        match self {
            Self::Http1(connection) => connection.peer(),
            Self::Task(task) => task.peer(),
        }
    }

    fn has_room_to_compress(&self, exchange: &Exchange) -> bool {
        match self {
            Self::Http1(connection) => connection.has_room_to_compress(exchange),
            Self::Task(task) => task.has_room_to_compress(exchange),
        }
    }

    fn charge(&mut self, exchange: &mut Exchange, bytes: usize, files: usize) {
        match self {
            Self::Http1(connection) => connection.charge(exchange, bytes, files),
            Self::Task(task) => task.charge(exchange, bytes, files),
        }
    }

    #[inline]
    fn head(
        &mut self,
        turn: &mut Turn,
        key: Key,
        head: &ResponseHead<'_>,
        body: Body<'_>,
        end: bool,
    ) {
        match self {
            Self::Http1(connection) => connection.head(turn, key, head, body, end),
            Self::Task(task) => task.head(turn, key, head, body, end),
        }
    }

    #[inline]
    fn body(&mut self, turn: &mut Turn, key: Key, body: Body<'_>, end: bool) {
        match self {
            Self::Http1(connection) => connection.body(turn, key, body, end),
            Self::Task(task) => task.body(turn, key, body, end),
        }
    }

    fn informational(&mut self, turn: &mut Turn, key: Key, status: u16, lines: &[u8]) {
        match self {
            Self::Http1(connection) => connection.informational(turn, key, status, lines),
            Self::Task(task) => task.informational(turn, key, status, lines),
        }
    }

    fn abort(&mut self, turn: &mut Turn, key: Key) {
        match self {
            Self::Http1(connection) => connection.abort(turn, key),
            Self::Task(task) => task.abort(turn, key),
        }
    }

    fn on_decided(&mut self, turn: &mut Turn) {
        match self {
            Self::Http1(connection) => connection.on_decided(turn),
            Self::Task(task) => task.on_decided(turn),
        }
    }

    fn on_room(&mut self, turn: &mut Turn, key: Key) {
        match self {
            Self::Http1(connection) => connection.on_room(turn, key),
            Self::Task(task) => task.on_room(turn, key),
        }
    }
}
