//! Heads of CGI and FastCGI programs: however they are cut, what is made of them can be sent; and which files are scripts.

#![no_main]

use gwanmun_cgi::response::{Head, HeadCollector, MAX_HEAD, parse};
use gwanmun_files::scripts::{is_source, split};
use gwanmun_http1::response::check_block;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((&cut, data)) = data.split_first() else { return };
    let mut whole = HeadCollector::default();
    let end = whole.push(data);
    let mut pieces = HeadCollector::default();
    let mut read = 0;
    let found = data.chunks(usize::from(cut) + 1).find_map(|piece| {
        let taken = match pieces.push(piece) {
            Ok(None) => None,
            Ok(Some(taken)) => Some(Ok(read + taken)),
            Err(error) => Some(Err(error)),
        };
        read += piece.len();
        taken
    });
    match (&end, &found) {
        (Ok(Some(end)), Some(Ok(found))) => assert_eq!(end, found),
        (Ok(None), None) | (Err(_), Some(Err(_))) => {}
        _ => panic!("{end:?} whole, {found:?} in pieces"),
    }
    assert!(pieces.bytes().len() <= MAX_HEAD);

    for may_name_files in [false, true] {
        let mut lines = Vec::new();
        match parse(data, may_name_files, &mut lines) {
            Ok(Head::Document { status, facts, .. }) => {
                assert!((200..=599).contains(&status));
                assert_eq!(check_block(&lines).expect("lines that can be sent"), facts);
            }
            Ok(Head::LocalRedirect(target)) => {
                assert!(target.starts_with(b"/") && !target.starts_with(b"//"));
                assert!(check_block(&lines).is_ok());
            }
            Err(error) => assert!(error.to_string().len() < 1024),
        }
    }

    if let Some(end) = split(data, &[".php"]) {
        assert!(data[..end].ends_with(b".php"));
        assert!(data.get(end).is_none_or(|next| *next == b'/'));
        assert!(is_source(data, &[".php"]), "a script is never a file");
    }
});
