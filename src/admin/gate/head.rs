//! Is this head lawful, and how does it go inwards? Pure.
//!
//! What goes inwards is written anew: only the headers that a handler reads, `Content-Length` as a
//! plain number, `Connection: close` and the client's address. So no disagreement between two
//! parsers about what a header means can matter, and nothing hop-by-hop passes.

use std::net::{IpAddr, SocketAddr};

use httparse::Status;

use super::limits::Limits;
use super::refusal::Refusal;
use crate::admin::access::Hosts;

/// Where a request came from and what is asked of it.
#[derive(Clone, Copy)]
pub struct Vantage<'a> {
    /// The bounds.
    pub limits: &'a Limits,
    /// What we are called.
    pub hosts: &'a Hosts,
    /// The address of ours that the client reached.
    pub local: SocketAddr,
    /// The client's address.
    pub client: IpAddr,
}

/// A lawful head.
#[derive(Debug)]
pub struct Head {
    /// The head as it goes inwards.
    pub onward: Vec<u8>,
    /// Octets of body that follow it.
    pub body: usize,
    /// Whether it is a HEAD request, whose answer has no body.
    pub bodyless: bool,
    /// Whether the client waits for `100 Continue` before it sends the body.
    pub expects_continue: bool,
}

/// An unlawful head.
#[derive(Debug)]
pub struct Unlawful {
    /// What is wrong with it.
    pub refusal: Refusal,
    /// Whether it is a HEAD request, as far as can be told.
    pub bodyless: bool,
}

/// The length of the head in `received`, its empty line included. Octets before `scanned` were
/// looked at before.
#[must_use]
pub fn length(received: &[u8], scanned: usize) -> Option<usize> {
    // The empty line is at most three octets long, and may lie across what came before.
    let from = scanned.saturating_sub(3);
    let fresh = received.get(from..)?;
    for (index, octet) in fresh.iter().enumerate() {
        if *octet != b'\n' {
            continue;
        }
        match fresh.get(index + 1..) {
            Some([b'\n', ..]) => return Some(from + index + 2),
            Some([b'\r', b'\n', ..]) => return Some(from + index + 3),
            Some(_) | None => {}
        }
    }
    None
}

/// Judges a head that is complete.
///
/// # Errors
/// [`Unlawful`], with what the client is to be told.
pub fn check(head: &[u8], vantage: &Vantage<'_>) -> Result<Head, Unlawful> {
    let mut headers = vec![httparse::EMPTY_HEADER; vantage.limits.headers_max];
    let mut request = httparse::Request::new(&mut headers);
    let parsed = request.parse(head);
    let bodyless = request.method == Some("HEAD");
    let refuse = |refusal| Unlawful { refusal, bodyless };
    match parsed {
        Ok(Status::Complete(length)) if length == head.len() => {}
        Ok(_) => return Err(refuse(Refusal::Malformed("the request is not HTTP"))),
        Err(error) => return Err(refuse(refusal(error))),
    }
    let (Some(method), Some(target), Some(version)) =
        (request.method, request.path, request.version)
    else {
        return Err(refuse(Refusal::Malformed("the request is not HTTP")));
    };
    if !target.starts_with('/') || !target.is_ascii() {
        return Err(refuse(Refusal::Malformed("the target is not a path")));
    }
    let mut onward = format!("{method} {target} HTTP/1.1\r\n").into_bytes();
    let fields = Fields::of(request.headers, &mut onward).map_err(refuse)?;
    fields.check(version, vantage).map_err(refuse)?;
    let body = fields.body(vantage.limits).map_err(refuse)?;
    if body > 0 {
        onward.extend_from_slice(format!("Content-Length: {body}\r\n").as_bytes());
    }
    onward.extend_from_slice(
        format!("Connection: close\r\nX-Real-IP: {}\r\n\r\n", vantage.client).as_bytes(),
    );
    let expects_continue = fields.expects_continue && version == 1 && body > 0;
    Ok(Head { onward, body, bodyless, expects_continue })
}

/// The headers that the gate itself judges.
#[derive(Default)]
struct Fields<'a> {
    host: Option<&'a str>,
    origin: Option<&'a str>,
    content_length: Option<&'a str>,
    transfer_encoding: bool,
    expects_continue: bool,
}

impl<'a> Fields<'a> {
    /// Reads the headers, and copies those that a handler reads to `onward`.
    fn of(headers: &[httparse::Header<'a>], onward: &mut Vec<u8>) -> Result<Self, Refusal> {
        let mut fields = Self::default();
        let mut authorized = false;
        for header in headers {
            let name = header.name.to_ascii_lowercase();
            if !JUDGED.contains(&name.as_str()) && !PASSED.contains(&name.as_str()) {
                continue;
            }
            let Some(value) = visible(header.value) else {
                return Err(Refusal::Malformed("a header holds octets that are not ASCII"));
            };
            match name.as_str() {
                "host" => once(&mut fields.host, value, "Host is given twice")?,
                "origin" => once(&mut fields.origin, value, "Origin is given twice")?,
                "content-length" => {
                    once(&mut fields.content_length, value, "Content-Length is given twice")?;
                    continue;
                }
                "transfer-encoding" => {
                    fields.transfer_encoding = true;
                    continue;
                }
                "expect" => {
                    fields.expects_continue = value.eq_ignore_ascii_case("100-continue");
                    continue;
                }
                "authorization" => {
                    if authorized {
                        return Err(Refusal::Malformed("Authorization is given twice"));
                    }
                    authorized = true;
                }
                _ => {}
            }
            onward.extend_from_slice(name.as_bytes());
            onward.extend_from_slice(b": ");
            onward.extend_from_slice(value.as_bytes());
            onward.extend_from_slice(b"\r\n");
        }
        Ok(fields)
    }

    fn check(&self, version: u8, vantage: &Vantage<'_>) -> Result<(), Refusal> {
        match self.host {
            Some(host) if vantage.hosts.admits_host(host, vantage.local) => {}
            Some(_) => return Err(Refusal::ForeignHost),
            // HTTP/1.0 knew no Host, and no browser speaks it.
            None if version == 0 => {}
            None => return Err(Refusal::Malformed("Host is missing")),
        }
        match self.origin {
            Some(origin) if !vantage.hosts.admits_origin(origin, vantage.local) => {
                Err(Refusal::ForeignOrigin)
            }
            Some(_) | None => Ok(()),
        }
    }

    fn body(&self, limits: &Limits) -> Result<usize, Refusal> {
        let length = match self.content_length {
            None => 0,
            Some(text) if text.is_empty() || !text.bytes().all(|o| o.is_ascii_digit()) => {
                return Err(Refusal::Malformed("Content-Length is not a number"));
            }
            // Digits that no usize holds are a length too, and too large.
            Some(text) => text.parse().unwrap_or(usize::MAX),
        };
        if self.transfer_encoding {
            return Err(Refusal::TransferEncoding);
        }
        if length > limits.body_max {
            return Err(Refusal::BodyTooLarge);
        }
        Ok(length)
    }
}

/// What [`Fields::of`] looks into.
const JUDGED: &[&str] =
    &["host", "origin", "content-length", "transfer-encoding", "expect", "authorization"];
/// Further headers that handlers may read.
const PASSED: &[&str] = &["accept", "content-type", "if-none-match"];

fn once<'a>(
    field: &mut Option<&'a str>,
    value: &'a str,
    twice: &'static str,
) -> Result<(), Refusal> {
    match field.replace(value) {
        None => Ok(()),
        Some(_) => Err(Refusal::Malformed(twice)),
    }
}

/// The value without surrounding white space, if it is visible ASCII, space and tab.
fn visible(value: &[u8]) -> Option<&str> {
    let text = str::from_utf8(value).ok()?.trim_matches([' ', '\t']);
    text.bytes().all(|octet| matches!(octet, b'\t' | b' '..=b'~')).then_some(text)
}

fn refusal(error: httparse::Error) -> Refusal {
    match error {
        httparse::Error::TooManyHeaders => Refusal::HeadTooLarge,
        httparse::Error::Version => Refusal::Version,
        httparse::Error::HeaderName
        | httparse::Error::HeaderValue
        | httparse::Error::NewLine
        | httparse::Error::Status
        | httparse::Error::Token => Refusal::Malformed("the request is not HTTP"),
    }
}

#[cfg(test)]
mod tests;
