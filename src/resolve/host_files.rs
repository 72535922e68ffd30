//! What the host's own files say about names: read by the daemon, before a worker runs and on a
//! reload, never by a worker.

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::hosts::Hosts;

/// Both files, as read.
#[derive(Clone, Debug, Default)]
pub struct HostFiles {
    /// The hosts file.
    pub hosts: Arc<Hosts>,
    /// The name servers and how to treat them.
    pub resolv: ResolvConf,
}

impl HostFiles {
    /// Reads `/etc/hosts` and `/etc/resolv.conf`. A file that does not exist counts as empty.
    ///
    /// # Errors
    /// What the system says when a file cannot be read; the message names the file.
    pub fn read() -> io::Result<Self> {
        Self::read_from(Path::new("/etc/hosts"), Path::new("/etc/resolv.conf"))
    }

    /// The same of other files.
    ///
    /// # Errors
    /// As [`HostFiles::read`].
    pub fn read_from(hosts: &Path, resolv_conf: &Path) -> io::Result<Self> {
        Ok(Self {
            hosts: Arc::new(Hosts::parse(&read_if_there(hosts)?)),
            resolv: ResolvConf::parse(&read_if_there(resolv_conf)?),
        })
    }
}

/// What is used of `resolv.conf`: its servers and its patience. Its search list is not: a proxy
/// looks up the name that its client said, and no other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResolvConf {
    /// The name servers, at most [`SERVERS_MAX`]; without any, one on this host is meant.
    pub servers: Vec<SocketAddr>,
    /// `options timeout:`, 1 to 30 s.
    pub timeout: Option<Duration>,
    /// `options attempts:`, 1 to 5.
    pub tries: Option<u32>,
}

impl ResolvConf {
    /// Reads the text of a `resolv.conf`. What makes no sense is passed over, as the system's own
    /// resolver does.
    #[must_use]
    pub fn parse(octets: &[u8]) -> Self {
        let mut conf = Self::default();
        for line in String::from_utf8_lossy(octets).lines() {
            let line = line.split(['#', ';']).next().unwrap_or_default();
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("nameserver") => conf.add_server(words.next()),
                Some("options") => words.for_each(|word| conf.option(word)),
                Some(_) | None => {}
            }
        }
        conf
    }

    fn add_server(&mut self, word: Option<&str>) {
        let Some(server) = word.and_then(server) else { return };
        if self.servers.len() < SERVERS_MAX && !self.servers.contains(&server) {
            self.servers.push(server);
        }
    }

    fn option(&mut self, word: &str) {
        let Some((option, number)) = word.split_once(':') else { return };
        let Ok(number) = number.parse::<u32>() else { return };
        match option {
            "timeout" => self.timeout = Some(Duration::from_secs(number.clamp(1, 30).into())),
            "attempts" => self.tries = Some(number.clamp(1, 5)),
            _ => {}
        }
    }
}

/// A link-local server is taken with a numeric zone (`fe80::1%2`); a zone by name is not known to
/// a pure reader.
fn server(word: &str) -> Option<SocketAddr> {
    if let Ok(ip) = word.parse::<IpAddr>() {
        return Some(SocketAddr::new(ip, PORT));
    }
    let (ip, zone) = word.split_once('%')?;
    let address = SocketAddrV6::new(ip.parse().ok()?, PORT, 0, zone.parse().ok()?);
    Some(address.into())
}

fn read_if_there(path: &Path) -> io::Result<Vec<u8>> {
    match std::fs::read(path) {
        Ok(octets) => Ok(octets),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(io::Error::new(error.kind(), format!("{}: {error}", path.display()))),
    }
}

/// Name servers that are used at most, as in the C library.
pub const SERVERS_MAX: usize = 3;

/// Where name servers listen (RFC 1035 §4.2).
const PORT: u16 = 53;

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(text: &str) -> Vec<String> {
        ResolvConf::parse(text.as_bytes()).servers.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn servers_are_taken_in_their_order_up_to_three() {
        let text = "# by hand\nsearch example.test\nnameserver 192.0.2.1\n\
            nameserver\t2001:db8::1 # second\nnameserver 192.0.2.1\n nameserver 192.0.2.3\n\
            nameserver 192.0.2.4\n";
        assert_eq!(servers(text), ["192.0.2.1:53", "[2001:db8::1]:53", "192.0.2.3:53"]);
    }

    #[test]
    fn what_is_no_server_is_passed_over() {
        let text = "nameserver\nnameserver dns.test\n;nameserver 192.0.2.1\nnameservers 192.0.2.1\n\
            nameserver fe80::1%eth0\nnameserver fe80::1%2\n";
        assert_eq!(servers(text), ["[fe80::1%2]:53"]);
        assert!(servers("").is_empty());
        assert_eq!(ResolvConf::parse(b"\xff\xfe\0nameserver"), ResolvConf::default());
    }

    #[test]
    fn patience_is_read_within_its_bounds() {
        let conf = ResolvConf::parse(b"options edns0 timeout:2 attempts:9\noptions timeout:x\n");
        assert_eq!((conf.timeout, conf.tries), (Some(Duration::from_secs(2)), Some(5)));
        let conf = ResolvConf::parse(b"options timeout:0 attempts:0");
        assert_eq!((conf.timeout, conf.tries), (Some(Duration::from_secs(1)), Some(1)));
    }

    #[test]
    fn a_file_that_is_not_there_is_empty_and_one_that_cannot_be_read_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let (hosts, resolv) = (folder.path().join("hosts"), folder.path().join("resolv.conf"));
        let files = HostFiles::read_from(&hosts, &resolv).unwrap();
        assert!(files.hosts.is_empty() && files.resolv == ResolvConf::default());

        std::fs::write(&hosts, "192.0.2.1 a\n").unwrap();
        std::fs::create_dir(&resolv).unwrap();
        let error = HostFiles::read_from(&hosts, &resolv).unwrap_err();
        assert!(error.to_string().contains("resolv.conf"), "{error}");
    }
}
