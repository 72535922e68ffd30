//! `cargo bench --bench load`: the real release binary under load, beside a direct connection and any
//! other proxy, in one interleaved run, with full accounting into SQLite.
//!
//! ```text
//! core 0: clients ─┐                      ┌─ origin        core 1: the proxy, all of its threads
//!                  └─▶ direct / ours / peer ─▶
//! ```
//!
//! Only ratios within one run count. Rounds are interleaved (A B C, A B C, …), each figure is the
//! median with its least and greatest. CPU is what the kernel booked to the proxy's process.
//!
//! | variable | meaning |
//! |---|---|
//! | `LOAD_MODES` | comma-separated, of setup, pingpong, bulk, idle, mice, memory (all but memory) |
//! | `LOAD_ROUNDS`, `LOAD_SECONDS` | rounds (3), seconds of each measurement (2) |
//! | `LOAD_SESSIONS` | sessions of mode memory (1 000 000) |
//! | `RUSTSOCKS_PEER` | `name=command; name=command @@ file`: `{port}`, `{origin}`, `{dir}` are filled in, in the command and in the file, which becomes `{dir}/config` |
//! | `RUSTSOCKS_FORWARD` | the same for what forwards plain TCP to `{origin}` |
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::print_stdout,
    clippy::wildcard_enum_match_arm,
    clippy::exit,
    reason = "a bench reads the clock, prints and may give up"
)]

mod ears;
mod modes;
mod origin;
mod process;
mod swarm;
mod table;

use std::env;
use std::io;
use std::net::SocketAddr;

use process::{Process, pin};
use swarm::Way;

/// One thing that is measured.
pub(crate) struct Contender {
    name: String,
    command: Option<String>,
    config: String,
    way: Way,
}

impl Contender {
    /// Starts it.
    pub(crate) fn start(&self, origin: SocketAddr) -> io::Result<Process> {
        match &self.command {
            Some(command) => Process::start(command, &self.config, origin),
            None => Process::none(origin),
        }
    }
}

fn main() -> io::Result<()> {
    // `cargo test --benches` and `cargo bench -- --list` start it too.
    if env::args().any(|argument| argument == "--test" || argument == "--list") {
        return Ok(());
    }
    pin(0);
    let limit = rustsocks::linux::nofile::raise_nofile();
    let origin = origin::start()?;
    let contenders = contenders();
    let plan = modes::Plan::read(limit.soft);
    println!("origin {origin}, {} descriptors, {}", limit.soft, plan.describe());
    table::print(&modes::run(&plan, &contenders, origin)?);
    Ok(())
}

fn contenders() -> Vec<Contender> {
    let ours = |name: &str, storage: &str| Contender {
        name: name.to_owned(),
        command: Some(format!("{} run --config {{dir}}/config", env!("CARGO_BIN_EXE_rustsocks"))),
        config: format!(
            "[server]\nbind_port = {{port}}\nworkers = 1\nmax_connections = 100000\n\
             [sessions]\nstorage = \"{storage}\"\nstats_api_port = 0\n"
        ),
        way: Way::Socks5,
    };
    let direct = Contender {
        name: "direct".to_owned(),
        command: None,
        config: String::new(),
        way: Way::Plain,
    };
    let mut all = vec![direct, ours("rustsocks", "sqlite"), ours("rustsocks, memory", "memory")];
    all.extend(peers("RUSTSOCKS_PEER", Way::Socks5));
    all.extend(peers("RUSTSOCKS_FORWARD", Way::Plain));
    all
}

/// `name=command` pairs of a variable; `@@ file` names a configuration that becomes `{dir}/config`.
fn peers(variable: &str, way: Way) -> Vec<Contender> {
    let listed = env::var(variable).unwrap_or_default();
    listed
        .split(';')
        .filter_map(|pair| pair.trim().split_once('='))
        .map(|(name, command)| {
            let (command, config) = match command.split_once("@@") {
                Some((command, file)) => {
                    (command.trim(), std::fs::read_to_string(file.trim()).unwrap_or_default())
                }
                None => (command, String::new()),
            };
            let (name, command) = (name.trim().to_owned(), Some(command.to_owned()));
            Contender { name, command, config, way }
        })
        .collect()
}
