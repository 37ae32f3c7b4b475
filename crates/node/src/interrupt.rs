//! Has JavaScript that does not come back to its event loop say where it is.
//!
//! Node offers nothing but its inspector, and that listens on a port, where everybody on the machine can have it run code. So this
//! does what the inspector does first, without a port: a thread of its own waits for the question and asks V8 to interrupt the code
//! at its next loop or call (`Isolate::RequestInterrupt`). Node-API has no such call; the two functions of V8 are looked up by name, and
//! where they are missing there is no answer, and no harm.

use napi::bindgen_prelude::*;
use napi::sys;
use napi_derive::napi;
use std::ffi::{CStr, c_void};
use std::mem::transmute;
use std::os::fd::RawFd;
use std::ptr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::watch::check;

type GetCurrent = unsafe extern "C" fn() -> *mut c_void;
type OnInterrupt = unsafe extern "C" fn(isolate: *mut c_void, data: *mut c_void);
type RequestInterrupt =
    unsafe extern "C" fn(isolate: *mut c_void, callback: OnInterrupt, data: *mut c_void);

/// `v8::Isolate::GetCurrent()`
const GET_CURRENT: &CStr = c"_ZN2v87Isolate10GetCurrentEv";
/// `v8::Isolate::RequestInterrupt(void (*)(v8::Isolate*, void*), void*)`
const REQUEST_INTERRUPT: &CStr = c"_ZN2v87Isolate16RequestInterruptEPFvPS0_PvES2_";

/// Longer answers are cut.
const MOST_ANSWER: usize = 32 * 1024;

/// Who answers: an environment, and its function that says where its code is.
#[derive(Clone, Copy)]
struct Answering {
    env: sys::napi_env,
    function: sys::napi_ref,
    isolate: *mut c_void,
    request: RequestInterrupt,
    fd: RawFd,
}

// SAFETY: of another thread, `env` and `function` are only carried; `isolate` is only given to `RequestInterrupt`, which may be called on any.
unsafe impl Send for Answering {}

/// The one of this process. Empty from the moment at which its environment begins to end.
static ANSWERING: Mutex<Option<Answering>> = Mutex::new(None);

fn answering() -> MutexGuard<'static, Option<Answering>> {
    ANSWERING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Answers each byte that comes on the socket `fd` by what `where` returns, a text, also while JavaScript spins. `where`
/// is called in the middle of whatever runs. Gives false if this Node has no way to do so, or no thread. For one thread of a process, once.
#[napi(ts_args_type = "fd: number, where: () => string")]
pub fn answer_where(env: Env, fd: i32, function: Unknown<'_>) -> Result<bool> {
    let raw = env.raw();
    // SAFETY: the names end in a zero byte; symbols of the process itself, or null.
    let (get_current, request) = unsafe {
        (
            libc::dlsym(libc::RTLD_DEFAULT, GET_CURRENT.as_ptr()),
            libc::dlsym(libc::RTLD_DEFAULT, REQUEST_INTERRUPT.as_ptr()),
        )
    };
    if get_current.is_null() || request.is_null() || answering().is_some() {
        return Ok(false);
    }
    // SAFETY: the mangled names say these types, with pointers for references to the isolate; on Linux C++ passes them as C does.
    let (get_current, request) = unsafe {
        (
            transmute::<*mut c_void, GetCurrent>(get_current),
            transmute::<*mut c_void, RequestInterrupt>(request),
        )
    };
    // SAFETY: takes nothing; this thread runs JavaScript, so it has an isolate.
    let isolate = unsafe { get_current() };
    if isolate.is_null() {
        return Ok(false);
    }
    let mut reference = ptr::null_mut();
    // SAFETY: live environment and value of this call. The hook runs before the isolate goes.
    unsafe {
        check(sys::napi_create_reference(raw, function.raw(), 1, &raw mut reference))?;
        check(sys::napi_add_env_cleanup_hook(raw, Some(on_environment_end), ptr::null_mut()))?;
    }
    *answering() = Some(Answering { env: raw, function: reference, isolate, request, fd });
    let thread = std::thread::Builder::new()
        .name("gwanmun-where".to_owned())
        .stack_size(64 * 1024)
        .spawn(move || wait_for_questions(fd));
    // At a limit of threads a worker serves all the same.
    Ok(thread.is_ok())
}

fn wait_for_questions(fd: RawFd) {
    gwanmun_sys::block_signals();
    let mut bytes = [0u8; 64];
    loop {
        // SAFETY: as many live bytes as is said. Whoever closes the descriptor ends the process.
        match unsafe { libc::read(fd, bytes.as_mut_ptr().cast(), bytes.len()) } {
            1.. => {}
            -1 if std::io::Error::last_os_error().kind() == std::io::ErrorKind::Interrupted => {
                continue;
            }
            _ => return,
        }
        // The lock is held, so that the isolate cannot go meanwhile.
        let answering = answering();
        let Some(Answering { isolate, request, .. }) = *answering else { return };
        // SAFETY: any thread may ask an isolate that lives; it does until `on_environment_end` has had the lock.
        unsafe { request(isolate, on_interrupt, ptr::null_mut()) };
    }
}

unsafe extern "C" fn on_environment_end(_: *mut c_void) {
    *answering() = None;
}

/// On the thread of the environment, in the middle of its JavaScript.
unsafe extern "C" fn on_interrupt(_isolate: *mut c_void, _data: *mut c_void) {
    let answering = *answering();
    let Some(Answering { env, function, fd, .. }) = answering else { return };
    let mut scope = ptr::null_mut();
    // SAFETY: the environment lives and this is its thread. V8 calls at a place where code may run, as Node's own interrupts do, and has
    // left its locks. The scope is closed below.
    if unsafe { sys::napi_open_handle_scope(env, &raw mut scope) } != sys::Status::napi_ok {
        return;
    }
    let answer = call(env, function);
    // SAFETY: as many live bytes as is said. Nobody waits: whoever asked reads, or is gone.
    unsafe {
        libc::send(
            fd,
            answer.as_ptr().cast(),
            answer.len(),
            libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
        );
        sys::napi_close_handle_scope(env, scope);
    }
}

/// What the function returns; empty if that is no text, or it throws.
fn call(env: sys::napi_env, function: sys::napi_ref) -> Vec<u8> {
    let mut bytes = vec![0u8; MOST_ANSWER];
    let mut length = 0;
    // SAFETY: live environment, inside a handle scope; each result is null or a value of it. The text has room for as many bytes as is said.
    unsafe {
        let (mut callee, mut receiver, mut result) =
            (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
        sys::napi_get_reference_value(env, function, &raw mut callee);
        sys::napi_get_global(env, &raw mut receiver);
        if callee.is_null() || receiver.is_null() {
            return Vec::new();
        }
        let status =
            sys::napi_call_function(env, receiver, callee, 0, ptr::null(), &raw mut result);
        if status == sys::Status::napi_pending_exception {
            let mut exception = ptr::null_mut();
            sys::napi_get_and_clear_last_exception(env, &raw mut exception);
        } else if status == sys::Status::napi_ok {
            sys::napi_get_value_string_utf8(
                env,
                result,
                bytes.as_mut_ptr().cast(),
                bytes.len(),
                &raw mut length,
            );
        }
    }
    bytes.truncate(length);
    bytes
}
