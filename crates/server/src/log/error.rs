//! Lines of the error log.

use std::time::SystemTime;

use super::time::Calendar;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Something failed that should not have.
    Error,
    /// Something is wrong but was coped with.
    Warn,
    /// A step in the server's life.
    Info,
    /// For finding faults.
    Debug,
}

/// Longer texts are cut here, so that one cannot take the whole buffer.
const TEXT_LIMIT: usize = 64 * 1024;

/// Appends `2026-11-23T03:15:39.123Z error text`. Further lines of the text are indented by a tab, and control characters
/// are escaped, so that no text can pass for another record or for a terminal's commands (H63).
pub(super) fn write(out: &mut Vec<u8>, when: SystemTime, level: Level, text: &str) {
    Calendar::of(when).write_rfc3339(out);
    out.push(b' ');
    out.extend_from_slice(level.name().as_bytes());
    let kept = &text[..text.floor_char_boundary(TEXT_LIMIT)];
    for (number, line) in kept.trim_end().lines().enumerate() {
        out.extend_from_slice(if number == 0 { b" " } else { b"\n\t" });
        write_line(out, line);
    }
    if kept.len() < text.len() {
        out.extend_from_slice(b"\n\t(cut)");
    }
    out.push(b'\n');
}

impl Level {
    fn name(self) -> &'static str {
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
