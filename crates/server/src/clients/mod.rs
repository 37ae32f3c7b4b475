//! Who asks: the clients of an I/O thread, whatever protocol they speak.

mod accept;
mod http1;
mod shedding;

use crate::exchange::holding::Holding;
use crate::exchange::seam::{self, Respond};
use crate::exchange::turn::Turn;
use crate::listener::Sockets;
use accept::Acceptor;
use gwanmun_reactor::HeldFile;
use gwanmun_reactor::arena::{Arena, Generations, Key};
use gwanmun_reactor::epoll::{Epoll, Readiness};
use http1::Connection;
use shedding::Standing;
use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

/// A client, by the protocol that it speaks.
pub(crate) enum Client {
    Http1(Connection),
}

/// The clients of a thread, and the listeners that they come from.
pub(crate) struct ClientTable {
    clients: Arena<Client>,
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
        Ok(Self { clients: Arena::new(generations), acceptor })
    }

    pub(crate) fn len(&self) -> usize {
        self.clients.len()
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
        if let Some(Client::Http1(connection)) = self.clients.get_mut(key) {
            connection.settle(turn, respond);
        }
    }

    /// Has a client settle in the next turn.
    pub(crate) fn mark_dirty(&mut self, turn: &mut Turn, key: Key) {
        if let Some(Client::Http1(connection)) = self.clients.get_mut(key) {
            connection.mark_dirty(turn);
        }
    }

    /// Removes a client that has been closed.
    pub(crate) fn remove(&mut self, turn: &mut Turn, key: Key) {
        if let Some(Client::Http1(mut connection)) = self.clients.remove(key) {
            connection.dispose(turn);
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
        if let Some(Client::Http1(connection)) = self.clients.get_mut(client) {
            connection.on_loaded(turn, result);
        }
    }

    /// Gives up on whatever takes too long.
    pub(crate) fn on_tick(&mut self, turn: &mut Turn) {
        for (_, Client::Http1(connection)) in self.clients.iter_mut() {
            connection.on_tick(turn);
        }
    }

    /// Closes all clients, or those on which nothing is in progress.
    pub(crate) fn close(&mut self, turn: &mut Turn, idle_only: bool) {
        for (_, Client::Http1(connection)) in self.clients.iter_mut() {
            if idle_only {
                connection.close_if_idle(turn);
            } else {
                connection.close(turn);
            }
        }
    }

    /// What is held for each client.
    pub(crate) fn holdings(&self, turn: &Turn) -> impl Iterator<Item = Holding> {
        self.clients.iter().map(|Client::Http1(connection)| connection.holds(turn))
    }
}

impl Client {
    /// Whether it may be closed when others need its descriptor.
    fn gives_way(&self, turn: &Turn) -> Option<Standing> {
        let Self::Http1(connection) = self;
        connection.gives_way(turn)
    }

    /// Closes it so that others can come.
    fn shed(&mut self, turn: &mut Turn) {
        let Self::Http1(connection) = self;
        connection.shed(turn);
    }
}

impl seam::Clients for ClientTable {
    fn client(&mut self, key: Key) -> Option<&mut dyn seam::Client> {
        match self.clients.get_mut(key)? {
            Client::Http1(connection) if connection.is_closed() => None,
            Client::Http1(connection) => Some(connection),
        }
    }
}
