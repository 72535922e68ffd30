//! Which limit on bandwidth a datagram is under.

use super::*;
use crate::acl::{Action, Decision, Hours, Mention, Ports, Rule, Rules, RulesBeside, Who};

/// Each of these ports is allowed by a rule of its own, which may name a limit.
fn allowing(generation: u64, ports: &[(u16, Option<&str>)]) -> Arc<Policy> {
    let rules = (1..).zip(ports).map(|(id, (port, bandwidth))| Rule {
        id,
        line: id,
        action: Action::Allow,
        priority: 0,
        text: "port".into(),
        who: Who::default(),
        destinations: Vec::new(),
        ports: Ports::of([(*port, *port)]),
        commands: CommandSet::ALL,
        sources: Vec::new(),
        hours: Hours::default(),
        egress: None,
        bandwidth: bandwidth.map(|name| Mention { name: name.into(), position: (id, 1) }),
    });
    let (otherwise, members) = (Decision::Block, std::collections::HashMap::new());
    let beside = RulesBeside { otherwise, members, utc_offset_minutes: 0 };
    let acl = Acl::with_rules(Guard::Off, Arc::new(Rules::new(rules.collect(), beside)));
    Arc::new(Policy { generation, acl, ..Policy::plain() })
}

/// That of a datagram to this port, which is sent.
fn limit(association: &mut Association, port: u16, now: Instant) -> Option<(usize, String)> {
    let datagram = to("192.0.2.1", port, b"x");
    let limit = match association.upload(source(7000), &datagram, now) {
        Step::Send { limit, .. } => limit.map(|limit| (limit.number, limit.name.to_string())),
        step @ (Step::Ask(_) | Step::Kept | Step::Drop(_)) => panic!("{step:?}"),
    };
    association.wrote([192, 0, 2, 1].into(), now);
    limit
}

#[test]
fn it_is_that_of_its_own_rule() {
    let now = clock::mono();
    let policy = allowing(1, &[(53, None), (80, Some("a")), (443, Some("b")), (444, Some("a"))]);
    let who = Identity::anonymous("anonymous");
    let mut association = Association::new(CLIENT.into(), 0, who, policy);
    assert_eq!(limit(&mut association, 53, now), None);
    assert!(association.limits().is_empty());
    assert_eq!(limit(&mut association, 443, now), Some((0, "b".to_owned())));
    assert_eq!(limit(&mut association, 80, now), Some((1, "a".to_owned())));
    assert_eq!(limit(&mut association, 444, now), Some((1, "a".to_owned())));
    assert_eq!(limit(&mut association, 53, now), None);
    assert_eq!(limit(&mut association, 443, now), Some((0, "b".to_owned())));
    assert_eq!(association.limits(), ["b".into(), "a".into()]);
}

#[test]
fn other_rules_name_others_for_the_targets_that_are_in_use() {
    let now = clock::mono();
    let policy = allowing(1, &[(53, None), (80, Some("a"))]);
    let who = Identity::anonymous("anonymous");
    let mut association = Association::new(CLIENT.into(), 0, who, policy);
    assert_eq!(limit(&mut association, 53, now), None);
    assert_eq!(limit(&mut association, 80, now), Some((0, "a".to_owned())));
    assert!(association.renew(&allowing(2, &[(53, Some("b")), (80, None), (81, Some("a"))]), now));
    assert_eq!(association.limits(), ["b".into()], "before anything is sent");
    assert_eq!(limit(&mut association, 81, now), Some((1, "a".to_owned())));
    assert_eq!(limit(&mut association, 53, now), Some((0, "b".to_owned())));
    assert_eq!(limit(&mut association, 80, now), None);
    assert!(association.renew(&allowing(3, &[(53, None), (80, None)]), now));
    assert!(association.limits().is_empty());
}

#[test]
fn hosts_that_have_been_silent_for_long_are_not_asked_about_when_other_rules_come() {
    let now = clock::mono();
    let who = Identity::anonymous("anonymous");
    let ports = [(53, Some("a"))];
    let mut association = Association::new(CLIENT.into(), 0, who, allowing(1, &ports));
    assert_eq!(limit(&mut association, 53, now), Some((0, "a".to_owned())));
    let minutes = |minutes| now + Duration::from_mins(minutes);
    assert!(association.renew(&allowing(2, &ports), minutes(4)));
    assert_eq!(association.limits(), ["a".into()], "it may answer");
    assert_eq!(limit(&mut association, 53, minutes(4)), Some((0, "a".to_owned())));
    assert!(association.renew(&allowing(3, &ports), minutes(9)));
    assert!(association.limits().is_empty());
    let answer = association.download("192.0.2.1:53".parse().unwrap(), minutes(9));
    assert_eq!(answer, Err(Dropped::Stranger));
    assert_eq!(
        limit(&mut association, 53, minutes(9)),
        Some((0, "a".to_owned())),
        "when it is used"
    );
}
