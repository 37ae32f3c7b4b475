//! The few functions of libuv that are used, as declared in `uv.h`. Node exports them to addons.

use std::ffi::{c_int, c_void};

/// `uv_poll_t`; its size is asked for at run time.
#[repr(C)]
pub(crate) struct Poll {
    /// `UV_HANDLE_FIELDS` starts with the user's data.
    pub(crate) data: *mut c_void,
}

#[repr(C)]
pub(crate) struct Loop {
    _private: [u8; 0],
}

pub(crate) const POLL: c_int = 8; // uv_handle_type UV_POLL
pub(crate) const READABLE: c_int = 1;
pub(crate) const WRITABLE: c_int = 2;

pub(crate) type PollCallback = unsafe extern "C" fn(*mut Poll, c_int, c_int);
pub(crate) type CloseCallback = unsafe extern "C" fn(*mut Poll);

unsafe extern "C" {
    pub(crate) fn uv_handle_size(kind: c_int) -> usize;
    pub(crate) fn uv_poll_init(event_loop: *mut Loop, handle: *mut Poll, fd: c_int) -> c_int;
    pub(crate) fn uv_poll_start(handle: *mut Poll, events: c_int, callback: PollCallback) -> c_int;
    pub(crate) fn uv_poll_stop(handle: *mut Poll) -> c_int;
    pub(crate) fn uv_close(handle: *mut Poll, callback: Option<CloseCallback>);
    pub(crate) fn uv_ref(handle: *mut Poll);
    pub(crate) fn uv_unref(handle: *mut Poll);
}
