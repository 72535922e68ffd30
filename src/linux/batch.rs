//! Datagrams in batches: recvmmsg(2) and sendmmsg(2).
//!
//! Both stop at the first datagram that there is none of, no room for, or no way to. What is left over of
//! a batch to be received says that the socket is empty, which spares the call that would say so. The
//! error of one to be sent is lost when others have left before it, so it is tried once more, as the first.

use std::cell::RefCell;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;

use mio::net::UdpSocket;
use nix::errno::Errno;
use nix::sys::socket::{
    ControlMessage, MsgFlags, MultiHeaders, SockaddrIn, SockaddrIn6, SockaddrLike, recvmmsg,
    sendmmsg,
};
use smallvec::SmallVec;

/// Room for datagrams that come together, each with `FRONT` octets free in front of it, so that what is
/// to be said before it need not be copied. Memory is taken as it is written to: short datagrams take a
/// page each of their places.
#[derive(Debug, Default)]
pub struct Batch<const FRONT: usize> {
    room: Vec<u8>,
    came: SmallVec<[Came; BATCH_MAX]>,
}

thread_local! {
    // Where the kernel puts addresses and lengths: kept, so that a datagram that comes alone needs no
    // memory that is to be found and freed. They are full of pointers, and stay on their thread.
    static HEADERS_V4: Headers<SockaddrIn> =
        RefCell::new(MultiHeaders::preallocate(BATCH_MAX, None));
    static HEADERS_V6: Headers<SockaddrIn6> =
        RefCell::new(MultiHeaders::preallocate(BATCH_MAX, None));
}

type Headers<S> = RefCell<MultiHeaders<S>>;

/// A datagram that lies in its place.
#[derive(Debug)]
struct Came {
    source: SocketAddr,
    /// Where in its place it begins, and ends.
    start: usize,
    end: usize,
}

/// A datagram that is to leave.
#[derive(Clone, Copy, Debug)]
pub struct Parcel<'b> {
    /// Where to; of the family of the socket.
    pub to: SocketAddr,
    /// What is in it.
    pub octets: &'b [u8],
}

impl<const FRONT: usize> Batch<FRONT> {
    /// Takes what has come to a socket that is bound to an address of a family, at most so many and at
    /// most [`BATCH_MAX`]; how many.
    ///
    /// # Errors
    /// What recvmmsg(2) says when nothing was taken: there is nothing now, or one datagram was lost.
    pub fn receive(&mut self, socket: &UdpSocket, ipv4: bool, most: usize) -> io::Result<usize> {
        self.came.clear();
        if self.room.is_empty() {
            // Zeroed by the kernel, when it is touched.
            self.room = vec![0; PLACES_OCTETS];
        }
        if ipv4 {
            HEADERS_V4.with_borrow_mut(|headers| self.receive_by(headers, socket, most))
        } else {
            HEADERS_V6.with_borrow_mut(|headers| self.receive_by(headers, socket, most))
        }
    }

    fn receive_by<S>(
        &mut self,
        headers: &mut MultiHeaders<S>,
        socket: &UdpSocket,
        most: usize,
    ) -> io::Result<usize>
    where
        S: SockaddrLike + Copy + Into<SocketAddr>,
    {
        let mut places = self.room.chunks_exact_mut(PLACE_OCTETS).take(most);
        let mut places: [[IoSliceMut<'_>; 1]; BATCH_MAX] = std::array::from_fn(|_| {
            let place = places.next().and_then(|place| place.get_mut(FRONT..));
            [IoSliceMut::new(place.unwrap_or_default())]
        });
        let asked = places.iter_mut().take(most);
        let flags = MsgFlags::MSG_DONTWAIT;
        let received = recvmmsg(socket.as_raw_fd(), headers, asked, flags, None)?;
        self.came.extend(received.map_while(|one| {
            let source = one.address?.into();
            Some(Came { source, start: FRONT, end: FRONT + one.bytes })
        }));
        Ok(self.came.len())
    }

    /// Where the datagrams came from, in their order.
    pub fn sources(&self) -> impl Iterator<Item = SocketAddr> {
        self.came.iter().map(|came| came.source)
    }

    /// The datagrams, in their order; with what was written in front of them.
    pub fn datagrams(&self) -> impl Iterator<Item = &[u8]> {
        let places = self.room.chunks_exact(PLACE_OCTETS);
        places.zip(&self.came).map(|(place, came)| &place[came.start..came.end])
    }

    /// How long they are, in their order, without what was written in front of them.
    pub fn lengths(&self) -> impl Iterator<Item = usize> {
        self.came.iter().map(|came| came.end - FRONT)
    }

    /// Has something written in front of each datagram, by what is told where it came from and gets the
    /// octets before it: it answers where of these its own begin.
    pub fn head(&mut self, mut write: impl FnMut(SocketAddr, &mut [u8; FRONT]) -> usize) {
        let places = self.room.chunks_exact_mut(PLACE_OCTETS);
        for (place, came) in places.zip(&mut self.came) {
            if let Some(front) = place.first_chunk_mut() {
                came.start = write(came.source, front).min(FRONT);
            }
        }
    }
}

/// Sends datagrams by a socket that is bound to an address of a family, and tells what became of each, in
/// their order.
pub fn send(
    socket: &UdpSocket,
    ipv4: bool,
    parcels: &[Parcel<'_>],
    mut tell: impl FnMut(io::Result<()>),
) {
    let mut left = parcels;
    while !left.is_empty() {
        match left {
            // The plain call costs less.
            [one] => {
                tell(socket.send_to(one.octets, one.to).map(|_| ()));
                left = &[];
            }
            _ => {
                let sent = if ipv4 {
                    send_to::<SockaddrIn>(socket, left, |to| match to {
                        SocketAddr::V4(to) => Some(to.into()),
                        SocketAddr::V6(_) => None,
                    })
                } else {
                    send_to::<SockaddrIn6>(socket, left, |to| match to {
                        SocketAddr::V6(to) => Some(to.into()),
                        SocketAddr::V4(_) => None,
                    })
                };
                let told = match sent {
                    Ok(0) => {
                        tell(Err(Errno::EAGAIN.into()));
                        1
                    }
                    Ok(sent) => {
                        (0..sent).for_each(|_| tell(Ok(())));
                        sent
                    }
                    Err(error) => {
                        tell(Err(error));
                        1
                    }
                };
                left = left.get(told..).unwrap_or_default();
            }
        }
    }
}

fn send_to<S: SockaddrLike + Copy>(
    socket: &UdpSocket,
    parcels: &[Parcel<'_>],
    address: impl Fn(SocketAddr) -> Option<S>,
) -> io::Result<usize> {
    let many = parcels.len().min(BATCH_MAX);
    let mut headers = MultiHeaders::<S>::preallocate(many, None);
    let octets: [[IoSlice<'_>; 1]; BATCH_MAX] = std::array::from_fn(|at| {
        [IoSlice::new(parcels.get(at).map_or(&[], |parcel| parcel.octets))]
    });
    let to: SmallVec<[Option<S>; BATCH_MAX]> =
        parcels[..many].iter().map(|parcel| address(parcel.to)).collect();
    let (fd, flags) = (socket.as_raw_fd(), MsgFlags::MSG_DONTWAIT);
    let no_messages: [ControlMessage<'_>; 0] = [];
    Ok(sendmmsg(fd, &mut headers, octets.iter(), &to, no_messages, flags)?.count())
}

/// Datagrams that are received or sent by one call at most.
pub const BATCH_MAX: usize = 16;
/// Octets of a place: room for the longest datagram that there can be (RFC 768) and for what stands in
/// front of it. Places begin at different octets of their pages, so that the beginnings of short
/// datagrams, which is all that is touched, do not compete for the same lines of a cache.
const PLACE_OCTETS: usize = FRONT_OCTETS_MAX + 65_536;
const FRONT_OCTETS_MAX: usize = 64;
const PLACES_OCTETS: usize = BATCH_MAX * PLACE_OCTETS;

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;
    use crate::linux::allocations;
    use crate::linux::datagram::bind;

    fn send(socket: &UdpSocket, ipv4: bool, parcels: &[Parcel<'_>]) -> Vec<io::Result<()>> {
        let mut results = Vec::new();
        super::send(socket, ipv4, parcels, |result| results.push(result));
        results
    }

    fn pair(address: &str) -> (UdpSocket, UdpSocket, SocketAddr) {
        let [one, other] = [address; 2].map(|address| bind(address.parse().unwrap()).unwrap());
        let to = other.local_addr().unwrap();
        (one, other, to)
    }

    #[test]
    fn they_come_as_they_left_with_room_in_front_whatever_their_length() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let (from, socket, to) = pair(address);
            let lengths = [1, 0, 1500, 60_000, 3];
            let sent: Vec<Vec<u8>> =
                (1..).zip(lengths).map(|(octet, length)| vec![octet; length]).collect();
            let parcels: Vec<_> = sent.iter().map(|octets| Parcel { to, octets }).collect();
            assert!(send(&from, to.is_ipv4(), &parcels).iter().all(Result::is_ok));
            let mut batch = Batch::<22>::default();
            assert_eq!(batch.receive(&socket, to.is_ipv4(), BATCH_MAX).unwrap(), sent.len());
            assert!(batch.sources().all(|source| source == from.local_addr().unwrap()));
            assert!(batch.datagrams().eq(&sent));
            batch.head(|_, front| {
                front[20..].copy_from_slice(b"ab");
                20
            });
            assert!(batch.datagrams().zip(&sent).all(|(datagram, octets)| {
                datagram.strip_prefix(b"ab") == Some(octets.as_slice())
            }));
            let nothing = batch.receive(&socket, to.is_ipv4(), BATCH_MAX).unwrap_err();
            assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
            assert_eq!(batch.datagrams().count(), 0);
        }
    }

    #[test]
    fn no_more_come_than_are_asked_for() {
        let (from, socket, to) = pair("127.0.0.1:0");
        let parcels = [b"a", b"b", b"c"].map(|octets| Parcel { to, octets });
        assert_eq!(send(&from, true, &parcels).len(), 3);
        let mut batch = Batch::<0>::default();
        assert_eq!(batch.receive(&socket, true, 2).unwrap(), 2);
        assert_eq!(batch.receive(&socket, true, 2).unwrap(), 1);
        assert!(batch.datagrams().eq([b"c"]));
    }

    #[test]
    fn the_longest_datagram_is_whole() {
        let (from, socket, to) = pair("127.0.0.1:0");
        let longest: Vec<u8> = (0..65_507).map(|at| (at % 251) as u8).collect();
        let parcels = [Parcel { to, octets: &longest }, Parcel { to, octets: b"next" }];
        assert!(send(&from, true, &parcels).iter().all(Result::is_ok));
        let mut batch = Batch::<22>::default();
        assert_eq!(batch.receive(&socket, true, BATCH_MAX).unwrap(), 2);
        assert!(batch.datagrams().eq([longest.as_slice(), b"next"]));
    }

    #[test]
    fn what_cannot_leave_is_told_of_itself_and_the_others_leave() {
        let (from, socket, to) = pair("127.0.0.1:0");
        let (too_long, v6) = (vec![0; 65_508], SocketAddr::from((Ipv6Addr::LOCALHOST, 9)));
        let parcels = [
            Parcel { to, octets: b"a" },
            Parcel { to, octets: &too_long },
            Parcel { to, octets: &too_long },
            Parcel { to, octets: b"b" },
            Parcel { to: v6, octets: b"x" },
            Parcel { to, octets: b"c" },
            Parcel { to, octets: &too_long },
        ];
        let results = send(&from, true, &parcels);
        let told: Vec<bool> = results.iter().map(Result::is_ok).collect();
        assert_eq!(told, [true, false, false, true, false, true, false]);
        assert_eq!(results[1].as_ref().unwrap_err().raw_os_error(), Some(90), "EMSGSIZE");
        let mut batch = Batch::<0>::default();
        assert_eq!(batch.receive(&socket, true, BATCH_MAX).unwrap(), 3);
        assert!(batch.datagrams().eq([b"a", b"b", b"c"]));
    }

    #[test]
    fn one_that_comes_and_leaves_alone_asks_for_no_memory() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let (from, socket, to) = pair(address);
            let mut batch = Batch::<22>::default();
            let mut pass = || {
                let before = allocations::count();
                let parcel = Parcel { to, octets: b"x" };
                super::send(&from, to.is_ipv4(), &[parcel], |sent| sent.unwrap());
                assert_eq!(batch.receive(&socket, to.is_ipv4(), 2).unwrap(), 1);
                assert!(batch.datagrams().eq([b"x"]));
                allocations::count() - before
            };
            assert!(pass() > 0, "its places");
            assert_eq!([pass(), pass()], [0; 2]);
        }
    }
}
