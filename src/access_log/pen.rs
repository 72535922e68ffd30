//! Where lines go, opened.
//!
//! The journal is spoken to in its own protocol (systemd's "Native Journal Protocol"): a datagram of
//! `NAME=value` lines to a socket that it has at a fixed place. A value without line ends needs no
//! length before it, and ours have none.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use crate::linux::heir::give_to_owner_of;

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The end of this file, which is made where there is none.
    File(PathBuf),
    /// Where the process says everything else.
    Stderr,
    /// systemd's journal, at this socket.
    Journal(PathBuf),
}

impl Place {
    /// Reads `stderr`, `journal`, or the path of a file.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text {
            "stderr" => Self::Stderr,
            "journal" => Self::Journal(JOURNAL.into()),
            path => Self::File(path.into()),
        }
    }
}

/// A place that is open.
#[derive(Debug)]
pub(super) struct Pen {
    place: Place,
    paper: Paper,
    /// The last line was not written to its end.
    torn: bool,
}

#[derive(Debug)]
enum Paper {
    File(File),
    Stderr,
    Journal(UnixDatagram),
}

/// Lines that were not written.
#[derive(Debug)]
pub(super) struct Unwritten {
    pub(super) lines: u64,
    pub(super) why: io::Error,
}

impl Pen {
    pub(super) fn new(place: Place) -> io::Result<Self> {
        let paper = open(&place)?;
        Ok(Self { place, paper, torn: false })
    }

    /// Opens the place anew: its file may have been renamed. On failure the one that is open is kept.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        self.paper = open(&self.place)?;
        self.torn = false;
        Ok(())
    }

    /// Writes lines, each with its end.
    pub(super) fn write(&mut self, lines: &[u8]) -> Result<(), Unwritten> {
        match &mut self.paper {
            Paper::File(file) => put(file, lines, &mut self.torn),
            Paper::Stderr => put(&mut io::stderr().lock(), lines, &mut self.torn),
            Paper::Journal(_) => self.tell_journal(lines),
        }
    }

    fn tell_journal(&mut self, lines: &[u8]) -> Result<(), Unwritten> {
        let mut unwritten: Option<Unwritten> = None;
        let mut message = Vec::new();
        for line in lines.split(|octet| *octet == b'\n').filter(|line| !line.is_empty()) {
            message.clear();
            message.extend_from_slice(b"PRIORITY=6\nSYSLOG_IDENTIFIER=rustsocks\nMESSAGE=");
            message.extend_from_slice(line);
            message.push(b'\n');
            if let Err(why) = self.send(&message) {
                let before = unwritten.map_or(0, |it| it.lines);
                unwritten = Some(Unwritten { lines: before + 1, why });
            }
        }
        unwritten.map_or(Ok(()), Err)
    }

    /// Sends a datagram, over a new socket if the journal has been restarted.
    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        for attempt in 0.. {
            let Paper::Journal(socket) = &self.paper else { break };
            match socket.send(message) {
                Ok(_) => break,
                Err(error) if attempt == 0 && GONE.contains(&error.kind()) => self.reopen()?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn open(place: &Place) -> io::Result<Paper> {
    Ok(match place {
        Place::File(path) => Paper::File(open_file(path)?),
        Place::Stderr => Paper::Stderr,
        Place::Journal(path) => {
            let socket = UnixDatagram::unbound()?;
            socket.connect(path)?;
            // A journal that is behind costs lines, not time.
            socket.set_nonblocking(true)?;
            Paper::Journal(socket)
        }
    })
}

fn open_file(path: &Path) -> io::Result<File> {
    let mut file = OpenOptions::new();
    file.append(true).mode(FILE_MODE);
    match file.clone().create_new(true).open(path) {
        // Whatever the mask for all other files is: the group is let in to ship the log.
        // A file system that keeps no modes (vfat, CIFS) takes lines all the same.
        Ok(new) => {
            if let Err(error) = new.set_permissions(Permissions::from_mode(FILE_MODE)) {
                tracing::debug!("{} has the mode of its file system: {error}", path.display());
            }
            if let Some(directory) = path.parent() {
                give_to_owner_of(directory, &new);
            }
            Ok(new)
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => file.create(true).open(path),
        Err(error) => Err(error),
    }
}

/// Writes lines to their end, or says how many are not. After a line that was torn by a failure the next
/// begins on a line of its own.
fn put(to: &mut impl Write, lines: &[u8], torn: &mut bool) -> Result<(), Unwritten> {
    if *torn {
        to.write_all(b"\n").map_err(|why| Unwritten { lines: count(lines), why })?;
        *torn = false;
    }
    let mut rest = lines;
    while !rest.is_empty() {
        let why = match to.write(rest) {
            Ok(0) => io::Error::from(ErrorKind::WriteZero),
            Ok(taken) => {
                rest = rest.get(taken..).unwrap_or_default();
                continue;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => error,
        };
        let written = lines.len() - rest.len();
        *torn = written > 0 && lines.get(written - 1) != Some(&b'\n');
        return Err(Unwritten { lines: count(rest), why });
    }
    Ok(())
}

fn count(lines: &[u8]) -> u64 {
    lines.iter().filter(|octet| **octet == b'\n').count() as u64
}

/// Errors of a journal that has another socket by now.
const GONE: [ErrorKind; 3] =
    [ErrorKind::ConnectionRefused, ErrorKind::NotConnected, ErrorKind::ConnectionReset];
/// Lines tell who went where: not for everybody.
const FILE_MODE: u32 = 0o640;
const JOURNAL: &str = "/run/systemd/journal/socket";

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes so many octets and then nothing.
    struct Full(Vec<u8>, usize);

    impl Write for Full {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            let room = self.1.saturating_sub(self.0.len()).min(octets.len());
            if room == 0 {
                return Err(io::Error::from(ErrorKind::StorageFull));
            }
            self.0.extend_from_slice(&octets[..room]);
            Ok(room)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_is_not_written_is_counted_and_a_torn_line_stays_alone() {
        let (mut disk, mut torn) = (Full(Vec::new(), 6), false);
        let unwritten = put(&mut disk, b"one\ntwo\nthree\n", &mut torn).unwrap_err();
        assert_eq!((unwritten.lines, torn), (2, true));
        assert_eq!(put(&mut disk, b"four\n", &mut torn).unwrap_err().lines, 1);
        disk.1 = 100;
        put(&mut disk, b"five\n", &mut torn).unwrap();
        assert_eq!((disk.0.as_slice(), torn), (b"one\ntw\nfive\n".as_slice(), false));
    }

    #[test]
    fn the_journal_gets_a_datagram_for_each_line_also_when_it_was_restarted() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let place = Place::Journal(path.clone());
        assert!(Pen::new(place.clone()).is_err(), "there is no journal");
        let mut journal = UnixDatagram::bind(&path).unwrap();
        let mut pen = Pen::new(place).unwrap();
        let mut octets = [0; 256];
        for _ in 0..2 {
            pen.write(b"a MESSAGE=x\nb\n").unwrap();
            for line in ["a MESSAGE=x", "b"] {
                let length = journal.recv(&mut octets).unwrap();
                let text = str::from_utf8(&octets[..length]).unwrap();
                let expected = format!("PRIORITY=6\nSYSLOG_IDENTIFIER=rustsocks\nMESSAGE={line}\n");
                assert_eq!(text, expected);
            }
            drop(journal);
            std::fs::remove_file(&path).unwrap();
            journal = UnixDatagram::bind(&path).unwrap();
        }
        drop(journal);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(pen.write(b"lost\nand lost\n").unwrap_err().lines, 2);
    }
}
