//! Rules with hours.

use super::*;
use crate::acl::{Action, Decision, Destination, Hours, Ports, Rule, Rules, RulesBeside, Who};

/// One that may use targets in the minute of this moment alone.
fn for_a_minute(at: Instant) -> Association {
    in_the_minute(at, Action::Allow, None)
}

/// One for which a rule decides in the minute of this moment alone, about such targets, and otherwise the
/// contrary.
fn in_the_minute(at: Instant, action: Action, destination: Option<Destination>) -> Association {
    let minute = clock::utc_ms_at(at).div_euclid(60_000).rem_euclid(24 * 60);
    let time = |minute: i64| format!("{:02}:{:02}", minute / 60, minute % 60);
    let hours = format!("{}-{}", time(minute), time(minute + 1));
    let rule = Rule {
        id: 1,
        line: 1,
        action,
        priority: 0,
        text: "then".into(),
        who: Who::default(),
        destinations: destination.into_iter().collect(),
        ports: Ports::default(),
        commands: CommandSet::ALL,
        sources: Vec::new(),
        hours: Hours::parse([hours.as_str()]).unwrap(),
        egress: None,
        bandwidth: None,
    };
    let otherwise = if action == Action::Allow { Decision::Block } else { Decision::Allow };
    let members = std::collections::HashMap::new();
    let beside = RulesBeside { otherwise, members, utc_offset_minutes: 0 };
    let acl = Acl::with_rules(Guard::Off, Arc::new(Rules::new(vec![rule], beside)));
    let commands = CommandSet::NONE.with(Command::UdpAssociate);
    let policy = Arc::new(Policy { generation: 1, commands, acl, ..Policy::plain() });
    Association::new(CLIENT.into(), 0, Identity::anonymous("anonymous"), policy)
}

#[test]
fn hours_hold_for_targets_that_are_known() {
    // The middle of the next minute, far from its edges, and of those around it.
    let now = clock::mono();
    let into = u64::try_from(clock::utc_ms_at(now).rem_euclid(60_000)).unwrap();
    let during = now + Duration::from_millis(90_000 - into);
    let (before, after) = (during - Duration::from_mins(1), during + Duration::from_mins(1));
    let mut association = for_a_minute(during);
    let (literal, name) = (to("192.0.2.1", 53, b"x"), to("a.test", 53, b"x"));
    assert_eq!(upload(&mut association, &literal, before), "denied");
    assert_eq!(upload(&mut association, &name, before), "denied");
    assert_eq!(upload(&mut association, &literal, during), "192.0.2.1:53 as 192.0.2.1:53: x");
    assert_eq!(upload(&mut association, &name, during), "ask 1 a.test");
    association.answered(1, addresses(["192.0.2.2"]), false, during);
    assert_eq!(upload(&mut association, &name, during), "192.0.2.2:53 as a.test:53: x");
    assert_eq!(upload(&mut association, &literal, after), "denied");
    assert_eq!(upload(&mut association, &name, after), "denied");
}

#[test]
fn an_answer_is_judged_by_the_hour_at_which_it_comes() {
    let now = clock::mono();
    let into = u64::try_from(clock::utc_ms_at(now).rem_euclid(60_000)).unwrap();
    let during = now + Duration::from_millis(90_000 - into);
    let mut association = for_a_minute(during);
    let name = to("a.test", 53, b"x");
    assert_eq!(upload(&mut association, &name, during), "ask 1 a.test");
    let after = during + Duration::from_mins(1);
    let kept = association.answered(1, addresses(["192.0.2.2"]), false, after);
    assert_eq!(text(&association.upload_kept(&kept[0], after)), "denied");
}

#[test]
fn addresses_that_nobody_can_tell_anew_are_those_of_the_hour_too() {
    let now = clock::mono();
    let into = u64::try_from(clock::utc_ms_at(now).rem_euclid(60_000)).unwrap();
    let during = now + Duration::from_millis(150_000 - into);
    let net = Destination::Net("192.0.2.0/24".parse().unwrap());
    let mut association = in_the_minute(during, Action::Block, Some(net));
    let name = to("a.test", 53, b"x");
    // Ten seconds before the minute begins it is looked up anew.
    let due = during - Duration::from_secs(40);
    let opened = due - NAME_LASTS;
    assert_eq!(upload(&mut association, &name, opened), "ask 1 a.test");
    association.answered(1, addresses(["192.0.2.2"]), false, opened);
    let sent = "192.0.2.2:53 as a.test:53: x";
    assert_eq!(upload(&mut association, &name, due), format!("{sent}, ask 2 a.test"));
    association.answered(2, Err(LookupError::TimedOut), false, during);
    assert_eq!(upload(&mut association, &name, during), "denied");
}
