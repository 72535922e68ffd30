//! The server that is tested: ours, in three configurations, or another.

use std::net::{IpAddr, SocketAddr};

use super::case::Needs;
use super::places::Places;
use crate::harness::proxy::Proxy;
use crate::names::{NameServer, Reply};

pub(crate) enum Subject {
    Ours(Box<Ours>),
    Other { address: SocketAddr, login: Option<(String, String)> },
}

pub(crate) struct Ours {
    open: Proxy,
    login: Proxy,
    plain: Proxy,
    credentials: (String, String),
    _names: NameServer,
}

/// Where a case is to be held, and with which login.
#[derive(Clone, Copy)]
pub(crate) struct Served<'a> {
    pub(crate) address: SocketAddr,
    pub(crate) login: Option<&'a (String, String)>,
}

/// Whether another server than ours is to be tested.
pub(crate) fn is_another() -> bool {
    std::env::var_os("RUSTSOCKS_TEST_PROXY").is_some()
}

impl Subject {
    /// The one that the environment names, else ours, started now.
    pub(crate) fn start() -> Self {
        let Ok(address) = std::env::var("RUSTSOCKS_TEST_PROXY") else {
            return Self::Ours(Box::new(Ours::start()));
        };
        let address = address.parse().expect("RUSTSOCKS_TEST_PROXY is an address and a port");
        let login = std::env::var("RUSTSOCKS_TEST_LOGIN").ok().map(|login| {
            let (user, password) =
                login.split_once(':').expect("RUSTSOCKS_TEST_LOGIN is user:password");
            (user.to_owned(), password.to_owned())
        });
        Self::Other { address, login }
    }

    pub(crate) const fn is_ours(&self) -> bool {
        matches!(self, Self::Ours(_))
    }

    /// Its name in the table.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Ours(_) => "rustsocks".to_owned(),
            Self::Other { address, login: None } => address.to_string(),
            Self::Other { address, login: Some((user, _)) } => format!("{address} as {user}"),
        }
    }

    /// Where a case with these needs is to be held; an error says why it cannot be.
    pub(crate) fn serve(&self, needs: Needs) -> Result<Served<'_>, &'static str> {
        if needs == Needs::NoRoutes && !Places::are_unreachable() {
            return Err("this machine has routes to everywhere");
        }
        match self {
            Self::Ours(ours) => {
                let open = |proxy: &Proxy| Ok(Served { address: proxy.socks, login: None });
                match needs {
                    Needs::Any | Needs::Open | Needs::NoRoutes | Needs::Ours => open(&ours.open),
                    Needs::OursPlain => open(&ours.plain),
                    Needs::Login | Needs::OursLogin => {
                        let login = Some(&ours.credentials);
                        Ok(Served { address: ours.login.socks, login })
                    }
                }
            }
            Self::Other { address, login } => match (needs, login) {
                (Needs::Open, Some(_)) => Err("it wants a login"),
                (Needs::Login, None) => Err("no RUSTSOCKS_TEST_LOGIN"),
                (Needs::Ours | Needs::OursLogin | Needs::OursPlain, _) => {
                    Err("needs our configuration")
                }
                (Needs::Any | Needs::Open | Needs::Login | Needs::NoRoutes, login) => {
                    Ok(Served { address: *address, login: login.as_ref() })
                }
            },
        }
    }
}

impl Ours {
    fn start() -> Self {
        let names = NameServer::start(|name, _| match name {
            "known.test" => Reply::Addresses(vec![IpAddr::from([127, 0, 0, 1])]),
            _ => Reply::NoSuchName,
        });
        let server = "commands = [\"connect\", \"bind\", \"udp_associate\"]\n\
                      connect_timeout_ms = 1500";
        let resolver = format!("[resolver]\nservers = [\"{}\"]\n", names.address());
        let open = Proxy::with_sections(server, "", &resolver);
        let hash = |password: &[u8]| rustsocks::auth::hash(password).expect("a hash");
        let longest = "x".repeat(255);
        let users = format!(
            "{resolver}[auth]\nmax_failures = 0\nfailure_delay_ms = 0\nsocks_method = \"userpass\"\n\
             [[auth.users]]\nusername = \"alice\"\npassword_hash = \"{}\"\n\
             [[auth.users]]\nusername = \"{longest}\"\npassword_hash = \"{}\"\n",
            hash(b"s3cret"),
            hash(longest.as_bytes()),
        );
        let login = Proxy::with_sections(server, "", &users);
        let credentials = ("alice".to_owned(), "s3cret".to_owned());
        Self { open, login, plain: Proxy::start(), credentials, _names: names }
    }
}
