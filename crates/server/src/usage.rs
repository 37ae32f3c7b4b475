//! What the core holds, counted: bytes and descriptors that come and go with what clients and workers do.
//!
//! Each thread counts its own whenever it looks at its deadlines, a few times a second; nothing is counted on a request's way.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a server holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes for the clients' connections: requests that are in progress, and responses that are not sent.
    pub clients: u64,
    /// Their descriptors: sockets, and files that are sent or that bodies are buffered in.
    pub descriptors: u64,
    /// Bytes of the connection that has most.
    pub most: u64,
    /// Descriptors of the connection that has most.
    pub most_descriptors: u64,
    /// Bytes that workers have not taken.
    pub queued: u64,
    /// Bytes of buffers that wait to be used again.
    pub kept: u64,
    /// Bytes of request bodies in temporary files.
    pub spooled: u64,
}

impl Usage {
    /// Adds what another thread holds.
    pub(crate) fn add(&mut self, other: Self) {
        self.clients += other.clients;
        self.descriptors += other.descriptors;
        self.most = self.most.max(other.most);
        self.most_descriptors = self.most_descriptors.max(other.most_descriptors);
        self.queued += other.queued;
        self.kept += other.kept;
        self.spooled += other.spooled;
    }
}

/// One thread's, for the others to read.
#[derive(Debug, Default)]
pub(crate) struct Gauge([AtomicU64; 6]);

impl Gauge {
    pub(crate) fn set(&self, usage: &Usage) {
        let Usage { clients, descriptors, most, most_descriptors, queued, kept, spooled: _ } =
            *usage;
        let values = [clients, descriptors, most, most_descriptors, queued, kept];
        for (cell, value) in self.0.iter().zip(values) {
            cell.store(value, Ordering::Relaxed);
        }
    }

    pub(crate) fn get(&self) -> Usage {
        let [clients, descriptors, most, most_descriptors, queued, kept] =
            self.0.each_ref().map(|cell| cell.load(Ordering::Relaxed));
        Usage { clients, descriptors, most, most_descriptors, queued, kept, spooled: 0 }
    }
}
