//! What gives way when file descriptors run short (H43, H62), so that neither idle clients nor slow ones keep others out.
//!
//! Some descriptors are a reserve that no client gets: files have to be opened and workers started whoever is connected.

use super::arena::Key;
use crate::syscall;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Closed at once, at the most.
const BATCH: usize = 32;
/// Who has just come, or been answered, has this long to send a request before it can be given up: what it has sent may not
/// have been read yet.
const IDLE_GRACE_MS: u64 = 100;
/// A head that has begun to come has this long.
const HEAD_GRACE_MS: u64 = 1000;

/// The descriptors that no client gets, of so many in all.
fn reserve(limit: u64) -> u64 {
    (limit / 16).min(128)
}

/// Whether a new connection's descriptor belongs to the reserve: the kernel gives the lowest that is free, so nothing below
/// it is.
pub(super) fn is_reserved(fd: BorrowedFd<'_>) -> bool {
    let limit = syscall::descriptor_limit();
    fd.as_raw_fd() as u64 >= limit - reserve(limit)
}

/// Which to close of the connections that wait for a request: those with nothing of one before those with a part of its head,
/// and the oldest first. An eighth, so that who has just come is not the next to go.
pub(super) fn victims(mut waiting: Vec<((bool, u64), Key)>, now_ms: u64) -> Vec<Key> {
    waiting.retain(|&((begun, since_ms), _)| {
        since_ms + if begun { HEAD_GRACE_MS } else { IDLE_GRACE_MS } <= now_ms
    });
    let count = (waiting.len() / 8).clamp(1, BATCH);
    if waiting.len() > count {
        waiting.select_nth_unstable_by_key(count, |&(rank, _)| rank);
        waiting.truncate(count);
    }
    waiting.into_iter().map(|(_, key)| key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::thread::arena::Arena;

    fn keys(count: usize) -> Vec<Key> {
        let mut arena = Arena::of_life(0);
        (0..count).map(|_| arena.insert_with(|_| ())).collect()
    }

    #[test]
    fn h43_the_oldest_idle_ones_go_first() {
        let keys = keys(24);
        let waiting = |index: usize| ((false, 1000 - index as u64), keys[index]);
        let mut shed = victims((0..24).map(waiting).collect(), 2000);
        shed.sort_unstable_by_key(|key| key.index);
        assert_eq!(shed, [keys[21], keys[22], keys[23]]);
    }

    #[test]
    fn h43_part_of_a_head_counts_for_a_second() {
        let keys = keys(3);
        let slow = ((true, 0), keys[0]);
        let fresh = ((true, 4500), keys[1]);
        let idle = ((false, 4900), keys[2]);
        assert_eq!(victims(vec![slow, fresh, idle], 5000), [keys[2]]);
        assert_eq!(victims(vec![slow, fresh], 5000), [keys[0]]);
        assert_eq!(victims(vec![fresh], 5000), []);
    }

    #[test]
    fn h43_who_has_just_come_is_heard_first() {
        let new = ((false, 4901), keys(1)[0]);
        assert_eq!(victims(vec![new], 5000), []);
        assert_eq!(victims(vec![new], 5001), [new.1]);
    }

    #[test]
    fn h62_the_reserve_follows_the_limit() {
        assert_eq!([32, 256, 1024, 1 << 20].map(reserve), [2, 16, 64, 128]);
    }
}
