//! Application mounts: requests wait in a pool until a worker has a free slot, then cross to it over a link.

mod crossing;
mod dispatch;
mod frames;
pub(crate) mod link;
mod relay;

use crate::exchange::answer::Answer;
use crate::exchange::intake::collect;
use crate::exchange::seam::{Clients, Start};
use crate::exchange::turn::Turn;
use crate::exchange::{RequestBody, Source, Upload};
use crate::generation::Application;
use crate::router::Resolved;
use gwanmun_gateway::names::NamesTable;
use gwanmun_gateway::request::{set_body_length, set_body_streamed};
use gwanmun_gateway::response::WISH_STREAM;
use gwanmun_http1::{Body, HeaderSpan};
use gwanmun_reactor::arena::{Generations, Key};
use link::Links;
use rustc_hash::FxHashMap;

const LINK_BUFFER: usize = 512 * 1024;

/// A thread's links to workers, and what it has for them.
pub(crate) struct Applications {
    links: Links,
    worker_links: FxHashMap<u32, Key>,
    names: NamesTable,
    /// Links with something to send.
    dirty: Vec<Key>,
    /// Requests of this thread in the queues of the pools.
    waiting: usize,
    /// What links receive into.
    buffer: Vec<u8>,
}

impl Applications {
    /// `generations`: of all the thread's lives.
    pub(super) fn new(generations: &Generations) -> Self {
        Self {
            links: Links::new(generations),
            worker_links: FxHashMap::default(),
            names: NamesTable::default(),
            dirty: Vec::new(),
            waiting: 0,
            buffer: vec![0; LINK_BUFFER],
        }
    }

    /// Requests of this thread that no worker has yet.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Whether a link has something to send.
    pub(crate) fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Sends what there is for the workers. `keys`: room.
    pub(crate) fn flush_dirty(
        &mut self,
        turn: &mut Turn,
        clients: &mut impl Clients,
        keys: &mut Vec<Key>,
    ) {
        std::mem::swap(keys, &mut self.dirty);
        for key in keys.drain(..) {
            self.flush_link(turn, clients, key);
        }
    }

    /// Sends what there is for any worker.
    pub(crate) fn flush_all(&mut self, turn: &mut Turn, clients: &mut impl Clients) {
        for key in self.links.keys() {
            self.flush_link(turn, clients, key);
        }
    }

    /// Bytes that workers have not taken.
    pub(crate) fn unsent(&self) -> usize {
        self.links.iter().map(link::Link::unsent).sum()
    }

    /// Begins to answer a request: has its body collected or passed on, or hands it over.
    pub(super) fn start(
        &mut self,
        turn: &mut Turn,
        key: Key,
        application: Application,
        request: &Resolved<'_>,
        headers: &mut Vec<HeaderSpan>,
    ) -> Start {
        if !self.encode_head(turn, key, application.index, request, headers) {
            return Start::TOO_LARGE_TO_PASS;
        }
        let body = request.head.body;
        if body == Body::None {
            return match self.hand_over(turn, key) {
                None => Start::Started,
                Some(answer) => Start::Answer(answer),
            };
        }
        let here = request.bytes.len() - request.head.len;
        let in_memory = turn.generation.body_in_memory as u64;
        let limit = turn.generation.body_limit;
        // A short body that has arrived with its head is passed whole: that saves the worker's grant and a turn.
        let is_here = matches!(body, Body::Length(length)
            if length <= here as u64 && length <= in_memory);
        let stream = !is_here
            && application.stream.unwrap_or_else(|| {
                turn.generation.pools[application.pool].wishes(application.index, WISH_STREAM)
            });
        if stream {
            if let Some(exchange) = turn.exchanges.get_mut(key) {
                let length = match body {
                    Body::Length(length) => Some(length),
                    Body::None | Body::Chunked => None,
                };
                set_body_streamed(&mut exchange.head, length);
                exchange.body = RequestBody::Streamed(Upload::default());
            }
            return match self.hand_over(turn, key) {
                None => Start::Pass { limit },
                Some(answer) => Start::Answer(answer),
            };
        }
        collect(turn, body)
    }

    /// A request's body has been collected.
    pub(super) fn proceed(&mut self, turn: &mut Turn, key: Key, length: u64) -> Option<Answer> {
        let exchange = turn.exchanges.get_mut(key)?;
        set_body_length(&mut exchange.head, length);
        self.hand_over(turn, key)
    }

    /// A request is complete, or its body follows: to a worker with it, or to the queue. Gives the answer if there is no room in that.
    pub(super) fn hand_over(&mut self, turn: &mut Turn, key: Key) -> Option<Answer> {
        if let Some(exchange) = turn.exchanges.get_mut(key)
            && let Some(log) = &mut exchange.log
        {
            log.source = Source::App;
            log.complete = Some(turn.clock.now());
        }
        if self.dispatch(turn, key) { None } else { Some(Answer::unavailable()) }
    }
}
