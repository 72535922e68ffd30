//! All ways out, and who leaves by which.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use hashbrown::HashMap;

use super::configured::{Egress, Named, Spread};
use super::outlet::{Lane, Outlet};
use crate::auth::Identity;

/// All ways out. A user's own comes first, then that of a group of the user's, in the order of the
/// configuration, then the one for all.
#[derive(Debug, Default)]
pub struct Egresses {
    /// The one for all; `None` is the kernel's own choice.
    default: Option<Way>,
    named: Vec<(Box<str>, Way)>,
    users: HashMap<Box<str>, usize>,
    /// In the order of the configuration; ASCII case does not count.
    groups: Vec<(Box<str>, usize)>,
}

/// A way out, and how many sessions have left by it.
#[derive(Debug)]
struct Way {
    lane: Arc<Lane>,
    /// Only where sessions take turns; shared by the workers, and touched once for each session.
    turns: AtomicU32,
}

impl Egresses {
    /// `default` for all but those who are named.
    #[must_use]
    pub fn new(default: &Egress, named: &[Named]) -> Self {
        let mut egresses = Self {
            default: (!default.is_default()).then(|| Way::new(default.clone())),
            ..Self::default()
        };
        for Named { name, users, groups, egress } in named {
            let place = egresses.named.len();
            egresses.named.push((name.as_str().into(), Way::new(egress.clone())));
            egresses.users.extend(users.iter().map(|user| (user.as_str().into(), place)));
            egresses.groups.extend(groups.iter().map(|group| (group.as_str().into(), place)));
        }
        egresses
    }

    /// The way out of a session of this user, who calls from `client`.
    #[must_use]
    pub fn outlet(&self, identity: &Identity, client: IpAddr) -> Outlet {
        match self.own(identity).or(self.default.as_ref()) {
            Some(way) => way.outlet(identity, client),
            None => Outlet::default(),
        }
    }

    /// The way of this name, for a session of this user, if there is one.
    #[must_use]
    pub fn named(&self, name: &str, identity: &Identity, client: IpAddr) -> Option<Outlet> {
        let (_, way) = self.named.iter().find(|(known, _)| &**known == name)?;
        Some(way.outlet(identity, client))
    }

    fn own(&self, identity: &Identity) -> Option<&Way> {
        if self.named.is_empty() {
            return None;
        }
        let of_group = || {
            let mine = identity.groups();
            let own = |group: &str| mine.iter().any(|own| own.eq_ignore_ascii_case(group));
            self.groups.iter().find(|(group, _)| own(group)).map(|(_, place)| place)
        };
        let place = self.users.get(identity.user()).or_else(of_group)?;
        self.named.get(*place).map(|(_, way)| way)
    }
}

impl Way {
    fn new(egress: Egress) -> Self {
        Self { lane: Arc::new(Lane::new(egress)), turns: AtomicU32::new(0) }
    }

    fn outlet(&self, identity: &Identity, client: IpAddr) -> Outlet {
        let several = self.lane.egress.addresses.len() > 1;
        let turn = match self.lane.egress.spread {
            _ if !several => 0,
            Spread::Turns => self.turns.fetch_add(1, Relaxed),
            Spread::Client => {
                // Without a random key: the same after a restart.
                let mut hasher = DefaultHasher::new();
                (client.to_canonical(), identity.user()).hash(&mut hasher);
                u32::try_from(hasher.finish() >> 32).unwrap_or_default()
            }
        };
        Outlet::by(Arc::clone(&self.lane), turn)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::auth::{Credentials, User, Users, Verdict, verify};

    fn egress(addresses: &[&str], spread: Spread) -> Egress {
        let addresses = addresses.iter().map(|ip| ip.parse().unwrap()).collect();
        Egress { addresses, spread, ..Egress::default() }
    }

    fn source(outlet: &Outlet) -> String {
        let out = outlet.towards([198, 51, 100, 1].into()).unwrap();
        out.source.map_or_else(|| "any".to_owned(), |ip| ip.to_string())
    }

    #[test]
    fn a_user_leaves_by_its_own_way_then_by_that_of_a_group_then_by_the_one_for_all() {
        let named = |name: &str, users: &[&str], groups: &[&str], address: &str| Named {
            name: name.to_owned(),
            users: users.iter().map(ToString::to_string).collect(),
            groups: groups.iter().map(ToString::to_string).collect(),
            egress: egress(&[address], Spread::Client),
        };
        let named = [
            named("a", &[], &["staff", "all"], "192.0.2.1"),
            named("b", &["alice", "anonymous"], &[], "192.0.2.2"),
            named("c", &[], &["Guests"], "192.0.2.3"),
        ];
        let egresses = Egresses::new(&egress(&["192.0.2.9"], Spread::Client), &named);
        let hash = crate::auth::hash(b"secret").unwrap();
        let of = |identity: &Identity| source(&egresses.outlet(identity, [127, 0, 0, 1].into()));
        let member = |user: &str, groups: &[&str]| {
            let groups: Vec<Box<str>> = groups.iter().map(|group| (*group).into()).collect();
            let users = Users::new([User::new(user, &hash, &groups).unwrap()]);
            let password = b"secret".to_vec().into();
            match verify(&users, &Credentials::new(user.as_bytes().into(), password)) {
                Verdict::Accepted(identity) => of(&identity),
                Verdict::Rejected | Verdict::Banned | Verdict::Overloaded => {
                    panic!("{user} is not let in")
                }
            }
        };
        assert_eq!(member("alice", &["staff"]), "192.0.2.2");
        assert_eq!(member("bob", &["guests", "staff"]), "192.0.2.1");
        assert_eq!(member("bob", &["guests"]), "192.0.2.3");
        assert_eq!(member("bob", &["guestS"]), "192.0.2.3");
        assert_eq!(member("Alice", &["others"]), "192.0.2.9", "in names case counts");
        assert_eq!(of(&Identity::anonymous("anonymous")), "192.0.2.2");
        let anybody = Identity::anonymous("x");
        let by_name = egresses.named("c", &anybody, [127, 0, 0, 1].into());
        assert_eq!(by_name.as_ref().map(source).as_deref(), Some("192.0.2.3"));
        assert!(egresses.named("d", &anybody, [127, 0, 0, 1].into()).is_none());
        let none = Egresses::new(&Egress::default(), &[]);
        assert_eq!(source(&none.outlet(&anybody, [127, 0, 0, 1].into())), "any");
    }

    #[test]
    fn one_client_keeps_its_address_and_many_use_them_all() {
        let pool = egress(&["192.0.2.1", "192.0.2.2", "192.0.2.3"], Spread::Client);
        let egresses = Egresses::new(&pool, &[]);
        let user = Identity::anonymous("anonymous");
        let of = |last: u8| source(&egresses.outlet(&user, [10, 0, 0, last].into()));
        let all: BTreeSet<_> = (0..100).map(of).collect();
        assert_eq!(all.len(), 3);
        assert!((0..100).all(|last| of(last) == of(last)));
    }

    #[test]
    fn sessions_take_turns() {
        let pool = egress(&["192.0.2.1", "192.0.2.2"], Spread::Turns);
        let egresses = Egresses::new(&pool, &[]);
        let user = Identity::anonymous("anonymous");
        let turns: Vec<_> =
            (0..4).map(|_| source(&egresses.outlet(&user, [10, 0, 0, 1].into()))).collect();
        assert_eq!(turns, ["192.0.2.1", "192.0.2.2", "192.0.2.1", "192.0.2.2"]);
    }
}
