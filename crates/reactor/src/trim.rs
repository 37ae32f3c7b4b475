//! After a burst its memory goes back to the system: the allocator keeps what was freed between what is still used.

use std::sync::atomic::{AtomicBool, Ordering};

/// So much less than at the height is the end of a burst.
const FALL: u64 = 16 * 1024 * 1024;
/// And for so long.
const CALM_MS: u64 = 5000;

/// The height of what a thread has counted, and since when it is below that.
#[derive(Debug, Default)]
pub struct Tide {
    height: u64,
    low_since_ms: Option<u64>,
}

impl Tide {
    /// Whether a burst is over, with so many bytes held now.
    pub fn is_over(&mut self, held: u64, now_ms: u64) -> bool {
        self.height = self.height.max(held);
        if held + FALL > self.height {
            self.low_since_ms = None;
            return false;
        }
        let since_ms = *self.low_since_ms.get_or_insert(now_ms);
        if now_ms < since_ms + CALM_MS {
            return false;
        }
        *self = Self { height: held, low_since_ms: None };
        true
    }
}

/// Gives back what no thread of the process uses, on a thread of its own: it takes some milliseconds. A second call while it is
/// at work does nothing.
pub fn give_back() {
    static AT_WORK: AtomicBool = AtomicBool::new(false);
    if AT_WORK.swap(true, Ordering::AcqRel) {
        return;
    }
    let trim = || {
        // musl's allocator gives back by itself.
        #[cfg(target_env = "gnu")]
        // SAFETY: no pointers; it locks each arena while it looks through it.
        unsafe {
            libc::malloc_trim(0);
        }
        AT_WORK.store(false, Ordering::Release);
    };
    // Without a thread it waits for the next burst.
    if std::thread::Builder::new().name("gwanmun-trim".to_owned()).spawn(trim).is_err() {
        AT_WORK.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_over_when_it_has_been_calm_for_a_while() {
        const MIB: u64 = 1024 * 1024;
        let mut tide = Tide::default();
        for (held, now_ms, expected) in [
            (100 * MIB, 0, false),
            (10 * MIB, 1000, false),
            (90 * MIB, 3000, false), // not yet
            (10 * MIB, 4000, false),
            (10 * MIB, 8999, false),
            (11 * MIB, 9000, true),
            (10 * MIB, 20_000, false), // once
            (26 * MIB, 30_000, false),
            (9 * MIB, 31_000, false),
            (9 * MIB, 36_000, true),
        ] {
            assert_eq!(tide.is_over(held, now_ms), expected, "{now_ms}");
        }
    }
}
