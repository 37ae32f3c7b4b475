//! A worker's end of a link: frames are received straight into an ArrayBuffer that JavaScript reads in place, and sent from
//! one that it writes.

use crate::uv;
use crate::watch::{Callback, Ready, Watch, check, number, text};
use gwanmun_gateway::frame::{MAX_FRAME, whole_frames};
use gwanmun_sys::passing::{self, receive_with_fds, send_with_fd};
use napi::bindgen_prelude::*;
use napi::sys;
use napi_derive::napi;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::ffi::c_int;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::ptr;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// A worker's end of one link to the core.
#[napi]
pub struct Link {
    state: Rc<State>,
}

struct State {
    env: sys::napi_env,
    fd: RefCell<Option<OwnedFd>>,
    watch: Rc<Watch>,
    received: Memory,
    outgoing: Memory,
    on_frames: Callback,
    on_close: Callback,
    /// The start of a frame whose rest has not arrived.
    partial: RefCell<Vec<u8>>,
    /// What the kernel has not taken yet.
    queue: RefCell<VecDeque<u8>>,
    /// Descriptors of queued frames, each with the position in `queue` of its frame.
    queued_fds: RefCell<VecDeque<(usize, OwnedFd)>>,
    descriptors: RefCell<VecDeque<passing::Received>>,
    ended: Cell<bool>,
}

/// An ArrayBuffer that JavaScript allocated and keeps for the link's life.
struct Memory {
    pointer: *mut u8,
    length: usize,
    reference: sys::napi_ref,
}

enum Received {
    /// Whole frames up to there.
    Frames(usize),
    Nothing,
    End,
    Failed(String),
}

#[napi]
impl Link {
    /// Watches `fd`, which the link owns from now on, on this thread's event loop. Frames are received into `received`, and
    /// `onFrames(end)` is called with whole frames in [0, end); at most one receive in a turn of the loop, none while
    /// it runs. `onClose(reason)` comes once: null for the core's end, else what went wrong.
    #[napi(
        constructor,
        ts_args_type = "fd: number, received: ArrayBuffer, outgoing: ArrayBuffer, onFrames: (end: number) => void, onClose: (reason: string | null) => void"
    )]
    pub fn new(
        env: Env,
        fd: i32,
        received: Unknown<'_>,
        outgoing: Unknown<'_>,
        on_frames: Unknown<'_>,
        on_close: Unknown<'_>,
    ) -> Result<Self> {
        let received = Memory::new(env, received.raw())?;
        let outgoing = Memory::new(env, outgoing.raw())?;
        if received.length < 2 * MAX_FRAME {
            return Err(Error::from_reason(
                "the buffer to receive into holds at least two frames (128 KiB)",
            ));
        }
        let on_frames = Callback::new(env, on_frames.raw(), c"GWANMUN_FRAMES")?;
        let on_close = Callback::new(env, on_close.raw(), c"GWANMUN_CLOSE")?;
        if fd < 0 {
            return Err(Error::from_reason("not a descriptor"));
        }
        // SAFETY: the caller hands the descriptor over.
        let fd_owned = unsafe { OwnedFd::from_raw_fd(fd) };
        let state = Watch::start(env, fd, |watch| {
            Rc::new(State {
                env: env.raw(),
                fd: RefCell::new(Some(fd_owned)),
                watch,
                received,
                outgoing,
                on_frames,
                on_close,
                partial: RefCell::default(),
                queue: RefCell::default(),
                queued_fds: RefCell::default(),
                descriptors: RefCell::default(),
                ended: Cell::new(false),
            })
        })?;
        Ok(Self { state })
    }

    /// Sends `outgoing[0..length)`. What the kernel does not take is copied and sent when there is room. Gives the bytes
    /// that are still queued.
    #[napi]
    pub fn send(&self, length: u32) -> u32 {
        // Without a descriptor nothing fails.
        self.state.send(length, None).unwrap_or_default()
    }

    /// As `send`, with the descriptor `fd`, which stays the caller's, attached to the frame that stands first.
    #[napi]
    pub fn send_with_fd(&self, length: u32, fd: i32) -> Result<u32> {
        if fd < 0 {
            return Err(Error::from_reason("not a descriptor"));
        }
        // SAFETY: the caller keeps it open during this call; a number that is not open is an error of the system call.
        let passed = unsafe { BorrowedFd::borrow_raw(fd) };
        self.state
            .send(length, Some(passed))
            .map_err(|error| Error::from_reason(format!("the descriptor can't be passed: {error}")))
    }

    /// The next descriptor that came with a frame, in order; -1 if there is none, -2 if it was lost because this process could have
    /// no more. The caller owns it.
    #[napi]
    pub fn take_fd(&self) -> i32 {
        match self.state.descriptors.borrow_mut().pop_front() {
            None => -1,
            Some(passing::Received::Lost) => -2,
            Some(passing::Received::Descriptor(fd)) => fd.into_raw_fd(),
        }
    }

    /// BLOCKS the thread until frames have come, which are then whole in `into[0..end)`; gives `end`, 0 after
    /// `timeoutMs`, -1 if the core has ended the link. Sends what is queued meanwhile.
    #[napi(ts_args_type = "into: ArrayBuffer, timeoutMs: number")]
    pub fn wait(&self, env: Env, into: Unknown<'_>, timeout_ms: u32) -> Result<i32> {
        let (pointer, length) = array_buffer(env.raw(), into.raw())?;
        if length < 2 * MAX_FRAME {
            return Err(Error::from_reason(
                "the buffer to receive into holds at least two frames (128 KiB)",
            ));
        }
        let deadline = Instant::now() + Duration::from_millis(timeout_ms.into());
        loop {
            self.state.send_queued();
            let left = deadline.saturating_duration_since(Instant::now());
            if !self.state.poll(left) {
                return Ok(0);
            }
            // SAFETY: an ArrayBuffer of this call's scope, not used by JavaScript meanwhile.
            let buffer = unsafe { std::slice::from_raw_parts_mut(pointer, length) };
            match self.state.receive(buffer) {
                Received::Frames(end) => return Ok(end as i32),
                Received::Nothing if left.is_zero() => return Ok(0),
                Received::Nothing => {}
                Received::End | Received::Failed(_) => return Ok(-1),
            }
        }
    }

    /// Keeps the process alive while the link is open (the default).
    #[napi(js_name = "ref")]
    pub fn reference(&self) {
        self.state.watch.set_ref(true);
    }

    #[napi]
    pub fn unref(&self) {
        self.state.watch.set_ref(false);
    }

    /// Closes the link; no callback comes after this. Does nothing when it is closed.
    #[napi]
    pub fn close(&self) {
        self.state.close();
    }
}

impl State {
    /// Sends `outgoing[0..length)`, or queues what the kernel does not take. Gives how much is queued.
    fn send(&self, length: u32, passed: Option<BorrowedFd<'_>>) -> io::Result<u32> {
        let length = (length as usize).min(self.outgoing.length);
        // SAFETY: inside the ArrayBuffer, which the link keeps; JavaScript does not run meanwhile.
        let bytes = unsafe { std::slice::from_raw_parts(self.outgoing.pointer, length) };
        // Asked for before anything is sent, so that an error has no consequences.
        let own = passed.map(|passed| passed.try_clone_to_owned()).transpose()?;
        let mut queue = self.queue.borrow_mut();
        let sent =
            if queue.is_empty() { self.try_send(bytes, own.as_ref().map(AsFd::as_fd)) } else { 0 };
        if sent < bytes.len() {
            if let Some(own) = own.filter(|_| sent == 0) {
                self.queued_fds.borrow_mut().push_back((queue.len(), own));
            }
            queue.extend(&bytes[sent..]);
            let queued = queue.len() as u32;
            drop(queue);
            self.watch_events();
            return Ok(queued);
        }
        Ok(queue.len() as u32)
    }

    /// Sends bytes directly; a broken link takes everything, since its end will be read. `passed` goes with the first byte.
    fn try_send(&self, bytes: &[u8], passed: Option<BorrowedFd<'_>>) -> usize {
        let fd = self.fd.borrow();
        let Some(fd) = fd.as_ref() else { return bytes.len() };
        let mut sent = 0;
        if let Some(passed) = passed {
            match send_with_fd(fd.as_fd(), bytes, passed) {
                Ok(count) => sent = count,
                // ETOOMANYREFS: too many are on their way; the core will take some.
                Err(error)
                    if error.kind() == io::ErrorKind::WouldBlock
                        || error.raw_os_error() == Some(libc::ETOOMANYREFS) =>
                {
                    return 0;
                }
                Err(_) => return bytes.len(),
            }
        }
        while sent < bytes.len() {
            let rest = &bytes[sent..];
            let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
            // SAFETY: pointer and length are one live slice.
            let count =
                unsafe { libc::send(fd.as_raw_fd(), rest.as_ptr().cast(), rest.len(), flags) };
            if count >= 0 {
                sent += count as usize;
                continue;
            }
            match io::Error::last_os_error().kind() {
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::WouldBlock => return sent,
                _ => return bytes.len(),
            }
        }
        sent
    }

    fn send_queued(&self) {
        let mut queue = self.queue.borrow_mut();
        if queue.is_empty() {
            return;
        }
        let mut fds = self.queued_fds.borrow_mut();
        while !queue.is_empty() {
            let (front, _) = queue.as_slices();
            let passed = fds.pop_front_if(|(position, _)| *position == 0);
            let length = fds.front().map_or(front.len(), |(next, _)| front.len().min(*next));
            let sent =
                self.try_send(&front[..length], passed.as_ref().map(|(_, passed)| passed.as_fd()));
            if let Some(passed) = passed.filter(|_| sent == 0) {
                fds.push_front(passed);
            }
            queue.drain(..sent);
            for (position, _) in fds.iter_mut() {
                *position -= sent;
            }
            if sent < length {
                return;
            }
        }
        queue.shrink_to(MAX_FRAME);
        drop((queue, fds));
        self.watch_events();
    }

    /// Waits until there is something to read, or the link takes more. `false`: the time is over.
    fn poll(&self, left: Duration) -> bool {
        let fd = self.fd.borrow();
        let Some(fd) = fd.as_ref() else { return true };
        let writing = if self.queue.borrow().is_empty() { 0 } else { libc::POLLOUT };
        let mut poll =
            libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN | writing, revents: 0 };
        // SAFETY: one live pollfd. An interruption counts as readiness; the caller looks again.
        unsafe { libc::poll(&raw mut poll, 1, left.as_millis().min(1 << 30) as c_int) != 0 }
    }

    /// Receives once. The start of an incomplete frame is kept for the next time.
    fn receive(&self, buffer: &mut [u8]) -> Received {
        let fd = self.fd.borrow();
        let Some(fd) = fd.as_ref() else { return Received::End };
        let mut partial = self.partial.borrow_mut();
        let kept = partial.len();
        buffer[..kept].copy_from_slice(&partial);
        let count = match receive_with_fds(
            fd.as_fd(),
            &mut buffer[kept..],
            &mut self.descriptors.borrow_mut(),
        ) {
            Ok(0) => return Received::End,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Received::Nothing;
            }
            Err(error) => return Received::Failed(error.to_string()),
        };
        match whole_frames(&buffer[..kept + count]) {
            Err(error) => Received::Failed(error.to_string()),
            Ok(end) => {
                partial.clear();
                partial.extend_from_slice(&buffer[end..kept + count]);
                if end > 0 { Received::Frames(end) } else { Received::Nothing }
            }
        }
    }

    /// The core has ended the link, or it is broken: nothing more is received. What is queued is still sent.
    fn end(&self) {
        self.ended.set(true);
        self.watch_events();
    }

    fn watch_events(&self) {
        let reading = if self.ended.get() { 0 } else { uv::READABLE };
        let writing = if self.queue.borrow().is_empty() { 0 } else { uv::WRITABLE };
        self.watch.set_events(reading | writing);
    }

    fn close(&self) {
        self.watch.close();
        if self.fd.borrow_mut().take().is_some() {
            self.on_frames.release();
            self.on_close.release();
            self.received.release(self.env);
            self.outgoing.release(self.env);
        }
    }
}

impl Ready for State {
    fn ready(&self, events: c_int) {
        if events & uv::WRITABLE != 0 {
            self.send_queued();
        }
        if events & uv::READABLE == 0 || self.ended.get() {
            return;
        }
        // SAFETY: the ArrayBuffer is kept by the link and read by JavaScript only inside the callback below.
        let buffer =
            unsafe { std::slice::from_raw_parts_mut(self.received.pointer, self.received.length) };
        match self.receive(buffer) {
            Received::Frames(end) => self.on_frames.call(|env| number(env, end as u32)),
            Received::Nothing => {}
            Received::End => {
                self.end();
                self.on_close.call(|env| text(env, None));
            }
            Received::Failed(reason) => {
                self.end();
                self.on_close.call(|env| text(env, Some(&reason)));
            }
        }
    }
}

impl Memory {
    fn new(env: Env, value: sys::napi_value) -> Result<Self> {
        let (pointer, length) = array_buffer(env.raw(), value)?;
        let mut reference = ptr::null_mut();
        // SAFETY: a live value of this call.
        check(unsafe { sys::napi_create_reference(env.raw(), value, 1, &raw mut reference) })?;
        Ok(Self { pointer, length, reference })
    }

    fn release(&self, env: sys::napi_env) {
        // SAFETY: released once, by `close`, which also ends every use of the pointer.
        unsafe { sys::napi_delete_reference(env, self.reference) };
    }
}

fn array_buffer(env: sys::napi_env, value: sys::napi_value) -> Result<(*mut u8, usize)> {
    let mut pointer = ptr::null_mut();
    let mut length = 0;
    // SAFETY: live environment and value; the call fails for anything but an ArrayBuffer.
    check(unsafe {
        sys::napi_get_arraybuffer_info(env, value, &raw mut pointer, &raw mut length)
    })?;
    Ok((pointer.cast(), length))
}
