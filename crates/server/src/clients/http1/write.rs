//! Responses in HTTP/1's form: heads, framing, and the connection's end where that is the only end a body has.

use super::output::Output;
use super::{Connection, Early};
use crate::clients::open_file::OpenFile;
use crate::exchange::holding::Holding;
use crate::exchange::seam::{Body, Client};
use crate::exchange::turn::Turn;
use crate::exchange::{Exchange, ResponseState};
use crate::filters::head::ResponseHead;
use crate::peer::Peer;
use gwanmun_http1::response::{
    write_chunk_head, write_last_chunk, write_status_line, write_status_line_with,
};
use gwanmun_reactor::arena::Key;
use gwanmun_reactor::clock::Clock;
use std::collections::VecDeque;

/// With more than this unsent no informational response is added.
const MOST_BEFORE_INFORMATIONAL: u32 = 64 * 1024;

impl Client for Connection {
    fn peer(&self) -> &Peer {
        &self.peer
    }

    fn has_room_to_compress(&self, exchange: &Exchange) -> bool {
        self.has_compressor_room(exchange)
    }

    fn charge(&mut self, exchange: &mut Exchange, bytes: usize, files: usize) {
        exchange.charge(bytes, files);
        self.exchanges_hold += Holding::new(bytes, files);
    }

    fn head(
        &mut self,
        turn: &mut Turn,
        key: Key,
        head: &ResponseHead<'_>,
        body: Body<'_>,
        end: bool,
    ) {
        self.write(turn, key, Some(head), body, end);
    }

    fn body(&mut self, turn: &mut Turn, key: Key, body: Body<'_>, end: bool) {
        self.write(turn, key, None, body, end);
    }

    fn informational(&mut self, turn: &mut Turn, key: Key, status: u16, lines: &[u8]) {
        // It is for a client that waits for nothing else; one that does not read what it has got has no use for it.
        if !self.is_first(key) || self.output.holds().bytes > MOST_BEFORE_INFORMATIONAL {
            return;
        }
        let out = self.output.tail(&mut turn.buffers);
        write_status_line(out, status);
        out.extend_from_slice(lines);
        out.extend_from_slice(b"\r\n");
        self.mark_dirty(turn);
    }

    fn abort(&mut self, turn: &mut Turn, key: Key) {
        let Some(exchange) = turn.exchanges.get_mut(key) else { return };
        let before = std::mem::replace(&mut exchange.response.state, ResponseState::Broken);
        // Where the end of the connection is the end of the body, an end would look like a whole one (W62).
        self.reset_at_end |= before == ResponseState::Open && exchange.http10;
        let first = self.is_first(key);
        self.written(turn, key, first, true);
    }

    fn on_decided(&mut self, turn: &mut Turn) {
        // Settling goes on with the input, where the request still is.
        self.blocked = true;
        self.mark_dirty(turn);
    }

    fn on_room(&mut self, turn: &mut Turn, key: Key) {
        self.go_on_with_body(turn, key);
    }
}

impl Connection {
    #[inline]
    fn write(
        &mut self,
        turn: &mut Turn,
        key: Key,
        head: Option<&ResponseHead<'_>>,
        body: Body<'_>,
        end: bool,
    ) {
        let ends = head.is_some_and(|head| self.ends_with(turn, key, head));
        let Some(exchange) = turn.exchanges.get_mut(key) else { return };
        let is_open = exchange.response.state == ResponseState::Open;
        let chunked = is_open && !exchange.http10;
        let first = self.exchanges.front() == Some(&key);
        let output =
            if first { &mut self.output } else { early(self.early.get_or_insert_default(), key) };
        let out = output.tail(&mut turn.buffers);
        if let Some(head) = head {
            // Without chunks, the end of the connection is the end of the body.
            exchange.keep_alive &= !(ends || (is_open && exchange.http10));
            write_head(out, &turn.clock, exchange, head, chunked);
        }
        match body {
            Body::Bytes(bytes) => {
                if chunked && !bytes.is_empty() {
                    write_chunk_head(out, bytes.len());
                }
                out.extend_from_slice(bytes);
                if chunked && !bytes.is_empty() {
                    out.extend_from_slice(b"\r\n");
                }
            }
            Body::Entry(entry, start, end) => {
                output.push_entry(entry, start, end, &mut turn.buffers);
            }
            Body::Passed(file, start, end) => {
                output.push_file(OpenFile::Passed(file), start, end);
            }
        }
        if end {
            if chunked {
                write_last_chunk(output.tail(&mut turn.buffers), &exchange.trailers);
            }
            exchange.response.state = ResponseState::Complete;
        }
        self.written(turn, key, first, end);
    }

    /// Whether the connection has to end with the response that begins.
    #[inline]
    fn ends_with(&self, turn: &Turn, key: Key, head: &ResponseHead<'_>) -> bool {
        head.close
            || (turn.closing && self.exchanges.back() == Some(&key))
            || self.body_bars(key, head.is_whole)
    }

    /// Something has been written for an exchange. `end`: nothing more will be.
    #[inline]
    fn written(&mut self, turn: &mut Turn, key: Key, first: bool, end: bool) {
        self.mark_dirty(turn);
        if !first {
            self.weigh(turn, key);
        } else if end {
            self.advance(turn);
        }
    }
}

/// Where an exchange writes to whose turn it is not.
fn early(all: &mut VecDeque<Early>, exchange: Key) -> &mut Output {
    let index = all.iter().rposition(|early| early.exchange == exchange).unwrap_or_else(|| {
        all.push_back(Early { exchange, output: Output::default(), counted: Holding::default() });
        all.len() - 1
    });
    &mut all[index].output
}

/// The one writer of a head.
fn write_head(
    out: &mut Vec<u8>,
    clock: &Clock,
    exchange: &Exchange,
    head: &ResponseHead<'_>,
    chunked: bool,
) {
    match head.reason {
        None => write_status_line(out, head.status),
        Some(reason) => write_status_line_with(out, head.status, reason),
    }
    exchange.write_fields(out, clock, head);
    if chunked {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    // Where it is not the version's default.
    match (exchange.keep_alive, exchange.http10) {
        (true, true) => out.extend_from_slice(b"Connection: keep-alive\r\n"),
        (false, false) => out.extend_from_slice(b"Connection: close\r\n"),
        (true, false) | (false, true) => {}
    }
    out.extend_from_slice(b"\r\n");
}
