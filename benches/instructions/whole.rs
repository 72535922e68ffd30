//! The whole binary under callgrind, with clients and an origin that are not counted.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::callgrind;
use super::contender::{Contender, Way};
use super::origin::{self, ECHO, SOURCE};

/// All of them.
pub(crate) const NAMES: &[&str] = &[
    "a session: connect, 64 octets there and back, close",
    "a message of 64 octets there and back",
    BY_CHANCE,
];
/// The one that depends on how much comes at a time.
pub(crate) const BY_CHANCE: &str = "a MiB to the client";

/// Instructions for each.
pub(crate) fn count(contender: &Contender, name: &str) -> io::Result<u64> {
    let origin = origin::start()?;
    let many = match name {
        name if name == NAMES[0] => SESSIONS,
        name if name == NAMES[1] => MESSAGES,
        _ => MIB,
    };
    let counted = |many: u64| -> io::Result<u64> {
        let directory = tempfile::tempdir()?;
        let out = directory.path().join("out");
        let counted = Contender {
            name: contender.name.clone(),
            command: contender
                .command
                .as_ref()
                .map(|command| format!("{} {command}", callgrind::prefix(&out).join(" "))),
            config: contender.config.clone(),
            way: contender.way,
            scraped: false,
            all_cores: false,
        };
        let process = counted.start(origin)?;
        let open = || open(process.address, origin, contender.way);
        match name {
            name if name == NAMES[0] => {
                for _ in 0..many {
                    ping(&mut open()?)?;
                }
            }
            name if name == NAMES[1] => {
                let mut stream = open()?;
                for _ in 0..many {
                    ping(&mut stream)?;
                }
            }
            _ => {
                let mut portion = vec![0; 1 << 20];
                let mut stream = open()?;
                stream.write_all(&[SOURCE])?;
                for _ in 0..many {
                    stream.read_exact(&mut portion)?;
                }
            }
        }
        // It ends, and writes its figures.
        drop(process);
        callgrind::total(&out)
    };
    Ok(counted(2 * many)?.saturating_sub(counted(many)?) / many)
}

/// A connection by this way.
fn open(address: SocketAddr, origin: SocketAddr, way: Way) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    if way == Way::Socks5 {
        let SocketAddr::V4(origin) = origin else { return Err(io::ErrorKind::Unsupported.into()) };
        stream.write_all(b"\x05\x01\x00")?;
        stream.read_exact(&mut [0; 2])?;
        let mut request = b"\x05\x01\x00\x01".to_vec();
        request.extend(origin.ip().octets());
        request.extend(origin.port().to_be_bytes());
        stream.write_all(&request)?;
        let mut reply = [0; 10];
        stream.read_exact(&mut reply)?;
        if reply[1] != 0 {
            return Err(io::Error::other(format!("reply {}", reply[1])));
        }
    }
    Ok(stream)
}

fn ping(stream: &mut TcpStream) -> io::Result<()> {
    // The first octet is the origin's task.
    let mut message = [ECHO; 64];
    stream.write_all(&message)?;
    stream.read_exact(&mut message)
}

const SESSIONS: u64 = 500;
const MESSAGES: u64 = 2_000;
const MIB: u64 = 64;
/// A process under callgrind takes its time.
const PATIENCE: Duration = Duration::from_secs(20);
