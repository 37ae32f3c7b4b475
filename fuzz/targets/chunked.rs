//! Chunked bodies: the same outcome however the input is split, and a body that can be sent again.

#![no_main]

use gwanmun_http1::response::{write_chunk_head, write_last_chunk};
use gwanmun_http1::{Chunk, ChunkedDecoder, Rejection};
use libfuzzer_sys::fuzz_target;

/// What came of an input. Data seen before an error counts: it has been handed on.
#[derive(Debug, PartialEq)]
struct Outcome {
    body: Vec<u8>,
    consumed: usize,
    end: Result<bool, Rejection>,
}

fuzz_target!(|data: &[u8]| {
    let whole = decode([data]);
    assert_eq!(decode(data.chunks(1)), whole);
    let step = 1 + data.len() / 64;
    for at in (0..data.len()).step_by(step) {
        let (first, second) = data.split_at(at);
        assert_eq!(decode([first, second]), whole);
    }

    assert!(whole.consumed <= data.len());
    match whole.end {
        Ok(true) => {
            assert!(whole.body.len() <= whole.consumed);
            let used = &data[..whole.consumed];
            assert!(used.ends_with(b"\r\n"));
            // What follows the end changes nothing.
            assert_eq!(decode([used]), whole);
            assert_eq!(decode([used, b"\r\n\0"]), whole);
            assert_eq!(decode([encode(&whole.body).as_slice()]).body, whole.body);
        }
        Ok(false) => assert_eq!(whole.consumed, data.len()),
        Err(rejection) => assert!(matches!(rejection.status(), 400 | 431)),
    }
});

fn decode<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let mut decoder = ChunkedDecoder::new();
    let mut outcome = Outcome { body: Vec::new(), consumed: 0, end: Ok(false) };
    for piece in pieces {
        let mut rest = piece;
        loop {
            match decoder.decode(rest) {
                Ok((used, chunk)) => {
                    rest = &rest[used..];
                    outcome.consumed += used;
                    match chunk {
                        Chunk::Data(data) => {
                            assert!(!data.is_empty() && data.len() <= used);
                            outcome.body.extend_from_slice(data);
                        }
                        Chunk::NeedMore => {
                            assert!(rest.is_empty());
                            break;
                        }
                        Chunk::Done => {
                            assert_eq!(decoder.decode(rest), Ok((0, Chunk::Done)));
                            outcome.end = Ok(true);
                            return outcome;
                        }
                    }
                }
                Err(rejection) => {
                    assert_eq!(decoder.decode(b"0\r\n\r\n"), Err(rejection));
                    // How much of the last piece was right depends on the pieces, and means nothing.
                    outcome.consumed = 0;
                    outcome.end = Err(rejection);
                    return outcome;
                }
            }
        }
    }
    outcome
}

fn encode(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for piece in body.chunks(16) {
        write_chunk_head(&mut out, piece.len());
        out.extend_from_slice(piece);
        out.extend_from_slice(b"\r\n");
    }
    write_last_chunk(&mut out, b"");
    out
}
