//! An I/O thread: one event loop that owns its listeners' sockets, its clients and its links to the workers.
//!
//! All descriptors of the thread are in one epoll instance. A batch of its events is handled by plain calls, with no task and
//! no waker for each connection, and what they wrote is sent at the end of the batch. Work that may block goes to
//! threads of its own ([`blocking`](gwanmun_reactor::blocking)); its message comes back through the mailbox.
//!
//! Here clients and mounts are put together, which know nothing of each other.

use crate::clients::ClientTable;
use crate::exchange::deliver;
use crate::exchange::turn::Turn;
use crate::generation::Generation;
use crate::listener::Sockets;
use crate::mounts::Mounts;
use crate::request_id::IdSource;
use crate::shared::Shared;
use crate::shared::message::Message;
use crate::usage::Usage;
use gwanmun_log::Level;
use gwanmun_reactor::arena::{Generations, Key};
use gwanmun_reactor::epoll::{Events, Token, unpack};
use gwanmun_reactor::{epoll, trim};
use std::cell::RefCell;
use std::io;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

pub(crate) struct Thread {
    pub(crate) turn: Turn,
    pub(crate) clients: ClientTable,
    pub(crate) mounts: Mounts,
    /// Room for the keys that [`settle`](Self::settle) works through.
    settling: Vec<Key>,
    events: Box<Events>,
    /// What is not finished by then is cut.
    cut_ms: u64,
    tide: trim::Tide,
    /// How often deadlines are looked at.
    tick_ms: u64,
    /// When the keys of session tickets are looked at next.
    rotate_ms: u64,
    /// When it is seen next whether clients' certificates still hold.
    judge_ms: u64,
}

/// How often a thread looks for a worker that takes its queued requests.
const WAITING_TICK_MS: u64 = 2;
/// How often it is seen whether session tickets want a new key.
const ROTATION_MS: u64 = 60_000;
/// How often it is seen whether clients' certificates still hold (T52).
const JUDGING_MS: u64 = 10_000;

impl Thread {
    /// `generations`: of all the thread's lives.
    ///
    /// # Errors
    /// The system has no descriptors left.
    pub(crate) fn new(
        thread: usize,
        generations: &Generations,
        shared: Arc<Shared>,
        generation: Arc<Generation>,
        sockets: Rc<RefCell<Sockets>>,
    ) -> io::Result<Self> {
        let tick_ms = tick_ms(&generation);
        let turn = Turn::new(thread, generations, shared, generation)?;
        turn.epoll.add_readable(turn.shared.mailboxes[thread].as_fd(), Token::Mailbox)?;
        Ok(Self {
            clients: ClientTable::new(generations, &turn.epoll, sockets)?,
            mounts: Mounts::new(generations, &turn),
            turn,
            settling: Vec::new(),
            events: Box::new(epoll::no_events()),
            cut_ms: 0,
            tide: trim::Tide::default(),
            tick_ms,
            rotate_ms: 0,
            judge_ms: 0,
        })
    }

    /// Runs until the server is closed and everything in progress has ended.
    ///
    /// # Errors
    /// The kernel refuses to wait.
    pub(crate) fn run(mut self) -> io::Result<()> {
        let mut alarm_ms = self.turn.clock.ms() + self.tick_ms;
        let mut more = false;
        while !self.finished() {
            let wait_ms = if more { 0 } else { alarm_ms.saturating_sub(self.turn.clock.ms()) };
            more = self.turn(wait_ms)?;
            let now_ms = self.turn.clock.ms();
            if now_ms >= alarm_ms {
                self.on_tick();
                more |= self.settle();
                alarm_ms = now_ms + self.tick_ms;
            }
            if self.mounts.applications.waiting() > 0 || self.mounts.programs.is_impatient() {
                alarm_ms = alarm_ms.min(now_ms + WAITING_TICK_MS);
            }
        }
        self.end();
        Ok(())
    }

    /// Waits for something to happen, `wait_ms` at the most, and handles it. Gives whether there is more to do at once.
    fn turn(&mut self, mut wait_ms: u64) -> io::Result<bool> {
        loop {
            let Self { turn, events, .. } = self;
            turn.number = turn.number.wrapping_add(1);
            let count = turn.epoll.wait(events, std::mem::take(&mut wait_ms))?;
            turn.clock.tick();
            for index in 0..count {
                let (token, readiness) = unpack(&self.events[index]);
                let Self { turn, clients, mounts, .. } = self;
                match token {
                    Token::Connection(key) => clients.on_event(turn, mounts, key, readiness),
                    Token::Link(key) => {
                        mounts.applications.on_link_event(turn, clients, key, readiness);
                    }
                    Token::Upstream(key) => {
                        mounts.programs.on_event(turn, clients, key, readiness);
                    }
                    Token::Mailbox => self.on_mail(),
                    Token::Listener(index) => clients.accept(turn, index as usize),
                }
            }
            let more = self.settle();
            self.clients.accept_after_shedding(&mut self.turn);
            if more || count < epoll::BATCH {
                self.turn.flush_log();
                return Ok(more);
            }
        }
    }

    /// Sends what has been written during a batch of events. Gives whether there is more to do at once.
    fn settle(&mut self) -> bool {
        let Self { turn, clients, mounts, settling, .. } = self;
        turn.shared.connections[turn.thread].store(clients.connections(), Ordering::Relaxed);
        // Sending can free a client to go on with input it had put off, which can write again.
        let mut keys = std::mem::take(settling);
        for _ in 0..8 {
            if !turn.notes.is_empty() {
                mounts.listen(turn);
            }
            mounts.applications.flush_dirty(turn, clients, &mut keys);
            mounts.flush_programs(turn, clients, &mut keys);
            std::mem::swap(&mut keys, &mut turn.dirty);
            for key in keys.drain(..) {
                clients.settle(turn, mounts, key);
            }
            std::mem::swap(&mut keys, &mut turn.closed);
            for key in keys.drain(..) {
                clients.remove(turn, key);
            }
            if turn.is_settled() && !mounts.is_dirty() {
                break;
            }
        }
        std::mem::swap(&mut keys, &mut turn.yielded);
        for key in keys.drain(..) {
            clients.mark_dirty(turn, key);
        }
        *settling = keys;
        !turn.is_settled() || mounts.is_dirty()
    }

    fn on_mail(&mut self) {
        let shared = Rc::clone(&self.turn.shared);
        for message in shared.mailboxes[self.turn.thread].take() {
            self.on_message(message);
        }
    }

    fn on_message(&mut self, message: Message) {
        let Self { turn, clients, mounts, .. } = self;
        let Mounts { applications, programs, .. } = mounts;
        match message {
            Message::Assigned { exchange, worker } => {
                applications.on_assigned(turn, exchange, worker);
            }
            Message::AddLink { worker, pool, fd, memory } => {
                applications.add_link(turn, clients, worker, pool, fd, memory);
            }
            Message::DrainWorker { worker, heard } => {
                applications.drain_worker(worker);
                drop(heard);
            }
            Message::EndWorker { worker } => applications.end_worker(worker),
            Message::WorkerGone { worker } => applications.hang_up(turn, clients, worker),
            Message::Found { generation, mount, path, found } => {
                let sight = (&generation, mount, &*path);
                mounts.on_found(turn, clients, sight, &found);
            }
            Message::Sendfile { exchange, sought, found } => {
                turn.with_client(clients, exchange, |client, turn| {
                    turn.on_sendfile(client, exchange, &sought, found);
                });
            }
            Message::Script { run, found } => programs.on_script(turn, clients, run, found),
            Message::Started { run, result } => programs.on_started(turn, clients, run, result),
            Message::Exited { run, exit } => programs.on_exited(turn, clients, run, exit),
            Message::Slot { run, slot } => programs.on_slot(turn, clients, run, slot),
            Message::LookedUp { run, result } => programs.on_looked_up(turn, clients, run, result),
            Message::Piece { run, result } => programs.on_piece(turn, clients, run, result),
            Message::Spooled { client, exchange, result } => {
                clients.on_spooled(turn, mounts, (client, exchange), result);
            }
            Message::Loaded { client, result } => clients.on_loaded(turn, client, result),
            Message::Verified { fingerprint, is_right } => {
                mounts.on_verified(turn, clients, fingerprint, is_right);
            }
            Message::Compressed { exchange, compressed } => {
                turn.with_client(clients, exchange, |client, turn| {
                    deliver::on_compressed(turn, client, exchange, *compressed);
                });
            }
            Message::Certificates(certificates) => {
                turn.certificates = Some(certificates);
                clients.judge(turn);
            }
            Message::Renew { generation, sockets, certificates, heard } => {
                turn.certificates = certificates;
                clients.judge(turn);
                self.renew(generation, sockets);
                drop(heard);
            }
            Message::Packed { complaint } => {
                if let Some(text) = complaint {
                    turn.shared.logger.error(Level::Warn, &text);
                }
            }
            #[cfg(test)]
            Message::Test(act) => (act.0)(self),
            Message::Close { grace, patient } => self.begin_closing(grace, patient),
            Message::Ask(order) => clients.ask(turn, mounts, *order),
            Message::AnswerTaken { id, bytes } => clients.on_taken(turn, id, bytes),
            Message::AnswerDropped { id } => clients.drop_task(turn, id),
            Message::GiveWay => {
                clients.shed(turn);
            }
            Message::CloseConnections { idle_only } => clients.close(turn, idle_only),
        }
    }

    /// Requests that have begun go on as they are.
    fn renew(&mut self, generation: Arc<Generation>, sockets: Sockets) {
        let Self { turn, clients, mounts, .. } = self;
        if turn.closing {
            return;
        }
        clients.listen_on(turn, sockets);
        mounts.renew(turn);
        turn.ids = IdSource::new(generation.request_ids);
        self.tick_ms = tick_ms(&generation);
        turn.generation = Rc::new(generation);
    }

    fn begin_closing(&mut self, grace: Duration, patient: bool) {
        let Self { turn, clients, .. } = self;
        turn.patient = patient;
        self.cut_ms = turn.clock.ms() + grace.as_millis() as u64;
        if !turn.closing {
            turn.closing = true;
            clients.stop_listening(turn);
        }
        if !patient {
            clients.close(turn, true);
        }
    }

    fn on_tick(&mut self) {
        let Self { turn, clients, mounts, .. } = self;
        let now_ms = turn.clock.ms();
        clients.retry_accepting(turn);
        mounts.applications.retry_starved(turn, clients);
        if mounts.applications.waiting() > 0 {
            mounts.applications.retry_waiting(turn);
            mounts.applications.expire_waiting(turn, clients);
        }
        if turn.closing && now_ms >= self.cut_ms {
            clients.close(turn, false);
        } else {
            clients.on_tick(turn);
        }
        if turn.asks_clients() && now_ms >= self.judge_ms {
            self.judge_ms = now_ms + JUDGING_MS;
            clients.judge(turn);
        }
        mounts.expire_lookups(turn, clients);
        turn.expire_sought(clients);
        // After the clients' own deadlines, which say more.
        mounts.applications.expire_running(turn, clients);
        mounts.programs.on_tick(turn, clients);
        turn.buffers.age(now_ms);
        turn.log_untold(false);
        if turn.thread == 0 && turn.certificates.is_some() && now_ms >= self.rotate_ms {
            self.rotate_ms = now_ms + ROTATION_MS;
            if let Err(why) = turn.shared.tickets.rotate() {
                turn.log_error(&why);
            }
        }
        self.measure();
    }

    /// Counts what is held, for whoever asks.
    fn measure(&mut self) {
        let turn = &self.turn;
        let mut usage = Usage { kept: turn.buffers.kept() as u64, ..Usage::default() };
        for held in self.clients.holdings(turn) {
            let (bytes, files) = (u64::from(held.bytes), u64::from(held.files));
            usage.clients += bytes;
            usage.descriptors += files;
            usage.most = usage.most.max(bytes);
            usage.most_descriptors = usage.most_descriptors.max(files);
        }
        let Mounts { applications, programs, .. } = &self.mounts;
        usage.queued = (applications.unsent() + programs.unsent()) as u64;
        turn.shared.gauges[turn.thread].set(&usage);
        if self.tide.is_over(usage.clients + usage.queued + usage.kept, turn.clock.ms()) {
            trim::give_back();
        }
    }

    fn finished(&self) -> bool {
        // An exchange without a client is a worker's that is still busy for one that has left.
        let turn = &self.turn;
        let cut = turn.clock.ms() >= self.cut_ms;
        let is_over = turn.exchanges.is_empty() && !self.mounts.programs.has_ending();
        turn.closing && self.clients.is_empty() && (is_over || cut)
    }

    /// Says goodbye to the workers: they read an end and finish.
    fn end(&mut self) {
        let Self { turn, clients, mounts, .. } = self;
        mounts.applications.flush_all(turn, clients);
        turn.log_untold(true);
        turn.flush_log();
    }
}

/// How often deadlines are looked at: often enough for the shortest.
fn tick_ms(generation: &Generation) -> u64 {
    let timeouts = &generation.timeouts;
    let clients = [timeouts.header_ms, timeouts.body_ms, timeouts.keep_alive_ms, timeouts.write_ms];
    let workers = generation.pools.iter().map(|pool| pool.config.request_timeout_ms);
    let upstreams = generation.mounts.iter().filter_map(|mount| mount.program.as_ref());
    let upstreams = upstreams
        .map(|program| &program.upstream.config)
        .flat_map(|config| [config.timeout_ms, config.connect_timeout_ms, config.queue_timeout_ms]);
    let workers = workers.chain(upstreams);
    let shortest = clients.into_iter().chain(workers.filter(|&limit_ms| limit_ms > 0)).min();
    let shortest = shortest.unwrap_or_default();
    (shortest / 4).clamp(10, 250)
}
