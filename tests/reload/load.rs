//! What goes on while rules are reloaded.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use super::harness::client::Client;
use super::harness::origin::Origin;
use super::harness::proxy::Proxy;
use super::harness::wait_for;

/// Sessions that move octets until they are told to stop, each compared with its echo.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    moved: Arc<AtomicU64>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Load {
    pub(crate) fn start(proxy: &Proxy, origin: &Origin, threads: usize, sessions: usize) -> Self {
        let (stop, moved) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let threads = (0..threads).map(|number| {
            let (stop, moved) = (Arc::clone(&stop), Arc::clone(&moved));
            let mut clients: Vec<Client> =
                (0..sessions).map(|_| Client::connected(proxy.socks, origin.address)).collect();
            thread::spawn(move || {
                let mut seed = u8::try_from(number).unwrap();
                while !stop.load(Ordering::Relaxed) {
                    for client in &mut clients {
                        seed = seed.wrapping_mul(31).wrapping_add(7);
                        let octets = vec![seed; 1 + usize::from(seed) * 64];
                        client.send(&octets);
                        assert!(client.receive(octets.len()) == octets, "an octet was lost");
                        moved.fetch_add(octets.len() as u64, Ordering::Relaxed);
                    }
                }
                for client in &mut clients {
                    client.finish();
                    assert!(client.receive_all().is_empty(), "nothing comes behind the last echo");
                }
            })
        });
        let threads = threads.collect();
        Self { stop, moved, threads }
    }

    pub(crate) fn wait_for_progress(&self) {
        let before = self.moved.load(Ordering::Relaxed);
        wait_for("octets to move", || {
            (self.moved.load(Ordering::Relaxed) > before + 1_000_000).then_some(())
        });
    }

    /// Ends it; what it has moved one way.
    pub(crate) fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().expect("no allowed session was harmed");
        }
        self.moved.load(Ordering::Relaxed)
    }
}
