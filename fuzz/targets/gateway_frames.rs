//! Frames from a worker: the same frames however the bytes arrive, and what is accepted keeps the protocol's rules.

#![no_main]

use gwanmun_gateway::frame::{
    ALIGN, FLAG_FD, Frame, FrameError, FrameReader, HEADER, Kind, MAX_FRAME, padded, whole_frames,
    write,
};
use gwanmun_gateway::response::FromWorker;
use gwanmun_http1::response::{check_block, check_trailers, write_last_chunk};
use gwanmun_http1::{Chunk, ChunkedDecoder};
use libfuzzer_sys::fuzz_target;

/// What came of an input. Frames before an error count: they have been handed on.
#[derive(Debug, PartialEq)]
struct Outcome {
    /// Each frame written again, so that it outlives the buffer it was read from.
    frames: Vec<Vec<u8>>,
    consumed: usize,
    end: Result<(), FrameError>,
}

fuzz_target!(|data: &[u8]| {
    let whole = read([data]);
    assert!(whole.consumed <= data.len() && whole.consumed.is_multiple_of(ALIGN));
    check_sizes(data, &whole);

    assert_eq!(read(data.chunks(1)), whole);
    let step = 1 + data.len() / 64;
    for at in (0..data.len()).step_by(step) {
        let (first, second) = data.split_at(at);
        assert_eq!(read([first, second]), whole);
    }

    let mut at = 0;
    for frame in &whole.frames {
        check_frame(frame, &data[at..]);
        at += frame.len();
    }
    assert_eq!(at, whole.consumed);
});

/// Reads as a link does: what is no whole frame yet waits for the next piece.
fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let mut outcome = Outcome { frames: Vec::new(), consumed: 0, end: Ok(()) };
    let mut buffer = Vec::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        let mut reader = FrameReader::new(&buffer);
        loop {
            match reader.next() {
                Ok(Some(frame)) => outcome.frames.push(rewritten(&frame)),
                Ok(None) => break,
                Err(error) => {
                    let consumed = reader.consumed();
                    assert_eq!(reader.next(), Err(error));
                    assert_eq!(reader.consumed(), consumed);
                    outcome.consumed += consumed;
                    outcome.end = Err(error);
                    return outcome;
                }
            }
        }
        let consumed = reader.consumed();
        assert!(consumed <= buffer.len());
        outcome.consumed += consumed;
        buffer.drain(..consumed);
    }
    outcome
}

fn rewritten(frame: &Frame<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out, frame.kind, frame.flags, frame.stream, frame.extra, frame.payload);
    out
}

/// Looking at sizes only finds the same ends, and knows nothing of kinds and flags.
fn check_sizes(data: &[u8], whole: &Outcome) {
    match (whole_frames(data), &whole.end) {
        (Ok(length), Ok(())) => assert_eq!(length, whole.consumed),
        (Ok(length), Err(_)) => assert!(length > whole.consumed && length <= data.len()),
        (Err(_), end) => assert!(end.is_err()),
    }
}

/// `frame` is what was read at the start of `data`.
fn check_frame(frame: &[u8], data: &[u8]) {
    let read = FrameReader::new(frame).next().expect("read before").expect("whole");
    let size = HEADER + read.payload.len();
    assert!(size <= MAX_FRAME && padded(size) == frame.len());
    // Padding is the sender's; everything else is as it came.
    assert_eq!(frame[..size], data[..size]);

    let Ok(decoded) = FromWorker::decode(read) else { return };
    assert_eq!(read.flags & FLAG_FD != 0, matches!(decoded, FromWorker::File { .. }));
    let about_link = matches!(read.kind, Kind::Hello | Kind::Ready | Kind::Block | Kind::Passing);
    assert!(read.kind == Kind::Log || about_link == (read.stream == 0));
    match decoded {
        FromWorker::Hello { concurrency, name, .. } => {
            assert!((1..=65_535).contains(&concurrency) && name.len() + 16 == read.payload.len());
        }
        FromWorker::Block { id, lines } => {
            assert_ne!(id, 0);
            check_lines(lines);
        }
        FromWorker::Head { status, reason, lines, body, end, .. } => {
            assert!((200..=599).contains(&status));
            let reason = reason.map_or(0, |reason| reason.len() + 2);
            assert_eq!(8 + reason + lines.len() + body.len(), read.payload.len());
            assert_eq!(end, read.ends());
            check_lines(lines);
        }
        FromWorker::HttpHead { head, body, end, .. } => {
            assert_eq!(8 + head.len() + body.len(), read.payload.len());
            assert_eq!(end, read.ends());
        }
        FromWorker::File { status, reason, lines, offset, length, .. } => {
            assert!((200..=599).contains(&status) && read.ends());
            let reason = reason.map_or(0, |reason| reason.len() + 2);
            assert_eq!(8 + reason + lines.len() + 16, read.payload.len());
            assert!(offset != Some(u64::MAX) && length != Some(u64::MAX));
            check_lines(lines);
        }
        FromWorker::Info { status, lines, .. } => {
            assert!((102..=199).contains(&status));
            check_lines(lines);
        }
        FromWorker::Data { body, end, .. } => assert_eq!((body, end), (read.payload, read.ends())),
        FromWorker::Log { request_id, request, text, .. } => {
            let named = request.map_or(Vec::new(), |(method, target)| {
                let space: &[u8] = if target.is_empty() { b"" } else { b" " };
                [method, space, target, b"\n"].concat()
            });
            let whole = [request_id.unwrap_or_default(), &named, text].concat();
            assert!(whole == read.payload || whole.len() + 1 == read.payload.len());
        }
        FromWorker::Ready { wishes } => assert_eq!(wishes.iter().count() * 4, read.payload.len()),
        FromWorker::Trailers { lines, .. } => {
            check_lines(lines);
            check_end(lines);
        }
        FromWorker::Passing
        | FromWorker::End { .. }
        | FromWorker::Closed { .. }
        | FromWorker::Reset { .. }
        | FromWorker::Credit { .. } => {}
    }
}

/// Trailers that are let through are the end of the body, and nothing behind them is taken for it.
fn check_end(trailers: &[u8]) {
    if check_trailers(trailers).is_err() {
        return;
    }
    let mut out = Vec::new();
    write_last_chunk(&mut out, trailers);
    let end = out.len();
    out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    let mut decoder = ChunkedDecoder::new();
    match decoder.decode(&out) {
        Ok((used, chunk)) => assert_eq!((used, chunk), (end, Chunk::Done)),
        // More than it takes of a client.
        Err(rejection) => assert_eq!(rejection.status(), 431),
    }
}

/// Header lines that are let through are lines: no client can be shown a head that ends early (H84).
fn check_lines(lines: &[u8]) {
    if check_block(lines).is_err() || lines.is_empty() {
        return;
    }
    let text = lines.strip_suffix(b"\r\n").expect("ends with CRLF");
    for line in text.split(|&byte| byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        assert!(!line.is_empty() && line.contains(&b':'));
        assert!(line.iter().all(|byte| !matches!(byte, 0 | b'\r')));
    }
    assert_eq!(
        text.iter().filter(|&&byte| byte == b'\n').count(),
        text.windows(2).filter(|pair| pair == b"\r\n").count()
    );
}
