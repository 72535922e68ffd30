//! Short sessions through a proxy, one after the other, as long as they are wanted.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use super::harness::client;
use super::harness::{PATIENCE, wait_for};

/// Clients at work.
pub(crate) struct Load {
    counts: Arc<Counts>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Counts {
    over: AtomicBool,
    done: AtomicU64,
    failed: AtomicU64,
}

impl Load {
    pub(crate) fn start(proxy: SocketAddr, origin: SocketAddr) -> Self {
        let counts = Arc::new(Counts::default());
        let threads = (0..CLIENTS)
            .map(|_| {
                let counts = Arc::clone(&counts);
                thread::spawn(move || {
                    while !counts.over.load(Relaxed) {
                        match session(proxy, origin) {
                            Ok(()) => counts.done.fetch_add(1, Relaxed),
                            Err(_) => counts.failed.fetch_add(1, Relaxed),
                        };
                    }
                })
            })
            .collect();
        Self { counts, threads }
    }

    /// Waits until so many more sessions are done; answers how many a second those were.
    #[track_caller]
    pub(crate) fn wait_for_more(&self, sessions: u64) -> f64 {
        let (began, before) = (Instant::now(), self.counts.done.load(Relaxed));
        wait_for("more sessions", || {
            (self.counts.done.load(Relaxed) >= before + sessions).then_some(())
        });
        let done = self.counts.done.load(Relaxed) - before;
        done as f64 / began.elapsed().as_secs_f64()
    }

    /// Ends it; answers how many sessions were done, all of them well.
    pub(crate) fn stop(self) -> i64 {
        self.counts.over.store(true, Relaxed);
        for thread in self.threads {
            thread.join().unwrap();
        }
        assert_eq!(self.counts.failed.load(Relaxed), 0, "sessions that failed");
        self.counts.done.load(Relaxed).try_into().unwrap()
    }
}

fn session(proxy: SocketAddr, origin: SocketAddr) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(proxy)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    let mut all = vec![5, 1, 0];
    all.extend(client::connect(origin));
    stream.write_all(&all)?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer)?;
    if answer[..4] != [5, 0, 5, 0] {
        return Err(std::io::Error::other("refused"));
    }
    stream.write_all(&[7; OCTETS])?;
    stream.shutdown(std::net::Shutdown::Write)?;
    let mut echoed = Vec::new();
    stream.read_to_end(&mut echoed)?;
    if echoed == [7; OCTETS] { Ok(()) } else { Err(std::io::Error::other("another echo")) }
}

const CLIENTS: usize = 4;
/// Octets of each session, both ways.
pub(crate) const OCTETS: usize = 64;
