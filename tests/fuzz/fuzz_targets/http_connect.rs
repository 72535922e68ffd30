//! HTTP CONNECT: what is understood can be written again and means the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rustsocks::http::{Connect, Progress};
use rustsocks::socks::{Method, MethodSet, Outbox};
use rustsocks_fuzz::{Setup, agree};

fuzz_target!(|input: &[u8]| {
    let Some((mut setup, octets)) = Setup::split(input) else { return };
    if !octets.first().is_some_and(u8::is_ascii_uppercase) {
        return;
    }
    setup.announced = false;
    agree(&setup, octets);
    round_trip(octets);
});

/// The head in our own words, with the same credentials, and the payload.
fn round_trip(octets: &[u8]) {
    let both = MethodSet::NO_AUTH.with(Method::UserPass);
    let (mut connect, mut out) = (Connect::new(both), Outbox::new());
    let Ok((used, progress)) = connect.feed(octets, &mut out) else {
        assert!(!out.is_empty(), "refused without a word");
        return;
    };
    let login = match &progress {
        Progress::NeedMore => {
            assert_eq!(used, 0, "half a head was used");
            return;
        }
        Progress::Verify(login) => {
            connect.verdict(Ok(()), &mut out);
            Some((login.username.to_vec(), login.password.to_vec()))
        }
        Progress::Requested(_) | Progress::NoCredentials => None,
    };
    assert!(octets[..used].ends_with(b"\n\r\n") || octets[..used].ends_with(b"\n\n"));
    let request = match progress {
        Progress::Requested(request) => request,
        _ => match connect.feed(&octets[used..], &mut out) {
            Ok((0, Progress::Requested(request))) => request,
            other => panic!("{other:?} after a good verdict"),
        },
    };
    assert!(out.is_empty(), "an answer before there is one");

    let target = request.target.to_string();
    let mut head = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
    if let Some((name, password)) = &login {
        let coded = base64(&[name.as_slice(), b":", password].concat());
        head.push_str(&format!("proxy-authorization: basic {coded}\r\n"));
    }
    head.push_str("\r\n");
    let again = [head.as_bytes(), &octets[used..]].concat();
    let mut connect = Connect::new(both);
    let (length, progress) = connect.feed(&again, &mut out).expect("our own head");
    assert_eq!(length, head.len(), "payload was used");
    match (progress, login) {
        (Progress::Requested(read), None) => assert_eq!(read, request),
        (Progress::Verify(read), Some((name, password))) => {
            assert_eq!((&*read.username, &**read.password), (&*name, &*password));
        }
        (other, login) => panic!("{other:?} with {login:?}"),
    }
}

fn base64(octets: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in octets.chunks(3) {
        let word = three.iter().enumerate().fold(0, |word, (at, octet)| {
            word | u32::from(*octet) << (16 - 8 * at)
        });
        for at in 0..4 {
            let digit = char::from(DIGITS[(word >> (18 - 6 * at)) as usize & 63]);
            text.push(if at <= three.len() { digit } else { '=' });
        }
    }
    text
}
