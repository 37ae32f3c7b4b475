//! Work that may block, on threads of its own.
//!
//! A *lane* is the threads for what may hang together: a folder's files, the folder for temporary files, compressing. What hangs in one
//! lane holds up that lane alone. Threads start when there is work for them, and end when there has been none for a while; that the system
//! gives none is an error of the work, like any other. A thread that hangs is counted and never waited for.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::File;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak, mpsc};
use std::time::{Duration, Instant};

use slab::Slab;

/// Reads of one folder that go on at once.
const MOST_READING: usize = 32;
/// Look-ups and reads of one folder that wait for a thread.
const MOST_WAITING: usize = 4096;
/// Paths that are asked at once whether they answer.
const MOST_ASKED: usize = 32;
/// Request bodies that are written at once.
const MOST_WRITING: usize = 8;
/// Passwords that are looked at at once, and that wait for it (A40).
const MOST_HASHING: usize = 4;
const MOST_HASHED: usize = 64;
/// A thread that has had no work for so long ends.
const REST: Duration = Duration::from_secs(10);
/// Work that has taken so long hangs.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// How often the log is told that a lane does not answer.
const TELL_AGAIN: Duration = Duration::from_secs(10);

/// Threads for what may hang together.
#[derive(Debug)]
pub struct Lane {
    /// What an operator knows it by.
    name: String,
    most_threads: usize,
    most_waiting: usize,
    /// Its threads run when nobody else wants to.
    yields: bool,
    state: Mutex<State>,
    work: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Job>,
    threads: usize,
    /// When what is being done was begun.
    begun: Slab<Instant>,
    told: Option<Instant>,
}

/// Something to do, and whom to tell that it could not be done. One of the two is called, once.
pub struct Job {
    work: Option<Box<dyn FnOnce() + Send>>,
    failed: Option<Box<dyn FnOnce(io::Error) + Send>>,
    /// There is hardly more to do in its lane: its thread ends with it instead of waiting for that.
    is_only: bool,
}

impl std::fmt::Debug for Job {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Job")
    }
}

impl Lane {
    /// The lane of a folder's files. One for each folder, for as long as anyone uses it: a reload begins with what hangs there.
    pub fn of_folder(name: String) -> Arc<Self> {
        static LANES: Mutex<BTreeMap<String, Weak<Lane>>> = Mutex::new(BTreeMap::new());
        let mut lanes = lock(&LANES);
        if let Some(lane) = lanes.get(&name).and_then(Weak::upgrade) {
            return lane;
        }
        lanes.retain(|_, lane| lane.strong_count() > 0);
        let lane = Self::new(name.clone(), MOST_READING, MOST_WAITING);
        lanes.insert(name, Arc::downgrade(&lane));
        lane
    }

    /// The lane of a folder that request bodies are written to. They wait as long as their clients do, for each has one piece at the most.
    pub fn for_bodies(name: String) -> Arc<Self> {
        Self::new(name, MOST_WRITING, usize::MAX)
    }

    /// The lane of what needs a processor and nothing else.
    pub fn for_computing() -> Arc<Self> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self::new("compressing".to_owned(), threads, usize::MAX)
    }

    /// The lane of what takes passwords to pieces: everything else of the machine goes first, and one core is left to it.
    pub fn for_passwords() -> Arc<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = cores.saturating_sub(1).clamp(1, MOST_HASHING);
        let mut lane = Self::plain("checking passwords".to_owned(), threads, MOST_HASHED);
        lane.yields = true;
        Arc::new(lane)
    }

    fn new(name: String, most_threads: usize, most_waiting: usize) -> Arc<Self> {
        Arc::new(Self::plain(name, most_threads, most_waiting))
    }

    fn plain(name: String, most_threads: usize, most_waiting: usize) -> Self {
        let state = Mutex::default();
        Self { name, most_threads, most_waiting, yields: false, state, work: Condvar::new() }
    }

    /// Has a thread of the lane do `work`. `failed` is called instead, here or there, if that can't be done or panics. Never blocks.
    pub fn run(
        self: &Arc<Self>,
        work: impl FnOnce() + Send + 'static,
        failed: impl FnOnce(io::Error) + Send + 'static,
    ) {
        let (work, failed) = (Some(Box::new(work) as _), Some(Box::new(failed) as _));
        self.start(Job { work, failed, is_only: false });
    }

    /// Closes a file, which on some file systems waits for another machine. Never blocks.
    pub fn close(self: &Arc<Self>, file: File) {
        let work = Some(Box::new(move || drop(file)) as _);
        let job = Job { work, failed: None, is_only: false };
        if let Err((_, job)) = self.add(job) {
            // The lane's next thread does it.
            lock(&self.state).waiting.push_back(job);
        }
    }

    /// An error that says that the lane does not answer.
    pub fn hangs(&self) -> io::Error {
        let text = format!(
            "{} has not answered for {} s. Check its disk, or the server that the disk is on",
            self.name,
            PATIENCE.as_secs()
        );
        io::Error::new(io::ErrorKind::TimedOut, text)
    }

    /// Whether the log has not been told of this lane's trouble a moment ago.
    pub fn may_tell(&self) -> bool {
        let mut state = lock(&self.state);
        let is_due = state.told.is_none_or(|told| told.elapsed() >= TELL_AGAIN);
        if is_due {
            state.told = Some(Instant::now());
        }
        is_due
    }

    fn start(self: &Arc<Self>, job: Job) {
        if let Err((error, job)) = self.add(job) {
            job.fail(error);
        }
    }

    fn add(self: &Arc<Self>, job: Job) -> Result<(), (io::Error, Job)> {
        let mut state = lock(&self.state);
        let free = state.threads - state.begun.len();
        if free > state.waiting.len() {
            state.waiting.push_back(job);
            self.work.notify_one();
            return Ok(());
        }
        if state.threads < self.most_threads {
            let lane = Arc::clone(self);
            let builder = std::thread::Builder::new().name("gwanmun-blocking".to_owned());
            match builder.spawn(move || lane.work()) {
                Ok(_) => {
                    state.threads += 1;
                    state.waiting.push_back(job);
                    return Ok(());
                }
                Err(error) if state.threads == 0 => return Err((no_thread(&error), job)),
                // Those that there are will do it.
                Err(_) => {}
            }
        }
        if state.hangs() {
            return Err((self.hangs(), job));
        }
        if state.waiting.len() - free >= self.most_waiting {
            let text =
                format!("{} is behind: {} requests wait for it", self.name, self.most_waiting);
            return Err((io::Error::new(io::ErrorKind::TimedOut, text), job));
        }
        state.waiting.push_back(job);
        Ok(())
    }

    /// A thread of the lane.
    fn work(&self) {
        gwanmun_sys::block_signals();
        if self.yields {
            gwanmun_sys::syscall::yield_to_all();
        }
        let mut state = lock(&self.state);
        loop {
            if let Some(job) = state.waiting.pop_front() {
                let slot = state.begun.insert(Instant::now());
                drop(state);
                let is_only = job.is_only;
                job.run();
                state = lock(&self.state);
                state.begun.remove(slot);
                if is_only && state.waiting.is_empty() {
                    state.threads -= 1;
                    return;
                }
                continue;
            }
            let waited = self.work.wait_timeout(state, REST);
            let (again, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            state = again;
            if timeout.timed_out() && state.waiting.is_empty() {
                state.threads -= 1;
                return;
            }
        }
    }
}

impl State {
    /// Whether every thread has been at its work for too long.
    fn hangs(&self) -> bool {
        self.begun.len() == self.threads
            && self.begun.iter().all(|(_, begun)| begun.elapsed() >= PATIENCE)
    }
}

impl Job {
    fn run(mut self) {
        let Some(work) = self.work.take() else { return };
        if let Err(panic) = catch_unwind(AssertUnwindSafe(work)) {
            self.fail(io::Error::other(format!("it panicked: {}", text_of(&*panic))));
        } else {
            self.failed = None;
        }
    }

    fn fail(mut self, error: io::Error) {
        if let Some(failed) = self.failed.take() {
            // What it tells is told to a mailbox; there is nobody to hear of a panic in that.
            let _ = catch_unwind(AssertUnwindSafe(|| failed(error)));
        }
    }
}

/// What `work` makes of a path, on a thread of the path's own. BLOCKING, but no longer than [`PATIENCE`].
///
/// # Errors
/// Those of `work`, that its file system does not answer, and that the system gives no thread.
pub fn patiently<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let (tell, hear) = mpsc::channel();
    let lane = ask(path, work, &tell);
    match hear.recv_timeout(PATIENCE) {
        Ok(answer) => answer.outcome.flatten(),
        Err(_) => Err(lane.hangs()),
    }
}

/// Whether each path's file system has kept silent for [`PATIENCE`] when it was asked what is there. Each path is asked once, a few of them at a time.
/// BLOCKING for as long as answers come. When one has not come, no other path is asked, and those that were not asked count as not silent.
#[must_use]
pub fn silent(paths: &[PathBuf]) -> Vec<bool> {
    // That there is nothing, and that it cannot be looked at, are answers, too.
    let silent = silent_among(paths, PATIENCE, |path| drop(std::fs::metadata(path)));
    paths.iter().map(|path| silent.contains(path)).collect()
}

fn silent_among(
    paths: &[PathBuf],
    patience: Duration,
    look: impl FnOnce(&Path) + Clone + Send + 'static,
) -> BTreeSet<PathBuf> {
    let mut waiting = paths.iter().cloned().collect::<BTreeSet<_>>().into_iter();
    let mut asked: BTreeMap<PathBuf, Instant> = BTreeMap::new();
    let mut silent = BTreeSet::new();
    let (tell, hear) = mpsc::channel();
    loop {
        while silent.is_empty()
            && asked.len() < MOST_ASKED
            && let Some(path) = waiting.next()
        {
            let (look, own) = (look.clone(), path.clone());
            asked.insert(path.clone(), Instant::now());
            ask(&path, move || look(&own), &tell);
        }
        let Some(first) = asked.values().min() else { return silent };
        match hear.recv_timeout((*first + patience).saturating_duration_since(Instant::now())) {
            Ok(Answer { path, outcome }) => {
                asked.remove(&path);
                // A thread that there is not says nothing of the path.
                if outcome.is_err_and(|error| error.kind() == io::ErrorKind::TimedOut) {
                    silent.insert(path);
                }
            }
            Err(_) => silent.extend(
                asked.extract_if(.., |_, begun| begun.elapsed() >= patience).map(|(path, _)| path),
            ),
        }
    }
}

/// What came of asking.
struct Answer<T> {
    path: PathBuf,
    /// An error: there was no asking, for want of a thread, or because the path hangs already.
    outcome: io::Result<T>,
}

/// Has a thread of the path's own lane do `work`, once, and tells what came of it. Whoever has stopped waiting does not hear of it any more.
fn ask<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> T + Send + 'static,
    tell: &mpsc::Sender<Answer<T>>,
) -> Arc<Lane> {
    let lane = Lane::of_folder(path.display().to_string());
    let answer = |tell: mpsc::Sender<Answer<T>>, path: PathBuf| {
        move |outcome| drop(tell.send(Answer { path, outcome }))
    };
    let done = answer(tell.clone(), path.to_owned());
    let failed = answer(tell.clone(), path.to_owned());
    lane.start(Job {
        work: Some(Box::new(move || done(Ok(work())))),
        failed: Some(Box::new(move |error| failed(Err(error)))),
        is_only: true,
    });
    lane
}

/// What a panic says.
pub fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}

fn no_thread(error: &io::Error) -> io::Error {
    let text = format!(
        "the system has no more threads ({error}). Raise the limit of processes and threads (ulimit -u, LimitNPROC= and TasksMax= of systemd, the pids limit of a container)"
    );
    io::Error::new(io::ErrorKind::ResourceBusy, text)
}

/// What is protected is consistent after every statement.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    /// Runs `work` and gives what came of it.
    fn outcome(
        lane: &Arc<Lane>,
        work: impl FnOnce() + Send + 'static,
    ) -> mpsc::Receiver<Result<(), io::Error>> {
        let (done, outcome) = mpsc::channel();
        let failed = done.clone();
        lane.run(
            move || {
                work();
                let _ = done.send(Ok(()));
            },
            move |error| drop(failed.send(Err(error))),
        );
        outcome
    }

    #[test]
    fn work_that_panics_is_told_of_and_stops_no_other() {
        let lane = Lane::new("a test".to_owned(), 1, usize::MAX);
        let panicked = outcome(&lane, || panic!("by the test"));
        let fine = outcome(&lane, || {});
        let error = panicked.recv().unwrap().unwrap_err();
        assert_eq!(error.to_string(), "it panicked: by the test");
        fine.recv().unwrap().unwrap();
    }

    #[test]
    fn what_hangs_in_one_lane_holds_up_no_other() {
        let (stuck, other) = (Lane::new("a".to_owned(), 2, 1), Lane::new("b".to_owned(), 2, 1));
        let (release, hung) = mpsc::channel::<()>();
        let hung = Arc::new(Mutex::new(hung));
        let hang = || {
            let hung = Arc::clone(&hung);
            outcome(&stuck, move || {
                let _ = lock(&hung).recv();
            })
        };
        let outcomes = [hang(), hang(), hang()];
        let refused = hang().recv().unwrap().unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::TimedOut, "one waits, and no more");
        outcome(&other, || {}).recv().unwrap().unwrap();
        drop(release);
        for outcome in outcomes {
            outcome.recv().unwrap().unwrap();
        }
    }

    /// Paths for one test: each has a lane of its own.
    fn paths(name: &str, count: usize) -> Vec<PathBuf> {
        (0..count).map(|index| PathBuf::from(format!("{name} {index:04}"))).collect()
    }

    #[test]
    fn each_path_is_asked_once_and_a_few_at_a_time() {
        let mut all = paths("asked", 4 * MOST_ASKED);
        all.append(&mut all.clone());
        let (inside, most, looks) =
            <(Arc<AtomicUsize>, Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
        let (most_seen, all_looks) = (Arc::clone(&most), Arc::clone(&looks));
        let full = Arc::new(std::sync::Barrier::new(MOST_ASKED));
        let silent = silent_among(&all, PATIENCE, move |_| {
            looks.fetch_add(1, Relaxed);
            most.fetch_max(inside.fetch_add(1, Relaxed) + 1, Relaxed);
            full.wait();
            inside.fetch_sub(1, Relaxed);
        });
        assert!(silent.is_empty(), "{silent:?}");
        assert_eq!(all_looks.load(Relaxed), 4 * MOST_ASKED);
        assert_eq!(most_seen.load(Relaxed), MOST_ASKED);
    }

    #[test]
    fn a_path_that_does_not_answer_keeps_no_other_from_answering() {
        let (dead, mut all) = (paths("a dead one", 3), paths("a live one", 200));
        all.splice(0..0, dead.iter().cloned());
        let looks = Arc::new(AtomicUsize::new(0));
        let all_looks = Arc::clone(&looks);
        let silent = silent_among(&all, Duration::from_millis(500), move |path| {
            looks.fetch_add(1, Relaxed);
            while path.to_str().unwrap().starts_with("a dead") {
                std::thread::park();
            }
        });
        assert_eq!(silent, dead.into_iter().collect());
        assert_eq!(all_looks.load(Relaxed), all.len());
    }

    #[test]
    fn once_paths_do_not_answer_no_other_is_asked() {
        let all = paths("as dead", 10 * MOST_ASKED);
        let began = Instant::now();
        let silent = silent_among(&all, Duration::from_millis(100), |_| {
            loop {
                std::thread::park();
            }
        });
        assert!((1..=MOST_ASKED).contains(&silent.len()), "{}", silent.len());
        assert!(began.elapsed() < PATIENCE);
    }

    #[test]
    fn an_error_of_the_file_system_is_an_answer_and_a_lane_that_hangs_is_none() {
        let refused = || Err::<(), _>(io::Error::from(io::ErrorKind::TimedOut));
        let path = Path::new("a path that refuses");
        assert_eq!(patiently(path, refused).unwrap_err().kind(), io::ErrorKind::TimedOut);
        let silent = silent_among(&[path.to_owned()], PATIENCE, move |_| drop(refused()));
        assert!(silent.is_empty());
        // Every thread of its lane has hung for as long as one waits.
        let path = Path::new("a path that hangs");
        let lane = Lane::of_folder(path.display().to_string());
        let long_ago = Instant::now().checked_sub(PATIENCE).unwrap();
        {
            let mut state = lock(&lane.state);
            state.threads = MOST_READING;
            for _ in 0..MOST_READING {
                state.begun.insert(long_ago);
            }
        }
        let silent = silent_among(&[path.to_owned()], PATIENCE, |_| {});
        assert_eq!(silent, BTreeSet::from([path.to_owned()]));
    }

    #[test]
    fn the_thread_that_asked_one_path_ends_at_once() {
        let path = Path::new("asked one time");
        let lane = Lane::of_folder(path.display().to_string());
        patiently(path, || Ok(())).unwrap();
        let asked = Instant::now();
        while lock(&lane.state).threads > 0 {
            assert!(asked.elapsed() < REST / 2);
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_folder_has_one_lane_for_as_long_as_it_is_used() {
        let first = Lane::of_folder("the folder of the test".to_owned());
        assert!(Arc::ptr_eq(&first, &Lane::of_folder("the folder of the test".to_owned())));
        assert!(!Arc::ptr_eq(&first, &Lane::of_folder("another".to_owned())));
    }
}
