use super::*;

fn parse(text: &str) -> Result<Rules, ConfigError> {
    parse_rules(Some(Path::new("acl.toml")), text)
}

#[track_caller]
fn refused(text: &str, expected: &str) {
    let error = parse(text).map(|_| ()).expect_err(text).to_string();
    assert!(error.contains(expected), "{error}\n  expected {expected}");
    assert!(!error.contains('\n'), "{error}");
}

const ALL: &str = r#"
[global]
default_policy = "allow"
utc_offset = "+01:00"

[[users]]
username = "alice"
groups = ["Staff"]
[[users.rules]]
action = "block"
description = "no games for alice"
destinations = ["*.games.test"]
ports = ["*"]
protocols = ["both"]
priority = 500

[[rules]]
action = "shadow-block"
users = ["bob"]
groups = ["OPS"]
destinations = ["10.0.0.0/8", "::ffff:192.0.2.1"]
ports = [443, "8000-9000", "80,81"]
commands = ["connect"]
sources = ["198.51.100.0/24"]
hours = ["mon-fri 08:00-18:00"]

[[groups]]
name = "staff"
[[groups.rules]]
action = "allow"
protocols = ["udp"]
"#;

#[test]
fn every_key_is_read_and_rules_are_numbered_as_they_stand() {
    let rules = parse(ALL).unwrap();
    assert_eq!(rules.otherwise(), Decision::Allow);
    let of = |id: u32| rules.ordered().iter().find(|rule| rule.id == id).unwrap();
    assert_eq!((of(1).line, of(1).action, of(1).priority), (9, Action::Block, 500));
    assert_eq!(&*of(1).text, "no games for alice");
    assert_eq!(of(1).who, Who { users: vec!["alice".into()], groups: Vec::new() });
    assert_eq!((of(1).ports.clone(), of(1).commands), (Ports::default(), CommandSet::ALL));
    let second = of(2);
    assert_eq!((second.line, second.action, second.priority), (17, Action::ShadowBlock, 100));
    assert_eq!(second.who, Who { users: vec!["bob".into()], groups: vec!["ops".into()] });
    assert_eq!(
        &*second.text,
        "shadow-block 10.0.0.0/8, 192.0.2.1 port 80-81,443,8000-9000 by connect from \
         198.51.100.0/24 at mon 08:00 to mon 18:00, tue 08:00 to tue 18:00, wed 08:00 to wed 18:00, \
         thu 08:00 to thu 18:00, fri 08…"
    );
    assert_eq!(of(3).commands, CommandSet::NONE.with(Command::UdpAssociate));
    assert_eq!(&*of(3).text, "allow * by udp_associate");
    assert_eq!(parse("").unwrap().otherwise(), Decision::Block, "the default of the relatives");
}

#[test]
fn refusals_say_file_line_rule_field_and_what_was_expected() {
    let rule = |line: &str| format!("[[rules]]\naction = \"allow\"\n{line}\n");
    for (text, expected) in [
        (
            rule("ports = [70000]"),
            "acl.toml:3:10: rules.ports: rule 1: got \"70000\", expected ports",
        ),
        (
            rule("destinations = []"),
            "acl.toml:3:16: rules.destinations: rule 1: got none, expected",
        ),
        (rule("destinations = [\"a.test:80\"]"), "a port goes into `ports`"),
        (rule("destinations = [\"10.0.0\"]"), "which is no whole address"),
        (rule("sources = [\"x\"]"), "rules.sources: rule 1: got \"x\", expected an address"),
        (
            rule("sources = [\"192.0.2.0/24\", \"10.0.0.1/8\"]"),
            "acl.toml:3:28: rules.sources: rule 1: got \"10.0.0.1/8\", an address with the length of a \
             network; expected the network \"10.0.0.0/8\" or the address \"10.0.0.1\"",
        ),
        (
            rule("destinations = [\"10.0.0.1/8\"]"),
            "acl.toml:3:17: rules.destinations: rule 1: got \"10.0.0.1/8\", an address",
        ),
        (rule("hours = [\"noon\"]"), "rules.hours: rule 1: got \"noon\", expected days"),
        (rule("protocols = [\"icmp\"]"), "expected some of \"tcp\", \"udp\", \"both\", \"*\""),
        (
            rule("protocols = [\"udp\"]\ncommands = [\"bind\"]"),
            "acl.toml:4:12: rules.commands: rule 1",
        ),
        (
            rule("priority = 3000000000"),
            "rules.priority: rule 1: got 3000000000, expected -2147483648",
        ),
        (rule("egress = \"b\""), "acl.toml:3:10: rules.egress: rule 1: goes only with `action"),
        (rule("port = [1]"), "acl.toml:3:1: rules.port: unknown key; did you mean `rules.ports`?"),
        (rule("priority = \"high\""), "acl.toml:3:12: rules.priority: got string"),
        ("[[rules]]\naction = \"alow\"\n".into(), "rule 1: got \"alow\", expected"),
        ("[[rules]]\naction = \"alow\"\n".into(), "did you mean `allow`?"),
        ("[[rules]]\ndescription = \"x\"\n".into(), "rules.action: missing, expected \"allow\""),
        ("[global]\ndefault_policy = \"deny\"\n".into(), "acl.toml:2:18: global.default_policy"),
        ("[global]\nutc_offset = \"CET\"\n".into(), "global.utc_offset: got \"CET\""),
        ("[[users]]\nusername = \"a\"\n[[users]]\nusername = \"a\"\n".into(), "users.username"),
        (
            "[[groups]]\nname = \"a\"\n[[groups]]\nname = \"A\"\n".into(),
            "acl.toml:4:8: groups.name",
        ),
        (
            "[[users]]\nusername = \"a\"\n[[users.rules]]\naction = \"allow\"\nusers = [\"b\"]\n"
                .into(),
            "acl.toml:5:9: users.rules.users: rule 1 of \"a\": does not go with",
        ),
        ("[[rules]\n".into(), "acl.toml:1:"),
    ] {
        refused(&text, expected);
    }
}

#[test]
fn only_one_of_two_rules_at_fault_is_named() {
    let text = "[[groups]]\nname = \"g\"\n[[groups.rules]]\naction = \"allow\"\n\
                [[groups.rules]]\naction = \"block\"\nports = [\"x\"]\n";
    refused(text, "acl.toml:7:10: groups.rules.ports: rule 2 of \"g\": got \"x\"");
}

#[test]
fn a_file_is_told_from_others_by_the_beginning_of_its_b2sum() {
    assert_eq!(Rules::name(None), "no rule file");
    assert_eq!(Rules::name(Some(&parse("").unwrap())), "0 rules, rule file 786a02f7");
    assert_ne!(Rules::name(Some(&parse("\n").unwrap())), "0 rules, rule file 786a02f7");
}

#[test]
fn files_differ_by_what_their_rules_say_and_not_by_where_they_stand() {
    let of = |text: &str| Some(Arc::new(parse(text).unwrap()));
    let (all, moved) = (of(ALL), of(&format!("# a line\n{ALL}")));
    let difference = |before: &Option<_>, after: &Option<_>| {
        Rules::difference(Option::as_ref(before), Option::as_ref(after))
    };
    assert_eq!(difference(&all, &all), None);
    assert_eq!(difference(&all, &moved), None);
    assert_eq!(difference(&None, &None), None);
    for (from, to, expected) in [
        ("\"80,81\"", "\"80,82\"", "1 added, 1 removed"),
        ("mon-fri", "mon-sat", "1 added, 1 removed"),
        ("\"Staff\"", "\"other\"", "0 added, 0 removed, other members of groups"),
        ("+01:00", "+02:00", "0 added, 0 removed, another utc_offset"),
        ("= \"allow\"\nutc", "= \"block\"\nutc", "0 added, 0 removed, another default policy"),
    ] {
        let changed = of(&ALL.replacen(from, to, 1));
        let expected = Some(format!("rules ({expected})"));
        assert_eq!(difference(&all, &changed), expected, "{from}");
    }
    assert_eq!(
        difference(&of("[global]\ndefault_policy = \"block\"\n"), &None).as_deref(),
        Some("rules (0 added, 0 removed, another default policy)")
    );
    // Of two that allow the one before decides, by which way it goes.
    let first = "[[rules]]\naction = \"allow\"\nports = [80]\n";
    let second = "[[rules]]\naction = \"allow\"\nports = [\"80-81\"]\n";
    let other = "[[rules]]\naction = \"block\"\nports = [25]\n";
    let one = of(&format!("{first}{second}{other}"));
    assert_eq!(
        difference(&one, &of(&format!("{second}{first}{other}"))).as_deref(),
        Some("rules (0 added, 0 removed, another order)")
    );
    assert_eq!(difference(&one, &of(&format!("{other}{first}{second}"))), None);
    let gone = difference(&all, &None).unwrap();
    assert!(gone.starts_with("rules (0 added, 3 removed"), "{gone}");
}
