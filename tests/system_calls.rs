//! That each thread makes the system calls of its duty and no others, as strace sees it: what was seen of
//! each kind of thread, under every kind of load, is held against the list that its filter is made of.
#![cfg(all(feature = "database", feature = "dns-cares"))]
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test may block, read the clock and panic"
)]

mod harness;
#[path = "sandbox/load.rs"]
mod load;
#[path = "harness/names.rs"]
mod names;
#[path = "sandbox/trace.rs"]
mod trace;

use std::fs;
use std::io::Read;

use harness::api::{ask, get};
use harness::client::{self, Client};
use harness::origin::Origin;
use harness::proxy::Proxy;
use harness::wait_for;
use load::{SERVER, load, zone};
use names::NameServer;
use rustsocks::linux::calls::Duty;
use trace::{Calls, read, traced};

/// Runs one with these sections and does something with it; what its threads called is added.
fn run(server: &str, further: &str, calls: &mut Calls, body: impl FnOnce(&mut Proxy)) {
    let elsewhere = tempfile::tempdir().unwrap();
    let file = elsewhere.path().join("trace");
    let directory = tempfile::tempdir().unwrap();
    let server = format!("{SERVER}\n{server}");
    let mut proxy = Proxy::launch(traced(&file), directory, &server, "", further);
    body(&mut proxy);
    let pid = proxy.pid();
    proxy.stop();
    read(&file, pid, calls);
}

/// What an operator does, and what befalls a database.
fn operate(proxy: &mut Proxy) {
    let (api, token) = (proxy.api.unwrap(), proxy.token());
    proxy.signal("HUP");
    wait_for("the reload", || proxy.log().contains("reloaded by SIGHUP").then_some(()));
    let order = |method, path: &str| ask(api, method, path, Some(&token)).status;
    assert_eq!(order("POST", "/api/admin/reload"), 200);
    assert_eq!(order("POST", "/api/sessions/terminate?user=nobody"), 202);
    assert_eq!(order("DELETE", "/api/bans/192.0.2.1"), 404);
    for path in ["/openapi.json", "/docs", "/api/quotas", "/api/sessions/history?since=1h"] {
        assert!(get(api, path).status < 500, "{path}");
    }
    let mut events = std::net::TcpStream::connect(api).unwrap();
    let request = format!("GET /api/events HTTP/1.1\r\nHost: {api}\r\n\r\n");
    std::io::Write::write_all(&mut events, request.as_bytes()).unwrap();
    events.read_exact(&mut [0; 12]).unwrap();
    // The log is rotated.
    let log = proxy.directory().join("access.log");
    fs::rename(&log, log.with_extension("old")).unwrap();
    proxy.signal("USR1");
    wait_for("a new log", || log.exists().then_some(()));
    // A copy, by another process; then the file goes, and is made again from what is open.
    let copy = proxy.directory().join("copy.db");
    let made = std::process::Command::new(env!("CARGO_BIN_EXE_rustsocks"))
        .args(["backup", "--config"])
        .arg(proxy.directory().join("rustsocks.toml"))
        .arg(&copy)
        .current_dir(proxy.directory())
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    fs::remove_file(proxy.database_path()).unwrap();
    wait_for("the database", || proxy.database_path().exists().then_some(()));
}

#[test]
fn what_each_thread_calls_is_on_the_list_of_its_duty() {
    let mut calls = Calls::new();
    let names = NameServer::start(zone);
    let cares = format!("[resolver]\nservers = [\"{}\"]\n", names.address());
    let limits = "[[limits.bandwidth]]\nname = \"all\"\nusers = [\"*\"]\ndownload_kbit = 1000000\n\
                  [[limits.quotas]]\nname = \"day\"\nusers = [\"*\"]\nperiod = \"day\"\n\
                  limit_mib = 100000\n[logging]\naccess_log = \"{dir}/access.log\"\n";
    run("", &format!("{cares}{limits}"), &mut calls, |proxy| {
        load((proxy.socks, proxy.api.unwrap()), false);
        operate(proxy);
        load((proxy.socks, proxy.api.unwrap()), false);
    });
    let hash = rustsocks::auth::hash(b"secret").unwrap();
    let auth = format!(
        "[auth]\nsocks_method = \"userpass\"\nfailure_delay_ms = 0\n[[auth.users]]\n\
         username = \"alice\"\npassword_hash = \"{hash}\"\n"
    );
    run("splice = false", &format!("{cares}{auth}"), &mut calls, |proxy| {
        load((proxy.socks, proxy.api.unwrap()), true);
    });
    run("", "[resolver]\nkind = \"system\"\n", &mut calls, |proxy| {
        let origin = Origin::echo();
        for name in ["localhost", "no.such.name.invalid", "localhost"] {
            let mut client = Client::to(proxy.socks);
            client.send(&[5, 1, 0]);
            assert_eq!(client.receive(2), [5, 0]);
            client.send(&client::connect((name, origin.address.port())));
            let expected = if name == "localhost" { 0 } else { 4 };
            let code = client.reply().0;
            assert!(code == expected || expected == 4 && code == 1, "{name}: {code}");
        }
    });
    let mut wrong = Vec::new();
    for duty in Duty::ALL {
        let (seen, list) = (calls.remove(duty.name()).unwrap_or_default(), duty.calls());
        let made: usize = seen.values().sum();
        println!(
            "{}: {made} calls of {} of the {} on its list",
            duty.name(),
            seen.len(),
            list.len()
        );
        let often = seen.iter().map(|(call, times)| format!("{call} {times}"));
        println!("  seen: {}", often.collect::<Vec<_>>().join(", "));
        let never = list.iter().filter(|call| !seen.contains_key(**call)).copied();
        println!("  never seen: {}", never.collect::<Vec<_>>().join(", "));
        let missing = seen.keys().filter(|call| !list.contains(call.as_str()));
        wrong.extend(missing.map(|call| format!("{}: {call}", duty.name())));
        // Nobody asks PAM here.
        assert_eq!(seen.is_empty(), duty == Duty::Pam, "{}", duty.name());
    }
    assert!(wrong.is_empty(), "not on its list: {wrong:?}");
}
