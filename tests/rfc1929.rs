//! RFC 1929, user name and password for SOCKS version 5: each case names the section that it checks.
//! See `harness/conformance` for how they are held, and how against another server.
#![cfg(feature = "dns-cares")]
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test may block, read the clock and panic"
)]

#[path = "harness/conformance/mod.rs"]
mod conformance;
mod harness;
#[path = "harness/names.rs"]
mod names;

use conformance::Step::{
    self, Closed, Eof, Finish, Receive, ReceiveNot, Reply, Rest, Send, Untouched,
};
use conformance::case::{self, Scene};
use conformance::{Case, Needs};
use harness::client::{connect, userpass};

#[test]
fn logins_are_what_rfc_1929_says() {
    conformance::hold("RFC 1929", "logins_are_what_rfc_1929_says", CASES);
}

const fn case(name: &'static str, steps: fn(&Scene<'_>) -> Vec<Step>) -> Case {
    case::case("1929 §2", name, steps).needs(Needs::Login)
}

/// The method is chosen, these octets are sent for a login, and it fails: a status of version 1 that is
/// not 0, and the end of the connection.
fn fails(login: Vec<u8>) -> Vec<Step> {
    [chosen(), vec![Send(login), Receive(vec![1]), ReceiveNot(&[0]), Closed]].concat()
}

fn chosen() -> Vec<Step> {
    vec![Send(vec![5, 1, 2]), Receive(vec![5, 2])]
}

fn login<'a>(scene: &'a Scene<'_>) -> (&'a str, &'a str) {
    let (user, password) = scene.login.expect("a login");
    (user, password)
}

const CASES: &[Case] = &[
    case("the method is chosen, also beside no login", |_| {
        vec![Send(vec![5, 2, 0, 2]), Receive(vec![5, 2])]
    }),
    case("the right password: version 1, status 0, and a request is taken", |scene| {
        scene.echoes(connect(scene.places.echo))
    }),
    case("a wrong password: another status, and the end", |scene| {
        fails(userpass(login(scene).0, "guess"))
    }),
    case("an unknown user: another status, and the end", |scene| {
        fails(userpass("mallory", login(scene).1))
    }),
    case("a password that goes on: another status, and the end", |scene| {
        let (user, password) = login(scene);
        fails(userpass(user, &format!("{password}x")))
    }),
    case("a password that ends too soon: another status, and the end", |scene| {
        let (user, password) = login(scene);
        fails(userpass(user, &password[..password.len() - 1]))
    }),
    case("a password with a NUL behind it: another status, and the end", |scene| {
        let (user, password) = login(scene);
        fails(userpass(user, &format!("{password}\0")))
    }),
    case("a password in capitals: another status, and the end", |scene| {
        let (user, password) = login(scene);
        fails(userpass(user, &password.to_uppercase()))
    }),
    case("an empty password: another status, and the end", |scene| {
        fails(userpass(login(scene).0, ""))
    }),
    case("neither name nor password: another status, and the end", |_| fails(userpass("", ""))),
    case("the longest of both, unknown: another status, and the end", |_| {
        let longest = "y".repeat(255);
        fails(userpass(&longest, &longest))
    }),
    case("the longest of both, known", |scene| {
        let longest = "x".repeat(255);
        [
            chosen(),
            vec![
                Send(userpass(&longest, &longest)),
                Receive(vec![1, 0]),
                Send(connect(scene.places.echo)),
                Reply(&[0]),
                Send(b"in".to_vec()),
                Receive(b"in".to_vec()),
                Finish,
                Eof,
            ],
        ]
        .concat()
    })
    .needs(Needs::OursLogin),
    case("another version: not let in, and the end", |scene| {
        let (user, password) = login(scene);
        let mut octets = userpass(user, password);
        octets[0] = 5;
        [chosen(), vec![Send(octets), Closed]].concat()
    })
    .needs(Needs::OursLogin),
    case("a request in place of the login: not carried out, and the end", |scene| {
        let target = scene.places.untouched();
        let end = if scene.ours { Closed } else { Rest };
        [chosen(), vec![Send(connect(target)), end, Untouched(target)]].concat()
    }),
    case("a request behind a wrong password is not carried out", |scene| {
        let target = scene.places.untouched();
        let octets = [userpass(login(scene).0, "guess"), connect(target)].concat();
        [fails(octets), vec![Untouched(target)]].concat()
    }),
    case("the status reaches a client that has sent more", |scene| {
        fails([userpass(login(scene).0, "guess"), vec![0x5a; 100_000]].concat())
    }),
];
