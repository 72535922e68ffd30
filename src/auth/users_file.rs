//! Users as lines of text, in the form of htpasswd(1): `name:hash`, to which we add
//! `:group,group` where there are groups. Empty lines and those that begin with `#` say nothing.

use super::password::HashError;
use super::users::User;

/// What is wrong with a line. A hash is never part of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// There is no hash in it.
    #[error("expected `name:hash` or `name:hash:group,group`")]
    Form,
    /// The name cannot be one.
    #[error(
        "expected a name of 1 to {NAME_OCTETS_MAX} octets without `:` and control characters that \
         does not begin with `#` or a space"
    )]
    Name,
    /// A group's name cannot be one.
    #[error(
        "expected groups of 1 to {NAME_OCTETS_MAX} octets without `:`, `,` and control characters"
    )]
    Group,
    /// The hash cannot be used.
    #[error("the hash of {name:?} is of no use: {error}")]
    Hash {
        /// Whose.
        name: String,
        /// Why.
        error: HashError,
    },
}

impl User {
    /// Reads a line; `None` where it says nothing.
    ///
    /// # Errors
    /// [`LineError`] says what was expected.
    pub fn from_line(line: &str) -> Result<Option<Self>, LineError> {
        let line = line.trim_end();
        if line.is_empty() || line.starts_with('#') {
            return Ok(None);
        }
        let mut fields = line.splitn(3, ':');
        let (Some(name), Some(hash)) = (fields.next(), fields.next()) else {
            return Err(LineError::Form);
        };
        let groups: Vec<&str> = match fields.next() {
            None | Some("") => Vec::new(),
            Some(groups) => groups.split(',').collect(),
        };
        Self::for_line(name, hash, &groups).map(Some)
    }

    /// A user who can stand in a line.
    ///
    /// # Errors
    /// [`LineError`] says what was expected.
    pub fn for_line(name: &str, hash: &str, groups: &[&str]) -> Result<Self, LineError> {
        let is_name = |text: &str| {
            (1..=NAME_OCTETS_MAX).contains(&text.len())
                && !text.contains(|c: char| c == ':' || c.is_control())
        };
        if !is_name(name) || name.starts_with('#') || name.starts_with(char::is_whitespace) {
            return Err(LineError::Name);
        }
        if !groups.iter().all(|group| is_name(group) && !group.contains(',')) {
            return Err(LineError::Group);
        }
        let groups: Vec<Box<str>> = groups.iter().map(|group| Box::from(*group)).collect();
        Self::new(name, hash, &groups)
            .map_err(|error| LineError::Hash { name: name.to_owned(), error })
    }

    /// The user as a line, without its end. It holds the hash.
    #[must_use]
    pub fn to_line(&self) -> String {
        let (name, hash, groups) = (self.name(), self.stored().as_str(), self.groups());
        if groups.is_empty() {
            format!("{name}:{hash}")
        } else {
            format!("{name}:{hash}:{}", groups.join(","))
        }
    }
}

/// ULEN is one octet (RFC 1929 §2).
const NAME_OCTETS_MAX: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW";

    #[test]
    fn a_user_is_the_same_after_having_been_a_line() {
        for (groups, end) in [(&[][..], ""), (&["staff"], ":staff"), (&["a b", "c"], ":a b,c")] {
            let user = User::for_line("alice", HASH, groups).unwrap();
            assert_eq!(user.to_line(), format!("alice:{HASH}{end}"));
            assert_eq!(User::from_line(&user.to_line()).unwrap(), Some(user));
        }
        assert!(User::from_line(&format!("alice:{HASH}:\r\n")).unwrap().is_some());
    }

    #[test]
    fn what_says_nothing_is_nobody_and_what_is_no_user_is_an_error() {
        for nothing in ["", "  ", "# alice", "#alice:x"] {
            assert_eq!(User::from_line(nothing), Ok(None));
        }
        let long = "x".repeat(256);
        for (line, expected) in [
            ("alice".to_owned(), LineError::Form),
            (format!(":{HASH}"), LineError::Name),
            (format!(" alice:{HASH}"), LineError::Name),
            (format!("al\u{7}ice:{HASH}"), LineError::Name),
            (format!("{long}:{HASH}"), LineError::Name),
            (format!("alice:{HASH}:a,,b"), LineError::Group),
            (format!("alice:{HASH}:a:b"), LineError::Group),
        ] {
            assert_eq!(User::from_line(&line), Err(expected), "{line}");
        }
        let error = User::from_line("alice:hunter2").unwrap_err();
        assert!(matches!(error, LineError::Hash { .. }) && !error.to_string().contains("hunter2"));
    }
}
