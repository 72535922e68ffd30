//! What the kernel gives back with an event: `Token` ⇄ `mio::Token`.
//!
//! ```text
//!  63          36 35                    4 3    0
//! ┌──────────────┬───────────────────────┬──────┐
//! │ generation 28│ slot 32               │role 4│
//! └──────────────┴───────────────────────┴──────┘
//! ```

use crate::key::Key;

/// Whose descriptor an event is about, and which of its descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token {
    /// The connection. For the roles that belong to no connection the generation is 0, and the slot
    /// tells several of a kind apart (a listener's index, a resolver's descriptor).
    pub key: Key,
    /// Which of its descriptors.
    pub role: Role,
}

/// What a descriptor is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Role {
    /// The accepted socket.
    Client = 0,
    /// The socket of the first connect attempt, and the relay's if that one won.
    UpstreamA = 1,
    /// The socket of the attempt that runs beside it.
    UpstreamB = 2,
    /// BIND: the socket on which the target is awaited.
    Awaiting = 3,
    /// UDP: the association's socket towards the client.
    UdpClient = 4,
    /// UDP: its IPv4 socket towards targets.
    UdpV4 = 5,
    /// UDP: its IPv6 socket towards targets.
    UdpV6 = 6,
    /// A listener of the worker.
    Listener = 7,
    /// The worker's mailbox.
    Waker = 8,
    /// A socket of the worker's resolver.
    Resolver = 9,
}

impl Token {
    /// The token of one of a connection's descriptors.
    #[must_use]
    pub const fn of(key: Key, role: Role) -> Self {
        Self { key, role }
    }

    /// The token of one of the worker's own descriptors.
    #[must_use]
    pub const fn own(role: Role, number: u32) -> Self {
        Self { key: Key { slot: number, generation: 0 }, role }
    }

    /// Reads a token back; `None` if no [`Token`] made it.
    #[must_use]
    pub fn read(token: mio::Token) -> Option<Self> {
        let bits = token.0 as u64;
        let role = Role::read(bits & ROLE_MASK)?;
        let slot = u32::try_from((bits >> ROLE_BITS) & u64::from(u32::MAX)).ok()?;
        let generation = u32::try_from(bits >> GENERATION_SHIFT).ok()?;
        Some(Self { key: Key { slot, generation }, role })
    }
}

impl From<Token> for mio::Token {
    fn from(token: Token) -> Self {
        let Key { slot, generation } = token.key;
        debug_assert!(generation <= Key::GENERATION_MAX, "the shift drops what is above");
        let bits = u64::from(generation) << GENERATION_SHIFT
            | u64::from(slot) << ROLE_BITS
            | u64::from(token.role as u8);
        #[expect(clippy::cast_possible_truncation, reason = "a token is 64 bits, asserted below")]
        Self(bits as usize)
    }
}

impl Role {
    const ALL: [Self; 10] = [
        Self::Client,
        Self::UpstreamA,
        Self::UpstreamB,
        Self::Awaiting,
        Self::UdpClient,
        Self::UdpV4,
        Self::UdpV6,
        Self::Listener,
        Self::Waker,
        Self::Resolver,
    ];

    fn read(bits: u64) -> Option<Self> {
        Self::ALL.get(usize::try_from(bits).ok()?).copied()
    }
}

const ROLE_BITS: u32 = 4;
const ROLE_MASK: u64 = (1 << ROLE_BITS) - 1;
const GENERATION_SHIFT: u32 = ROLE_BITS + u32::BITS;

const _: () = assert!(GENERATION_SHIFT + Key::GENERATION_BITS == u64::BITS);
const _: () = assert!(size_of::<usize>() == size_of::<u64>());
const _: () = assert!(Role::ALL.len() <= 1 << ROLE_BITS);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_token_reads_back_as_itself(
            slot: u32,
            generation in 0..=Key::GENERATION_MAX,
            role in prop::sample::select(&Role::ALL[..]),
        ) {
            let token = Token::of(Key { slot, generation }, role);
            prop_assert_eq!(Token::read(token.into()), Some(token));
        }
    }

    #[test]
    fn roles_stand_at_their_number() {
        for (number, role) in Role::ALL.into_iter().enumerate() {
            assert_eq!(role as usize, number);
        }
    }

    #[test]
    fn an_unknown_role_is_no_token() {
        assert_eq!(Token::read(mio::Token(Role::ALL.len())), None);
        assert_eq!(Token::read(mio::Token(usize::MAX)), None);
    }
}
