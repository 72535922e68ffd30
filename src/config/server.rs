//! `[server]`: listeners, limits and patience.

use std::net::{IpAddr, SocketAddr};
use std::ops::{Range, RangeInclusive};
use std::path::PathBuf;
use std::time::Duration;

use super::choice::SocksMethod;
use super::error::{ConfigError, Place};
use super::file::{self, File};
use super::rules::{NoNetwork, network, port};
use super::settings::{ListenSettings, ServerSettings, Settings};
use super::source::{Source, closest};
use crate::acl::{Opening, Rules};
use crate::policy::AssociationPolicy;
use crate::proxy_protocol::Announcers;
use crate::socks::{Command, CommandSet};

/// Warns of sections that are only known so that a file from elsewhere loads.
pub(super) fn replaced(source: &Source<'_>, file: &mut File, warnings: &mut Vec<String>) {
    if let Some(pool) = file.server.pool.take() {
        let message = "has no effect: connections to targets are never shared or kept; use \
                       `server.max_connections`, `server.connect_timeout_ms` and \
                       `server.idle_timeout_secs`";
        warnings.push(source.warning(pool.span(), "server.pool", message));
    }
    if let Some(qos) = file.qos.take() {
        let message = "has no effect; use `server.max_connections` and `[limits]`";
        warnings.push(source.warning(qos.span(), "qos", message));
    }
}

pub(super) fn server(source: &Source<'_>, file: &File) -> Result<ServerSettings, ConfigError> {
    let server = &file.server;
    let listen = listeners(source, server)?;
    let anybody =
        file.auth.socks_method.get_ref() == &SocksMethod::None && !file.acl.enabled.get_ref();
    let open = anybody && !server.allow_open_proxy;
    let mut checked: Vec<ListenSettings> = Vec::new();
    for Listener { key, span, address, announcers } in listen {
        if open && !is_loopback(address.ip()) {
            return Err(source.error(span, key, open_to_anybody(address.ip())));
        }
        if address.port() != 0 && checked.iter().any(|other| other.address == address) {
            let message = format!("got {address} twice, expected each listener once");
            return Err(source.error(span, key, message));
        }
        if let Some(other) = checked.iter().find(|other| overlap(other.address, address)) {
            let message = format!(
                "got {address} beside {}, of which one holds the other; expected each port once",
                other.address
            );
            return Err(source.error(span, key, message));
        }
        checked.push(ListenSettings { address, announcers });
    }
    for host in &server.api_hosts {
        let text = host.get_ref();
        if text.is_empty() || text.contains(|c: char| c.is_whitespace() || c == '/') {
            let message = format!("got {text:?}, expected a host name such as \"proxy.example\"");
            return Err(source.error(host.span(), "server.api_hosts", message));
        }
    }
    let (user, group) = account(source, server)?;
    let number = |key, value, most| source.number(key, value, 1..=most);
    Ok(ServerSettings {
        listen: checked,
        workers: *server.workers.get_ref(),
        max_connections: source.number(
            "server.max_connections",
            &server.max_connections,
            1..=1_000_000,
        )?,
        handshake_timeout: Duration::from_millis(number(
            "server.handshake_timeout_ms",
            &server.handshake_timeout_ms,
            600_000,
        )?),
        connect_timeout: Duration::from_millis(number(
            "server.connect_timeout_ms",
            &server.connect_timeout_ms,
            600_000,
        )?),
        attempt_delay: Duration::from_millis(source.number(
            "server.attempt_delay_ms",
            &server.attempt_delay_ms,
            10..=10_000,
        )?),
        idle_timeout: Duration::from_secs(number(
            "server.idle_timeout_secs",
            &server.idle_timeout_secs,
            604_800,
        )?),
        half_close_timeout: Duration::from_secs(number(
            "server.half_close_timeout_secs",
            &server.half_close_timeout_secs,
            86_400,
        )?),
        // The most that TCP_KEEPIDLE takes.
        keepalive_secs: source.number(
            "server.tcp_keepalive_secs",
            &server.tcp_keepalive_secs,
            0..=32_767,
        )?,
        splice: server.splice,
        drain_timeout: Duration::from_secs(source.number(
            "server.drain_timeout_secs",
            &server.drain_timeout_secs,
            0..=86_400,
        )?),
        commands: commands(source, server)?,
        associations: AssociationPolicy {
            advertised: match server.udp_advertised_address.get_ref().as_str() {
                "" => None,
                _ => {
                    let key = "server.udp_advertised_address";
                    Some(source.ip(key, &server.udp_advertised_address)?)
                }
            },
            ports: ports(source, server)?,
        },
        api_hosts: server.api_hosts.iter().map(|host| host.get_ref().clone()).collect(),
        api_token_file: token_file(source, server)?,
        api_require_token: server.api_require_token,
        user,
        group,
        sandbox: server.sandbox,
    })
}

impl Settings {
    /// That whoever reaches one of these listeners could use the proxy for everything under these settings
    /// and rules, in a sentence as a start refuses it: listeners stay where they were when settings change.
    ///
    /// # Errors
    /// The sentence.
    pub fn open_nothing(
        &self,
        listen: &[ListenSettings],
        rules: Option<&Rules>,
    ) -> Result<(), ConfigError> {
        if self.auth.required || self.file.server.allow_open_proxy {
            return Ok(());
        }
        let mut all = listen.iter().map(|listen| listen.address);
        let Some(address) = all.find(|address| !is_loopback(address.ip())) else {
            return Ok(());
        };
        let Some(rules) = rules else {
            let key = "auth.socks_method".to_owned();
            let why = open_to_anybody(address.ip());
            let message = format!("{address} is listened on, and {why}");
            return Err(ConfigError { place: Place::default(), key, message, nearest: None });
        };
        let (key, line) = match rules.opening(&self.acl.anonymous_user) {
            None => return Ok(()),
            Some(Opening::Default) => ("global.default_policy".to_owned(), None),
            Some(Opening::Rule { id, line }) => (format!("rule {id}"), usize::try_from(line).ok()),
        };
        let position = line.map(|line| (line, 1));
        let place = Place { file: self.acl.rule_file.clone(), position };
        let message = format!(
            "allows everything to anybody, {address} is listened on, which is not a loopback address, and \
             `auth.socks_method = \"none\"`: anybody could use the proxy; say by `sources` who may, set \
             `auth.socks_method = \"userpass\"`, or `server.allow_open_proxy = true` if that is meant"
        );
        Err(ConfigError { place, key, message, nearest: None })
    }
}

/// Why that is refused.
fn open_to_anybody(address: IpAddr) -> String {
    format!(
        "{address} is not a loopback address, and with `auth.socks_method = \"none\"` anybody could use \
         the proxy; set `auth.socks_method = \"userpass\"`, say who may by rules with \
         `acl.enabled = true`, or set `server.allow_open_proxy = true` if that is meant"
    )
}

/// Whom to become.
fn account(
    source: &Source<'_>,
    server: &file::Server,
) -> Result<(Option<String>, Option<String>), ConfigError> {
    let name = |text: &file::Placed<String>| Some(text.get_ref().clone()).filter(|t| !t.is_empty());
    let (user, group) = (name(&server.user), name(&server.group));
    if user.is_none() && group.is_some() {
        let message = "goes with `server.user`, which is not set";
        return Err(source.error(server.group.span(), "server.group", message));
    }
    Ok((user, group))
}

/// The API may not listen where clients do.
pub(super) fn apart(
    source: &Source<'_>,
    file: &File,
    listen: &[ListenSettings],
    api: Option<SocketAddr>,
) -> Result<(), ConfigError> {
    let Some(api) = api else { return Ok(()) };
    // Unlike a listener of ours, the one of the API on `::` takes IPv4, too.
    let both = api.ip() == IpAddr::from([0; 16]);
    let meets = |address: SocketAddr| {
        overlap(address, api) || both && api.port() != 0 && address.port() == api.port()
    };
    let Some(listener) = listen.iter().find(|listener| meets(listener.address)) else {
        return Ok(());
    };
    let message = format!(
        "got {api}, where clients are accepted ({}, by `server.bind_port` or `[[server.listen]]`); \
         expected a port of its own",
        listener.address
    );
    let key = "sessions.stats_api_port";
    Err(source.error(file.sessions.stats_api_port.span(), key, message))
}

/// Whether two listeners cannot be had beside each other.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let (a, b) = (one.ip().to_canonical(), other.ip().to_canonical());
    let covers = a == b || a.is_ipv4() == b.is_ipv4() && (a.is_unspecified() || b.is_unspecified());
    one.port() != 0 && one.port() == other.port() && covers
}

fn token_file(source: &Source<'_>, server: &file::Server) -> Result<PathBuf, ConfigError> {
    let path = &server.api_token_file;
    if path.get_ref().is_empty() {
        let key = "server.api_token_file";
        let message = "got none, expected a path such as \"data/api-token\"";
        return Err(source.error(path.span(), key, message));
    }
    Ok(PathBuf::from(path.get_ref()))
}

fn commands(source: &Source<'_>, server: &file::Server) -> Result<CommandSet, ConfigError> {
    let key = "server.commands";
    let expected = "some of \"connect\", \"udp_associate\", \"bind\"";
    if server.commands.get_ref().is_empty() {
        let message = format!("got none, expected {expected}");
        return Err(source.error(server.commands.span(), key, message));
    }
    let mut set = CommandSet::NONE;
    for word in server.commands.get_ref() {
        let got = word.get_ref();
        let Some((_, command)) = COMMANDS.iter().find(|(known, _)| known == got) else {
            let message = format!("got {got:?}, expected {expected}");
            let known = COMMANDS.iter().map(|(known, _)| *known);
            let nearest = closest(got, known).map(str::to_owned);
            return Err(ConfigError { nearest, ..source.error(word.span(), key, message) });
        };
        set = set.with(*command);
    }
    Ok(set)
}

/// `first-last`, or nothing for any port.
fn ports(
    source: &Source<'_>,
    server: &file::Server,
) -> Result<Option<RangeInclusive<u16>>, ConfigError> {
    let range = &server.udp_port_range;
    let got = range.get_ref();
    if got.is_empty() {
        return Ok(None);
    }
    let ports = got.split_once('-').and_then(|(first, last)| {
        let (first, last) = (port(first)?, port(last)?);
        (0 < first && first <= last).then_some(first..=last)
    });
    ports.map(Some).ok_or_else(|| {
        let message =
            format!("got {got:?}, expected two ports such as \"40000-40999\", or nothing");
        source.error(range.span(), "server.udp_port_range", message)
    })
}

/// A listener, and where the file speaks of it.
struct Listener {
    key: &'static str,
    span: Range<usize>,
    address: SocketAddr,
    announcers: Announcers,
}

fn listeners(source: &Source<'_>, server: &file::Server) -> Result<Vec<Listener>, ConfigError> {
    let mut all = vec![Listener {
        key: "server.bind_address",
        span: server.bind_address.span(),
        address: SocketAddr::new(
            source.ip("server.bind_address", &server.bind_address)?,
            source.number("server.bind_port", &server.bind_port, 0..=65_535)?,
        ),
        announcers: announcers(source, "server.proxy_protocol_from", &server.proxy_protocol_from)?,
    }];
    for listen in &server.listen {
        let address = source.ip("server.listen.address", &listen.address)?;
        let port = source.number("server.listen.port", &listen.port, 0..=65_535)?;
        let key = "server.listen.proxy_protocol_from";
        all.push(Listener {
            key: "server.listen.address",
            span: listen.address.span(),
            address: SocketAddr::new(address, port),
            announcers: announcers(source, key, &listen.proxy_protocol_from)?,
        });
    }
    Ok(all)
}

fn announcers(
    source: &Source<'_>,
    key: &'static str,
    networks: &[file::Placed<String>],
) -> Result<Announcers, ConfigError> {
    let networks = networks.iter().map(|written| {
        let text = written.get_ref();
        // A client's address is unwrapped before it is compared.
        network(text).map_err(|error| {
            let message = match error {
                NoNetwork::HostBits(why) => why,
                NoNetwork::Other => format!(
                    "got {text:?}, expected a network such as \"192.0.2.0/24\" or an address"
                ),
            };
            source.error(written.span(), key, message)
        })
    });
    Ok(Announcers::new(networks.collect::<Result<Vec<_>, _>>()?))
}

fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// The words for the commands (RFC 1928 §4).
const COMMANDS: [(&str, Command); 3] = [
    ("connect", Command::Connect),
    ("udp_associate", Command::UdpAssociate),
    ("bind", Command::Bind),
];
