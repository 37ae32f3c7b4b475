//! The thread that writes both logs, and the bounded queues before it.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::ErrorFormat;
use super::error::{Level, Record};
use super::sink::{self, Progress, Sink};

/// Bytes that may wait for one target.
const QUEUE_LIMIT: usize = 4 * 1024 * 1024;

/// Access lines wait this long for company, unless there are [`BATCH`] bytes of them: a wake-up and a write for each turn
/// of an event loop would cost more than the lines. Errors do not wait, for the process may be about to end.
const BATCH_DELAY: Duration = Duration::from_millis(20);
const BATCH: usize = 64 * 1024;

/// How often a target that takes nothing is tried, and by how much the other one may be late meanwhile.
const BLOCKED_WAIT: Duration = Duration::from_millis(10);

/// A target that could not be written is as it should be when nothing has failed for so long: a disk that is almost full takes now and
/// then a line.
const CALM: Duration = Duration::from_secs(1);

/// How long the last lines may take.
const SHUTDOWN_LIMIT: Duration = Duration::from_millis(900);

/// What the writer thread shares with all who log.
pub(super) struct Shared {
    state: Mutex<State>,
    wake: Condvar,
    ended: Condvar,
}

struct State {
    /// The error log's.
    format: ErrorFormat,
    /// One for each sink, in the same order: the access log's, the error log's (one if both are the same), standard error's if it is
    /// neither.
    queues: Vec<Queue>,
    /// Which one is the error log's.
    error_sink: usize,
    phase: Phase,
    urgent: bool,
    reopen: bool,
    /// The moment to give up, once shutting down.
    stopping: Option<Instant>,
    ended: bool,
}

#[derive(Default)]
struct Queue {
    bytes: Vec<u8>,
    /// Bytes that the writer has taken and not yet written.
    in_flight: usize,
    dropped: u64,
    /// When the target could not be written last, until it is well again.
    failing: Option<Instant>,
    /// Nobody reads any more.
    closed: bool,
}

/// What the writer thread is doing, so that it is woken only when it has to be.
#[derive(PartialEq, Eq)]
enum Phase {
    Idle,
    Batching,
    Busy,
}

impl Shared {
    pub(super) fn new(sinks: usize, error_sink: usize, format: ErrorFormat) -> Shared {
        let queues = std::iter::repeat_with(Queue::default).take(sinks).collect();
        Shared {
            state: Mutex::new(State {
                format,
                queues,
                error_sink,
                phase: Phase::Busy,
                urgent: false,
                reopen: false,
                stopping: None,
                ended: false,
            }),
            wake: Condvar::new(),
            ended: Condvar::new(),
        }
    }

    /// Queues whole lines, all or none. The lock is never held for longer than a copy.
    pub(super) fn push(&self, sink: usize, bytes: &[u8], lines: u64, urgent: bool) {
        let mut state = self.lock();
        if state.stopping.is_some() {
            return;
        }
        let queue = &mut state.queues[sink];
        if queue.closed {
            return;
        }
        if queue.bytes.len() + queue.in_flight + bytes.len() > QUEUE_LIMIT {
            queue.dropped += lines;
            return;
        }
        queue.bytes.extend_from_slice(bytes);
        let is_batch = queue.bytes.len() >= BATCH;
        state.urgent |= urgent;
        let wake = match state.phase {
            Phase::Idle => true,
            Phase::Batching => urgent || is_batch,
            Phase::Busy => false,
        };
        if wake {
            state.phase = Phase::Busy;
            drop(state);
            self.wake.notify_one();
        }
    }

    pub(super) fn reopen(&self) {
        self.lock().reopen = true;
        self.wake.notify_one();
    }

    /// Has the writer finish and waits for it. False if it did not in time.
    pub(super) fn shutdown(&self) -> bool {
        let mut state = self.lock();
        state.stopping = Some(Instant::now() + SHUTDOWN_LIMIT);
        self.wake.notify_one();
        let limit = SHUTDOWN_LIMIT + 10 * BLOCKED_WAIT;
        let waited = self.ended.wait_timeout_while(state, limit, |state| !state.ended);
        waited.unwrap_or_else(PoisonError::into_inner).0.ended
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics halfway through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_for_work<'a>(&self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let mut batch_end = None;
        loop {
            let waiting: usize = state.queues.iter().map(|queue| queue.bytes.len()).sum();
            if state.stopping.is_some() || state.reopen || state.urgent || waiting >= BATCH {
                return state;
            }
            if waiting == 0 {
                state.phase = Phase::Idle;
                state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let end = *batch_end.get_or_insert_with(|| Instant::now() + BATCH_DELAY);
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return state;
            }
            state.phase = Phase::Batching;
            state = self.wake.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Starts the writer thread with all signals blocked: Node's threads handle them.
pub(super) fn spawn(shared: Arc<Shared>, sinks: Vec<Sink>) -> io::Result<JoinHandle<()>> {
    // A thread begins with the mask of the one that starts it, so there is no moment without.
    let before = SignalMask::block_all();
    let thread = std::thread::Builder::new()
        .name("gwanmun-log".to_owned())
        .stack_size(128 * 1024)
        .spawn(move || run(&shared, sinks));
    before.restore();
    thread
}

fn run(shared: &Shared, mut sinks: Vec<Sink>) {
    let mut is_blocked = false;
    loop {
        let mut state = shared.lock();
        if !is_blocked {
            state = shared.wait_for_work(state);
        }
        state.phase = Phase::Busy;
        state.urgent = false;
        let reopen = std::mem::take(&mut state.reopen);
        for (queue, sink) in state.queues.iter_mut().zip(&mut sinks) {
            if let Some(taken) = sink.take(&mut queue.bytes) {
                queue.in_flight = taken;
            }
        }
        drop(state);

        let failures: Vec<String> = match reopen {
            true => sinks.iter_mut().filter_map(|sink| sink.reopen().err()).collect(),
            false => Vec::new(),
        };
        let progress: Vec<Progress> = sinks.iter_mut().map(Sink::write).collect();

        let mut state = shared.lock();
        for failure in failures {
            state.note(Level::Warn, &failure);
        }
        is_blocked = state.settle(&progress, &sinks);
        let is_finished = match state.stopping {
            Some(_) if !is_blocked => state.queues.iter().all(|queue| queue.bytes.is_empty()),
            Some(deadline) => Instant::now() >= deadline,
            None => false,
        };
        if is_finished {
            state.ended = true;
            drop(state);
            shared.ended.notify_all();
            return;
        }
        drop(state);
        if is_blocked {
            sink::wait_writable(&sinks, BLOCKED_WAIT);
        }
    }
}

impl State {
    /// Books what was written. True if some sink has more to write and cannot now.
    fn settle(&mut self, progress: &[Progress], sinks: &[Sink]) -> bool {
        let mut is_blocked = false;
        let mut notices = Vec::new();
        for (number, (queue, progress)) in self.queues.iter_mut().zip(progress).enumerate() {
            let log = match number {
                _ if number > self.error_sink => None,
                _ if self.error_sink == 0 => Some("log"),
                0 => Some("access log"),
                _ => Some("error log"),
            };
            match progress {
                Progress::Blocked => {
                    is_blocked = true;
                    continue;
                }
                Progress::Done => {
                    let had_work = std::mem::take(&mut queue.in_flight) > 0;
                    let is_calm = queue.failing.is_none_or(|last| last.elapsed() >= CALM);
                    if had_work && is_calm && (queue.dropped > 0 || queue.failing.is_some()) {
                        let lines = match std::mem::take(&mut queue.dropped) {
                            1 => "1 line was".to_owned(),
                            count => format!("{count} lines were"),
                        };
                        let is_over = queue.failing.take().is_some();
                        let text = match is_over {
                            true => format!("can be written again; {lines} lost"),
                            false => {
                                format!("{lines} dropped, as they could not be written in time")
                            }
                        };
                        notices.push((number, Level::Warn, is_over, log, text));
                    }
                }
                Progress::Lost(lines, error) => {
                    queue.in_flight = 0;
                    queue.dropped += lines;
                    if queue.failing.replace(Instant::now()).is_none() {
                        let text =
                            format!("cannot be written: {error}; lines are lost until it can");
                        notices.push((number, Level::Error, false, log, text));
                    }
                }
                Progress::Closed => {
                    queue.closed = true;
                    queue.bytes = Vec::new();
                    queue.in_flight = 0;
                }
            }
            queue.closed = sinks[number].is_closed();
        }
        for (number, level, is_over, log, text) in notices {
            // What is said beside the logs about themselves is not told of any more.
            let Some(log) = log else { continue };
            let text = format!("{log}: {text}");
            self.note(level, &text);
            // Whoever was told on standard error that it fails is told there that it does not.
            if is_over && number == self.error_sink {
                self.note_beside(level, &text);
            }
        }
        is_blocked
    }

    /// A line of the logs' own: in the error log, or beside it while that cannot be written.
    fn note(&mut self, level: Level, text: &str) {
        if self.queues.get(self.error_sink).is_some_and(|queue| queue.failing.is_some()) {
            self.note_beside(level, text);
        } else {
            self.note_in(self.error_sink, level, text);
        }
    }

    /// Such a line on standard error, if that is not where the logs go.
    fn note_beside(&mut self, level: Level, text: &str) {
        self.note_in(self.error_sink + 1, level, text);
    }

    /// They are short and rare, and so may exceed the limit.
    fn note_in(&mut self, sink: usize, level: Level, text: &str) {
        if let Some(queue) = self.queues.get_mut(sink)
            && !queue.closed
        {
            let record = Record { level, event: "log", text, ..Record::default() };
            self.format.write(&mut queue.bytes, &record);
            self.urgent = true;
        }
    }
}

/// A thread's signal mask as it was.
struct SignalMask(libc::sigset_t);

impl SignalMask {
    fn block_all() -> SignalMask {
        // SAFETY: a signal set is plain data, for which zero is a value; both sets are initialised by the calls that
        // are given them, and outlive these.
        unsafe {
            let mut all: libc::sigset_t = std::mem::zeroed();
            let mut before: libc::sigset_t = std::mem::zeroed();
            libc::sigfillset(&raw mut all);
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
            SignalMask(before)
        }
    }

    fn restore(self) {
        // SAFETY: the set was filled by `pthread_sigmask`; no old set is asked for.
        unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, std::ptr::null_mut())
        };
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, PipeReader, Read};
    use std::os::fd::{AsRawFd, OwnedFd};
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::super::{AccessFormat, Logger, Target};
    use super::*;

    /// Divides the queue and a pipe's piece evenly.
    const LINE: &[u8; 64] = b"0123456789012345678901234567890123456789012345678901234567890..\n";

    /// A logger whose access log is a pipe, and what was sent to its error log.
    fn piped(is_nonblocking: bool) -> (Logger, PipeReader, PipeReader) {
        let (access_reader, access) = io::pipe().unwrap();
        let (error_reader, error) = io::pipe().unwrap();
        if is_nonblocking {
            // SAFETY: takes no pointers.
            unsafe { libc::fcntl(access.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
        }
        let sinks = vec![Sink::from(OwnedFd::from(access)), Sink::from(OwnedFd::from(error))];
        let format = ErrorFormat::Text { timed_output: true };
        let logger =
            Logger::start(AccessFormat::Combined, format, Level::Info, sinks, None).unwrap();
        (logger, access_reader, error_reader)
    }

    // H63
    #[test]
    fn lines_that_nobody_takes_are_dropped_counted_and_told() {
        for is_nonblocking in [false, true] {
            let (logger, mut access, mut error) = piped(is_nonblocking);
            let total = 3 * QUEUE_LIMIT / LINE.len();
            for _ in 0..total {
                logger.0.shared.push(0, LINE, 1, false);
            }
            // The error log goes on while the access log is stuck.
            logger.error(Level::Info, "still here");
            let mut first = [0; 60];
            let count = error.read(&mut first).unwrap();
            assert!(first[..count].ends_with(b"info still here\n"));

            let reader = std::thread::spawn(move || {
                let mut log = Vec::new();
                access.read_to_end(&mut log).unwrap();
                log
            });
            // Wait for the notice before stopping.
            let mut notice = [0; 200];
            let count = error.read(&mut notice).unwrap();
            let notice = str::from_utf8(&notice[..count]).unwrap();
            let (_, notice) = notice.split_once("access log: ").unwrap();
            let dropped: usize = notice.split(' ').next().unwrap().parse().unwrap();
            logger.shutdown();
            let log = reader.join().unwrap();
            assert!(log.chunks(LINE.len()).all(|line| line == LINE));
            assert_eq!(log.len() / LINE.len() + dropped, total);
            assert!(log.len() <= QUEUE_LIMIT + 2 * 1024 * 1024);
        }
    }

    #[test]
    fn a_closed_pipe_is_dropped_silently() {
        let (logger, access, mut error) = piped(false);
        drop(access);
        for _ in 0..1000 {
            logger.0.shared.push(0, LINE, 1, false);
            logger.error(Level::Info, "x");
        }
        logger.shutdown();
        assert!(logger.0.shared.lock().queues[0].closed);
        let mut log = String::new();
        error.read_to_string(&mut log).unwrap();
        assert_eq!(log.lines().count(), 1000);
        assert!(!log.contains("dropped"));
    }

    #[test]
    fn shutdown_does_not_wait_for_a_reader_that_is_stuck() {
        let (logger, _access, _error) = piped(false);
        for _ in 0..QUEUE_LIMIT / LINE.len() {
            logger.0.shared.push(0, LINE, 1, false);
        }
        let start = Instant::now();
        logger.shutdown();
        assert!(start.elapsed() < Duration::from_secs(2));
        assert!(logger.0.shared.lock().ended);
    }

    /// A file name that stands for a full disk, until [`Disk::get_room`].
    struct Disk(std::path::PathBuf);

    impl Disk {
        fn full() -> Disk {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let name = format!(
                "gwanmun-disk-{}-{}",
                std::process::id(),
                NEXT.fetch_add(1, Ordering::Relaxed)
            );
            let path = std::env::temp_dir().join(name);
            std::os::unix::fs::symlink("/dev/full", &path).unwrap();
            Disk(path)
        }

        fn sink(&self) -> Sink {
            Sink::open(Target::File(self.0.clone())).unwrap()
        }

        fn get_room(&self) {
            std::fs::remove_file(&self.0).unwrap();
        }
    }

    impl Drop for Disk {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    fn pipe() -> (BufReader<PipeReader>, Sink) {
        let (reader, writer) = io::pipe().unwrap();
        (BufReader::new(reader), Sink::from(OwnedFd::from(writer)))
    }

    fn next_line(reader: &mut BufReader<PipeReader>) -> String {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let (_, text) = line.trim_end().split_once(' ').unwrap();
        text.to_owned()
    }

    const TEXT: ErrorFormat = ErrorFormat::Text { timed_output: true };
    const FULL: &str =
        "cannot be written: No space left on device (os error 28); lines are lost until it can";

    // H63
    #[test]
    fn a_full_disk_costs_lines_and_is_told_at_once_and_when_it_is_over() {
        let disk = Disk::full();
        let (mut error, error_sink) = pipe();
        let sinks = vec![disk.sink(), error_sink];
        let logger = Logger::start(AccessFormat::Combined, TEXT, Level::Info, sinks, None).unwrap();
        logger.0.shared.push(0, LINE, 1, true);
        assert_eq!(next_line(&mut error), format!("error access log: {FULL}"));
        for _ in 0..9 {
            logger.0.shared.push(0, LINE, 1, true);
            // It goes on, and says it no second time.
            logger.error(Level::Info, "x");
            assert_eq!(next_line(&mut error), "info x");
        }
        while logger.0.shared.lock().queues[0].dropped < 10 {
            std::thread::yield_now();
        }
        disk.get_room();
        logger.reopen();
        // A line that is written ends it only once nothing has failed for a while.
        std::thread::sleep(CALM);
        logger.0.shared.push(0, LINE, 1, true);
        assert_eq!(
            next_line(&mut error),
            "warn access log: can be written again; 10 lines were lost"
        );
        logger.shutdown();
        assert_eq!(std::fs::read(&disk.0).unwrap(), LINE);
    }

    #[test]
    fn an_error_log_that_cannot_be_written_is_told_of_on_standard_error() {
        let disk = Disk::full();
        let (mut spare, spare_sink) = pipe();
        let (_access, access_sink) = pipe();
        let sinks = vec![access_sink, disk.sink()];
        let logger =
            Logger::start(AccessFormat::Combined, TEXT, Level::Info, sinks, Some(spare_sink))
                .unwrap();
        logger.error(Level::Info, "x");
        assert_eq!(next_line(&mut spare), format!("error error log: {FULL}"));
        disk.get_room();
        logger.reopen();
        std::thread::sleep(CALM);
        logger.error(Level::Info, "y");
        assert_eq!(next_line(&mut spare), "warn error log: can be written again; 1 line was lost");
        logger.shutdown();
        let log = std::fs::read_to_string(&disk.0).unwrap();
        let texts: Vec<_> = log.lines().map(|line| line.split_once(' ').unwrap().1).collect();
        assert_eq!(texts, ["info y", "warn error log: can be written again; 1 line was lost"]);
    }

    #[test]
    fn of_two_logs_on_a_full_disk_both_are_told_of_on_standard_error() {
        let disks = [Disk::full(), Disk::full()];
        let (mut spare, spare_sink) = pipe();
        let sinks = disks.iter().map(Disk::sink).collect();
        let logger =
            Logger::start(AccessFormat::Combined, TEXT, Level::Info, sinks, Some(spare_sink))
                .unwrap();
        logger.error(Level::Info, "x");
        assert_eq!(next_line(&mut spare), format!("error error log: {FULL}"));
        logger.0.shared.push(0, LINE, 1, true);
        assert_eq!(next_line(&mut spare), format!("error access log: {FULL}"));
        logger.shutdown();
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_thread_takes_no_signals() {
        let (logger, _access, mut error) = piped(false);
        logger.error(Level::Info, "x");
        let _ = error.read(&mut [0; 100]).unwrap(); // The thread runs.
        let mut seen = 0;
        for task in std::fs::read_dir("/proc/self/task").unwrap() {
            // Threads of other tests may end meanwhile.
            let Ok(status) = std::fs::read_to_string(task.unwrap().path().join("status")) else {
                continue;
            };
            if status.starts_with("Name:\tgwanmun-log\n") {
                let line = status.lines().find(|line| line.starts_with("SigBlk:")).unwrap();
                let mask = u64::from_str_radix(line["SigBlk:".len()..].trim(), 16).unwrap();
                for signal in
                    [libc::SIGTERM, libc::SIGINT, libc::SIGCHLD, libc::SIGHUP, libc::SIGPIPE]
                {
                    assert_ne!(mask & 1 << (signal - 1), 0, "signal {signal}");
                }
                seen += 1;
            }
        }
        assert!(seen > 0);
    }
}
