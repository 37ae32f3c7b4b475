//! What proxies say of their client: whatever stands there can be sent on, and nothing that a client has sent changes what a trusted proxy has
//! added to it.

#![no_main]

use gwanmun_http1::{Authority, Forwarded, HeaderSpan, Span, port_behind, read_forwarded};
use libfuzzer_sys::fuzz_target;
use std::net::IpAddr;

const NAMES: [&str; 6] = [
    "X-Forwarded-For",
    "Forwarded",
    "X-Forwarded-Proto",
    "X-Forwarded-Host",
    "X-Forwarded-Port",
    "Accept",
];

fuzz_target!(|data: &[u8]| {
    // A field in each line, whose first byte says which.
    let lines: Vec<_> = data
        .split(|&byte| byte == b'\n')
        .filter_map(|line| line.split_first())
        .map(|(&name, value)| (NAMES[usize::from(name) % NAMES.len()], value.trim_ascii()))
        .collect();
    check(&lines);

    let of = |name: &str| lines.iter().copied().filter(|line| line.0 == name).collect::<Vec<_>>();
    let client = Some(("192.0.2.7".parse().expect("an address"), 0));
    let mut theirs = of(NAMES[0]);
    add(&mut theirs, NAMES[0], b"192.0.2.7");
    assert_eq!(check(&theirs), Forwarded { client, ..Forwarded::default() });

    let mut theirs = of(NAMES[1]);
    let text;
    if let Some((name, value)) = theirs.pop() {
        text = [value, b", for=192.0.2.7;proto=https"].concat();
        theirs.push((name, &text));
    } else {
        add(&mut theirs, NAMES[1], b"for=192.0.2.7;proto=https");
    }
    assert_eq!(check(&theirs), Forwarded { client, https: Some(true), ..Forwarded::default() });
});

fn add<'a>(lines: &mut Vec<(&'a str, &'a [u8])>, name: &'a str, value: &'a [u8]) {
    lines.push((name, value));
}

fn check(lines: &[(&str, &[u8])]) -> Forwarded {
    let mut buf = Vec::new();
    let mut span = |bytes: &[u8]| {
        let start = buf.len() as u32;
        buf.extend_from_slice(bytes);
        Span { start, end: buf.len() as u32 }
    };
    let mut headers: Vec<_> = lines
        .iter()
        .map(|(name, value)| HeaderSpan { name: span(name.as_bytes()), value: span(value) })
        .collect();
    let before = headers.clone();
    let forwarded = read_forwarded(&buf, &mut headers, is_trusted);

    if let Some(Authority { all, host }) = forwarded.authority {
        assert!(
            before.iter().any(|field| field.value.start <= all.start && all.end <= field.value.end)
        );
        assert!(
            all.len() <= 512 && !host.is_empty() && all.start == host.start && host.end <= all.end
        );
        assert!(all.of(&buf).iter().all(|byte| byte.is_ascii_graphic()));
        assert_ne!(port_behind(all, host, &buf), Some(0));
    }
    assert_ne!(forwarded.port, Some(0));
    if let Some((address, _)) = forwarded.client {
        assert_eq!(address, address.to_canonical());
    }
    assert!(headers.iter().all(|field| before.contains(field)));
    forwarded
}

fn is_trusted(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.octets()[0] == 10,
        IpAddr::V6(address) => address.octets()[0] == 0xfd,
    }
}
