use proptest::prelude::*;

use super::*;

fn judge(head: &str) -> Result<Head, Refusal> {
    judge_octets(head.as_bytes())
}

fn judge_octets(head: &[u8]) -> Result<Head, Refusal> {
    let vantage = Vantage {
        limits: &Limits::default(),
        hosts: &Hosts::default(),
        local: "127.0.0.1:9090".parse().unwrap(),
        client: "127.0.0.1".parse().unwrap(),
    };
    check(head, &vantage).map_err(|unlawful| unlawful.refusal)
}

/// The status of a request to ourselves with these further headers.
fn status(headers: &str) -> u16 {
    match judge(&format!("POST /x HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n")) {
        Ok(_) => 200,
        Err(refusal) => refusal.status(),
    }
}

#[test]
fn a_lawful_head_goes_inwards_with_what_handlers_read_and_nothing_else() {
    let head = judge(
        "POST /a?b=c HTTP/1.1\r\nHost: localhost:9090\r\nAuthorization: Bearer x\r\n\
         Content-Length: 0007\r\nConnection: keep-alive, upgrade\r\nKeep-Alive: 5\r\n\
         Upgrade: h2c\r\nExpect: 100-continue\r\nProxy-Authorization: y\r\nTE: chunked\r\n\
         X-Real-IP: 203.0.113.9\r\nContent-Type: application/json\r\nCookie: z\r\n\r\n",
    )
    .unwrap();
    assert_eq!(
        str::from_utf8(&head.onward).unwrap(),
        "POST /a?b=c HTTP/1.1\r\nhost: localhost:9090\r\nauthorization: Bearer x\r\n\
         content-type: application/json\r\nContent-Length: 7\r\nConnection: close\r\n\
         X-Real-IP: 127.0.0.1\r\n\r\n"
    );
    assert_eq!(head.body, 7);
    assert!(head.expects_continue);
    assert!(!head.bodyless);
}

#[test]
fn a_length_that_is_not_one_plain_number_is_a_400() {
    for headers in [
        "Content-Length: \r\n",
        "Content-Length: +5\r\n",
        "Content-Length: -5\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\ncontent-length: 6\r\nTransfer-Encoding: chunked\r\n",
    ] {
        assert_eq!(status(headers), 400, "{headers}");
    }
}

#[test]
fn a_body_over_the_limit_is_a_413_before_it_is_read() {
    assert_eq!(status("Content-Length: 65536\r\n"), 200);
    for length in ["65537", "5000000", "9000000000000000000", "99999999999999999999999999"] {
        assert_eq!(status(&format!("Content-Length: {length}\r\n")), 413, "{length}");
    }
}

#[test]
fn any_transfer_encoding_is_a_411() {
    for headers in [
        "Transfer-Encoding: chunked\r\n",
        "transfer-encoding: identity\r\n",
        "Transfer-Encoding: \r\n",
        "Content-Length: 5\r\nTransfer-Encoding: xchunked\r\n",
    ] {
        assert_eq!(status(headers), 411, "{headers}");
    }
}

#[test]
fn more_headers_than_the_limit_are_a_431() {
    assert_eq!(status(&"A: b\r\n".repeat(63)), 200);
    assert_eq!(status(&"A: b\r\n".repeat(64)), 431);
}

#[test]
fn what_is_not_http_is_a_400() {
    for head in [
        "GET\r\n\r\n",
        "GET /\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : localhost\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: localhost\r\n folded: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: localhost\r\nno colon\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: localhost\r\nX: a\0b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: localhost\r\nAccept: caf\u{e9}\r\n\r\n",
        "GET http://localhost/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /caf\u{e9} HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: a\r\nAuthorization: b\r\n\r\n",
    ] {
        assert_eq!(judge(head).map(|_| ()).unwrap_err().status(), 400, "{head}");
    }
    let preface = "PRI * HTTP/2.0\r\n\r\n";
    assert_eq!(judge(preface).map(|_| ()).unwrap_err(), Refusal::Version);
}

#[test]
fn http_1_0_needs_no_host_but_may_not_lie_about_it() {
    assert!(judge("GET / HTTP/1.0\r\n\r\n").is_ok());
    let foreign = judge("GET / HTTP/1.0\r\nHost: evil.example\r\n\r\n");
    assert_eq!(foreign.map(|_| ()).unwrap_err(), Refusal::ForeignHost);
}

#[test]
fn a_foreign_name_or_page_is_refused() {
    let rebound = judge("GET / HTTP/1.1\r\nHost: evil.example:9090\r\n\r\n");
    assert_eq!(rebound.map(|_| ()).unwrap_err(), Refusal::ForeignHost);
    assert_eq!(status("Origin: http://evil.example\r\n"), 403);
    assert_eq!(status("Origin: null\r\n"), 403);
    assert_eq!(status("Origin: http://localhost:9090\r\n"), 200);
    assert_eq!(status("Origin: http://localhost:9090\r\nOrigin: http://evil.example\r\n"), 400);
}

#[test]
fn the_end_of_a_head_is_found_at_every_split() {
    for head in ["GET / HTTP/1.1\r\nA: b\r\n\r\n", "GET / HTTP/1.1\nA: b\n\n", "a\r\n\n"] {
        let text = format!("{head}\r\n\r\nbody");
        for split in 0..=head.len() {
            let early = length(text.get(..split).unwrap().as_bytes(), 0);
            if split < head.len() {
                assert_eq!(early, None, "{head:?} at {split}");
            }
            assert_eq!(length(text.as_bytes(), split), Some(head.len()), "{head:?} at {split}");
        }
    }
}

proptest! {
    #[test]
    fn no_octets_make_it_panic_or_pass_a_line_break_inwards(
        octets in proptest::collection::vec(any::<u8>(), 0..200),
        value in "[ -~\t\r\n]{0,40}",
    ) {
        judge_octets(&octets).ok();
        let text = format!("GET /x HTTP/1.1\r\nHost: localhost\r\nAccept: {value}\r\n\r\n");
        if let Some(end) = length(text.as_bytes(), 0)
            && let Ok(head) = judge_octets(text.get(..end).unwrap().as_bytes())
        {
            let onward = String::from_utf8(head.onward).unwrap();
            prop_assert!(onward.ends_with("\r\nX-Real-IP: 127.0.0.1\r\n\r\n"));
            for line in onward.split("\r\n") {
                prop_assert!(!line.contains(['\r', '\n']));
            }
        }
    }
}
