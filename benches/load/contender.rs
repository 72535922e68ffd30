//! What is measured: this proxy, and others that the environment names.

use std::env;
use std::io;
use std::net::SocketAddr;

use super::process::Process;

/// How clients reach the origin.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// They connect to it, or to something that forwards to it.
    Plain,
    /// SOCKS5 without login, by IPv4 address.
    Socks5,
}

/// One thing that is measured.
pub(crate) struct Contender {
    pub(crate) name: String,
    pub(crate) command: Option<String>,
    pub(crate) config: String,
    pub(crate) way: Way,
    /// Its metrics and statistics are asked for all the while.
    pub(crate) scraped: bool,
    /// It may have all cores, not just the second.
    pub(crate) all_cores: bool,
}

impl Contender {
    /// Starts it.
    pub(crate) fn start(&self, origin: SocketAddr) -> io::Result<Process> {
        match &self.command {
            Some(command) if self.all_cores => {
                Process::start_on("0-1023", command, &self.config, origin)
            }
            Some(command) => Process::start(command, &self.config, origin),
            None => Process::none(origin),
        }
    }
}

/// No proxy at all.
pub(crate) fn direct() -> Contender {
    let (name, config) = ("direct".to_owned(), String::new());
    Contender { name, command: None, config, way: Way::Plain, scraped: false, all_cores: false }
}

/// This proxy, as it is by default but for its ports, one worker, and where it stores.
pub(crate) fn ours(name: &str, storage: &str) -> Contender {
    Contender {
        name: name.to_owned(),
        command: Some(format!("{} run --config {{dir}}/config", env!("CARGO_BIN_EXE_rustsocks"))),
        config: format!(
            "[server]\nbind_port = {{port}}\nworkers = 1\nmax_connections = 100000\n\
             [sessions]\nstorage = \"{storage}\"\nstats_api_port = {{api}}\n"
        ),
        way: Way::Socks5,
        scraped: false,
        all_cores: false,
    }
}

/// This proxy four times: its figures published after each transfer, each tenth (the default), each
/// hundredth; and as by default, but asked for its metrics and statistics ten times a second.
pub(crate) fn published() -> Vec<Contender> {
    let mut all: Vec<_> = [1, 10, 100]
        .into_iter()
        .map(|interval| {
            let mut ours = ours(&format!("every {interval}"), "sqlite");
            ours.config.push_str(&format!("traffic_update_packet_interval = {interval}\n"));
            ours
        })
        .collect();
    all.push(Contender { scraped: true, ..ours("every 10, scraped", "sqlite") });
    all
}

/// This proxy with one worker, two and four, each time on all cores.
pub(crate) fn workers() -> Vec<Contender> {
    [1, 2, 4]
        .into_iter()
        .map(|workers| {
            let mut ours = ours(&format!("workers: {workers}"), "sqlite");
            ours.config = ours.config.replace("workers = 1", &format!("workers = {workers}"));
            Contender { all_cores: true, ..ours }
        })
        .collect()
}

/// Those that `RUSTSOCKS_PEER` and `RUSTSOCKS_FORWARD` name.
pub(crate) fn others() -> Vec<Contender> {
    let mut all = named("RUSTSOCKS_PEER", Way::Socks5);
    all.extend(named("RUSTSOCKS_FORWARD", Way::Plain));
    all
}

/// `name=command` pairs of a variable; `@@ file` names a configuration that becomes `{dir}/config`.
fn named(variable: &str, way: Way) -> Vec<Contender> {
    let listed = env::var(variable).unwrap_or_default();
    listed
        .split(';')
        .filter_map(|pair| pair.trim().split_once('='))
        .map(|(name, command)| {
            let (command, config) = match command.split_once("@@") {
                Some((command, file)) => {
                    (command.trim(), std::fs::read_to_string(file.trim()).unwrap_or_default())
                }
                None => (command.trim(), String::new()),
            };
            let (name, command) = (name.trim().to_owned(), Some(command.to_owned()));
            Contender { name, command, config, way, scraped: false, all_cores: false }
        })
        .collect()
}
