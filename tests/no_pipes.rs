//! Where the kernel gives no pipe, everything is copied, and it is asked again later. A file of its own,
//! because it uses up the descriptors of its process.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test may block and panic"
)]

use std::fs::File;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustsocks::relay::{Carrier, Direction};

use crate::rig::{PRELUDE, Rig};

#[allow(dead_code, reason = "shared with the test of the carriers")]
#[path = "splice/rig.rs"]
mod rig;

#[test]
fn without_descriptors_all_is_copied_and_pipes_come_back_with_them() {
    let mut carrier = Carrier::with_pipes(8);
    let mut rig = Rig::new(&mut carrier);
    let before = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(DESCRIPTORS), ..before }).unwrap();
    let mut spent = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        spent.push(file);
    }
    send(&mut rig, &mut carrier, PRELUDE);
    let sums = carrier.pipes().sums();
    assert_eq!((sums.octets, sums.failures, carrier.pipes().open()), (0, 1, 0));
    assert!(sums.missed > 1, "it is asked once, and not again for a while");

    drop(spent);
    let mut sent = PRELUDE;
    while carrier.pipes().sums().octets == 0 {
        assert!(sent < 4096 * PRELUDE, "never asked again");
        sent += PRELUDE;
        send(&mut rig, &mut carrier, PRELUDE);
    }
    assert_eq!(rig.booked(Direction::Upload), sent);
    assert_eq!(carrier.pipes().sums().failures, 1);
}

fn send(rig: &mut Rig, carrier: &mut Carrier, octets: usize) {
    let wanted = rig.far_client.said + octets;
    rig.until("everything", carrier, |rig| {
        rig.far_client.say(wanted - rig.far_client.said);
        rig.hear(Direction::Upload, usize::MAX);
        rig.far_target.heard == wanted
    });
}

/// Few, so that they are used up at once.
const DESCRIPTORS: u64 = 64;
