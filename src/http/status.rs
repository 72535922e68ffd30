//! What a client is told: RFC 9110 §15.

use crate::socks::Outbox;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// 200: the tunnel stands. No body and no length may follow (RFC 9110 §9.3.6).
    Established,
    /// 400: the head is not what the protocol says.
    BadRequest,
    /// 403: a rule forbids it, or we do not serve this client, or no tunnels at all.
    Forbidden,
    /// 405: any method but CONNECT.
    MethodNotAllowed,
    /// 407: credentials are wanted, or they are wrong.
    AuthenticationRequired,
    /// 408: the head did not come in time.
    RequestTimeout,
    /// 431: the head is too large.
    HeadTooLarge,
    /// 502: the target cannot be reached, refuses, or has no address.
    BadGateway,
    /// 503: we have no room for the work.
    Unavailable,
    /// 504: the target did not answer in time.
    GatewayTimeout,
}

impl Status {
    /// The longest of the texts below, in octets.
    pub(super) const OCTETS_MAX: usize = 144;

    /// Appends the whole response.
    pub fn write(self, out: &mut Outbox) {
        out.push(self.text().as_bytes());
    }

    const fn text(self) -> &'static str {
        macro_rules! refusal {
            ($line:literal $(, $field:literal)*) => {
                concat!("HTTP/1.1 ", $line, "\r\n", $($field, "\r\n",)*
                    "Content-Length: 0\r\nConnection: close\r\n\r\n")
            };
        }
        match self {
            Self::Established => "HTTP/1.1 200 Connection established\r\n\r\n",
            Self::BadRequest => refusal!("400 Bad Request"),
            Self::Forbidden => refusal!("403 Forbidden"),
            Self::MethodNotAllowed => refusal!("405 Method Not Allowed", "Allow: CONNECT"),
            Self::AuthenticationRequired => refusal!(
                "407 Proxy Authentication Required",
                "Proxy-Authenticate: Basic realm=\"rustsocks\""
            ),
            Self::RequestTimeout => refusal!("408 Request Timeout"),
            Self::HeadTooLarge => refusal!("431 Request Header Fields Too Large"),
            Self::BadGateway => refusal!("502 Bad Gateway"),
            Self::Unavailable => refusal!("503 Service Unavailable"),
            Self::GatewayTimeout => refusal!("504 Gateway Timeout"),
        }
    }
}

const _: () = assert!(Status::OCTETS_MAX <= Outbox::CAPACITY);

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Status; 10] = [
        Status::Established,
        Status::BadRequest,
        Status::Forbidden,
        Status::MethodNotAllowed,
        Status::AuthenticationRequired,
        Status::RequestTimeout,
        Status::HeadTooLarge,
        Status::BadGateway,
        Status::Unavailable,
        Status::GatewayTimeout,
    ];

    #[test]
    fn each_is_a_whole_response_that_fits() {
        for status in ALL {
            let text = status.text();
            assert!(text.len() <= Status::OCTETS_MAX, "{} octets: {text}", text.len());
            let mut fields = [httparse::EMPTY_HEADER; 8];
            let mut response = httparse::Response::new(&mut fields);
            let parsed = response.parse(text.as_bytes()).unwrap();
            assert_eq!(parsed, httparse::Status::Complete(text.len()));
        }
    }

    #[test]
    fn success_has_no_fields_and_refusals_close() {
        assert_eq!(Status::Established.text().matches("\r\n").count(), 2);
        for status in &ALL[1..] {
            assert!(status.text().contains("\r\nConnection: close\r\n"));
        }
    }
}
