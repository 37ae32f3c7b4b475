//! What a worker process needs of the system that Node does not offer.

use napi::bindgen_prelude::*;
use napi::sys;
use napi_derive::napi;
use std::ffi::c_void;
use std::fs::File;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::ptr;

use crate::watch::check;

/// Has this process killed when its parent dies, even while it spins in JavaScript. Gives false if the parent, whose
/// id was `parent`, is dead already: then the caller exits.
#[napi]
pub fn follow_parent(parent: u32) -> bool {
    // SAFETY: no pointers.
    #[cfg(target_os = "linux")]
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL)
    };
    // SAFETY: no pointers.
    unsafe { libc::getppid() as u32 == parent }
}

/// What is wrong with an entry of a list of networks, and what to write instead; null if nothing is.
#[napi]
pub fn network_fault(entry: String) -> Option<String> {
    gwanmun_server::network_fault(&entry)
}

/// The hash of a password for a password file (argon2id). It takes a moment.
#[napi]
pub fn hash_password(password: String) -> Result<String> {
    gwanmun_server::hash_password(password.as_bytes()).map_err(Error::from_reason)
}

/// See [`silent_paths`].
pub struct SilentPaths(Vec<PathBuf>);

impl Task for SilentPaths {
    type Output = Vec<bool>;
    type JsValue = Vec<bool>;

    fn compute(&mut self) -> Result<Self::Output> {
        Ok(gwanmun_reactor::blocking::silent(&self.0))
    }

    fn resolve(&mut self, _env: Env, output: Self::Output) -> Result<Self::JsValue> {
        Ok(output)
    }
}

/// Whether the file system of each path has not answered for ten seconds.
#[napi(ts_return_type = "Promise<Array<boolean>>")]
pub fn silent_paths(paths: Vec<String>) -> AsyncTask<SilentPaths> {
    AsyncTask::new(SilentPaths(paths.into_iter().map(PathBuf::from).collect()))
}

/// Has the scheduler let this thread wait while others of its core still work: a worker that shares its core with an I/O
/// thread is then given all requests that the thread has read, instead of interrupting it for the first (`SCHED_BATCH`).
/// With a core of its own it changes nothing.
#[napi]
pub fn prefer_batches() {
    // The kernel's own `sched_param`: a priority, which is 0. By system call, because musl's function refuses.
    #[cfg(target_os = "linux")]
    let parameter: libc::c_int = 0;
    #[cfg(target_os = "linux")]
    // SAFETY: a valid parameter that outlives the call; it concerns the calling thread only. If it is refused, batches are
    // smaller.
    unsafe {
        libc::syscall(libc::SYS_sched_setscheduler, 0, libc::SCHED_BATCH, &raw const parameter)
    };
}

/// Has the allocator keep what is freed, up to 32 MiB, and take buffers of less than 4 MiB from it (glibc; others decide for
/// themselves). Else a process that bodies pass through may come into a state, and stay in it, in which it gives the memory of
/// each piece back and has the kernel fault in new pages for the next, which costs more than all else that is done with it.
#[napi]
pub fn keep_memory() {
    // SAFETY: parameters of the allocator, which takes its own lock.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 4 * 1024 * 1024);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 32 * 1024 * 1024);
    }
}

/// Sends a text to a service manager's socket, `NOTIFY_SOCKET` of sd_notify(3): a path, or `@` and an abstract name. Gives whether
/// it was taken.
#[napi]
#[must_use]
pub fn notify(socket: String, text: String) -> bool {
    send_notification(&socket, text.as_bytes()).is_ok()
}

fn send_notification(socket: &str, text: &[u8]) -> io::Result<()> {
    let own = UnixDatagram::unbound()?;
    own.set_nonblocking(true)?;
    match socket.strip_prefix('@') {
        #[cfg(target_os = "linux")]
        Some(name) => {
            use std::os::linux::net::SocketAddrExt;
            let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
            own.send_to_addr(text, &address)?;
        }
        _ => drop(own.send_to(text, socket)?),
    }
    Ok(())
}

/// Takes note of the end of a child that nobody else waits for. Never blocks.
#[napi]
pub fn reap(pid: i32) {
    // SAFETY: a null status is allowed; without such a child nothing happens.
    unsafe { libc::waitpid(pid.max(1), ptr::null_mut(), libc::WNOHANG) };
}

/// Closes descriptors that were handed to a child process.
#[napi]
pub fn close_fds(fds: Vec<i32>) {
    for fd in fds.into_iter().filter(|fd| *fd >= 0) {
        // SAFETY: the caller owns them, by `addWorker`.
        drop(unsafe { OwnedFd::from_raw_fd(fd) });
    }
}

/// Maps the memory that a worker shares with the core, and closes its descriptor.
#[napi(ts_return_type = "ArrayBuffer")]
pub fn map_memory(env: Env, fd: i32) -> Result<Unknown<'static>> {
    if fd < 0 {
        return Err(Error::from_reason("not a descriptor"));
    }
    // SAFETY: the caller hands the descriptor over.
    let file = File::from(unsafe { OwnedFd::from_raw_fd(fd) });
    let size = file.metadata()?.len() as usize;
    // SAFETY: a fresh shared mapping; the result is checked. The core has sealed the file's size.
    let start = unsafe {
        libc::mmap(
            ptr::null_mut(),
            size,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED,
            fd,
            0,
        )
    };
    drop(file);
    if start == libc::MAP_FAILED {
        return Err(Error::from_reason(format!("mmap: {}", io::Error::last_os_error())));
    }
    let mut value = ptr::null_mut();
    // SAFETY: the mapping is ours and not wrapped by another ArrayBuffer; `unmap` ends it when the ArrayBuffer is collected.
    unsafe {
        check(sys::napi_create_external_arraybuffer(
            env.raw(),
            start,
            size,
            Some(unmap),
            ptr::without_provenance_mut(size),
            &raw mut value,
        ))?;
        Ok(Unknown::from_raw_unchecked(env.raw(), value))
    }
}

unsafe extern "C" fn unmap(_env: sys::napi_env, start: *mut c_void, size: *mut c_void) {
    // SAFETY: the mapping of `map_memory`, once.
    unsafe { libc::munmap(start, size.addr()) };
}
