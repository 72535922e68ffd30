//! Settings as TOML again, for `show-config`.

use std::collections::BTreeMap;
use std::path::Path;

use toml::de::DeTable;

use super::environment::Environment;
use super::error::ConfigError;
use super::settings::{Settings, read};

/// What is in force with this file, as [`Settings::to_toml`] has it, with a comment behind each value of a
/// section that is not just its default: the line of the file, or the variable. And the warnings of
/// [`Settings::load`].
///
/// # Errors
/// As [`Settings::load`].
pub fn show(path: Option<&Path>) -> Result<(String, Vec<String>), ConfigError> {
    let text = path.map(read).transpose()?.unwrap_or_default();
    let environment = Environment::of_process()?;
    let (settings, warnings) = Settings::parse_with(path, &text, &environment)?;
    Ok((annotated(&settings.to_toml(), &origins(&text, &environment)), warnings))
}

/// Where the values of which keys come from.
fn origins(text: &str, environment: &Environment) -> BTreeMap<String, String> {
    let mut origins = BTreeMap::new();
    if let Ok(file) = DeTable::parse(text) {
        for (section, keys) in file.get_ref() {
            for (key, _) in keys.get_ref().as_table().into_iter().flatten() {
                let before = text.get(..key.span().start).unwrap_or_default();
                let line = before.matches('\n').count() + 1;
                let path = format!("{}.{}", section.get_ref(), key.get_ref());
                origins.insert(path, format!("line {line}"));
            }
        }
    }
    for variable in environment.variables() {
        origins.insert(variable.path(), variable.spoken());
    }
    origins
}

fn annotated(shown: &str, origins: &BTreeMap<String, String>) -> String {
    // A value of several lines may look like anything.
    if shown.contains("\"\"\"") || shown.contains("'''") {
        return shown.to_owned();
    }
    let (mut text, mut section) = (String::with_capacity(2 * shown.len()), "");
    for line in shown.lines() {
        text.push_str(line);
        if let Some(header) = line.strip_prefix('[') {
            // Of tables in lists the values have no origin of their own.
            section = header.strip_suffix(']').unwrap_or_default();
        } else if let Some((key, _)) = line.split_once(" = ")
            && let Some(origin) = origins.get(&format!("{section}.{key}"))
        {
            text.push_str("  # ");
            text.push_str(origin);
        }
        text.push('\n');
    }
    text
}

impl Settings {
    /// Every key with the value that is in force, also those that the file left out.
    ///
    /// It is a configuration itself, and loads as the same settings, with one exception: each
    /// user's hash is shown as `"***"`, also where the file has a plain password, and must be put
    /// back first. Comments and replaced sections of the file are not shown.
    #[must_use]
    pub fn to_toml(&self) -> String {
        // Invariant: the file has text keys only and no value that TOML lacks.
        toml::to_string(&self.file).expect("a configuration is TOML")
    }
}

#[cfg(test)]
mod tests {
    #[cfg(feature = "database")]
    use super::*;

    #[cfg(feature = "database")]
    #[test]
    fn a_value_says_where_it_comes_from_and_stays_what_it_is() {
        let text = "[server]\n\nbind_port = 1081\n[[server.listen]]\naddress = \"::1\"\nport = 1\n\
                    [logging]\nlevel = \"warn\"\n";
        let variables = [("RUSTSOCKS_LOGGING_LEVEL".into(), "debug".into())];
        let environment = Environment::of(variables).unwrap();
        let (settings, _) = Settings::parse_with(None, text, &environment).unwrap();
        let shown = annotated(&settings.to_toml(), &origins(text, &environment));
        for line in [
            "bind_port = 1081  # line 3",
            "level = \"debug\"  # $RUSTSOCKS_LOGGING_LEVEL",
            "max_connections = 10000",
            "port = 1",
        ] {
            assert!(shown.lines().any(|shown| shown == line), "{line}:\n{shown}");
        }
        assert_eq!(Settings::parse(None, &shown).unwrap().0, settings);
    }
}
