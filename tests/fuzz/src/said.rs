//! What a client may get to read, told by its first octet.

use rustsocks::session::Outcome;
use rustsocks::socks::Command;

use crate::conversation::End;

/// Checks that it is whole, in order, and says what happened; nothing follows a refusal.
pub fn check(said: &[u8], end: End, command: Option<Command>) {
    let replies = match said.first() {
        None => {
            assert!(matches!(end, End::Ended(_)), "{end:?} without a word");
            return;
        }
        Some(5) => socks5(said, end),
        Some(0) => socks4(said),
        Some(b'H') => http(said),
        Some(_) => panic!("{said:?} is no protocol"),
    };
    let granted = replies.iter().filter(|granted| **granted).count();
    let refused = replies.len() - granted;
    assert!(refused <= 1 && replies.iter().skip_while(|granted| **granted).count() <= 1, "{said:?}");
    match end {
        End::Relays if command == Some(Command::Bind) => assert_eq!((granted, refused), (2, 0)),
        End::Relays | End::RelaysDatagrams => assert_eq!((granted, refused), (1, 0)),
        End::Refused(_) => assert!(granted <= 1 && (granted == 0 || command == Some(Command::Bind))),
        End::Ended(_) => assert_eq!(refused, 0, "refused, and then ended without a linger"),
    }
}

/// The replies to the request, each whether it grants.
fn socks5(said: &[u8], end: End) -> Vec<bool> {
    let mut rest = said.strip_prefix(&[5]).expect("a version");
    let Some((method, behind)) = rest.split_first() else { panic!("a choice without a method") };
    rest = behind;
    match method {
        0 => {}
        2 if rest.is_empty() => return Vec::new(),
        2 => {
            let Some(([version, status], behind)) = rest.split_first_chunk() else {
                // The request's version may be wrong where the login was to stand.
                panic!("half a status: {said:?}");
            };
            rest = behind;
            assert_eq!(*version, 1);
            if *status != 0 {
                assert!(rest.is_empty(), "more than a refused login: {said:?}");
                assert!(matches!(end, End::Refused(Outcome::AuthFailed | Outcome::ServerBusy)));
                return Vec::new();
            }
        }
        0xff => {
            assert!(rest.is_empty(), "more than a refused method: {said:?}");
            assert!(matches!(end, End::Refused(Outcome::NoAcceptableMethod)));
            return Vec::new();
        }
        other => panic!("method {other}"),
    }
    let mut replies = Vec::new();
    while let Some(([5, code, 0, kind], behind)) = rest.split_first_chunk() {
        assert!(*code <= 8);
        let length = if *kind == 1 { 4 } else { 16 };
        assert!(matches!(kind, 1 | 4));
        rest = behind.get(length + 2..).expect("half a reply");
        replies.push(*code == 0);
        if let End::Refused(outcome) = end
            && *code != 0
        {
            assert!(*code == outcome.reply() || outcome == Outcome::Malformed);
        }
    }
    assert!(rest.is_empty(), "{rest:?} is no reply");
    replies
}

fn socks4(said: &[u8]) -> Vec<bool> {
    let (replies, rest) = said.as_chunks::<8>();
    assert!(rest.is_empty(), "half a reply: {said:?}");
    replies
        .iter()
        .map(|reply| {
            assert!(reply[0] == 0 && matches!(reply[1], 90 | 91));
            reply[1] == 90
        })
        .collect()
}

fn http(said: &[u8]) -> Vec<bool> {
    let text = str::from_utf8(said).expect("a head is text");
    assert!(text.ends_with("\r\n\r\n"), "half a head: {text}");
    text.split_terminator("\r\n\r\n")
        .map(|head| {
            let status = head.strip_prefix("HTTP/1.1 ").expect("a status line");
            let granted = status.starts_with("200 ");
            assert!(granted || status.contains("\r\nContent-Length: 0"));
            granted
        })
        .collect()
}
