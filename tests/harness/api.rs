//! A plain HTTP client for the API.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::PATIENCE;

/// An answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    /// The body as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

/// GET.
pub(crate) fn get(api: SocketAddr, path: &str) -> Answer {
    exchange(api, &format!("GET {path} HTTP/1.1\r\nHost: {api}\r\n\r\n"))
}

/// A request without a body, with this token if one is given.
pub(crate) fn ask(api: SocketAddr, method: &str, path: &str, token: Option<&str>) -> Answer {
    let shown = token.map(|token| format!("Authorization: Bearer {token}\r\n"));
    let shown = shown.unwrap_or_default();
    let length = if method == "GET" { "" } else { "Content-Length: 0\r\n" };
    exchange(api, &format!("{method} {path} HTTP/1.1\r\nHost: {api}\r\n{shown}{length}\r\n"))
}

/// Sends `request` and reads the answer to its end.
pub(crate) fn exchange(api: SocketAddr, request: &str) -> Answer {
    let mut stream = TcpStream::connect(api).expect("the API accepts");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.write_all(request.as_bytes()).expect("the API takes it");
    let mut text = Vec::new();
    stream.read_to_end(&mut text).expect("the API answers");
    let text = String::from_utf8(text).expect("the answer is text");
    let (head, body) = text.split_once("\r\n\r\n").expect("an HTTP head");
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).expect("a status");
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}
