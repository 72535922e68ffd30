//! The rule file as written.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

use crate::config::file::{Placed, placed};

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct File {
    pub(super) global: Global,
    pub(super) rules: Vec<Placed<Entry>>,
    pub(super) users: Vec<Placed<User>>,
    pub(super) groups: Vec<Placed<Group>>,
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Global {
    pub(super) default_policy: Placed<String>,
    pub(super) utc_offset: Placed<String>,
}

impl Default for Global {
    fn default() -> Self {
        Self { default_policy: placed("block".to_owned()), utc_offset: placed("+00:00".to_owned()) }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct User {
    pub(super) username: Placed<String>,
    #[serde(default)]
    pub(super) groups: Vec<Placed<String>>,
    #[serde(default)]
    pub(super) rules: Vec<Placed<Entry>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Group {
    pub(super) name: Placed<String>,
    #[serde(default)]
    pub(super) rules: Vec<Placed<Entry>>,
}

/// A list that is there, and where.
pub(super) type Listed<T> = Option<Placed<Vec<Placed<T>>>>;

/// One rule.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    pub(super) action: Placed<String>,
    #[serde(default)]
    pub(super) description: String,
    #[serde(default)]
    pub(super) priority: Option<Placed<i64>>,
    #[serde(default)]
    pub(super) users: Listed<String>,
    #[serde(default)]
    pub(super) groups: Listed<String>,
    #[serde(default)]
    pub(super) destinations: Listed<String>,
    #[serde(default)]
    pub(super) ports: Listed<PortWord>,
    #[serde(default)]
    pub(super) protocols: Listed<String>,
    #[serde(default)]
    pub(super) commands: Listed<String>,
    #[serde(default)]
    pub(super) sources: Listed<String>,
    #[serde(default)]
    pub(super) hours: Listed<String>,
    #[serde(default)]
    pub(super) egress: Option<Placed<String>>,
    #[serde(default)]
    pub(super) bandwidth: Option<Placed<String>>,
}

/// A port as a number, or ports as a text.
#[derive(Debug)]
pub(super) struct PortWord(pub(super) String);

impl<'de> Deserialize<'de> for PortWord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberOrText;
        impl Visitor<'_> for NumberOrText {
            type Value = PortWord;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a port, or a text such as \"8000-9000\"")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<PortWord, E> {
                Ok(PortWord(text.to_owned()))
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<PortWord, E> {
                Ok(PortWord(number.to_string()))
            }
        }
        deserializer.deserialize_any(NumberOrText)
    }
}
