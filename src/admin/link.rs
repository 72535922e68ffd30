//! The way to the next page, as RFC 8288 has it: a header `Link` beside the cursor in the body.

use std::fmt::Write;

use super::reply::ApiReply;
use super::request::ApiRequest;

impl ApiReply {
    /// The same answer, and where the next page is: the same request with `next` as the parameter of
    /// that name. `None` is the last page.
    #[must_use]
    pub(super) fn with_next(self, request: &ApiRequest, name: &str, next: Option<&str>) -> Self {
        match next {
            Some(next) => self.with_header("Link", link(request, name, next)),
            None => self,
        }
    }
}

/// By a reference that is relative to our own address.
fn link(request: &ApiRequest, name: &str, next: &str) -> String {
    let mut link = String::from("<");
    escape(&mut link, &request.path);
    let pieces = request.query.as_deref().unwrap_or("").split('&');
    let mut mark = '?';
    let is_other = |piece: &&str| !piece.is_empty() && piece.split('=').next() != Some(name);
    for piece in pieces.filter(is_other) {
        link.push(mark);
        escape(&mut link, piece);
        mark = '&';
    }
    link.push(mark);
    link.push_str(name);
    link.push('=');
    escape(&mut link, next);
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

    #[test]
    fn a_link_is_the_same_request_with_another_cursor() {
        let of = |path: &str, query: Option<&str>| {
            let request = ApiRequest {
                path: path.to_owned(),
                query: query.map(str::to_owned),
                ..crate::admin::tests::request()
            };
            link(&request, "cursor", "02ab")
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
