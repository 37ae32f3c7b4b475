//! What the parts of a thread need of it while they handle what has happened.

use super::flood::Flood;
use super::holding::Holding;
use super::seam::{Clients, Note};
use super::{Exchange, Exchanges, RequestBody};
use crate::generation::Generation;
use crate::request_id::IdSource;
use crate::shared::message::Message;
use crate::shared::{ByThread, Shared, lock};
use crate::transport::Records;
use crate::usage::Handshakes;
use gwanmun_files::{Identity, tells};
use gwanmun_http1::HeaderSpan;
use gwanmun_log::LogBuffer;
use gwanmun_reactor::HeldFile;
use gwanmun_reactor::arena::{Generations, Key};
use gwanmun_reactor::blocking::Lane;
use gwanmun_reactor::buffers::Buffers;
use gwanmun_reactor::clock::Clock;
use gwanmun_reactor::epoll::Epoll;
use gwanmun_tls::{Asked, Certificates};
use rustc_hash::FxHashMap;
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::rc::Rc;
use std::sync::{Arc, MutexGuard};
use std::time::{SystemTime, UNIX_EPOCH};

/// What one receive brings fits one frame.
const SCRATCH: usize = gwanmun_gateway::frame::MAX_PAYLOAD;
/// Steps of TLS handshakes in a turn of the loop: each has one signature at the most.
const TURN_HANDSHAKES: u32 = 16;
/// File systems of applications' files that a thread remembers.
const MOST_DEVICES: usize = 64;

/// What the clients and the responders of a thread work with.
pub(crate) struct Turn {
    pub(crate) thread: usize,
    /// Counted by thread as well, so that a request that holds on to them costs no atomic operation.
    pub(crate) shared: ByThread<Shared>,
    pub(crate) generation: ByThread<Generation>,
    /// What new clients get over TLS.
    pub(crate) certificates: Option<Arc<Certificates>>,
    pub(crate) epoll: Epoll,
    pub(crate) clock: Clock,
    pub(crate) buffers: Buffers,
    pub(crate) exchanges: Exchanges,
    /// Responses whose file is being looked for, the longest first, and since when.
    pub(super) sought: VecDeque<(u64, Key)>,
    /// By device, of which what is no regular file has none: the lane of files that applications pass, and whether the kernel tells what reading one would wait for.
    pub(super) passed_lanes: FxHashMap<Option<u64>, (Arc<Lane>, bool)>,
    pub(super) log: LogBuffer,
    /// Requests that could not be understood, and those that nobody took.
    pub(super) refused: Flood,
    pub(super) unserved: Flood,
    /// Those that failed at a program.
    pub(super) failed: Flood,
    /// Clients without a certificate that is accepted.
    pub(super) strangers: Flood,
    pub(crate) ids: IdSource,
    /// Clients with something to send.
    pub(crate) dirty: Vec<Key>,
    /// Clients that have had their turn, and go on in the next.
    pub(crate) yielded: Vec<Key>,
    /// Clients to be removed.
    pub(crate) closed: Vec<Key>,
    /// What clients have told of their exchanges since the responders listened last.
    pub(crate) notes: Vec<Note>,
    /// Of this turn of the loop.
    pub(crate) number: u32,
    pub(crate) closing: bool,
    /// While closing: nobody is in a hurry.
    pub(crate) patient: bool,
    /// What every client receives into.
    pub(crate) scratch: Vec<u8>,
    /// Where the records of TLS are opened and sealed.
    pub(crate) records: Records,
    /// The turn in which a handshake went on last, and how often in it.
    handshakes: (u32, u32),
    pub(crate) headers: Vec<HeaderSpan>,
}

impl Turn {
    /// `generations`: of all the thread's lives.
    ///
    /// # Errors
    /// The system has no descriptors left.
    pub(crate) fn new(
        thread: usize,
        generations: &Generations,
        shared: Arc<Shared>,
        generation: Arc<Generation>,
    ) -> io::Result<Self> {
        let log = LogBuffer::new(&shared.logger);
        let certificates = lock(&shared.certificates).clone();
        let ids = IdSource::new(generation.request_ids);
        Ok(Self {
            thread,
            certificates,
            shared: Rc::new(shared),
            generation: Rc::new(generation),
            epoll: Epoll::new()?,
            clock: Clock::default(),
            buffers: Buffers::default(),
            exchanges: Exchanges::new(generations),
            sought: VecDeque::new(),
            passed_lanes: FxHashMap::default(),
            log,
            refused: Flood::default(),
            unserved: Flood::default(),
            failed: Flood::default(),
            strangers: Flood::default(),
            ids,
            dirty: Vec::new(),
            yielded: Vec::new(),
            closed: Vec::new(),
            notes: Vec::new(),
            number: 0,
            closing: false,
            patient: false,
            scratch: vec![0; SCRATCH],
            records: Records::default(),
            handshakes: (0, 0),
            headers: Vec::new(),
        })
    }

    /// Whether a handshake may go on in this turn: signatures are dear, and the clients that have done theirs wait (T97).
    pub(crate) fn may_shake_hands(&mut self) -> bool {
        let (turn, count) = &mut self.handshakes;
        if *turn != self.number {
            *turn = self.number;
            *count = 0;
        }
        *count += 1;
        *count <= TURN_HANDSHAKES
    }

    /// What became of the thread's handshakes, to be counted on.
    pub(crate) fn tally(&self) -> MutexGuard<'_, Handshakes> {
        lock(&self.shared.handshakes[self.thread])
    }

    /// Whether clients are asked for certificates.
    pub(crate) fn asks_clients(&self) -> bool {
        self.certificates.as_ref().is_some_and(|own| own.asked() != Asked::default())
    }

    /// What clients are asked for now, and the time in milliseconds since 1970 at which it has to hold.
    pub(crate) fn asked(&self) -> (Asked, i64) {
        let asked = self.certificates.as_ref().map(|own| own.asked()).unwrap_or_default();
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        (asked, i64::try_from(time.as_millis()).unwrap_or(i64::MAX))
    }

    /// Writes what has been collected for the access log.
    pub(crate) fn flush_log(&mut self) {
        self.log.flush();
    }

    /// Whether no client has anything to send, nor anything to tell.
    pub(crate) fn is_settled(&self) -> bool {
        self.dirty.is_empty() && self.notes.is_empty()
    }

    /// The client of an exchange is done with it: has its answer, or wants none any more. What still works for it is told.
    pub(crate) fn leave(&mut self, key: Key) {
        let Some(exchange) = self.exchanges.get_mut(key) else { return };
        exchange.client = None;
        if exchange.responder.is_none() {
            self.release(key);
        } else {
            self.notes.push(Note::Cancelled(key));
        }
    }

    /// Removes an exchange that neither a client nor a responder is concerned with any more.
    pub(crate) fn release(&mut self, key: Key) {
        let is_done =
            |exchange: &Exchange| exchange.client.is_none() && exchange.responder.is_none();
        if self.exchanges.get(key).is_some_and(is_done)
            && let Some(exchange) = self.exchanges.remove(key)
        {
            self.buffers.give(exchange.head);
            if let RequestBody::Memory(bytes) = exchange.body {
                self.buffers.give(bytes);
            }
        }
    }

    /// Calls `act` with the client that waits for the exchange, if there still is one.
    #[inline]
    pub(crate) fn with_client<C: Clients, T>(
        &mut self,
        clients: &mut C,
        exchange: Key,
        act: impl FnOnce(&mut C::Client, &mut Self) -> T,
    ) -> Option<T> {
        let key = self.exchanges.get(exchange)?.client?;
        let client = clients.client(key)?;
        Some(act(client, self))
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

    /// The deadline of a client that has sent or taken `bytes` since `deadline` was set (0: there was none): each byte pays for a
    /// moment at `limits.minRate`, and `timeout_ms` from now is the most. So a drip does not go on for ever (H42).
    pub(crate) fn paid_up(&self, deadline: u64, bytes: u64, timeout_ms: u64) -> u64 {
        let most = self.clock.ms() + timeout_ms;
        let paid_ms = bytes.saturating_mul(1000).checked_div(self.generation.min_rate);
        match paid_ms {
            Some(_) if deadline == 0 => most,
            Some(paid_ms) => deadline.saturating_add(paid_ms).min(most),
            None if bytes > 0 || deadline == 0 => most,
            None => deadline,
        }
    }

    /// A file of an application's with what it is, with the threads that may wait for it: one lane for each file system.
    pub(crate) fn hold_passed(&mut self, file: File) -> (HeldFile, io::Result<Option<Identity>>) {
        let identity = Identity::at_once(&file);
        let device = identity.as_ref().ok().copied().flatten().map(|identity| identity.device);
        if self.passed_lanes.len() > MOST_DEVICES {
            self.passed_lanes.clear();
        }
        let (lane, tells) = self.passed_lanes.entry(device).or_insert_with(|| {
            let name = format!("the file system of device {}", device.unwrap_or_default());
            (Lane::of_folder(name), device.is_some() && tells(&file))
        });
        (HeldFile::new(file, lane, !*tells), identity)
    }

    /// What an exchange holds now.
    pub(crate) fn holding_of(&self, key: Key) -> Holding {
        self.exchanges.get(key).map(|exchange| exchange.holds).unwrap_or_default()
    }
}
