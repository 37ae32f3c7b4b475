//! Dates for log lines, in UTC: no time zone has to be looked up, and lines of several machines compare.

use std::time::{SystemTime, UNIX_EPOCH};

const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

/// A moment in the Gregorian calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Calendar {
    year: u64,
    /// From 1.
    month: u64,
    day: u64,
    hour: u64,
    minute: u64,
    second: u64,
    millisecond: u64,
}

/// Whole seconds since the epoch; 0 before it.
pub(super) fn seconds(when: SystemTime) -> u64 {
    when.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Of the second that has begun.
pub(super) fn milliseconds(when: SystemTime) -> u64 {
    when.duration_since(UNIX_EPOCH).unwrap_or_default().subsec_millis().into()
}

impl Calendar {
    pub(super) fn of(when: SystemTime) -> Calendar {
        let since = when.duration_since(UNIX_EPOCH).unwrap_or_default();
        let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
        // Years that begin in March have their leap day last, and eras of 400 years are all of one length
        // (Howard Hinnant, "chrono-compatible low-level date algorithms").
        let shifted = days + 719_468;
        let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        Calendar {
            year: era * 400 + year_of_era + u64::from(month <= 2),
            month,
            day: day_of_year - (153 * month_from_march + 2) / 5 + 1,
            hour: second / 3600,
            minute: second / 60 % 60,
            second: second % 60,
            millisecond: u64::from(since.subsec_millis()),
        }
    }

    /// `[23/Nov/2026:03:15:39 +0000]`, as Apache writes it.
    pub(super) fn write_common(&self, out: &mut Vec<u8>) {
        out.push(b'[');
        digits(out, self.day, 2);
        out.push(b'/');
        out.extend_from_slice(MONTHS[(self.month - 1) as usize]);
        out.push(b'/');
        digits(out, self.year, 4);
        out.push(b':');
        self.write_clock(out);
        out.extend_from_slice(b" +0000]");
    }

    /// `2026-11-23T03:15:39.123Z` (RFC 3339).
    pub(super) fn write_rfc3339(&self, out: &mut Vec<u8>) {
        self.write_second(out);
        write_fraction(out, self.millisecond);
    }

    /// `2026-11-23T03:15:39`
    pub(super) fn write_second(&self, out: &mut Vec<u8>) {
        digits(out, self.year, 4);
        out.push(b'-');
        digits(out, self.month, 2);
        out.push(b'-');
        digits(out, self.day, 2);
        out.push(b'T');
        self.write_clock(out);
    }

    /// `03:15:39`
    pub(super) fn write_clock(&self, out: &mut Vec<u8>) {
        digits(out, self.hour, 2);
        out.push(b':');
        digits(out, self.minute, 2);
        out.push(b':');
        digits(out, self.second, 2);
    }
}

/// `.123Z`, behind a second.
pub(super) fn write_fraction(out: &mut Vec<u8>, milliseconds: u64) {
    out.push(b'.');
    digits(out, milliseconds, 3);
    out.push(b'Z');
}

/// The number in decimal with at least `width` digits.
fn digits(out: &mut Vec<u8>, number: u64, width: usize) {
    let mut buffer = itoa::Buffer::new();
    let text = buffer.format(number);
    out.extend(std::iter::repeat_n(b'0', width.saturating_sub(text.len())));
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64, milliseconds: u64) -> Calendar {
        Calendar::of(
            UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_millis(milliseconds),
        )
    }

    fn rfc3339(calendar: Calendar) -> String {
        let mut out = Vec::new();
        calendar.write_rfc3339(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn known_moments() {
        assert_eq!(rfc3339(at(0, 0)), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(at(951_782_400, 5)), "2000-02-29T00:00:00.005Z");
        assert_eq!(rfc3339(at(1_795_403_739, 123)), "2026-11-23T03:15:39.123Z");
        assert_eq!(rfc3339(at(4_107_542_399, 999)), "2100-02-28T23:59:59.999Z");
        assert_eq!(rfc3339(at(4_107_542_400, 0)), "2100-03-01T00:00:00.000Z");
        assert_eq!(
            rfc3339(Calendar::of(UNIX_EPOCH - Duration::from_secs(1))),
            "1970-01-01T00:00:00.000Z"
        );
        let mut out = Vec::new();
        at(1_795_403_739, 0).write_common(&mut out);
        assert_eq!(out, b"[23/Nov/2026:03:15:39 +0000]");
    }

    #[test]
    fn every_day_agrees_with_httpdate() {
        for day in 0..366 * 150 {
            let when = UNIX_EPOCH + Duration::from_secs(day * 86_400 + 45_296);
            let mut common = Vec::new();
            Calendar::of(when).write_common(&mut common);
            let date = httpdate::fmt_http_date(when);
            let (day, month, year) = (&date[5..7], &date[8..11], &date[12..16]);
            assert_eq!(common, format!("[{day}/{month}/{year}:12:34:56 +0000]").as_bytes());
        }
    }
}
