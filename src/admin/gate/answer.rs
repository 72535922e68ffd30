//! Is the answer of the server within whole, and how does it go out? Pure.

use httparse::Status;

use super::refusal::Refusal;
use crate::admin::events::STREAM;

/// What comes of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Finished {
    /// It goes out as this.
    Whole(Vec<u8>),
    /// The client may listen to events.
    Stream,
}

/// Makes of everything the server within sent the answer that the client gets: whole, and with
/// `Connection: close` in its head. `bodyless` is the answer to a HEAD request.
pub(super) fn finish(mut answer: Vec<u8>, bodyless: bool) -> Result<Finished, Refusal> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let Ok(Status::Complete(head)) = response.parse(&answer) else {
        return Err(Refusal::AnswerCut);
    };
    let promised = response
        .headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case("content-length"))
        .and_then(|header| str::from_utf8(header.value).ok()?.parse::<usize>().ok());
    let stream = response.headers.iter().any(|header| header.name.eq_ignore_ascii_case(STREAM));
    let without_body = bodyless || matches!(response.code, Some(204 | 304));
    let followed = answer.len() - head;
    let whole = if without_body { followed == 0 } else { promised == Some(followed) };
    let Some(line) = answer.iter().position(|octet| *octet == b'\n') else {
        return Err(Refusal::AnswerCut);
    };
    if !whole {
        return Err(Refusal::AnswerCut);
    }
    if stream {
        return Ok(Finished::Stream);
    }
    answer.splice(line + 1..line + 1, CLOSE.iter().copied());
    Ok(Finished::Whole(answer))
}

const HEADERS_MAX: usize = 32;
const CLOSE: &[u8] = b"Connection: close\r\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_answer_says_that_the_connection_ends() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi".to_vec();
        assert_eq!(
            finish(answer, false),
            Ok(Finished::Whole(
                b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi".to_vec()
            ))
        );
    }

    #[test]
    fn an_answer_that_is_cut_anywhere_is_never_passed_on() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
        for cut in 0..answer.len() {
            let part = answer.get(..cut).unwrap().to_vec();
            assert_eq!(finish(part, false), Err(Refusal::AnswerCut), "cut at {cut}");
        }
        let long = [answer.as_slice(), b"!"].concat();
        assert_eq!(finish(long, false), Err(Refusal::AnswerCut));
    }

    #[test]
    fn an_answer_without_a_body_needs_none() {
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n".to_vec();
        assert!(finish(head, true).is_ok());
        assert!(finish(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(), false).is_ok());
    }
}
