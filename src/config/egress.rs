//! `[egress]`: which way sockets towards targets leave.

use std::collections::HashSet;
use std::net::IpAddr;

use super::choice;
use super::error::ConfigError;
use super::file::{self, File, Placed};
use super::settings::EgressSettings;
use super::source::Source;
use crate::egress::{Egress, Named, Spread};

pub(super) fn egress(source: &Source<'_>, file: &File) -> Result<EgressSettings, ConfigError> {
    let section = &file.egress;
    let way = Way {
        key: "egress",
        addresses: &section.addresses,
        spread: section.spread,
        interface: &section.interface,
        mark: &section.mark,
    };
    let default = way.read(source)?;
    let mut known = Known::default();
    let mut named = Vec::new();
    // Who is in a file of users, or known to the host, is warned of later if at all: they come and go.
    let all_are_here =
        file.auth.users_file.get_ref().is_empty() && file.auth.pam_service.get_ref().is_empty();
    for entry in &section.named {
        source.name("egress.named.name", &entry.name)?;
        known.once(source, "name", &entry.name)?;
        for user in &entry.users {
            source.name("egress.named.users", user)?;
            known.once(source, "users", user)?;
            let listed = |known: &Placed<file::UserEntry>| {
                known.get_ref().username.get_ref() == user.get_ref()
            };
            let anonymous = file.acl.anonymous_user.get_ref() == user.get_ref();
            if all_are_here && !anonymous && !file.auth.users.iter().any(listed) {
                let got = user.get_ref();
                let message = format!("got {got:?}, expected a user of `[[auth.users]]`");
                return Err(source.error(user.span(), "egress.named.users", message));
            }
        }
        for group in &entry.groups {
            known.once(source, "groups", group)?;
            let listed = |user: &Placed<file::UserEntry>| {
                let mut groups = user.get_ref().groups.iter();
                groups.any(|known| known.eq_ignore_ascii_case(group.get_ref()))
            };
            let may_be_elsewhere = !file.acl.config_file.get_ref().is_empty();
            if all_are_here && !may_be_elsewhere && !file.auth.users.iter().any(listed) {
                let got = group.get_ref();
                let message = format!("got {got:?}, expected a group of some `[[auth.users]]`");
                return Err(source.error(group.span(), "egress.named.groups", message));
            }
        }
        let way = Way {
            key: "egress.named",
            addresses: &entry.addresses,
            spread: entry.spread,
            interface: &entry.interface,
            mark: &entry.mark,
        };
        let texts = |texts: &[Placed<String>]| {
            texts.iter().map(|text| text.get_ref().clone()).collect::<Vec<_>>()
        };
        named.push(Named {
            name: entry.name.get_ref().clone(),
            users: texts(&entry.users),
            groups: texts(&entry.groups),
            egress: way.read(source)?,
        });
    }
    Ok(EgressSettings { default, named })
}

/// What every way out has.
struct Way<'a> {
    key: &'static str,
    addresses: &'a [Placed<String>],
    spread: choice::Spread,
    interface: &'a Placed<String>,
    mark: &'a Placed<i64>,
}

impl Way<'_> {
    fn read(&self, source: &Source<'_>) -> Result<Egress, ConfigError> {
        let key = format!("{}.addresses", self.key);
        let mut addresses: Vec<IpAddr> = Vec::new();
        for text in self.addresses {
            let address = source.ip(&key, text)?.to_canonical();
            if addresses.contains(&address) {
                let message = format!("got {address} twice, expected each address once");
                return Err(source.error(text.span(), &key, message));
            }
            addresses.push(address);
        }
        if addresses.len() > ADDRESSES_MAX {
            let message =
                format!("got {} addresses, expected {ADDRESSES_MAX} at most", addresses.len());
            let span = self.addresses.last().map_or(0..0, Placed::span);
            return Err(source.error(span, &key, message));
        }
        let interface = match self.interface.get_ref().as_str() {
            "" => None,
            name if name.len() <= INTERFACE_OCTETS_MAX && !name.contains(['/', ' ', '\0']) => {
                Some(name.to_owned())
            }
            name => {
                let key = format!("{}.interface", self.key);
                let message = format!(
                    "got {name:?}, expected the name of an interface such as \"eth1\", of up to \
                     {INTERFACE_OCTETS_MAX} octets"
                );
                return Err(source.error(self.interface.span(), &key, message));
            }
        };
        let key = format!("{}.mark", self.key);
        let mark: u32 = source.number(&key, self.mark, 0..=u32::MAX.into())?;
        Ok(Egress {
            addresses,
            spread: match self.spread {
                choice::Spread::Client => Spread::Client,
                choice::Spread::Turns => Spread::Turns,
            },
            interface,
            // It is what a packet has that nobody marked.
            mark: (mark != 0).then_some(mark),
        })
    }
}

/// What stands somewhere already.
#[derive(Default)]
struct Known(HashSet<(&'static str, String)>);

impl Known {
    fn once(
        &mut self,
        source: &Source<'_>,
        key: &'static str,
        text: &Placed<String>,
    ) -> Result<(), ConfigError> {
        let mut name = text.get_ref().clone();
        if key == "groups" {
            name.make_ascii_lowercase();
        }
        if self.0.insert((key, name)) {
            return Ok(());
        }
        let message = format!("got {:?} twice, expected it once", text.get_ref());
        Err(source.error(text.span(), &format!("egress.named.{key}"), message))
    }
}

/// Addresses of one way out at most.
const ADDRESSES_MAX: usize = 4096;
/// Octets of an interface's name (IFNAMSIZ, without the end).
const INTERFACE_OCTETS_MAX: usize = 15;
