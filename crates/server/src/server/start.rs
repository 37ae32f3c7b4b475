//! What a server starts with: its listeners, its logs, its threads.

use super::Bound;
use crate::config::{AccessFormat, Config, ErrorFormat, Listen};
use crate::error::{Error, ErrorKind};
use crate::listener::{Inherited, Listener, Sockets};
use crate::shared::{Event, Shared, lock};
use crate::thread::Thread;
use gwanmun_log::{self as log, LogConfig, Logger, Target};
use gwanmun_reactor::arena::Generations;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long a thread that could not begin anew waits until it tries again.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Starts an I/O thread, which says once whether it has what it needs.
pub(super) fn spawn(
    index: usize,
    shared: Arc<Shared>,
    sockets: Sockets,
    started: mpsc::Sender<std::io::Result<()>>,
) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(format!("gwanmun-io-{index}")).spawn(move || {
        gwanmun_sys::block_signals();
        let sockets = Rc::new(RefCell::new(sockets));
        let generations = Generations::default();
        for life in 0.. {
            let thread = match prepare(index, &generations, &shared, &sockets) {
                Ok(thread) => thread,
                Err(error) if life == 0 => {
                    // Nobody waits any more if another thread has failed before.
                    let _ = started.send(Err(error));
                    break;
                }
                Err(_) if shared.closing.load(Ordering::Acquire) => break,
                Err(_) => {
                    std::thread::sleep(AGAIN_AFTER);
                    continue;
                }
            };
            if life == 0 {
                let _ = started.send(Ok(()));
            }
            match catch_unwind(AssertUnwindSafe(|| thread.run())) {
                Ok(Ok(())) => break,
                Ok(Err(error)) => {
                    shared
                        .logger
                        .error(log::Level::Error, &format!("I/O thread {index} failed: {error}."));
                    break;
                }
                Err(panic) => {
                    shared.after_panic(index, &*panic);
                    if shared.closing.load(Ordering::Acquire) {
                        break;
                    }
                }
            }
        }
        if shared.running.fetch_sub(1, Ordering::AcqRel) == 1 {
            (shared.on_event)(Event::Closed);
        }
    })
}

/// One life of an I/O thread.
fn prepare(
    index: usize,
    generations: &Generations,
    shared: &Arc<Shared>,
    sockets: &Rc<RefCell<Sockets>>,
) -> std::io::Result<Thread> {
    let generation = Arc::clone(&lock(&shared.generation));
    Thread::new(index, generations, Arc::clone(shared), generation, Rc::clone(sockets))
}

/// Binds what `listen` asks for, and takes over what is bound already: by what was written, for a port 0 is to stay the one that it became, or by
/// what it stands for.
pub(super) fn bind(
    wanted: &[Listen],
    bound: &[(Listen, Vec<Arc<Listener>>)],
    threads: usize,
    inherited: &mut Inherited,
) -> Result<Bound, Error> {
    let mut listeners: Bound = Vec::new();
    for (index, listen) in wanted.iter().enumerate() {
        let is_free = |own: &&Arc<Listener>| {
            !listeners.iter().flat_map(|(_, taken)| taken).any(|taken| Arc::ptr_eq(own, taken))
        };
        let same = bound
            .iter()
            .find(|(other, own)| other.same_address(listen) && own.iter().all(|own| is_free(&own)));
        let own = match same {
            Some((_, own)) => own.clone(),
            None => {
                let kept: Vec<_> =
                    bound.iter().flat_map(|(_, own)| own).filter(is_free).cloned().collect();
                Listener::bind(listen, threads, inherited, &kept)
                    .map_err(|error| error.at(format!("listen[{index}]")))?
            }
        };
        listeners.push((listen.clone(), own));
    }
    Ok(listeners)
}

pub(super) fn open_log(config: &Config) -> Result<Logger, Error> {
    let target =
        |file: &Option<std::path::PathBuf>, other| file.clone().map_or(other, Target::File);
    let access_target = target(&config.access_log.file, Target::Stdout);
    let error_target = target(&config.error_log.file, Target::Stderr);
    for (part, target) in [("accessLog.file", &access_target), ("errorLog.file", &error_target)] {
        log::check(target).map_err(|error| {
            let what = match target {
                Target::File(path) => format!("The log {} can't be written", path.display()),
                _ => "The log can't be written".to_owned(),
            };
            Error::io(ErrorKind::Log, &what, &error).at(part)
        })?;
    }
    let color = config.access_log.color;
    Logger::new(LogConfig {
        access: match config.access_log.format {
            AccessFormat::Combined => log::AccessFormat::Combined,
            AccessFormat::Short => log::AccessFormat::Short { color },
            AccessFormat::Json => log::AccessFormat::Json,
            AccessFormat::Off => log::AccessFormat::Off,
        },
        access_target,
        error: match config.error_log.format {
            ErrorFormat::Json => log::ErrorFormat::Json,
            ErrorFormat::Text => log::ErrorFormat::Text { timed_output: config.error_log.timed },
        },
        level: config.error_log.level,
        error_target,
    })
    .map_err(|error| match error.raw_os_error() {
        // Of the two things that it does, opening files and starting a thread, only this fails so.
        Some(libc::EAGAIN) => Error::thread("Can't start the log's thread", &error),
        _ => Error::io(ErrorKind::Log, "The log can't be written", &error),
    })
}
