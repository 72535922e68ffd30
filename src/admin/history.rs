//! `GET /api/sessions/history` and `GET /api/users/{user}/sessions`: ended sessions in pages.

use std::fmt::Write;

use serde::Serialize;

use super::api::Api;
use super::gate::bump;
use super::page::HistoryCursor;
use super::reply::ApiReply;
use super::request::ApiRequest;
use super::route::HistoryRequest;
use crate::stats::{HistoryPage, Record, Unavailable};

#[derive(Serialize)]
struct Page {
    data: Vec<Record>,
    /// Where to go on; `null` when nothing is left.
    next_cursor: Option<String>,
    /// All that pass; `null` if nobody asked, or counting took too long.
    total: Option<u64>,
    /// There if the time limit ended the search before the page was full: nothing behind has been
    /// looked at. It is `next_cursor` too, so that whoever follows that one misses nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    scanned_until: Option<String>,
}

impl Api {
    pub(super) fn history(&self, request: &ApiRequest, asked: &HistoryRequest) -> ApiReply {
        let Some(history) = &self.history else {
            return ApiReply::problem(404, "sessions are not recorded: sessions.enabled is false");
        };
        let page = match history.page(&asked.query) {
            Ok(page) => page,
            Err(unavailable) => return self.unavailable(&unavailable),
        };
        let total = match asked.total.then(|| history.total(&asked.query.filter)) {
            None => None,
            Some(Ok(total)) => {
                if total.is_none() {
                    bump(&self.gate.history_cut);
                }
                total
            }
            Some(Err(unavailable)) => return self.unavailable(&unavailable),
        };
        let HistoryPage { records, next, cut } = page;
        if cut {
            bump(&self.gate.history_cut);
        }
        let next = next.map(|place| HistoryCursor { order: asked.query.order, place }.encode());
        let reply = ApiReply::json(&Page {
            data: records,
            next_cursor: next.clone(),
            total,
            scanned_until: next.clone().filter(|_| cut),
        });
        match next {
            Some(cursor) => reply.with_header("Link", link(request, &cursor)),
            None => reply,
        }
    }

    /// The answer when a history does not answer.
    pub(super) fn unavailable(&self, why: &Unavailable) -> ApiReply {
        let reply = ApiReply::problem(503, &why.to_string());
        match why {
            Unavailable::Busy => {
                bump(&self.gate.history_busy);
                reply.with_header("Retry-After", "1")
            }
            Unavailable::TooLong | Unavailable::Failed(_) => reply,
        }
    }
}

/// The next page as RFC 8288 has it: the same request with another cursor, by a reference that is
/// relative to our own address.
fn link(request: &ApiRequest, cursor: &str) -> String {
    let mut link = String::from("<");
    escape(&mut link, &request.path);
    let pieces = request.query.as_deref().unwrap_or("").split('&');
    let mut mark = '?';
    for piece in pieces.filter(|piece| !piece.is_empty() && !piece.starts_with("cursor=")) {
        link.push(mark);
        escape(&mut link, piece);
        mark = '&';
    }
    link.push(mark);
    link.push_str("cursor=");
    link.push_str(cursor);
    link.push_str(">; rel=\"next\"");
    link
}

/// What a URI may not hold as it is (RFC 3986 §2), and would end a reference in a header, is encoded.
fn escape(link: &mut String, text: &str) {
    for octet in text.bytes() {
        if octet.is_ascii_graphic() && !br#"<>"\^`{|}"#.contains(&octet) {
            link.push(char::from(octet));
        } else {
            // Invariant: writing to a String does not fail.
            write!(link, "%{octet:02X}").expect("a String takes all");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::request::Method;

    #[test]
    fn a_link_is_the_same_request_with_another_cursor() {
        let of = |path: &str, query: Option<&str>| {
            let request = ApiRequest {
                method: Method::Get,
                path: path.to_owned(),
                query: query.map(str::to_owned),
                authorization: None,
                origin: None,
                host: None,
                if_none_match: None,
                body: Vec::new(),
                client: [127, 0, 0, 1].into(),
            };
            link(&request, "02ab")
        };
        assert_eq!(of("/h", None), "</h?cursor=02ab>; rel=\"next\"");
        assert_eq!(of("/h", Some("")), "</h?cursor=02ab>; rel=\"next\"");
        assert_eq!(
            of("/h%20x", Some("user=a%20b&cursor=01&limit=5")),
            "</h%20x?user=a%20b&limit=5&cursor=02ab>; rel=\"next\""
        );
        assert_eq!(of("/h", Some("user=<\">")), "</h?user=%3C%22%3E&cursor=02ab>; rel=\"next\"");
    }
}
