//! The errors that the gate answers itself, without asking the server within.

use super::limits::Limits;
use crate::admin::reply::{PROBLEM_TYPE, problem_body, reason};

/// Why the gate answers instead of the server within.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No lawful request; the text says what is wrong with it.
    Malformed(&'static str),
    ForeignOrigin,
    Late,
    TransferEncoding,
    BodyTooLarge,
    ForeignHost,
    TooManyListeners,
    HeadTooLarge,
    Version,
    AnswerTooLarge,
    AnswerCut,
    Unavailable,
    AnswerLate,
}

impl Refusal {
    /// The status of the answer.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::Malformed(_) => 400,
            Self::ForeignOrigin => 403,
            Self::Late => 408,
            Self::TransferEncoding => 411,
            Self::BodyTooLarge => 413,
            Self::ForeignHost => 421,
            Self::TooManyListeners => 429,
            Self::HeadTooLarge => 431,
            Self::Version => 505,
            Self::AnswerTooLarge => 500,
            Self::AnswerCut => 502,
            Self::Unavailable => 503,
            Self::AnswerLate => 504,
        }
    }

    /// The whole answer on the wire. `bodyless` is the answer to a HEAD request.
    pub(super) fn render(self, limits: &Limits, bodyless: bool) -> Vec<u8> {
        let status = self.status();
        let body = problem_body(status, reason(status), &self.detail(limits));
        let mut answer = format!(
            "HTTP/1.1 {status} {}\r\nContent-Type: {PROBLEM_TYPE}\r\nContent-Length: {}\r\n\
             Cache-Control: no-store\r\nConnection: close\r\n\r\n",
            reason(status),
            body.len(),
        )
        .into_bytes();
        if !bodyless {
            answer.extend_from_slice(&body);
        }
        answer
    }

    fn detail(self, limits: &Limits) -> String {
        match self {
            Self::Malformed(what) => what.to_owned(),
            Self::ForeignOrigin => "Origin is not a page of this server".to_owned(),
            Self::Late => {
                format!("the request was not complete after {} ms", limits.request.as_millis())
            }
            Self::TransferEncoding => {
                "Transfer-Encoding is not accepted; send Content-Length".to_owned()
            }
            Self::BodyTooLarge => format!("a body has at most {} octets", limits.body_max),
            Self::ForeignHost => {
                "Host is not a name or address of this server; see server.api_hosts".to_owned()
            }
            Self::TooManyListeners => {
                format!(
                    "{} listen already, or {} from your address, and no more may; ask for what you want \
                     to know again and again instead",
                    limits.listeners, limits.listeners_per_address
                )
            }
            Self::HeadTooLarge => format!(
                "request line and headers have at most {} octets and {} headers",
                limits.head_max, limits.headers_max
            ),
            Self::Version => "HTTP/1.0 and HTTP/1.1 are spoken here".to_owned(),
            Self::AnswerTooLarge => {
                format!("the answer has more than {} octets; ask for less", limits.answer_max)
            }
            Self::AnswerCut => "the answer was cut off within the server".to_owned(),
            Self::Unavailable => "the server within cannot be asked now; try again".to_owned(),
            Self::AnswerLate => {
                format!("there was no answer after {} s", limits.answer.as_secs())
            }
        }
    }
}
