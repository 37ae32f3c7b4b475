//! What the core holds, counted: bytes and descriptors that come and go with what clients and workers do. And what became of TLS handshakes.
//!
//! Each thread counts what it holds whenever it looks at its deadlines, a few times a second; nothing is counted on a request's way.

use gwanmun_tls::Established;
use std::collections::BTreeMap;
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

/// TLS handshakes since the start. The keys are words of ours, whatever clients send.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Handshakes {
    pub full: u64,
    /// Those that went on with a session by its ticket.
    pub resumed: u64,
    pub versions: BTreeMap<&'static str, u64>,
    /// What keys were exchanged with.
    pub groups: BTreeMap<&'static str, u64>,
    /// Those that came to nothing, by the reason.
    pub failed: BTreeMap<&'static str, u64>,
}

impl Handshakes {
    pub(crate) fn succeeded(&mut self, established: &Established) {
        *if established.is_resumed { &mut self.resumed } else { &mut self.full } += 1;
        *self.versions.entry(established.protocol).or_default() += 1;
        if !established.group.is_empty() {
            *self.groups.entry(established.group).or_default() += 1;
        }
    }

    pub(crate) fn failed(&mut self, reason: &'static str) {
        *self.failed.entry(reason).or_default() += 1;
    }

    /// Adds those of another thread.
    pub(crate) fn add(&mut self, other: &Self) {
        self.full += other.full;
        self.resumed += other.resumed;
        for (own, others) in [
            (&mut self.versions, &other.versions),
            (&mut self.groups, &other.groups),
            (&mut self.failed, &other.failed),
        ] {
            for (key, count) in others {
                *own.entry(key).or_default() += count;
            }
        }
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
