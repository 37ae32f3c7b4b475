//! Certificates and keys as an operator's files have them: any text is read or refused with a reason, and what is read is whole.

#![no_main]

use gwanmun_certificates::{ClientFacts, authorities, normal_name, read, revocations};
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
    // What is said of a certificate may stand in any log, and in an environ.
    let is_plain = |text: &str| text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    for authority in authorities(text).unwrap_or_default() {
        let facts = ClientFacts::of(&authority.der).expect("it has been read");
        assert!(is_plain(&facts.subject) && is_plain(&facts.issuer) && is_plain(&facts.serial));
        let again = authorities(facts.pem.as_bytes()).expect("it is PEM");
        assert_eq!(again.first().map(|again| &again.der), Some(&authority.der));
    }
    for list in revocations(text).unwrap_or_default() {
        assert!(is_plain(&list.issuer_name));
    }
    // As a client sends one.
    let _ = ClientFacts::of(text);
    let half = text.len() / 2;
    let _ = read(&text[..half], &text[half..]);
});
