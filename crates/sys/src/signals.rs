//! Which threads signals come to.

/// Signals are Node's: none is ever delivered to this thread or those it starts.
pub fn block_signals() {
    // SAFETY: an all-zero sigset_t is a valid argument for sigfillset, which initialises it.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, std::ptr::null_mut());
    }
}
