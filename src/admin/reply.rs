//! An answer as a handler makes it, and problem details (RFC 9457) for all that went wrong.

use serde::Serialize;
use utoipa::ToSchema;

/// One answer.
#[derive(Clone, Debug)]
pub struct ApiReply {
    /// The status code.
    pub status: u16,
    /// The value of `Content-Type`.
    pub content_type: &'static str,
    /// Further headers; names and values are visible ASCII.
    pub headers: Vec<(&'static str, String)>,
    /// The body: at most [`Limits::answer_max`](super::Limits::answer_max) octets.
    pub body: Vec<u8>,
}

impl ApiReply {
    /// 200 with `value` as JSON; 500 if it cannot be written as JSON.
    #[must_use]
    pub fn json(value: &impl Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => {
                Self { status: 200, content_type: "application/json", headers: Vec::new(), body }
            }
            Err(_) => Self::problem(500, "the answer could not be written as JSON"),
        }
    }

    /// 200 with plain text.
    #[must_use]
    pub fn text(body: impl Into<Vec<u8>>) -> Self {
        Self {
            status: 200,
            content_type: "text/plain; charset=utf-8",
            headers: Vec::new(),
            body: body.into(),
        }
    }

    /// An error as problem details; the title is the reason phrase of the status.
    #[must_use]
    pub fn problem(status: u16, detail: &str) -> Self {
        Self::titled_problem(status, reason(status), detail)
    }

    /// An error as problem details under a title of its own.
    #[must_use]
    pub fn titled_problem(status: u16, title: &str, detail: &str) -> Self {
        Self {
            status,
            content_type: PROBLEM_TYPE,
            headers: Vec::new(),
            body: problem_body(status, title, detail),
        }
    }

    /// The same answer with another status.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// The same answer with another content type.
    #[must_use]
    pub fn with_content_type(mut self, content_type: &'static str) -> Self {
        self.content_type = content_type;
        self
    }

    /// The same answer with one more header.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// The body of a problem (RFC 9457 §3.1).
pub(super) fn problem_body(status: u16, title: &str, detail: &str) -> Vec<u8> {
    serde_json::to_vec(&Problem { kind: "about:blank", title, status, detail }).unwrap_or_default()
}

/// The reason phrase of each status the API uses.
pub(super) fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        202 => "Accepted",
        204 => "No Content",
        304 => "Not Modified",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        411 => "Length Required",
        413 => "Content Too Large",
        421 => "Misdirected Request",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "Unknown",
    }
}

pub(super) const PROBLEM_TYPE: &str = "application/problem+json";

/// Why a request was not answered as it was meant to be (RFC 9457).
#[derive(Serialize, ToSchema)]
pub(super) struct Problem<'a> {
    /// `about:blank`: the status says what kind of problem it is.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The same in words.
    title: &'a str,
    /// The status of the answer.
    status: u16,
    /// What is wrong with this very request.
    detail: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_says_status_title_and_detail() {
        let reply = ApiReply::problem(404, "no such \"session\"");
        assert_eq!(reply.content_type, "application/problem+json");
        let body: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(
            body,
            serde_json::json!({
                "type": "about:blank",
                "title": "Not Found",
                "status": 404,
                "detail": "no such \"session\"",
            })
        );
    }

    #[test]
    fn json_that_cannot_be_written_is_a_500() {
        let unwritable = std::collections::BTreeMap::from([((1, 2), 3)]);
        assert_eq!(ApiReply::json(&unwritable).status, 500);
    }
}
