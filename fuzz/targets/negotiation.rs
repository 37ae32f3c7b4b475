//! What clients ask of files and codings: Accept-Encoding, ranges and conditions. Whatever they say, the reply is one that can be
//! sent.

#![no_main]

use gwanmun_files::fuzzing::{SIZES, accepted_codings, file_reply};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    // Six fields in lines.
    let mut lines = data.splitn(6, |&byte| byte == b'\n');
    let mut field = || lines.next().filter(|line| !line.is_empty());

    let codings = accepted_codings(field().unwrap_or_default());
    for (index, coding) in codings.iter().enumerate() {
        assert!(["br", "zstd", "gzip"].contains(coding) && !codings[..index].contains(coding));
    }

    let conditions = [field(), field(), field(), field(), field()];
    for size in SIZES {
        let (status, parts) = file_reply(size, conditions);
        assert!(matches!(status, 200 | 206 | 304 | 412 | 416), "{status}");
        assert_eq!(status == 206, !parts.is_empty());
        assert!(parts.len() <= 16);
        for &(start, end) in &parts {
            assert!(start < end && end <= size as u64);
        }
        for (index, one) in parts.iter().enumerate() {
            // Merged: no byte is sent twice.
            assert!(parts[..index].iter().all(|two| one.1 <= two.0 || two.1 <= one.0));
        }
    }
});
