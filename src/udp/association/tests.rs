//! One association without a socket.

use std::net::SocketAddrV6;

use proptest::prelude::*;

use super::*;
use crate::acl::{Acl, Guard, OwnListeners};
use crate::clock;
use crate::socks::CommandSet;
use crate::target::Host;

mod hours;
mod limits;

const CLIENT: [u8; 4] = [198, 51, 100, 7];

fn policy(generation: u64, guard: Guard) -> Arc<Policy> {
    Arc::new(Policy {
        generation,
        commands: CommandSet::NONE.with(Command::UdpAssociate),
        acl: Acl::new(guard),
        ..Policy::plain()
    })
}

fn guarded() -> Arc<Policy> {
    policy(1, Guard::Auto(OwnListeners::default()))
}

fn association(client: impl Into<IpAddr>, declared: u16) -> Association {
    Association::new(client.into(), declared, Identity::anonymous("anonymous"), guarded())
}

fn source(port: u16) -> SocketAddr {
    SocketAddr::from((CLIENT, port))
}

/// A datagram to this host and port.
fn to(host: &str, port: u16, payload: &[u8]) -> Vec<u8> {
    let mut octets = vec![0, 0, 0];
    match Host::from_name(host.as_bytes()).unwrap() {
        Host::V4(ip) => {
            octets.push(1);
            octets.extend(ip.octets());
        }
        Host::V6(ip) => {
            octets.push(4);
            octets.extend(ip.octets());
        }
        Host::Name(name) => {
            octets.extend([3, u8::try_from(name.as_str().len()).unwrap()]);
            octets.extend(name.as_str().as_bytes());
        }
    }
    octets.extend(port.to_be_bytes());
    octets.extend(payload);
    octets
}

/// What a step comes to, as a text.
fn text(step: &Step<'_>) -> String {
    match step {
        Step::Send { permit, target, payload, beside, .. } => {
            let beside =
                beside.iter().map(|Question { query, name }| format!(", ask {query} {name}"));
            let beside = beside.collect::<String>();
            format!("{} as {target}: {}{beside}", permit.address(), payload.escape_ascii())
        }
        Step::Ask(Question { query, name }) => format!("ask {query} {name}"),
        Step::Kept => "kept".to_owned(),
        Step::Drop(dropped) => dropped.as_str().to_owned(),
    }
}

fn upload(association: &mut Association, octets: &[u8], now: Instant) -> String {
    text(&association.upload(source(7000), octets, now))
}

#[test]
fn the_first_datagram_tells_the_port_and_nobody_else_may_send() {
    let now = clock::mono();
    let mut association = association(CLIENT, 0);
    let datagram = to("192.0.2.1", 53, b"x");
    let mut from = |address: &str, octets: &[u8]| {
        text(&association.upload(address.parse().unwrap(), octets, now))
    };
    assert_eq!(from("198.51.100.8:7000", &datagram), "foreign_source");
    // What is no datagram tells nothing.
    assert_eq!(from("198.51.100.7:6999", b"nonsense"), "fragment");
    assert_eq!(from("198.51.100.7:7000", &datagram), "192.0.2.1:53 as 192.0.2.1:53: x");
    assert_eq!(from("198.51.100.7:7001", &datagram), "foreign_source");
    assert_eq!(from("[::ffff:198.51.100.7]:7000", &datagram), "192.0.2.1:53 as 192.0.2.1:53: x");
}

#[test]
fn a_declared_port_is_the_only_one() {
    let now = clock::mono();
    let mut association = association(CLIENT, 7000);
    let datagram = to("192.0.2.1", 53, b"");
    assert_eq!(text(&association.upload(source(6999), &datagram, now)), "foreign_source");
    assert_eq!(upload(&mut association, &datagram, now), "192.0.2.1:53 as 192.0.2.1:53: ");
}

#[test]
fn a_client_at_a_link_local_address_is_one_on_its_link() {
    let now = clock::mono();
    let on = |link| SocketAddr::from(SocketAddrV6::new("fe80::7".parse().unwrap(), 7000, 0, link));
    let mut association = association("fe80::7".parse::<IpAddr>().unwrap(), 0);
    let datagram = to("192.0.2.1", 53, b"");
    let sent = text(&association.upload(on(2), &datagram, now));
    assert_eq!(sent, "192.0.2.1:53 as 192.0.2.1:53: ");
    assert_eq!(text(&association.upload(on(3), &datagram, now)), "foreign_source");
    association.wrote([192, 0, 2, 1].into(), now);
    assert_eq!(association.download("192.0.2.1:53".parse().unwrap(), now), Ok(on(2)));
}

#[test]
fn fragments_and_what_is_no_datagram_are_dropped() {
    let now = clock::mono();
    let mut association = association(CLIENT, 0);
    let mut fragment = to("192.0.2.1", 53, b"x");
    fragment[2] = 1;
    assert_eq!(upload(&mut association, &fragment, now), "fragment");
    assert_eq!(upload(&mut association, b"\x00\x00\x00\x09", now), "malformed");
    assert_eq!(upload(&mut association, b"\x00\x00\x00\x03\x01*\x00\x35x", now), "malformed");
    assert_eq!(upload(&mut association, b"", now), "malformed");
    assert!(association.refusal().is_none());
}

#[test]
fn each_datagram_is_judged_and_the_first_denial_is_kept() {
    let now = clock::mono();
    let mut association = association(CLIENT, 0);
    for host in ["169.254.169.254", "127.0.0.1", "::1", "10.0.0.1", "::ffff:127.0.0.1", "0.0.0.0"] {
        assert_eq!(upload(&mut association, &to(host, 53, b"x"), now), "denied", "{host}");
    }
    let refusal = association.refusal().unwrap();
    assert_eq!(refusal.target.to_string(), "169.254.169.254:53");
    assert_eq!(refusal.outcome, Outcome::AclDenied);
    let rule = &refusal.ruling.as_ref().unwrap().rule;
    assert_eq!(&**rule, "guard: link-local and metadata addresses are for nobody");
    assert_eq!(
        upload(&mut association, &to("2001:db8::1", 53, b"x"), now),
        "[2001:db8::1]:53 as [2001:db8::1]:53: x"
    );
}

#[test]
fn a_mapped_target_is_sent_to_as_ipv4() {
    let now = clock::mono();
    let mut association = association(CLIENT, 0);
    let sent = upload(&mut association, &to("::ffff:192.0.2.1", 53, b"x"), now);
    assert_eq!(sent, "192.0.2.1:53 as [::ffff:192.0.2.1]:53: x");
}

#[test]
fn a_slow_name_keeps_its_own_datagrams_and_no_others() {
    let now = clock::mono();
    let mut association = association(CLIENT, 0);
    let slow = |payload: &[u8]| to("slow.test", 53, payload);
    assert_eq!(upload(&mut association, &slow(b"1"), now), "ask 1 slow.test");
    assert_eq!(upload(&mut association, &slow(b"2"), now), "kept");
    let fast = upload(&mut association, &to("192.0.2.1", 53, b"x"), now);
    assert_eq!(fast, "192.0.2.1:53 as 192.0.2.1:53: x");
    assert_eq!(upload(&mut association, &to("other.test", 53, b"3"), now), "ask 2 other.test");

    let addresses = ["127.0.0.1", "192.0.2.9"].map(|text| text.parse::<IpAddr>().unwrap());
    let kept = association.answered(1, Ok(addresses.into_iter().collect()), false, now);
    assert_eq!(kept, [slow(b"1").into(), slow(b"2").into()]);
    let step = text(&association.upload_kept(&kept[0], now));
    assert_eq!(step, "192.0.2.9:53 as slow.test:53: 1");
    let known = upload(&mut association, &slow(b"4"), now + NAME_LASTS / 2);
    assert_eq!(known, "192.0.2.9:53 as slow.test:53: 4");
    let again = upload(&mut association, &slow(b"5"), now + NAME_LASTS);
    assert_eq!(again, "192.0.2.9:53 as slow.test:53: 5, ask 3 slow.test");
    assert!(association.answered(1, Err(LookupError::Failed), false, now).is_empty());
}

#[test]
fn a_name_that_leads_nowhere_is_not_asked_for_again_at_once() {
    let now = clock::mono();
    let mut association = association(CLIENT, 0);
    let datagram = to("no.test", 53, b"x");
    assert_eq!(upload(&mut association, &datagram, now), "ask 1 no.test");
    let kept = association.answered(1, Err(LookupError::NotFound), false, now);
    assert_eq!(text(&association.upload_kept(&kept[0], now)), "name_failed");
    assert_eq!(upload(&mut association, &datagram, now), "name_failed");
    assert_eq!(association.refusal().unwrap().outcome, Outcome::NameNotFound);
    assert_eq!(upload(&mut association, &datagram, now + NO_NAME_LASTS), "ask 2 no.test");

    // A denial says more.
    let address = IpAddr::from([127, 0, 0, 1]);
    association.answered(2, Ok([address].into_iter().collect()), false, now);
    assert_eq!(association.refusal().unwrap().outcome, Outcome::AclDeniedAddress);
    assert_eq!(upload(&mut association, &datagram, now), "denied");
}

#[test]
fn a_name_that_nobody_answers_for_ends_as_a_connection_to_it_does() {
    let now = clock::mono();
    for (error, outcome) in [
        (LookupError::TimedOut, Outcome::ConnectTimeout),
        (LookupError::Failed, Outcome::NameLookupFailed),
    ] {
        let mut association = association(CLIENT, 0);
        upload(&mut association, &to("no.test", 53, b"x"), now);
        association.answered(1, Err(error), false, now);
        assert_eq!(association.refusal().unwrap().outcome, outcome);
    }
}

#[test]
fn names_in_flight_are_bounded() {
    let now = clock::mono();
    let mut association = association(CLIENT, 0);
    let steps: Vec<String> = (0..20)
        .map(|number| upload(&mut association, &to(&format!("n{number}.test"), 53, b"x"), now))
        .collect();
    assert!(steps[..16].iter().all(|step| step.starts_with("ask ")), "{steps:?}");
    assert!(steps[16..].iter().all(|step| step == "lookups_full"), "{steps:?}");
    association.answered(1, Err(LookupError::Failed), false, now);
    assert_eq!(upload(&mut association, &to("n99.test", 53, b"x"), now), "ask 17 n99.test");
}

#[test]
fn an_address_without_a_way_is_passed_over_once_each() {
    let now = clock::mono();
    let mut association = association(CLIENT, 0);
    let datagram = to("a.test", 53, b"x");
    upload(&mut association, &datagram, now);
    let addresses = ["2001:db8::1", "192.0.2.9"].map(|text| text.parse::<IpAddr>().unwrap());
    association.answered(1, Ok(addresses.into_iter().collect()), false, now);
    assert_eq!(upload(&mut association, &datagram, now), "[2001:db8::1]:53 as a.test:53: x");
    assert!(association.pass_over(&datagram, addresses[0], now));
    assert!(association.pass_over(&datagram, addresses[0], now), "another had found it out");
    assert_eq!(upload(&mut association, &datagram, now), "192.0.2.9:53 as a.test:53: x");
    assert!(!association.pass_over(&datagram, addresses[1], now));
    assert!(!association.pass_over(b"", addresses[1], now));
}

#[test]
fn only_hosts_that_were_written_to_may_answer() {
    let now = clock::mono();
    let mut association = association(CLIENT, 0);
    let target: SocketAddr = "192.0.2.1:53".parse().unwrap();
    assert_eq!(association.download(target, now), Err(Dropped::Stranger));
    upload(&mut association, &to("192.0.2.1", 53, b"x"), now);
    assert_eq!(association.download(target, now), Err(Dropped::Stranger));
    association.wrote(target.ip(), now);
    assert_eq!(association.download(target, now), Ok(source(7000)));
    let other_port = SocketAddr::new(target.ip(), 54);
    assert_eq!(association.download(other_port, now), Ok(source(7000)));
    let stranger = "192.0.2.2:53".parse().unwrap();
    assert_eq!(association.download(stranger, now), Err(Dropped::Stranger));
}

#[test]
fn a_new_policy_judges_anew_and_lookups_of_the_old_one_are_made_again() {
    let now = clock::mono();
    let mut association = association(CLIENT, 0);
    let datagram = to("127.0.0.1", 53, b"x");
    assert_eq!(upload(&mut association, &datagram, now), "denied");
    assert_eq!(upload(&mut association, &to("a.test", 53, b"x"), now), "ask 1 a.test");
    assert!(association.renew(&policy(2, Guard::Off), now));
    assert_eq!(upload(&mut association, &datagram, now), "127.0.0.1:53 as 127.0.0.1:53: x");
    let address = IpAddr::from([192, 0, 2, 1]);
    let kept = association.answered(1, Ok([address].into_iter().collect()), false, now);
    assert_eq!(text(&association.upload_kept(&kept[0], now)), "ask 2 a.test");
}

proptest! {
    #[test]
    fn nothing_that_a_client_sends_is_sent_to_an_address_that_the_guard_forbids(
        datagrams in prop::collection::vec((any::<[u8; 4]>(), any::<Vec<u8>>()), 1..40),
        nonsense: Vec<u8>,
    ) {
        let now = clock::mono();
        let mut association = association(CLIENT, 0);
        let guard = Guard::Auto(OwnListeners::default());
        for (ip, payload) in datagrams {
            let octets = [&[0, 0, 0, 1], &ip[..], &[0, 53], &payload].concat();
            let allowed = guard.allows(CLIENT.into(), SocketAddr::from((ip, 53))).is_ok();
            match association.upload(source(7000), &octets, now) {
                Step::Send { permit, payload: sent, .. } => {
                    prop_assert!(allowed);
                    prop_assert_eq!(permit.address(), SocketAddr::from((ip, 53)));
                    prop_assert_eq!(sent, &payload);
                }
                Step::Drop(Dropped::Denied) => prop_assert!(!allowed),
                other @ (Step::Ask(_) | Step::Kept | Step::Drop(_)) => prop_assert!(false, "{other:?}"),
            }
        }
        drop(text(&association.upload(source(7000), &nonsense, now)));
    }
}

#[test]
fn half_of_a_name_is_enough_and_the_rest_is_a_way_round() {
    let now = clock::mono();
    let mut association = association(CLIENT, 0);
    let datagram = to("both.test", 53, b"a");
    association.upload(source(1), &datagram, now);
    let [v4, v6]: [IpAddr; 2] = [[192, 0, 2, 1].into(), "2001:db8::1".parse().unwrap()];
    let half = Ok([v6].into_iter().collect());
    let kept = association.answered(1, half, true, now);
    assert_eq!(kept.len(), 1);
    assert_eq!(
        text(&association.upload_kept(&kept[0], now)),
        "[2001:db8::1]:53 as both.test:53: a"
    );
    assert!(!association.pass_over(&datagram, v6, now), "there is no other way yet");
    let all = Ok([v6, v4].into_iter().collect());
    assert!(association.answered(1, all, false, now).is_empty());
    // It stays on its way while that can be gone.
    let step = association.upload(source(1), &datagram, now);
    assert_eq!(text(&step), "[2001:db8::1]:53 as both.test:53: a");
    assert!(association.pass_over(&datagram, v6, now));
    let step = association.upload(source(1), &datagram, now);
    assert_eq!(text(&step), "192.0.2.1:53 as both.test:53: a");
    assert!(!association.pass_over(&datagram, v4, now));
}

#[test]
fn half_of_a_name_that_is_forbidden_waits_for_the_other_half() {
    let now = clock::mono();
    let mut association = association(CLIENT, 0);
    let datagram = to("half.test", 53, b"a");
    association.upload(source(1), &datagram, now);
    let [forbidden, v4]: [IpAddr; 2] = ["::1".parse().unwrap(), [192, 0, 2, 1].into()];
    assert!(association.answered(1, Ok([forbidden].into_iter().collect()), true, now).is_empty());
    assert_eq!(text(&association.upload(source(1), &datagram, now)), "kept");
    let kept = association.answered(1, Ok([forbidden, v4].into_iter().collect()), false, now);
    assert_eq!(kept.len(), 2);
    assert_eq!(text(&association.upload_kept(&kept[0], now)), "192.0.2.1:53 as half.test:53: a");
    assert!(association.refusal().is_none());
}

fn addresses<const N: usize>(texts: [&str; N]) -> Result<Addresses, LookupError> {
    Ok(texts.iter().map(|text| text.parse::<IpAddr>().unwrap()).collect())
}

/// One that sends to the first of these addresses of `a.test`, since `now`.
fn open<const N: usize>(texts: [&str; N], now: Instant) -> (Association, Vec<u8>) {
    let mut association = association(CLIENT, 0);
    let datagram = to("a.test", 53, b"x");
    upload(&mut association, &datagram, now);
    association.answered(1, addresses(texts), false, now);
    (association, datagram)
}

#[test]
fn a_name_is_looked_up_again_beside_its_datagrams() {
    let now = clock::mono();
    let (mut association, datagram) = open(["192.0.2.1", "192.0.2.2"], now);
    let due = now + NAME_LASTS;
    let first = "192.0.2.1:53 as a.test:53: x";
    assert_eq!(upload(&mut association, &datagram, due), format!("{first}, ask 2 a.test"));
    assert_eq!(upload(&mut association, &datagram, due), first, "it is asked for once");
    // The other way round, as a name server likes to.
    let answer = addresses(["192.0.2.2", "192.0.2.1"]);
    assert!(association.answered(2, answer, false, due).is_empty());
    assert_eq!(upload(&mut association, &datagram, due), first);
    // There is the other one still.
    assert!(association.pass_over(&datagram, [192, 0, 2, 1].into(), due));
    assert_eq!(upload(&mut association, &datagram, due), "192.0.2.2:53 as a.test:53: x");
    // Half of an answer changes nothing, and what is no longer in the whole is left.
    let due = due + NAME_LASTS;
    let second = "192.0.2.2:53 as a.test:53: x";
    assert_eq!(upload(&mut association, &datagram, due), format!("{second}, ask 3 a.test"));
    association.answered(3, addresses(["2001:db8::1"]), true, due);
    assert_eq!(upload(&mut association, &datagram, due), second);
    association.answered(3, addresses(["2001:db8::1", "192.0.2.3"]), false, due);
    let moved = "[2001:db8::1]:53 as a.test:53: x";
    assert_eq!(upload(&mut association, &datagram, due), moved);
}

#[test]
fn a_name_that_nobody_can_tell_stays_where_it_was_and_one_that_is_gone_does_not() {
    let now = clock::mono();
    let (mut association, datagram) = open(["192.0.2.1"], now);
    let due = now + NAME_LASTS;
    let first = "192.0.2.1:53 as a.test:53: x";
    assert_eq!(upload(&mut association, &datagram, due), format!("{first}, ask 2 a.test"));
    association.answered(2, Err(LookupError::TimedOut), false, due);
    assert_eq!(upload(&mut association, &datagram, due), first);
    let due = due + NO_NAME_LASTS;
    assert_eq!(upload(&mut association, &datagram, due), format!("{first}, ask 3 a.test"));
    association.answered(3, Err(LookupError::NotFound), false, due);
    assert_eq!(upload(&mut association, &datagram, due), "name_failed");

    // Nor one whose addresses are all forbidden now.
    let (mut association, datagram) = open(["192.0.2.1"], now);
    upload(&mut association, &datagram, now + NAME_LASTS);
    association.answered(2, addresses(["127.0.0.1"]), false, due);
    assert_eq!(upload(&mut association, &datagram, due), "denied");
}

#[test]
fn looking_up_beside_datagrams_is_bounded_and_made_up_for() {
    let now = clock::mono();
    let mut association = association(CLIENT, 0);
    let names: Vec<_> = (1..=17).map(|number| to(&format!("n{number}.test"), 53, b"x")).collect();
    for (query, datagram) in (1..).zip(&names) {
        upload(&mut association, datagram, now);
        association.answered(query, addresses(["192.0.2.1"]), false, now);
    }
    let due = now + NAME_LASTS;
    let asked = |association: &mut Association, at| {
        let steps = names.iter().map(|datagram| upload(association, datagram, at));
        steps.filter(|step| step.starts_with("192.0.2.1:53") && step.contains("ask")).count()
    };
    assert_eq!(asked(&mut association, due), 16);
    association.answered(18, addresses(["192.0.2.1"]), false, due);
    assert_eq!(asked(&mut association, due + NO_NAME_LASTS), 1);
}

#[test]
fn each_address_of_a_target_is_tried_once_in_a_while() {
    let now = clock::mono();
    let (mut association, datagram) = open(["192.0.2.1", "192.0.2.2", "192.0.2.3"], now);
    let ip = |last: u8| IpAddr::from([192, 0, 2, last]);
    assert!(association.pass_over(&datagram, ip(1), now));
    assert!(association.pass_over(&datagram, ip(2), now));
    assert!(!association.pass_over(&datagram, ip(3), now), "all have been tried");
    assert!(!association.pass_over(&datagram, ip(1), now), "one for each further datagram");
    let later = now + Duration::from_secs(1);
    assert_eq!(upload(&mut association, &datagram, later), "192.0.2.2:53 as a.test:53: x");
    assert!(association.pass_over(&datagram, ip(2), later));
    assert!(association.pass_over(&datagram, ip(3), later));
    assert_eq!(upload(&mut association, &datagram, later), "192.0.2.1:53 as a.test:53: x");
}
