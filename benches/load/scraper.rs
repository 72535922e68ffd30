//! Somebody who asks for metrics and statistics ten times a second.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// It asks until it is dropped.
pub(crate) struct Scraper {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Scraper {
    /// Begins to ask.
    pub(crate) fn start(api: SocketAddr) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&over);
        let thread = thread::spawn(move || {
            while !told.load(Ordering::Relaxed) {
                for path in ["/metrics", "/api/sessions/stats"] {
                    if let Err(error) = ask(api, path) {
                        eprintln!("{path}: {error}");
                    }
                }
                thread::park_timeout(PAUSE);
            }
        });
        Self { over, thread: Some(thread) }
    }
}

impl Drop for Scraper {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It prints what goes wrong itself.
            drop(thread.join());
        }
    }
}

fn ask(api: SocketAddr, path: &str) -> io::Result<()> {
    let mut stream = TcpStream::connect(api)?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {api}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    if answer.starts_with("HTTP/1.1 200") { Ok(()) } else { Err(io::Error::other(answer)) }
}

const PAUSE: Duration = Duration::from_millis(100);
