//! `rustsocks top` in a real terminal, which tmux is.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test may block, read the clock and panic"
)]

mod harness;

use std::io::{ErrorKind, Read};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use harness::client::Client;
use harness::origin::Origin;
use harness::proxy::Proxy;
use harness::{size, wait_for};

/// Tmux servers so far.
static STARTED: AtomicU32 = AtomicU32::new(0);

/// A tmux server of its own, with one window.
struct Tmux {
    socket: PathBuf,
}

impl Tmux {
    /// Runs a shell script in a window of this size.
    fn run(proxy: &Proxy, (width, height): (u16, u16), script: &str) -> Self {
        // One that has just been told to end may still hold its own.
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let tmux = Self { socket: proxy.directory().join(format!("tmux-{number}")) };
        let size = [width.to_string(), height.to_string()];
        let started = tmux
            .command()
            .args(["-f", "/dev/null", "new-session", "-d", "-x", &size[0], "-y", &size[1]])
            .args(["sh", "-c", script])
            .current_dir(proxy.directory())
            .env("LC_ALL", "C.UTF-8")
            .env_remove("TMUX")
            .status()
            .expect("tmux is installed (sh .ci/setup test)");
        assert!(started.success());
        tmux
    }

    fn command(&self) -> Command {
        let mut command = Command::new("tmux");
        command.arg("-S").arg(&self.socket).stdin(Stdio::null());
        command
    }

    /// What is seen.
    fn seen(&self) -> String {
        let output = self.command().args(["capture-pane", "-p"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    fn press(&self, keys: &[&str]) {
        let sent = self.command().arg("send-keys").args(keys).status().unwrap();
        assert!(sent.success(), "{keys:?}");
    }

    #[track_caller]
    fn wait(&self, what: &str) -> String {
        let mut last = String::new();
        wait_for(&format!("{what:?} on the screen"), || {
            last = self.seen();
            last.contains(what).then_some(())
        });
        last
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        // It ends with its last window; this is for a test that failed.
        let mut kill = self.command();
        kill.arg("kill-server").stderr(Stdio::null()).status().ok();
    }
}

fn top(proxy: &Proxy, further: &str) -> String {
    format!(
        "{} top --config rustsocks.toml --api {} --interval 1 {further}",
        env!("CARGO_BIN_EXE_rustsocks"),
        proxy.api.unwrap()
    )
}

fn relaying(proxy: &Proxy, origin: &Origin) -> Client {
    let mut client = Client::connected(proxy.socks, origin.address);
    client.send(b"x");
    assert_eq!(client.receive(1), b"x");
    client
}

/// `TOP_SESSIONS=1000` shows as many, and prints what is seen.
#[test]
fn sessions_are_watched_filtered_opened_and_ended() {
    let count = size("TOP_SESSIONS", 60);
    let (proxy, origin, other) = (Proxy::start(), Origin::echo(), Origin::echo());
    let mut doomed = relaying(&proxy, &other);
    let _clients: Vec<_> = (1..count).map(|_| relaying(&proxy, &origin)).collect();
    let tmux = Tmux::run(&proxy, (140, 30), &format!("{}; sleep 60", top(&proxy, "")));
    let live = match count {
        1000.. => format!("{} {:03} live", count / 1000, count % 1000),
        _ => format!("{count} live"),
    };
    let users = tmux.wait(&live);
    let line = users.lines().find(|line| line.starts_with("anonymous")).expect(&users);
    assert!(users.contains("ok") && line.contains(live.trim_end_matches(" live")), "{users}");
    tmux.press(&["2"]);
    let targets = tmux.wait("2, by rate");
    assert!(targets.contains(&other.address.to_string()), "{targets}");
    tmux.press(&["4"]);
    let sessions = tmux.wait("CLIENT");
    if count >= 1000 {
        println!("{users}\n{targets}\n{sessions}");
    }

    wait_for("rates both ways", || {
        doomed.send(&[7; 200]);
        doomed.receive(200);
        let seen = tmux.seen();
        let (_, rates) = seen.lines().next()?.split_once(" live ")?;
        let moves = |way: &str| {
            let mut words = rates.split_once(way)?.1.split_whitespace();
            let amount: f64 = words.next()?.parse().ok()?;
            (amount > 0.0 && words.next()?.ends_with("B/s")).then_some(())
        };
        moves("up ").and(moves("down "))
    });

    // The one session to the other target: found, opened, left alone, ended.
    tmux.press(&["2", "/"]);
    tmux.press(&["-l", &other.address.port().to_string()]);
    tmux.wait("1, by rate");
    tmux.press(&["Enter", "Enter"]);
    tmux.wait(&format!("target {}", other.address));
    tmux.press(&["t"]);
    tmux.wait("End the session ");
    tmux.press(&["n"]);
    tmux.wait("nothing was ended");
    doomed.send(b"y");
    assert_eq!(doomed.receive(1), b"y");
    tmux.press(&["t"]);
    tmux.wait("End the session ");
    tmux.press(&["y"]);
    tmux.wait("1 session told to end");
    assert_eq!(doomed.stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    tmux.wait("no live session passes the filter");
    tmux.press(&["Escape", "1", "p"]);
    tmux.wait("paused");
    tmux.press(&["?"]);
    tmux.wait("turn the order round");
}

/// Whatever ends it, the terminal is as it was.
#[test]
fn the_terminal_is_given_back_however_it_ends() {
    let proxy = Proxy::start();
    for (name, end) in [
        ("q", None),
        ("ctrl-c", None),
        ("term", Some("TERM")),
        ("hup", Some("HUP")),
        ("int", Some("INT")),
    ] {
        let script = format!(
            "stty -g >before; echo earlier; sh -c 'echo $$ >pid; exec {}'; echo status $?; \
             stty -g >after; cmp before after && echo as before; sleep 60",
            top(&proxy, "")
        );
        let tmux = Tmux::run(&proxy, (100, 20), &script);
        let seen = tmux.wait("0 live");
        assert!(!seen.contains("earlier"), "it is on a screen of its own");
        match (name, end) {
            ("q", _) => tmux.press(&["q"]),
            (_, None) => tmux.press(&["C-c"]),
            (_, Some(signal)) => {
                let pid = std::fs::read_to_string(proxy.directory().join("pid")).unwrap();
                let signal = format!("-{signal}");
                let sent = Command::new("kill").args([&signal, pid.trim()]).status().unwrap();
                assert!(sent.success());
            }
        }
        let seen = tmux.wait("as before");
        assert!(seen.contains("earlier") && seen.contains("status 0"), "{name}: {seen}");
    }
}

/// A terminal that goes ends it, even where nobody tells it: it once read from nothing for ever.
#[test]
fn it_ends_with_its_terminal() {
    let proxy = Proxy::start();
    let script = format!("trap '' HUP; echo $$ >pid; exec {}", top(&proxy, ""));
    let tmux = Tmux::run(&proxy, (100, 20), &script);
    tmux.wait("0 live");
    let pid = std::fs::read_to_string(proxy.directory().join("pid")).unwrap();
    drop(tmux);
    wait_for("top to end", || {
        // Gone, or a zombie that nobody has waited for yet.
        let status = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
        status.map_or(true, |status| status.contains(") Z ")).then_some(())
    });
}

#[test]
fn a_proxy_that_goes_is_told() {
    let mut proxy = Proxy::start();
    let tmux = Tmux::run(&proxy, (120, 20), &format!("{}; sleep 60", top(&proxy, "")));
    tmux.wait("0 live");
    proxy.signal("TERM");
    assert!(proxy.wait().success());
    tmux.wait("no proxy can be asked");
    tmux.press(&["q"]);
}

#[test]
fn without_a_terminal_it_says_what_to_use_instead() {
    let output = Command::new(env!("CARGO_BIN_EXE_rustsocks")).arg("top").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("sessions list"));
}
