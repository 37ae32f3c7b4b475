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
use crate::exchange::holding::Holding;
use crate::exchange::turn::Turn;
use gwanmun_reactor::arena::Key;

/// While as much is held, the next request of a pipeline stays unread.
const BEGIN_BELOW: Holding = Holding { bytes: 320 * 1024, files: 12 };
/// With as much held no compressor is made: it has [`MOST_MEMORY`](gwanmun_files::compression::MOST_MEMORY), its response the worker's window, the piece
/// that is compressed is there twice, and a request that is not read on takes up to 128 KiB.
const COMPRESS_BELOW: usize = 128 * 1024;
/// Bytes that are never held for long: beyond them the connection is closed.
const MOST: u32 = 1024 * 1024;

impl Connection {
    /// Whether another request may be begun beside those that are in progress or not sent.
    pub(super) fn has_room(&self) -> bool {
        let mut held = self.exchanges_hold;
        held += self.output.holds();
        held += Holding::new(self.transport.unsent(), 0);
        held.bytes < BEGIN_BELOW.bytes && held.files < BEGIN_BELOW.files
    }

    /// Whether an exchange's response may be compressed as it comes. One behind others has none of its own, so that a client that pipelines has one and
    /// not one for each request.
    pub(super) fn has_compressor_room(&self, exchange: &Exchange) -> bool {
        let mut held = self.exchanges_hold;
        held += self.output.holds();
        held += Holding::new(exchange.body.holds(), 0);
        !exchange.is_behind && (held.bytes as usize) < COMPRESS_BELOW
    }

    /// Counts what has been written for an exchange before its turn. An application that sends too much of what needs no credit has its
    /// client cut off.
    pub(super) fn weigh(&mut self, turn: &mut Turn, key: Key) {
        let Some(exchange) = turn.exchanges.get_mut(key) else { return };
        let all = self.early.iter_mut().flat_map(|all| all.iter_mut());
        let Some(early) = all.rev().find(|early| early.exchange == key) else { return };
        let held = early.output.holds();
        let before = std::mem::replace(&mut early.counted, held);
        exchange.holds -= before;
        exchange.holds += held;
        self.exchanges_hold -= before;
        self.exchanges_hold += held;
        if self.exchanges_hold.bytes.saturating_add(self.output.holds().bytes) > MOST {
            exchange.set_reason("its client did not read the responses before it");
            self.close(turn);
        }
    }

    /// All that the core holds for this connection.
    pub(crate) fn holds(&self, turn: &Turn) -> Holding {
        let mut held = self.exchanges_hold;
        held += self.output.holds();
        let mut bytes = self.input.capacity() + self.body_holds() + self.transport.holds();
        for &key in &self.exchanges {
            let Some(exchange) = turn.exchanges.get(key) else { continue };
            bytes += exchange.body.holds() + exchange.trailers.len();
            bytes += exchange.compression.as_ref().map_or(0, |compression| compression.holds());
        }
        // Its socket.
        held += Holding::new(bytes, 1 + usize::from(self.spools()));
        held
    }
}
