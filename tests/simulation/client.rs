//! What a client reads, and whether it is what the protocol and the target say.

use crate::party::{Way, pattern};
use crate::script::{Speech, Wish};

/// A client's reading of what comes from the proxy.
#[derive(Debug)]
pub(crate) struct Reader {
    speech: Speech,
    number: usize,
    unread: Vec<u8>,
    expects: Expects,
    /// Replies that granted something, and how many grant everything.
    pub(crate) granted: u32,
    wanted: u32,
    /// Octets of payload.
    pub(crate) payload: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expects {
    Method,
    Status,
    Reply,
    Payload,
    Nothing,
}

impl Reader {
    pub(crate) fn new(speech: Speech, number: usize) -> Self {
        let (expects, wanted) = match speech {
            Speech::Socks5 { command, .. } => {
                (Expects::Method, 1 + u32::from(command == Wish::Bind))
            }
            Speech::Socks4 { command } => (Expects::Reply, 1 + u32::from(command == Wish::Bind)),
            Speech::Http => (Expects::Reply, 1),
            Speech::Noise => (Expects::Payload, 0),
        };
        let unread = Vec::new();
        Self { speech, number, unread, expects, granted: 0, wanted, payload: 0 }
    }

    /// Whether everything was granted.
    pub(crate) fn is_granted(&self) -> bool {
        self.wanted > 0 && self.granted == self.wanted
    }

    pub(crate) fn is_refused(&self) -> bool {
        self.expects == Expects::Nothing
    }

    pub(crate) fn read(&mut self, octets: &[u8]) {
        if self.speech == Speech::Noise {
            // Nobody knows what that means.
            return;
        }
        self.unread.extend(octets);
        while let Some(used) = self.step() {
            self.unread.drain(..used);
        }
    }

    fn step(&mut self) -> Option<usize> {
        let unread = self.unread.as_slice();
        if unread.is_empty() {
            return None;
        }
        match self.expects {
            Expects::Nothing => panic!("{} octets behind a refusal", unread.len()),
            Expects::Method => {
                let [5, method] = *unread.first_chunk::<2>()? else {
                    panic!("no choice: {unread:?}")
                };
                self.expects = match method {
                    0 => Expects::Reply,
                    2 => Expects::Status,
                    0xff => Expects::Nothing,
                    other => panic!("method {other}"),
                };
                Some(2)
            }
            Expects::Status => {
                let [1, status] = *unread.first_chunk::<2>()? else {
                    panic!("no status: {unread:?}")
                };
                self.expects = if status == 0 { Expects::Reply } else { Expects::Nothing };
                Some(2)
            }
            Expects::Reply => {
                let (length, granted) = match self.speech {
                    Speech::Socks5 { .. } => {
                        let [5, code, 0, kind] = *unread.first_chunk::<4>()? else {
                            panic!("no reply: {unread:?}");
                        };
                        (if kind == 1 { 10 } else { 22 }, code == 0)
                    }
                    Speech::Socks4 { .. } => (8, *unread.get(1)? == 90),
                    Speech::Http => {
                        let end = unread.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
                        (end, unread.starts_with(b"HTTP/1.1 200 "))
                    }
                    Speech::Noise => return None,
                };
                unread.get(..length)?;
                self.granted += u32::from(granted);
                self.expects = match granted {
                    false => Expects::Nothing,
                    true if self.granted == self.wanted => Expects::Payload,
                    true => Expects::Reply,
                };
                Some(length)
            }
            Expects::Payload => {
                for octet in unread {
                    let expected = pattern(self.number, Way::Down, self.payload);
                    assert_eq!(*octet, expected, "payload is changed at {}", self.payload);
                    self.payload += 1;
                }
                Some(unread.len())
            }
        }
    }
}
