//! `[auth]`: who may log in.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::auth::{self, HashError, PamService, User, Users};
use crate::limit::BanTerms;

use super::choice::{Sandbox, SocksMethod};
use super::error::{ConfigError, Place};
use super::file::{self, Placed, Secret};
use super::settings::{AuthSettings, Settings};
use super::source::{NAME_MAX, Source};

pub(super) fn auth(
    source: &Source<'_>,
    section: &mut file::Auth,
    before: Option<&file::Auth>,
    warnings: &mut Vec<String>,
) -> Result<AuthSettings, ConfigError> {
    let required = section.socks_method.get_ref() == &SocksMethod::Userpass;
    let users_file = section.users_file.get_ref();
    let users_file = (!users_file.is_empty()).then(|| PathBuf::from(users_file));
    let pam = pam(source, section)?;
    if required && section.users.is_empty() && users_file.is_none() && pam.is_none() {
        let message = "\"userpass\" without a user lets nobody in; expected at least one \
                       `[[auth.users]]`, a `users_file`, or a `pam_service`";
        return Err(source.error(section.socks_method.span(), "auth.socks_method", message));
    }
    if !required && let Some(first) = section.users.first() {
        let message = "not used, because `auth.socks_method` is \"none\"; set it to \"userpass\"";
        warnings.push(source.warning(first.span(), "auth.users", message));
    }
    if !required && users_file.is_some() {
        let message = "not used, because `auth.socks_method` is \"none\"; set it to \"userpass\"";
        warnings.push(source.warning(section.users_file.span(), "auth.users_file", message));
    }
    if !required && pam.is_some() {
        let message = "not used, because `auth.socks_method` is \"none\"; set it to \"userpass\"";
        warnings.push(source.warning(section.pam_service.span(), "auth.pam_service", message));
    }
    let mut names = HashSet::new();
    let mut users = Vec::new();
    for entry in &mut section.users {
        let span = entry.span();
        let entry = entry.get_mut();
        let (name, name_span) = (entry.username.get_ref(), entry.username.span());
        let key = "auth.users.username";
        source.name(key, &entry.username)?;
        if !names.insert(name.clone()) {
            let message = format!("got {name:?} twice, expected each user once");
            return Err(source.error(name_span, key, message));
        }
        let hash = match (entry.password.take(), entry.password_hash.take()) {
            (None, Some(hash)) => hash,
            (Some(password), None) => {
                let key = "auth.users.password";
                let message = format!(
                    "the password of {name:?} is readable in the file; use `password_hash` with \
                     what `rustsocks hash-password` prints",
                );
                warnings.push(source.warning(password.span(), key, &message));
                match before.and_then(|before| hashed_before(before, name, &password)) {
                    Some(hash) => Placed::new(password.span(), hash),
                    None => hashed(source, key, &password)?,
                }
            }
            (Some(password), Some(_)) => {
                let message =
                    format!("{name:?} has `password` and `password_hash`, expected one of them");
                return Err(source.error(password.span(), "auth.users.password", message));
            }
            (None, None) => {
                let message = format!(
                    "missing for {name:?}, expected a hash such as \
                                       `rustsocks hash-password` prints"
                );
                return Err(source.error(span, "auth.users.password_hash", message));
            }
        };
        let groups: Vec<Box<str>> =
            entry.groups.iter().map(|group| group.as_str().into()).collect();
        let phc = hash.get_ref().expose();
        let user = User::new(name, phc, &groups).map_err(|error| {
            // The kind is only quoted where it is one, and no password in the wrong place.
            let message = match error {
                HashError::Kind(_) if phc.matches('$').count() < 3 => {
                    "expected a hash such as `rustsocks hash-password` prints".to_owned()
                }
                HashError::Kind(_)
                | HashError::Syntax(_)
                | HashError::Cost(_)
                | HashError::Make(_) => error.to_string(),
            };
            source.error(hash.span(), "auth.users.password_hash", message)
        })?;
        entry.password_hash = Some(hash);
        users.push(user);
    }
    let mut auth = AuthSettings {
        required,
        users: Arc::default(),
        pam,
        users_file,
        bans: bans(source, section)?,
        listed: users.into(),
    };
    auth.load_users(warnings)?;
    Ok(auth)
}

/// The service of PAM that is asked, if one is.
fn pam(source: &Source<'_>, section: &file::Auth) -> Result<Option<PamService>, ConfigError> {
    let name = section.pam_service.get_ref();
    let error = |message: String| {
        Err(source.error(section.pam_service.span(), "auth.pam_service", message))
    };
    if name.is_empty() {
        return Ok(None);
    }
    if !PamService::BUILT_IN {
        return error(
            "this binary cannot ask PAM; expected \"\", or one that was built with \
             `cargo build --release --features pam` (which wants libpam0g-dev)"
                .to_owned(),
        );
    }
    let fits = |octet: u8| octet.is_ascii_alphanumeric() || b"._-".contains(&octet);
    if name.starts_with('.') || name.len() > NAME_MAX || !name.bytes().all(fits) {
        return error(format!(
            "got {name:?}, expected the name of a file in /etc/pam.d, of letters, digits, `.`, `_` and `-`"
        ));
    }
    let groups: Vec<Box<str>> =
        section.pam_groups.iter().map(|group| group.as_str().into()).collect();
    Ok(Some(PamService::new(name, &groups)))
}

/// Modules of PAM make whatever system calls they like: one that is refused must not end the process.
pub(super) fn apart(source: &Source<'_>, settings: &Settings) -> Result<(), ConfigError> {
    if settings.auth.pam.is_none() || settings.server.sandbox != Sandbox::Strict {
        return Ok(());
    }
    let message = "does not go with `server.sandbox = \"strict\"`, which ends the process at the first \
                   system call of a module that is not on the list; expected \"on\" there, or \"off\" \
                   for modules that start programs";
    let span = settings.file.auth.pam_service.span();
    Err(source.error(span, "auth.pam_service", message))
}

fn bans(source: &Source<'_>, section: &file::Auth) -> Result<BanTerms, ConfigError> {
    let secs = source.number("auth.ban_secs", &section.ban_secs, 1..=31_536_000)?;
    let delay = source.number("auth.failure_delay_ms", &section.failure_delay_ms, 0..=10_000)?;
    Ok(BanTerms {
        max_failures: source.number("auth.max_failures", &section.max_failures, 0..=1_000_000)?,
        ban_for: Duration::from_secs(secs),
        answer_after: Duration::from_millis(delay),
    })
}

impl AuthSettings {
    /// Reads the file of users, if there is one, and puts its users beside those of the configuration.
    ///
    /// # Errors
    /// One line that says what is wrong, in which line of the file. Nothing has changed then.
    pub fn load_users(&mut self, warnings: &mut Vec<String>) -> Result<(), ConfigError> {
        let mut users = self.listed.to_vec();
        if let Some(path) = &self.users_file {
            let listed: HashSet<_> = users.iter().map(User::name).collect();
            let (text, readable) = read(path).map_err(|error| {
                let error = users_error(path, None, format!("cannot be read: {error}"));
                error.named_by("auth.users_file", path)
            })?;
            if readable {
                let message = "others may read it, expected the mode 0600 or 0640";
                warnings.push(users_error(path, None, message.to_owned()).to_string());
            }
            for (line, user) in parse_users(path, &text)? {
                if listed.contains(&user.name()) {
                    let name = user.name();
                    let message = format!("{name:?} is one of `[[auth.users]]`, too");
                    return Err(users_error(path, Some(line), message));
                }
                users.push(user);
            }
        }
        self.users = Arc::new(Users::new(users).and_of(self.pam.clone()));
        Ok(())
    }

    /// Those of the configuration itself, in its order.
    #[must_use]
    pub fn listed(&self) -> &[User] {
        &self.listed
    }

    /// Leaves PAM out, where there is nobody to ask it.
    pub fn ask_nobody(&mut self) {
        self.pam = None;
        self.users = Arc::new(Users::clone(&self.users).and_of(None));
    }
}

/// The users of a text in the form of htpasswd(1), each with the number of its line; `path` is only
/// named.
///
/// # Errors
/// One line that says what is wrong, and in which line.
pub fn parse_users(path: &Path, text: &str) -> Result<Vec<(usize, User)>, ConfigError> {
    let mut names = HashSet::new();
    let mut users = Vec::new();
    for (line, text) in (1..).zip(text.lines()) {
        let user = User::from_line(text)
            .map_err(|error| users_error(path, Some(line), error.to_string()))?;
        let Some(user) = user else { continue };
        if !names.insert(user.name()) {
            let message = format!("got {:?} twice, expected each user once", user.name());
            return Err(users_error(path, Some(line), message));
        }
        users.push((line, user));
    }
    Ok(users)
}

/// The file's text, and whether everybody may read it.
fn read(path: &Path) -> io::Result<(String, bool)> {
    let file = File::open(path)?;
    let readable = file.metadata()?.mode() & 0o004 != 0;
    let mut text = String::new();
    file.take(USERS_FILE_OCTETS_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > USERS_FILE_OCTETS_MAX {
        let message = format!("it has more than {USERS_FILE_OCTETS_MAX} octets");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok((text, readable))
}

fn users_error(path: &Path, line: Option<usize>, message: String) -> ConfigError {
    let place = Place { file: Some(path.to_path_buf()), position: line.map(|line| (line, 1)) };
    ConfigError { place, key: String::new(), message, nearest: None }
}

/// Some hundred thousand users.
const USERS_FILE_OCTETS_MAX: u64 = 64 << 20;

/// The hash that a user's plain password has been given already, if it is the same one.
fn hashed_before(before: &file::Auth, name: &str, password: &Placed<Secret>) -> Option<Secret> {
    let mut users = before.users.iter().map(Placed::get_ref);
    let user = users.find(|user| user.username.get_ref() == name)?;
    let hash = user.password_hash.as_ref()?.get_ref();
    let known = User::new(name, hash.expose(), &[]).ok()?;
    known.has_password(password.get_ref().expose().as_bytes()).then(|| hash.clone())
}

/// The hash of a plain password, in its place.
fn hashed(
    source: &Source<'_>,
    key: &str,
    password: &Placed<Secret>,
) -> Result<Placed<Secret>, ConfigError> {
    let plain = password.get_ref().expose().as_bytes();
    // RFC 1929 §2: PLEN is one octet.
    if !(1..=NAME_MAX).contains(&plain.len()) {
        let message = format!("got {} octets, expected 1 to {NAME_MAX}", plain.len());
        return Err(source.error(password.span(), key, message));
    }
    let hash =
        auth::hash(plain).map_err(|error| source.error(password.span(), key, error.to_string()))?;
    Ok(Placed::new(password.span(), Secret::from(hash)))
}
