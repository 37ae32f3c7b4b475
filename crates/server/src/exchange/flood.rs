//! How many lines a flood of requests that are not served may write.

/// Lines a second that a thread writes of its own for requests that it refuses. So many show what is going on. At 150 bytes each, a flood writes
/// 0.65 GB a day for each thread; without a bound it was 2 GB a minute.
pub(super) const MOST_LINES: u32 = 50;

const SECOND_MS: u64 = 1000;

/// Lines of one kind.
#[derive(Debug, Default)]
pub(crate) struct Flood {
    /// When the second began that is counted.
    since_ms: u64,
    lines: u32,
    /// Those that got no line within it.
    left_out: u64,
    /// Those of the seconds before it, which nobody has been told of.
    untold: u64,
}

impl Flood {
    /// Whether one more gets a line.
    pub(super) fn admits(&mut self, now_ms: u64) -> bool {
        self.begin_second(now_ms);
        let is_admitted = self.lines < MOST_LINES;
        if is_admitted {
            self.lines += 1;
        } else {
            self.left_out += 1;
        }
        is_admitted
    }

    /// How many got no line in the seconds that are over, and have not been told of.
    pub(super) fn take_untold(&mut self, now_ms: u64) -> u64 {
        self.begin_second(now_ms);
        std::mem::take(&mut self.untold)
    }

    fn begin_second(&mut self, now_ms: u64) {
        if now_ms.saturating_sub(self.since_ms) >= SECOND_MS {
            self.since_ms = now_ms;
            self.lines = 0;
            self.untold += std::mem::take(&mut self.left_out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_so_many_lines_and_the_others_are_told_of_when_it_is_over() {
        let mut flood = Flood::default();
        let admitted =
            |flood: &mut Flood, now_ms| (0..1000).filter(|_| flood.admits(now_ms)).count();
        assert_eq!(admitted(&mut flood, 5000), MOST_LINES as usize);
        assert_eq!(admitted(&mut flood, 5999), 0);
        assert_eq!(flood.take_untold(5999), 0);
        // It goes on.
        assert_eq!(admitted(&mut flood, 6000), MOST_LINES as usize);
        assert_eq!(flood.take_untold(6100), 2000 - u64::from(MOST_LINES));
        assert_eq!(flood.take_untold(6200), 0);
        assert_eq!(flood.take_untold(7000), 1000 - u64::from(MOST_LINES));
        assert!(flood.admits(7001));
        assert_eq!(flood.take_untold(9000), 0);
    }
}
