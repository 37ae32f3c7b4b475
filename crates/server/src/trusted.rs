//! Which peers are believed when they say for whom they forward a request.

use crate::error::{Error, ErrorKind};
use gwanmun_access::Entry;
use ipnet::IpNet;
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
    fn what_is_no_network_is_named() {
        let error = TrustedProxies::new(&["unix".to_owned(), "no".to_owned()]).unwrap_err();
        assert!(format!("{error:?}").contains("trustedProxies[1]"));
    }
}
