//! A request to the API: the gate's judgement of its head, and the route of its path and query.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rustsocks::admin::head::{Vantage, check, length};
use rustsocks::admin::{Bounds, Cursor, Hosts, Limits, Method, Miss, Need, Route};

fuzz_target!(|input: &[u8]| {
    let Some((first, octets)) = input.split_first() else { return };
    match first & 1 {
        0 => head(octets),
        _ => {
            let method = ["GET", "HEAD", "POST", "DELETE", "PUT"][usize::from(first >> 1) % 5];
            if let Ok(target) = str::from_utf8(octets) {
                route(Method::of(method), target);
            }
        }
    }
});

/// The gate's part.
fn head(octets: &[u8]) {
    let Some(end) = length(octets, 0) else { return };
    for scanned in 0..end {
        assert_eq!(length(octets, scanned), Some(end), "its end depends on how it came");
        assert_eq!(length(&octets[..scanned], 0), None);
    }
    let (limits, hosts) = (Limits::default(), Hosts::default());
    let vantage = Vantage {
        limits: &limits,
        hosts: &hosts,
        local: "127.0.0.1:9090".parse().expect("an address"),
        client: "192.0.2.7".parse().expect("an address"),
    };
    let head = match check(&octets[..end], &vantage) {
        Ok(head) => head,
        Err(unlawful) => {
            assert!(matches!(unlawful.refusal.status(), 400 | 403 | 411 | 413 | 421 | 431 | 505));
            return;
        }
    };
    assert!(head.body <= limits.body_max);
    let text = str::from_utf8(&head.onward).expect("what goes inwards is text");
    let text = text.strip_suffix("Connection: close\r\nX-Real-IP: 192.0.2.7\r\n\r\n");
    let text = text.expect("what goes inwards ends in our own words");
    assert_eq!(text.lines().count(), text.matches("\r\n").count());
    assert_eq!(text.lines().count(), text.matches('\n').count());
    assert_eq!(text.matches('\n').count(), text.matches('\r').count());
    for line in text.lines().skip(1) {
        let (name, _) = line.split_once(": ").expect("a header");
        let known = ["host", "origin", "authorization", "accept", "content-type", "if-none-match"];
        assert!(known.contains(&name) || name == "Content-Length", "{line} goes inwards");
    }
    // What goes inwards is lawful itself, and means the same.
    if text.contains("\r\nhost: ") {
        let again = check(&head.onward, &vantage).expect("what goes inwards is lawful");
        assert_eq!((again.onward, again.body), (head.onward.clone(), head.body));
    }
    let line = text.lines().next().expect("a request line");
    let mut words = line.split(' ');
    let method = Method::of(words.next().expect("a method"));
    route(method, words.next().expect("a target"));
}

/// The router's part.
fn route(method: Method, target: &str) {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let bounds = Bounds::default();
    let route = Route::of(method, path, query, &bounds);
    let same = |path: &str, query: Option<&str>, why: &str| {
        let other = Route::of(method, path, query, &bounds);
        match (&route, &other) {
            (Ok(route), Ok(other)) => assert_eq!(route, other, "{why}"),
            (Err(_), Err(_)) => {}
            (_, _) => panic!("{why}: {route:?}, {other:?}"),
        }
    };
    if let Some(query) = query {
        let turned: Vec<&str> = query.split('&').rev().collect();
        same(path, Some(&turned.join("&")), "the order of parameters counts");
        same(path, Some(&format!("&{query}&&")), "empty pieces count");
    }
    if let (Some(path), query) = (encoded(path), query.map(encoded)) {
        match query {
            None => same(&path, None, "the spelling counts"),
            Some(Some(query)) => same(&path, Some(&query), "the spelling counts"),
            Some(None) => {}
        }
    }
    match route {
        Ok(route) => {
            let changes = matches!(method, Method::Post | Method::Delete);
            assert_eq!(route.need() == Need::Changing, changes, "{route:?}");
            if let Route::ActiveSessions(asked) = &route {
                assert!((1..=1000).contains(&asked.limit));
                if let Some(cursor) = &asked.cursor {
                    assert_eq!(Cursor::decode(&cursor.encode()).as_ref(), Some(cursor));
                }
            }
            if let Route::Stats(asked) = &route {
                assert!((1..=bounds.window_hours_max).contains(&asked.window_hours));
            }
        }
        Err(miss) => {
            let status = miss.reply().status;
            let expected = match miss {
                Miss::NotFound => 404,
                Miss::WrongMethod(_) => 405,
                Miss::Bad(_) => 400,
            };
            assert_eq!(status, expected);
        }
    }
}

/// Every octet percent-encoded that may be; `None` where the encoding is broken already.
fn encoded(text: &str) -> Option<String> {
    let mut coded = String::new();
    let mut rest = text.as_bytes();
    while let Some((octet, behind)) = rest.split_first() {
        rest = behind;
        match octet {
            b'%' => {
                let (digits, behind) = rest.split_at_checked(2)?;
                if !digits.iter().all(u8::is_ascii_hexdigit) {
                    return None;
                }
                coded.push('%');
                coded.extend(digits.iter().map(|digit| char::from(*digit)));
                rest = behind;
            }
            b'/' | b'&' | b'=' | b'+' | b'?' => coded.push(char::from(*octet)),
            other => coded.push_str(&format!("%{other:02X}")),
        }
    }
    Some(coded)
}
