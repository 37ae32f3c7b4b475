//! Certificates and keys as an operator's files have them: any text is read or refused with a reason, and what is read is whole.

#![no_main]

use gwanmun_certificates::{authorities, normal_name, read};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    // One file may be both.
    match read(text, text) {
        Ok(pair) => {
            assert!(!pair.chain.is_empty());
            for name in &pair.facts.names {
                assert_eq!(normal_name(name).as_ref(), Some(name), "a name has one form");
            }
            // What follows is comment.
            let mut more = text.to_vec();
            more.extend_from_slice(b"\n# more\n");
            assert_eq!(read(&more, &more).expect("a comment changes nothing").facts, pair.facts);
        }
        Err(fault) => assert!(!fault.to_string().is_empty()),
    }
    let _ = authorities(text);
    let half = text.len() / 2;
    let _ = read(&text[..half], &text[half..]);
});
