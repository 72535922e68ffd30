//! What a portion costs by either carrier: a read and a write, or a pipe filled and drained.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a bench may block, read the clock and panic"
)]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rustsocks::linux::pipe::Pipe;
use socket2::{Domain, Socket, Type};

/// Both ends of a connection; the first is a relay's and does not block.
fn pair() -> (TcpStream, TcpStream) {
    // A whole portion finds room; what is accepted inherits it.
    let socket = || {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(1 << 20).unwrap();
        socket.set_send_buffer_size(1 << 20).unwrap();
        socket
    };
    let (listener, far) = (socket(), socket());
    listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    listener.listen(1).unwrap();
    far.connect(&listener.local_addr().unwrap()).unwrap();
    let (near, far) = (TcpStream::from(listener.accept().unwrap().0), TcpStream::from(far));
    near.set_nonblocking(true).unwrap();
    for stream in [&near, &far] {
        stream.set_nodelay(true).unwrap();
    }
    (near, far)
}

/// Moves portions of `octets` from one connection to the other by `carry`; the time of that alone.
fn portions(octets: usize, count: u64, mut carry: impl FnMut(&TcpStream, &TcpStream)) -> Duration {
    let ((source, mut says), (sink, mut hears)) = (pair(), pair());
    let text = vec![7; octets];
    let mut heard = vec![0; octets];
    let mut spent = Duration::ZERO;
    for _ in 0..count {
        says.write_all(&text).unwrap();
        while source.peek(&mut heard).unwrap_or(0) < octets {}
        let began = Instant::now();
        carry(&source, &sink);
        spent += began.elapsed();
        hears.read_exact(&mut heard).unwrap();
    }
    spent
}

fn carriers(criterion: &mut Criterion) {
    let mut buffer = vec![0; 256 * 1024];
    for octets in SIZES {
        let mut group = criterion.benchmark_group(format!("relay/{octets}"));
        group.throughput(Throughput::Bytes(octets as u64));
        group.bench_function("copy", |bencher| {
            bencher.iter_custom(|count| {
                portions(octets, count, |mut source, mut sink| {
                    let read = source.read(&mut buffer).unwrap();
                    assert_eq!((read, sink.write(&buffer[..read]).unwrap()), (octets, octets));
                })
            });
        });
        let pipe = Pipe::new(256 * 1024).unwrap();
        group.bench_function("splice", |bencher| {
            bencher.iter_custom(|count| {
                portions(octets, count, |source, sink| {
                    assert_eq!(pipe.fill(source, octets).unwrap(), octets);
                    let mut left = octets;
                    while left > 0 {
                        left -= pipe.drain(sink, left).unwrap();
                    }
                })
            });
        });
        group.finish();
    }
}

/// From a message to a portion.
const SIZES: [usize; 7] = [64, 4096, 16_384, 32_768, 65_536, 131_072, 262_144];

criterion_group!(benches, carriers);
criterion_main!(benches);
