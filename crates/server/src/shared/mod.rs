//! What all threads of a server share, and what they tell each other and the embedder.

pub(crate) mod challenges;
pub(crate) mod message;
pub(crate) mod task;

use crate::generation::Generation;
use crate::pools::Pool;
use crate::pools::memory::WorkerMemory;
use crate::spool::Spooled;
use crate::trusted::TrustedProxies;
use crate::usage::{Gauge, Handshakes};
use challenges::Challenges;
use gwanmun_log::{Level, Logger, WorkerName};
use gwanmun_reactor::blocking::{Lane, text_of};
use gwanmun_reactor::mailbox::Mailbox;
use gwanmun_tls::{Certificates, TicketKeys};
use message::Message;
use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

/// What the embedder learns of. Called on I/O threads; it must not block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The worker's applications are loaded and all its links are ready.
    WorkerReady { worker: u32 },
    /// The worker's links are at their end. `reason` is empty if the core itself had ended them.
    WorkerGone { worker: u32, reason: String },
    /// A worker has not answered a request in time, and the client has got a 504. `stuck`: that, or the client's leaving, is
    /// as long ago again, and the worker still has it. `request` is its method and target.
    WorkerLate { worker: u32, request: String, stuck: bool },
    /// A request could not be understood, or went beyond a limit; its client has been answered.
    Refused { status: u16, reason: &'static str },
    /// Every I/O thread has taken over the configuration of the last [`Server::commit`].
    Renewed,
    /// The server is closed: no connection is left, and the threads end.
    Closed,
}

/// Something that the threads share, with a count of its own in each.
pub(crate) type ByThread<T> = Rc<Arc<T>>;

/// What all threads of a server share.
pub(crate) struct Shared {
    /// By the number that the embedder has for it: those of this generation, and those that have workers yet.
    pub(crate) pools: Mutex<BTreeMap<usize, Arc<Pool>>>,
    pub(crate) generation: Mutex<Arc<Generation>>,
    pub(crate) mailboxes: Vec<Mailbox<Message>>,
    /// Connections of each I/O thread, as its last turn left them.
    pub(crate) connections: Vec<AtomicUsize>,
    /// What each I/O thread holds, as its last look at the deadlines has seen it.
    pub(crate) gauges: Vec<Gauge>,
    /// What became of each I/O thread's. It alone writes there.
    pub(crate) handshakes: Vec<Mutex<Handshakes>>,
    pub(crate) spooled: Spooled,
    pub(crate) logger: Logger,
    /// Compresses what applications send.
    pub(crate) computing: Arc<Lane>,
    /// What looks at passwords.
    pub(crate) passwords: Arc<Lane>,
    pub(crate) on_event: Box<dyn Fn(Event) + Send + Sync>,
    pub(crate) workers: Mutex<HashMap<u32, WorkerState>>,
    /// What clients get over TLS. None: it is not spoken.
    pub(crate) certificates: Mutex<Option<Arc<Certificates>>>,
    pub(crate) challenges: Challenges,
    /// Made when there is the first certificate.
    pub(crate) tickets: LazyLock<Arc<TicketKeys>>,
    pub(crate) running: AtomicUsize,
    pub(crate) closing: AtomicBool,
}

#[derive(Debug, Default)]
pub(crate) struct WorkerState {
    pub(crate) links_ready: usize,
    /// Of those that were to end.
    pub(crate) links_ended: usize,
    pub(crate) name: Option<WorkerName>,
    pub(crate) memory: Option<Arc<WorkerMemory>>,
}

impl Shared {
    /// An I/O thread has lost everything it had: its clients' connections and its links. It begins anew; the workers, which
    /// have lost a link each, are replaced.
    pub(crate) fn after_panic(&self, index: usize, panic: &(dyn Any + Send)) {
        let what = text_of(panic);
        let text = format!(
            "I/O thread {index} panicked and starts again, its connections are lost: {what}."
        );
        self.logger.error(Level::Error, &text);
        let pools: Vec<_> = lock(&self.pools).values().cloned().collect();
        for pool in &pools {
            pool.forget_thread(index);
        }
        let workers: Vec<u32> = self.workers().drain().map(|(worker, _)| worker).collect();
        for worker in workers {
            for pool in &pools {
                pool.remove(worker);
            }
            (self.on_event)(Event::WorkerGone {
                worker,
                reason: "an I/O thread panicked".to_owned(),
            });
            for mailbox in &self.mailboxes {
                mailbox.post(Message::WorkerGone { worker });
            }
        }
    }

    pub(crate) fn workers(&self) -> MutexGuard<'_, HashMap<u32, WorkerState>> {
        lock(&self.workers)
    }

    /// Gives the pools of a generation their numbers.
    pub(crate) fn register(&self, generation: &Generation) -> Vec<usize> {
        let mut pools = lock(&self.pools);
        let first = pools.last_key_value().map_or(0, |(number, _)| number + 1);
        let numbers: Vec<_> = (first..).take(generation.pools.len()).collect();
        pools.extend(numbers.iter().copied().zip(generation.pools.iter().cloned()));
        numbers
    }

    /// Says what a generation makes possible that nobody may have meant.
    pub(crate) fn warn_of(&self, generation: &Generation) {
        let warning = generation.trusted_proxies.as_ref().and_then(TrustedProxies::warning);
        if let Some(warning) = warning {
            self.logger.error(Level::Warn, &warning);
        }
    }
}

/// What is protected is consistent after every statement, so that a panic elsewhere does not matter.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the threads tell the embedder about workers, once each.
impl Shared {
    pub(crate) fn worker_ready(&self, worker: u32) {
        let ready = self.workers().get_mut(&worker).is_some_and(|state| {
            state.links_ready += 1;
            state.links_ready == self.mailboxes.len()
        });
        if ready {
            (self.on_event)(Event::WorkerReady { worker });
        }
    }

    /// What operators know the worker by; its id where nobody has said it.
    pub(crate) fn worker_name(&self, worker: u32) -> WorkerName {
        let name = self.workers().get(&worker).and_then(|state| state.name);
        name.unwrap_or(WorkerName { number: worker, pid: 0 })
    }

    /// A link that was to end has ended. Gives whether it was the worker's last.
    pub(crate) fn link_ended(&self, worker: u32) -> bool {
        let mut workers = self.workers();
        let Some(state) = workers.get_mut(&worker) else { return false };
        state.links_ended += 1;
        if state.links_ended < self.mailboxes.len() {
            return false;
        }
        drop(workers);
        self.worker_gone(worker, "")
    }

    /// `true` for the first thread that notices.
    pub(crate) fn worker_gone(&self, worker: u32, reason: &str) -> bool {
        let first = self.workers().remove(&worker).is_some();
        if first {
            (self.on_event)(Event::WorkerGone { worker, reason: reason.to_owned() });
        }
        first
    }
}
