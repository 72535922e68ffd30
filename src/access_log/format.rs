//! What a line looks like. Pure.
//!
//! A template is text with names of columns in braces, such as `{user}`; `{{` and `}}` are braces. What
//! a client chose cannot end a line or a field: of the values, everything but printable characters other
//! than space, quote and backslash is escaped, and one that is missing or empty is `-`.

use std::fmt::Write;

use crate::stats::Record;

/// What a line looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object, its names being the columns.
    Json,
    /// A text with the values of columns in it.
    Template(Template),
}

/// A text with the values of columns in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// Its place in [`COLUMNS`].
    Column(usize),
}

/// Why a text is no format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadFormat {
    /// A name in braces is no column.
    #[error("{{{name}}}, which is no column of a session, expected one such as {{{nearest}}}")]
    Unknown {
        /// What stands in the braces.
        name: String,
        /// The column that is but a slip away, or one that anybody wants.
        nearest: &'static str,
    },
    /// A brace without its other half.
    #[error("a single brace, expected {{column}}, or {{{{ and }}}} for braces themselves")]
    Brace,
    /// No column at all.
    #[error(
        "no column, expected \"json\", or a text such as \"{{end_time}} {{user}} {{close_code}}\""
    )]
    Nothing,
    /// More than one line.
    #[error("a control character, expected one line of text")]
    Control,
}

impl Format {
    /// Reads `json`, or a template.
    ///
    /// # Errors
    /// [`BadFormat`].
    pub fn parse(text: &str) -> Result<Self, BadFormat> {
        if text == "json" {
            return Ok(Self::Json);
        }
        if text.contains(|c: char| c.is_control() && c != '\t') {
            return Err(BadFormat::Control);
        }
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            plain.push_str(&rest[..at]);
            let doubled = ["{{", "}}"].into_iter().find(|pair| rest[at..].starts_with(pair));
            if let Some(pair) = doubled {
                plain.push_str(&pair[..1]);
                rest = &rest[at + 2..];
                continue;
            }
            let inside = rest[at..].strip_prefix('{').and_then(|rest| rest.split_once('}'));
            let Some((name, after)) = inside else { return Err(BadFormat::Brace) };
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
            }
            pieces.push(Piece::Column(column(name)?));
            rest = after;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        if !pieces.iter().any(|piece| matches!(piece, Piece::Column(_))) {
            return Err(BadFormat::Nothing);
        }
        Ok(Self::Template(Template(pieces)))
    }

    /// Appends the line of a session, its end included.
    pub fn write(&self, record: &Record, line: &mut String) {
        match self {
            Self::Json => {
                // A record holds nothing that JSON cannot. It may hold control characters that JSON
                // lets pass and a terminal does not.
                let json = serde_json::to_string(record).unwrap_or_default();
                for c in json.chars() {
                    if c.is_control() {
                        // Invariant: writing to a String does not fail.
                        write!(line, "\\u{:04x}", u32::from(c)).expect("a String takes all");
                    } else {
                        line.push(c);
                    }
                }
            }
            Self::Template(Template(pieces)) => {
                for piece in pieces {
                    match piece {
                        Piece::Text(text) => line.push_str(text),
                        Piece::Column(index) => {
                            if let Some((_, write)) = COLUMNS.get(*index) {
                                write(record, line);
                            }
                        }
                    }
                }
            }
        }
        line.push('\n');
    }
}

fn column(name: &str) -> Result<usize, BadFormat> {
    if let Some(index) = COLUMNS.iter().position(|(known, _)| *known == name) {
        return Ok(index);
    }
    let slips = |(known, _): &Column| (strsim::osa_distance(known, name), *known);
    let near = COLUMNS.iter().map(slips).min_by_key(|(slips, _)| *slips);
    let near = near.filter(|(slips, _)| *slips <= (name.chars().count() / 3).max(1));
    let nearest = near.map_or("user", |(_, known)| known);
    Err(BadFormat::Unknown { name: name.escape_debug().to_string(), nearest })
}

/// A value of a column.
trait Cell {
    fn write(&self, line: &mut String);
}

impl Cell for String {
    fn write(&self, line: &mut String) {
        match self.as_str() {
            "" => line.push('-'),
            // What is not there is not to be had by a name.
            "-" => line.push_str("\\x2d"),
            text => text.chars().for_each(|c| escape(c, line)),
        }
    }
}

impl<T: Cell> Cell for Option<T> {
    fn write(&self, line: &mut String) {
        match self {
            Some(value) => value.write(line),
            None => line.push('-'),
        }
    }
}

macro_rules! numbers {
    ($($kind:ty)*) => {
        $(impl Cell for $kind {
            fn write(&self, line: &mut String) {
                // Invariant: writing to a String does not fail.
                write!(line, "{self}").expect("a String takes all");
            }
        })*
    };
}

numbers! { u16 u32 u64 }

fn escape(c: char, line: &mut String) {
    match c {
        ' ' => line.push_str("\\x20"),
        '\'' => line.push(c),
        // Quotes, backslashes, and whatever is not printable.
        _ => line.extend(c.escape_debug()),
    }
}

type Column = (&'static str, fn(&Record, &mut String));

macro_rules! columns {
    ($($name:ident)*) => {
        &[$((stringify!($name), |record, line| record.$name.write(line))),*]
    };
}

/// Every column, in the order of the table.
const COLUMNS: &[Column] = columns! {
    session_id user start_time end_time duration_secs source_ip source_port dest_ip dest_port protocol
    bytes_sent bytes_received packets_sent packets_received status close_reason acl_rule_matched
    acl_decision duration_ms resolved_ip command close_code rule_id policy_generation node auth_us
    resolve_us connect_us first_byte_us client_rtt_us upstream_rtt_us client_retransmits
    upstream_retransmits claimed_user
};

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn record(user: &str) -> Record {
        Record {
            session_id: "id".to_owned(),
            user: user.to_owned(),
            start_time: "s".to_owned(),
            end_time: Some("e".to_owned()),
            duration_secs: Some(2),
            source_ip: "192.0.2.1".to_owned(),
            source_port: 4321,
            dest_ip: String::new(),
            dest_port: 0,
            protocol: "tcp".to_owned(),
            bytes_sent: u64::MAX,
            bytes_received: 0,
            packets_sent: 0,
            packets_received: 0,
            status: "failed".to_owned(),
            close_reason: Some("wrong user name or password".to_owned()),
            acl_rule_matched: None,
            acl_decision: None,
            duration_ms: None,
            resolved_ip: None,
            command: None,
            close_code: None,
            rule_id: None,
            policy_generation: None,
            node: None,
            auth_us: None,
            resolve_us: None,
            connect_us: None,
            first_byte_us: None,
            client_rtt_us: None,
            upstream_rtt_us: None,
            client_retransmits: None,
            upstream_retransmits: None,
            claimed_user: None,
        }
    }

    fn line(format: &str, record: &Record) -> String {
        let mut line = String::new();
        Format::parse(format).unwrap().write(record, &mut line);
        line
    }

    #[test]
    fn every_column_of_a_record_can_be_named() {
        let json = serde_json::to_value(record("u")).unwrap();
        let names: BTreeSet<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(COLUMNS.iter().map(|(name, _)| *name).collect::<BTreeSet<_>>(), names);
    }

    #[test]
    fn a_template_is_filled_in_and_what_is_missing_is_a_dash() {
        assert_eq!(
            line(
                "{{{user}}} {source_ip}:{source_port}\t{dest_ip} {bytes_sent} {close_code}",
                &record("u")
            ),
            "{u} 192.0.2.1:4321\t- 18446744073709551615 -\n"
        );
    }

    #[test]
    fn no_name_forges_a_field_or_a_line() {
        for (name, shown) in [
            ("a b", "a\\x20b"),
            ("a\nb", "a\\nb"),
            ("a\"b\\", "a\\\"b\\\\"),
            ("\u{202e}x\u{1b}[31m", "\\u{202e}x\\u{1b}[31m"),
            ("o'neil 名前", "o'neil\\x20名前"),
            ("-", "\\x2d"),
            ("", "-"),
        ] {
            assert_eq!(line("{user} x", &record(name)), format!("{shown} x\n"));
        }
    }

    #[test]
    fn what_is_no_format_is_told_why() {
        let unknown = BadFormat::Unknown { name: "usr".to_owned(), nearest: "user" };
        for (text, why) in [
            ("", BadFormat::Nothing),
            ("text", BadFormat::Nothing),
            ("{usr}", unknown),
            ("{foo}", BadFormat::Unknown { name: "foo".to_owned(), nearest: "user" }),
            ("{nod}", BadFormat::Unknown { name: "nod".to_owned(), nearest: "node" }),
            ("{user", BadFormat::Brace),
            ("user} {user}", BadFormat::Brace),
            ("{user}\n", BadFormat::Control),
        ] {
            assert_eq!(Format::parse(text), Err(why), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_line_is_one_line_with_its_fields_whatever_the_name(name in any::<String>()) {
            for format in ["json", "{user} {status}"] {
                let line = line(format, &record(&name));
                prop_assert!(line.ends_with('\n'));
                prop_assert!(!line.trim_end_matches('\n').contains(char::is_control));
            }
            let line = line("{user} {status}", &record(&name));
            prop_assert_eq!(line.split(char::is_whitespace).filter(|it| !it.is_empty()).count(), 2);
            let json = self::line("json", &record(&name));
            let back: serde_json::Value = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(back["user"].as_str().unwrap(), name);
        }
    }
}
