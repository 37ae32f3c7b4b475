//! Files that are sent to clients.

use crate::exchange::turn::Turn;
use crate::shared::message::Message;
use gwanmun_files::{FileEntry, fetch, load, resident};
use gwanmun_reactor::HeldFile;
use gwanmun_reactor::arena::Key;
use std::os::fd::AsFd;
use std::sync::Arc;

/// An open file that is sent.
#[derive(Clone, Debug)]
pub(crate) enum OpenFile {
    Entry(Arc<FileEntry>),
    /// It came from a worker.
    Passed(Arc<HeldFile>),
}

impl OpenFile {
    pub(crate) fn held(&self) -> Option<&HeldFile> {
        match self {
            Self::Entry(entry) => entry.held(),
            Self::Passed(file) => Some(file),
        }
    }

    /// Tells it from others.
    pub(super) fn address(&self) -> usize {
        match self {
            Self::Entry(entry) => Arc::as_ptr(entry).addr(),
            Self::Passed(file) => Arc::as_ptr(file).addr(),
        }
    }

    /// Whether a part of one [piece](PIECE) can be sent without waiting for the disk.
    pub(super) fn is_resident(&self, offset: u64, length: usize, now_ms: u64) -> bool {
        match self {
            Self::Entry(entry) => entry.is_resident(offset, length, now_ms),
            Self::Passed(file) => resident(file.as_fd(), offset, length),
        }
    }

    /// Has a blocking thread read a piece into memory for a client. `anew`: the client wants the bytes, and not only that they are there; where the kernel does not tell
    /// what reading waits for, it always gets them.
    pub(super) fn load(self, turn: &Turn, client: Key, (offset, length): (u64, usize), anew: bool) {
        let Some(lane) = self.held().map(|file| Arc::clone(file.lane())) else { return };
        turn.run_blocking(
            &lane,
            move || {
                let result = match self.held() {
                    Some(file) if anew || file.waits() => fetch(file, offset, length).map(Some),
                    Some(file) => {
                        // If it can't be read, sendfile will say so.
                        let _ = load(file.as_fd(), offset, length);
                        Ok(None)
                    }
                    None => Ok(None),
                };
                Message::Loaded { client, result }
            },
            move |error| Message::Loaded { client, result: Err(error) },
        );
    }
}
