//! The descriptors of look-ups. Alone in its process, because it counts them.
#![cfg(feature = "dns-cares")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;

use rustsocks::clock;

use crate::server::{NameServer, Reply};
use crate::worker::{PATIENCE, Worker, impatient, ips};

#[path = "harness/names.rs"]
mod server;
#[path = "names/worker.rs"]
mod worker;

#[test]
fn no_descriptor_stays_open() {
    let server = NameServer::start(|name, _| match name.as_bytes() {
        [b't', ..] => Reply::Truncated(Box::new(Reply::NoSuchName)),
        [b's', ..] => Reply::Silence,
        _ => Reply::Addresses(ips(&["192.0.2.1"])),
    });
    let before = descriptors();
    let mut worker = Worker::new(&impatient(&server));
    let idle = descriptors();
    for round in 0..3 {
        for number in 0..150 {
            worker.ask(&format!("{}{number}.r{round}.test", ["a", "s", "t"][number % 3]), 1);
        }
        assert!(descriptors() > idle);
        worker.answers(150);
        worker.resolver.tend(clock::mono());
        assert_eq!(descriptors_settled(idle), idle, "round {round}");
    }
    // Also those of questions that have no answer yet.
    worker.ask("silent.test", 1);
    drop(worker);
    assert_eq!(descriptors_settled(before), before);
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// The server's side of a TCP connection closes a moment after ours.
fn descriptors_settled(expected: usize) -> usize {
    let deadline = clock::mono() + PATIENCE;
    loop {
        let count = descriptors();
        if count == expected || clock::mono() > deadline {
            return count;
        }
        std::thread::yield_now();
    }
}
