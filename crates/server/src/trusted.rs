//! Which peers are believed when they say for whom they forward a request.

use crate::error::{Error, ErrorKind};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::net::IpAddr;

#[derive(Debug, Default)]
pub(crate) struct TrustedProxies {
    networks: Vec<IpNet>,
    /// Whoever comes by a Unix socket, too.
    unix: bool,
    /// As they are written.
    entries: Vec<String>,
    /// Index of the first one by which everybody is trusted.
    everybody: Option<usize>,
}

/// What stands for a peer that has come by a Unix socket.
pub(crate) const UNIX: &str = "unix";
/// What stands for every address.
const ANY: &str = "*";

impl TrustedProxies {
    pub(crate) fn new(entries: &[String]) -> Result<Self, Error> {
        let mut trusted = Self { entries: entries.to_vec(), ..Self::default() };
        for (index, entry) in entries.iter().enumerate() {
            let parsed = Entry::parse(entry).map_err(|fault| {
                Error::new(ErrorKind::Config, fault).at(format!("trustedProxies[{index}]"))
            })?;
            match parsed {
                Entry::Unix => trusted.unix = true,
                Entry::Networks(networks) => {
                    if networks.iter().any(|network| network.prefix_len() == 0) {
                        trusted.everybody.get_or_insert(index);
                    }
                    trusted.networks.extend(networks);
                }
            }
        }
        Ok(trusted)
    }

    pub(crate) fn has(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(&address))
    }

    pub(crate) fn has_unix(&self) -> bool {
        self.unix
    }

    /// The line of the configuration by which a peer would be trusted too.
    pub(crate) fn line_with(&self, peer: &str) -> String {
        let entries = self.entries.iter().map(String::as_str).chain([peer]);
        let entries: Vec<_> = entries.map(|entry| format!("'{entry}'")).collect();
        format!("trustedProxies: [{}]", entries.join(", "))
    }

    /// P30: what has to be said of it at the start.
    pub(crate) fn warning(&self) -> Option<String> {
        let entry = &self.entries[self.everybody?];
        Some(format!(
            "trustedProxies has '{entry}': whoever reaches the server chooses the address, scheme and host that applications and the log see of it. Name the addresses of your proxies instead."
        ))
    }
}

/// What is wrong with an entry of `trustedProxies`, and what to write instead.
#[must_use]
pub fn trusted_proxy_fault(entry: &str) -> Option<String> {
    Entry::parse(entry).err()
}

enum Entry {
    Unix,
    Networks(Vec<IpNet>),
}

impl Entry {
    fn parse(text: &str) -> Result<Self, String> {
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

    fn trusted(entries: &[&str]) -> TrustedProxies {
        let entries: Vec<_> = entries.iter().map(|entry| (*entry).to_owned()).collect();
        TrustedProxies::new(&entries).unwrap()
    }

    fn has(entry: &str, address: &str) -> bool {
        trusted(&[entry]).has(address.parse().unwrap())
    }

    #[test]
    fn a_network_has_the_addresses_in_it() {
        assert!(has("10.0.0.0/8", "10.255.255.255") && !has("10.0.0.0/8", "11.0.0.0"));
        assert!(has("192.0.2.1", "192.0.2.1") && !has("192.0.2.1", "192.0.2.2"));
        assert!(
            has("2001:db8::/33", "2001:db8:7fff::") && !has("2001:db8::/33", "2001:db8:8000::")
        );
        assert!(has("::1", "::1") && !has("::1", "127.0.0.1"));
        assert!(trusted(&["10.0.0.0/8", "192.0.2.0/31"]).has("192.0.2.1".parse().unwrap()));
    }

    #[test]
    fn nobody_is_trusted_by_default_and_loopback_is_not_either() {
        let none = trusted(&[]);
        assert!(!none.has("127.0.0.1".parse().unwrap()) && !none.has("::1".parse().unwrap()));
        assert!(!none.has_unix() && none.warning().is_none());
    }

    #[test]
    fn the_line_to_write_has_what_is_written_already() {
        assert_eq!(trusted(&[]).line_with("::1"), "trustedProxies: ['::1']");
        let line = trusted(&["10.0.0.0/8", "unix"]).line_with("192.0.2.1");
        assert_eq!(line, "trustedProxies: ['10.0.0.0/8', 'unix', '192.0.2.1']");
    }

    #[test]
    fn p28_a_unix_socket_is_trusted_by_its_word_alone() {
        assert!(trusted(&["unix"]).has_unix());
        assert!(!trusted(&["*", "0.0.0.0/0", "::/0"]).has_unix());
    }

    #[test]
    fn p29_ipv4_networks_in_ipv6_are_those_networks() {
        assert!(has("::ffff:10.0.0.0/104", "10.1.2.3") && !has("::ffff:10.0.0.0/104", "11.0.0.0"));
        assert!(has("::ffff:10.0.0.1", "10.0.0.1"));
    }

    #[test]
    fn p30_trust_in_everybody_is_told() {
        for entry in ["*", "0.0.0.0/0", "::/0", "::ffff:0.0.0.0/96"] {
            let warning = trusted(&["10.0.0.0/8", entry]).warning().unwrap();
            assert!(warning.starts_with(&format!("trustedProxies has '{entry}': ")), "{warning}");
        }
        assert!(has("*", "192.0.2.1") && has("*", "2001:db8::1"));
        assert!(trusted(&["10.0.0.0/8", "unix"]).warning().is_none());
    }

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
            let fault = trusted_proxy_fault(entry).unwrap();
            assert!(fault.starts_with("expected ") && fault.contains(expected), "{fault}");
        }
        let error = TrustedProxies::new(&["unix".to_owned(), "no".to_owned()]).unwrap_err();
        assert!(format!("{error:?}").contains("trustedProxies[1]"));
        assert_eq!(trusted_proxy_fault("*"), None);
    }
}
