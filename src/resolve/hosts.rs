//! Names that no server is asked for: those of the configuration and of the hosts file, which the
//! daemon has read, so that a worker never touches a file.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hashbrown::HashMap;

use super::order::{ADDRESSES_MAX, Addresses, Family, LookupError, interleave};
use crate::target::{Host, HostName};

/// The names of the configuration and of a hosts file, and the loopback names that are so by
/// definition.
#[derive(Clone, Debug, Default)]
pub struct Hosts {
    /// Of the configuration.
    fixed: HashMap<HostName, Addresses>,
    /// Of the file.
    addresses: HashMap<HostName, Addresses>,
}

impl Hosts {
    /// Reads the text of a hosts file: an address and its names per line, `#` begins a comment.
    /// A name on several lines has all their addresses. What makes no sense is passed over, as
    /// the system's own resolver does.
    #[must_use]
    pub fn parse(octets: &[u8]) -> Self {
        let mut hosts = Self::default();
        for line in octets.split(|&octet| octet == b'\n') {
            let line = line.split(|&octet| octet == b'#').next().unwrap_or_default();
            let mut words =
                line.split(|octet| octet.is_ascii_whitespace()).filter(|word| !word.is_empty());
            let Some(ip) = words.next().and_then(address) else { continue };
            for word in words {
                hosts.add(word, ip);
            }
        }
        hosts
    }

    /// The same with names whose addresses are these and no others, whatever the file or a server says.
    /// Of a name with more than [`ADDRESSES_MAX`] addresses the first are taken.
    #[must_use]
    pub fn with_fixed<'a>(
        mut self,
        names: impl IntoIterator<Item = (&'a HostName, &'a [IpAddr])>,
    ) -> Self {
        for (name, addresses) in names {
            let addresses = addresses.iter().copied().take(ADDRESSES_MAX).collect();
            self.fixed.insert(name.clone(), addresses);
        }
        self
    }

    /// What is known of a name without asking anybody, in the order to dial it. `localhost` and what
    /// ends in `.localhost` is the loopback, whatever the file says (RFC 6761 §6.3); what ends in
    /// `.onion` is not to be looked up (RFC 7686 §2).
    #[must_use]
    pub fn find(&self, name: &HostName, family: Family) -> Option<Result<Addresses, LookupError>> {
        if let Some(fixed) = self.fixed.get(name) {
            return Some(interleave(fixed.iter().copied(), family));
        }
        if is_below(name.as_str(), "localhost") {
            let loopback = [IpAddr::V6(Ipv6Addr::LOCALHOST), IpAddr::V4(Ipv4Addr::LOCALHOST)];
            return Some(interleave(loopback, family));
        }
        if is_below(name.as_str(), "onion") {
            return Some(Err(LookupError::NotFound));
        }
        // A name with addresses of the other family only is left to the name servers.
        interleave(self.addresses.get(name)?.iter().copied(), family).ok().map(Ok)
    }

    /// How many names the file has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.addresses.len()
    }

    /// Whether the file has no name.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.addresses.is_empty()
    }

    fn add(&mut self, word: &[u8], ip: IpAddr) {
        match Host::from_name(word) {
            Ok(Host::Name(name)) => {
                let addresses = self.addresses.entry(name).or_default();
                if addresses.len() < ADDRESSES_MAX && !addresses.contains(&ip) {
                    addresses.push(ip);
                }
            }
            Ok(Host::V4(_) | Host::V6(_)) | Err(_) => {}
        }
    }
}

fn address(word: &[u8]) -> Option<IpAddr> {
    std::str::from_utf8(word).ok()?.parse().ok()
}

/// Whether a name is `domain` or ends in it.
fn is_below(name: &str, domain: &str) -> bool {
    name.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> HostName {
        Host::from_name(text.as_bytes()).unwrap().name().unwrap().clone()
    }

    fn found(hosts: &Hosts, text: &str, family: Family) -> Vec<String> {
        let addresses = hosts.find(&name(text), family).and_then(Result::ok).unwrap_or_default();
        addresses.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_entry_gives_its_address_to_every_name_of_the_line_in_any_case() {
        let hosts = Hosts::parse(b"192.0.2.1\tWWW.Example.test  www\t# the site\n");
        assert_eq!(found(&hosts, "www.example.test", Family::Any), ["192.0.2.1"]);
        assert_eq!(found(&hosts, "WWW", Family::Any), ["192.0.2.1"]);
        assert!(found(&hosts, "site", Family::Any).is_empty());
        assert_eq!(hosts.len(), 2);
    }

    #[test]
    fn a_name_on_several_lines_has_all_addresses_of_the_family_asked_for() {
        let hosts = Hosts::parse(b"192.0.2.1 a\r\n2001:db8::1 a\n192.0.2.2 a b\n192.0.2.1 a");
        assert_eq!(found(&hosts, "a", Family::Any), ["2001:db8::1", "192.0.2.1", "192.0.2.2"]);
        assert_eq!(found(&hosts, "a", Family::Ipv6), ["2001:db8::1"]);
        assert_eq!(hosts.find(&name("b"), Family::Ipv6), None);
    }

    #[test]
    fn lines_that_make_no_sense_are_passed_over() {
        let text = b"# 192.0.2.9 x\n\n  \nnonsense x\n192.0.2.1\nfe80::1%lo x\n\xff\xfe x\n\
            192.0.2.1 bad/name 192.0.2.3 good#x\n";
        let hosts = Hosts::parse(text);
        assert_eq!(hosts.len(), 1);
        assert_eq!(found(&hosts, "good", Family::Any), ["192.0.2.1"]);
    }

    #[test]
    fn localhost_is_the_loopback_even_without_a_file_or_against_it() {
        for hosts in [Hosts::default(), Hosts::parse(b"192.0.2.1 localhost a.localhost\n")] {
            for text in ["localhost", "LocalHost.", "a.localhost", "a.b.localhost"] {
                assert_eq!(found(&hosts, text, Family::Any), ["::1", "127.0.0.1"], "{text}");
                assert_eq!(found(&hosts, text, Family::Ipv4), ["127.0.0.1"]);
            }
            assert_eq!(hosts.find(&name("notlocalhost"), Family::Any), None);
        }
    }

    #[test]
    fn a_name_of_the_configuration_is_what_it_says_there_and_nothing_else() {
        let here = [IpAddr::from([192, 0, 2, 9])];
        let hosts = Hosts::parse(b"192.0.2.1 a\n2001:db8::1 a\n");
        let hosts = hosts.with_fixed([(&name("a"), &here[..]), (&name("b.localhost"), &here)]);
        assert_eq!(found(&hosts, "A.", Family::Any), ["192.0.2.9"]);
        assert_eq!(found(&hosts, "b.localhost", Family::Any), ["192.0.2.9"]);
        // Nobody else is asked for the other family.
        assert_eq!(hosts.find(&name("a"), Family::Ipv6), Some(Err(LookupError::NotFound)));
    }

    #[test]
    fn hidden_services_are_asked_of_nobody() {
        let hosts = Hosts::default();
        for text in ["onion", "abc.onion"] {
            assert_eq!(hosts.find(&name(text), Family::Any), Some(Err(LookupError::NotFound)));
        }
        assert_eq!(hosts.find(&name("onion.test"), Family::Any), None);
    }

    proptest! {
        #[test]
        fn any_octets_are_read(octets: Vec<u8>) {
            let hosts = Hosts::parse(&octets);
            prop_assert!(hosts.len() <= octets.len());
        }
    }
}
