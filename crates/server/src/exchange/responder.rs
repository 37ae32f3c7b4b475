//! What works on the answer of an exchange, by name: what it is itself is known to the mounts alone.

use gwanmun_gateway::{NARROW_WINDOW, WINDOW};
use gwanmun_reactor::arena::Key;

/// Who still has to do with an exchange beside its client.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Responder {
    /// Nobody: the core answers, or has answered, or the request's body has not come.
    #[default]
    None,
    /// It is in the queue of its pool, since then, in milliseconds of the thread's clock.
    Queued { since_ms: u64 },
    /// A worker has it.
    Worker(AtWorker),
}

/// A request that a worker has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AtWorker {
    pub(crate) name: StreamName,
    pub(crate) progress: Progress,
    /// When it was sent, begun or given up, or when a part of its body was sent, whatever came last; in milliseconds of the thread's clock.
    pub(crate) since_ms: u64,
    /// Body bytes that the worker may still send before it gets credit.
    pub(crate) credit: u32,
    /// The worker may send but little ahead of the client: the request was begun behind others.
    pub(crate) is_narrow: bool,
}

/// How far a worker is with a request, as the last look at the deadlines has seen it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Progress {
    Sent,
    Begun,
    /// Nobody waits for it any more.
    GivenUp,
    /// Nor has that been of use, which the embedder knows.
    Stuck,
}

/// A stream of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StreamName {
    pub(crate) link: Key,
    pub(crate) stream: u32,
}

impl Responder {
    pub(crate) fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    pub(crate) fn is_queued(&self) -> bool {
        matches!(self, Self::Queued { .. })
    }

    pub(crate) fn worker(&self) -> Option<&AtWorker> {
        match self {
            Self::Worker(worker) => Some(worker),
            Self::None | Self::Queued { .. } => None,
        }
    }

    pub(crate) fn worker_mut(&mut self) -> Option<&mut AtWorker> {
        match self {
            Self::Worker(worker) => Some(worker),
            Self::None | Self::Queued { .. } => None,
        }
    }

    /// The stream by which a worker knows it.
    pub(crate) fn stream(&self) -> Option<StreamName> {
        self.worker().map(|worker| worker.name)
    }
}

impl AtWorker {
    /// It has just been sent.
    pub(crate) fn new(name: StreamName, is_narrow: bool, since_ms: u64) -> Self {
        let credit = window(is_narrow);
        Self { name, progress: Progress::Sent, since_ms, credit, is_narrow }
    }
}

/// Body bytes that a worker may send ahead of the client.
pub(crate) fn window(is_narrow: bool) -> u32 {
    if is_narrow { NARROW_WINDOW } else { WINDOW }
}
