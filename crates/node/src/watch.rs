//! A descriptor that the JavaScript thread's own event loop watches, and callbacks into JavaScript from there.

use crate::uv;
use napi::bindgen_prelude::*;
use napi::sys;
use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::rc::Rc;

/// Called on the loop's thread with what the descriptor is ready for ([`uv::READABLE`], [`uv::WRITABLE`]).
pub(crate) trait Ready {
    fn ready(&self, events: c_int);
}

/// A `uv_poll` handle. It lives until [`Watch::close`] or the end of its environment, whichever comes first.
pub(crate) struct Watch {
    handle: Cell<*mut uv::Poll>,
}

/// What the handle's `data` points at.
struct State {
    owner: Rc<dyn Ready>,
    env: sys::napi_env,
    hook: Cell<sys::napi_async_cleanup_hook_handle>,
    closing: Cell<bool>,
    watch: Rc<Watch>,
}

impl Watch {
    /// Starts watching `fd` for reading. `make` gets the watch and makes the owner of the callback.
    pub(crate) fn start<T: Ready + 'static>(
        env: Env,
        fd: i32,
        make: impl FnOnce(Rc<Watch>) -> Rc<T>,
    ) -> Result<Rc<T>> {
        let raw = env.raw();
        let mut event_loop = ptr::null_mut();
        // SAFETY: `raw` is the live environment of this call, on its thread.
        check(unsafe { sys::napi_get_uv_event_loop(raw, &raw mut event_loop) })?;
        let handle = allocate_handle();
        if handle.is_null() {
            return Err(Error::from_reason("out of memory"));
        }
        // SAFETY: the handle is fresh zeroed memory of uv's size for it; the loop is this thread's.
        let status = unsafe { uv::uv_poll_init(event_loop.cast(), handle, fd) };
        if status < 0 {
            // SAFETY: uv did not take the handle.
            unsafe { free_handle(handle) };
            return Err(Error::from_reason(format!("uv_poll_init: {status}")));
        }
        let watch = Rc::new(Watch { handle: Cell::new(handle) });
        let owner = make(Rc::clone(&watch));
        let state = Box::new(State {
            owner: Rc::clone(&owner) as Rc<dyn Ready>,
            env: raw,
            hook: Cell::new(ptr::null_mut()),
            closing: Cell::new(false),
            watch: Rc::clone(&watch),
        });
        let state = Box::into_raw(state);
        // SAFETY: the handle is initialised, and `state` stays allocated until the handle is closed.
        unsafe {
            (*handle).data = state.cast();
            // An open handle would abort the process when its worker_thread ends: the hook closes it in time.
            let mut hook = ptr::null_mut();
            let status = sys::napi_add_async_cleanup_hook(
                raw,
                Some(on_environment_end),
                state.cast(),
                &raw mut hook,
            );
            (*state).hook.set(hook);
            uv::uv_poll_start(handle, uv::READABLE, on_ready);
            check(status)?;
        }
        Ok(owner)
    }

    /// What the descriptor is watched for; nothing: the handle rests and keeps no loop alive.
    pub(crate) fn set_events(&self, events: c_int) {
        let handle = self.handle.get();
        if !handle.is_null() {
            // SAFETY: the handle is open; starting again replaces the events.
            unsafe {
                if events == 0 {
                    uv::uv_poll_stop(handle)
                } else {
                    uv::uv_poll_start(handle, events, on_ready)
                }
            };
        }
    }

    /// Whether the handle keeps its loop alive.
    pub(crate) fn set_ref(&self, alive: bool) {
        let handle = self.handle.get();
        if !handle.is_null() {
            // SAFETY: the handle is open.
            unsafe { if alive { uv::uv_ref(handle) } else { uv::uv_unref(handle) } };
        }
    }

    /// Ends the watch; the owner hears nothing after this. Does nothing when it has ended.
    pub(crate) fn close(&self) {
        let handle = self.handle.replace(ptr::null_mut());
        if !handle.is_null() {
            // SAFETY: the handle is open and has its state; it is closed once because it was taken out above.
            unsafe {
                (*(*handle).data.cast::<State>()).closing.set(true);
                uv::uv_poll_stop(handle);
                uv::uv_close(handle, Some(on_closed));
            }
        }
    }
}

unsafe extern "C" fn on_ready(handle: *mut uv::Poll, status: c_int, events: c_int) {
    // SAFETY: uv calls back with a handle of ours that is open, whose state is alive until `on_closed`.
    let state = unsafe { &*(*handle).data.cast::<State>() };
    if state.closing.get() {
        return;
    }
    let owner = Rc::clone(&state.owner);
    // An error of the descriptor shows when it is read.
    let events = if status < 0 { uv::READABLE } else { events };
    let mut scope = ptr::null_mut();
    // SAFETY: the environment is alive while its loop runs callbacks of open handles; the scope is closed below.
    if unsafe { sys::napi_open_handle_scope(state.env, &raw mut scope) } != sys::Status::napi_ok {
        return;
    }
    let env = state.env;
    if catch_unwind(AssertUnwindSafe(|| owner.ready(events))).is_err() {
        // The panic's message went to standard error; the process goes on.
    }
    // SAFETY: the scope opened above, on the same thread.
    unsafe { sys::napi_close_handle_scope(env, scope) };
}

unsafe extern "C" fn on_environment_end(
    _hook: sys::napi_async_cleanup_hook_handle,
    data: *mut c_void,
) {
    // SAFETY: the state is alive: `on_closed` frees it only after it has removed this hook.
    let watch = unsafe { Rc::clone(&(*data.cast::<State>()).watch) };
    watch.close();
}

unsafe extern "C" fn on_closed(handle: *mut uv::Poll) {
    // SAFETY: uv is done with the handle; state and handle were allocated by `start` and are freed here only.
    unsafe {
        let state = Box::from_raw((*handle).data.cast::<State>());
        free_handle(handle);
        if !state.hook.get().is_null() {
            sys::napi_remove_async_cleanup_hook(state.hook.get());
        }
        drop(state);
    }
}

fn layout() -> Layout {
    // SAFETY: asks for a number only.
    let size = unsafe { uv::uv_handle_size(uv::POLL) };
    Layout::from_size_align(size.max(size_of::<uv::Poll>()), 16)
        .unwrap_or(Layout::new::<[u128; 32]>())
}

fn allocate_handle() -> *mut uv::Poll {
    // SAFETY: the layout is not empty.
    unsafe { alloc_zeroed(layout()).cast() }
}

/// # Safety
/// The handle came from `allocate_handle` and is not used after this.
unsafe fn free_handle(handle: *mut uv::Poll) {
    // SAFETY: the same layout as when it was allocated.
    unsafe { dealloc(handle.cast(), layout()) };
}

pub(crate) fn check(status: sys::napi_status) -> Result<()> {
    if status == sys::Status::napi_ok {
        Ok(())
    } else {
        Err(Error::new(Status::from(status), "Node-API call failed"))
    }
}

/// A JavaScript function that is called from the event loop, with the async context that such calls need.
pub(crate) struct Callback {
    env: sys::napi_env,
    function: sys::napi_ref,
    context: sys::napi_async_context,
}

impl Callback {
    /// Keeps `function` until [`Callback::release`].
    pub(crate) fn new(env: Env, function: sys::napi_value, name: &std::ffi::CStr) -> Result<Self> {
        let raw = env.raw();
        let mut reference = ptr::null_mut();
        let mut label = ptr::null_mut();
        let mut context = ptr::null_mut();
        let mut resource = ptr::null_mut();
        // SAFETY: live environment and values of this call; the results are checked.
        unsafe {
            check(sys::napi_create_reference(raw, function, 1, &raw mut reference))?;
            check(sys::napi_create_string_utf8(
                raw,
                name.as_ptr(),
                name.count_bytes() as isize,
                &raw mut label,
            ))?;
            check(sys::napi_create_object(raw, &raw mut resource))?;
            check(sys::napi_async_init(raw, resource, label, &raw mut context))?;
        }
        Ok(Self { env: raw, function: reference, context })
    }

    /// Calls the function with what `argument` makes. An exception goes where any uncaught one goes.
    pub(crate) fn call(&self, argument: impl FnOnce(sys::napi_env) -> sys::napi_value) {
        let env = self.env;
        // SAFETY: called on the environment's thread inside a handle scope (`on_ready`, or a call from JavaScript); all
        // values are of this scope.
        unsafe {
            let mut function = ptr::null_mut();
            let mut receiver = ptr::null_mut();
            sys::napi_get_reference_value(env, self.function, &raw mut function);
            sys::napi_get_global(env, &raw mut receiver);
            if function.is_null() || receiver.is_null() {
                return;
            }
            let argument = argument(env);
            let mut result = ptr::null_mut();
            let status = sys::napi_make_callback(
                env,
                self.context,
                receiver,
                function,
                1,
                &raw const argument,
                &raw mut result,
            );
            if status == sys::Status::napi_pending_exception {
                let mut exception = ptr::null_mut();
                if sys::napi_get_and_clear_last_exception(env, &raw mut exception)
                    == sys::Status::napi_ok
                {
                    sys::napi_fatal_exception(env, exception);
                }
            }
        }
    }

    /// Lets the function go. At the end of an environment this is not called: the references end with it.
    pub(crate) fn release(&self) {
        // SAFETY: reference and context came from `new` and are released once, by the owner's explicit close.
        unsafe {
            sys::napi_delete_reference(self.env, self.function);
            sys::napi_async_destroy(self.env, self.context);
        }
    }
}

pub(crate) fn number(env: sys::napi_env, value: u32) -> sys::napi_value {
    let mut result = ptr::null_mut();
    // SAFETY: live environment, inside a handle scope.
    unsafe { sys::napi_create_uint32(env, value, &raw mut result) };
    result
}

pub(crate) fn text(env: sys::napi_env, value: Option<&str>) -> sys::napi_value {
    let mut result = ptr::null_mut();
    // SAFETY: live environment, inside a handle scope; the text outlives the call, which copies it.
    unsafe {
        match value {
            Some(value) => sys::napi_create_string_utf8(
                env,
                value.as_ptr().cast(),
                value.len() as isize,
                &raw mut result,
            ),
            None => sys::napi_get_null(env, &raw mut result),
        }
    };
    result
}
