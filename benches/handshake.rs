//! What a worker computes for one handshake: greeting to request, and up to the relay.
#![allow(clippy::disallowed_methods, reason = "a bench reads the clock")]

mod plain_policy;

use std::hint::black_box;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use criterion::{Criterion, criterion_group, criterion_main};
use plain_policy::plain_policy;
use rustsocks::connection::{Input, Machine, Next};
use rustsocks::socks::{Handshake, MethodSet, Outbox, Progress};

const GREETING: &[u8] = b"\x05\x01\x00";
const REQUEST: &[u8] = b"\x05\x01\x00\x01\x5d\xb8\xd8\x22\x01\xbb";
const REQUEST_BY_NAME: &[u8] = b"\x05\x01\x00\x03\x0bexample.com\x01\xbb";

fn handshake(c: &mut Criterion) {
    let mut group = c.benchmark_group("handshake");
    for (name, request) in [("address", REQUEST), ("name", REQUEST_BY_NAME)] {
        group.bench_function(name, |b| {
            b.iter(|| {
                let mut handshake = Handshake::new(MethodSet::NO_AUTH);
                let mut out = Outbox::new();
                let greeted = handshake.feed(black_box(GREETING), &mut out);
                assert!(matches!(greeted, Ok((3, Progress::NeedMore))));
                match handshake.feed(black_box(request), &mut out) {
                    Ok((_, Progress::Requested { request, .. })) => request,
                    other => panic!("{other:?}"),
                }
            });
        });
    }
    group.bench_function("octet by octet", |b| {
        b.iter(|| {
            let mut handshake = Handshake::new(MethodSet::NO_AUTH);
            let mut out = Outbox::new();
            assert!(handshake.feed(black_box(GREETING), &mut out).is_ok());
            for end in 1..REQUEST.len() {
                let fed = handshake.feed(black_box(&REQUEST[..end]), &mut out);
                assert!(matches!(fed, Ok((0, Progress::NeedMore))));
            }
        });
    });
    group.finish();
}

fn machine(c: &mut Criterion) {
    let policy = plain_policy();
    let client = IpAddr::from([127, 0, 0, 1]);
    let local: SocketAddr = ([127, 0, 0, 1], 40_000).into();
    let now = Instant::now();
    c.bench_function("machine/accept to relay", |b| {
        b.iter(|| {
            let mut machine = Machine::new(client, Arc::clone(&policy), now);
            let mut out = Outbox::new();
            machine.handle(Input::Bytes(black_box(GREETING)), now, &mut out);
            machine.handle(Input::Flushed, now, &mut out);
            machine.handle(Input::Bytes(black_box(REQUEST)), now, &mut out);
            let (_, next) = machine.handle(Input::Opened, now, &mut out);
            let Next::Dial { attempt, permit } = next else { panic!("{next:?}") };
            let reached = permit.address();
            machine.handle(Input::Connected { attempt, reached, local }, now, &mut out);
            let (_, next) = machine.handle(Input::Flushed, now, &mut out);
            assert!(matches!(next, Next::Relay));
        });
    });
}

criterion_group!(benches, handshake, machine);
criterion_main!(benches);
