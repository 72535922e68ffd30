//! SOCKS4 and 4a: what is understood can be written again and means the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rustsocks::socks::{Command, Method, MethodSet};
use rustsocks::target::{Host, Target};
use rustsocks_fuzz::{End, Setup, agree};

fuzz_target!(|input: &[u8]| {
    let Some((mut setup, behind)) = Setup::split(input) else { return };
    setup.announced = false;
    let octets = [&[4], behind].concat();
    let seen = agree(&setup, &octets);
    if seen.end == End::Ended(rustsocks::session::Outcome::ClientGone) {
        return;
    }
    let methods = setup.policy.methods;
    let may = [MethodSet::NO_AUTH, MethodSet::NO_AUTH.with(Method::UserPass)].contains(&methods);
    assert!(may || seen.target.is_none(), "SOCKS4 cannot log in");
    let (Some(command), Some(target)) = (seen.command, &seen.target) else { return };
    let userid = seen.userid.as_deref().unwrap_or_default();
    if userid.contains(char::REPLACEMENT_CHARACTER) || userid.len() > 255 {
        return;
    }
    let Some(written) = written(command, target, userid.as_bytes()) else { return };
    let again = agree(&setup, &written);
    assert_eq!((again.command, &again.target), (seen.command, &seen.target));
    assert_eq!((again.userid, again.facts), (seen.userid, seen.facts));
    assert_eq!((again.end, again.said), (seen.end, seen.said));
    if again.end == End::Relays {
        assert_eq!(again.rest.as_deref(), Some(&[][..]), "a request has octets left");
    }
});

/// The request as a client would write it; none where the version has no words for it.
fn written(command: Command, target: &Target, userid: &[u8]) -> Option<Vec<u8>> {
    let code = match command {
        Command::Connect => 1,
        Command::Bind => 2,
        Command::UdpAssociate => panic!("SOCKS4 has no datagrams"),
    };
    let (address, name) = match &target.host {
        Host::V4(ip) => (ip.octets(), None),
        // The text of an address in the place of a name.
        Host::V6(ip) => ([0, 0, 0, 9], Some(ip.to_string())),
        Host::Name(name) => ([0, 0, 0, 9], Some(name.to_string())),
    };
    let mut octets = vec![4, code];
    octets.extend(target.port.to_be_bytes());
    // 0.0.0.x was a name.
    if name.is_none() && address[..3] == [0; 3] && address[3] != 0 {
        octets.extend([0, 0, 0, 9]);
        octets.extend(userid);
        octets.push(0);
        octets.extend(target.host.to_string().bytes());
        octets.push(0);
        return Some(octets);
    }
    octets.extend(address);
    octets.extend(userid);
    octets.push(0);
    if let Some(name) = name {
        octets.extend(name.bytes());
        octets.push(0);
    }
    Some(octets)
}
