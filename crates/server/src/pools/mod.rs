//! A pool: the workers that run a set of applications, and the one queue of requests that wait for them.
//!
//! Requests bind late: one is given to a worker only when it takes one of the worker's free slots, the least busy worker first.
//! All I/O threads share the pool; the lock is held for a few comparisons.

pub(crate) mod memory;

use crate::config;
use gwanmun_gateway::response::Wishes;
use gwanmun_reactor::arena::Key;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) config: config::Pool,
    /// What its workers are told in HELLO: pairs of every environ, and whether there are several of them.
    pub(crate) static_environ: Arc<[u8]>,
    pub(crate) multiprocess: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    workers: Vec<Worker>,
    /// Each with when it came.
    queue: VecDeque<(Waiting, Instant)>,
    /// What the applications wish, by their index, as the last worker said it.
    wishes: Vec<u32>,
}

#[derive(Debug)]
struct Worker {
    id: u32,
    concurrency: u32,
    in_flight: u32,
    /// How many it has got so far.
    requests: u64,
    /// Bit t: its link to I/O thread t is ready.
    ready: u64,
    draining: bool,
}

/// A request in the queue, by the thread that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) thread: usize,
    pub(crate) exchange: Key,
}

/// What became of a request that wanted a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// This worker has reserved a slot for it.
    Worker(u32),
    Queued,
    /// The queue is full.
    Refused,
}

impl Pool {
    pub(crate) fn new(config: config::Pool, static_environ: Arc<[u8]>, multiprocess: bool) -> Self {
        Self { config, static_environ, multiprocess, state: Mutex::default() }
    }

    /// How many requests wait.
    pub(crate) fn queued(&self) -> usize {
        self.lock().queue.len()
    }

    /// How many requests wait, and for how long the first one has.
    pub(crate) fn backlog(&self) -> (usize, Duration) {
        let state = self.lock();
        let oldest = state.queue.front().map(|(_, since)| since.elapsed());
        (state.queue.len(), oldest.unwrap_or_default())
    }

    /// Of each worker: its id, the requests that it has, and those that it has had.
    pub(crate) fn loads(&self) -> Vec<(u32, u32, u64)> {
        let state = self.lock();
        state.workers.iter().map(|own| (own.id, own.in_flight, own.requests)).collect()
    }

    /// Takes a slot for a request of `thread`, or queues it. `usable` says whether the thread may use that worker now.
    pub(crate) fn admit(&self, waiting: Waiting, mut usable: impl FnMut(u32) -> bool) -> Admission {
        let mut state = self.lock();
        // Whoever waits already goes first.
        if state.queue.is_empty()
            && let Some(worker) = state.reserve(waiting.thread, &mut usable)
        {
            return Admission::Worker(worker);
        }
        if state.queue.len() >= self.config.queue {
            return Admission::Refused;
        }
        state.queue.push_back((waiting, Instant::now()));
        Admission::Queued
    }

    /// Puts a request back at the head of the queue: its worker died before it began.
    pub(crate) fn put_back(&self, waiting: Waiting) {
        self.lock().queue.push_front((waiting, Instant::now()));
    }

    /// Takes a request out of the queue.
    pub(crate) fn forget(&self, waiting: Waiting) {
        self.lock().queue.retain(|(other, _)| *other != waiting);
    }

    /// Takes all requests of a thread out of the queue.
    pub(crate) fn forget_thread(&self, thread: usize) {
        self.lock().queue.retain(|(waiting, _)| waiting.thread != thread);
    }

    /// Frees a slot of a worker. Gives the request that takes it over at once, if one waits that the worker can take.
    pub(crate) fn release(&self, worker: u32) -> Option<Waiting> {
        let mut state = self.lock();
        let State { workers, queue, .. } = &mut *state;
        let worker = workers.iter_mut().find(|other| other.id == worker)?;
        worker.in_flight = worker.in_flight.saturating_sub(1);
        if queue.is_empty() || worker.draining || worker.in_flight >= worker.concurrency {
            return None;
        }
        let can = |(waiting, _): &(Waiting, Instant)| worker.ready & 1 << waiting.thread != 0;
        let next = queue.iter().position(can)?;
        worker.in_flight += 1;
        worker.requests += 1;
        queue.remove(next).map(|(waiting, _)| waiting)
    }

    /// A slot for the first request of `thread` in the queue, if a worker is usable now.
    pub(crate) fn next_for(
        &self,
        thread: usize,
        mut usable: impl FnMut(u32) -> bool,
    ) -> Option<(Waiting, u32)> {
        let mut state = self.lock();
        let position = state.queue.iter().position(|(waiting, _)| waiting.thread == thread)?;
        let worker = state.reserve(thread, &mut usable)?;
        state.queue.remove(position).map(|(waiting, _)| (waiting, worker))
    }

    /// A worker's link to `thread` is ready for requests.
    pub(crate) fn link_ready(&self, worker: u32, concurrency: u32, thread: usize) {
        let mut state = self.lock();
        let position = state.workers.iter().position(|other| other.id == worker);
        let index = position.unwrap_or_else(|| {
            state.workers.push(Worker {
                id: worker,
                concurrency,
                in_flight: 0,
                requests: 0,
                ready: 0,
                draining: false,
            });
            state.workers.len() - 1
        });
        state.workers[index].ready |= 1 << thread;
    }

    /// A worker has said what its applications wish.
    pub(crate) fn set_wishes(&self, wishes: Wishes<'_>) {
        let mut state = self.lock();
        state.wishes.clear();
        state.wishes.extend(wishes.iter());
    }

    /// Whether an application wishes something.
    pub(crate) fn wishes(&self, application: u32, wish: u32) -> bool {
        self.lock().wishes.get(application as usize).is_some_and(|wishes| wishes & wish != 0)
    }

    /// No more requests for this worker.
    pub(crate) fn drain(&self, worker: u32) {
        if let Some(worker) = self.lock().workers.iter_mut().find(|other| other.id == worker) {
            worker.draining = true;
        }
    }

    /// The worker is gone, with its slots.
    pub(crate) fn remove(&self, worker: u32) {
        self.lock().workers.retain(|other| other.id != worker);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while the lock is held, and the state is consistent after every statement.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn reserve(&mut self, thread: usize, usable: &mut impl FnMut(u32) -> bool) -> Option<u32> {
        let free = |worker: &&mut Worker| {
            !worker.draining
                && worker.ready & 1 << thread != 0
                && worker.in_flight < worker.concurrency
                && usable(worker.id)
        };
        let worker = self.workers.iter_mut().filter(free).min_by_key(|worker| worker.in_flight)?;
        worker.in_flight += 1;
        worker.requests += 1;
        Some(worker.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(queue: usize) -> Pool {
        Pool::new(
            config::Pool { queue, queue_timeout_ms: 1000, request_timeout_ms: 0 },
            Arc::new([]),
            true,
        )
    }

    fn request(index: u32) -> Waiting {
        Waiting { thread: 0, exchange: Key { index, generation: 1 } }
    }

    #[test]
    fn the_least_busy_worker_is_chosen() {
        let pool = pool(10);
        pool.link_ready(1, 2, 0);
        pool.link_ready(2, 2, 0);
        let mut chosen: Vec<_> = (0..4).map(|n| pool.admit(request(n), |_| true)).collect();
        chosen.sort_by_key(|admission| format!("{admission:?}"));
        assert_eq!(chosen, [1, 1, 2, 2].map(Admission::Worker));
        assert_eq!(pool.admit(request(4), |_| true), Admission::Queued);
    }

    #[test]
    fn a_request_waits_until_a_slot_is_free_and_the_queue_is_bounded() {
        let pool = pool(2);
        pool.link_ready(7, 1, 0);
        assert_eq!(pool.admit(request(0), |_| true), Admission::Worker(7));
        assert_eq!(pool.admit(request(1), |_| true), Admission::Queued);
        assert_eq!(pool.admit(request(2), |_| true), Admission::Queued);
        assert_eq!(pool.admit(request(3), |_| true), Admission::Refused);
        assert_eq!(pool.release(7), Some(request(1)));
        pool.forget(request(2));
        assert_eq!(pool.release(7), None);
        assert_eq!(pool.admit(request(4), |_| true), Admission::Worker(7));
    }

    #[test]
    fn a_worker_gets_requests_only_of_threads_that_its_links_are_ready_for() {
        let pool = pool(10);
        pool.link_ready(1, 8, 3);
        assert_eq!(pool.admit(request(0), |_| true), Admission::Queued);
        let other = Waiting { thread: 3, ..request(1) };
        assert_eq!(pool.admit(other, |_| true), Admission::Queued, "behind the one that waits");
        assert_eq!(pool.next_for(3, |_| true), Some((other, 1)));
        assert_eq!(pool.release(1), None);
        pool.link_ready(1, 8, 0);
        assert_eq!(pool.next_for(0, |_| true), Some((request(0), 1)));
    }

    #[test]
    fn a_draining_or_removed_worker_gets_nothing() {
        let pool = pool(10);
        pool.link_ready(1, 8, 0);
        assert_eq!(pool.admit(request(0), |_| true), Admission::Worker(1));
        pool.drain(1);
        assert_eq!(pool.admit(request(1), |_| true), Admission::Queued);
        assert_eq!(pool.release(1), None);
        pool.remove(1);
        assert_eq!(pool.release(1), None, "a late release of a removed worker is nothing");
        pool.link_ready(2, 8, 0);
        assert_eq!(pool.next_for(0, |_| true), Some((request(1), 2)));
    }

    #[test]
    fn an_unusable_worker_is_passed_over() {
        let pool = pool(10);
        pool.link_ready(1, 8, 0);
        pool.link_ready(2, 8, 0);
        for n in 0..3 {
            assert_eq!(pool.admit(request(n), |worker| worker != 1), Admission::Worker(2));
        }
        pool.put_back(request(9));
        assert_eq!(pool.next_for(0, |_| false), None);
        assert_eq!(pool.next_for(0, |_| true), Some((request(9), 1)));
    }
}
