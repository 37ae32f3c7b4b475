//! A response's body that is compressed on its way from the application.

use super::Connection;
use super::relay::take_announced;
use crate::compression::Encoder;
use crate::thread::arena::Key;
use crate::thread::{Context, Message};
use std::io;
use std::sync::Arc;

/// A piece of so many bytes is compressed by a thread that may block: gzip takes a quarter of a millisecond for it, in which
/// an I/O thread answers twenty requests.
pub(super) const LARGE: usize = 16 * 1024;

#[derive(Debug)]
pub(crate) struct Compression {
    /// None: a blocking thread has it.
    encoder: Option<Encoder>,
    /// Bytes that the application has announced and not sent.
    left: Option<u64>,
    /// What has come since then; the worker gets no credit for it.
    waiting: Vec<u8>,
    /// All has come.
    is_whole: bool,
}

impl Compression {
    /// `announced`: the application's Content-Length.
    pub(super) fn new(encoder: Encoder, announced: Option<u64>) -> Self {
        Self { encoder: Some(encoder), left: announced, waiting: Vec::new(), is_whole: false }
    }

    /// Its compressor has less than half a MiB.
    pub(crate) fn holds(&self) -> usize {
        512 * 1024 + self.waiting.capacity()
    }

    /// Bytes of the application that wait for the compressor.
    pub(crate) fn waiting(&self) -> u32 {
        self.waiting.len() as u32
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
            compression.waiting.extend_from_slice(part);
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
        self.relay_plain(cx, key, &bytes, is_last);
        let Some(exchange) = cx.exchanges.get_mut(key) else { return };
        let Some(compression) = &mut exchange.compression else { return };
        let piece = std::mem::take(&mut compression.waiting);
        let is_whole = compression.is_whole;
        match compressed.encoder {
            Some(encoder) if !piece.is_empty() || is_whole => {
                self.compress(cx, key, encoder, &piece, is_whole);
            }
            encoder => compression.encoder = encoder,
        }
    }
}
