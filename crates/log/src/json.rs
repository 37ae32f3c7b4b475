//! Lines as JSON: one object a line, valid whatever a client or an application sent. docs/logs.md describes the fields.

use std::time::Duration;

use super::access::AccessRecord;
use super::error::{Level, Record};

/// Most bytes of a line with its end: longer ones are split by what reads a container's output.
const LINE_LIMIT: usize = 16 * 1024;

/// Most bytes that one value takes in its line, so that all of a line together fit: path and query, any other.
const TARGET_LIMIT: usize = 3 * 1024;
const FIELD_LIMIT: usize = 1536;
/// The text of a record that has a stack, which gets what is left of the line.
const TEXT_LIMIT: usize = 2 * 1024;
/// Readers refuse JSON that is nested deeply. Opening brackets are counted, which are no fewer.
const DEPTH: usize = 100;
/// For the names of the last fields and the line's end.
const RESERVE: usize = 64;

/// Writes `{"time":"…","level":"info","event":"request",…}`. `time` is written by the caller, who remembers the second.
pub(super) fn write_access(
    out: &mut Vec<u8>,
    record: &AccessRecord<'_>,
    time: impl FnOnce(&mut Vec<u8>),
) {
    let details = &record.details;
    let mut object = Object::begin(out, time);
    // 501 and 505 are about what the client asked for.
    let is_failure = record.status >= 500 && !matches!(record.status, 501 | 505);
    let level = if is_failure { Level::Error } else { Level::Info };
    object.plain("level", level.name());
    object.plain("event", "request");
    object.optional("request_id", details.request_id);
    if let Some(trace) = details.traceparent.and_then(trace_id) {
        object.field("trace_id", trace);
    }
    if !record.remote.is_empty() {
        object.field("remote", record.remote.as_bytes());
    }
    object.optional("peer", details.peer.map(str::as_bytes));
    object.optional("user", record.user.map(str::as_bytes));
    object.optional("host", details.host);
    if !record.method.is_empty() {
        object.field("method", record.method);
        object.target(record.target);
        object.plain("protocol", if record.version_minor == 0 { "HTTP/1.0" } else { "HTTP/1.1" });
    }
    if let Some(tls) = details.tls {
        object.field("tls", tls.protocol.as_bytes());
        object.field("cipher", tls.cipher.as_bytes());
        object.optional("sni", tls.name.map(str::as_bytes));
        object.name("resumed");
        object.out.extend_from_slice(if tls.is_resumed { b"true" } else { b"false" });
        object.optional("client_verify", tls.client_verify.map(str::as_bytes));
        object.optional("client_subject", tls.client_subject.map(str::as_bytes));
    }
    object.number("status", record.status.into());
    object.number("bytes", record.bytes);
    object.milliseconds("duration_ms", Some(record.duration));
    object.milliseconds("queue_ms", details.queue);
    object.milliseconds("app_ms", details.application);
    object.plain("by", record.source);
    object.optional("mount", details.mount.map(str::as_bytes));
    if details.worker != 0 {
        object.number("worker", details.worker.into());
    }
    object.optional("reason", details.reason.map(str::as_bytes));
    if details.incomplete {
        object.name("incomplete");
        object.out.extend_from_slice(b"true");
    }
    object.optional("referer", record.referer);
    object.optional("user_agent", record.user_agent);
    object.end();
}

/// Writes `{"time":"…","level":"error","event":"…","msg":"…",…}`.
pub(super) fn write_record(
    out: &mut Vec<u8>,
    record: &Record<'_>,
    time: impl FnOnce(&mut Vec<u8>),
) {
    let mut object = Object::begin(out, time);
    object.plain("level", record.level.name());
    object.field("event", record.event.as_bytes());
    object.optional("code", record.code.map(str::as_bytes));
    object.optional("request_id", record.request_id);
    if let Some(worker) = record.worker {
        object.number("worker", worker.number.into());
        if worker.pid != 0 {
            object.number("pid", worker.pid.into());
        }
    }
    object.optional("stream", record.stream.map(str::as_bytes));
    if let Some((method, target)) = record.request {
        object.field("method", method);
        object.target(target);
    }
    if let Some((remote, status)) = record.refused {
        if !remote.is_empty() {
            object.field("remote", remote.as_bytes());
        }
        object.number("status", status.into());
    }
    let text = record.text.trim_end();
    // What an application prints as JSON is not wrapped into a string: its fields stay fields.
    if text.starts_with('{') && text.len() <= object.room() && is_one_line_of_json(text) {
        object.name("data");
        object.out.extend_from_slice(text.as_bytes());
        object.end();
        return;
    }
    let (text, stack) = match record.stack {
        Some(stack) => (text, Some(stack.trim_end())),
        None if record.is_error_of_worker() => {
            let first = text.lines().next().unwrap_or_default();
            (first, (first.len() < text.len()).then_some(text))
        }
        None => (text, None),
    };
    let limit = if stack.is_some() { TEXT_LIMIT } else { object.room() };
    object.limited("msg", text.as_bytes(), limit);
    if let Some(stack) = stack {
        let limit = object.room();
        object.limited("stack", stack.as_bytes(), limit);
    }
    object.end();
}

/// The trace's id from a `traceparent` header (W3C Trace Context §3.2), if that is one.
fn trace_id(traceparent: &[u8]) -> Option<&[u8]> {
    let mut parts = traceparent.split(|&byte| byte == b'-');
    let (version, trace) = (parts.next()?, parts.next()?);
    let is_hexadecimal = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let is_trace = version.len() == 2 && trace.len() == 32 && trace.iter().all(is_hexadecimal);
    (is_trace && trace.iter().any(|&byte| byte != b'0')).then_some(trace)
}

fn is_one_line_of_json(text: &str) -> bool {
    // JSON may be on several lines, and may hold separators and C1 controls as they are.
    !text.chars().any(is_special)
        && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
        && text.bytes().filter(|byte| matches!(byte, b'{' | b'[')).count() <= DEPTH
}

/// Ends a line for some reader, or talks to a terminal.
fn is_special(character: char) -> bool {
    character.is_control() || matches!(character, '\u{2028}' | '\u{2029}')
}

/// A JSON object that is being written.
struct Object<'a> {
    out: &'a mut Vec<u8>,
    /// Where it begins in `out`.
    start: usize,
    is_cut: bool,
}

impl<'a> Object<'a> {
    fn begin(out: &'a mut Vec<u8>, time: impl FnOnce(&mut Vec<u8>)) -> Self {
        let start = out.len();
        out.extend_from_slice(b"{\"time\":\"");
        time(out);
        out.push(b'"');
        Object { out, start, is_cut: false }
    }

    fn end(self) {
        if self.is_cut {
            self.out.extend_from_slice(b",\"cut\":true");
        }
        self.out.extend_from_slice(b"}\n");
    }

    /// Bytes that a last value may have.
    fn room(&self) -> usize {
        LINE_LIMIT.saturating_sub(self.out.len() - self.start + RESERVE)
    }

    fn name(&mut self, name: &'static str) {
        self.out.extend_from_slice(b",\"");
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    /// A value that holds nothing to escape.
    fn plain(&mut self, name: &'static str, value: &'static str) {
        self.name(name);
        self.out.push(b'"');
        self.out.extend_from_slice(value.as_bytes());
        self.out.push(b'"');
    }

    fn number(&mut self, name: &'static str, value: u64) {
        self.name(name);
        self.out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    }

    fn milliseconds(&mut self, name: &'static str, value: Option<Duration>) {
        let Some(value) = value else { return };
        let microseconds = u64::try_from(value.as_micros()).unwrap_or(u64::MAX);
        self.number(name, microseconds / 1000);
        let digit = |place: u64| b'0' + (microseconds / place % 10) as u8;
        self.out.extend_from_slice(&[b'.', digit(100), digit(10), digit(1)]);
    }

    fn field(&mut self, name: &'static str, value: &[u8]) {
        self.limited(name, value, FIELD_LIMIT);
    }

    fn optional(&mut self, name: &'static str, value: Option<&[u8]>) {
        if let Some(value) = value {
            self.field(name, value);
        }
    }

    fn limited(&mut self, name: &'static str, value: &[u8], limit: usize) {
        self.name(name);
        self.out.push(b'"');
        self.is_cut |= !push_text(self.out, value, limit);
        self.out.push(b'"');
    }

    /// A request target as `path` and `query`.
    fn target(&mut self, target: &[u8]) {
        let question = target.iter().position(|&byte| byte == b'?');
        let (path, query) = target.split_at(question.unwrap_or(target.len()));
        self.path("path", path);
        if let Some(query) = query.get(1..) {
            self.path("query", query);
        }
    }

    fn path(&mut self, name: &'static str, value: &[u8]) {
        self.name(name);
        self.out.push(b'"');
        self.is_cut |= !push_path(self.out, value, TARGET_LIMIT);
        self.out.push(b'"');
    }
}

/// A string's inside, of at most `limit` bytes; `false` if that was too little. Bytes that are not UTF-8 become U+FFFD.
fn push_text(out: &mut Vec<u8>, value: &[u8], limit: usize) -> bool {
    let end = out.len() + limit;
    for chunk in value.utf8_chunks() {
        if !push_str(out, chunk.valid(), end) {
            return false;
        }
        if !chunk.invalid().is_empty() {
            if out.len() + 3 > end {
                return false;
            }
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
    true
}

fn push_str(out: &mut Vec<u8>, mut text: &str, end: usize) -> bool {
    while !text.is_empty() {
        let plain = text.bytes().position(|byte| !is_plain(byte)).unwrap_or(text.len());
        let room = end.saturating_sub(out.len());
        if plain > room {
            out.extend_from_slice(&text.as_bytes()[..room]);
            return false;
        }
        out.extend_from_slice(&text.as_bytes()[..plain]);
        let mut rest = text[plain..].chars();
        let Some(character) = rest.next() else { return true };
        let mut escaped = [0; 6];
        let escaped = escape(character, &mut escaped);
        if out.len() + escaped.len() > end {
            return false;
        }
        out.extend_from_slice(escaped);
        text = rest.as_str();
    }
    true
}

/// Stands for itself, and is a character of its own.
fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\')
}

fn escape(character: char, buffer: &mut [u8; 6]) -> &[u8] {
    match character {
        '"' => b"\\\"",
        '\\' => b"\\\\",
        '\n' => b"\\n",
        '\r' => b"\\r",
        '\t' => b"\\t",
        _ if is_special(character) => {
            // Controls and the two separators: all below U+10000.
            *buffer = *b"\\u0000";
            for (place, digit) in buffer[2..].iter_mut().enumerate() {
                let nibble = u32::from(character) >> (12 - 4 * place) & 15;
                *digit = b"0123456789abcdef"[nibble as usize];
            }
            buffer
        }
        _ => {
            let length = character.encode_utf8(buffer).len();
            &buffer[..length]
        }
    }
}

/// A piece of a request target: what is not visible ASCII is percent-encoded, as the client should have done.
fn push_path(out: &mut Vec<u8>, value: &[u8], limit: usize) -> bool {
    let end = out.len() + limit;
    for &byte in value {
        if out.len() + 3 > end {
            return false;
        }
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'!'..=b'~' => out.push(byte),
            _ => {
                const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
                let digit = |nibble: u8| DIGITS[usize::from(nibble)];
                out.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
            }
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use crate::TlsDetails;
    use std::time::UNIX_EPOCH;

    use serde_json::{Value, json};

    use super::super::access::AccessDetails;
    use super::super::error::WorkerName;
    use super::*;

    fn time(out: &mut Vec<u8>) {
        out.extend_from_slice(b"2026-11-23T03:15:39.123Z");
    }

    /// What a reader makes of a line; panics if it is not one line of at most the limit with one object.
    fn parsed(line: &[u8]) -> Value {
        let text = str::from_utf8(line).unwrap();
        assert!(line.len() <= LINE_LIMIT, "{}", line.len());
        assert!(text.ends_with("}\n"), "{text}");
        assert!(!text[..text.len() - 1].contains(is_special), "{text}");
        serde_json::from_str(text).unwrap()
    }

    fn access(record: &AccessRecord<'_>) -> Value {
        let mut out = Vec::new();
        write_access(&mut out, record, time);
        parsed(&out)
    }

    fn record(record: &Record<'_>) -> Value {
        let mut out = Vec::new();
        write_record(&mut out, record, time);
        parsed(&out)
    }

    fn request() -> AccessRecord<'static> {
        AccessRecord {
            remote: "192.0.2.1",
            user: None,
            method: b"GET",
            target: b"/path?q=1",
            version_minor: 1,
            status: 200,
            bytes: 13,
            referer: None,
            user_agent: None,
            duration: Duration::from_micros(1_234),
            source: "app",
            when: UNIX_EPOCH,
            details: AccessDetails::default(),
        }
    }

    #[test]
    fn a_request_has_its_fields_and_no_empty_ones() {
        assert_eq!(
            access(&request()),
            json!({
                "time": "2026-11-23T03:15:39.123Z", "level": "info", "event": "request", "remote": "192.0.2.1",
                "method": "GET", "path": "/path", "query": "q=1", "protocol": "HTTP/1.1", "status": 200, "bytes": 13,
                "duration_ms": 1.234, "by": "app",
            })
        );
        let details = AccessDetails {
            peer: Some("10.0.0.1"),
            request_id: Some(b"a-1"),
            traceparent: Some(b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
            host: Some(b"a.test:8080"),
            mount: Some("/api"),
            worker: 2,
            queue: Some(Duration::from_micros(20)),
            application: Some(Duration::from_micros(1_000)),
            reason: Some("its worker ended"),
            incomplete: true,
            tls: Some(TlsDetails {
                protocol: "TLSv1.3",
                cipher: "TLS_AES_128_GCM_SHA256",
                name: Some("a.test"),
                is_resumed: true,
                client_verify: Some("SUCCESS"),
                client_subject: Some("CN=alice"),
            }),
        };
        let full = AccessRecord {
            status: 502,
            version_minor: 0,
            referer: Some(b"http://a/"),
            user_agent: Some(b"curl/8"),
            details,
            ..request()
        };
        assert_eq!(
            access(&full),
            json!({
                "time": "2026-11-23T03:15:39.123Z", "level": "error", "event": "request", "request_id": "a-1",
                "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "remote": "192.0.2.1", "peer": "10.0.0.1",
                "host": "a.test:8080",
                "method": "GET", "path": "/path", "query": "q=1", "protocol": "HTTP/1.0",
                "tls": "TLSv1.3", "cipher": "TLS_AES_128_GCM_SHA256", "sni": "a.test", "resumed": true,
                "client_verify": "SUCCESS", "client_subject": "CN=alice", "status": 502, "bytes": 13,
                "duration_ms": 1.234, "queue_ms": 0.02, "app_ms": 1.0, "by": "app", "mount": "/api", "worker": 2,
                "reason": "its worker ended", "incomplete": true, "referer": "http://a/", "user_agent": "curl/8",
            })
        );
        let unread = AccessRecord { method: b"", target: b"", status: 400, ..request() };
        let unread = access(&unread);
        assert!(["method", "path", "query"].iter().all(|name| unread.get(name).is_none()));
    }

    // H63
    #[test]
    fn every_byte_makes_a_valid_line() {
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = |below: usize| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            (seed >> 33) as usize % below
        };
        for _ in 0..2_000 {
            let mut bytes = || -> Vec<u8> {
                let longest = if random(20) == 0 { 40_000 } else { 60 };
                let length = random(longest);
                let alphabet: &[u8] = match random(4) {
                    0 => b"\"\\\x00\n\x7f\t{}",
                    1 => "한é\u{2028}\u{85}\u{1f600}".as_bytes(),
                    2 => b"abc/?%",
                    _ => &[],
                };
                let byte = |_| match alphabet {
                    [] => random(256) as u8,
                    _ => alphabet[random(alphabet.len())],
                };
                (0..length).map(byte).collect()
            };
            let [method, target, host, referer, agent, id] = std::array::from_fn(|_| bytes());
            let details = AccessDetails {
                request_id: Some(&id[..id.len().min(128)]),
                traceparent: Some(&host),
                host: Some(&host),
                mount: Some("/mount"),
                ..AccessDetails::default()
            };
            access(&AccessRecord {
                method: &method,
                target: &target,
                referer: Some(&referer),
                user_agent: Some(&agent),
                details,
                ..request()
            });
            let (text, stack) = (String::from_utf8_lossy(&host), String::from_utf8_lossy(&agent));
            for stack in [None, Some(&*stack)] {
                for event in ["output", "application-error"] {
                    record(&Record {
                        level: Level::Error,
                        event,
                        text: &text,
                        stack,
                        worker: Some(WorkerName { number: 1, pid: 2 }),
                        request_id: Some(&id),
                        request: Some((&method, &target)),
                        ..Record::default()
                    });
                }
            }
        }
    }

    #[test]
    fn text_survives_and_what_is_no_text_is_marked() {
        let agent = "a\"b\\c\td 한 \u{1f600} \u{85}\u{2028}\u{7f}".as_bytes();
        let value = access(&AccessRecord { user_agent: Some(agent), ..request() });
        assert_eq!(value["user_agent"].as_str().unwrap().as_bytes(), agent);
        let value = access(&AccessRecord { user_agent: Some(b"a\xffb\xe4\xb8"), ..request() });
        assert_eq!(value["user_agent"], "a\u{fffd}b\u{fffd}");
        let target = "/é\"\\%20?한".as_bytes();
        let value = access(&AccessRecord { target, ..request() });
        assert_eq!(
            (&value["path"], &value["query"]),
            (&json!("/%C3%A9\"\\%20"), &json!("%ED%95%9C"))
        );
    }

    #[test]
    fn a_worker_s_error_is_one_line_with_its_stack() {
        let error = Record {
            level: Level::Error,
            event: "application-error",
            text: "Error: no\n    at f (a.ts:1:2)\n    at g (a.ts:3:4)\n",
            worker: Some(WorkerName { number: 1, pid: 77 }),
            request_id: Some(b"id"),
            request: Some((b"GET", b"/a?b")),
            ..Record::default()
        };
        assert_eq!(
            record(&error),
            json!({
                "time": "2026-11-23T03:15:39.123Z", "level": "error", "event": "application-error", "request_id": "id",
                "worker": 1, "pid": 77, "method": "GET", "path": "/a", "query": "b",
                "msg": "Error: no", "stack": "Error: no\n    at f (a.ts:1:2)\n    at g (a.ts:3:4)",
            })
        );
        let refused = Record {
            event: "refused",
            text: "the head took too long",
            refused: Some(("192.0.2.1", 408)),
            ..Record::default()
        };
        let refused = record(&refused);
        assert_eq!((&refused["remote"], &refused["status"]), (&json!("192.0.2.1"), &json!(408)));
    }

    #[test]
    fn json_that_an_application_prints_keeps_its_fields() {
        let output = |text| record(&Record { event: "output", text, ..Record::default() });
        assert_eq!(
            output("{\"level\":30,\"msg\":\"hi\"}\n")["data"],
            json!({ "level": 30, "msg": "hi" })
        );
        for text in ["{\"a\":", "{\"a\":1}x", "{ not }", "{\"a\":\n1}", "{\"a\":\"\u{85}\"}"] {
            assert_eq!(output(text)["msg"], text, "no object, or not on one line");
        }
        let deep = format!("{}1{}", "{\"a\":".repeat(2_000), "}".repeat(2_000));
        assert!(output(&deep).get("data").is_none(), "deeper than readers go");
    }

    #[test]
    fn a_long_text_is_cut_and_says_so() {
        let text = "한\n".repeat(10_000);
        let value = record(&Record { event: "output", text: &text, ..Record::default() });
        assert_eq!(value["cut"], true);
        assert!(value["msg"].as_str().unwrap().len() > LINE_LIMIT / 2);
        let long = format!("/{}", "a".repeat(10_000));
        let value = access(&AccessRecord { target: long.as_bytes(), ..request() });
        assert_eq!(value["cut"], true);
    }
}
