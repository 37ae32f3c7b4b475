//! The time, read once per turn of the event loop, and the header lines that change once a second.

use std::time::{Instant, SystemTime};

#[derive(Debug)]
pub struct Clock {
    start: Instant,
    now: Instant,
    /// Milliseconds since the thread started, at least 1: 0 stands for "never" in deadlines.
    ms: u64,
    /// Second of `ms` that `date` was made in.
    date_second: u64,
    /// `Date: …\r\n`
    date: Vec<u8>,
    next_date_ms: u64,
}

impl Default for Clock {
    fn default() -> Self {
        let now = Instant::now();
        let mut clock =
            Self { start: now, now, ms: 1, date_second: 0, date: Vec::new(), next_date_ms: 0 };
        clock.tick();
        clock
    }
}

impl Clock {
    #[inline]
    pub fn tick(&mut self) {
        self.now = Instant::now();
        self.ms = (self.now - self.start).as_millis() as u64 + 1;
        if self.ms >= self.next_date_ms {
            self.refresh_date();
        }
    }

    #[inline]
    pub fn ms(&self) -> u64 {
        self.ms
    }

    #[inline]
    pub fn now(&self) -> Instant {
        self.now
    }

    #[inline]
    pub fn date_line(&self) -> &[u8] {
        &self.date
    }

    fn refresh_date(&mut self) {
        let time = SystemTime::now();
        let since_epoch = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        // Wake up to look again when the wall clock's second ends; it may also be set meanwhile, so at least every second.
        self.next_date_ms = self.ms + u64::from(1000 - since_epoch.subsec_millis().min(999));
        if self.date_second != since_epoch.as_secs() || self.date.is_empty() {
            self.date_second = since_epoch.as_secs();
            self.date = format!("Date: {}\r\n", httpdate::fmt_http_date(time)).into_bytes();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_line_is_a_header_line_in_http_format() {
        let line = String::from_utf8(Clock::default().date_line().to_vec()).unwrap();
        let value = line.strip_prefix("Date: ").unwrap().strip_suffix("\r\n").unwrap();
        assert!(httpdate::parse_http_date(value).is_ok(), "{line}");
    }
}
