//! `allow` and `deny`: which addresses may enter (A82–A84).

use crate::networks::Entry;
use ipnet::IpNet;
use std::net::IpAddr;

/// Two lists of networks, made into ranges that do not overlap: a look-up is a binary search, however many there are. Of all networks that an address is in
/// the one with the longest prefix counts, whatever their order; of the same network in both lists, `deny`. An address in none may enter, unless
/// there is a list of who may.
#[derive(Debug)]
pub struct AddressRules {
    v4: Ranges,
    v6: Ranges,
    unix: bool,
}

/// Where each range begins, and whether its addresses may enter. The first one begins at 0.
type Ranges = Vec<(u128, bool)>;

struct Network {
    first: u128,
    last: u128,
    prefix: u8,
    may_enter: bool,
}

impl AddressRules {
    /// # Errors
    /// The list, `allow` or `deny`, the index in it, and what is wrong with that entry.
    pub fn new(allow: &[String], deny: &[String]) -> Result<Self, (&'static str, usize, String)> {
        let otherwise = allow.is_empty();
        let (mut v4, mut v6, mut unix) = (Vec::new(), Vec::new(), otherwise);
        // What is denied comes last, and so wins.
        for (name, entries, may_enter) in [("allow", allow, true), ("deny", deny, false)] {
            for (index, entry) in entries.iter().enumerate() {
                match Entry::parse(entry).map_err(|fault| (name, index, fault))? {
                    Entry::Unix => unix = may_enter,
                    Entry::Networks(networks) => {
                        for network in networks {
                            let own = if network.addr().is_ipv4() { &mut v4 } else { &mut v6 };
                            own.push(Network::new(network, may_enter));
                        }
                    }
                }
            }
        }
        Ok(Self { v4: ranges(v4, otherwise), v6: ranges(v6, otherwise), unix })
    }

    /// Whether somebody may enter. None: whoever has come by a Unix socket. An IPv4 address in IPv6's form is that address (P29).
    #[must_use]
    pub fn may_enter(&self, address: Option<IpAddr>) -> bool {
        match address.map(|address| address.to_canonical()) {
            None => self.unix,
            Some(IpAddr::V4(address)) => find(&self.v4, u128::from(u32::from(address))),
            Some(IpAddr::V6(address)) => find(&self.v6, u128::from(address)),
        }
    }
}

impl Network {
    fn new(network: IpNet, may_enter: bool) -> Self {
        let number = |address: IpAddr| match address {
            IpAddr::V4(address) => u128::from(u32::from(address)),
            IpAddr::V6(address) => u128::from(address),
        };
        let (first, last) = (number(network.network()), number(network.broadcast()));
        Self { first, last, prefix: network.prefix_len(), may_enter }
    }
}

fn ranges(mut networks: Vec<Network>, otherwise: bool) -> Ranges {
    // A stable sort, so that of equal ones the later stays behind. A network comes before those within it.
    networks.sort_by_key(|network| (network.first, network.prefix));
    let mut ranges = vec![(0, otherwise)];
    let mut begin = |at: u128, may_enter: bool| match ranges.last_mut() {
        Some(last) if last.0 == at => last.1 = may_enter,
        _ => ranges.push((at, may_enter)),
    };
    // The networks around the present place, with their last addresses.
    let mut around: Vec<(u128, bool)> = Vec::new();
    let leave = |around: &mut Vec<(u128, bool)>,
                 before: Option<u128>,
                 begin: &mut dyn FnMut(u128, bool)| {
        while let Some(&(last, _)) = around.last()
            && before.is_none_or(|before| last < before)
        {
            around.pop();
            let outside = around.last().map_or(otherwise, |&(_, may_enter)| may_enter);
            if let Some(next) = last.checked_add(1) {
                begin(next, outside);
            }
        }
    };
    for network in networks {
        leave(&mut around, Some(network.first), &mut begin);
        begin(network.first, network.may_enter);
        around.push((network.last, network.may_enter));
    }
    leave(&mut around, None, &mut begin);
    ranges.dedup_by_key(|(_, may_enter)| *may_enter);
    ranges
}

fn find(ranges: &Ranges, address: u128) -> bool {
    let behind = ranges.partition_point(|&(first, _)| first <= address);
    ranges.get(behind.wrapping_sub(1)).is_some_and(|&(_, may_enter)| may_enter)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(allow: &[&str], deny: &[&str]) -> AddressRules {
        let owned =
            |list: &[&str]| list.iter().map(|entry| (*entry).to_owned()).collect::<Vec<_>>();
        AddressRules::new(&owned(allow), &owned(deny)).unwrap()
    }

    fn may(rules: &AddressRules, address: &str) -> bool {
        rules.may_enter(Some(address.parse().unwrap()))
    }

    #[test]
    fn a82_the_longest_prefix_wins_in_any_order() {
        for rules in [
            rules(&["10.0.0.0/8", "10.1.2.0/24"], &["10.1.0.0/16"]),
            rules(&["10.1.2.0/24", "10.0.0.0/8"], &["10.1.0.0/16", "10.1.0.0/16"]),
        ] {
            for (address, expected) in [
                ("9.255.255.255", false),
                ("10.0.0.0", true),
                ("10.0.255.255", true),
                ("10.1.0.0", false),
                ("10.1.1.255", false),
                ("10.1.2.0", true),
                ("10.1.2.255", true),
                ("10.1.3.0", false),
                ("10.2.0.0", true),
                ("10.255.255.255", true),
                ("11.0.0.0", false),
                ("::1", false),
            ] {
                assert_eq!(may(&rules, address), expected, "{address}");
            }
        }
    }

    #[test]
    fn a82_of_equal_networks_deny_wins() {
        let both = rules(&["192.0.2.0/24", "2001:db8::/32"], &["192.0.2.0/24", "2001:db8::/32"]);
        assert!(!may(&both, "192.0.2.1") && !may(&both, "2001:db8::1"));
    }

    #[test]
    fn a82_who_is_in_no_list() {
        let allow = rules(&["192.0.2.1"], &[]);
        assert!(may(&allow, "192.0.2.1") && !may(&allow, "192.0.2.2") && !allow.may_enter(None));
        let deny = rules(&[], &["192.0.2.1"]);
        assert!(!may(&deny, "192.0.2.1") && may(&deny, "192.0.2.2") && deny.may_enter(None));
    }

    #[test]
    fn a82_a_unix_socket_is_a_word_of_its_own() {
        assert!(rules(&["unix"], &[]).may_enter(None));
        assert!(!rules(&["*"], &[]).may_enter(None));
        assert!(!rules(&[], &["unix"]).may_enter(None));
        assert!(!rules(&["unix"], &["unix"]).may_enter(None));
    }

    #[test]
    fn p29_ipv4_in_ipv6_is_ipv4() {
        let allow = rules(&["::ffff:10.0.0.0/104"], &[]);
        assert!(
            may(&allow, "10.9.9.9") && may(&allow, "::ffff:10.9.9.9") && !may(&allow, "11.0.0.0")
        );
    }

    #[test]
    fn the_ends_of_the_space_are_within_it() {
        let allow = rules(&["*"], &["255.255.255.255", "ffff::/16"]);
        assert!(may(&allow, "0.0.0.0") && may(&allow, "255.255.255.254"));
        assert!(!may(&allow, "255.255.255.255"));
        assert!(may(&allow, "::") && !may(&allow, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"));
    }

    #[test]
    fn a83_what_is_no_network_is_named() {
        let owned = |entry: &str| vec!["10.0.0.0/8".to_owned(), entry.to_owned()];
        let (list, index, fault) = AddressRules::new(&owned("10.0.0.1/8"), &[]).unwrap_err();
        assert_eq!((list, index), ("allow", 1));
        assert!(fault.contains("write '10.0.0.0/8'"), "{fault}");
        let (list, index, _) = AddressRules::new(&[], &owned("example.org")).unwrap_err();
        assert_eq!((list, index), ("deny", 1));
    }

    /// Against the plain reading of the rule.
    #[test]
    fn a82_random_lists_mean_what_is_written() {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = |bound: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % bound
        };
        for _ in 0..500 {
            let list = |random: &mut dyn FnMut(u64) -> u64| {
                let count = random(6);
                (0..count)
                    .map(|_| {
                        let prefix = 24 + random(9) as u8;
                        let address = std::net::Ipv4Addr::new(10, 0, 0, random(256) as u8);
                        let network = ipnet::Ipv4Net::new(address, prefix).unwrap().trunc();
                        network.to_string()
                    })
                    .collect::<Vec<_>>()
            };
            let (allow, deny) = (list(&mut random), list(&mut random));
            let rules = AddressRules::new(&allow, &deny).unwrap();
            for last in 0..=255 {
                let address = std::net::Ipv4Addr::new(10, 0, 0, last);
                let longest = |list: &[String]| {
                    list.iter()
                        .map(|entry| entry.parse::<ipnet::Ipv4Net>().unwrap())
                        .filter(|network| network.contains(&address))
                        .map(|network| network.prefix_len())
                        .max()
                };
                let expected = match (longest(&allow), longest(&deny)) {
                    (None, None) => allow.is_empty(),
                    (allowed, denied) => allowed > denied,
                };
                let is = rules.may_enter(Some(address.into()));
                assert_eq!(is, expected, "{address}: {allow:?} {deny:?}");
            }
        }
    }

    #[test]
    fn a84_a_hundred_thousand_networks_are_as_quick_as_one() {
        let allow: Vec<String> = (0..100_000u32)
            .map(|n| std::net::Ipv4Addr::from(n << 12).to_string() + "/24")
            .collect();
        let rules = AddressRules::new(&allow, &[]).unwrap();
        assert!(rules.v4.len() <= 200_001);
        assert!(may(&rules, "0.1.128.7") && !may(&rules, "0.1.129.0"));
    }
}
