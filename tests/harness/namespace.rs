//! A network namespace of a test's own: it runs itself again in a fresh one, where it may do as it likes.
//! What cannot be had is said loudly.

use std::process::Command;

/// Set for the test that runs inside.
const INSIDE: &str = "RUSTSOCKS_TEST_NAMESPACE";

/// Runs the test of this name again, in a namespace.
pub(crate) fn in_a_namespace(test: &str) {
    let unshare = || {
        let mut command = Command::new("unshare");
        command.args(if rustix::process::geteuid().is_root() { ["-n"] } else { ["-rn"] });
        command
    };
    let may = unshare().args(["ip", "link", "set", "lo", "up"]).output();
    if !may.is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED {test}: no network namespace can be made here (unshare, ip)");
        return;
    }
    let output = unshare()
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

pub(crate) fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// ip(8).
#[track_caller]
pub(crate) fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status().unwrap();
    assert!(status.success(), "ip {arguments}");
}
