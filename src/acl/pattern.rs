//! Names of targets in rules.
//!
//! | written | names |
//! |---|---|
//! | `example.com` | that name alone |
//! | `*.example.com` | every name below it, at any depth, not itself |
//! | `.example.com` | itself and every name below it |
//! | `api.*.example.com`, `cdn-*.example.com` | a `*` elsewhere: one octet or more, within its label |

use std::fmt;

use crate::target::{BadName, Host};

/// Some names; lower case, without a trailing dot.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Pattern {
    /// One name.
    Exact(Box<str>),
    /// The names below one.
    Below(Box<str>),
    /// A name and those below it.
    Within(Box<str>),
    /// Labels with a `*` in some.
    Labels(Box<str>),
}

impl Pattern {
    /// Reads what a rule says of names.
    ///
    /// # Errors
    /// [`BadName`] says what a name does not have.
    pub fn parse(text: &str) -> Result<Self, BadName> {
        if let Some(rest) = text.strip_prefix("*.")
            && !rest.contains('*')
        {
            return Ok(Self::Below(name(rest)?));
        }
        if let Some(rest) = text.strip_prefix('.') {
            return Ok(Self::Within(name(rest)?));
        }
        if text.contains('*') {
            // What a `*` stands for is some octet of a name; `x` is one that no text of an address has.
            name(&text.replace('*', "x"))?;
            let text = text.strip_suffix('.').unwrap_or(text);
            return Ok(Self::Labels(text.to_ascii_lowercase().into()));
        }
        name(text).map(Self::Exact)
    }

    /// Whether it names this one, which is in lower case.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        match self {
            Self::Exact(exact) => **exact == *name,
            Self::Below(above) => is_below(name, above),
            Self::Within(top) => **top == *name || is_below(name, top),
            Self::Labels(pattern) => labels_fit(pattern, name),
        }
    }

    /// The labels behind the last one with a `*`; of no meaning for the other kinds.
    pub(super) fn fixed_end(&self) -> &str {
        match self {
            Self::Exact(name) | Self::Below(name) | Self::Within(name) => name,
            Self::Labels(pattern) => {
                let behind = pattern.rfind('*').map_or("", |at| &pattern[at..]);
                behind.split_once('.').map_or("", |(_, end)| end)
            }
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) | Self::Labels(name) => f.write_str(name),
            Self::Below(name) => write!(f, "*.{name}"),
            Self::Within(name) => write!(f, ".{name}"),
        }
    }
}

/// A name as targets have it.
fn name(text: &str) -> Result<Box<str>, BadName> {
    match Host::from_name(text.as_bytes())? {
        Host::Name(name) => Ok(name.as_str().into()),
        // An address has no names below it.
        Host::V4(_) | Host::V6(_) => Err(BadName::Octet(b'*')),
    }
}

fn is_below(name: &str, above: &str) -> bool {
    name.strip_suffix(above).is_some_and(|front| front.len() > 1 && front.ends_with('.'))
}

fn labels_fit(pattern: &str, name: &str) -> bool {
    let (mut patterns, mut labels) = (pattern.split('.'), name.split('.'));
    loop {
        match (patterns.next(), labels.next()) {
            (None, None) => return true,
            (Some(pattern), Some(label)) if label_fits(pattern, label) => {}
            (_, _) => return false,
        }
    }
}

/// Each `*` takes one octet or more. The parts between are looked for from the left, the last one at the
/// end, which finds a fit wherever there is one.
fn label_fits(pattern: &str, label: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| label.strip_prefix(first)) else {
        return false;
    };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        // Names are ASCII: the first octet is a character.
        let Some(behind) = rest.get(1..) else { return false };
        if parts.peek().is_none() {
            return behind.ends_with(part);
        }
        let Some(at) = behind.find(part) else { return false };
        rest = &behind[at + part.len()..];
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn names(pattern: &str, yes: &[&str], no: &[&str]) {
        let parsed = Pattern::parse(pattern).unwrap();
        for name in yes {
            assert!(parsed.is(name), "{pattern} {name}");
        }
        for name in no {
            assert!(!parsed.is(name), "{pattern} {name}");
        }
        assert_eq!(Pattern::parse(&parsed.to_string()).unwrap(), parsed);
    }

    #[test]
    fn each_kind_names_what_its_table_says() {
        names("Example.COM.", &["example.com"], &["www.example.com", "example.co", "xexample.com"]);
        names(
            "*.example.com",
            &["www.example.com", "a.b.example.com"],
            &["example.com", "xexample.com", ".example.com", "example.com.test"],
        );
        names(".example.com", &["example.com", "a.b.example.com"], &["xexample.com", "com"]);
        names(
            "api.*.example.com",
            &["api.eu.example.com"],
            &["api.example.com", "api.a.b.example.com", "xapi.eu.example.com"],
        );
        names(
            "cdn-*.example.com",
            &["cdn-1.example.com", "cdn-a-b.example.com"],
            &["cdn-.example.com", "cdn.example.com", "a.cdn-1.example.com"],
        );
        names("a*b*c.test", &["axbxc.test", "abbbc.test"], &["abc.test", "abxc.test", "axbc.test"]);
        names("www.*", &["www.test"], &["www", "www.a.test"]);
        names("*.*.test", &["a.b.test"], &["a.test", "a.b.c.test"]);
        names("*x", &["ax", "xx"], &["x", "a.x"]);
    }

    #[test]
    fn the_fixed_end_is_what_names_are_looked_up_by() {
        let end = |text: &str| Pattern::parse(text).unwrap().fixed_end().to_owned();
        assert_eq!(end("api.*.example.com"), "example.com");
        assert_eq!(end("cdn-*.example.com"), "example.com");
        assert_eq!(end("*.*.test"), "test");
        assert_eq!(end("www.*"), "");
        assert_eq!(end("a*.b*c"), "");
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in ["", ".", "..", "a b", "a..b", "*..a", "exämple.test", "*.10.0.0.1", "a/b"] {
            assert!(Pattern::parse(text).is_err(), "{text}");
        }
    }
}
