//! The query of a request: parameters by name, each at most once, none unknown. Pure.

use std::net::IpAddr;

use super::Miss;
use crate::stats::Dest;
use crate::target::canonical_ip;

/// Parameters that were not taken yet.
#[derive(Debug)]
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Reads `a=b&c=d`. As in forms, `+` is a space; empty pieces between `&` are ignored.
    pub(super) fn parse(query: Option<&str>) -> Result<Self, Miss> {
        let mut parameters: Vec<(String, String)> = Vec::new();
        for piece in query.unwrap_or("").split('&').filter(|piece| !piece.is_empty()) {
            let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
            let name = decode(&name.replace('+', " ")).ok_or_else(|| Miss::encoding(name))?;
            let value = decode(&value.replace('+', " ")).ok_or_else(|| Miss::encoding(&name))?;
            if parameters.iter().any(|(known, _)| *known == name) {
                return Err(Miss::parameter(&name, "is given twice"));
            }
            parameters.push((name, value));
        }
        Ok(Self(parameters))
    }

    /// The value of a parameter that may be left out but not left empty: an empty filter is more
    /// often a script's unset variable than a wish for everything.
    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, Miss> {
        let Some(index) = self.0.iter().position(|(known, _)| known == name) else {
            return Ok(None);
        };
        let (_, value) = self.0.swap_remove(index);
        if value.is_empty() {
            return Err(Miss::parameter(name, "is empty"));
        }
        Ok(Some(value))
    }

    /// A number in digits from `least` to `most`.
    pub(super) fn number(
        &mut self,
        name: &str,
        least: u32,
        most: u32,
    ) -> Result<Option<u32>, Miss> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let digits = text.bytes().all(|octet| octet.is_ascii_digit());
        match text.parse() {
            Ok(number) if digits && (least..=most).contains(&number) => Ok(Some(number)),
            Ok(_) | Err(_) => {
                Err(Miss::parameter(name, &format!("must be a number from {least} to {most}")))
            }
        }
    }

    /// One of the words of `choices`.
    pub(super) fn choice<T: Copy>(
        &mut self,
        name: &str,
        choices: &[(T, &str)],
    ) -> Result<Option<T>, Miss> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        match choices.iter().find(|(_, word)| *word == text) {
            Some((choice, _)) => Ok(Some(*choice)),
            None => {
                let words: Vec<&str> = choices.iter().map(|(_, word)| *word).collect();
                Err(Miss::parameter(name, &format!("must be one of {}", words.join(", "))))
            }
        }
    }

    /// A value that `read` makes of the text, or else is told to be `expected`.
    pub(super) fn value<T>(
        &mut self,
        name: &str,
        expected: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Miss> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        match read(&text) {
            Some(value) => Ok(Some(value)),
            None => Err(Miss::parameter(name, &format!("must be {expected}"))),
        }
    }

    /// The parameter `dest`: a target, with a port or at any.
    pub(super) fn dest(&mut self) -> Result<Option<Dest>, Miss> {
        self.value("dest", "a host or host:port, IPv6 with a port in brackets", |text| {
            text.parse().ok()
        })
    }

    /// The parameter `source`: an address, as records have it.
    pub(super) fn source(&mut self) -> Result<Option<IpAddr>, Miss> {
        self.value("source", "an IP address", |text| text.parse().ok().map(canonical_ip))
    }

    /// Refuses whatever nobody took.
    pub(super) fn finish(self) -> Result<(), Miss> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => Err(Miss::parameter(name, "is not known here")),
        }
    }
}

/// Resolves percent-encoding (RFC 3986 §2.1); `None` if it is broken or does not hold UTF-8
/// without control characters.
pub(super) fn decode(text: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((octet, after)) = rest.split_first() {
        rest = after;
        if *octet != b'%' {
            octets.push(*octet);
            continue;
        }
        let ([high, low], after) = rest.split_first_chunk::<2>()?;
        octets.push(digit(*high)? << 4 | digit(*low)?);
        rest = after;
    }
    String::from_utf8(octets).ok().filter(|text| !text.contains(char::is_control))
}

fn digit(octet: u8) -> Option<u8> {
    u8::try_from(char::from(octet).to_digit(16)?).ok()
}

#[cfg(test)]
mod tests;
