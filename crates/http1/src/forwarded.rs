//! What proxies say of the client they forward a request for: `X-Forwarded-For`, `-Proto`, `-Host` and `-Port`, or `Forwarded` (RFC 7239).
//!
//! Each proxy adds to the right of what it was sent, so a list is read from there, and only as far as those are trusted who have written it: what stands
//! to the left of the client's address is whatever the client likes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::host::check_authority;
use crate::span::{HeaderSpan, Span};
use crate::syntax::{is_token, trim};

/// Addresses of a list that are looked at; no chain of proxies is as long.
const MOST_HOPS: usize = 32;
/// Bytes of an authority. It takes the Host's place beside the field it stands in, and an environ has to fit a frame; no name in the DNS is as long.
const MOST_AUTHORITY: usize = 512;

/// What a request's proxies say of its client. What they don't say is as it is for the connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forwarded {
    /// The client's address, IPv4 in IPv6 unfolded, and its port, 0 if that was not said.
    pub client: Option<(IpAddr, u16)>,
    /// Whether the client came with TLS.
    pub https: Option<bool>,
    /// What the client named as Host.
    pub authority: Option<Authority>,
    /// The port that the client came to, where a field says no more than that. Not 0.
    pub port: Option<u16>,
}

/// `host[:port]`, in the parsed buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Authority {
    /// All of it.
    pub all: Span,
    /// Without the port. An IPv6 address keeps its brackets.
    pub host: Span,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Forwarded,
    For,
    Proto,
    Host,
    Port,
}

impl Field {
    #[inline]
    fn of(name: &[u8]) -> Option<Field> {
        const FIELDS: [(&[u8], Field); 5] = [
            (b"x-forwarded-for", Field::For),
            (b"x-forwarded-proto", Field::Proto),
            (b"x-forwarded-host", Field::Host),
            (b"x-forwarded-port", Field::Port),
            (b"forwarded", Field::Forwarded),
        ];
        // The first letter sorts out the browsers' fields of these lengths.
        if !matches!(name.first(), Some(b'x' | b'X' | b'f' | b'F')) {
            return None;
        }
        FIELDS
            .into_iter()
            .find_map(|(known, field)| name.eq_ignore_ascii_case(known).then_some(field))
    }
}

/// Whether a field of this name is one of those that are read here.
#[inline]
pub(crate) fn is_forwarded(name: &[u8]) -> bool {
    Field::of(name).is_some()
}

/// Reads the fields of a request that has come from a trusted peer.
///
/// `Forwarded` counts where there is none of the others: a proxy that sets those leaves a client's `Forwarded` as it came. Lines of the others that
/// are not well-formed, or come twice, are removed from `headers`, so that nobody takes them for more.
pub fn read_forwarded(
    buf: &[u8],
    headers: &mut Vec<HeaderSpan>,
    is_trusted: impl Fn(IpAddr) -> bool,
) -> Forwarded {
    let field = |header: &HeaderSpan| Field::of(header.name.of(buf));
    let are_of = |wanted: Field| move |header: &&HeaderSpan| field(header) == Some(wanted);
    if !headers.iter().any(|header| field(header).is_some_and(|own| own != Field::Forwarded)) {
        let lines = headers.iter().filter(are_of(Field::Forwarded)).rev();
        return read_elements(buf, lines.map(|header| header.value.of(buf)), is_trusted);
    }
    let only = |wanted: Field| {
        let mut lines = headers.iter().filter(are_of(wanted));
        lines.next().filter(|_| lines.next().is_none()).map(|header| header.value.of(buf))
    };
    let https = only(Field::Proto).and_then(scheme);
    let authority = only(Field::Host).and_then(|value| authority(buf, value));
    let port = only(Field::Port).and_then(port).filter(|port| *port != 0);
    let lines = headers.iter().filter(are_of(Field::For)).rev();
    let hops = lines.flat_map(|header| header.value.of(buf).rsplit(|&byte| byte == b','));
    let mut client = None;
    for hop in hops.take(MOST_HOPS) {
        let Some(node) = node(trim(hop)) else { break };
        client = Some(node);
        if !is_trusted(node.0) {
            break;
        }
    }
    headers.retain(|header| match field(header) {
        Some(Field::Proto) => https.is_some(),
        Some(Field::Host) => authority.is_some(),
        Some(Field::Port) => port.is_some(),
        Some(Field::For | Field::Forwarded) | None => true,
    });
    Forwarded { client, https, authority, port }
}

/// Lines of `Forwarded`, the last one first.
fn read_elements<'a>(
    buf: &'a [u8],
    lines: impl Iterator<Item = &'a [u8]>,
    is_trusted: impl Fn(IpAddr) -> bool,
) -> Forwarded {
    let mut forwarded = Forwarded::default();
    // A comma in quotes separates too: none stands in what is looked for, and no quote that a client leaves open reaches into what was added behind it.
    let elements = lines.flat_map(|line| line.rsplit(|&byte| byte == b','));
    for element in elements.take(MOST_HOPS) {
        let Some(Element { client, proto, host }) = Element::parse(element) else { break };
        // It was written by who is trusted, and what stands further to the left was written nearer to the client.
        forwarded.https = proto.and_then(scheme).or(forwarded.https);
        forwarded.authority = host.and_then(|value| authority(buf, value)).or(forwarded.authority);
        let Some(node) = client.and_then(node) else { break };
        forwarded.client = Some(node);
        if !is_trusted(node.0) {
            break;
        }
    }
    forwarded
}

/// `for=192.0.2.60;proto=https;host=example.org` (RFC 7239 §4), values without their quotes.
#[derive(Default)]
struct Element<'a> {
    client: Option<&'a [u8]>,
    proto: Option<&'a [u8]>,
    host: Option<&'a [u8]>,
}

impl<'a> Element<'a> {
    fn parse(text: &'a [u8]) -> Option<Self> {
        let mut parsed = Self::default();
        for pair in trim(text).split(|&byte| byte == b';') {
            let equals = pair.iter().position(|&byte| byte == b'=')?;
            let (name, value) = (trim(&pair[..equals]), trim(&pair[equals + 1..]));
            let value = match value {
                [b'"', inner @ .., b'"'] => inner,
                bare => bare,
            };
            // Nothing that is looked for has a quote or a backslash in it.
            if !is_token(name) || value.iter().any(|byte| matches!(byte, b'"' | b'\\')) {
                return None;
            }
            let place = match name {
                name if name.eq_ignore_ascii_case(b"for") => &mut parsed.client,
                name if name.eq_ignore_ascii_case(b"proto") => &mut parsed.proto,
                name if name.eq_ignore_ascii_case(b"host") => &mut parsed.host,
                _ => continue,
            };
            if place.replace(value).is_some() {
                return None;
            }
        }
        Some(parsed)
    }
}

/// An address as proxies write it: bare, with a port, IPv6 also in brackets. `unknown` and names that hide it (RFC 7239 §6.2, §6.3) are none.
fn node(text: &[u8]) -> Option<(IpAddr, u16)> {
    let text = str::from_utf8(text).ok()?;
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some((address.to_canonical(), 0));
    }
    let (address, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, behind) = rest.split_once(']')?;
            (IpAddr::V6(address.parse::<Ipv6Addr>().ok()?), behind)
        }
        None => {
            let at = text.find(':')?;
            (IpAddr::V4(text[..at].parse::<Ipv4Addr>().ok()?), &text[at..])
        }
    };
    let port = match port.strip_prefix(':') {
        Some(hidden) if hidden.starts_with('_') => 0,
        Some(number) => self::port(number.as_bytes())?,
        None if port.is_empty() => 0,
        None => return None,
    };
    Some((address.to_canonical(), port))
}

fn port(text: &[u8]) -> Option<u16> {
    // `parse` takes a sign as well.
    if text.is_empty() || text.len() > 5 || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    str::from_utf8(text).ok()?.parse().ok()
}

fn scheme(text: &[u8]) -> Option<bool> {
    if text.eq_ignore_ascii_case(b"https") {
        Some(true)
    } else {
        text.eq_ignore_ascii_case(b"http").then_some(false)
    }
}

/// `value` is a piece of `buf`.
fn authority(buf: &[u8], value: &[u8]) -> Option<Authority> {
    let length = check_authority(value).ok().filter(|_| value.len() <= MOST_AUTHORITY)?;
    let start = value.as_ptr() as usize - buf.as_ptr() as usize;
    let all = Span::new(start, start + value.len());
    Some(Authority { all, host: Span::new(start, start + length) })
}

/// The port that an authority names behind its host; none if it names none, or 0.
#[must_use]
pub fn port_behind(authority: Span, host: Span, buf: &[u8]) -> Option<u16> {
    let behind = authority.of(buf).get(host.len()..)?.strip_prefix(b":")?;
    port(behind).filter(|port| *port != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: &str = "192.0.2.7";

    /// What the lines say, the networks 10.0.0.0/8 and fd00::/8 being trusted, and the lines that are left.
    fn read(lines: &[(&str, &str)]) -> (Forwarded, Vec<String>, Vec<u8>) {
        let mut buf = b"GET / HTTP/1.1\r\n".to_vec();
        let mut headers = Vec::new();
        for (name, value) in lines {
            let start = buf.len();
            buf.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
            let middle = start + name.len();
            headers.push(HeaderSpan {
                name: Span::new(start, middle),
                value: Span::new(middle + 2, middle + 2 + value.len()),
            });
        }
        let trusted = |address: IpAddr| match address {
            IpAddr::V4(address) => address.octets()[0] == 10,
            IpAddr::V6(address) => address.octets()[0] == 0xfd,
        };
        let forwarded = read_forwarded(&buf, &mut headers, trusted);
        let left = headers.iter().map(|header| {
            let [name, value] = [header.name, header.value]
                .map(|span| String::from_utf8_lossy(span.of(&buf)).into_owned());
            format!("{name}: {value}")
        });
        let left = left.collect();
        (forwarded, left, buf)
    }

    /// `address port` of the client, or `-`.
    fn client(lines: &[(&str, &str)]) -> String {
        match read(lines).0.client {
            Some((address, 0)) => address.to_string(),
            Some((address, port)) => format!("{address} {port}"),
            None => "-".to_owned(),
        }
    }

    fn client_of(value: &str) -> String {
        client(&[("X-Forwarded-For", value)])
    }

    #[test]
    fn p23_the_first_from_the_right_that_is_not_trusted_is_the_client() {
        assert_eq!(client_of(CLIENT), CLIENT);
        assert_eq!(client_of("1.1.1.1, 192.0.2.7"), CLIENT);
        assert_eq!(client_of("1.1.1.1, 192.0.2.7,10.0.0.1 ,\t10.0.0.2"), CLIENT);
        assert_eq!(client_of("1.1.1.1, 2001:db8::7, fd00::1"), "2001:db8::7");
        // All are trusted: the one that is furthest away.
        assert_eq!(client_of("10.0.0.3, 10.0.0.2"), "10.0.0.3");
    }

    #[test]
    fn p25_what_is_no_address_ends_the_walk_at_the_last_trusted_hop() {
        for garbage in
            ["unknown", "_hidden", "", "example.org", "1.2.3", "01.2.3.4", "fe80::1%eth0"]
        {
            assert_eq!(client_of(garbage), "-", "{garbage:?}");
            assert_eq!(client_of(&format!("192.0.2.7, {garbage}, 10.0.0.2")), "10.0.0.2");
            assert_eq!(client_of(&format!("{garbage}, 192.0.2.7, 10.0.0.2")), CLIENT);
        }
        for garbage in [
            "1.2.3.4:",
            "1.2.3.4:x",
            "1.2.3.4:+80",
            "1.2.3.4:65536",
            "[::1",
            "[::1]80",
            "[1.2.3.4]",
            "::1]:80",
            "\u{7f}",
        ] {
            assert_eq!(client_of(garbage), "-", "{garbage:?}");
        }
    }

    #[test]
    fn p25_ports_and_brackets_are_understood() {
        assert_eq!(client_of("192.0.2.7:4711"), "192.0.2.7 4711");
        assert_eq!(client_of("192.0.2.7:0"), CLIENT);
        assert_eq!(client_of("[2001:db8::7]"), "2001:db8::7");
        assert_eq!(client_of("[2001:DB8:0::7]:4711"), "2001:db8::7 4711");
        assert_eq!(client_of("192.0.2.7, 10.0.0.1:4711"), CLIENT);
    }

    #[test]
    fn p25_no_more_than_32_entries_are_looked_at() {
        let hops = |count| format!("192.0.2.7{}", ", 10.0.0.1".repeat(count));
        assert_eq!(client_of(&hops(31)), CLIENT);
        assert_eq!(client_of(&hops(32)), "10.0.0.1");
        assert_eq!(client_of(&hops(200)), "10.0.0.1");
    }

    #[test]
    fn p26_several_lines_are_one_list_in_their_order() {
        let lines = [("X-Forwarded-For", "1.1.1.1, 192.0.2.7"), ("x-forwarded-for", "10.0.0.1")];
        assert_eq!(client(&lines), CLIENT);
        assert_eq!(client(&[lines[1], lines[0]]), CLIENT);
        assert_eq!(
            client(&[lines[0], ("Accept", "*/*"), ("X-FORWARDED-FOR", "2.2.2.2")]),
            "2.2.2.2"
        );
        let forwarded =
            [("Forwarded", "for=1.1.1.1, for=192.0.2.7"), ("forwarded", "for=10.0.0.1")];
        assert_eq!(client(&forwarded), CLIENT);
    }

    #[test]
    fn p27_without_a_list_nothing_is_said_of_the_client() {
        assert_eq!(client(&[("X-Forwarded-Proto", "https")]), "-");
        assert_eq!(read(&[("Accept", "*/*")]).0, Forwarded::default());
    }

    #[test]
    fn p29_ipv4_in_ipv6_is_the_address_that_it_is() {
        assert_eq!(client_of("192.0.2.7, ::ffff:10.0.0.1"), CLIENT);
        assert_eq!(client_of("[::ffff:c000:0207]:80"), "192.0.2.7 80");
    }

    #[test]
    fn p32_what_is_well_formed_is_kept_and_counts() {
        let lines = [
            ("X-Forwarded-Proto", "HTTPS"),
            ("X-Forwarded-Host", "[2001:db8::1]:8443"),
            ("X-Forwarded-Port", "9443"),
        ];
        let (forwarded, left, buf) = read(&lines);
        assert_eq!((forwarded.https, forwarded.port), (Some(true), Some(9443)));
        let Authority { all, host } = forwarded.authority.unwrap();
        assert_eq!(all.of(&buf), b"[2001:db8::1]:8443");
        assert_eq!(host.of(&buf), b"[2001:db8::1]");
        assert_eq!(port_behind(all, host, &buf), Some(8443));
        assert_eq!(left.len(), 3);
        assert_eq!(read(&[("X-Forwarded-Proto", "http")]).0.https, Some(false));
    }

    #[test]
    fn p32_what_is_not_well_formed_is_removed() {
        for value in ["", "ftp", "https, http", "https https", "wss"] {
            let (forwarded, left, _) = read(&[("X-Forwarded-Proto", value), ("X-A", "1")]);
            assert_eq!((forwarded.https, left), (None, vec!["X-A: 1".to_owned()]), "{value:?}");
        }
        let long = "h".repeat(513);
        for value in ["", "a b", "a, b", "user@a", "a/b", "a:x", "a:65536", "[::1", &long] {
            let (forwarded, left, _) = read(&[("X-Forwarded-Host", value)]);
            assert!(forwarded.authority.is_none() && left.is_empty(), "{value:?}");
        }
        for value in ["", "0", "65536", "+80", "80, 81", "000080"] {
            let (forwarded, left, _) = read(&[("X-Forwarded-Port", value)]);
            assert!(forwarded.port.is_none() && left.is_empty(), "{value:?}");
        }
        // A proxy that adds lines leaves those of the client.
        let (forwarded, left, _) =
            read(&[("X-Forwarded-Proto", "https"), ("x-forwarded-proto", "https")]);
        assert!(forwarded.https.is_none() && left.is_empty());
    }

    #[test]
    fn forwarded_counts_where_there_is_no_other_field() {
        let element = r#"for="[2001:db8::7]:4711";proto=https;host="example.org:8443";by=_x"#;
        let (forwarded, left, buf) = read(&[("Forwarded", element)]);
        assert_eq!(client(&[("Forwarded", element)]), "2001:db8::7 4711");
        assert_eq!(forwarded.https, Some(true));
        let Authority { all, host } = forwarded.authority.unwrap();
        assert_eq!((all.of(&buf), host.of(&buf)), (&b"example.org:8443"[..], &b"example.org"[..]));
        assert_eq!(left.len(), 1);
        for other in ["For", "Proto", "Host", "Port"] {
            let name = format!("X-Forwarded-{other}");
            let lines = [("Forwarded", element), (name.as_str(), "?")];
            assert_eq!(read(&lines).0, Forwarded::default(), "{name}");
        }
    }

    #[test]
    fn forwarded_says_how_the_client_came_to_the_first_that_is_trusted() {
        let chain = "for=6.6.6.6;proto=http;host=evil, for=192.0.2.7;proto=https, For=10.0.0.1; Proto=http ;host=a";
        let (forwarded, _, buf) = read(&[("Forwarded", chain)]);
        assert_eq!(forwarded.client, Some((CLIENT.parse().unwrap(), 0)));
        assert_eq!(forwarded.https, Some(true));
        assert_eq!(forwarded.authority.unwrap().all.of(&buf), b"a");
    }

    #[test]
    fn p25_names_that_hide_a_client_end_the_walk_in_forwarded_too() {
        for hidden in ["unknown", "_gazonk", "\"unknown\"", "\"_a:_b\""] {
            let chain = format!("for=6.6.6.6, for={hidden};proto=https, for=10.0.0.1");
            let (forwarded, ..) = read(&[("Forwarded", &chain)]);
            assert_eq!(forwarded.client, Some(("10.0.0.1".parse().unwrap(), 0)), "{hidden}");
            assert_eq!(forwarded.https, Some(true), "its proxy is trusted");
        }
        assert_eq!(client(&[("Forwarded", "for=\"192.0.2.7:_port\"")]), CLIENT);
    }

    #[test]
    fn nothing_that_a_client_leaves_open_reaches_what_was_added_behind_it() {
        for theirs in
            ["for=\"", "for=\"6.6.6.6", "for=\"a\\", "for=6.6.6.6;x=\"", "\",", ";", "=", "for"]
        {
            let chain = format!("{theirs}, for=192.0.2.7;proto=https");
            let (forwarded, ..) = read(&[("Forwarded", &chain)]);
            assert_eq!(forwarded.client, Some((CLIENT.parse().unwrap(), 0)), "{theirs:?}");
            assert_eq!(forwarded.https, Some(true), "{theirs:?}");
            // And where it would have to be read, the walk has ended.
            assert_eq!(
                client(&[("Forwarded", &format!("for=1.1.1.1, {theirs}, for=10.0.0.1"))]),
                "10.0.0.1"
            );
        }
        assert_eq!(client(&[("Forwarded", "for=1.1.1.1;for=2.2.2.2")]), "-");
    }
}
