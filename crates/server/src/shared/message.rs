//! What other threads tell an I/O thread.

use super::task::Order;
use super::{Event, Shared};
use crate::filters::compress::Compressed;
use crate::filters::sendfile::Sought;
use crate::generation::Generation;
use crate::listener::Sockets;
use crate::pools::Pool;
use crate::pools::memory::WorkerMemory;
use crate::upstreams::process::{StartError, Started};
use crate::upstreams::{Slot, Target};
use gwanmun_access::Fingerprint;
use gwanmun_files::{Files, Found, Sighting};
use gwanmun_reactor::HeldFile;
use gwanmun_reactor::arena::Key;
use gwanmun_sys::process::Exit;
use gwanmun_tls::Certificates;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Weak};
use std::time::Duration;

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
type Deed = dyn FnOnce(&mut dyn std::any::Any) + Send;

/// With the thread, which lies above this.
#[cfg(test)]
pub(crate) struct Act(pub(crate) Box<Deed>);

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
    /// Which of its scripts a run has, with its folder.
    Script {
        run: Key,
        found: io::Result<Option<Sighting>>,
    },
    /// A run's program has been started.
    Started {
        run: Key,
        result: Result<Started, StartError>,
    },
    /// It has ended.
    Exited {
        run: Key,
        exit: Exit,
    },
    /// A queued run has got a slot of its upstream.
    Slot {
        run: Key,
        slot: Slot,
    },
    /// Where a run's upstream is.
    LookedUp {
        run: Key,
        result: io::Result<Vec<Target>>,
    },
    /// The next piece of a run's request body.
    Piece {
        run: Key,
        result: io::Result<Vec<u8>>,
    },
    Spooled {
        client: Key,
        exchange: Key,
        result: io::Result<Arc<HeldFile>>,
    },
    Loaded {
        client: Key,
        /// The bytes, if it is from memory that they are to be sent.
        result: io::Result<Option<Vec<u8>>>,
    },
    /// A piece of a response's body.
    /// Whether credentials are right; none: that could not be found out.
    Verified {
        fingerprint: Fingerprint,
        is_right: Option<bool>,
    },
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
        certificates: Option<Arc<Certificates>>,
        heard: Arc<Heard>,
    },
    /// New clients get these certificates.
    Certificates(Arc<Certificates>),
    /// What a test does on the thread.
    #[cfg(test)]
    Test(Act),
    /// Accept no more, finish what is in progress, cut what is left after `grace`.
    Close {
        grace: Duration,
        /// Idle connections get a last response first, or their keep-alive timeout.
        patient: bool,
    },
    /// The core asks one of its mounts.
    Ask(Box<Order>),
    /// So many bytes of the answer have been taken.
    AnswerTaken {
        id: u64,
        bytes: usize,
    },
    /// Nobody wants the rest of it.
    AnswerDropped {
        id: u64,
    },
    /// Another thread has clients that wait for a descriptor, and no connection that can give way.
    GiveWay,
    /// Close the clients' connections, or those on which nothing is in progress; others may come.
    CloseConnections {
        idle_only: bool,
    },
}
