//! FastCGI programs that the server starts itself: so many processes, which accept connections from one socket (F57).
//!
//! They are started when the first request wants them: by then the server is whoever it is to be. Each has a thread, which starts it, waits for its end,
//! and starts it again. When the thread ends, so does the process.

use crate::config::Spawn;
use gwanmun_sys::process::{Command, Exit, Limits, reap, signal_group, wait};
use std::ffi::{CStr, CString};
use std::fs::{DirBuilder, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// One that ends too soon is started again after so long, then after twice as long, up to the most (F62).
const PAUSE: Duration = Duration::from_millis(100);
const MOST_PAUSE: Duration = Duration::from_secs(10);
/// So long one has to end when it was asked to.
const GRACE: Duration = Duration::from_secs(3);
const STACK: usize = 256 * 1024;

/// The processes. When this is dropped, they end.
#[derive(Debug)]
pub(crate) struct Children {
    shared: Arc<Inner>,
    is_started: Mutex<bool>,
}

#[derive(Debug)]
struct Inner {
    spawn: Spawn,
    /// Of the socket, in a folder of its own.
    path: PathBuf,
    state: Mutex<State>,
    stops: Condvar,
}

#[derive(Debug, Default)]
struct State {
    is_stopping: bool,
    /// Those that have not been reaped.
    pids: Vec<i32>,
}

impl Children {
    pub(crate) fn new(spawn: Spawn, path: PathBuf) -> Self {
        let (state, stops) = (Mutex::default(), Condvar::new());
        let shared = Arc::new(Inner { spawn, path, state, stops });
        Self { shared, is_started: Mutex::new(false) }
    }

    /// Whether they have been started.
    pub(crate) fn are_started(&self) -> bool {
        *self.is_started.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts them, once. BLOCKING.
    ///
    /// # Errors
    /// There can be no socket, or the program is none.
    pub(crate) fn start(&self) -> io::Result<()> {
        let mut is_started = self.is_started.lock().unwrap_or_else(PoisonError::into_inner);
        if *is_started {
            return Ok(());
        }
        if let Some(folder) = self.shared.path.parent() {
            // Nobody else may connect, nor put another socket into its place.
            DirBuilder::new().mode(0o700).create(folder)?;
        }
        let listener: Arc<OwnedFd> = Arc::new(UnixListener::bind(&self.shared.path)?.into());
        let (sender, first) = channel();
        for _ in 0..self.shared.spawn.children.max(1) {
            let (shared, listener) = (Arc::clone(&self.shared), Arc::clone(&listener));
            let sender = sender.clone();
            std::thread::Builder::new()
                .name("gwanmun-child".to_owned())
                .stack_size(STACK)
                .spawn(move || shared.keep_one(listener.as_fd(), &sender))?;
        }
        // Whichever is first: they are all the same.
        first.recv().unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()))?;
        *is_started = true;
        Ok(())
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.is_stopping = true;
        for &pid in &state.pids {
            signal_group(pid, libc::SIGTERM);
        }
        let is_empty = state.pids.is_empty();
        drop(state);
        self.shared.stops.notify_all();
        self.shared.remove_socket();
        let shared = Arc::clone(&self.shared);
        if !is_empty {
            // Without a thread they have to be ended now.
            let killing = std::thread::Builder::new().stack_size(STACK).spawn(move || {
                std::thread::sleep(GRACE);
                shared.kill();
            });
            if killing.is_err() {
                self.shared.kill();
            }
        }
    }
}

impl Inner {
    /// Keeps one process running until they are to stop. `first`: is told what came of the first start.
    fn keep_one(&self, listener: BorrowedFd<'_>, first: &Sender<io::Result<()>>) {
        let mut pause = PAUSE;
        let mut first = Some(first);
        loop {
            let begun = Instant::now();
            let mut state = self.lock();
            if state.is_stopping {
                return;
            }
            let started = self.command(listener);
            if let Ok(pid) = started {
                state.pids.push(pid);
            }
            drop(state);
            let is_failed = started.is_err();
            if let Some(first) = first.take() {
                // Who has asked may have had an answer of another one's.
                let _ = first.send(started.as_ref().map(|_| ()).map_err(|error| {
                    io::Error::new(error.kind(), format!("it could not be started: {error}"))
                }));
                if is_failed {
                    return;
                }
            }
            let mut exit = Exit::Code(-1);
            if let Ok(pid) = started {
                if let Ok(own) = wait(pid) {
                    exit = own;
                }
                let mut state = self.lock();
                // Its number is its own until here.
                state.pids.retain(|other| *other != pid);
                signal_group(pid, libc::SIGKILL);
                reap(pid);
            }
            // One that has had its number of requests ends well.
            if exit == Exit::Code(0) || begun.elapsed() >= MOST_PAUSE {
                pause = PAUSE;
            }
            if exit != Exit::Code(0) {
                let state = self.lock();
                let waited = self.stops.wait_timeout_while(state, pause, |own| !own.is_stopping);
                drop(waited);
                pause = (pause * 2).min(MOST_PAUSE);
            }
        }
    }

    fn command(&self, listener: BorrowedFd<'_>) -> io::Result<i32> {
        let text = |bytes: &[u8]| CString::new(bytes);
        let program = text(self.spawn.program.as_os_str().as_bytes())?;
        let nothing = File::options().read(true).write(true).open("/dev/null")?;
        // Beyond the three that the process gets: its errors are this process's.
        let errors = io::stderr().as_fd().try_clone_to_owned()?;
        let environment: Result<Vec<CString>, _> = self
            .spawn
            .env
            .iter()
            .map(|(name, value)| text(format!("{name}={value}").as_bytes()))
            .collect();
        const ROOT: &CStr = c"/";
        Command {
            arguments: vec![program.clone()],
            program,
            environment: environment?,
            directory: ROOT.to_owned(),
            streams: [listener, nothing.as_fd(), errors.as_fd()],
            limits: Limits::default(),
        }
        .start()
    }

    fn kill(&self) {
        for &pid in &self.lock().pids {
            signal_group(pid, libc::SIGKILL);
        }
    }

    fn remove_socket(&self) {
        // Nothing is lost if they stay: they are in the folder for temporary files.
        let _ = std::fs::remove_file(&self.path);
        let _ = std::fs::remove_dir(self.path.parent().unwrap_or(Path::new("/")));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
