//! Rate limits (A96–A102).

use std::collections::HashMap;
use std::collections::hash_map::{Entry, RandomState};
use std::hash::BuildHasher;
use std::sync::{Mutex, PoisonError};

/// So many parts have a lock of their own, for threads that ask at the same time.
const SHARDS: usize = 64;
/// Keys that a part remembers: about a million in all.
const MOST_KEYS: usize = 16 * 1024;
/// How often a full part looks for keys that it can forget.
const SWEEP_NS: u64 = 1_000_000_000;

/// So many requests in a time, and so many at once. One bucket for each key, over all threads.
///
/// It is the generic cell rate algorithm in whole nanoseconds: of each key it is remembered when it would have been used up at the steady rate. So in any
/// time `t` no more than `rate · t + burst` get through. Memory is bounded: a part that is full forgets keys whose bucket is full again. If there
/// are none, the keys that it does not know share one bucket.
#[derive(Debug)]
pub struct Rates {
    pace: Pace,
    hasher: RandomState,
    shards: Box<[Mutex<Shard>]>,
}

/// How fast, and how much at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pace {
    /// Nanoseconds between two requests.
    pub interval_ns: u64,
    /// Requests at once, from 1 on.
    pub burst: u64,
}

#[derive(Debug, Default)]
struct Shard {
    /// Of a key's hash, when its requests so far would be over at the steady rate.
    over: HashMap<u64, u64>,
    /// The same for all keys that there is no room for.
    shared: u64,
    swept_ns: u64,
}

impl Pace {
    /// `requests` in `per_ms`, and `burst` of them at once.
    #[must_use]
    pub fn new(requests: u64, per_ms: u64, burst: u64) -> Self {
        let interval_ns = per_ms.saturating_mul(1_000_000) / requests.max(1);
        Self { interval_ns: interval_ns.max(1), burst: burst.max(1) }
    }

    /// Counts a request at `now_ns`. Gives after how many nanoseconds it may come if it may not come now, and then has not counted it.
    fn take(self, over: &mut u64, now_ns: u64) -> Result<(), u64> {
        let ahead = self.interval_ns.saturating_mul(self.burst - 1);
        let begins = (*over).max(now_ns);
        let wait_ns = (begins - now_ns).saturating_sub(ahead);
        if wait_ns > 0 {
            return Err(wait_ns);
        }
        *over = begins.saturating_add(self.interval_ns);
        Ok(())
    }
}

impl Rates {
    #[must_use]
    pub fn new(pace: Pace) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { pace, hasher: RandomState::new(), shards }
    }

    #[must_use]
    pub fn pace(&self) -> Pace {
        self.pace
    }

    /// Counts a request of a key. `now_ns`: of any clock that never goes back.
    ///
    /// # Errors
    /// There have been too many: after how many whole seconds it may come, at least 1.
    pub fn take(&self, key: &[u8], now_ns: u64) -> Result<(), u64> {
        let hash = self.hasher.hash_one(key);
        // The map uses the low bits.
        let shard = &self.shards[(hash >> 58) as usize % SHARDS];
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        shard.take(self.pace, hash, now_ns).map_err(|wait_ns| wait_ns.div_ceil(1_000_000_000))
    }
}

impl Shard {
    fn take(&mut self, pace: Pace, hash: u64, now_ns: u64) -> Result<(), u64> {
        let is_full = self.over.len() >= MOST_KEYS;
        if is_full && now_ns.saturating_sub(self.swept_ns) >= SWEEP_NS {
            self.swept_ns = now_ns;
            self.over.retain(|_, over| *over > now_ns);
        }
        let has_room = self.over.len() < MOST_KEYS;
        match self.over.entry(hash) {
            Entry::Occupied(mut own) => pace.take(own.get_mut(), now_ns),
            Entry::Vacant(own) if has_room => {
                let mut over = 0;
                let taken = pace.take(&mut over, now_ns);
                own.insert(over);
                taken
            }
            Entry::Vacant(_) => pace.take(&mut self.shared, now_ns),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn a96_a_burst_and_then_the_steady_rate() {
        let rates = Rates::new(Pace::new(10, 1000, 20));
        let at = |ms: u64| rates.take(b"a", 1_000_000 * MS + ms * MS);
        assert_eq!((0..20).filter(|_| at(0).is_ok()).count(), 20);
        assert_eq!(at(0), Err(1));
        assert!(at(99).is_err() && at(100).is_ok() && at(100).is_err() && at(200).is_ok());
        // Another key has its own.
        assert!(rates.take(b"b", 1_000_000 * MS).is_ok());
    }

    #[test]
    fn a96_no_window_lets_more_through() {
        let rates = Rates::new(Pace::new(100, 1000, 5));
        let mut state = 88_172_645_463_325_252_u64;
        let mut now_ns = 5_000 * MS;
        let mut passed = Vec::new();
        for _ in 0..20_000 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            now_ns += state % (8 * MS);
            if rates.take(b"a", now_ns).is_ok() {
                passed.push(now_ns);
            }
        }
        for width in [1, 2, 10, 100] {
            for window in passed.windows(width + 1) {
                let time = window[width] - window[0];
                assert!((width as u64 + 1).saturating_sub(5) * 10 * MS <= time + 10 * MS);
            }
        }
        assert!(passed.len() > 1000);
    }

    #[test]
    fn a99_the_wait_is_in_whole_seconds() {
        let rates = Rates::new(Pace::new(1, 60_000, 1));
        assert_eq!(rates.take(b"a", 0), Ok(()));
        assert_eq!(rates.take(b"a", 0), Err(60));
        assert_eq!(rates.take(b"a", 59_999 * MS), Err(1));
        assert_eq!(rates.take(b"a", 60_000 * MS), Ok(()));
    }

    #[test]
    fn a101_memory_is_bounded_and_a_hot_key_does_not_escape() {
        let rates = Rates::new(Pace::new(1, 1000, 1));
        assert!(rates.take(b"hot", 0).is_ok());
        for key in 0..2_000_000_u32 {
            let _ = rates.take(&key.to_le_bytes(), 1);
        }
        let keys: usize = rates.shards.iter().map(|shard| shard.lock().unwrap().over.len()).sum();
        assert!(keys <= SHARDS * MOST_KEYS);
        assert!(rates.take(b"hot", 2).is_err());
        // What is over is forgotten, and there is room again.
        for key in 0..100_u32 {
            let _ = rates.take(&key.to_le_bytes(), 10_000 * MS);
        }
        let keys: usize = rates.shards.iter().map(|shard| shard.lock().unwrap().over.len()).sum();
        assert!(keys < SHARDS * MOST_KEYS);
    }

    #[test]
    fn a96_threads_share_it() {
        let rates = Rates::new(Pace::new(1, 1000, 100));
        let passed: usize = std::thread::scope(|scope| {
            let count = || (0..1000).filter(|_| rates.take(b"a", 0).is_ok()).count();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(count)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(passed, 100);
    }
}
