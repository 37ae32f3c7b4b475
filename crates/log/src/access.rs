//! Lines of the access log.

use std::time::{Duration, SystemTime};

use super::time::{Calendar, milliseconds, seconds, write_fraction};
use super::{Logger, json};

/// The form of access lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessFormat {
    /// No access log.
    Off,
    /// Apache's `combined`, which every log reader knows.
    Combined,
    /// For eyes: time, status, request, duration, size and source.
    Short {
        /// With terminal colours by class of status.
        color: bool,
    },
    /// One JSON object a line, for programs.
    Json,
}

/// One request that was answered.
#[derive(Clone, Debug)]
pub struct AccessRecord<'a> {
    /// The client: an address, or a word for one that has none.
    pub remote: &'a str,
    /// Who the client was authenticated as.
    pub user: Option<&'a str>,
    /// The method; empty if the request line could not be read.
    pub method: &'a [u8],
    /// The request target as it came.
    pub target: &'a [u8],
    /// The version's second number.
    pub version_minor: u8,
    /// The response's status.
    pub status: u16,
    /// Bytes of the response body that were sent.
    pub bytes: u64,
    /// The Referer field.
    pub referer: Option<&'a [u8]>,
    /// The User-Agent field.
    pub user_agent: Option<&'a [u8]>,
    /// From the request's first byte to the response's last.
    pub duration: Duration,
    /// What answered: `file`, `app`, `core`.
    pub source: &'static str,
    /// When the response ended.
    pub when: SystemTime,
    /// What only JSON lines tell.
    pub details: AccessDetails<'a>,
}

/// What lines of a fixed form have no place for.
#[derive(Clone, Copy, Debug, Default)]
pub struct AccessDetails<'a> {
    /// Of a request over TLS.
    pub tls: Option<TlsDetails<'a>>,
    /// The address of the connection's other end, if that is not the client.
    pub peer: Option<&'a str>,
    /// The request's id, if it has one.
    pub request_id: Option<&'a [u8]>,
    /// The traceparent field.
    pub traceparent: Option<&'a [u8]>,
    /// The Host field.
    pub host: Option<&'a [u8]>,
    /// The mount's path, if there is a mount for the request.
    pub mount: Option<&'a str>,
    /// The number of the worker that got the request; 0 if none did.
    pub worker: u32,
    /// How long the complete request waited for a worker.
    pub queue: Option<Duration>,
    /// How long the worker had it.
    pub application: Option<Duration>,
    /// Why it was refused, or failed.
    pub reason: Option<&'a str>,
    /// The response was not sent to its end.
    pub incomplete: bool,
}

/// What was agreed on with a client over TLS.
#[derive(Clone, Copy, Debug)]
pub struct TlsDetails<'a> {
    pub protocol: &'a str,
    pub cipher: &'a str,
    /// The host that the client has asked for (SNI).
    pub name: Option<&'a str>,
    pub is_resumed: bool,
    /// Whether the client has a certificate: `SUCCESS` or `NONE`. None: it was not asked for one.
    pub client_verify: Option<&'a str>,
    /// Whose certificate it is.
    pub client_subject: Option<&'a str>,
}

/// An I/O thread's access lines, handed over together once per turn of its event loop.
pub struct LogBuffer {
    logger: Logger,
    lines: Vec<u8>,
    count: u64,
    clock: Clock,
}

/// The time as it stands in lines, kept for as long as it is the same.
struct Clock {
    second: Option<u64>,
    text: Vec<u8>,
}

/// More than this is handed over at once, whatever the event loop does.
const HAND_OVER: usize = 64 * 1024;

impl LogBuffer {
    /// An empty buffer.
    pub fn new(logger: &Logger) -> LogBuffer {
        let clock = Clock { second: None, text: Vec::new() };
        LogBuffer { logger: logger.clone(), lines: Vec::new(), count: 0, clock }
    }

    /// Adds a line. Never blocks.
    pub fn access(&mut self, record: &AccessRecord<'_>) {
        match self.logger.0.access {
            AccessFormat::Off => return,
            AccessFormat::Combined => write_combined(&mut self.lines, record, &mut self.clock),
            AccessFormat::Short { color } => {
                write_short(&mut self.lines, record, color, &mut self.clock);
            }
            AccessFormat::Json => {
                let clock = &mut self.clock;
                json::write_access(&mut self.lines, record, |out| {
                    out.extend_from_slice(clock.text(record.when, |calendar, text| {
                        calendar.write_second(text);
                    }));
                    write_fraction(out, milliseconds(record.when));
                });
            }
        }
        self.count += 1;
        if self.lines.len() >= HAND_OVER {
            self.flush();
        }
    }

    /// Hands the lines to the writer thread: one lock, and none if there is nothing. Never blocks; without room the lines
    /// are dropped and counted.
    pub fn flush(&mut self) {
        if self.lines.is_empty() {
            return;
        }
        let inner = &self.logger.0;
        inner.shared.push(inner.access_sink, &self.lines, self.count, false);
        self.lines.clear();
        self.count = 0;
    }
}

impl Drop for LogBuffer {
    fn drop(&mut self) {
        self.flush();
    }
}

impl Clock {
    fn text(&mut self, when: SystemTime, write: impl FnOnce(Calendar, &mut Vec<u8>)) -> &[u8] {
        let second = Some(seconds(when));
        if self.second != second {
            self.second = second;
            self.text.clear();
            write(Calendar::of(when), &mut self.text);
        }
        &self.text
    }
}

/// `127.0.0.1 - user [23/Nov/2026:03:15:39 +0000] "GET /path HTTP/1.1" 200 13 "referer" "agent"`
fn write_combined(out: &mut Vec<u8>, record: &AccessRecord<'_>, clock: &mut Clock) {
    push_word(out, record.remote.as_bytes());
    out.extend_from_slice(b" - ");
    push_word(out, record.user.unwrap_or_default().as_bytes());
    out.push(b' ');
    out.extend_from_slice(clock.text(record.when, |calendar, text| calendar.write_common(text)));
    out.extend_from_slice(b" \"");
    if record.method.is_empty() {
        out.push(b'-');
    } else {
        push_word(out, record.method);
        out.push(b' ');
        push_word(out, record.target);
        out.extend_from_slice(b" HTTP/1.");
        push_number(out, record.version_minor.into());
    }
    out.extend_from_slice(b"\" ");
    push_number(out, record.status.into());
    out.push(b' ');
    // Apache's %b: no body is a dash.
    if record.bytes == 0 {
        out.push(b'-');
    } else {
        push_number(out, record.bytes);
    }
    for field in [record.referer, record.user_agent] {
        out.extend_from_slice(b" \"");
        match field {
            Some(value) => push_text(out, value),
            None => out.push(b'-'),
        }
        out.push(b'"');
    }
    out.push(b'\n');
}

/// `12:03:04 200 GET /path 1.2ms 13B app`
fn write_short(out: &mut Vec<u8>, record: &AccessRecord<'_>, color: bool, clock: &mut Clock) {
    out.extend_from_slice(clock.text(record.when, |calendar, text| calendar.write_clock(text)));
    out.push(b' ');
    if color {
        out.extend_from_slice(match record.status / 100 {
            2 => b"\x1b[32m", // green
            3 => b"\x1b[36m", // cyan
            4 => b"\x1b[33m", // yellow
            5 => b"\x1b[31m", // red
            _ => b"\x1b[90m", // grey
        });
    }
    push_number(out, record.status.into());
    if color {
        out.extend_from_slice(b"\x1b[0m");
    }
    for word in [record.method, record.target] {
        out.push(b' ');
        push_word(out, word);
    }
    out.push(b' ');
    push_duration(out, record.duration);
    out.push(b' ');
    push_size(out, record.bytes);
    out.push(b' ');
    out.extend_from_slice(record.source.as_bytes());
    out.push(b'\n');
}

fn push_duration(out: &mut Vec<u8>, duration: Duration) {
    let microseconds = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    if microseconds < 1_000_000 {
        push_tenths(out, microseconds / 100, b"ms");
    } else {
        push_tenths(out, microseconds / 100_000, b"s");
    }
}

fn push_size(out: &mut Vec<u8>, bytes: u64) {
    match bytes {
        0..1_000 => {
            push_number(out, bytes);
            out.push(b'B');
        }
        1_000..1_000_000 => push_tenths(out, bytes / 100, b"kB"),
        1_000_000..1_000_000_000 => push_tenths(out, bytes / 100_000, b"MB"),
        _ => push_tenths(out, bytes / 100_000_000, b"GB"),
    }
}

fn push_tenths(out: &mut Vec<u8>, tenths: u64, unit: &[u8]) {
    push_number(out, tenths / 10);
    out.push(b'.');
    push_number(out, tenths % 10);
    out.extend_from_slice(unit);
}

fn push_number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// A value that stands without quotes: spaces are escaped too, and an empty one is a dash.
fn push_word(out: &mut Vec<u8>, value: &[u8]) {
    if value.is_empty() {
        out.push(b'-');
    } else {
        push_escaped(out, value, |byte| {
            matches!(byte, b'!'..=b'~') && !matches!(byte, b'"' | b'\\')
        });
    }
}

/// A value that stands in quotes.
fn push_text(out: &mut Vec<u8>, value: &[u8]) {
    push_escaped(out, value, |byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\'));
}

/// Everything else than plain bytes as `\xHH`, so that no client can end a field or a line, or talk to a terminal (H63).
fn push_escaped(out: &mut Vec<u8>, mut value: &[u8], plain: impl Fn(u8) -> bool) {
    while let Some(position) = value.iter().position(|&byte| !plain(byte)) {
        out.extend_from_slice(&value[..position]);
        push_hex(out, value[position]);
        value = &value[position + 1..];
    }
    out.extend_from_slice(value);
}

/// `\xHH`
pub(super) fn push_hex(out: &mut Vec<u8>, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let high = DIGITS[usize::from(byte >> 4)];
    let low = DIGITS[usize::from(byte & 15)];
    out.extend_from_slice(&[b'\\', b'x', high, low]);
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    fn record() -> AccessRecord<'static> {
        AccessRecord {
            remote: "192.0.2.1",
            user: None,
            method: b"GET",
            target: b"/path?q=1",
            version_minor: 1,
            status: 200,
            bytes: 13,
            referer: None,
            user_agent: Some(b"curl/8.0 (x)"),
            duration: Duration::from_micros(1234),
            source: "app",
            when: UNIX_EPOCH + Duration::from_millis(1_795_403_739_900),
            details: AccessDetails::default(),
        }
    }

    fn clock() -> Clock {
        Clock { second: None, text: Vec::new() }
    }

    fn combined(record: &AccessRecord<'_>) -> String {
        let mut out = Vec::new();
        write_combined(&mut out, record, &mut clock());
        String::from_utf8(out).unwrap()
    }

    fn short(record: &AccessRecord<'_>, color: bool) -> String {
        let mut out = Vec::new();
        write_short(&mut out, record, color, &mut clock());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn combined_is_what_apache_writes() {
        assert_eq!(
            combined(&record()),
            "192.0.2.1 - - [23/Nov/2026:03:15:39 +0000] \"GET /path?q=1 HTTP/1.1\" 200 13 \"-\" \"curl/8.0 (x)\"\n"
        );
        let full = AccessRecord {
            user: Some("ann"),
            referer: Some(b"http://a/"),
            version_minor: 0,
            bytes: 0,
            status: 304,
            ..record()
        };
        assert_eq!(
            combined(&full),
            "192.0.2.1 - ann [23/Nov/2026:03:15:39 +0000] \"GET /path?q=1 HTTP/1.0\" 304 - \"http://a/\" \"curl/8.0 (x)\"\n"
        );
    }

    #[test]
    fn a_request_that_could_not_be_read_is_a_dash() {
        let unread =
            AccessRecord { method: b"", target: b"", status: 400, user_agent: None, ..record() };
        assert!(combined(&unread).contains("] \"-\" 400 13 \"-\" \"-\"\n"));
        assert!(short(&unread, false).starts_with("03:15:39 400 - - "));
    }

    // H63
    #[test]
    fn nothing_a_client_sends_ends_a_field_or_a_line() {
        let every_byte: Vec<u8> = (0..=255).collect();
        let text = String::from("ann\" \x1b[31m한\n");
        let hostile = AccessRecord {
            user: Some(&text),
            method: &every_byte,
            target: &every_byte,
            referer: Some(&every_byte),
            user_agent: Some(b"\" 200 1 \"-\" \"-\"\r\n\x1b[2J"),
            ..record()
        };
        let line = combined(&hostile);
        assert!(line.contains(" - ann\\x22\\x20\\x1b[31m\\xed\\x95\\x9c\\x0a ["));
        assert!(line.ends_with("\"\\x22 200 1 \\x22-\\x22 \\x22-\\x22\\x0d\\x0a\\x1b[2J\"\n"));
        assert_eq!(line.matches('"').count(), 6);
        // Host, -, user, two of time, method, target, version, status, size; then the quoted fields.
        let request = line.split('"').nth(1).unwrap();
        assert_eq!(request.split(' ').count(), 3);
        for line in [line, short(&hostile, false)] {
            assert_eq!(line.matches('\n').count(), 1);
            assert!(line.trim_end().bytes().all(|byte| matches!(byte, b' '..=b'~')));
        }
    }

    #[test]
    fn short_is_for_eyes() {
        assert_eq!(short(&record(), false), "03:15:39 200 GET /path?q=1 1.2ms 13B app\n");
        assert_eq!(
            short(&record(), true),
            "03:15:39 \x1b[32m200\x1b[0m GET /path?q=1 1.2ms 13B app\n"
        );
        let slow = AccessRecord {
            status: 500,
            bytes: 1_234_567,
            duration: Duration::from_millis(2345),
            ..record()
        };
        assert_eq!(
            short(&slow, true),
            "03:15:39 \x1b[31m500\x1b[0m GET /path?q=1 2.3s 1.2MB app\n"
        );
        let tiny = AccessRecord { bytes: 999, duration: Duration::from_micros(49), ..record() };
        assert!(short(&tiny, false).contains(" 0.0ms 999B "));
        let huge = AccessRecord { bytes: u64::MAX, duration: Duration::MAX, ..record() };
        assert!(short(&huge, false).ends_with("GB app\n"));
    }

    #[test]
    fn the_clock_moves_on() {
        let (mut out, mut clock) = (Vec::new(), clock());
        for milliseconds in [0, 999, 1000, 500] {
            let record =
                AccessRecord { when: UNIX_EPOCH + Duration::from_millis(milliseconds), ..record() };
            write_short(&mut out, &record, false, &mut clock);
        }
        let times: Vec<_> = str::from_utf8(&out).unwrap().lines().map(|line| &line[..8]).collect();
        assert_eq!(times, ["00:00:00", "00:00:00", "00:00:01", "00:00:00"]);
    }
}
