//! Nothing is dialled that was not asked for, judged and opened before.

use std::net::{IpAddr, SocketAddr};

use rustsocks::auth::Identity;
use rustsocks::socks::{Command, MethodSet, Request};

use crate::connection::{Connection, Link};
use crate::script::{Asked, Speech};
use crate::world::Kit;

impl Connection {
    /// No dial without a permit for that very address, after the session was opened.
    pub(crate) fn check_dial(&self, address: SocketAddr, kit: &mut Kit) {
        assert!(self.session.is_some(), "dialled before there was a session");
        self.check_address(address, kit);
        let party = &mut kit.parties[self.number];
        assert!(party.asked_port().is_none_or(|port| port == address.port()), "another port");
        assert!(!party.dialled.contains(&address), "{address} is dialled twice");
        party.dialled.push(address);
    }

    pub(crate) fn check_address(&self, address: SocketAddr, kit: &Kit) {
        let Link::Front(front) = &self.link else { return };
        let party = &kit.parties[self.number];
        let asked = match party.script.asked {
            Asked::Address(ip) => ip.is_unspecified() || ip == address.ip(),
            Asked::Name(_) => party.resolved.contains(&address.ip()),
        };
        let noise = party.script.speech == Speech::Noise;
        assert!(asked || noise, "{address} was not asked for");
        let client = party.client_address().ip();
        let machine = &front.machine;
        let guarded = machine.facts().target.as_ref().is_some_and(|target| {
            let far = SocketAddr::from(([127, 0, 0, 1], target.port));
            // What the guard says of one address tells whether it stands.
            let request = Request { command: Command::Connect, target: far.into() };
            let nobody = IpAddr::from([198, 51, 100, 1]);
            let identity = Identity::anonymous("x");
            machine.policy().acl.on_request(&identity, nobody, &request, kit.agenda.now).is_err()
        });
        assert!(!guarded || may_reach(client, address.ip()), "{client} may not reach {address}");
        let policy = machine.policy();
        let open = policy.methods.choose(MethodSet::NO_AUTH).is_some();
        assert!(open || party.logged_in, "served without the login that is wanted");
    }
}

/// The guard in other words, for the hosts of this world.
pub(crate) fn may_reach(client: IpAddr, host: IpAddr) -> bool {
    let class = |ip: IpAddr| match ip {
        IpAddr::V4(ip) if ip.is_loopback() => 0,
        IpAddr::V4(ip) if ip.is_private() => 1,
        IpAddr::V4(ip) if ip.is_link_local() || ip.is_unspecified() => 9,
        IpAddr::V6(ip) if ip.is_loopback() => 0,
        IpAddr::V4(_) | IpAddr::V6(_) => 2,
    };
    class(host) != 9 && class(client) <= class(host)
}
