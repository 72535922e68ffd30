//! BIND: a connection from the target instead of one to it (RFC 1928 §4 and §6, and SOCKS4).
//!
//! ```text
//! Opening (the session, if a host is named) ─▶ Making (a listener) ─first reply─▶ Awaiting
//!                       second reply ◀─ Welcoming (opens the session, if none was named) ◀─┘ peer
//! ```
//!
//! The client has asked for some host by another connection, and tells it where to connect to by its own
//! means. Only that host may: whoever else comes is turned away, and the wait goes on. DST.ADDR of all
//! zeros stands for a client that does not know who will come; then anybody may whom the rules allow, and
//! the session begins with that permit. DST.PORT is not compared: RFC 1928 does not say what it is for, and
//! clients give that of their other connection.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use crate::acl::{Acl, Denial, Permit, RequestPermit};
use crate::auth::Identity;
use crate::egress::Outlet;
use crate::resolve::{ADDRESSES_MAX, Addresses};
use crate::session::Outcome;
use crate::socks::{Command, Request};
use crate::target::{Host, Target};

/// One BIND, from its request to its peer.
#[derive(Debug)]
pub(super) struct Binding {
    expected: Expected,
    pub(super) step: Step,
    /// When listening began.
    pub(super) began: Instant,
    /// Until when the peer is awaited.
    pub(super) until: Instant,
    /// Whom the rules forbade last.
    pub(super) denied: Option<(Outcome, Denial)>,
}

/// Who may come.
#[derive(Debug)]
enum Expected {
    /// Whom the rules allow.
    Anybody,
    /// One of these hosts.
    Hosts { permit: Box<RequestPermit>, hosts: Addresses },
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The session is being put into the table.
    Opening,
    /// A listener is being made.
    Making,
    /// The peer is awaited.
    Awaiting,
    /// It is here, and the session is being put into the table.
    Welcoming(SocketAddr),
}

/// What is to become of a peer.
#[derive(Debug)]
pub(super) enum Welcome {
    /// It was expected.
    Come(Permit),
    /// It was not named, and the rules allow it: the session begins.
    First(Permit),
    /// It was not.
    Go,
}

impl Binding {
    /// One that expects whom the rules allow.
    pub(super) const fn anybody(now: Instant, until: Instant) -> Self {
        Self { expected: Expected::Anybody, step: Step::Making, began: now, until, denied: None }
    }

    /// One that expects one of the addresses of a permitted target, with the permit for the first.
    ///
    /// # Errors
    /// When none of them is permitted: the last denial, if there was any address.
    pub(super) fn of_hosts(
        addresses: &[IpAddr],
        permit: RequestPermit,
        acl: &Acl,
        now: Instant,
        until: Instant,
    ) -> Result<(Self, Permit), Option<Denial>> {
        let mut hosts = Addresses::new();
        let (mut first, mut denial) = (None, None);
        for address in addresses {
            match acl.on_address(&permit, *address) {
                Ok(permit) => {
                    hosts.push(address.to_canonical());
                    first.get_or_insert(permit);
                }
                Err(denied) => denial = Some(denied),
            }
        }
        let first = first.ok_or(denial)?;
        let expected = Expected::Hosts { permit: Box::new(permit), hosts };
        Ok((Self { expected, step: Step::Opening, began: now, until, denied: None }, first))
    }

    /// Expects only those whom the way out of the session reaches; whether there are any.
    pub(super) fn keep_reached(&mut self, outlet: &Outlet) -> bool {
        match &mut self.expected {
            Expected::Anybody => true,
            Expected::Hosts { hosts, .. } => {
                hosts.retain(|host| outlet.reaches(*host));
                !hosts.is_empty()
            }
        }
    }

    /// Expects the permitted ones of these addresses, too: they have come late.
    pub(super) fn add(&mut self, late: &[IpAddr], acl: &Acl) {
        let Expected::Hosts { permit, hosts } = &mut self.expected else { return };
        for address in late.iter().map(IpAddr::to_canonical) {
            let known = hosts.contains(&address) || hosts.len() >= ADDRESSES_MAX;
            if !known && acl.on_address(permit, address).is_ok() {
                hosts.push(address);
            }
        }
    }

    /// A host that is expected; it decides from which of our addresses the listener is to be reached.
    pub(super) fn towards(&self) -> Option<IpAddr> {
        match &self.expected {
            Expected::Anybody => None,
            Expected::Hosts { hosts, .. } => hosts.first().copied(),
        }
    }

    /// Goes on under other rules, which permit the target.
    pub(super) fn renew(&mut self, permit: RequestPermit) {
        match &mut self.expected {
            Expected::Anybody => {}
            Expected::Hosts { permit: before, .. } => **before = permit,
        }
    }

    /// Whether a host is named.
    pub(super) const fn is_of_hosts(&self) -> bool {
        matches!(self.expected, Expected::Hosts { .. })
    }

    /// Judges a peer that has come, by the very address that it came from.
    pub(super) fn welcome(
        &mut self,
        peer: SocketAddr,
        acl: &Acl,
        (identity, client): (&Identity, IpAddr),
        now: Instant,
    ) -> Welcome {
        let host = peer.ip().to_canonical();
        match &self.expected {
            Expected::Hosts { permit, hosts } if hosts.contains(&host) => {
                match acl.on_address(permit, host) {
                    Ok(permit) => Welcome::Come(permit),
                    Err(denial) => {
                        self.denied = Some((Outcome::AclDeniedAddress, denial));
                        Welcome::Go
                    }
                }
            }
            Expected::Hosts { .. } => Welcome::Go,
            Expected::Anybody => {
                let target = Target::from(SocketAddr::new(host, peer.port()));
                let request = Request { command: Command::Bind, target };
                let judged = acl
                    .on_request(identity, client, &request, now)
                    .map_err(|denial| (Outcome::AclDenied, denial))
                    .and_then(|request| match acl.on_address(&request, host) {
                        Ok(permit) => Ok(permit),
                        Err(denial) => Err((Outcome::AclDeniedAddress, denial)),
                    });
                match judged {
                    Ok(permit) => Welcome::First(permit),
                    Err(denied) => {
                        self.denied = Some(denied);
                        Welcome::Go
                    }
                }
            }
        }
    }
}

/// Whether a client that names this host does not know who will come.
pub(super) const fn is_anybody(host: &Host) -> bool {
    match host {
        Host::V4(ip) => ip.is_unspecified(),
        Host::V6(ip) => ip.is_unspecified(),
        Host::Name(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::acl::{Guard, OwnListeners};
    use crate::clock;

    const CLIENT: [u8; 4] = [198, 51, 100, 7];

    fn acl() -> Acl {
        Acl::new(Guard::Auto(OwnListeners::default()))
    }

    fn of_hosts(hosts: &[&str]) -> Result<Binding, Option<Denial>> {
        let (acl, now) = (acl(), clock::mono());
        let target = Target::new(Host::from_name(b"peer.test").unwrap(), 21);
        let request = Request { command: Command::Bind, target };
        let identity = Identity::anonymous("anonymous");
        let permit = acl.on_request(&identity, CLIENT.into(), &request, now).unwrap();
        let hosts: Vec<IpAddr> = hosts.iter().map(|host| host.parse().unwrap()).collect();
        Binding::of_hosts(&hosts, permit, &acl, now, now + Duration::from_secs(1))
            .map(|(binding, _)| binding)
    }

    fn welcome(binding: &mut Binding, peer: &str) -> &'static str {
        let (identity, now) = (Identity::anonymous("anonymous"), clock::mono());
        match binding.welcome(peer.parse().unwrap(), &acl(), (&identity, CLIENT.into()), now) {
            Welcome::Come(permit) => {
                assert_eq!(permit.address().port(), 21);
                "come"
            }
            Welcome::First(..) => "first",
            Welcome::Go => "go",
        }
    }

    #[test]
    fn only_the_named_hosts_come_from_any_port() {
        let mut binding = of_hosts(&["192.0.2.1", "2001:db8::1"]).unwrap();
        assert_eq!(binding.towards(), Some([192, 0, 2, 1].into()));
        assert_eq!(welcome(&mut binding, "192.0.2.1:4000"), "come");
        assert_eq!(welcome(&mut binding, "[::ffff:192.0.2.1]:20"), "come");
        assert_eq!(welcome(&mut binding, "[2001:db8::1]:20"), "come");
        assert_eq!(welcome(&mut binding, "192.0.2.2:4000"), "go");
        assert!(binding.denied.is_none(), "a stranger is nobody whom a rule forbade");
    }

    #[test]
    fn forbidden_addresses_of_a_name_are_not_expected() {
        let mut binding = of_hosts(&["127.0.0.1", "192.0.2.1"]).unwrap();
        assert_eq!(welcome(&mut binding, "127.0.0.1:20"), "go");
        assert_eq!(welcome(&mut binding, "192.0.2.1:20"), "come");
        assert!(of_hosts(&["127.0.0.1", "169.254.169.254"]).unwrap_err().is_some());
        assert!(of_hosts(&[]).unwrap_err().is_none());
    }

    #[test]
    fn addresses_that_come_late_are_expected_too_where_they_are_permitted() {
        let mut binding = of_hosts(&["192.0.2.1"]).unwrap();
        let late = ["192.0.2.1", "2001:db8::1", "::1"].map(|host| host.parse().unwrap());
        assert_eq!(welcome(&mut binding, "[2001:db8::1]:20"), "go");
        binding.add(&late, &acl());
        assert_eq!(welcome(&mut binding, "[2001:db8::1]:20"), "come");
        assert_eq!(welcome(&mut binding, "[::1]:20"), "go");
        assert_eq!(binding.towards(), Some([192, 0, 2, 1].into()));
    }

    #[test]
    fn anybody_is_whom_the_rules_allow() {
        let now = clock::mono();
        let mut binding = Binding::anybody(now, now);
        assert_eq!(welcome(&mut binding, "127.0.0.1:4000"), "go");
        let (outcome, denial) = binding.denied.as_ref().unwrap();
        assert_eq!(*outcome, Outcome::AclDenied);
        assert_eq!(&*denial.ruling.rule, "guard: loopback targets are for loopback clients");
        assert_eq!(welcome(&mut binding, "192.0.2.1:4000"), "first");
        assert!(is_anybody(&Host::from_name(b"0.0.0.0").unwrap()));
        assert!(is_anybody(&Host::from_name(b"::").unwrap()));
        assert!(!is_anybody(&Host::from_name(b"a.test").unwrap()));
    }
}
