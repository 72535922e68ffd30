//! The text of a file: reads it into [`File`], and turns places in it into lines.

use std::net::IpAddr;
use std::ops::{Range, RangeInclusive};
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::environment::{Environment, NONE, Variable};
use super::error::{ConfigError, Place};
use super::file::{File, Placed};

/// A file's name and text; without a file, neither. And the variables that win over it.
pub(super) struct Source<'a> {
    pub(super) path: Option<&'a Path>,
    pub(super) text: &'a str,
    pub(super) environment: &'a Environment,
}

impl<'a> Source<'a> {
    /// A file that no variable changes.
    pub(super) const fn of(path: Option<&'a Path>, text: &'a str) -> Self {
        Self { path, text, environment: &NONE }
    }

    /// The file as written, with what the variables say in the place of what it says.
    pub(super) fn parse(&self) -> Result<File, ConfigError> {
        let all = toml::Table::try_from(File::default()).unwrap_or_default();
        let explain = |error: toml::de::Error| self.explain(&error, &all);
        let mut table = DeTable::parse(self.text).map_err(explain)?;
        self.environment.put(table.get_mut(), self.text.len());
        File::deserialize(toml::Deserializer::from(table)).map_err(explain)
    }

    /// The text as something. `all` is where a key is looked for that was put into the wrong section.
    pub(super) fn read<T: DeserializeOwned>(&self, all: &toml::Table) -> Result<T, ConfigError> {
        toml::from_str(self.text).map_err(|error| self.explain(&error, all))
    }

    /// An error at a place of the text; an empty range is no place.
    pub(super) fn error(
        &self,
        span: Range<usize>,
        key: &str,
        message: impl Into<String>,
    ) -> ConfigError {
        let (key, message) = (key.to_owned(), message.into());
        ConfigError { place: self.place(&span), key, message, nearest: None }
    }

    /// A warning of the same shape as an error.
    pub(super) fn warning(&self, span: Range<usize>, key: &str, message: &str) -> String {
        self.error(span, key, message).to_string()
    }

    /// A number within its range and its type.
    pub(super) fn number<T: TryFrom<i64>>(
        &self,
        key: &str,
        value: &Placed<i64>,
        range: RangeInclusive<i64>,
    ) -> Result<T, ConfigError> {
        let got = *value.get_ref();
        let within = if range.contains(&got) { T::try_from(got).ok() } else { None };
        within.ok_or_else(|| {
            let (least, most) = (range.start(), range.end());
            self.error(value.span(), key, format!("got {got}, expected {least} to {most}"))
        })
    }

    /// An IP address, either family.
    pub(super) fn ip(&self, key: &str, value: &Placed<String>) -> Result<IpAddr, ConfigError> {
        let got = value.get_ref();
        got.parse().map_err(|_| {
            let message =
                format!("got {got:?}, expected an IP address such as \"127.0.0.1\" or \"::1\"");
            self.error(value.span(), key, message)
        })
    }

    /// A name as long as RFC 1929 §2 lets a user's name be.
    pub(super) fn name(&self, key: &str, value: &Placed<String>) -> Result<(), ConfigError> {
        let octets = value.get_ref().len();
        if (1..=NAME_MAX).contains(&octets) {
            return Ok(());
        }
        let message = format!("got a name of {octets} octets, expected 1 to {NAME_MAX}");
        Err(self.error(value.span(), key, message))
    }

    fn place(&self, span: &Range<usize>) -> Place {
        if let Some(variable) = self.environment.at(span, self.text.len()) {
            return variable.place();
        }
        let file = self.path.map(Path::to_path_buf);
        let before = (!span.is_empty()).then(|| self.text.get(..span.start)).flatten();
        let position = before.map(|before| {
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            (line, column)
        });
        Place { file, position }
    }

    /// Our words for what the parser found.
    fn explain(&self, error: &toml::de::Error, all: &toml::Table) -> ConfigError {
        // At the end of the text a span may be empty and is a place all the same.
        let span = error.span().map_or(0..0, |span| match span.is_empty() {
            true => span.start..span.end + 1,
            false => span,
        });
        let variable = self.environment.at(&span, self.text.len());
        let in_file = || {
            let table = DeTable::parse(self.text).ok()?;
            key_at(table.get_ref(), &span)
        };
        let mut key = variable.map(Variable::path).or_else(in_file).unwrap_or_default();
        let (message, mut nearest) = (error.message().trim(), None);
        let message = if let Some(rest) = message.strip_prefix("unknown field ") {
            let known = quoted(rest).into_iter().skip(1).filter(|known| !REPLACED.contains(known));
            let known: Vec<_> = known.collect();
            nearest = nearest_key(&key, &known, all);
            match nearest {
                Some(_) => "unknown key".to_owned(),
                None => format!("unknown key, expected one of {}", known.join(", ")),
            }
        } else if let Some(rest) = message.strip_prefix("unknown variant ") {
            let words = quoted(rest);
            let (got, known) =
                words.split_first().map_or(("", &[][..]), |(got, rest)| (*got, rest));
            nearest = closest(got, known.iter().copied()).map(str::to_owned);
            let known: Vec<_> = known.iter().map(|word| format!("\"{word}\"")).collect();
            format!("got \"{got}\", expected {}", known.join(" or "))
        } else if let Some(rest) = message.strip_prefix("missing field ") {
            let field = quoted(rest).first().copied().unwrap_or_default();
            key = if key.is_empty() { field.to_owned() } else { format!("{key}.{field}") };
            format!("missing, expected {}", wanted(&key))
        } else if message == "duplicate key" {
            key = self.text.get(span.clone()).unwrap_or_default().to_owned();
            "written twice, expected once".to_owned()
        } else if key.ends_with(".password") || key.ends_with(".password_hash") {
            "expected a string".to_owned()
        } else {
            let plain = message.strip_prefix("invalid type: ");
            match plain.or_else(|| message.strip_prefix("invalid value: ")) {
                Some(rest) => format!("got {}", plainly(rest)),
                None => message.lines().map(str::trim).collect::<Vec<_>>().join(", "),
            }
        };
        ConfigError { place: self.place(&span), key, message, nearest }
    }
}

/// The dotted path of the innermost key or value that covers `span`.
fn key_at(table: &DeTable<'_>, span: &Range<usize>) -> Option<String> {
    let mut best: Option<(usize, String)> = None;
    innermost(table, span, "", &mut best);
    best.map(|(_, path)| path)
}

fn innermost(
    table: &DeTable<'_>,
    span: &Range<usize>,
    above: &str,
    best: &mut Option<(usize, String)>,
) {
    for (key, value) in table {
        let name = key.get_ref();
        let path = if above.is_empty() { name.to_string() } else { format!("{above}.{name}") };
        consider(&key.span(), span, &path, best);
        descend(value, span, &path, best);
    }
}

fn descend(
    value: &Spanned<DeValue<'_>>,
    span: &Range<usize>,
    path: &str,
    best: &mut Option<(usize, String)>,
) {
    consider(&value.span(), span, path, best);
    if let Some(table) = value.get_ref().as_table() {
        innermost(table, span, path, best);
    } else if let Some(array) = value.get_ref().as_array() {
        for element in array {
            descend(element, span, path, best);
        }
    }
}

fn consider(
    covering: &Range<usize>,
    span: &Range<usize>,
    path: &str,
    best: &mut Option<(usize, String)>,
) {
    let covers = covering.start <= span.start && span.end <= covering.end;
    if covers && best.as_ref().is_none_or(|(length, _)| covering.len() < *length) {
        *best = Some((covering.len(), path.to_owned()));
    }
}

/// The path of the key that was meant: one beside it with nearly the same name, else one of the
/// same name in another section.
fn nearest_key(path: &str, known: &[&str], all: &toml::Table) -> Option<String> {
    let (section, name) = match path.rsplit_once('.') {
        Some((section, name)) => (Some(section), name),
        None => (None, path),
    };
    if let Some(near) = closest(name, known.iter().copied()) {
        return Some(
            section.map_or_else(|| near.to_owned(), |section| format!("{section}.{near}")),
        );
    }
    let elsewhere = all.iter().find(|(_, keys)| keys.get(name).is_some())?;
    Some(format!("{}.{name}", elsewhere.0))
}

/// The word that is only a slip away.
pub(super) fn closest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let slips = |known: &str| strsim::damerau_levenshtein(&word.to_lowercase(), known);
    let near = known.map(|known| (slips(known), known)).min_by_key(|(slips, _)| *slips)?;
    (near.0 <= (word.chars().count() / 3).max(1)).then_some(near.1)
}

/// What the parser expected and got, in the words of TOML.
fn plainly(message: &str) -> String {
    let words = [
        (" as i128", ""),
        ("expected i64", "expected a number"),
        ("expected a sequence", "expected an array"),
        ("map, expected", "a table, expected"),
        ("sequence, expected", "an array, expected"),
    ];
    words.iter().fold(message.to_owned(), |text, (theirs, ours)| text.replace(theirs, ours))
}

/// What a key takes that has no default.
fn wanted(key: &str) -> &'static str {
    match key.rsplit('.').next().unwrap_or_default() {
        "action" => "\"allow\", \"block\" or \"shadow-block\"",
        "address" => "an IP address such as \"127.0.0.1\" or \"::1\"",
        "limit_mib" => "a number of MiB",
        "period" => "\"hour\", \"day\", \"week\" or \"month\"",
        "port" => "the number of a port",
        _ => "a name",
    }
}

/// What stands in backquotes.
fn quoted(message: &str) -> Vec<&str> {
    message.split('`').skip(1).step_by(2).collect()
}

/// Keys that are only known so that they can be warned of.
const REPLACED: [&str; 2] = ["pool", "qos"];

/// Octets in a user's name or password (RFC 1929 §2).
pub(super) const NAME_MAX: usize = 255;
