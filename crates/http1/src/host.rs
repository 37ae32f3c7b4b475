//! `host [":" port]`, in the Host field and in an absolute request target.

use std::net::Ipv6Addr;

use crate::rejection::Kind;
use crate::syntax::HOST;

/// Bytes of an authority. A name in the DNS has at most 255 (RFC 1035 §2.3.4); the host stands twice in an environ, which has to fit a
/// frame however long the other headers are.
const MAX_AUTHORITY: usize = 1024;

/// Checks `uri-host [ ":" port ]` (RFC 9110 §7.2, RFC 3986 §3.2.2) and returns the length of the host part.
///
/// Userinfo, a path, a list and an empty host fail by their characters; so does a zone id.
pub(crate) fn check_authority(authority: &[u8]) -> Result<usize, Kind> {
    if authority.len() > MAX_AUTHORITY {
        return Err(Kind::HostLong);
    }
    let host_len = if authority.first() == Some(&b'[') {
        bracketed(authority).ok_or(Kind::Host)?
    } else {
        authority.iter().position(|&byte| !HOST.has(byte)).unwrap_or(authority.len())
    };
    if host_len == 0 {
        return Err(Kind::Host);
    }
    match &authority[host_len..] {
        [] => Ok(host_len),
        [b':', port @ ..] => check_port(port).map(|()| host_len),
        _ => Err(Kind::Host),
    }
}

/// The length of `[IPv6]`, brackets included. IPvFuture is not used by anybody and refused.
fn bracketed(authority: &[u8]) -> Option<usize> {
    let close = authority.iter().position(|&byte| byte == b']')?;
    let address = str::from_utf8(&authority[1..close]).ok()?;
    address.parse::<Ipv6Addr>().ok()?;
    Some(close + 1)
}

/// An empty port is allowed by RFC 3986 §3.2.3 and means the default one.
fn check_port(port: &[u8]) -> Result<(), Kind> {
    if port.len() > 5 || !port.iter().all(u8::is_ascii_digit) {
        return Err(Kind::HostPort);
    }
    let number = port.iter().fold(0u32, |number, digit| number * 10 + u32::from(digit - b'0'));
    if number > 65_535 { Err(Kind::HostPort) } else { Ok(()) }
}
