//! HTTP CONNECT: RFC 9110 §9.3.6 and what belongs to it there and in RFC 9112 (the message's form).
//! Each case names the section that it checks. See `harness/conformance` for how they are held, and how
//! against another server.
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

use std::fmt::Display;
use std::net::SocketAddr;

use base64ct::{Base64, Encoding};
use conformance::Step::{
    self, Abandoned, Answer, Closed, Dialled, Eof, Field, Finish, Heard, NoBody, Receive, Reset,
    Rest, Send, Untouched,
};
use conformance::case::{ANY_SUCCESS, Scene, case};
use conformance::places::Places;
use conformance::{Case, Needs};

#[test]
fn connect_is_what_rfc_9110_says() {
    conformance::hold("RFC 9110 §9.3.6", "connect_is_what_rfc_9110_says", CASES);
}

/// The credentials of the case's login, as a field; nothing where none is wanted.
fn credentials(scene: &Scene<'_>) -> String {
    scene.login.map(|(user, password)| basic("Basic", user, password)).unwrap_or_default()
}

fn basic(scheme: &str, user: &str, password: &str) -> String {
    let coded = Base64::encode_string(format!("{user}:{password}").as_bytes());
    format!("Proxy-Authorization: {scheme} {coded}\r\n")
}

/// A whole head with its credentials.
fn head(scene: &Scene<'_>, target: impl Display, fields: &str) -> Vec<u8> {
    plain(target, &(credentials(scene) + fields))
}

const SUCCESS: Step = Answer(&[ANY_SUCCESS]);

/// This head opens a tunnel to the target that sends back what it receives.
fn echoes(head: Vec<u8>) -> Vec<Step> {
    vec![
        Send(head),
        SUCCESS,
        NoBody,
        Send(b"there and back".to_vec()),
        Receive(b"there and back".to_vec()),
        Finish,
        Eof,
    ]
}

/// A head with these fields beside the target's.
fn plain(target: impl Display, fields: &str) -> Vec<u8> {
    format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{fields}\r\n").into_bytes()
}

/// With these credentials a client is asked for better ones.
fn challenged(target: SocketAddr, shown: &str) -> Vec<Step> {
    vec![
        Send(plain(target, shown)),
        Answer(&[407]),
        Field("Proxy-Authenticate"),
        Rest,
        Untouched(target),
    ]
}

/// Credentials of a form that nobody understands lead nowhere.
fn misunderstood(target: SocketAddr, shown: &str) -> Vec<Step> {
    vec![Send(plain(target, shown)), Answer(&[400, 407]), Rest, Untouched(target)]
}

/// This head is answered with one of these statuses.
fn refused(head: impl Into<Vec<u8>>, statuses: &'static [u16]) -> Vec<Step> {
    vec![Send(head.into()), Answer(statuses), Rest]
}

/// The method is no tunnel: whatever the answer, it is no success. Other proxies may know the method.
fn no_tunnel(scene: &Scene<'_>, head: String) -> Vec<Step> {
    refused(head, if scene.ours { &[405] } else { &[400, 403, 405, 501] })
}

const BAD: &[u16] = &[400];

const CASES: &[Case] = &[
    case("9110 §9.3.6", "to an IPv4 address", |scene| echoes(head(scene, scene.places.echo, ""))),
    case("9110 §9.3.6", "to an IPv6 address in brackets", |scene| {
        echoes(head(scene, scene.places.echo6, ""))
    }),
    case("9110 §9.3.6", "to a name", |scene| {
        let target = format!("localhost:{}", scene.places.echo.port());
        echoes(head(scene, target, ""))
    }),
    case("9110 §9.3.6", "to a name of the DNS", |scene| {
        let target = format!("known.test:{}", scene.places.echo.port());
        echoes(head(scene, target, ""))
    })
    .needs(Needs::Ours),
    case("9110 §9.3.6", "with credentials", |scene| echoes(head(scene, scene.places.echo, "")))
        .needs(Needs::Login),
    case("9110 §9.3.6", "a success has neither a length nor a coding", |scene| {
        vec![Send(head(scene, scene.places.echo, "")), SUCCESS, NoBody]
    }),
    case("9110 §9.3.6", "no port: 400", |scene| refused(head(scene, "127.0.0.1", ""), BAD)),
    case("9110 §9.3.6", "an empty port: 400", |scene| refused(head(scene, "127.0.0.1:", ""), BAD)),
    case("9110 §9.3.6", "port 0: 400", |scene| refused(head(scene, "127.0.0.1:0", ""), BAD)),
    case("9110 §9.3.6", "port 65536: 400", |scene| {
        refused(head(scene, "127.0.0.1:65536", ""), BAD)
    }),
    case("9110 §9.3.6", "a port of letters: 400", |scene| {
        refused(head(scene, "127.0.0.1:http", ""), BAD)
    }),
    case("9110 §9.3.6", "a port with a sign: 400", |scene| {
        refused(head(scene, "127.0.0.1:+80", ""), BAD)
    }),
    case("9110 §9.3.6", "no host: 400", |scene| refused(head(scene, ":80", ""), BAD)),
    case("9110 §9.3.6", "what is sent behind the head reaches the target", |scene| {
        let octets = [head(scene, scene.places.echo, ""), b"early".to_vec()].concat();
        vec![Send(octets), SUCCESS, Receive(b"early".to_vec()), Finish, Eof]
    }),
    case("9110 §9.3.6", "also where it is long", |scene| {
        let early: Vec<u8> = (0..=250).cycle().take(20_000).collect();
        let octets = [head(scene, scene.places.echo, ""), early.clone()].concat();
        vec![Send(octets), SUCCESS, Receive(early), Finish, Eof]
    }),
    case("9110 §9.3.6", "a length of the request means nothing", |scene| {
        let head = head(scene, scene.places.echo, "Content-Length: 3\r\n");
        let octets = [head, b"five!".to_vec()].concat();
        vec![Send(octets), SUCCESS, Receive(b"five!".to_vec()), Finish, Eof]
    })
    .needs(Needs::Ours),
    case("9110 §9.3.6", "a client that has said all hears the target out", |scene| {
        vec![
            Send(head(scene, scene.places.counts, "")),
            SUCCESS,
            Send(vec![7; 40_000]),
            Finish,
            Receive(b"40000 octets".to_vec()),
            Eof,
        ]
    }),
    case("9110 §9.3.6", "a target that has said all hears the client out", |scene| {
        let mark = scene.places.mark();
        vec![
            Send(head(scene, scene.places.speaks_first, "")),
            SUCCESS,
            Receive(b"first".to_vec()),
            Eof,
            Send(mark.clone()),
            Finish,
            Heard(mark),
        ]
    }),
    case("9110 §9.3.6", "a client that has reset is connected nowhere", |scene| {
        let target = scene.places.silent();
        vec![Send(head(scene, target, "")), Dialled(target), Reset, Abandoned(target)]
    })
    .needs(Needs::OursPlain),
    case("9110 §9.3.6", "a refusal reaches a client that has sent more", |scene| {
        let more = [head(scene, scene.places.refused, ""), vec![0x5a; 100_000]].concat();
        refused(more, &[502, 503, 504])
    }),
    // Statuses.
    case("9110 §15.6.3", "refused by the target: 502", |scene| {
        refused(
            head(scene, scene.places.refused, ""),
            if scene.ours { &[502] } else { &[502, 503] },
        )
    }),
    case("9110 §15.6.3", "no such name: 502", |scene| {
        let head = head(scene, "no-such-name.invalid:80", "");
        refused(head, if scene.ours { &[502] } else { &[500, 502, 503, 504] })
    }),
    case("9110 §15.6.3", "no route to the network: 502", |scene| {
        let target = SocketAddr::from((Places::NO_NETWORK, 80));
        refused(head(scene, target, ""), if scene.ours { &[502] } else { &[502, 503] })
    })
    .needs(Needs::NoRoutes),
    case("9110 §15.6.5", "no answer from the target: 504", |scene| {
        refused(
            head(scene, scene.places.silent(), ""),
            if scene.ours { &[504] } else { &[502, 503, 504] },
        )
    }),
    case("9110 §15.5.4", "forbidden by a rule: 403", |scene| {
        refused(head(scene, "169.254.169.254:80", ""), &[403])
    })
    .needs(Needs::Ours),
    // Credentials.
    case("9110 §15.5.8", "no credentials: 407 with a challenge", |scene| {
        challenged(scene.places.untouched(), "")
    })
    .needs(Needs::Login),
    case("9110 §15.5.8", "wrong credentials: 407 with a challenge", |scene| {
        challenged(scene.places.untouched(), &basic("Basic", "alice", "guess"))
    })
    .needs(Needs::Login),
    case("9110 §11.7.1", "credentials that are none: 407", |scene| {
        misunderstood(scene.places.untouched(), "Proxy-Authorization: Basic !!!\r\n")
    })
    .needs(Needs::Login),
    case("9110 §11.1", "a scheme that is not offered: 407", |scene| {
        let shown = "Proxy-Authorization: Bearer YWxpY2U6czNjcmV0\r\n";
        misunderstood(scene.places.untouched(), shown)
    })
    .needs(Needs::Login),
    case("9110 §11.1", "a scheme in any case", |scene| {
        let (user, password) = scene.login.expect("a login");
        let (target, shown) = (scene.places.echo, basic("bASIC", user, password));
        echoes(plain(target, &shown))
    })
    .needs(Needs::Login),
    case("9110 §11.7.1", "two sets of credentials: 400", |scene| {
        refused(head(scene, scene.places.echo, &credentials(scene)), BAD)
    })
    .needs(Needs::OursLogin),
    // Methods and fields.
    case("9110 §9.1", "a method has its case", |scene| {
        let target = scene.places.untouched();
        let shown = credentials(scene);
        no_tunnel(scene, format!("connect {target} HTTP/1.1\r\nHost: {target}\r\n{shown}\r\n"))
    }),
    case("9110 §9.1", "GET asks for no tunnel: 405", |_| {
        vec![
            Send(b"GET http://127.0.0.1/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".to_vec()),
            Answer(&[405]),
            Field("Allow"),
            Rest,
        ]
    })
    .needs(Needs::Ours),
    case("9110 §9.1", "a method that nobody knows is no tunnel", |scene| {
        let target = scene.places.untouched();
        let shown = credentials(scene);
        no_tunnel(scene, format!("TUNNEL {target} HTTP/1.1\r\nHost: {target}\r\n{shown}\r\n"))
    }),
    case("9110 §5.1", "a field's name in any case", |scene| {
        let (target, shown) = (scene.places.echo, credentials(scene).to_uppercase());
        // The coded part has a case.
        let shown = match (shown.split_once(": "), credentials(scene).split_once(": ")) {
            (Some((name, _)), Some((_, value))) => format!("{name}: {value}"),
            (_, _) => String::new(),
        };
        echoes(format!("CONNECT {target} HTTP/1.1\r\nhOST: {target}\r\n{shown}\r\n").into())
    }),
    case("9110 §5.1", "fields that nobody knows are passed over", |scene| {
        let fields = "Proxy-Connection: keep-alive\r\nUser-Agent: x\r\nX-Unknown: \r\n";
        echoes(head(scene, scene.places.echo, fields))
    }),
    // The form of the message.
    case("9112 §2.2", "an empty line before the request is passed over", |scene| {
        echoes([b"\r\n".to_vec(), head(scene, scene.places.echo, "")].concat())
    }),
    case("9112 §2.3", "HTTP/1.0", |scene| {
        let (target, shown) = (scene.places.echo, credentials(scene));
        echoes(format!("CONNECT {target} HTTP/1.0\r\n{shown}\r\n").into())
    }),
    case("9112 §2.3", "HTTP/2.0 in a line of text: refused", |scene| {
        let target = scene.places.untouched();
        let head = format!("CONNECT {target} HTTP/2.0\r\nHost: {target}\r\n\r\n");
        refused(head, &[400, 505])
    }),
    case("9112 §3", "no version: 400", |scene| {
        refused(format!("CONNECT {}\r\n\r\n", scene.places.untouched()), BAD)
    }),
    case("9112 §3", "two spaces: 400", |scene| {
        let target = scene.places.untouched();
        refused(format!("CONNECT  {target} HTTP/1.1\r\nHost: {target}\r\n\r\n"), BAD)
    })
    .needs(Needs::Ours),
    case("9112 §3", "a word too many: 400", |scene| {
        let target = scene.places.untouched();
        refused(format!("CONNECT {target} more HTTP/1.1\r\nHost: {target}\r\n\r\n"), BAD)
    }),
    case("9112 §3.2", "no Host in HTTP/1.1: 400", |scene| {
        let (target, shown) = (scene.places.echo, credentials(scene));
        refused(format!("CONNECT {target} HTTP/1.1\r\n{shown}\r\n"), BAD)
    }),
    case("9112 §3.2", "two Hosts: 400", |scene| {
        refused(head(scene, scene.places.echo, "Host: other\r\n"), BAD)
    }),
    case("9112 §3.2", "two Hosts in HTTP/1.0: 400", |scene| {
        let (target, shown) = (scene.places.untouched(), credentials(scene));
        let hosts = format!("Host: {target}\r\nHost: {target}\r\n");
        let head = format!("CONNECT {target} HTTP/1.0\r\n{hosts}{shown}\r\n");
        refused(head, BAD)
    })
    .needs(Needs::Ours),
    case("9112 §3.2", "a Host that is none: 400", |scene| {
        let (target, shown) = (scene.places.untouched(), credentials(scene));
        refused(format!("CONNECT {target} HTTP/1.1\r\nHost: a/b@c\r\n{shown}\r\n"), BAD)
    })
    .needs(Needs::Ours),
    case("9112 §3.2", "a Host that is none in HTTP/1.0: 400", |scene| {
        let (target, shown) = (scene.places.untouched(), credentials(scene));
        refused(format!("CONNECT {target} HTTP/1.0\r\nHost: a/b@c\r\n{shown}\r\n"), BAD)
    })
    .needs(Needs::Ours),
    case("9112 §3.2.3", "a target that is an address of the web: 400", |scene| {
        refused(head(scene, format!("http://{}/", scene.places.untouched()), ""), BAD)
    }),
    case("9112 §3.2.3", "a target with a user: 400", |scene| {
        refused(head(scene, format!("user@{}", scene.places.untouched()), ""), BAD)
    }),
    case("9112 §3.2.3", "an IPv6 address without brackets: 400", |scene| {
        let port = scene.places.echo6.port();
        refused(head(scene, format!("::1:{port}"), ""), BAD)
    }),
    case("9112 §5.1", "a space before a colon: 400", |scene| {
        refused(head(scene, scene.places.echo, "X-Field : x\r\n"), BAD)
    }),
    case("9112 §5.2", "a folded line: 400", |scene| {
        refused(head(scene, scene.places.echo, "X-Field: x\r\n folded\r\n"), BAD)
    })
    .needs(Needs::Ours),
    case("9112 §2.2", "a carriage return alone: 400", |scene| {
        refused(head(scene, scene.places.echo, "X-Field: x\ry\r\n"), BAD)
    })
    .needs(Needs::Ours),
    case("9110 §5.4", "a head of nearly 8 KiB", |scene| {
        let field = format!("X-Long: {}\r\n", "x".repeat(7_700));
        echoes(head(scene, scene.places.echo, &field))
    }),
    case("9110 §5.4", "a head of more: 431", |scene| {
        let field = format!("X-Long: {}\r\n", "x".repeat(100_000));
        refused(head(scene, scene.places.echo, &field), &[431])
    })
    .needs(Needs::Ours),
    case("9110 §5.4", "too many fields: 431", |scene| {
        refused(head(scene, scene.places.echo, &"X: y\r\n".repeat(100)), &[431])
    })
    .needs(Needs::Ours),
    case("9112 §9.6", "a head that never ends: the end, and no tunnel", |scene| {
        let target = scene.places.untouched();
        let head = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
        vec![Send(head.into()), Finish, Closed, Untouched(target)]
    })
    .needs(Needs::Ours),
];
