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
    /// A program has it, or is going to.
    Program { run: Key, ahead: Ahead },
}

/// How many bytes of a body may come before the client has taken those that have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ahead {
    pub(crate) credit: u32,
    /// Only a few: the request was begun behind others.
    is_narrow: bool,
}

/// A request that a worker has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AtWorker {
    pub(crate) name: StreamName,
    pub(crate) progress: Progress,
    /// When it was sent, begun or given up, or when a part of its body was sent, whatever came last; in milliseconds of the thread's clock.
    pub(crate) since_ms: u64,
    /// What the worker may still send before it gets credit.
    pub(crate) ahead: Ahead,
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
            Self::None | Self::Queued { .. } | Self::Program { .. } => None,
        }
    }

    pub(crate) fn worker_mut(&mut self) -> Option<&mut AtWorker> {
        match self {
            Self::Worker(worker) => Some(worker),
            Self::None | Self::Queued { .. } | Self::Program { .. } => None,
        }
    }

    /// The run of the program that has it.
    pub(crate) fn run(&self) -> Option<Key> {
        match self {
            Self::Program { run, .. } => Some(*run),
            Self::None | Self::Queued { .. } | Self::Worker(_) => None,
        }
    }

    /// What may come of it ahead of the client.
    pub(crate) fn ahead_mut(&mut self) -> Option<&mut Ahead> {
        match self {
            Self::Worker(AtWorker { ahead, .. }) | Self::Program { ahead, .. } => Some(ahead),
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
        Self { name, progress: Progress::Sent, since_ms, ahead: Ahead::new(is_narrow) }
    }
}

impl Ahead {
    /// Nothing has come. `is_narrow`: the request is behind others.
    pub(crate) fn new(is_narrow: bool) -> Self {
        Self { credit: window(is_narrow), is_narrow }
    }

    /// Gives back the credit for what the client has taken, once that is worth telling, and how much it is. `waiting`: bytes that have come and not
    /// gone to the client.
    pub(crate) fn replenish(&mut self, is_behind: bool, waiting: u32) -> u32 {
        // One that was begun behind others gets the whole window when it is its turn, if it needs more than it has.
        let is_narrow = self.is_narrow && (is_behind || self.credit == window(self.is_narrow));
        let window = window(is_narrow);
        let owed = (window - self.credit).saturating_sub(waiting);
        if owed < window / 4 {
            return 0;
        }
        *self = Self { credit: self.credit + owed, is_narrow };
        owed
    }
}

fn window(is_narrow: bool) -> u32 {
    if is_narrow { NARROW_WINDOW } else { WINDOW }
}
