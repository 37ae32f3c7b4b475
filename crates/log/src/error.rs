//! Lines of the error log.

use std::time::SystemTime;

use serde::Deserialize;

use super::time::Calendar;

/// How bad it is. The worst comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Something failed that should not have.
    Error,
    /// Something is wrong but was coped with.
    Warn,
    /// A step in the server's life.
    #[default]
    Info,
    /// For finding faults.
    Debug,
}

/// Something that happened.
#[derive(Clone, Copy, Debug, Default)]
pub struct Record<'a> {
    /// How bad it is.
    pub level: Level,
    /// What kind of event it is; docs/logs.md lists them.
    pub event: &'a str,
    /// What is to be said of it.
    pub text: &'a str,
    /// Where in a program it happened.
    pub stack: Option<&'a str>,
    /// `GWM_…`
    pub code: Option<&'a str>,
    /// The worker that it is about or that it comes from.
    pub worker: Option<WorkerName>,
    /// Of what a worker printed: `stdout`, `stderr` or `wsgi.errors`.
    pub stream: Option<&'a str>,
    /// The id of the request that it belongs to.
    pub request_id: Option<&'a [u8]>,
    /// That request's method and target.
    pub request: Option<(&'a [u8], &'a [u8])>,
    /// Of a request that was refused: the client's address, and the status.
    pub refused: Option<(&'a str, u16)>,
}

/// What operators know a worker by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerName {
    /// Its place among the workers, from 1. One that replaces another has the other's.
    pub number: u32,
    /// Its process, 0 if that is not known.
    pub pid: u32,
}

/// Text that an application printed.
const OUTPUT: &str = "output";

impl<'a> Record<'a> {
    /// Of an event of the core itself.
    pub fn of_core(level: Level, text: &'a str) -> Self {
        Record { level, event: "core", text, ..Record::default() }
    }

    /// Whether it is a worker that speaks, and not the server about one.
    fn is_of_worker(&self) -> bool {
        self.worker.is_some() && !self.event.starts_with("worker-")
    }

    /// An error as a worker shows it: its first line is what it says, and the whole text is its stack.
    pub(super) fn is_error_of_worker(&self) -> bool {
        self.is_of_worker() && self.event != OUTPUT && self.level == Level::Error
    }
}

/// Appends a record as text. `is_timed`: also what applications print gets a time and a level.
pub(super) fn write_record(
    out: &mut Vec<u8>,
    when: SystemTime,
    record: &Record<'_>,
    is_timed: bool,
) {
    let mut text = String::new();
    let id = record.request_id.map(String::from_utf8_lossy);
    if let Some((remote, status)) = record.refused {
        text = format!("client {remote}: {status}: ");
    } else if record.is_of_worker()
        && let Some(WorkerName { number, .. }) = record.worker
    {
        text = match (record.event, id) {
            (OUTPUT, None) if record.stream != Some("wsgi.errors") => format!("[worker {number}] "),
            (OUTPUT, Some(id)) if record.stream != Some("wsgi.errors") => {
                format!("[worker {number} {id}] ")
            }
            (_, id) => {
                let request = record.request.map(|(method, target)| {
                    let [method, target] = [method, target].map(String::from_utf8_lossy);
                    format!(" ({method} {target})")
                });
                let id = id.map(|id| format!(" [{id}]")).unwrap_or_default();
                format!("worker {number}{}{id}: ", request.unwrap_or_default())
            }
        };
    }
    text.push_str(record.text.trim_end());
    if let Some(stack) = record.stack {
        text.push('\n');
        text.push_str(stack);
    }
    if text.starts_with('[') && !is_timed {
        write_text(out, &text);
    } else {
        write(out, when, record.level, &text);
    }
}

/// Longer texts are cut here, so that one cannot take the whole buffer.
const TEXT_LIMIT: usize = 64 * 1024;

/// Appends `2026-11-23T03:15:39.123Z error text`. Further lines of the text are indented by a tab, and control characters
/// are escaped, so that no text can pass for another record or for a terminal's commands (H63).
pub(super) fn write(out: &mut Vec<u8>, when: SystemTime, level: Level, text: &str) {
    Calendar::of(when).write_rfc3339(out);
    out.push(b' ');
    out.extend_from_slice(level.name().as_bytes());
    if !text.trim_end().is_empty() {
        out.push(b' ');
    }
    write_text(out, text);
}

/// The text with further lines indented and an end.
fn write_text(out: &mut Vec<u8>, text: &str) {
    let kept = &text[..text.floor_char_boundary(TEXT_LIMIT)];
    for (number, line) in kept.trim_end().lines().enumerate() {
        if number > 0 {
            out.extend_from_slice(b"\n\t");
        }
        write_line(out, line);
    }
    if kept.len() < text.len() {
        out.extend_from_slice(b"\n\t(cut)");
    }
    out.push(b'\n');
}

impl Level {
    pub(super) fn name(self) -> &'static str {
        match self {
            Level::Error => "error",
            Level::Warn => "warn",
            Level::Info => "info",
            Level::Debug => "debug",
        }
    }
}

fn write_line(out: &mut Vec<u8>, line: &str) {
    for character in line.chars() {
        match character {
            // The separators end a line for some readers.
            '\u{2028}' | '\u{2029}' => out.extend(character.escape_unicode().map(|c| c as u8)),
            '\t' => out.push(b'\t'),
            _ if character.is_control() => {
                // C0, DEL and C1: all below 256.
                super::access::push_hex(out, character as u8);
            }
            _ => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn line(level: Level, text: &str) -> String {
        let mut out = Vec::new();
        write(&mut out, UNIX_EPOCH + Duration::from_millis(1_795_403_739_123), level, text);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_line_has_time_level_and_text() {
        assert_eq!(
            line(Level::Error, "no worker: 한"),
            "2026-11-23T03:15:39.123Z error no worker: 한\n"
        );
        assert_eq!(line(Level::Debug, ""), "2026-11-23T03:15:39.123Z debug\n");
    }

    // H63
    #[test]
    fn further_lines_are_indented_so_that_none_can_be_forged() {
        assert_eq!(
            line(
                Level::Error,
                "Error: x\r\n    at f (a.ts:1:2)\n2026-11-23T03:15:39.123Z error forged\n"
            ),
            "2026-11-23T03:15:39.123Z error Error: x\n\t    at f (a.ts:1:2)\n\t2026-11-23T03:15:39.123Z error forged\n"
        );
    }

    // H63
    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(
            line(Level::Warn, "a\x1b[2Jb\rc\0d\x7fe\u{85}f\tg\u{2028}h"),
            "2026-11-23T03:15:39.123Z warn a\\x1b[2Jb\\x0dc\\x00d\\x7fe\\x85f\tg\\u{2028}h\n"
        );
    }

    #[test]
    fn a_huge_text_is_cut_between_characters() {
        let text = line(Level::Error, &"한".repeat(TEXT_LIMIT));
        assert!(text.len() < TEXT_LIMIT + 100);
        assert!(text.ends_with("한\n\t(cut)\n"));
    }
}
