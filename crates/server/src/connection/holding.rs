//! What a connection holds of the core, in bytes and in descriptors, and how much of them it may.
//!
//! No client makes the core hold more than a MiB and 16 descriptors for a connection, whatever it sends or leaves unread:
//!
//! - A request of a pipeline is begun only while less than [`BEGIN_BELOW`] is held. What it adds is bounded by itself: its head, which is kept and
//!   crosses to a worker, its fields for the log, a page of an error, a small file.
//! - The response whose turn it is has the worker's window of 256 KiB and perhaps a file. One behind it has a narrow window and no descriptor.
//! - A response is compressed as it comes only while less than [`COMPRESS_BELOW`] is held beside it. Its compressor is more than that lets
//!   further requests begin.
//! - What an application can send without credit, the heads of responses, is the rest; [`MOST`] cuts off who would get more of them.

use super::Connection;
use crate::exchange::Exchange;
use crate::thread::Context;
use gwanmun_gateway::NARROW_WINDOW;
use gwanmun_reactor::arena::Key;
use std::ops::{AddAssign, SubAssign};

/// While as much is held, the next request of a pipeline stays unread.
const BEGIN_BELOW: Holding = Holding { bytes: 320 * 1024, files: 12 };
/// With as much held no compressor is made: it has [`MOST_MEMORY`](gwanmun_files::compression::MOST_MEMORY), its response the worker's window, the piece
/// that is compressed is there twice, and a request that is not read on takes up to 128 KiB.
const COMPRESS_BELOW: usize = 128 * 1024;
/// Bytes that are never held for long: beyond them the connection is closed.
const MOST: u32 = 1024 * 1024;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Holding {
    pub(crate) bytes: u32,
    /// Open files.
    pub(crate) files: u32,
}

impl Holding {
    /// Beyond 4 GiB it counts as that.
    pub(crate) fn new(bytes: usize, files: usize) -> Self {
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Self { bytes: count(bytes), files: count(files) }
    }
}

impl AddAssign for Holding {
    fn add_assign(&mut self, other: Self) {
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.files = self.files.saturating_add(other.files);
    }
}

impl SubAssign for Holding {
    fn sub_assign(&mut self, other: Self) {
        self.bytes = self.bytes.saturating_sub(other.bytes);
        self.files = self.files.saturating_sub(other.files);
    }
}

impl Connection {
    /// Whether another request may be begun beside those that are in progress or not sent.
    pub(super) fn has_room(&self) -> bool {
        let mut held = self.exchanges_hold;
        held += self.output.holds();
        held.bytes < BEGIN_BELOW.bytes && held.files < BEGIN_BELOW.files
    }

    /// Whether an exchange's response may be compressed as it comes. One behind others has none of its own, so that a client that pipelines has one and
    /// not one for each request.
    pub(super) fn has_room_to_compress(&self, exchange: &Exchange) -> bool {
        let mut held = self.exchanges_hold;
        held += self.output.holds();
        held += Holding::new(exchange.body.holds(), 0);
        !exchange.is_behind && (held.bytes as usize) < COMPRESS_BELOW
    }

    /// Counts what an exchange comes to hold: `files` are those that its answer may bring.
    pub(super) fn charge(&mut self, exchange: &mut Exchange, bytes: usize, files: usize) {
        let more = Holding::new(bytes, files);
        exchange.holds += more;
        self.exchanges_hold += more;
    }

    /// Counts what a request holds that waits for an application: its head is kept, and crosses; behind others its response may come
    /// before its turn.
    pub(super) fn charge_request(&mut self, exchange: &mut Exchange) {
        let mut bytes = 2 * exchange.head.len();
        let mut files = 0;
        if exchange.is_behind {
            bytes += NARROW_WINDOW as usize;
            files += usize::from(exchange.may_name_file());
        }
        self.charge(exchange, bytes, files);
    }

    /// Counts what has been written for an exchange before its turn. An application that sends too much of what needs no credit has its
    /// client cut off.
    pub(super) fn weigh(&mut self, cx: &mut Context, key: Key) {
        let Some(exchange) = cx.exchanges.get_mut(key) else { return };
        let Some(held) = &exchange.held else { return };
        let held = held.holds();
        let before = std::mem::replace(&mut exchange.held_counted, held);
        exchange.holds -= before;
        exchange.holds += held;
        self.exchanges_hold -= before;
        self.exchanges_hold += held;
        if self.exchanges_hold.bytes.saturating_add(self.output.holds().bytes) > MOST {
            exchange.set_reason("its client did not read the responses before it");
            self.close(cx);
        }
    }

    /// All that the core holds for this connection.
    pub(crate) fn holds(&self, cx: &Context) -> Holding {
        let mut held = self.exchanges_hold;
        held += self.output.holds();
        let mut bytes = self.input.capacity() + self.body_holds();
        for &key in &self.exchanges {
            let Some(exchange) = cx.exchanges.get(key) else { continue };
            bytes += exchange.body.holds() + exchange.trailers.len();
            bytes += exchange.compression.as_ref().map_or(0, |compression| compression.holds());
        }
        // Its socket.
        held += Holding::new(bytes, 1 + usize::from(self.spools()));
        held
    }
}
