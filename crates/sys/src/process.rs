//! Starting other programs, whatever size this process has, with nothing of it but what is said (C60, C61, C70).

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

/// A program to start.
#[derive(Debug)]
pub struct Command<'a> {
    /// Its file, by an absolute path.
    pub program: CString,
    /// The first is its own name.
    pub arguments: Vec<CString>,
    /// `NAME=value`, and no others.
    pub environment: Vec<CString>,
    /// Where it runs.
    pub directory: CString,
    /// Standard input, output and error. It has no other descriptors.
    pub streams: [BorrowedFd<'a>; 3],
    pub limits: Limits,
}

/// What a program may have, by `setrlimit`. None: what this process may.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// Seconds of a processor.
    pub cpu: Option<u64>,
    /// Bytes of address space.
    pub memory: Option<u64>,
    /// Bytes of a file that it writes.
    pub file_size: Option<u64>,
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Code(i32),
    Signal(i32),
}

/// The stack that a child has until it is another program.
const STACK: usize = 64 * 1024;
/// The first descriptor that is none of the three streams.
const OTHERS: c_int = 3;

/// What a child needs, all of it made before there is one: it shares this process's memory, so it may not allocate.
struct Child<'a> {
    command: &'a Command<'a>,
    arguments: Vec<*const c_char>,
    environment: Vec<*const c_char>,
    limits: [Option<(c_int, libc::rlimit)>; 4],
    /// Written by the child: why it is no program.
    error: c_int,
}

impl Command<'_> {
    /// Starts the program, and gives the id of its process, which leads a process group of its own. It waits until the program has taken the place of its
    /// beginning, for a moment.
    ///
    /// The thread is to wait for the process: when the thread ends, the kernel kills it.
    ///
    /// # Errors
    /// There can be no process, or the file is no program that can be run.
    pub fn start(&self) -> io::Result<i32> {
        if self.streams.iter().any(|stream| stream.as_raw_fd() < OTHERS) {
            // One would be overwritten by another.
            return Err(io::Error::from_raw_os_error(libc::EBADF));
        }
        let pointers = |texts: &[CString]| {
            texts.iter().map(|text| text.as_ptr()).chain([ptr::null()]).collect::<Vec<_>>()
        };
        let limit = |resource, most: Option<u64>| {
            most.map(|most| (resource, libc::rlimit { rlim_cur: most, rlim_max: most }))
        };
        let mut child = Child {
            command: self,
            arguments: pointers(&self.arguments),
            environment: pointers(&self.environment),
            limits: [
                limit(libc::RLIMIT_CORE as c_int, Some(0)),
                limit(libc::RLIMIT_CPU as c_int, self.limits.cpu),
                limit(libc::RLIMIT_AS as c_int, self.limits.memory),
                limit(libc::RLIMIT_FSIZE as c_int, self.limits.file_size),
            ],
            error: 0,
        };
        let mut stack = vec![0u128; STACK / size_of::<u128>()];
        let mut all = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        let mut before = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        // No handler of this process may run in the child, which has its memory.
        // SAFETY: both sets are written before they are read.
        unsafe {
            libc::sigfillset(all.as_mut_ptr());
            libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
        }
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
        // SAFETY: the stack grows down from its end, which is aligned, and outlives the child's use of it, as `child` does: with CLONE_VFORK this thread
        // goes on only when the child is another program, or gone. What the child calls neither allocates nor locks.
        let pid = unsafe {
            let top = stack.as_mut_ptr().add(stack.len()).cast::<c_void>();
            libc::clone(begin, top, flags, (&raw mut child).cast())
        };
        let error = io::Error::last_os_error();
        // SAFETY: the set was written above.
        unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut());
        }
        if pid < 0 {
            return Err(error);
        }
        // SAFETY: the child writes it through a pointer that the compiler has lost sight of.
        let failed = unsafe { ptr::read_volatile(&raw const child.error) };
        if failed != 0 {
            reap(pid);
            return Err(io::Error::from_raw_os_error(failed));
        }
        Ok(pid)
    }
}

/// What the child does.
extern "C" fn begin(child: *mut c_void) -> c_int {
    // SAFETY: `start` passes a `Child`, which it leaves alone until this is over.
    let child = unsafe { &mut *child.cast::<Child<'_>>() };
    let error = prepare(child);
    // SAFETY: a field of what `start` reads next.
    unsafe { ptr::write_volatile(&raw mut child.error, error) };
    // SAFETY: it never returns, and runs nothing of this process's.
    unsafe { libc::_exit(127) }
}

/// Becomes the program. Gives the error if that can't be.
fn prepare(child: &Child<'_>) -> c_int {
    // SAFETY: no pointers; errno is this thread's, whose other user waits.
    let error = || unsafe { *libc::__errno_location() };
    // SAFETY: system calls alone, on what `start` has made: terminated arrays and texts. The table of handlers is the child's own.
    unsafe {
        // As the kernel has it: handler, flags, restorer, mask. The C library keeps some signals to itself.
        let default = [0u64; 4];
        for number in 1..=64 {
            // Ignored ones would stay ignored (C60). Two can't be set, nor have they been.
            libc::syscall(
                libc::SYS_rt_sigaction,
                number,
                default.as_ptr(),
                ptr::null::<c_void>(),
                8,
            );
        }
        if libc::setpgid(0, 0) != 0 {
            return error();
        }
        for (target, stream) in child.command.streams.iter().enumerate() {
            if libc::dup2(stream.as_raw_fd(), target as c_int) < 0 {
                return error();
            }
        }
        if libc::syscall(libc::SYS_close_range, OTHERS, c_int::MAX, 0) != 0 {
            // Before Linux 5.9.
            for other in OTHERS..65_536 {
                libc::close(other);
            }
        }
        if libc::chdir(child.command.directory.as_ptr()) != 0 {
            return error();
        }
        for (resource, limit) in child.limits.iter().flatten() {
            // Less than that may be what there is already.
            let _ = libc::syscall(
                libc::SYS_prlimit64,
                0,
                *resource,
                &raw const *limit,
                ptr::null::<c_void>(),
            );
        }
        if libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
            || libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0
        {
            return error();
        }
        let mut none = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigemptyset(none.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), ptr::null_mut());
        libc::execve(
            child.command.program.as_ptr(),
            child.arguments.as_ptr(),
            child.environment.as_ptr(),
        );
    }
    error()
}

/// Waits until a process of this one's has ended, and leaves it to be [reaped](reap): until then nobody else gets its id. BLOCKING.
///
/// # Errors
/// There is none, or somebody else has reaped it.
pub fn wait(pid: i32) -> io::Result<Exit> {
    loop {
        let mut info = std::mem::MaybeUninit::<libc::siginfo_t>::zeroed();
        let flags = libc::WEXITED | libc::WNOWAIT;
        // SAFETY: the struct is zeroed, and filled in when the call succeeds, by which its union is that of SIGCHLD.
        let (result, code, status) = unsafe {
            let result = libc::waitid(libc::P_PID, pid as libc::id_t, info.as_mut_ptr(), flags);
            let info = info.assume_init();
            (result, info.si_code, info.si_status())
        };
        if result == 0 {
            return Ok(match code {
                libc::CLD_EXITED => Exit::Code(status),
                _ => Exit::Signal(status),
            });
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Lets go of a process that has ended, or waits until it has. BLOCKING.
pub fn reap(pid: i32) {
    // SAFETY: the status may be null.
    while unsafe { libc::waitpid(pid, ptr::null_mut(), 0) } < 0
        && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted
    {}
}

/// Sends a signal to all of a process group. `leader`: a process that has not been reaped.
pub fn signal_group(leader: i32, signal: i32) {
    // SAFETY: no pointers. A group that has ended is nobody's: its leader keeps its number.
    unsafe { libc::kill(-leader, signal) };
}

/// A pipe: what is read, and what is written. Neither blocks here nor goes to other programs.
///
/// # Errors
/// There are no descriptors left.
pub fn pipe() -> io::Result<[OwnedFd; 2]> {
    let mut ends = [0; 2];
    // SAFETY: the array has room for two.
    if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: two new descriptors that nobody else owns.
    Ok(ends.map(|end| unsafe { OwnedFd::from_raw_fd(end) }))
}

/// Makes reading and writing a descriptor not wait.
///
/// # Errors
/// It can't be.
pub fn set_nonblocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: no pointers.
    let flags = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) };
    if flags < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: as above.
    let result = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A file in memory that has no name, with these bytes, from its beginning.
///
/// # Errors
/// There are no descriptors left, or no memory.
pub fn memory_file(bytes: &[u8]) -> io::Result<OwnedFd> {
    const NAME: &CStr = c"gwanmun-body";
    // SAFETY: the name is terminated.
    let fd = unsafe { libc::memfd_create(NAME.as_ptr(), libc::MFD_CLOEXEC) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a new descriptor that nobody else owns.
    let file = unsafe { std::fs::File::from_raw_fd(fd) };
    std::os::unix::fs::FileExt::write_all_at(&file, bytes, 0)?;
    Ok(file.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Read;
    use std::os::fd::AsFd;
    use std::time::{Duration, Instant};

    /// What a program writes, and how it ends.
    fn run(
        program: &str,
        arguments: &[&str],
        environment: &[&str],
        limits: Limits,
    ) -> io::Result<(String, Exit)> {
        let text = |text: &&str| CString::new(*text).unwrap();
        let [read, write] = pipe()?;
        let stdin = memory_file(b"the body")?;
        let command = Command {
            program: CString::new(program).unwrap(),
            arguments: std::iter::once(&program).chain(arguments).map(text).collect(),
            environment: environment.iter().map(text).collect(),
            directory: c"/tmp".to_owned(),
            streams: [stdin.as_fd(), write.as_fd(), write.as_fd()],
            limits,
        };
        let pid = command.start()?;
        drop(write);
        let mut output = String::new();
        File::from(read).read_to_string(&mut output)?;
        let exit = wait(pid)?;
        reap(pid);
        Ok((output, exit))
    }

    fn sh(script: &str) -> (String, Exit) {
        run("/bin/sh", &["-c", script], &[], Limits::default()).unwrap()
    }

    #[test]
    fn c41_c48_c61_a_program_has_what_it_is_given_and_nothing_else() {
        let (output, exit) =
            run("/usr/bin/env", &[], &["A=b", "PATH=/bin"], Limits::default()).unwrap();
        assert_eq!((output.as_str(), exit), ("A=b\nPATH=/bin\n", Exit::Code(0)));
        let leaked = File::open("/dev/null").unwrap();
        // SAFETY: no pointers; the descriptor is open.
        unsafe { libc::fcntl(leaked.as_raw_fd(), libc::F_SETFD, 0) };
        let script = "for n in $(seq 3 200); do [ -e /proc/$$/fd/$n ] && echo $n; done";
        assert_eq!(
            run("/bin/sh", &["-c", script], &["PATH=/usr/bin:/bin"], Limits::default()).unwrap().0,
            ""
        );
        assert_eq!(sh("cat; pwd").0, "the body/tmp\n");
    }

    #[test]
    fn c60_signals_are_as_for_a_new_program() {
        // Rust ignores SIGPIPE in its tests, as Node does.
        let (output, _) = sh("grep -E '^Sig(Blk|Ign)' /proc/self/status");
        for line in output.lines() {
            assert!(line.ends_with("0000000000000000"), "{line}");
        }
        assert_eq!(output.lines().count(), 2);
    }

    #[test]
    fn c54_it_gains_no_privileges_and_leads_a_group() {
        let (output, _) = sh("grep NoNewPrivs /proc/self/status; ps -o pgid= -p $$; echo $$");
        let lines: Vec<_> = output.lines().map(str::trim).collect();
        assert_eq!(lines[0], "NoNewPrivs:\t1");
        assert_eq!(lines[1], lines[2]);
        let limits = Limits { file_size: Some(1024), ..Limits::default() };
        let script = "f=$(mktemp); head -c 4096 /dev/zero > $f; s=$?; rm -f $f; exit $s";
        let (_, exit) = run("/bin/sh", &["-c", script], &["PATH=/usr/bin:/bin"], limits).unwrap();
        assert_ne!(exit, Exit::Code(0));
    }

    #[test]
    fn c59_how_it_ends_is_told() {
        assert_eq!(sh("exit 7").1, Exit::Code(7));
        assert_eq!(sh("kill -9 $$").1, Exit::Signal(libc::SIGKILL));
    }

    #[test]
    fn c55_what_is_no_program_says_so() {
        let error = |path: &str| {
            run(path, &[], &[], Limits::default()).unwrap_err().raw_os_error().unwrap()
        };
        assert_eq!(error("/nowhere"), libc::ENOENT);
        assert_eq!(error("/etc/passwd"), libc::EACCES);
        let folder = std::env::temp_dir().join(format!("gwanmun-process-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let script = folder.join("script");
        std::fs::write(&script, "no interpreter").unwrap();
        std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .unwrap();
        assert_eq!(error(script.to_str().unwrap()), libc::ENOEXEC);
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn c45_a_group_ends_with_its_children() {
        let [read, write] = pipe().unwrap();
        let command = Command {
            program: c"/bin/sh".to_owned(),
            arguments: [c"sh", c"-c", c"sleep 100 & echo started; wait"]
                .map(CStr::to_owned)
                .to_vec(),
            environment: vec![c"PATH=/usr/bin:/bin".to_owned()],
            directory: c"/".to_owned(),
            streams: [write.as_fd(), write.as_fd(), write.as_fd()],
            limits: Limits::default(),
        };
        let pid = command.start().unwrap();
        drop(command);
        drop(write);
        let mut output = File::from(read);
        let mut text = [0; 8];
        output.read_exact(&mut text).unwrap();
        let begun = Instant::now();
        signal_group(pid, libc::SIGKILL);
        assert_eq!(wait(pid).unwrap(), Exit::Signal(libc::SIGKILL));
        // The grandchild had the pipe as well.
        assert_eq!(output.read(&mut text).unwrap(), 0);
        reap(pid);
        assert!(begun.elapsed() < Duration::from_secs(50));
    }
}
