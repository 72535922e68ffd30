//! Values that are one word out of few.

use std::fmt;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// How many threads serve connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workers {
    /// One per processor that we may use.
    Auto,
    /// So many, 1 to 256.
    Fixed(usize),
}

impl Serialize for Workers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self {
            Self::Auto => serializer.serialize_str("auto"),
            Self::Fixed(count) => count.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Workers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AutoOrCount;
        impl Visitor<'_> for AutoOrCount {
            type Value = Workers;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"auto\" or a number from 1 to 256")
            }
            fn visit_str<E: de::Error>(self, word: &str) -> Result<Workers, E> {
                match word {
                    "auto" => Ok(Workers::Auto),
                    other => Err(E::invalid_value(de::Unexpected::Str(other), &self)),
                }
            }
            fn visit_i64<E: de::Error>(self, count: i64) -> Result<Workers, E> {
                usize::try_from(count)
                    .ok()
                    .filter(|count| (1..=WORKERS_MAX).contains(count))
                    .map(Workers::Fixed)
                    .ok_or_else(|| E::invalid_value(de::Unexpected::Signed(count), &self))
            }
        }
        deserializer.deserialize_any(AutoOrCount)
    }
}

/// How SOCKS clients say who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum SocksMethod {
    /// Not at all (RFC 1928 §3, method 0).
    None,
    /// By name and password (RFC 1929).
    Userpass,
}

/// Whether the guard stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum GuardMode {
    Auto,
    Off,
}

/// What the process keeps itself from doing, where the kernel can hold it to that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Sandbox {
    /// It reaches its own files only, and each thread makes the system calls of its kind only; any
    /// other fails.
    On,
    /// The same, and another system call ends the process.
    Strict,
    /// Nothing; and whoever runs it may look into it.
    Off,
}

/// Who looks names up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ResolverKind {
    /// c-ares on the worker's own loop; needs the feature `dns-cares`.
    Cares,
    /// The system's `getaddrinfo`, on threads of its own.
    System,
}

/// Which addresses of a name are used, and which are tried first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// All, IPv6 first (RFC 8305).
    #[serde(alias = "prefer_ipv6")]
    Any,
    /// All, IPv4 first.
    #[serde(rename = "prefer_ipv4")]
    PreferV4,
    /// IPv4 only.
    #[serde(rename = "ipv4")]
    V4,
    /// IPv6 only.
    #[serde(rename = "ipv6")]
    V6,
}

/// How the addresses of a way out are dealt out to sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Spread {
    /// By the client's address and the user.
    Client,
    /// In turns.
    Turns,
}

/// Where sessions that have ended are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Storage {
    /// In a database; needs the feature `database`.
    Sqlite,
    /// In memory, the last of them, until the process ends.
    Memory,
}

/// When a batch counts as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Synchronous {
    /// When it is on the disk: it survives a power failure.
    Full,
    /// When the kernel has it: it survives a crash of the process.
    Normal,
}

/// The least important events that are logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// What failed.
    Error,
    /// And what may fail.
    Warn,
    /// And what an operator wants to know.
    Info,
    /// And what helps to find a fault.
    Debug,
    /// And everything else.
    Trace,
}

impl Level {
    /// The word as the file has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// What a log line looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Format {
    Text,
    Json,
}

const WORKERS_MAX: usize = 256;
