//! A request as a handler sees it: whole, bounded, of a client whose address is known.

use std::net::IpAddr;

/// One request. It has passed the gate: its Host is ours, its Origin is not foreign, its body is
/// complete.
#[derive(Clone)]
pub struct ApiRequest {
    /// The method.
    pub method: Method,
    /// The path as sent, still percent-encoded, without the query.
    pub path: String,
    /// The query as sent, still percent-encoded, without the question mark.
    pub query: Option<String>,
    /// The value of `Authorization`: a secret, which is why this struct has no `Debug`.
    pub authorization: Option<String>,
    /// The value of `Origin`.
    pub origin: Option<String>,
    /// The value of `Host`.
    pub host: Option<String>,
    /// The value of `If-None-Match`.
    pub if_none_match: Option<String>,
    /// The body: at most [`Limits::body_max`](super::Limits::body_max) octets.
    pub body: Vec<u8>,
    /// The client's address, IPv4-mapped IPv6 as IPv4.
    pub client: IpAddr,
}

/// The methods that some path of the API knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Reads, and wants no body.
    Head,
    /// Changes something.
    Post,
    /// Removes something.
    Delete,
    /// Any other: no path allows it.
    Other,
}

impl Method {
    /// The method of that name; names are case-sensitive (RFC 9110 §9.1).
    #[must_use]
    pub fn of(name: &str) -> Self {
        match name {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "POST" => Self::Post,
            "DELETE" => Self::Delete,
            _ => Self::Other,
        }
    }
}
