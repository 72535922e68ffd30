//! The origin: one thread, one port. The first octet of a connection says what it does with it.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use rustix::event::epoll::EventFlags;

use super::ears::Ears;
use super::process::pin;

/// Sends back what it receives.
pub(crate) const ECHO: u8 = b'E';
/// Drops what it receives.
pub(crate) const SINK: u8 = b'S';
/// Sends for ever.
pub(crate) const SOURCE: u8 = b'D';
/// Sends for ever, and drops what it receives.
pub(crate) const BOTH: u8 = b'B';

struct Guest {
    stream: TcpStream,
    task: u8,
    /// Octets to be echoed that the socket did not take.
    unsent: Vec<u8>,
}

/// Starts the thread on the first core; answers where it listens.
pub(crate) fn start() -> io::Result<SocketAddr> {
    let listener = super::ears::listener()?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        pin(0);
        if let Err(error) = serve(&listener) {
            eprintln!("the origin failed: {error}");
        }
    });
    Ok(address)
}

fn serve(listener: &TcpListener) -> io::Result<()> {
    let mut ears = Ears::new()?;
    let mut guests: Vec<Option<Guest>> = Vec::new();
    let mut free = Vec::new();
    ears.add(listener, LISTENER, EventFlags::IN)?;
    let mut buffer = vec![0; CHUNK];
    loop {
        for (token, flags) in ears.wait(None)? {
            if token == LISTENER {
                let Ok((stream, _)) = listener.accept() else { continue };
                stream.set_nonblocking(true)?;
                stream.set_nodelay(true)?;
                let slot = free.pop().unwrap_or(guests.len());
                ears.add(&stream, slot as u64, EventFlags::IN)?;
                let guest = Some(Guest { stream, task: 0, unsent: Vec::new() });
                if slot == guests.len() {
                    guests.push(guest)
                } else {
                    guests[slot] = guest
                }
                continue;
            }
            let slot = token as usize;
            let Some(guest) = &mut guests[slot] else { continue };
            if turn(guest, token, flags, &ears, &mut buffer).is_err() {
                guests[slot] = None;
                free.push(slot);
            }
        }
    }
}

/// One read and one write; an error ends the connection.
fn turn(
    guest: &mut Guest,
    token: u64,
    flags: EventFlags,
    ears: &Ears,
    buffer: &mut [u8],
) -> io::Result<()> {
    if flags.contains(EventFlags::OUT) {
        if guest.task == ECHO {
            let sent = guest.stream.write(&guest.unsent)?;
            guest.unsent.drain(..sent);
            if guest.unsent.is_empty() {
                ears.change(&guest.stream, token, EventFlags::IN)?;
            }
            return Ok(());
        }
        pass(guest.stream.write(buffer))?;
    }
    if !flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
        return Ok(());
    }
    let read = match pass(guest.stream.read(buffer))? {
        Some(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
        Some(read) => read,
        None => return Ok(()),
    };
    if guest.task == 0 {
        guest.task = buffer[0];
        if guest.task == SOURCE || guest.task == BOTH {
            ears.change(&guest.stream, token, EventFlags::IN | EventFlags::OUT)?;
        }
    }
    if guest.task == ECHO {
        let sent = pass(guest.stream.write(&buffer[..read]))?.unwrap_or(0);
        if sent < read {
            guest.unsent.extend_from_slice(&buffer[sent..read]);
            ears.change(&guest.stream, token, EventFlags::OUT)?;
        }
    }
    Ok(())
}

/// `None` where the socket would block.
pub(crate) fn pass(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Ok(octets) => Ok(Some(octets)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

const LISTENER: u64 = u64::MAX;
/// Octets read or written at a time.
pub(crate) const CHUNK: usize = 128 * 1024;
