//! Networks as they are written.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::net::IpAddr;

/// What stands for a peer that has come by a Unix socket.
pub const UNIX: &str = "unix";
/// What stands for every address.
const ANY: &str = "*";

/// What is wrong with an entry of a list of networks, and what to write instead.
#[must_use]
pub fn entry_fault(entry: &str) -> Option<String> {
    Entry::parse(entry).err()
}

/// An entry of a list of networks: `10.0.0.0/8`, `192.168.1.5`, `2001:db8::/32`, `unix`, `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Whoever has come by a Unix socket.
    Unix,
    /// One network, or those that are every address.
    Networks(Vec<IpNet>),
}

impl Entry {
    /// Reads one.
    ///
    /// # Errors
    /// What was expected, what it is, and what to write instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == UNIX {
            return Ok(Self::Unix);
        }
        if text == ANY {
            return Ok(Self::Networks(vec![Ipv4Net::default().into(), Ipv6Net::default().into()]));
        }
        if text.contains([',', ' ']) {
            return Err(no_address(text));
        }
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| no_address(text))?;
        let network = match prefix {
            None => IpNet::from(address),
            // `parse` takes a sign as well.
            Some(digits) => digits
                .parse()
                .ok()
                .filter(|_| !digits.starts_with('+'))
                .and_then(|prefix| IpNet::new(address, prefix).ok())
                .ok_or_else(|| {
                    let most = IpNet::from(address).max_prefix_len();
                    format!(
                        "expected a prefix of 0 to {most} bits, as in '10.0.0.0/8', got \"{text}\""
                    )
                })?,
        };
        if network.addr() != network.network() {
            return Err(format!(
                "expected a network, got \"{text}\", which is an address in one: write '{}' for all of it, or '{address}' for that address alone",
                network.trunc()
            ));
        }
        Ok(Self::Networks(vec![unfolded(network)]))
    }
}

/// P29: peers are compared without what IPv6 puts around an IPv4 address.
fn unfolded(network: IpNet) -> IpNet {
    match (network.addr().to_canonical(), network.prefix_len().checked_sub(96)) {
        (IpAddr::V4(address), Some(prefix)) if network.addr().is_ipv6() => {
            Ipv4Net::new(address, prefix).map_or(network, IpNet::V4)
        }
        _ => network,
    }
}

fn no_address(text: &str) -> String {
    let remedy = match text {
        "localhost" | "loopback" => "write '127.0.0.1' and '::1'",
        _ if text.starts_with("unix") => "a peer that comes by a Unix socket is 'unix'",
        _ if text.contains(['*', ',', ' ']) => {
            "each network is an entry of its own: ['10.0.0.0/8', '192.168.1.5']"
        }
        _ if text.contains(|character: char| character.is_ascii_alphabetic())
            && !text.contains(':') =>
        {
            "a name does not work, because its addresses may change: getent hosts NAME shows them"
        }
        _ => "write '10.0.0.0/8', '192.168.1.5', '2001:db8::/32' or 'unix'",
    };
    format!("expected an address or a network, got \"{text}\"; {remedy}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_network_says_what_to_write() {
        for (entry, expected) in [
            (
                "10.0.0.1/8",
                "write '10.0.0.0/8' for all of it, or '10.0.0.1' for that address alone",
            ),
            ("2001:db8::1/32", "write '2001:db8::/32' for all of it, or '2001:db8::1' for that"),
            ("::ffff:10.0.0.1/104", "write '::ffff:10.0.0.0/104' for all of it"),
            ("10.0.0.0/33", "expected a prefix of 0 to 32 bits"),
            ("10.0.0.0/", "expected a prefix of 0 to 32 bits"),
            ("10.0.0.0/-1", "expected a prefix of 0 to 32 bits"),
            ("10.0.0.0/+8", "expected a prefix of 0 to 32 bits"),
            ("10.0.0.0/255.0.0.0", "expected a prefix of 0 to 32 bits"),
            ("::/129", "expected a prefix of 0 to 128 bits"),
            ("proxy.internal", "getent hosts"),
            ("localhost", "write '127.0.0.1' and '::1'"),
            ("unix:/run/site.sock", "is 'unix'"),
            ("10.*", "each network is an entry"),
            ("10.0.0.0/8, 192.168.0.0/16", "each network is an entry"),
            ("10.0.0.1:80", "write '10.0.0.0/8'"),
            ("[::1]", "write '10.0.0.0/8'"),
            ("", "write '10.0.0.0/8'"),
        ] {
            let fault = entry_fault(entry).unwrap();
            assert!(fault.starts_with("expected ") && fault.contains(expected), "{fault}");
        }
        assert_eq!(entry_fault("*"), None);
    }
}
