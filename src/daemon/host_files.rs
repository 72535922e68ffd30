//! The host's own files about names, which resolvers have from the start of the process: whether they say
//! something else by now is told to whoever reloads.

use std::fs::File;
use std::hash::{DefaultHasher, Hasher};
use std::io::{self, Read};
use std::path::Path;

use crate::config::{ResolverKind, Settings};

/// What they said when the process started: nothing where the system is asked, which reads them itself.
pub(super) struct HostFilesSeen(Vec<(&'static str, Option<u64>)>);

impl HostFilesSeen {
    /// As they are now.
    pub(super) fn of(settings: &Settings) -> Self {
        Self::at(match settings.resolver.kind {
            ResolverKind::Cares if settings.resolver.servers.is_empty() => &[HOSTS, RESOLV_CONF],
            ResolverKind::Cares => &[HOSTS],
            ResolverKind::System => &[],
        })
    }

    fn at(paths: &[&'static str]) -> Self {
        Self(paths.iter().map(|path| (*path, content(path).ok())).collect())
    }

    /// Those that say something else.
    pub(super) fn that_differ(&self) -> impl Iterator<Item = &'static str> {
        let differs = |(path, known): &&(&'static str, Option<u64>)| content(path).ok() != *known;
        self.0.iter().filter(differs).map(|(path, _)| *path)
    }
}

/// What stands in a file, as a number: it is often replaced by one that says the same.
fn content(path: &str) -> io::Result<u64> {
    let mut file = File::open(Path::new(path))?.take(OCTETS_MAX);
    let (mut hasher, mut part) = (DefaultHasher::new(), [0; 8192]);
    loop {
        match file.read(&mut part)? {
            0 => return Ok(hasher.finish()),
            octets => hasher.write(&part[..octets]),
        }
    }
}

const HOSTS: &str = "/etc/hosts";
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// More is not looked at.
const OCTETS_MAX: u64 = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_says_something_else_is_told_and_one_that_was_only_replaced_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("hosts");
        std::fs::write(&path, "127.0.0.1 localhost\n").unwrap();
        let known: &'static str = path.to_str().unwrap().to_owned().leak();
        let seen = HostFilesSeen::at(&[known]);
        let differ = || seen.that_differ().collect::<Vec<_>>();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(differ(), [known]);
        std::fs::write(&path, "127.0.0.1 localhost\n").unwrap();
        assert!(differ().is_empty());
        std::fs::write(&path, "127.0.0.2 localhost\n").unwrap();
        assert_eq!(differ(), [known]);
    }
}
