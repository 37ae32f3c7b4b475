//! FastCGI records: the same events wherever they are cut, and never more bytes than have come.

#![no_main]

use gwanmun_fastcgi::{Event, Reader};
use libfuzzer_sys::fuzz_target;

#[derive(Debug, Default, PartialEq)]
struct Read {
    out: Vec<u8>,
    err: Vec<u8>,
    end: Option<u32>,
    failed: bool,
}

fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Read {
    let mut reader = Reader::default();
    let mut all = Read::default();
    for mut piece in pieces {
        loop {
            match reader.next(&mut piece) {
                Ok(Some(Event::Stdout(bytes))) => all.out.extend_from_slice(bytes),
                Ok(Some(Event::Stderr(bytes))) => all.err.extend_from_slice(bytes),
                Ok(Some(Event::End { exit, .. })) => {
                    assert!(all.end.replace(exit).is_none());
                }
                Ok(None) => break,
                Err(_) => {
                    all.failed = true;
                    return all;
                }
            }
        }
        assert!(piece.is_empty());
    }
    all
}

fuzz_target!(|data: &[u8]| {
    let Some((&cut, data)) = data.split_first() else { return };
    let whole = read(std::iter::once(data));
    let pieces = read(data.chunks(usize::from(cut) + 1));
    assert_eq!(whole, pieces);
    assert!(whole.out.len() + whole.err.len() <= data.len());
});
