//! A network namespace without routes, where the kernel lets a test have one.

use std::process::Command;

/// Runs the test of this name of this very program in such a namespace; what it printed, and whether it
/// passed. `None` inside of it, and where there is none to be had.
pub(crate) fn run_inside(test: &str) -> Option<(String, bool)> {
    if std::env::var_os(INSIDE).is_some() || !is_allowed() {
        return None;
    }
    let program = std::env::current_exe().expect("this program has a path");
    let output = unshare()
        .args([
            "ip link set lo up && ip route add unreachable 198.51.100.0/24 && exec \"$@\"",
            "sh",
        ])
        .arg(program)
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .expect("unshare runs");
    let said = [output.stdout, output.stderr].concat();
    Some((String::from_utf8_lossy(&said).into_owned(), output.status.success()))
}

fn is_allowed() -> bool {
    let tried =
        unshare().arg("ip link set lo up && ip route add unreachable 198.51.100.0/24").output();
    tried.is_ok_and(|output| output.status.success())
}

fn unshare() -> Command {
    let mut command = Command::new("unshare");
    let path = std::env::var("PATH").unwrap_or_default();
    command
        .args(["--map-root-user", "--net", "--", "sh", "-c"])
        // Where `ip` is, and users do not look.
        .env("PATH", format!("{path}:/usr/sbin:/sbin"));
    command
}

/// Says to a test that it runs there.
const INSIDE: &str = "RUSTSOCKS_TEST_INSIDE";
