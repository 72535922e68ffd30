//! What the process finds of its host and of its own settings before it serves: one line for each
//! thing, and whether it is as it should be. A start logs them, `rustsocks check` prints them.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::access_log::try_place;
use super::claim::Claim;
use super::egress;
use super::low_ports::try_ports;
use super::names;
use super::reach;
use super::sandbox::{become_user, files};
use super::start::{Failure, crew, descriptors_lacking, relays_allowed};
use crate::access_log::Place;
use crate::auth::PamService;
use crate::clock;
use crate::config::{Settings, Storage};
use crate::linux::listener::probe;
use crate::linux::nofile::raise_nofile;
use crate::linux::private::default_directory;
use crate::linux::privileges::is_root;
use crate::linux::volume::{may_read, may_write_to, nearest_there, room};

/// One thing that was looked at.
#[derive(Debug)]
pub enum Finding {
    /// It is as it should be.
    Fine(String),
    /// It will do for now.
    Poor(String),
    /// With this a start fails, or nothing is recorded.
    Bad(Failure),
}

impl Finding {
    fn io(what: &str, error: &io::Error) -> Self {
        Self::Bad(Failure::io(what, error))
    }
}

/// Everything that can be looked at without serving. A start has less to ask: its sockets are bound.
///
/// As root it becomes the configured user.
#[must_use]
pub fn inspect(settings: &Settings, config: Option<&Path>) -> Vec<Finding> {
    let mut findings = listeners(settings);
    findings.push(descriptors(settings));
    // From here on as the one that a start would go on as; whoever asks for this ends soon.
    if settings.server.user.is_some()
        && is_root()
        && let Err(failure) = become_user(settings, &files(settings, config))
    {
        findings.push(Finding::Bad(failure));
    }
    findings.extend(unreadable(settings, config));
    findings.extend(of_the_host(settings));
    findings.extend(fatal(settings));
    findings
}

/// What a start tries itself, and fails of.
fn fatal(settings: &Settings) -> impl Iterator<Item = Finding> {
    let log = settings.logging.access_log.as_ref();
    [
        egress::try_all(&settings.egress),
        try_ports(&settings.server.associations),
        data_directory(settings).map_or(Ok(()), |_| Claim::look(settings)),
        // Beside a database that a start makes a directory for.
        log.filter(|log| !is_in(&log.place, data_directory(settings).filter(|it| !it.exists())))
            .map_or(Ok(()), |log| try_place(&log.place)),
    ]
    .into_iter()
    .filter_map(Result::err)
    .map(Finding::Bad)
}

/// Whether the log is a file directly in this directory.
fn is_in(log: &Place, directory: Option<PathBuf>) -> bool {
    let (Place::File(path), Some(directory)) = (log, directory) else { return false };
    let whole = |path: &Path| std::path::absolute(path).ok();
    path.parent().and_then(whole).is_some_and(|parent| whole(&directory) == Some(parent))
}

/// What a start tells beside what it does anyway.
pub(super) fn of_the_host(settings: &Settings) -> Vec<Finding> {
    let mut findings = vec![logins(settings), clock()];
    findings.extend(settings.auth.pam.as_ref().and_then(other_service));
    findings.extend(data_directory(settings).map(|path| directory("data", &path, DATA_LEFT_MIN)));
    findings.extend(ledger(settings).map(|path| directory("ledger", &path, LEDGER_LEFT_MIN)));
    findings.extend(names::doubt(settings).map(|line| Finding::Poor(line.to_owned())));
    findings.extend(reach::shared(settings).into_iter().map(Finding::Poor));
    findings
}

/// Says what a start has found. What is bad is said by whoever fails of it.
pub(super) fn say(findings: Vec<Finding>) {
    for finding in findings {
        match finding {
            Finding::Fine(line) => tracing::info!("{line}"),
            Finding::Poor(line) => tracing::warn!("{line}"),
            Finding::Bad(failure) => tracing::warn!("{failure}"),
        }
    }
}

/// Whether each address can be had. A proxy that runs has it, which is no fault.
fn listeners(settings: &Settings) -> Vec<Finding> {
    let socks = settings.server.listen.iter().map(|listen| ("SOCKS", listen.address));
    socks.chain(settings.sessions.api.map(|api| ("API", api))).map(listener).collect()
}

fn listener((what, address): (&str, SocketAddr)) -> Finding {
    match probe(address) {
        Ok(()) => Finding::Fine(format!("{what}: {address} can be listened on")),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            Finding::Poor(format!("{what}: {address} is in use now, perhaps by a proxy that runs"))
        }
        Err(error) => Finding::io(&format!("{what}: {address} cannot be listened on"), &error),
    }
}

fn descriptors(settings: &Settings) -> Finding {
    let nofile = raise_nofile();
    let workers = match crew(settings) {
        Ok(crew) => crew.workers,
        Err(failure) => return Finding::Bad(failure),
    };
    let (relays, wanted) =
        (relays_allowed(settings, &nofile, workers), settings.server.max_connections);
    let limit = nofile.soft;
    if let Some(lacking) = descriptors_lacking(limit, relays, wanted) {
        return Finding::Poor(format!("descriptors: {lacking}"));
    }
    Finding::Fine(format!(
        "descriptors: the limit of {limit} is enough for server.max_connections = {wanted}"
    ))
}

/// What a reload could not read.
pub(super) fn unreadable(settings: &Settings, config: Option<&Path>) -> Vec<Finding> {
    let unreadable = |(key, file): (&str, PathBuf)| {
        let error = may_read(&file).err()?;
        let (file, who) = (file.display(), if is_root() { "root" } else { "this user" });
        Some(Finding::Poor(format!("{key}: {file} cannot be read by {who} on a reload: {error}")))
    };
    files(settings, config).into_iter().filter_map(unreadable).collect()
}

/// Who may use the proxy.
fn logins(settings: &Settings) -> Finding {
    let auth = &settings.auth;
    let known = match (auth.required, auth.users.len()) {
        (false, _) => return Finding::Fine("logins: none wanted (auth.socks_method)".to_owned()),
        (true, 1) => "1 user is known".to_owned(),
        (true, users) => format!("{users} users are known"),
    };
    let others = auth.pam.as_ref().map_or_else(String::new, |service| {
        format!(", about all others the PAM service {:?} is asked", service.name())
    });
    Finding::Fine(format!("logins: wanted of everybody; {known}{others}"))
}

/// PAM says nothing of a service that has no file.
fn other_service(service: &PamService) -> Option<Finding> {
    let name = service.name();
    let there = |folder: &&str| Path::new(folder).join(name).exists();
    (!PAM_FOLDERS.iter().any(there)).then(|| {
        Finding::Poor(format!(
            "logins: auth.pam_service = {name:?}: there is no /etc/pam.d/{name}, so PAM asks the service \
             \"other\" instead, which as a rule lets nobody in"
        ))
    })
}

/// The clock stands in every record, decides what is old, and opens and shuts rules by the hour.
fn clock() -> Finding {
    let now = clock::utc_ms();
    let shown = clock::Stamp::of(now);
    if now < WRITTEN_MS {
        let written = clock::Stamp::of(WRITTEN_MS);
        return Finding::Poor(format!(
            "clock: {} is before this program was written ({}): records will bear false times",
            shown.as_str(),
            written.as_str()
        ));
    }
    Finding::Fine(format!("clock: {}", shown.as_str()))
}

/// Where the database is, if there is one.
pub(super) fn data_directory(settings: &Settings) -> Option<PathBuf> {
    let sessions = &settings.sessions;
    if !sessions.enabled || sessions.storage == Storage::Memory {
        return None;
    }
    let path = sessions.database_url.strip_prefix("sqlite://")?;
    let above = Path::new(path).parent().filter(|above| !above.as_os_str().is_empty());
    Some(above.unwrap_or(Path::new(".")).to_path_buf())
}

/// Where the ledger is, if there is one.
pub(super) fn ledger(settings: &Settings) -> Option<PathBuf> {
    data_directory(settings)?;
    let configured = &settings.sessions.ledger_path;
    let default = configured.as_os_str().is_empty();
    Some(if default { default_directory() } else { configured.clone() })
}

/// Whether files can be made in a directory that may have to be made itself, and what room they have.
fn directory(what: &str, path: &Path, least: u64) -> Finding {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let shown = whole.display();
    let there = nearest_there(&whole);
    if let Err(error) = may_write_to(&there) {
        let at = if there == whole { String::new() } else { format!(" ({})", there.display()) };
        return Finding::io(&format!("{what}: {shown} cannot be written to{at}"), &error);
    }
    let left = match room(&there) {
        Ok(left) => left,
        Err(error) => {
            return Finding::io(&format!("{what}: the room in {shown} is unknown"), &error);
        }
    };
    let mib = left.octets / MIB;
    if left.octets < least || left.files < FILES_LEFT_MIN {
        let files = match left.files {
            u64::MAX => String::new(),
            files => format!(" and {files} files"),
        };
        return Finding::Poor(format!(
            "{what}: {shown} has room for {mib} MiB{files} only; without room sessions go on, and \
             their records wait in memory"
        ));
    }
    let made = if there == whole { "" } else { " will be made and" };
    Finding::Fine(format!("{what}: {shown}{made} has {mib} MiB left"))
}

/// Where services of PAM are.
const PAM_FOLDERS: [&str; 2] = ["/etc/pam.d", "/usr/lib/pam.d"];
const MIB: u64 = 1 << 20;
/// Room that a database should have.
const DATA_LEFT_MIN: u64 = 64 * MIB;
/// Room that a ledger should have: a chunk for each of some workers.
const LEDGER_LEFT_MIN: u64 = 32 * MIB;
/// Files that should be left: the database has a few, and makes copies.
const FILES_LEFT_MIN: u64 = 16;
/// 2026-11-01T00:00:00Z. No clock is right that is behind the source.
const WRITTEN_MS: i64 = 1_793_491_200_000;

#[cfg(test)]
mod tests;
