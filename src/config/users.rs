//! `[auth]`: who may log in.

use std::collections::HashSet;
use std::sync::Arc;

use crate::auth::{self, HashError, User, Users};

use super::choice::SocksMethod;
use super::error::ConfigError;
use super::file::{self, Placed, Secret};
use super::settings::AuthSettings;
use super::source::{NAME_MAX, Source};

pub(super) fn auth(
    source: &Source<'_>,
    section: &mut file::Auth,
    warnings: &mut Vec<String>,
) -> Result<AuthSettings, ConfigError> {
    let required = section.socks_method.get_ref() == &SocksMethod::Userpass;
    if required && section.users.is_empty() {
        let message = "\"userpass\" without a user lets nobody in; expected at least one \
                       `[[auth.users]]`";
        return Err(source.error(section.socks_method.span(), "auth.socks_method", message));
    }
    if !required && let Some(first) = section.users.first() {
        let message = "not used, because `auth.socks_method` is \"none\"; set it to \"userpass\"";
        warnings.push(source.warning(first.span(), "auth.users", message));
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
                hashed(source, key, &password)?
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
    Ok(AuthSettings { required, users: Arc::new(Users::new(users)) })
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
