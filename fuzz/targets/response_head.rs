//! Response heads of HTTP/1 servers: what is relayed can be sent as it is, and parsing it again changes nothing.

#![no_main]

use gwanmun_http1::parse_response_head;
use gwanmun_http1::response::check_block;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut lines = Vec::new();
    let Ok(head) = parse_response_head(data, &mut lines) else { return };
    assert!((100..=999).contains(&head.status));
    assert!(!head.reason.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
    assert!(data.ends_with(b"\r\n\r\n"));
    assert!(lines.len() < data.len());
    // The check of an application's own lines is stricter in one thing: it takes no Proxy-* at all.
    match check_block(&lines) {
        Ok(facts) => assert_eq!(facts, head.facts),
        Err(error) => assert!(error.to_string().to_ascii_lowercase().contains("proxy-"), "{error}"),
    }
    if head.chunked {
        assert_eq!(head.facts.content_length, None);
    }

    let mut again = b"HTTP/1.1 200 OK\r\n".to_vec();
    again.extend_from_slice(&lines);
    again.extend_from_slice(b"\r\n");
    let mut same = Vec::new();
    let second = parse_response_head(&again, &mut same).expect("relayed lines are a head's lines");
    assert_eq!((second.facts, second.close, second.chunked), (head.facts, false, false));
    assert_eq!(same, lines);
});
