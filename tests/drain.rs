//! Stopping: nobody is cut before the time, nothing is lost.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test may block, read the clock and panic"
)]

mod harness;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use harness::client::{self, Client};
use harness::origin::Origin;
use harness::proxy::Proxy;
use harness::{PATIENCE, wait_for};

/// One short session. Whether its request was sent and answered; from there on it must be whole.
fn short_session(proxy: SocketAddr, origin: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect(proxy) else { return false };
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut all = vec![5, 1, 0];
    all.extend(client::connect(origin));
    let mut answer = [0; 12];
    // A connection that the closed listener turns away is no session.
    if stream.write_all(&all).and_then(|()| stream.read_exact(&mut answer)).is_err() {
        return false;
    }
    assert_eq!(answer[..4], [5, 0, 5, 0]);
    stream.write_all(&[7; OCTETS]).unwrap();
    let mut echo = [0; OCTETS];
    stream.read_exact(&mut echo).unwrap();
    assert_eq!(echo, [7; OCTETS]);
    true
}

#[test]
fn sigterm_in_the_middle_of_ten_thousand_short_sessions_loses_none() {
    let mut proxy = Proxy::start();
    let origin = Origin::echo();
    let (begun, answered) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let clients: Vec<_> = (0..AT_A_TIME)
        .map(|_| {
            let (begun, answered) = (Arc::clone(&begun), Arc::clone(&answered));
            let (socks, target) = (proxy.socks, origin.address);
            std::thread::spawn(move || {
                while begun.fetch_add(1, Ordering::Relaxed) < SESSIONS {
                    if short_session(socks, target) {
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                }
            })
        })
        .collect();
    wait_for("half of the sessions", || {
        (answered.load(Ordering::Relaxed) >= SESSIONS / 2).then_some(())
    });
    proxy.signal("TERM");
    let status = proxy.wait();
    for client in clients {
        client.join().unwrap();
    }
    assert!(status.success(), "{status}\n{}", proxy.log());
    let answered = answered.load(Ordering::Relaxed);
    assert!((SESSIONS / 2..SESSIONS).contains(&answered), "{answered}: not in the middle");
    let row = "SELECT count(*), count(DISTINCT session_id), sum(status = 'closed'), \
               sum(bytes_sent), sum(bytes_received) FROM sessions";
    let found: [u64; 5] = proxy
        .database()
        .query_row(row, [], |row| {
            Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?])
        })
        .unwrap();
    let octets = answered * OCTETS as u64;
    assert_eq!(found, [answered, answered, answered, octets, octets]);
    // None was cut: all had ended before the time for that was over.
    assert_eq!(proxy.count("SELECT count(*) FROM sessions WHERE close_code = 'shutdown'"), 0);
}

/// Short sessions, how many of them at one time, and what each sends.
const SESSIONS: u64 = 10_000;
const AT_A_TIME: usize = 64;
const OCTETS: usize = 64;

#[test]
fn a_long_session_may_go_on_until_the_drain_is_over_and_then_ends_by_shutdown() {
    let mut proxy = Proxy::with_sections("drain_timeout_secs = 1", "", "");
    let origin = Origin::echo();
    let mut client = Client::connected(proxy.socks, origin.address);
    client.send(b"before");
    assert_eq!(client.receive(6), b"before");
    proxy.signal("TERM");
    wait_for("the listener's end", || TcpStream::connect(proxy.socks).is_err().then_some(()));
    client.send(b"after");
    assert_eq!(client.receive(5), b"after");
    // Cut, not closed: an unfinished stream must not look finished.
    let error = client.stream.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    assert!(proxy.wait().success());
    let row = proxy
        .database()
        .query_row(
            "SELECT status, close_code, bytes_sent, bytes_received FROM sessions",
            [],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
        )
        .unwrap();
    assert_eq!(row, ("closed".to_owned(), "shutdown".to_owned(), 11, 11));
}

#[test]
fn a_second_signal_ends_at_once_and_still_stores_everything() {
    let mut proxy = Proxy::with_sections("drain_timeout_secs = 600", "", "");
    let origin = Origin::echo();
    let mut client = Client::connected(proxy.socks, origin.address);
    client.send(b"x");
    assert_eq!(client.receive(1), b"x");
    proxy.signal("INT");
    wait_for("the listener's end", || TcpStream::connect(proxy.socks).is_err().then_some(()));
    proxy.signal("INT");
    assert!(proxy.wait().success());
    assert_eq!(proxy.count("SELECT count(*) FROM sessions WHERE close_code = 'shutdown'"), 1);
}

#[test]
fn with_an_unusable_database_a_stop_ends_in_time_and_says_how_much_is_not_stored() {
    let mut proxy = Proxy::with_sections("drain_timeout_secs = 0", "", "");
    let origin = Origin::echo();
    let lock = proxy.lock_database();
    for _ in 0..3 {
        let mut client = Client::connected(proxy.socks, origin.address);
        client.send(b"x");
        assert_eq!(client.receive(1), b"x");
    }
    proxy.signal("TERM");
    assert_eq!(proxy.wait().code(), Some(1));
    let log = wait_for("the last line", || {
        Some(proxy.log()).filter(|log| log.contains("could not be stored"))
    });
    assert!(log.contains("3 sessions could not be stored"), "{log}");
    assert!(log.contains("the next start recovers"), "{log}");
    drop(lock);
    // Each as it had ended, not as cut by a crash.
    let proxy = Proxy::start_in(proxy.into_directory(), "", "", "");
    proxy.wait_count(
        "SELECT count(*) FROM sessions WHERE status = 'closed' AND bytes_received = 1",
        3,
    );
}

#[test]
fn a_second_signal_does_not_wait_for_a_database_that_is_locked() {
    let mut proxy = Proxy::with_sections("drain_timeout_secs = 600", "", "");
    let origin = Origin::echo();
    let lock = proxy.lock_database();
    let mut client = Client::connected(proxy.socks, origin.address);
    client.send(b"x");
    assert_eq!(client.receive(1), b"x");
    proxy.signal("TERM");
    wait_for("the listener's end", || TcpStream::connect(proxy.socks).is_err().then_some(()));
    proxy.signal("TERM");
    assert_eq!(proxy.wait().code(), Some(1));
    // It was not the writer's own patience that ended.
    wait_for("the last line", || {
        let text = "1 sessions could not be stored: the writer did not end in time";
        proxy.log().contains(text).then_some(())
    });
    drop(lock);
}

#[test]
fn a_busy_port_is_an_error_that_names_it() {
    let proxy = Proxy::start();
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("c.toml");
    let text =
        format!("[server]\nbind_port = {}\n[sessions]\nstats_api_port = 0\n", proxy.socks.port());
    std::fs::write(&config, text).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_rustsocks"))
        .arg("--config")
        .arg(&config)
        .current_dir(directory.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains(&proxy.socks.to_string()), "{said}");
}

#[cfg(feature = "database")]
#[test]
fn its_last_line_says_that_all_is_stored_and_one_session_is_one() {
    let origin = Origin::echo();
    let mut proxy = Proxy::with_sections("drain_timeout_secs = 0", "", "");
    let _client = Client::connected(proxy.socks, origin.address);
    proxy.signal("TERM");
    assert!(proxy.wait().success());
    wait_for("its last line", || {
        proxy.log().contains("stopped: every session is stored").then_some(())
    });
    let log = proxy.log();
    assert!(log.contains("stopping: 1 session has 0 s to end"), "{log}");
}

#[cfg(feature = "database")]
#[test]
fn a_second_one_on_the_database_says_that_it_waits_and_can_be_told_not_to() {
    let mut proxy = Proxy::start();
    let config = proxy.directory().join("second.toml");
    let text = format!(
        "server.bind_port = 0\nserver.drain_timeout_secs = 3600\nsessions.stats_api_port = 0\n\
         sessions.database_url = \"sqlite://{}\"\nsessions.ledger_path = \"ledger\"\n",
        proxy.database_path().display()
    );
    std::fs::write(&config, text).unwrap();
    for signal in ["-TERM", "-INT"] {
        let mut second = Command::new(env!("CARGO_BIN_EXE_rustsocks"))
            .args(["run", "--config", "second.toml"])
            .current_dir(proxy.directory())
            .env_remove("RUST_LOG")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(second.stderr.take().unwrap()).lines().map_while(Result::ok);
        let waits = lines.find(|line| line.contains("waits up to")).unwrap();
        let expected = format!("waits up to 3600 s for process {} to end", proxy.pid());
        assert!(waits.contains(&expected), "{waits}");
        let id = second.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
        assert!(second.wait().unwrap().success());
        assert!(lines.any(|line| line.contains("stopped: the database is another's")));
    }
    // The first has noticed nothing.
    assert!(!proxy.log().contains("stopping"));
}
