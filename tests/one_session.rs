//! `GET /api/sessions/{id}` at every moment of a session's life.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test may block, read the clock and panic"
)]

mod harness;

use harness::api::get;
use harness::client::Client;
use harness::origin::Origin;
use harness::proxy::Proxy;
use harness::wait_for;

#[test]
fn a_session_is_there_while_it_lives_until_it_is_stored_and_afterwards() {
    let (proxy, origin) = (Proxy::start(), Origin::echo());
    let api = proxy.api.unwrap();
    let lock = proxy.lock_database();
    let mut client = Client::connected(proxy.socks, origin.address);
    client.send(b"hello");
    assert_eq!(client.receive(5), b"hello");
    let active = get(api, "/api/sessions/active").json();
    let id = active["data"][0]["session_id"].as_str().unwrap();
    let path = format!("/api/sessions/{id}");
    assert_eq!(get(api, &path).json()["status"], "active");
    client.finish();
    client.receive_all();
    wait_for("its end", || (get(api, "/api/sessions/active").json()["total"] == 0).then_some(()));
    // Nothing can be stored: only the ledger knows it now.
    let ended = get(api, &path);
    assert_eq!(ended.status, 200, "{}", ended.body);
    let ended = ended.json();
    assert_eq!((&ended["status"], &ended["bytes_received"]), (&"closed".into(), &5.into()));
    drop(lock);
    proxy.wait_count("SELECT count(*) FROM sessions WHERE status = 'closed'", 1);
    assert_eq!(get(api, &path).json(), ended);
    assert_eq!(get(api, "/api/sessions/00000000-0000-7000-8000-000000000000").status, 404);
}
