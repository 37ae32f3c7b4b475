//! Other servers that requests are given to, and programs that are started for them: where they are, and how many requests each gets at once.
//!
//! All I/O threads share an upstream, and its one queue: who waits here can be seen, is bounded, and can be taken back, unlike what waits in the
//! kernel's queue of connections (F47).

mod address;
mod children;
pub(crate) mod process;

pub(crate) use address::{Attempt, Target, attempt, finish};

use crate::config;
use children::Children;
use gwanmun_reactor::blocking::Lane;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A name that was looked up is looked up again after so long.
const FRESH: Duration = Duration::from_secs(5);

pub(crate) struct Upstream {
    pub(crate) config: config::Upstream,
    /// What looks names up, and starts programs.
    pub(crate) lane: Arc<Lane>,
    children: Option<Children>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Slots that are taken.
    taken: usize,
    queue: VecDeque<Waiting>,
    ticket: u64,
    found: Option<(Instant, Vec<Target>)>,
}

struct Waiting {
    ticket: u64,
    grant: Box<dyn FnOnce(Slot) + Send>,
}

/// The right to have one request with an upstream. It goes back with this, to whoever waits first.
pub(crate) struct Slot(Arc<Upstream>);

/// What became of a request that wants a slot.
#[derive(Debug)]
pub(crate) enum Admission {
    Granted(Slot),
    /// It has this ticket.
    Queued(u64),
    /// The queue is full.
    Refused,
}

impl Upstream {
    pub(crate) fn new(config: config::Upstream) -> Arc<Self> {
        let lane = Lane::of_folder(format!("the name service, asked for {}", config.address));
        let children = match (&config.spawn, &config.address) {
            (Some(spawn), config::UpstreamAddress::Unix { path }) => {
                Some(Children::new(spawn.clone(), path.clone()))
            }
            _ => None,
        };
        Arc::new(Self { config, lane, children, state: Mutex::default() })
    }

    /// Takes a slot, or a place in the queue. `grant` is called with the slot later, on any thread, and must not block.
    pub(crate) fn admit(self: &Arc<Self>, grant: impl FnOnce(Slot) + Send + 'static) -> Admission {
        let mut state = self.lock();
        if state.taken < self.config.max_connections {
            state.taken += 1;
            return Admission::Granted(Slot(Arc::clone(self)));
        }
        if state.queue.len() >= self.config.queue {
            return Admission::Refused;
        }
        state.ticket += 1;
        let ticket = state.ticket;
        state.queue.push_back(Waiting { ticket, grant: Box::new(grant) });
        Admission::Queued(ticket)
    }

    /// Takes a request out of the queue.
    pub(crate) fn forget(&self, ticket: u64) {
        self.lock().queue.retain(|waiting| waiting.ticket != ticket);
    }

    /// Whether there is no server: programs are started.
    pub(crate) fn starts_processes(&self) -> bool {
        matches!(self.config.address, config::UpstreamAddress::Processes { .. })
    }

    /// Where it is, if that is known without asking anybody.
    pub(crate) fn targets_at_once(&self) -> Option<Vec<Target>> {
        if self.children.as_ref().is_some_and(|children| !children.are_started()) {
            return None;
        }
        if let Some(target) = Target::of(&self.config.address) {
            return Some(vec![target]);
        }
        let state = self.lock();
        let (since, targets) = state.found.as_ref()?;
        (since.elapsed() < FRESH).then(|| targets.clone())
    }

    /// Looks its name up, and starts it if that is for us to do. BLOCKING.
    ///
    /// # Errors
    /// The name has no address, or the program can't be started.
    pub(crate) fn find(&self) -> io::Result<Vec<Target>> {
        if let Some(children) = &self.children {
            children.start()?;
        }
        let targets = address::look_up(&self.config.address)?;
        self.lock().found = Some((Instant::now(), targets.clone()));
        Ok(targets)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while the lock is held, and the state is consistent after every statement.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.config.address.fmt(f)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        match state.queue.pop_front() {
            Some(next) => {
                drop(state);
                (next.grant)(Self(Arc::clone(&self.0)));
            }
            None => state.taken -= 1,
        }
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a slot of {:?}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;
    use std::sync::mpsc::channel;

    fn upstream(max_connections: usize, queue: usize) -> Arc<Upstream> {
        Upstream::new(config::Upstream {
            address: config::UpstreamAddress::Unix { path: PathBuf::from("/nowhere") },
            max_connections,
            queue,
            queue_timeout_ms: 1000,
            connect_timeout_ms: 1000,
            timeout_ms: 0,
            spawn: None,
        })
    }

    #[test]
    fn f47_a_slot_goes_to_who_has_waited_longest() {
        let upstream = upstream(1, 2);
        let (sender, granted) = channel();
        let admit = |name: &'static str| {
            let sender = sender.clone();
            // The receiver outlives it.
            upstream.admit(move |slot| sender.send((name, slot)).unwrap_or_default())
        };
        let Admission::Granted(first) = admit("first") else { panic!("there was a slot") };
        assert!(matches!(admit("second"), Admission::Queued(_)));
        let Admission::Queued(third) = admit("third") else { panic!("there was room") };
        assert!(matches!(admit("fourth"), Admission::Refused));
        drop(first);
        let (name, slot) = granted.recv().unwrap_or_else(|_| panic!("nobody got it"));
        assert_eq!(name, "second");
        upstream.forget(third);
        drop(slot);
        assert!(granted.try_recv().is_err());
        assert!(matches!(admit("fifth"), Admission::Granted(_)));
    }

    #[test]
    fn a_slot_that_nobody_takes_goes_on() {
        let upstream = upstream(1, 10);
        let Admission::Granted(first) = upstream.admit(drop) else { panic!("there was a slot") };
        for _ in 0..10 {
            assert!(matches!(upstream.admit(drop), Admission::Queued(_)));
        }
        drop(first);
        assert!(matches!(upstream.admit(drop), Admission::Granted(_)));
    }
}
