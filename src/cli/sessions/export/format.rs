//! Rows as lines of text.

use std::borrow::Cow;
use std::mem;

use clap::ValueEnum;
use serde_json::Value;

use crate::cli::api::harmless;
use crate::store::Cell;

/// How rows are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// A line of names, then one per session; NULL is empty
    #[default]
    Csv,
    /// One JSON object per line
    Ndjson,
}

/// Lines that were not written yet.
pub(super) enum Lines {
    /// As CSV.
    Csv(Box<csv::Writer<Vec<u8>>>),
    /// As JSON.
    Ndjson {
        /// The names of the columns, as they stand in JSON.
        names: Vec<String>,
        /// The lines.
        text: String,
    },
}

impl Lines {
    /// With the line of names, where there is one.
    pub(super) fn new<'a>(format: Format, columns: impl Iterator<Item = &'a str>) -> Self {
        match format {
            Format::Csv => {
                let mut writer = csv_writer();
                record(&mut writer, columns.map(Cow::Borrowed));
                Self::Csv(writer)
            }
            Format::Ndjson => {
                let names = columns.map(|name| Value::from(name).to_string()).collect();
                Self::Ndjson { names, text: String::new() }
            }
        }
    }

    /// One more row.
    pub(super) fn push(&mut self, cells: &[Cell<'_>]) {
        match self {
            Self::Csv(writer) => record(writer, cells.iter().map(field)),
            Self::Ndjson { names, text } => {
                for (index, (name, cell)) in names.iter().zip(cells).enumerate() {
                    text.push(if index == 0 { '{' } else { ',' });
                    text.push_str(name);
                    text.push(':');
                    text.push_str(&json(cell));
                }
                text.push_str("}\n");
            }
        }
    }

    /// The lines so far, which are then no longer here.
    pub(super) fn take(&mut self) -> Vec<u8> {
        match self {
            Self::Csv(writer) => {
                // Invariant: writing to memory does not fail.
                mem::replace(writer, csv_writer()).into_inner().expect("memory takes all")
            }
            Self::Ndjson { text, .. } => mem::take(text).into_bytes(),
        }
    }
}

fn csv_writer() -> Box<csv::Writer<Vec<u8>>> {
    Box::new(csv::WriterBuilder::new().flexible(true).from_writer(Vec::new()))
}

fn record<'a>(writer: &mut csv::Writer<Vec<u8>>, fields: impl Iterator<Item = Cow<'a, str>>) {
    for field in fields {
        // Invariant: writing to memory does not fail.
        writer.write_field(&*field).expect("memory takes all");
    }
    // Invariant: the same, and records may have any length.
    writer.write_record(None::<&[u8]>).expect("memory takes all");
}

fn field<'a>(cell: &'a Cell<'_>) -> Cow<'a, str> {
    match cell {
        Cell::Null => Cow::Borrowed(""),
        Cell::Integer(number) => Cow::Owned(number.to_string()),
        Cell::Real(number) => Cow::Owned(number.to_string()),
        Cell::Text(text) => Cow::Borrowed(text),
    }
}

fn json(cell: &Cell<'_>) -> String {
    match cell {
        Cell::Null => Value::Null,
        Cell::Integer(number) => Value::from(*number),
        Cell::Real(number) => Value::from(*number),
        Cell::Text(text) => return harmless(&Value::from(text.as_ref()).to_string()),
    }
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: [Cell<'_>; 4] = [
        Cell::Text(Cow::Borrowed("a,\"b\"\n\u{1}ü\u{9b}")),
        Cell::Null,
        Cell::Integer(-7),
        Cell::Real(0.5),
    ];
    const COLUMNS: [&str; 4] = ["text", "nothing", "whole", "half"];

    fn lines(format: Format) -> String {
        let mut lines = Lines::new(format, COLUMNS.into_iter());
        lines.push(&ROW);
        let mut text = lines.take();
        assert!(lines.take().is_empty());
        lines.push(&ROW);
        text.extend(lines.take());
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn csv_has_one_line_of_names_and_quotes_what_must_be() {
        let row = "\"a,\"\"b\"\"\n\u{1}ü\u{9b}\",,-7,0.5\n";
        assert_eq!(lines(Format::Csv), format!("text,nothing,whole,half\n{row}{row}"));
    }

    #[test]
    fn ndjson_has_one_object_a_line_with_names_in_order() {
        let row = "{\"text\":\"a,\\\"b\\\"\\n\\u0001ü\\u009b\",\"nothing\":null,\"whole\":-7,\"half\":0.5}\n";
        assert_eq!(lines(Format::Ndjson), row.repeat(2));
    }
}
