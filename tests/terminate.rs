//! Ending sessions by the API: at every stage, by id and by filter, recorded with who asked.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test may block, read the clock and panic"
)]

mod harness;

use std::io::{ErrorKind, Read};
use std::sync::atomic::Ordering;
use std::sync::mpsc::channel;

use harness::api::{Answer, ask, exchange, get};
use harness::client::{self, Client};
use harness::datagrams::{Associated, UdpEcho, wrapped};
use harness::origin::{Origin, Silent};
use harness::proxy::Proxy;
use harness::{PATIENCE, wait_for};

const REASON: &str = "an operator ended the session (asked from 127.0.0.1)";

fn post(proxy: &Proxy, path: &str) -> Answer {
    ask(proxy.api.unwrap(), "POST", path, Some(&proxy.token()))
}

/// The ids of the live sessions that pass, once there are so many.
fn live(proxy: &Proxy, query: &str, count: usize) -> Vec<String> {
    let path = format!("/api/sessions/active?{query}");
    wait_for(&format!("{count} sessions"), || {
        let active = get(proxy.api.unwrap(), &path).json();
        let ids = active["data"].as_array()?.iter();
        let ids: Vec<_> = ids.map(|it| it["session_id"].as_str().unwrap().to_owned()).collect();
        (ids.len() == count).then_some(ids)
    })
}

fn relaying(proxy: &Proxy, origin: &Origin) -> Client {
    let mut client = Client::connected(proxy.socks, origin.address);
    client.send(b"x");
    assert_eq!(client.receive(1), b"x");
    client
}

fn row(proxy: &Proxy, columns: &str) -> String {
    let sql = format!("SELECT {columns} FROM sessions WHERE close_code = 'terminated_by_admin'");
    wait_for("the record", || proxy.database().query_row(&sql, [], |row| row.get(0)).ok())
}

#[track_caller]
fn assert_reset(client: &mut Client) {
    assert_eq!(client.stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn a_relaying_session_is_reset_on_both_sides_and_recorded_with_who_asked() {
    let proxy = Proxy::start();
    let (sender, ends) = channel();
    let origin = Origin::on("127.0.0.1:0", move |mut stream, _| {
        let mut all = Vec::new();
        let end = stream.read_to_end(&mut all).map_err(|error| error.kind());
        sender.send((all, end)).unwrap();
    });
    let mut client = Client::connected(proxy.socks, origin.address);
    client.send(b"hello");
    let active = wait_for("the octets", || {
        let active = get(proxy.api.unwrap(), "/api/sessions/active").json();
        (active["data"][0]["bytes_sent"] == 5).then_some(active)
    });
    let id = active["data"][0]["session_id"].as_str().unwrap();
    let told = post(&proxy, &format!("/api/sessions/{id}/terminate"));
    assert_eq!((told.status, told.json()["told"].as_u64()), (202, Some(1)), "{}", told.body);
    assert_reset(&mut client);
    let end = ends.recv_timeout(PATIENCE).unwrap();
    assert_eq!(end, (b"hello".to_vec(), Err(ErrorKind::ConnectionReset)));
    assert_eq!(row(&proxy, "status || ': ' || close_reason"), format!("closed: {REASON}"));
    assert_eq!(row(&proxy, "bytes_sent || '/' || session_id"), format!("5/{id}"));
    let shown = get(proxy.api.unwrap(), &format!("/api/sessions/{id}")).json();
    assert_eq!(shown["close_reason"], REASON);
    assert_eq!(post(&proxy, &format!("/api/sessions/{id}/terminate")).status, 409);
}

#[test]
fn what_is_unknown_unlawful_or_not_allowed_is_refused_and_ends_nobody() {
    let (proxy, origin) = (Proxy::start(), Origin::echo());
    let api = proxy.api.unwrap();
    let mut client = relaying(&proxy, &origin);
    let id = live(&proxy, "", 1).remove(0);
    let one = format!("/api/sessions/{id}/terminate");
    let all = "/api/sessions/terminate?user=anonymous";
    for path in [&*one, all] {
        let refused = ask(api, "POST", path, None);
        assert_eq!(refused.status, 401, "{path}");
        assert!(refused.head.contains("WWW-Authenticate: Bearer"), "{}", refused.head);
        assert_eq!(ask(api, "POST", path, Some("wrong")).status, 401, "{path}");
        let token = proxy.token();
        let foreign = format!(
            "POST {path} HTTP/1.1\r\nHost: {api}\r\nOrigin: http://evil.example\r\n\
             Authorization: Bearer {token}\r\nContent-Length: 0\r\n\r\n"
        );
        assert_eq!(exchange(api, &foreign).status, 403, "{path}");
        let with_body = format!(
            "POST {path} HTTP/1.1\r\nHost: {api}\r\nAuthorization: Bearer {token}\r\n\
             Content-Length: 16\r\n\r\n{{\"user\":\"nobody\"}}"
        );
        assert_eq!(exchange(api, &with_body).status, 400, "{path}");
        let reading = get(api, path);
        assert_eq!(reading.status, 405, "{path}");
        assert!(reading.head.contains("Allow: POST"), "{}", reading.head);
    }
    let unknown = "/api/sessions/00000000-0000-7000-8000-000000000000/terminate";
    assert_eq!(post(&proxy, unknown).status, 404);
    for query in ["", "?user=", "?limit=5", "?user=anonymous&nonsense=1"] {
        let answer = post(&proxy, &format!("/api/sessions/terminate{query}"));
        assert_eq!(answer.status, 400, "{query}: {}", answer.body);
    }
    client.send(b"still here");
    assert_eq!(client.receive(10), b"still here");
}

#[test]
fn a_filter_ends_those_who_pass_and_says_how_many_they_were() {
    let (proxy, origin) = (Proxy::start(), Origin::echo());
    let other = Origin::echo();
    let mut passing: Vec<_> = (0..20).map(|_| relaying(&proxy, &origin)).collect();
    let mut staying = relaying(&proxy, &other);
    live(&proxy, "", 21);
    let nobody = post(&proxy, "/api/sessions/terminate?user=nobody");
    assert_eq!((nobody.status, nobody.json()["told"].as_u64()), (202, Some(0)));
    let dest = format!("/api/sessions/terminate?dest={}&source=127.0.0.1", origin.address);
    let told = post(&proxy, &dest);
    assert_eq!((told.status, told.json()["told"].as_u64()), (202, Some(20)), "{}", told.body);
    for client in &mut passing {
        assert_reset(client);
    }
    let count = "SELECT count(*) FROM sessions WHERE close_code = 'terminated_by_admin'";
    proxy.wait_count(count, 20);
    staying.send(b"y");
    assert_eq!(staying.receive(1), b"y");
    live(&proxy, "", 1);
}

#[test]
fn a_session_that_is_still_being_connected_is_ended_too() {
    let proxy = Proxy::start();
    let silent = Silent::start();
    let mut client = Client::to(proxy.socks);
    client.send(&[5, 1, 0]);
    assert_eq!(client.receive(2), [5, 0]);
    client.send(&client::connect(silent.address));
    let id = live(&proxy, "", 1).remove(0);
    assert_eq!(post(&proxy, &format!("/api/sessions/{id}/terminate")).status, 202);
    assert_reset(&mut client);
    assert_eq!(row(&proxy, "status || ': ' || close_reason"), format!("failed: {REASON}"));
    assert_eq!(row(&proxy, "resolved_ip || (connect_us IS NOT NULL)"), "127.0.0.11");
}

#[test]
fn an_association_ends_with_its_control_connection_and_relays_nothing_more() {
    let (proxy, echo) = (Proxy::start(), UdpEcho::on("127.0.0.1:0"));
    let mut client = Associated::with(proxy.socks);
    client.send(echo.address, b"hello");
    assert_eq!(client.receive(), (echo.address, b"hello".to_vec()));
    let id = live(&proxy, "", 1).remove(0);
    assert_eq!(post(&proxy, &format!("/api/sessions/{id}/terminate")).status, 202);
    assert_reset(&mut client.control);
    assert_eq!(row(&proxy, "protocol || ' ' || close_reason"), format!("udp {REASON}"));
    assert_eq!(row(&proxy, "bytes_sent || '/' || bytes_received"), "5/5");
    // Its socket is closed: the kernel says so, or says nothing.
    drop(client.socket.send_to(&wrapped(echo.address, b"late"), client.relay));
    assert_eq!(client.receive_soon(), None);
    assert_eq!(echo.count.datagrams.load(Ordering::SeqCst), 1);
}

#[test]
fn who_asked_survives_a_crash_between_the_end_and_its_commit() {
    let (proxy, origin) = (Proxy::start(), Origin::echo());
    let mut client = relaying(&proxy, &origin);
    let id = live(&proxy, "", 1).remove(0);
    let lock = proxy.lock_database();
    assert_eq!(post(&proxy, &format!("/api/sessions/{id}/terminate")).status, 202);
    assert_reset(&mut client);
    live(&proxy, "", 0);
    let directory = proxy.kill();
    drop(lock);
    let again = Proxy::start_in(directory, "", "", "");
    assert_eq!(row(&again, "session_id || ' ' || close_reason"), format!("{id} {REASON}"));
}
