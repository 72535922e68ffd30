//! The running proxy, asked over its HTTP API.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use rustix::fs::OFlags;
use serde_json::Value;
use ureq::Agent;
use ureq::http::Response;
use zeroize::Zeroizing;

use super::failure::Failure;
use crate::config::Settings;

/// How the running proxy is found.
#[derive(Debug, Args)]
pub(super) struct Reach {
    /// Configuration file (TOML) of the running proxy, which says where its API and its token are; without
    /// it they are 127.0.0.1:9090 and data/api-token
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the API is, if not where the configuration says
    #[arg(long, value_name = "ADDRESS:PORT")]
    api: Option<SocketAddr>,
    /// Where its token is, if not where the configuration says
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// The API of a proxy.
pub(super) struct Api {
    agent: Agent,
    address: SocketAddr,
    token_file: PathBuf,
}

/// What a request is about: `name=value`, encoded where it is sent.
pub(super) type Parameters<'a> = [(&'a str, String)];

impl Reach {
    pub(super) fn api(self) -> Result<Api, Failure> {
        let (settings, _) = Settings::load(self.config.as_deref())?;
        let address = match self.api {
            Some(address) => address,
            None => configured(settings.sessions.api)?,
        };
        let config = Agent::config_builder()
            // What is wrong stands in the body.
            .http_status_as_error(false)
            // The token is for the proxy alone, wherever the environment or an answer points.
            .proxy(None)
            .max_redirects(0)
            .timeout_global(Some(PATIENCE));
        Ok(Api {
            agent: config.build().into(),
            address,
            token_file: self.token_file.unwrap_or(settings.server.api_token_file),
        })
    }
}

impl Api {
    /// Reads; the token is shown only where it is asked for.
    pub(super) fn get(&self, path: &str, parameters: &Parameters<'_>) -> Result<Value, Failure> {
        let ask = |token: Option<&str>| {
            let mut request = self.agent.get(self.url(path));
            for (name, value) in parameters {
                request = request.query(name, value);
            }
            if let Some(token) = token {
                request = request.header("Authorization", token);
            }
            request.call()
        };
        let mut answer = ask(None).map_err(|error| self.unreachable(&error))?;
        if answer.status() == UNAUTHORIZED {
            answer = ask(Some(&self.token()?)).map_err(|error| self.unreachable(&error))?;
        }
        self.read(answer)
    }

    /// Reads what is told with whatever status: how the proxy is.
    pub(super) fn get_whatever(&self, path: &str) -> Result<Value, Failure> {
        let answer = self.agent.get(self.url(path)).call();
        let answer = answer.map_err(|error| self.unreachable(&error))?;
        self.json(answer)
    }

    /// Changes something.
    pub(super) fn post(&self, path: &str, parameters: &Parameters<'_>) -> Result<Value, Failure> {
        let mut request = self.agent.post(self.url(path));
        for (name, value) in parameters {
            request = request.query(name, value);
        }
        let answer = request
            .header("Authorization", &*self.token()?)
            .send_empty()
            .map_err(|error| self.unreachable(&error))?;
        self.read(answer)
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The value of `Authorization`.
    fn token(&self) -> Result<Zeroizing<String>, Failure> {
        let mut text = Zeroizing::new(String::new());
        open(&self.token_file)
            .and_then(|file| file.take(TOKEN_OCTETS_MAX).read_to_string(&mut text))
            .map_err(|error| Failure::File {
                path: self.token_file.display().to_string(),
                error,
            })?;
        Ok(Zeroizing::new(format!("Bearer {}", text.trim())))
    }

    fn json(&self, mut answer: Response<ureq::Body>) -> Result<Value, Failure> {
        let body = answer.body_mut().with_config().limit(BODY_OCTETS_MAX).read_to_vec();
        let body = body.map_err(|error| self.unreachable(&error))?;
        serde_json::from_slice(&body).map_err(|error| {
            Failure::Other(format!("{} is no API of a proxy: {error}", self.address))
        })
    }

    fn read(&self, answer: Response<ureq::Body>) -> Result<Value, Failure> {
        let status = answer.status().as_u16();
        let value = self.json(answer)?;
        match status {
            200..=299 => Ok(value),
            UNAUTHORIZED => Err(Failure::Denied(format!(
                "the proxy at {} does not take the token of {}",
                self.address,
                self.token_file.display()
            ))),
            _ => Err(Failure::Other(match value["detail"].as_str() {
                Some(detail) => printable(detail),
                None => format!("{} answers with status {status}", self.address),
            })),
        }
    }

    fn unreachable(&self, error: &ureq::Error) -> Failure {
        Failure::Other(format!("no proxy can be asked at {}: {error}", self.address))
    }
}

/// Where the configured API is reached from this machine.
fn configured(api: Option<SocketAddr>) -> Result<SocketAddr, Failure> {
    let Some(mut address) = api else {
        let text = "sessions.stats_api_enabled is false: the proxy cannot be asked";
        return Err(Failure::Other(text.to_owned()));
    };
    if address.port() == 0 {
        let text = "sessions.stats_api_port is 0, any free port: say which with --api";
        return Err(Failure::Usage(text.to_owned()));
    }
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        IpAddr::V4(_) | IpAddr::V6(_) => {}
    }
    Ok(address)
}

/// Whoever may read the file may use it; only a link is not followed.
fn open(path: &Path) -> std::io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)
}

/// What clients chose must not steer a terminal: neither by what controls it nor by what has a line read
/// the other way round.
pub(super) fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '"' | '\'' | '\\' => shown.push(character),
            // Whatever is not printable (char::escape_debug).
            _ => shown.extend(character.escape_debug()),
        }
    }
    shown
}

/// JSON of the same value in which nothing steers a terminal: serde_json leaves the characters from
/// U+007F on as they are, of which some control it and others turn a line round.
pub(super) fn harmless(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    for character in json.chars() {
        let printable = character.is_ascii() && character != '\u{7f}';
        if printable || character.escape_debug().len() == 1 {
            shown.push(character);
        } else {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                shown.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    shown
}

const UNAUTHORIZED: u16 = 401;
/// For a whole question and its answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// The most that the API answers with, and some.
const BODY_OCTETS_MAX: u64 = 8 << 20;
/// Octets read of a token's file.
const TOKEN_OCTETS_MAX: u64 = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown_and_not_sent() {
        assert_eq!(printable("a\u{1b}[31mb\nä"), "a\\u{1b}[31mb\\nä");
        assert_eq!(printable("\u{202e}\u{9b}it's \"x\\y\""), "\\u{202e}\\u{9b}it's \"x\\y\"");
        for name in ["\u{7f}\u{9b}31m\u{202e}x", "ü 名前 🦀\n\"\\", "\u{e0001}"] {
            let json = harmless(&Value::from(name).to_string());
            let steers = |c: char| c.is_control() || matches!(c, '\u{202e}' | '\u{e0001}');
            assert!(!json.contains(steers), "{json}");
            assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), name);
        }
    }

    #[test]
    fn an_api_on_every_address_is_asked_on_the_loopback() {
        let at = |text: &str| configured(Some(text.parse().unwrap())).ok().map(|at| at.to_string());
        assert_eq!(at("0.0.0.0:9090").as_deref(), Some("127.0.0.1:9090"));
        assert_eq!(at("[::]:9090").as_deref(), Some("[::1]:9090"));
        assert_eq!(at("192.0.2.1:9090").as_deref(), Some("192.0.2.1:9090"));
        assert_eq!(at("127.0.0.1:0"), None);
        assert!(configured(None).is_err());
    }
}
