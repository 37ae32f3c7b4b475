//! The server as the embedder sees it: start, workers, close.

mod certificates;
mod start;

use crate::config::{Config, Listen};
use crate::error::{Error, ErrorKind};
use crate::generation::Generation;
use crate::listener::{Address, Inherited, Listener, Secures, secured, sockets_of};
use crate::mounts::application::link;
use crate::pools::Pool;
use crate::pools::memory::{MAX_LINKS, Pulse, WorkerMemory};
use crate::shared::challenges::{Challenges, HttpChallenge};
use crate::shared::message::{Heard, Message, Then};
use crate::shared::task::{TaskAnswer, TaskRequest};
use crate::shared::{Event, Shared, WorkerState, lock};
use crate::spool::Spooled;
use crate::usage::{Gauge, Handshakes, Usage};
pub use certificates::{GivenTls, read_authorities, read_certificate};
use certificates::{certificates_for, load_certificates};
use gwanmun_log::{self as log, Record, WorkerName};
use gwanmun_reactor::blocking::Lane;
use gwanmun_reactor::mailbox::Mailbox;
use gwanmun_sys::descriptors;
use gwanmun_tls::{Certificates, Challenge as TlsChallenge, Described};
use start::{bind, open_log, spawn};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

/// The ends of a new worker's links, and its shared memory. They are close-on-exec; hand them to the worker and drop
/// them.
#[derive(Debug)]
pub struct WorkerEnds {
    pub id: u32,
    pub memory: OwnedFd,
    pub links: Vec<OwnedFd>,
}

/// What goes on in a server.
#[derive(Clone, Debug)]
pub struct Status {
    /// Connections of clients.
    pub connections: usize,
    /// The queues, by the number of their pool: how many requests wait, and for how long the first one has.
    pub queues: Vec<(usize, usize, Duration)>,
    /// The workers that are ready.
    pub workers: Vec<WorkerLoad>,
    pub usage: Usage,
    pub handshakes: Handshakes,
}

/// What a worker has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerLoad {
    pub id: u32,
    /// Requests that it has.
    pub in_flight: u32,
    /// All that it has got so far.
    pub requests: u64,
    pub pulse: Pulse,
}

/// A running server. Dropping it without [`Server::close`] cuts everything.
pub struct Server {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    next_worker: AtomicU32,
    /// Keeps the files of Unix sockets until the end.
    listeners: Mutex<Bound>,
    prepared: Mutex<Option<Prepared>>,
}

/// What each entry of `listen` stands for.
type Bound = Vec<(Listen, Vec<Arc<Listener>>)>;

/// A configuration that can take the place of the current one at any time.
struct Prepared {
    generation: Arc<Generation>,
    certificates: Option<Arc<Certificates>>,
    listeners: Bound,
    pools: Vec<usize>,
}

impl Server {
    /// Binds every listener and starts the I/O threads.
    ///
    /// # Errors
    /// The configuration is not valid, an address can't be listened on, or the system refuses something.
    pub fn start(
        config: &Config,
        certificates: &GivenTls<'_>,
        on_event: impl Fn(Event) + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        let threads = match config.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        }
        .min(MAX_LINKS);
        let generation = Arc::new(Generation::new(config, None)?);
        let tickets = LazyLock::new(Arc::default as fn() -> _);
        let challenges = Challenges::default();
        let issuing = (&tickets, &challenges);
        let certificates = certificates_for(config, certificates, &generation, issuing)?;
        let mut inherited = Inherited::take_over(&config.inherited)?;
        let listeners = bind(&config.listen, &[], threads, &mut inherited)?;
        drop(inherited);
        let mailboxes: Result<_, _> = (0..threads).map(|_| Mailbox::new()).collect();
        let shared = Arc::new(Shared {
            pools: Mutex::default(),
            generation: Mutex::new(Arc::clone(&generation)),
            connections: (0..threads).map(|_| AtomicUsize::new(0)).collect(),
            spooled: Spooled::default(),
            gauges: (0..threads).map(|_| Gauge::default()).collect(),
            handshakes: (0..threads).map(|_| Mutex::default()).collect(),
            mailboxes: mailboxes
                .map_err(|error| Error::system("Can't create an event descriptor", &error))?,
            logger: open_log(config)?,
            computing: Lane::for_computing(),
            passwords: Lane::for_passwords(),
            on_event: Box::new(on_event),
            workers: Mutex::default(),
            certificates: Mutex::new(certificates),
            challenges,
            tickets,
            running: AtomicUsize::new(threads),
            closing: AtomicBool::new(false),
        });
        shared.register(&generation);
        shared.warn_of(&generation);
        if let Some(complaint) = descriptors::complaint(config.reserved_descriptors) {
            shared.logger.error(log::Level::Warn, &complaint);
        }
        let server = Self {
            threads: Mutex::default(),
            next_worker: AtomicU32::new(1),
            listeners: Mutex::new(listeners),
            prepared: Mutex::default(),
            shared,
        };
        let (started, outcomes) = mpsc::channel();
        for index in 0..threads {
            let sockets = sockets_of(&lock(&server.listeners), index, threads);
            let outcome = spawn(index, Arc::clone(&server.shared), sockets, started.clone());
            match outcome {
                Ok(thread) => server.lock_threads().push(thread),
                Err(error) => drop(started.send(Err(error))),
            }
        }
        for outcome in outcomes.iter().take(threads) {
            if let Err(error) = outcome {
                server.close(Duration::ZERO);
                server.join();
                return Err(Error::thread("Can't start an I/O thread", &error));
            }
        }
        Ok(server)
    }

    /// Where the server listens, with the ports that were chosen for port 0, and whether TLS is spoken there.
    #[must_use]
    pub fn addresses(&self) -> Vec<(Address, bool)> {
        let listeners = lock(&self.listeners);
        let each = secured(&listeners);
        each.map(|(own, secures)| (own.address.clone(), secures == Secures::Tls)).collect()
    }

    /// Makes everything that a new configuration needs, while the old one goes on: its folders are opened, its new addresses bound.
    /// Gives the numbers of its pools, which workers can be added to. The number of threads, the logs and the folder for temporary
    /// files stay as they are. A configuration that was prepared before and not committed is dropped.
    ///
    /// # Errors
    /// As for [`Server::start`]; nothing has changed then.
    pub fn prepare(
        &self,
        config: &Config,
        certificates: &GivenTls<'_>,
    ) -> Result<Vec<usize>, Error> {
        self.discard();
        let previous = Arc::clone(&lock(&self.shared.generation));
        let mut generation = Generation::new(config, Some(&previous))?;
        let issuing = (&self.shared.tickets, &self.shared.challenges);
        let certificates = certificates_for(config, certificates, &generation, issuing)?;
        generation.log_like(&previous);
        let threads = self.shared.mailboxes.len();
        let none = &mut Inherited::default();
        let listeners = bind(&config.listen, &lock(&self.listeners), threads, none)?;
        let pools = self.shared.register(&generation);
        let generation = Arc::new(generation);
        *lock(&self.prepared) =
            Some(Prepared { generation, certificates, listeners, pools: pools.clone() });
        Ok(pools)
    }

    /// Drops what was prepared.
    pub fn discard(&self) {
        if let Some(Prepared { pools, .. }) = lock(&self.prepared).take() {
            for pool in pools {
                self.forget_pool(pool);
            }
        }
    }

    /// Has new requests served by what was prepared; then comes [`Event::Renewed`]. Those that have begun end as they began.
    pub fn commit(&self) {
        let Some(Prepared { generation, certificates, listeners, .. }) =
            lock(&self.prepared).take()
        else {
            return;
        };
        self.shared.warn_of(&generation);
        lock(&self.shared.certificates).clone_from(&certificates);
        *lock(&self.shared.generation) = Arc::clone(&generation);
        let heard = Heard::by_all(&self.shared, Then::TellRenewed);
        for (index, mailbox) in self.shared.mailboxes.iter().enumerate() {
            mailbox.post(Message::Renew {
                generation: Arc::clone(&generation),
                sockets: sockets_of(&listeners, index, self.shared.mailboxes.len()),
                certificates: certificates.clone(),
                heard: Arc::clone(&heard),
            });
        }
        *lock(&self.listeners) = listeners;
    }

    /// Has new clients get other certificates, on all threads; established connections go on. Does nothing where TLS is not spoken.
    ///
    /// # Errors
    /// One of them can't be served; nothing has changed then.
    pub fn set_certificates(&self, given: &GivenTls<'_>) -> Result<(), Error> {
        let generation = Arc::clone(&lock(&self.shared.generation));
        let mut current = lock(&self.shared.certificates);
        if current.is_none() {
            return Ok(());
        }
        let issuing = (&self.shared.tickets, &self.shared.challenges);
        let certificates = Arc::new(load_certificates(given, &generation, issuing)?);
        *current = Some(Arc::clone(&certificates));
        for mailbox in &self.shared.mailboxes {
            mailbox.post(Message::Certificates(Arc::clone(&certificates)));
        }
        Ok(())
    }

    /// Has authorities that ask whether names lead here answered so, and no others any more. On return every thread does.
    ///
    /// # Errors
    /// One of them can't be served; nothing has changed then.
    pub fn set_challenges(
        &self,
        http: &[HttpChallenge],
        tls: &[TlsChallenge<'_>],
    ) -> Result<(), Error> {
        let set = self.shared.challenges.set(http, tls);
        set.map_err(|fault| Error::certificate("challenge", &fault))
    }

    /// What there is to say of each certificate that is served.
    #[must_use]
    pub fn certificates(&self) -> Vec<Described> {
        let certificates = lock(&self.shared.certificates);
        certificates.iter().flat_map(|own| own.described()).cloned().collect()
    }

    /// The keys of session tickets, for a process that takes this one's place. They are secret.
    #[must_use]
    pub fn ticket_keys(&self) -> Vec<u8> {
        self.shared.tickets.export().to_vec()
    }

    /// Takes over the keys of session tickets from the process before. `false`: these are none.
    #[must_use]
    pub fn set_ticket_keys(&self, keys: &[u8]) -> bool {
        self.shared.tickets.import(keys)
    }

    /// How many requests wait for a worker of the pool.
    #[must_use]
    pub fn queued(&self, pool: usize) -> usize {
        lock(&self.shared.pools).get(&pool).map_or(0, |pool| pool.queued())
    }

    /// What goes on at this moment.
    #[must_use]
    pub fn status(&self) -> Status {
        let pools = lock(&self.shared.pools);
        let states = self.shared.workers();
        let queue = |(&number, pool): (&usize, &Arc<Pool>)| {
            let (length, oldest) = pool.backlog();
            (number, length, oldest)
        };
        let load = |(id, in_flight, requests)| {
            let memory = states.get(&id).and_then(|state| state.memory.as_ref());
            let pulse = memory.map(|memory| memory.pulse()).unwrap_or_default();
            WorkerLoad { id, in_flight, requests, pulse }
        };
        let mut usage = Usage { spooled: self.shared.spooled.bytes(), ..Usage::default() };
        for gauge in &self.shared.gauges {
            usage.add(gauge.get());
        }
        let mut handshakes = Handshakes::default();
        for own in &self.shared.handshakes {
            handshakes.add(&lock(own));
        }
        Status {
            connections: self
                .shared
                .connections
                .iter()
                .map(|own| own.load(Ordering::Relaxed))
                .sum(),
            queues: pools.iter().map(queue).collect(),
            workers: pools.values().flat_map(|pool| pool.loads()).map(load).collect(),
            usage,
            handshakes,
        }
    }

    /// The pool has no more workers, and no request will want one.
    pub fn forget_pool(&self, pool: usize) {
        lock(&self.shared.pools).remove(&pool);
    }

    /// Makes the links of a new worker.
    ///
    /// # Errors
    /// The system has no descriptors left, or there is no such pool.
    pub fn add_worker(&self, pool: usize) -> Result<WorkerEnds, Error> {
        let Some(pool) = lock(&self.shared.pools).get(&pool).cloned() else {
            return Err(Error::new(ErrorKind::Config, format!("There is no worker pool {pool}.")));
        };
        let fail = |error| Error::system("Can't connect a worker", &error);
        let id = self.next_worker.fetch_add(1, Ordering::Relaxed);
        let (memory, descriptor) = WorkerMemory::new(self.shared.mailboxes.len()).map_err(fail)?;
        let memory = Arc::new(memory);
        let pairs: Result<Vec<_>, _> = self.shared.mailboxes.iter().map(|_| link::pair()).collect();
        let (ours, links): (Vec<_>, Vec<_>) = pairs.map_err(fail)?.into_iter().unzip();
        let state = WorkerState { memory: Some(Arc::clone(&memory)), ..WorkerState::default() };
        self.shared.workers().insert(id, state);
        for (mailbox, fd) in self.shared.mailboxes.iter().zip(ours) {
            mailbox.post(Message::AddLink {
                worker: id,
                pool: Arc::clone(&pool),
                fd,
                memory: Arc::clone(&memory),
            });
        }
        Ok(WorkerEnds { id, memory: descriptor, links })
    }

    /// Asks one of the server's own mounts, without a socket: as a client does, and by the same rules, but no line of the access log says so.
    #[must_use]
    pub fn ask(&self, request: TaskRequest) -> TaskAnswer {
        TaskAnswer::of(&self.shared, request)
    }

    /// Has the logs call a worker by the number and the process id that operators know it by.
    pub fn name_worker(&self, worker: u32, number: u32, pid: u32) {
        if let Some(state) = self.shared.workers().get_mut(&worker) {
            state.name = Some(WorkerName { number, pid });
        }
    }

    /// Writes to the error log. Never blocks.
    pub fn log(&self, record: &Record<'_>) {
        self.shared.logger.record(record);
    }

    /// Opens the files of the logs anew by their names, for logs that were moved away.
    pub fn reopen_logs(&self) {
        self.shared.logger.reopen();
    }

    /// No more requests for this worker; its links end when the requests it has are done.
    pub fn remove_worker(&self, worker: u32) {
        for pool in lock(&self.shared.pools).values() {
            pool.drain(worker);
        }
        let heard = Heard::by_all(&self.shared, Then::EndWorker(worker));
        for mailbox in &self.shared.mailboxes {
            mailbox.post(Message::DrainWorker { worker, heard: Arc::clone(&heard) });
        }
    }

    /// The worker's process has ended. What it had sent still counts; then its links are at their end, whatever other process
    /// may hold their other side.
    pub fn worker_died(&self, worker: u32) {
        for mailbox in &self.shared.mailboxes {
            mailbox.post(Message::WorkerGone { worker });
        }
    }

    /// Accepts no more, finishes what is in progress, and cuts what is left after `grace`; then comes [`Event::Closed`].
    /// A further call can shorten the grace.
    pub fn close(&self, grace: Duration) {
        self.end(grace, false);
    }

    /// The descriptors of all listening sockets, for a process that takes this one's place. They stay this server's.
    #[must_use]
    pub fn sockets(&self) -> Vec<RawFd> {
        let mut fds = Vec::new();
        for listener in lock(&self.listeners).iter().flat_map(|(_, bound)| bound) {
            listener.each(|socket| fds.push(socket.as_raw_fd()));
        }
        fds
    }

    /// As [`Server::close`], for a server whose sockets another process has: what waits in their queues is left to that one, a
    /// connection on which nothing is in progress gets one more response or its keep-alive timeout, and the files of Unix
    /// sockets stay.
    pub fn leave(&self, grace: Duration) {
        for listener in lock(&self.listeners).iter().flat_map(|(_, bound)| bound) {
            listener.leave_file();
        }
        self.end(grace, true);
    }

    fn end(&self, grace: Duration, patient: bool) {
        self.shared.closing.store(true, Ordering::Release);
        self.discard();
        // The threads have their sockets; what remains is to remove the files of Unix sockets at the end.
        for listener in lock(&self.listeners).iter().flat_map(|(_, bound)| bound) {
            listener.forget_sockets();
        }
        for mailbox in &self.shared.mailboxes {
            mailbox.post(Message::Close { grace, patient });
        }
    }

    /// Closes the clients' connections, or those on which no request is in progress. The server goes on.
    pub fn close_connections(&self, idle_only: bool) {
        for mailbox in &self.shared.mailboxes {
            mailbox.post(Message::CloseConnections { idle_only });
        }
    }

    /// Waits for the threads to end; call it after [`Event::Closed`], or after [`Server::close`] when blocking is in order.
    pub fn join(&self) {
        let threads = std::mem::take(&mut *self.lock_threads());
        for thread in threads {
            // A panic was caught and logged in the thread.
            let _ = thread.join();
        }
        lock(&self.listeners).clear();
        self.shared.logger.shutdown();
    }

    fn lock_threads(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        lock(&self.threads)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.close(Duration::ZERO);
        self.join();
    }
}

#[cfg(test)]
pub(crate) mod tests;
