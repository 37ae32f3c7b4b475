//! What gives way when file descriptors run short (H43, H62), so that neither idle clients nor slow ones keep others out.

use gwanmun_reactor::arena::Key;

/// Closed at once, at the most.
const BATCH: usize = 32;
/// Who has just come, or been answered, has this long to send a request before it can be given up: what it has sent may not
/// have been read yet.
const IDLE_GRACE_MS: u64 = 100;
/// A head that has begun to come has this long.
const HEAD_GRACE_MS: u64 = 1000;

/// Why a connection may be closed when others need its descriptor; the first of these first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    /// A handshake that has begun then is not done; in milliseconds of the thread's clock.
    Handshake { since_ms: u64 },
    /// Nothing of a request has come, since then.
    Idle { since_ms: u64 },
    /// A head began to come, or the connection to be used, at that time.
    Head { since_ms: u64 },
    /// Its body, or its response, goes at so many bytes a second.
    Slow { pace: u64 },
}

/// Which to close. An eighth, so that who has just come is not the next to go.
pub(super) fn victims(mut candidates: Vec<(Standing, Key)>, now_ms: u64) -> Vec<Key> {
    candidates.retain(|&(standing, _)| match standing {
        Standing::Idle { since_ms } => since_ms + IDLE_GRACE_MS <= now_ms,
        Standing::Handshake { since_ms } | Standing::Head { since_ms } => {
            since_ms + HEAD_GRACE_MS <= now_ms
        }
        Standing::Slow { .. } => true,
    });
    let count = (candidates.len() / 8).clamp(1, BATCH);
    if candidates.len() > count {
        candidates.select_nth_unstable_by_key(count, |&(standing, _)| standing);
        candidates.truncate(count);
    }
    candidates.into_iter().map(|(_, key)| key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use gwanmun_reactor::arena::{Arena, Generations};

    fn keys(count: usize) -> Vec<Key> {
        let mut arena = Arena::new(&Generations::default());
        (0..count).map(|_| arena.insert_with(|_| ())).collect()
    }

    #[test]
    fn h43_the_oldest_idle_ones_go_first() {
        let keys = keys(24);
        let waiting =
            |index: usize| (Standing::Idle { since_ms: 1000 - index as u64 }, keys[index]);
        let mut shed = victims((0..24).map(waiting).collect(), 2000);
        shed.sort_unstable_by_key(|key| key.index);
        assert_eq!(shed, [keys[21], keys[22], keys[23]]);
    }

    #[test]
    fn h43_part_of_a_head_counts_for_a_second() {
        let keys = keys(3);
        let slow = (Standing::Head { since_ms: 0 }, keys[0]);
        let fresh = (Standing::Head { since_ms: 4500 }, keys[1]);
        let idle = (Standing::Idle { since_ms: 4900 }, keys[2]);
        assert_eq!(victims(vec![slow, fresh, idle], 5000), [keys[2]]);
        assert_eq!(victims(vec![slow, fresh], 5000), [keys[0]]);
        assert_eq!(victims(vec![fresh], 5000), []);
    }

    #[test]
    fn t96_unfinished_handshakes_go_before_idle_ones() {
        let keys = keys(3);
        let idle = (Standing::Idle { since_ms: 0 }, keys[0]);
        let handshake = (Standing::Handshake { since_ms: 2000 }, keys[1]);
        let fresh = (Standing::Handshake { since_ms: 4500 }, keys[2]);
        assert_eq!(victims(vec![idle, handshake, fresh], 5000), [keys[1]]);
        assert_eq!(victims(vec![idle, fresh], 5000), [keys[0]]);
    }

    #[test]
    fn h43_who_has_just_come_is_heard_first() {
        let new = (Standing::Idle { since_ms: 4901 }, keys(1)[0]);
        assert_eq!(victims(vec![new], 5000), []);
        assert_eq!(victims(vec![new], 5001), [new.1]);
    }

    #[test]
    fn h43_the_slowest_go_after_those_that_wait() {
        let keys = keys(3);
        let slow = (Standing::Slow { pace: 240 }, keys[0]);
        let slower = (Standing::Slow { pace: 10 }, keys[1]);
        let head = (Standing::Head { since_ms: 0 }, keys[2]);
        assert_eq!(victims(vec![slow, slower, head], 5000), [keys[2]]);
        assert_eq!(victims(vec![slow, slower], 5000), [keys[1]]);
    }
}
