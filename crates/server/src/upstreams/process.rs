//! A program that is started for one request, with a thread of its own that starts it and waits for its end.

use crate::spool::SpooledBody;
use gwanmun_sys::process::{
    Command, Exit, Limits, memory_file, pipe, reap, set_nonblocking, signal_group, wait,
};
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

/// What a program has on its standard input, as a file: so it never waits for us, nor we for it (C50).
#[derive(Debug)]
pub(crate) enum Input {
    Nothing,
    Bytes(Vec<u8>),
    File(Box<SpooledBody>),
}

/// A program as it is to be started.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Absolute.
    pub(crate) program: PathBuf,
    pub(crate) environment: Vec<CString>,
    pub(crate) input: Input,
    pub(crate) limits: Limits,
}

/// A program that runs.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) process: Process,
    pub(crate) output: OwnedFd,
    pub(crate) errors: OwnedFd,
}

/// A process with its group. When this is dropped, all of it ends.
#[derive(Debug)]
pub(crate) struct Process {
    pid: i32,
    /// While the thread has the other end and reads none, the process is not reaped, and its number nobody else's.
    _end: Sender<()>,
}

impl Process {
    /// Asks it to end.
    pub(crate) fn terminate(&self) {
        signal_group(self.pid, libc::SIGTERM);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        signal_group(self.pid, libc::SIGKILL);
    }
}

/// Why a program could not be started.
#[derive(Debug)]
pub(crate) struct StartError {
    pub(crate) error: io::Error,
    /// What is to be done about it.
    pub(crate) hint: String,
}

/// How often a file that is still being written is tried again (C55).
const BUSY: u32 = 3;
const BUSY_PAUSE: Duration = Duration::from_millis(10);
/// A thread that waits needs no more.
const STACK: usize = 256 * 1024;

/// Starts a program. `started` is called with what came of that, and `exited` with its end, on another thread.
///
/// # Errors
/// There can be no thread.
pub(crate) fn start(
    plan: Plan,
    started: impl FnOnce(Result<Started, StartError>) + Send + 'static,
    exited: impl FnOnce(Exit) + Send + 'static,
) -> io::Result<()> {
    let builder = std::thread::Builder::new().name("gwanmun-cgi".to_owned()).stack_size(STACK);
    builder.spawn(move || {
        let program = plan.program.clone();
        match launch(plan) {
            Err(error) => {
                let hint = explain(&program, &error);
                started(Err(StartError { error, hint }));
            }
            Ok((pid, output, errors)) => {
                let (sender, dropped) = channel::<()>();
                let process = Process { pid, _end: sender };
                started(Ok(Started { process, output, errors }));
                if let Ok(exit) = wait(pid) {
                    exited(exit);
                }
                // Nothing is ever sent: this is the end of `Process`.
                let _ = dropped.recv();
                signal_group(pid, libc::SIGKILL);
                reap(pid);
            }
        }
    })?;
    Ok(())
}

fn launch(plan: Plan) -> io::Result<(i32, OwnedFd, OwnedFd)> {
    let Plan { program, environment, input, limits } = plan;
    let held;
    let own: OwnedFd;
    let stdin = match input {
        Input::Nothing => {
            own = File::open("/dev/null")?.into();
            own.as_fd()
        }
        Input::Bytes(bytes) => {
            own = memory_file(&bytes)?;
            own.as_fd()
        }
        Input::File(body) => {
            held = body;
            held.file.as_fd()
        }
    };
    let ([output, stdout], [errors, stderr]) = (pipe()?, pipe()?);
    set_nonblocking(output.as_fd())?;
    set_nonblocking(errors.as_fd())?;
    let directory = program.parent().unwrap_or(Path::new("/")).to_owned();
    let text = |path: PathBuf| CString::new(path.into_os_string().into_vec());
    let program = text(program)?;
    let command = Command {
        arguments: vec![program.clone()],
        program,
        environment,
        directory: text(directory)?,
        streams: [stdin, stdout.as_fd(), stderr.as_fd()],
        limits,
    };
    let mut tries = 0;
    let pid = loop {
        match command.start() {
            Err(error) if error.raw_os_error() == Some(libc::ETXTBSY) && tries < BUSY => {
                tries += 1;
                std::thread::sleep(BUSY_PAUSE);
            }
            other => break other?,
        }
    };
    Ok((pid, output, errors))
}

/// What is wrong with a file that could not be started. BLOCKING.
fn explain(program: &Path, error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EACCES) => {
            "; the file, or the program that its first line names, may not be executed by this server's user: chmod +x".to_owned()
        }
        Some(libc::ENOEXEC) => {
            "; it is neither a program for this machine, nor does its first line name one, such as #!/usr/bin/perl".to_owned()
        }
        Some(libc::ENOENT) => {
            let mut first = Vec::new();
            let read = File::open(program).and_then(|file| file.take(256).read_to_end(&mut first));
            let line = first.split(|&byte| byte == b'\n').next().unwrap_or_default();
            match line.strip_prefix(b"#!") {
                Some(line) if read.is_ok() => {
                    if let Some(line) = line.strip_suffix(b"\r") {
                        let name = line.trim_ascii().escape_ascii();
                        return format!("; its first line, #!{name}, ends in CR LF, which is taken for a part of the name: save it with LF alone");
                    }
                    let name = line.trim_ascii().escape_ascii();
                    format!("; there is no program {name}, which its first line names")
                }
                _ => String::new(),
            }
        }
        _ => String::new(),
    }
}
