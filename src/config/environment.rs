//! `RUSTSOCKS_SECTION_KEY`: a variable for each key that has one value. What a variable says wins over
//! the file, and is checked as if it stood there.
//!
//! A value that comes from a variable is put into the parsed file before that becomes settings, at a
//! place behind the end of the file's text. So whatever complains of a place finds the variable by it.

use std::ffi::{OsStr, OsString};
use std::ops::Range;
use std::path::PathBuf;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Place};
use super::file::File;
use super::source::closest;

/// The variables that concern us.
#[derive(Clone, Debug, Default)]
pub(super) struct Environment {
    variables: Vec<Variable>,
    /// A line each of those that nobody reads.
    warnings: Vec<String>,
}

/// One that names a key.
#[derive(Clone, Debug)]
pub(super) struct Variable {
    name: String,
    section: String,
    key: String,
    /// Its value as TOML has it.
    literal: String,
}

/// No variable at all.
pub(super) static NONE: Environment = Environment { variables: Vec::new(), warnings: Vec::new() };

impl Environment {
    /// What this process was started with.
    pub(super) fn of_process() -> Result<Self, ConfigError> {
        Self::of(std::env::vars_os())
    }

    /// The same of any variables.
    pub(super) fn of(
        all: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, ConfigError> {
        let mut environment = Self::default();
        let known = known();
        for (name, value) in all {
            let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else {
                continue;
            };
            match known.iter().find(|key| key.variable == name) {
                Some(key) => environment.variables.push(key.with(&value)?),
                None => environment.warnings.push(stray(name, &known)),
            }
        }
        // In the order of their names, whatever order the system has them in.
        environment.variables.sort_by(|a, b| a.name.cmp(&b.name));
        environment.warnings.sort();
        Ok(environment)
    }

    /// A line each of variables that nobody reads.
    pub(super) fn warnings(&self) -> &[String] {
        &self.warnings
    }

    pub(super) fn variables(&self) -> &[Variable] {
        &self.variables
    }

    /// Puts the values into a parsed file, behind `end`, where its text ends.
    pub(super) fn put<'a>(&'a self, table: &mut DeTable<'a>, end: usize) {
        for (index, variable) in self.variables.iter().enumerate() {
            // Invariant: the literal is a TOML value, made by `Key::with`; if not, it is left out.
            let Ok(value) = DeValue::parse(&variable.literal) else { continue };
            let at = end + 1 + index;
            let value = Spanned::new(at..at + 1, value.into_inner());
            let place = |name: &'a str| Spanned::new(at..at + 1, name.into());
            let empty = || Spanned::new(at..at + 1, DeValue::Table(DeTable::new()));
            let section = table.entry(place(&variable.section)).or_insert_with(empty);
            // Where it is none, the file is wrong, and that is told.
            if let DeValue::Table(keys) = section.get_mut() {
                // The key of the file would keep its place.
                keys.remove(variable.key.as_str());
                keys.insert(place(&variable.key), value);
            }
        }
    }

    /// The variable whose value stands at a place.
    pub(super) fn at(&self, span: &Range<usize>, end: usize) -> Option<&Variable> {
        self.variables.get(span.start.checked_sub(end + 1)?)
    }
}

impl Variable {
    /// Its key with the section: `server.bind_port`.
    pub(super) fn path(&self) -> String {
        format!("{}.{}", self.section, self.key)
    }

    /// As it is spoken of: `$RUSTSOCKS_SERVER_BIND_PORT`.
    pub(super) fn spoken(&self) -> String {
        format!("${}", self.name)
    }

    /// Where its value stands.
    pub(super) fn place(&self) -> Place {
        Place { file: Some(PathBuf::from(self.spoken())), position: None }
    }
}

/// A key that has a variable.
struct Key {
    variable: String,
    section: String,
    key: String,
    /// What it is without anybody's word.
    default: toml::Value,
}

/// Every key with one value, as the defaults have it.
fn known() -> Vec<Key> {
    let sections = toml::Table::try_from(File::default()).unwrap_or_default();
    let mut known = Vec::new();
    for (section, keys) in sections {
        let toml::Value::Table(keys) = keys else { continue };
        for (key, default) in keys {
            if matches!(default, toml::Value::Array(_) | toml::Value::Table(_)) {
                continue;
            }
            let variable = format!("{PREFIX}{section}_{key}").to_uppercase();
            known.push(Key { variable, section: section.clone(), key, default });
        }
    }
    known
}

impl Key {
    fn with(&self, value: &OsStr) -> Result<Variable, ConfigError> {
        let text = value.to_str().ok_or_else(|| self.error("got no text in UTF-8".to_owned()))?;
        let got = |expected: &str| self.error(format!("got {text:?}, expected {expected}"));
        let literal = match &self.default {
            toml::Value::Integer(_) => text
                .parse::<i64>()
                .map(|number| number.to_string())
                .map_err(|_| got("a whole number"))?,
            toml::Value::Boolean(_) => text
                .parse::<bool>()
                .map(|truth| truth.to_string())
                .map_err(|_| got("true or false"))?,
            toml::Value::String(_) => match text.parse::<i64>() {
                Ok(number) if self.may_be_a_number() => number.to_string(),
                Ok(_) | Err(_) => toml::Value::String(text.to_owned()).to_string(),
            },
            toml::Value::Float(_)
            | toml::Value::Datetime(_)
            | toml::Value::Array(_)
            | toml::Value::Table(_) => text.to_owned(),
        };
        Ok(Variable {
            name: self.variable.clone(),
            section: self.section.clone(),
            key: self.key.clone(),
            literal,
        })
    }

    fn may_be_a_number(&self) -> bool {
        NUMBERS_TOO.contains(&(self.section.as_str(), self.key.as_str()))
    }

    fn error(&self, message: String) -> ConfigError {
        let place = Place { file: Some(format!("${}", self.variable).into()), position: None };
        ConfigError { place, key: format!("{}.{}", self.section, self.key), message, nearest: None }
    }
}

fn stray(name: &str, known: &[Key]) -> String {
    let lower = name.to_lowercase();
    let lowered: Vec<String> = known.iter().map(|key| key.variable.to_lowercase()).collect();
    match closest(&lower, lowered.iter().map(String::as_str)) {
        Some(near) => format!(
            "${name} is not read: no key with one value is called so; did you mean `{}`?",
            near.to_uppercase()
        ),
        None => format!("${name} is not read: no key with one value is called so"),
    }
}

const PREFIX: &str = "RUSTSOCKS_";
/// Keys whose default is a word, and which may be a number all the same.
const NUMBERS_TOO: [(&str, &str); 1] = [("server", "workers")];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    fn of(variables: &[(&str, &str)]) -> Result<Environment, ConfigError> {
        Environment::of(variables.iter().map(|(name, value)| (name.into(), value.into())))
    }

    fn settings(text: &str, variables: &[(&str, &str)]) -> Result<(Settings, Vec<String>), String> {
        let path = Some(std::path::Path::new("a.toml"));
        let environment = of(variables).map_err(|error| error.to_string())?;
        Settings::parse_with(path, text, &environment).map_err(|error| error.to_string())
    }

    #[cfg(feature = "database")]
    #[test]
    fn a_variable_wins_over_the_file_and_the_file_over_the_default() {
        let text = "[server]\nbind_port = 1081\nmax_connections = 7\n[logging]\nlevel = \"warn\"\n";
        let variables = [
            ("RUSTSOCKS_SERVER_BIND_PORT", "1082"),
            ("RUSTSOCKS_SERVER_WORKERS", "3"),
            ("RUSTSOCKS_SERVER_SPLICE", "false"),
            ("RUSTSOCKS_SESSIONS_NODE", "12"),
            ("RUSTSOCKS_LOGGING_FORMAT", "json"),
            ("OTHER", "1"),
        ];
        let (settings, warnings) = settings(text, &variables).unwrap();
        assert!(warnings.is_empty(), "{warnings:?}");
        assert_eq!(settings.server.listen[0].address.to_string(), "127.0.0.1:1082");
        assert_eq!(settings.server.workers, crate::config::Workers::Fixed(3));
        assert_eq!(settings.server.max_connections, 7);
        assert!(!settings.server.splice && settings.logging.json);
        assert_eq!(settings.sessions.node, "12");
        let as_in_a_file = settings.to_toml();
        assert!(as_in_a_file.contains("bind_port = 1082"), "{as_in_a_file}");
    }

    #[test]
    fn what_is_wrong_with_a_variable_is_said_of_it() {
        for (name, value, said) in [
            ("SERVER_BIND_PORT", "x", "server.bind_port: got \"x\", expected a whole number"),
            ("SERVER_BIND_PORT", "70000", "server.bind_port: got 70000, expected 0 to 65535"),
            ("SERVER_SPLICE", "yes", "server.splice: got \"yes\", expected true or false"),
            (
                "LOGGING_LEVEL",
                "inof",
                "logging.level: got \"inof\", expected \"error\" or \"warn\" or \"info\" or \
                 \"debug\" or \"trace\"; did you mean `info`?",
            ),
        ] {
            let name = format!("RUSTSOCKS_{name}");
            let wrong = settings("[server]\nbind_port = 1\n", &[(name.as_str(), value)]);
            assert_eq!(wrong.unwrap_err(), format!("${name}: {said}"));
        }
    }

    #[test]
    fn what_is_wrong_with_the_file_is_still_said_of_its_line() {
        let variables = [("RUSTSOCKS_SERVER_BIND_ADDRESS", "127.0.0.2")];
        let wrong = settings("[server]\nbind_port = 70000\n", &variables).unwrap_err();
        assert!(wrong.starts_with("a.toml:2:13: server.bind_port"), "{wrong}");
        let wrong = settings("[server]\nbind_prot = 7\n", &variables).unwrap_err();
        assert!(wrong.starts_with("a.toml:2:1: server.bind_prot: unknown key"), "{wrong}");
        let wrong = settings("server = 7\n", &variables).unwrap_err();
        assert!(wrong.starts_with("a.toml:1:"), "{wrong}");
    }

    #[cfg(feature = "database")]
    #[test]
    fn a_variable_that_nobody_reads_is_warned_of() {
        let variables = [
            ("RUSTSOCKS_SERVER_BINDPORT", "1"),
            ("RUSTSOCKS_SERVER_COMMANDS", "bind"),
            ("RUSTSOCKS_SERVICE_HOST", "10.0.0.1"),
        ];
        let (_, warnings) = settings("", &variables).unwrap();
        assert_eq!(warnings.len(), 3, "{warnings:?}");
        assert!(
            warnings[0].ends_with("did you mean `RUSTSOCKS_SERVER_BIND_PORT`?"),
            "{warnings:?}"
        );
        assert!(warnings[2].contains("RUSTSOCKS_SERVICE_HOST"), "{warnings:?}");
    }

    #[cfg(feature = "database")]
    #[test]
    fn every_key_with_one_value_takes_its_own_default() {
        let known = known();
        assert!(known.len() > 50, "{}", known.len());
        let names: std::collections::BTreeSet<_> =
            known.iter().map(|key| key.variable.as_str()).collect();
        assert_eq!(names.len(), known.len(), "two keys share a variable");
        let text = |value: &toml::Value| value.as_str().map_or(value.to_string(), str::to_owned);
        let variables = known.iter().map(|key| ((&key.variable).into(), text(&key.default).into()));
        let environment = Environment::of(variables).unwrap();
        let (settings, _) = Settings::parse_with(None, "", &environment).unwrap();
        assert_eq!(settings.to_toml(), Settings::parse(None, "").unwrap().0.to_toml());
    }
}
