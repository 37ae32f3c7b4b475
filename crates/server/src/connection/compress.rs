//! A response's body that is compressed on its way from the application.

use super::Connection;
use super::relay::take_announced;
use crate::thread::{Context, Message};
use gwanmun_files::compression::{Encoder, most_output};
use gwanmun_reactor::arena::Key;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

/// A piece of so many bytes is compressed by a thread that may block: gzip takes a quarter of a millisecond for it, in which
/// an I/O thread answers twenty requests.
pub(super) const LARGE: usize = 16 * 1024;

#[derive(Debug)]
pub(crate) struct Compression {
    /// None: a blocking thread has it.
    encoder: Option<Encoder>,
    /// Bytes of the piece that it has there.
    away: usize,
    /// Bytes that the application has announced and not sent.
    left: Option<u64>,
    /// What has come since then; all but the last piece are full.
    waiting: VecDeque<Vec<u8>>,
    /// All has come.
    is_whole: bool,
}

impl Compression {
    /// `announced`: the application's Content-Length.
    pub(super) fn new(encoder: Encoder, announced: Option<u64>) -> Self {
        Self {
            encoder: Some(encoder),
            away: 0,
            left: announced,
            waiting: VecDeque::new(),
            is_whole: false,
        }
    }

    /// Beside its compressor, which is charged when it begins: what waits, and a piece with what is made of it.
    pub(crate) fn holds(&self) -> usize {
        let making = if self.away > 0 { self.away + most_output(self.away) } else { 0 };
        making + self.waiting.iter().map(Vec::capacity).sum::<usize>()
    }

    /// Bytes of the application that have not been compressed. It gets no credit for them.
    pub(crate) fn waiting(&self) -> u32 {
        (self.away + self.waiting.iter().map(Vec::len).sum::<usize>()) as u32
    }

    /// Keeps a part for later, in pieces for one turn of the compressor.
    fn keep(&mut self, mut part: &[u8]) {
        while !part.is_empty() {
            let room = self.waiting.back().map_or(0, |last| last.capacity() - last.len());
            if room == 0 {
                self.waiting.push_back(Vec::with_capacity(part.len().max(LARGE)));
            }
            let Some(last) = self.waiting.back_mut() else { return };
            let (now, later) = part.split_at(part.len().min(last.capacity() - last.len()));
            last.extend_from_slice(now);
            part = later;
        }
    }
}

/// What a compressor has made of a piece, and itself if another one can come.
#[derive(Debug)]
pub(crate) struct Compressed {
    encoder: Option<Encoder>,
    bytes: io::Result<Vec<u8>>,
}

/// Compresses a piece so that the client can have all of it.
fn compress(mut encoder: Encoder, piece: &[u8], is_last: bool) -> Compressed {
    if is_last {
        return Compressed { encoder: None, bytes: encoder.finish(piece) };
    }
    // Nothing is no piece: flushing it would send some bytes.
    let bytes = if piece.is_empty() { Ok(Vec::new()) } else { encoder.push(piece) };
    Compressed { encoder: Some(encoder), bytes }
}

impl Connection {
    /// A part of a body that is compressed.
    pub(super) fn relay_compressed(&mut self, cx: &mut Context, key: Key, body: &[u8], end: bool) {
        let Some(exchange) = cx.exchanges.get_mut(key) else { return };
        let Some(compression) = &mut exchange.compression else { return };
        let mut part = body;
        if let Some(left) = &mut compression.left {
            part = take_announced(left, body);
        }
        let missing = compression.left.filter(|&left| left > 0);
        compression.is_whole |= compression.left == Some(0) || (end && missing.is_none());
        let is_whole = compression.is_whole;
        let encoder = compression.encoder.take();
        if encoder.is_none() {
            compression.keep(part);
        }
        if part.len() < body.len() {
            cx.log_surplus();
        }
        if end && missing.is_some() {
            self.fall_short(cx, key);
            return;
        }
        if let Some(encoder) = encoder {
            self.compress(cx, key, encoder, part, is_whole);
        }
    }

    /// Compresses a piece here if it is short.
    fn compress(
        &mut self,
        cx: &mut Context,
        key: Key,
        encoder: Encoder,
        piece: &[u8],
        is_last: bool,
    ) {
        if piece.len() < LARGE {
            self.on_compressed(cx, key, compress(encoder, piece, is_last));
            return;
        }
        if let Some(compression) =
            cx.exchanges.get_mut(key).and_then(|exchange| exchange.compression.as_mut())
        {
            compression.away = piece.len();
        }
        let piece = piece.to_vec();
        let lane = Arc::clone(&cx.shared.computing);
        cx.run_blocking(
            &lane,
            move || {
                let compressed = Box::new(compress(encoder, &piece, is_last));
                Message::Compressed { exchange: key, compressed }
            },
            move |error| {
                let compressed = Box::new(Compressed { encoder: None, bytes: Err(error) });
                Message::Compressed { exchange: key, compressed }
            },
        );
    }

    /// A piece has been compressed: it goes out, and what has come meanwhile is the next.
    pub(crate) fn on_compressed(&mut self, cx: &mut Context, key: Key, compressed: Compressed) {
        let bytes = match compressed.bytes {
            Ok(bytes) => bytes,
            Err(error) => {
                cx.log_error(&format!(
                    "A response could not be compressed: {error}; the connection was closed."
                ));
                self.break_off(cx, key);
                return;
            }
        };
        let is_last = compressed.encoder.is_none();
        if let Some(compression) =
            cx.exchanges.get_mut(key).and_then(|exchange| exchange.compression.as_mut())
        {
            compression.away = 0;
        }
        self.relay_plain(cx, key, &bytes, is_last);
        let Some(exchange) = cx.exchanges.get_mut(key) else { return };
        let Some(compression) = &mut exchange.compression else { return };
        let piece = compression.waiting.pop_front().unwrap_or_default();
        let is_whole = compression.is_whole && compression.waiting.is_empty();
        match compressed.encoder {
            Some(encoder) if !piece.is_empty() || is_whole => {
                self.compress(cx, key, encoder, &piece, is_whole);
            }
            encoder => compression.encoder = encoder,
        }
    }
}
