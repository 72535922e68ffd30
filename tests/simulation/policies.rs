//! The policies of a world, one after the other by reloads.

use std::sync::Arc;
use std::time::Duration;

use rustsocks::acl::{Acl, Guard, OwnListeners};
use rustsocks::policy::{Policy, Timeouts};
use rustsocks::socks::{Command, CommandSet, Method, MethodSet};

use crate::dice::Dice;
use crate::limits::Limited;
use crate::odds::alice;

pub(crate) fn policy(generation: u64, limited: &Limited, dice: &mut Dice) -> Arc<Policy> {
    let commands = CommandSet::NONE.with(Command::Connect).with(Command::UdpAssociate);
    let guard = match dice.chance(80) {
        true => Guard::Auto(OwnListeners::default()),
        false => Guard::Off,
    };
    let ms = Duration::from_millis;
    Arc::new(Policy {
        generation,
        methods: dice.pick(&[
            MethodSet::NO_AUTH,
            MethodSet::USERPASS,
            MethodSet::NO_AUTH.with(Method::UserPass),
            MethodSet::NO_AUTH.with(Method::UserPass),
            MethodSet::NO_AUTH.with(Method::UserPass),
            MethodSet::NO_AUTH.with(Method::UserPass),
        ]),
        commands: if dice.chance(80) { commands.with(Command::Bind) } else { commands },
        // Now and then a reload takes her away.
        users: if dice.chance(85) { Arc::clone(&alice().0) } else { Arc::default() },
        acl: Acl::new(guard),
        limits: limited.policy(),
        timeouts: Timeouts {
            handshake: dice.pick(&[ms(1_000), HANDSHAKE_MAX]),
            connect: dice.pick(&[ms(2_000), CONNECT_MAX]),
            attempt: ms(dice.pick(&[100, 250, 3_000])),
            idle: ms(dice.pick(&[6_000, 30_000])),
            half_close: ms(dice.pick(&[1_000, 12_000])),
            linger: dice.pick(&[ms(500), LINGER_MAX]),
            ..Timeouts::PLAIN
        },
        ..Policy::plain()
    })
}

/// The longest limits of any policy.
pub(crate) const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
pub(crate) const CONNECT_MAX: Duration = Duration::from_secs(10);
pub(crate) const LINGER_MAX: Duration = Duration::from_secs(2);
