//! An I/O thread: one event loop that owns its listeners' sockets, its connections and its links to the workers.
//!
//! All descriptors of the thread are in one epoll instance. A batch of its events is handled by plain calls, with no task and
//! no waker for each connection, and what they wrote is sent at the end of the batch. Work that may block goes to
//! threads of its own ([`blocking`](gwanmun_reactor::blocking)); its message comes back through the mailbox.

mod accept;
pub(crate) mod log;
pub(crate) mod shedding;

use crate::connection::Connection;
use crate::connection::compress::Compressed;
use crate::connection::sendfile::Sought;
use crate::exchange::{Exchange, Exchanges, ResponseState};
use crate::generation::Generation;
use crate::mounts::application::link::Links;
use crate::mounts::application::memory::WorkerMemory;
use crate::mounts::application::pool::Pool;
use crate::request_id::IdSource;
use crate::server::{Event, Shared};
use crate::usage::Usage;
use accept::Acceptor;
pub(crate) use accept::{Sockets, sockets_of};
use gwanmun_files::{FileCache, FileCacheLimits, FileEntry, Files, Found};
use gwanmun_gateway::frame::{FrameError, MAX_PAYLOAD};
use gwanmun_gateway::names::NamesTable;
use gwanmun_http1::HeaderSpan;
use gwanmun_log::{Level, LogBuffer};
use gwanmun_reactor::arena::{Arena, Generations, Key};
use gwanmun_reactor::blocking::Lane;
use gwanmun_reactor::buffers::Buffers;
use gwanmun_reactor::clock::Clock;
use gwanmun_reactor::epoll::{Epoll, Events, Token, unpack};
use gwanmun_reactor::{HeldFile, blocking, epoll, trim};
use gwanmun_sys::descriptors;
use rustc_hash::FxHashMap;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::collections::hash_map::Entry;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// What the thread's parts work with, apart from the connections themselves.
pub(crate) struct Context {
    pub(crate) thread: usize,
    /// Counted by thread as well, so that a request that holds on to them costs no atomic operation.
    pub(crate) shared: ByThread<Shared>,
    pub(crate) generation: ByThread<Generation>,
    pub(crate) epoll: Epoll,
    pub(crate) clock: Clock,
    pub(crate) buffers: Buffers,
    pub(crate) exchanges: Exchanges,
    pub(crate) links: Links,
    pub(crate) worker_links: FxHashMap<u32, Key>,
    pub(crate) names: NamesTable,
    pub(crate) files: FileCache,
    /// Files that are being looked for, and who waits for each: a disk that stalls holds one blocking thread for each file.
    pub(crate) lookups: FxHashMap<Sight, LookUp>,
    /// Responses whose file is being looked for, the longest first, and since when.
    pub(crate) sought: VecDeque<(u64, Key)>,
    /// By device, of which what is no regular file has none: the lane of files that workers pass, and whether the kernel tells what reading one would wait for.
    pub(crate) passed_lanes: FxHashMap<Option<u64>, (Arc<Lane>, bool)>,
    log: LogBuffer,
    pub(crate) ids: IdSource,
    /// Connections and links with something to send.
    pub(crate) dirty: Vec<Key>,
    /// Connections that have had their turn, and go on in the next.
    pub(crate) yielded: Vec<Key>,
    /// The number of this turn of the loop.
    pub(crate) turn: u32,
    pub(crate) dirty_links: Vec<Key>,
    /// Connections to be removed.
    pub(crate) closed: Vec<Key>,
    /// Requests of this thread in the queues of the pools.
    pub(crate) waiting: usize,
    pub(crate) closing: bool,
    /// While closing: nobody is in a hurry.
    pub(crate) patient: bool,
    /// What every connection receives into.
    pub(crate) scratch: Vec<u8>,
    pub(crate) headers: Vec<HeaderSpan>,
    pub(crate) path: Vec<u8>,
}

/// A file that is being looked for: the generation's address, the mount, and the path beneath it.
pub(crate) type Sight = (usize, usize, Box<[u8]>);

/// Who waits for a file.
#[derive(Debug)]
pub(crate) struct LookUp {
    since_ms: u64,
    waiters: Vec<Waiter>,
}

/// A request that waits for a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiter {
    pub(crate) connection: Key,
    pub(crate) exchange: Key,
}

/// Something that the threads share, with a count of its own in each.
pub(crate) type ByThread<T> = Rc<Arc<T>>;

/// What all I/O threads hear of: when the last one has, which is when it lets go of this, the next step is taken. A thread that panics hears
/// of it as well.
pub(crate) struct Heard {
    shared: Weak<Shared>,
    then: Then,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Then {
    EndWorker(u32),
    TellRenewed,
}

impl Heard {
    pub(crate) fn by_all(shared: &Arc<Shared>, then: Then) -> Arc<Self> {
        Arc::new(Self { shared: Arc::downgrade(shared), then })
    }
}

impl std::fmt::Debug for Heard {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.then.fmt(formatter)
    }
}

impl Drop for Heard {
    fn drop(&mut self) {
        let Some(shared) = self.shared.upgrade() else { return };
        match self.then {
            Then::EndWorker(worker) => {
                for mailbox in &shared.mailboxes {
                    mailbox.post(Message::EndWorker { worker });
                }
            }
            Then::TellRenewed => (shared.on_event)(Event::Renewed),
        }
    }
}

#[cfg(test)]
pub(crate) struct Act(pub(crate) Box<dyn FnOnce(&mut Context) + Send>);

#[cfg(test)]
impl std::fmt::Debug for Act {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Act")
    }
}

/// From other threads.
#[derive(Debug)]
pub(crate) enum Message {
    /// A queued request has got a worker's slot.
    Assigned {
        exchange: Key,
        worker: u32,
    },
    AddLink {
        worker: u32,
        pool: Arc<Pool>,
        fd: OwnedFd,
        memory: Arc<WorkerMemory>,
    },
    /// No more requests for the worker.
    DrainWorker {
        worker: u32,
        heard: Arc<Heard>,
    },
    /// No thread assigns the worker anything, nor is a message of that on its way.
    EndWorker {
        worker: u32,
    },
    /// Its process has ended, or another thread has seen that it is of no more use.
    WorkerGone {
        worker: u32,
    },
    Found {
        /// What the mount belongs to.
        generation: Arc<Generation>,
        mount: usize,
        path: Box<[u8]>,
        found: Found,
    },
    Sendfile {
        exchange: Key,
        sought: Arc<Sought>,
        /// With the folder that it was found in.
        found: Option<(Found, Arc<Files>)>,
    },
    Spooled {
        connection: Key,
        exchange: Key,
        result: io::Result<Arc<HeldFile>>,
    },
    Loaded {
        connection: Key,
        /// The bytes, if it is from memory that they are to be sent.
        result: io::Result<Option<Vec<u8>>>,
    },
    /// A piece of a response's body.
    Compressed {
        exchange: Key,
        compressed: Box<Compressed>,
    },
    /// A file was compressed; whoever asks next gets it so.
    Packed {
        complaint: Option<String>,
    },
    /// From now on requests are of this generation.
    Renew {
        generation: Arc<Generation>,
        sockets: Sockets,
        heard: Arc<Heard>,
    },
    /// What a test does on the thread.
    #[cfg(test)]
    Test(Act),
    /// Accept no more, finish what is in progress, cut what is left after `grace`.
    Close {
        grace: Duration,
        /// Idle connections get a last response first, or their keep-alive timeout.
        patient: bool,
    },
    /// Another thread has clients that wait for a descriptor, and no connection that can give way.
    GiveWay,
    /// Close the clients' connections, or those on which nothing is in progress; others may come.
    CloseConnections {
        idle_only: bool,
    },
}

pub(crate) struct Thread {
    pub(crate) cx: Context,
    pub(crate) connections: Arena<Connection>,
    pub(crate) link_buffer: Vec<u8>,
    /// Room for the keys that [`settle`](Self::settle) works through.
    settling: Vec<Key>,
    events: Box<Events>,
    acceptor: Acceptor,
    /// What is not finished by then is cut.
    cut_ms: u64,
    tide: trim::Tide,
    /// How often deadlines are looked at.
    tick_ms: u64,
}

/// What one receive brings fits one frame.
const SCRATCH: usize = MAX_PAYLOAD;
const LINK_BUFFER: usize = 512 * 1024;
/// How often a thread looks for a worker that takes its queued requests.
const WAITING_TICK_MS: u64 = 2;

impl Thread {
    /// `generations`: of all the thread's lives.
    pub(crate) fn new(
        thread: usize,
        generations: &Generations,
        shared: Arc<Shared>,
        generation: Arc<Generation>,
        sockets: Rc<RefCell<Sockets>>,
    ) -> io::Result<Self> {
        let epoll = Epoll::new()?;
        epoll.add_readable(shared.mailboxes[thread].as_fd(), Token::Mailbox)?;
        let acceptor = Acceptor::new(&epoll, sockets)?;
        let log = LogBuffer::new(&shared.logger);
        let ids = IdSource::new(generation.request_ids);
        let tick_ms = tick_ms(&generation);
        let cx = Context {
            thread,
            files: FileCache::new(file_cache_limits(&shared)),
            shared: Rc::new(shared),
            generation: Rc::new(generation),
            epoll,
            clock: Clock::default(),
            buffers: Buffers::default(),
            exchanges: Exchanges::new(generations),
            links: Links::new(generations),
            worker_links: FxHashMap::default(),
            names: NamesTable::default(),
            lookups: FxHashMap::default(),
            sought: VecDeque::new(),
            passed_lanes: FxHashMap::default(),
            log,
            ids,
            dirty: Vec::new(),
            yielded: Vec::new(),
            turn: 0,
            dirty_links: Vec::new(),
            closed: Vec::new(),
            waiting: 0,
            closing: false,
            patient: false,
            scratch: vec![0; SCRATCH],
            headers: Vec::new(),
            path: Vec::new(),
        };
        Ok(Self {
            cx,
            connections: Arena::new(generations),
            link_buffer: vec![0; LINK_BUFFER],
            settling: Vec::new(),
            events: Box::new(epoll::no_events()),
            acceptor,
            cut_ms: 0,
            tide: trim::Tide::default(),
            tick_ms,
        })
    }

    /// Runs until the server is closed and everything in progress has ended.
    pub(crate) fn run(mut self) -> io::Result<()> {
        let mut alarm_ms = self.cx.clock.ms() + self.tick_ms;
        let mut more = false;
        while !self.finished() {
            let wait_ms = if more { 0 } else { alarm_ms.saturating_sub(self.cx.clock.ms()) };
            more = self.turn(wait_ms)?;
            let now_ms = self.cx.clock.ms();
            if now_ms >= alarm_ms {
                self.on_tick();
                more |= self.settle();
                alarm_ms = now_ms + self.tick_ms;
            }
            if self.cx.waiting > 0 {
                alarm_ms = alarm_ms.min(now_ms + WAITING_TICK_MS);
            }
        }
        self.end();
        Ok(())
    }

    /// Waits for something to happen, `wait_ms` at the most, and handles it. Gives whether there is more to do at once.
    fn turn(&mut self, mut wait_ms: u64) -> io::Result<bool> {
        loop {
            self.cx.turn = self.cx.turn.wrapping_add(1);
            let count = self.cx.epoll.wait(&mut self.events, std::mem::take(&mut wait_ms))?;
            self.cx.clock.tick();
            for index in 0..count {
                let (token, readiness) = unpack(&self.events[index]);
                match token {
                    Token::Connection(key) => {
                        if let Some(connection) = self.connections.get_mut(key) {
                            connection.on_event(&mut self.cx, readiness);
                        }
                    }
                    Token::Link(key) => self.on_link_event(key, readiness),
                    Token::Mailbox => self.on_mail(),
                    Token::Listener(index) => self.accept(index as usize),
                }
            }
            let more = self.settle();
            self.accept_after_shedding();
            if more || count < epoll::BATCH {
                self.cx.log.flush();
                return Ok(more);
            }
        }
    }

    /// Sends what has been written during a batch of events. Gives whether there is more to do at once.
    fn settle(&mut self) -> bool {
        self.cx.shared.connections[self.cx.thread].store(self.connections.len(), Ordering::Relaxed);
        // Sending can free a connection to go on with input it had put off, which can write again.
        let mut keys = std::mem::take(&mut self.settling);
        for _ in 0..8 {
            std::mem::swap(&mut keys, &mut self.cx.dirty_links);
            for key in keys.drain(..) {
                self.flush_link(key);
            }
            std::mem::swap(&mut keys, &mut self.cx.dirty);
            for key in keys.drain(..) {
                if let Some(connection) = self.connections.get_mut(key) {
                    connection.settle(&mut self.cx);
                }
            }
            std::mem::swap(&mut keys, &mut self.cx.closed);
            for key in keys.drain(..) {
                if let Some(mut connection) = self.connections.remove(key) {
                    connection.dispose(&mut self.cx);
                }
            }
            if self.cx.dirty.is_empty() && self.cx.dirty_links.is_empty() {
                break;
            }
        }
        std::mem::swap(&mut keys, &mut self.cx.yielded);
        for key in keys.drain(..) {
            if let Some(connection) = self.connections.get_mut(key) {
                connection.mark_dirty(&mut self.cx);
            }
        }
        self.settling = keys;
        !self.cx.dirty.is_empty() || !self.cx.dirty_links.is_empty()
    }

    fn on_mail(&mut self) {
        let shared = Rc::clone(&self.cx.shared);
        for message in shared.mailboxes[self.cx.thread].take() {
            self.on_message(message);
        }
    }

    fn on_message(&mut self, message: Message) {
        let cx = &mut self.cx;
        match message {
            Message::Assigned { exchange, worker } => cx.on_assigned(exchange, worker),
            Message::AddLink { worker, pool, fd, memory } => {
                self.add_link(worker, pool, fd, memory)
            }
            Message::DrainWorker { worker, heard } => {
                self.drain_worker(worker);
                drop(heard);
            }
            Message::EndWorker { worker } => self.end_worker(worker),
            Message::WorkerGone { worker } => self.hang_up(worker),
            Message::Found { generation, mount, path, found } => {
                if Arc::ptr_eq(&generation, &cx.generation) {
                    cx.files.insert(mount as u32, &path, &found, cx.clock.now());
                }
                self.on_found(&generation, mount, &path, &found);
            }
            Message::Sendfile { exchange, sought, found } => {
                // The closure does not fail.
                let _ = cx.with_connection(&mut self.connections, exchange, |connection, cx| {
                    connection.on_sendfile(cx, exchange, &sought, found);
                    Ok(())
                });
            }
            Message::Spooled { connection, exchange, result } => {
                if let Some(connection) = self.connections.get_mut(connection) {
                    connection.on_spooled(cx, exchange, result);
                }
            }
            Message::Loaded { connection, result } => {
                if let Some(connection) = self.connections.get_mut(connection) {
                    connection.on_loaded(cx, result);
                }
            }
            Message::Compressed { exchange, compressed } => {
                // The closure does not fail.
                let _ = cx.with_connection(&mut self.connections, exchange, |connection, cx| {
                    connection.on_compressed(cx, exchange, *compressed);
                    Ok(())
                });
            }
            Message::Renew { generation, sockets, heard } => {
                self.renew(generation, sockets);
                drop(heard);
            }
            Message::Packed { complaint } => {
                if let Some(text) = complaint {
                    cx.shared.logger.error(Level::Warn, &text);
                }
            }
            #[cfg(test)]
            Message::Test(Act(act)) => act(cx),
            Message::Close { grace, patient } => self.begin_closing(grace, patient),
            Message::GiveWay => {
                self.shed();
            }
            Message::CloseConnections { idle_only } => {
                for (_, connection) in self.connections.iter_mut() {
                    if idle_only {
                        connection.close_if_idle(cx);
                    } else {
                        connection.close(cx);
                    }
                }
            }
        }
    }

    /// A file has been looked for: whoever waits for it goes on.
    fn on_found(&mut self, generation: &Arc<Generation>, mount: usize, path: &[u8], found: &Found) {
        let cx = &mut self.cx;
        let sight = (Arc::as_ptr(generation).addr(), mount, path.into());
        let waiters = cx.lookups.remove(&sight).map(|look| look.waiters).unwrap_or_default();
        for (index, waiter) in waiters.into_iter().enumerate() {
            // Who came later may have come after a change: what is announced must be what is there (H82).
            let is_outdated = matches!(found, Found::File(entry)
                if index > 0 && entry.content.is_none() && !entry.is_unchanged());
            let refused;
            let found = if is_outdated {
                match cx.look_for(generation, mount, path, None, waiter) {
                    Ok(()) => continue,
                    Err(error) => {
                        refused = Found::Unavailable(error);
                        &refused
                    }
                }
            } else {
                found
            };
            if let Some(connection) = self.connections.get_mut(waiter.connection) {
                connection.on_found(cx, waiter.exchange, found);
            }
        }
    }

    /// Gives up on files that have been looked for too long. The thread that looks goes on: nothing can end what hangs in the kernel.
    fn expire_lookups(&mut self) {
        let cx = &mut self.cx;
        let now_ms = cx.clock.ms();
        let patience_ms = blocking::PATIENCE.as_millis() as u64;
        let mut waiters = Vec::new();
        for look in cx.lookups.values_mut() {
            if now_ms >= look.since_ms + patience_ms {
                waiters.append(&mut look.waiters);
            }
        }
        for waiter in waiters {
            let files = cx.exchanges.get(waiter.exchange).and_then(Exchange::files);
            if let Some(files) = files
                && let Some(connection) = self.connections.get_mut(waiter.connection)
            {
                let found = Found::Unavailable(files.root.lane().hangs());
                connection.on_found(cx, waiter.exchange, &found);
            }
        }
        while let Some(&(since_ms, key)) = cx.sought.front() {
            let is_sought = |exchange: &Exchange| exchange.response.state == ResponseState::Sought;
            let is_sought = cx.exchanges.get(key).is_some_and(is_sought);
            if is_sought && now_ms < since_ms + patience_ms {
                break;
            }
            cx.sought.pop_front();
            if is_sought {
                // The closure does not fail.
                let _ = cx.with_connection(&mut self.connections, key, |connection, cx| {
                    connection.give_up_sendfile(cx, key);
                    Ok(())
                });
            }
        }
    }

    /// Requests that have begun go on as they are.
    fn renew(&mut self, generation: Arc<Generation>, sockets: Sockets) {
        if self.cx.closing {
            return;
        }
        self.listen_on(sockets);
        // Its keys are mounts of the generation that goes.
        self.cx.files = FileCache::new(file_cache_limits(&self.cx.shared));
        self.cx.ids = IdSource::new(generation.request_ids);
        self.tick_ms = tick_ms(&generation);
        self.cx.generation = Rc::new(generation);
    }

    fn begin_closing(&mut self, grace: Duration, patient: bool) {
        self.cx.patient = patient;
        self.cut_ms = self.cx.clock.ms() + grace.as_millis() as u64;
        if !self.cx.closing {
            self.cx.closing = true;
            self.stop_listening();
        }
        if patient {
            return;
        }
        for key in self.connections.keys() {
            if let Some(connection) = self.connections.get_mut(key) {
                connection.close_if_idle(&mut self.cx);
            }
        }
    }

    fn on_tick(&mut self) {
        let now = self.cx.clock.ms();
        self.retry_accepting();
        self.retry_starved();
        if self.cx.waiting > 0 {
            self.cx.retry_waiting();
            self.expire_waiting();
        }
        let cut = self.cx.closing && now >= self.cut_ms;
        for (_, connection) in self.connections.iter_mut() {
            if cut {
                connection.close(&mut self.cx);
            } else {
                connection.on_tick(&mut self.cx);
            }
        }
        self.expire_lookups();
        // After the clients' own deadlines, which say more.
        self.expire_running();
        self.cx.buffers.age(now);
        self.measure();
    }

    /// Counts what is held, for whoever asks.
    fn measure(&mut self) {
        let cx = &self.cx;
        let mut usage = Usage { kept: cx.buffers.kept() as u64, ..Usage::default() };
        for connection in self.connections.iter() {
            let held = connection.holds(cx);
            let (bytes, files) = (u64::from(held.bytes), u64::from(held.files));
            usage.clients += bytes;
            usage.descriptors += files;
            usage.most = usage.most.max(bytes);
            usage.most_descriptors = usage.most_descriptors.max(files);
        }
        for link in cx.links.iter() {
            usage.queued += link.unsent() as u64;
        }
        cx.shared.gauges[cx.thread].set(&usage);
        if self.tide.is_over(usage.clients + usage.queued + usage.kept, cx.clock.ms()) {
            trim::give_back();
        }
    }

    fn finished(&self) -> bool {
        // An exchange without a connection is a worker's that is still busy for a client that has left.
        let cut = self.cx.clock.ms() >= self.cut_ms;
        self.cx.closing && self.connections.is_empty() && (self.cx.exchanges.is_empty() || cut)
    }

    /// Says goodbye to the workers: they read an end and finish.
    fn end(&mut self) {
        for key in self.cx.links.keys() {
            self.flush_link(key);
        }
        self.cx.log.flush();
    }
}

impl Context {
    /// Has a blocking thread look for a file, unless one does: [`Message::Found`] tells. `known` is what the cache had.
    ///
    /// # Errors
    /// One has been looking for too long.
    pub(crate) fn look_for(
        &mut self,
        generation: &Arc<Generation>,
        mount: usize,
        path: &[u8],
        known: Option<Arc<FileEntry>>,
        waiter: Waiter,
    ) -> io::Result<()> {
        let Some(files) = generation.mounts.get(mount).and_then(|mount| mount.files.clone()) else {
            return Ok(());
        };
        let sight = (Arc::as_ptr(generation).addr(), mount, Box::from(path));
        let now_ms = self.clock.ms();
        match self.lookups.entry(sight) {
            Entry::Occupied(entry) => {
                let look = entry.into_mut();
                if now_ms >= look.since_ms + blocking::PATIENCE.as_millis() as u64 {
                    return Err(files.root.lane().hangs());
                }
                look.waiters.push(waiter);
                return Ok(());
            }
            Entry::Vacant(entry) => {
                entry.insert(LookUp { since_ms: now_ms, waiters: vec![waiter] });
            }
        }
        let lane = Arc::clone(files.root.lane());
        let (generation, path) = (Arc::clone(generation), Box::<[u8]>::from(path));
        let (own, missing) = (Arc::clone(&generation), path.clone());
        self.run_blocking(
            &lane,
            move || {
                let found = match &known {
                    Some(entry) => files.root.revalidate(entry, &path, &files.rules),
                    None => files.root.find(&path, &files.rules),
                };
                Message::Found { generation, mount, path, found }
            },
            move |error| Message::Found {
                generation: own,
                mount,
                path: missing,
                found: Found::Unavailable(error),
            },
        );
        Ok(())
    }

    /// Does `work` on a thread of the lane; its message comes back to this thread, or that of `failed` if the work could not be done.
    pub(crate) fn run_blocking(
        &self,
        lane: &Arc<Lane>,
        work: impl FnOnce() -> Message + Send + 'static,
        failed: impl FnOnce(io::Error) -> Message + Send + 'static,
    ) {
        let (shared, also) = (Arc::clone(&self.shared), Arc::clone(&self.shared));
        let thread = self.thread;
        lane.run(
            move || shared.mailboxes[thread].post(work()),
            move |error| also.mailboxes[thread].post(failed(error)),
        );
    }

    /// Calls `act` with the connection that waits for the exchange, if there still is one.
    pub(crate) fn with_connection(
        &mut self,
        connections: &mut Arena<Connection>,
        exchange: Key,
        act: impl FnOnce(&mut Connection, &mut Self) -> Result<(), FrameError>,
    ) -> Result<(), FrameError> {
        let connection = self.exchanges.get(exchange).and_then(|exchange| exchange.connection);
        match connection.and_then(|key| connections.get_mut(key)) {
            Some(connection) if !connection.is_closed() => act(connection, self),
            _ => Ok(()),
        }
    }
}

/// A thread keeps fewer files open where descriptors are few.
fn file_cache_limits(shared: &Shared) -> FileCacheLimits {
    let descriptors = descriptors::files_to_keep(shared.mailboxes.len());
    FileCacheLimits { descriptors, ..FileCacheLimits::default() }
}

/// How often deadlines are looked at: often enough for the shortest.
fn tick_ms(generation: &Generation) -> u64 {
    let timeouts = &generation.timeouts;
    let clients = [timeouts.header_ms, timeouts.body_ms, timeouts.keep_alive_ms, timeouts.write_ms];
    let workers = generation.pools.iter().map(|pool| pool.config.request_timeout_ms);
    let shortest = clients.into_iter().chain(workers.filter(|&limit_ms| limit_ms > 0)).min();
    let shortest = shortest.unwrap_or_default();
    (shortest / 4).clamp(10, 250)
}
