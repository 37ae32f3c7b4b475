//! The access log and the error log of the core.
//!
//! A line never costs a request its time: it goes into a bounded buffer that one thread writes out. When the other side
//! does not keep up or the disk is full, lines are dropped and counted, not requests (H63).

mod access;
mod error;
mod json;
mod sink;
mod time;
mod writer;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::SystemTime;

pub use access::{AccessDetails, AccessFormat, AccessRecord, LogBuffer, TlsDetails};
pub use error::{Level, Record, WorkerName};

use sink::Sink;
use time::Calendar;
use writer::Shared;

/// Where the logs go and how the access log looks.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// The form of access lines.
    pub access: AccessFormat,
    /// Where access lines go.
    pub access_target: Target,
    /// The form of the error log.
    pub error: ErrorFormat,
    /// The least level that the error log takes.
    pub level: Level,
    /// Where errors go. May be the same as `access_target`; then lines keep their order.
    pub error_target: Target,
}

/// The form of the error log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorFormat {
    /// For people.
    Text {
        /// Also what applications print gets a time and a level; a terminal or what reads standard error has a clock.
        timed_output: bool,
    },
    /// One JSON object a line.
    Json,
}

impl ErrorFormat {
    fn write(self, out: &mut Vec<u8>, record: &Record<'_>) {
        let now = SystemTime::now();
        match self {
            ErrorFormat::Text { timed_output } => {
                error::write_record(out, now, record, timed_output)
            }
            ErrorFormat::Json => {
                json::write_record(out, record, |out| Calendar::of(now).write_rfc3339(out));
            }
        }
    }
}

/// An end for log lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// A file that is appended to, and created with mode 0640 if missing.
    File(PathBuf),
}

/// A handle to both logs. Clones share one writer thread, which ends with [`shutdown`](Logger::shutdown) or the last clone.
#[derive(Clone)]
pub struct Logger(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    access: AccessFormat,
    error: ErrorFormat,
    level: Level,
    /// The sinks' numbers; one number if both logs have one target.
    access_sink: usize,
    error_sink: usize,
    thread: std::sync::Mutex<Option<JoinHandle<()>>>,
}

impl Logger {
    /// Opens the targets, and standard error for when one of them cannot be written, and starts the writer thread. BLOCKING. Fails if a file cannot be opened, so that a wrong path is
    /// noticed at the start.
    pub fn new(config: LogConfig) -> io::Result<Logger> {
        let mut sinks = vec![Sink::open(config.access_target.clone())?];
        if config.error_target != config.access_target {
            let sink = Sink::open(config.error_target)?;
            // Standard output and error are often one pipe: with one writer, no line gets into the middle of another.
            if !sink.is_same(&sinks[0]) {
                sinks.push(sink);
            }
        }
        let spare = Sink::open(Target::Stderr)?;
        let spare = (!sinks.iter().any(|sink| sink.is_same(&spare))).then_some(spare);
        Logger::start(config.access, config.error, config.level, sinks, spare)
    }

    fn start(
        access: AccessFormat,
        error: ErrorFormat,
        level: Level,
        mut sinks: Vec<Sink>,
        spare: Option<Sink>,
    ) -> io::Result<Logger> {
        let error_sink = sinks.len() - 1;
        sinks.extend(spare);
        let shared = Arc::new(Shared::new(sinks.len(), error_sink, error));
        let thread = writer::spawn(Arc::clone(&shared), sinks)?;
        let thread = std::sync::Mutex::new(Some(thread));
        Ok(Logger(Arc::new(Inner {
            shared,
            access,
            error,
            level,
            access_sink: 0,
            error_sink,
            thread,
        })))
    }

    /// Writes a line about the core itself. Never blocks.
    pub fn error(&self, level: Level, text: &str) {
        self.record(&Record::of_core(level, text));
    }

    /// Writes a line to the error log, if its level is high enough. Never blocks.
    pub fn record(&self, record: &Record<'_>) {
        if record.level > self.0.level {
            return;
        }
        let mut line = Vec::with_capacity(record.text.len() + 160);
        self.0.error.write(&mut line, record);
        self.0.shared.push(self.0.error_sink, &line, 1, true);
    }

    /// Opens files anew by their names, for a log that was moved away. If one cannot be opened, its old file is kept and
    /// the error log says so.
    pub fn reopen(&self) {
        self.0.shared.reopen();
    }

    /// Writes out what is buffered, for at most a second, and ends the writer thread. BLOCKING. Lines that come later are
    /// dropped. Does nothing the second time.
    pub fn shutdown(&self) {
        self.0.shutdown();
    }
}

/// Whether a target can be opened, before anything depends on it. BLOCKING.
pub fn check(target: &Target) -> io::Result<()> {
    Sink::open(target.clone()).map(drop)
}

impl Inner {
    fn shutdown(&self) {
        let thread = self.thread.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(thread) = thread
            && self.shared.shutdown()
        {
            // It has left its loop. A thread that is stuck in a write is left to itself: the process is about to end.
            let _ = thread.join();
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shutdown();
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use super::*;

    struct Scratch(PathBuf);

    impl Scratch {
        fn new() -> Scratch {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let name = format!(
                "gwanmun-log-{}-{}",
                std::process::id(),
                NEXT.fetch_add(1, Ordering::Relaxed)
            );
            let path = std::env::temp_dir().join(name);
            fs::create_dir(&path).unwrap();
            Scratch(path)
        }

        fn join(&self, name: &str) -> PathBuf {
            self.0.join(name)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn logger(access: &std::path::Path, error: &std::path::Path) -> Logger {
        Logger::new(LogConfig {
            access: AccessFormat::Combined,
            access_target: Target::File(access.to_owned()),
            error: ErrorFormat::Text { timed_output: true },
            level: Level::Info,
            error_target: Target::File(error.to_owned()),
        })
        .unwrap()
    }

    fn record(target: &[u8]) -> AccessRecord<'_> {
        AccessRecord {
            remote: "127.0.0.1",
            user: None,
            method: b"GET",
            target,
            version_minor: 1,
            status: 200,
            bytes: 13,
            referer: None,
            user_agent: None,
            duration: Duration::from_micros(1200),
            source: "app",
            when: SystemTime::now(),
            details: AccessDetails::default(),
        }
    }

    #[test]
    fn both_logs_are_complete_after_shutdown() {
        let scratch = Scratch::new();
        let (access, error) = (scratch.join("access"), scratch.join("error"));
        let logger = logger(&access, &error);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut buffer = LogBuffer::new(&logger);
                    for _ in 0..1000 {
                        buffer.access(&record(b"/path"));
                        buffer.flush();
                    }
                });
            }
        });
        logger.error(Level::Warn, "careful");
        logger.shutdown();
        logger.error(Level::Warn, "too late");
        logger.shutdown();
        let access = fs::read_to_string(access).unwrap();
        assert_eq!(access.lines().count(), 4000);
        assert!(
            access.lines().all(|line| line.ends_with("\"GET /path HTTP/1.1\" 200 13 \"-\" \"-\""))
        );
        let error = fs::read_to_string(error).unwrap();
        assert!(error.ends_with(" warn careful\n"), "{error}");
        assert_eq!(error.lines().count(), 1);
    }

    #[test]
    fn one_target_for_both_keeps_the_order() {
        let scratch = Scratch::new();
        let path = scratch.join("log");
        let logger = logger(&path, &path);
        let mut buffer = LogBuffer::new(&logger);
        for _ in 0..100 {
            buffer.access(&record(b"/path"));
            buffer.flush();
            logger.error(Level::Error, "after");
        }
        drop(buffer);
        drop(logger);
        let log = fs::read_to_string(path).unwrap();
        let lines: Vec<_> = log.lines().collect();
        assert_eq!(lines.len(), 200);
        assert!(
            lines.chunks(2).all(|pair| pair[0].contains("GET") && pair[1].ends_with("error after"))
        );
    }

    #[test]
    fn a_moved_log_is_continued_under_its_name() {
        let scratch = Scratch::new();
        let (path, moved) = (scratch.join("log"), scratch.join("log.1"));
        let logger = logger(&path, &path);
        logger.error(Level::Info, "one");
        while fs::read_to_string(&path).unwrap().is_empty() {
            std::thread::yield_now();
        }
        fs::rename(&path, &moved).unwrap();
        logger.reopen();
        logger.error(Level::Info, "two");
        logger.shutdown();
        assert!(fs::read_to_string(moved).unwrap().ends_with("one\n"));
        assert!(fs::read_to_string(path).unwrap().ends_with("two\n"));
    }

    #[test]
    fn a_target_that_cannot_be_opened_is_an_error_at_the_start() {
        let scratch = Scratch::new();
        let config = LogConfig {
            access: AccessFormat::Off,
            access_target: Target::Stdout,
            error: ErrorFormat::Json,
            level: Level::Info,
            error_target: Target::File(scratch.join("missing/log")),
        };
        assert!(Logger::new(config).is_err());
    }
}
