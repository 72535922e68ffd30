//! TCP_INFO: what the kernel knows of one connection.
//!
//! getsockopt(2) copies a prefix of the kernel's `struct tcp_info` (linux/tcp.h), as long as the
//! shorter of its own and ours; fields are only ever appended to it. `Wire` is its prefix up to the
//! last field we read, so it does not depend on which fields a C library knows. A kernel too old for
//! a field (notsent: 4.6) leaves it 0.

use std::io;
use std::os::fd::AsFd;

use zerocopy::{FromBytes, IntoBytes, KnownLayout};

use super::socket_option::option;

/// What is worth knowing of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpInfo {
    /// Smoothed round trip time in microseconds.
    pub rtt_us: u32,
    /// Segments sent again, over the connection's life.
    pub retransmits: u32,
    /// Segments sent and not acknowledged, a FIN among them.
    pub unacked_segments: u32,
    /// Octets accepted from us and never sent.
    pub notsent_octets: u32,
}

impl TcpInfo {
    /// Asks the kernel about one TCP socket.
    ///
    /// # Errors
    /// Whatever getsockopt(2) says: not a TCP socket.
    pub fn of(socket: &impl AsFd) -> io::Result<Self> {
        let wire: Wire = option(socket, libc::IPPROTO_TCP, libc::TCP_INFO)?;
        Ok(Self {
            rtt_us: wire.rtt,
            retransmits: wire.total_retrans,
            unacked_segments: wire.unacked,
            notsent_octets: wire.notsent_bytes,
        })
    }

    /// Everything that was written has been sent, and the peer's kernel has it: an abort loses nothing.
    #[must_use]
    pub fn is_all_acknowledged(&self) -> bool {
        self.unacked_segments == 0 && self.notsent_octets == 0
    }
}

/// A prefix of the kernel's `struct tcp_info`.
#[repr(C)]
#[derive(FromBytes, IntoBytes, KnownLayout)]
struct Wire {
    state_to_wscale: [u8; 8],
    rto_to_rcv_mss: [u32; 4],
    unacked: u32,
    sacked_to_fackets: [u32; 4],
    last_data_sent_to_last_ack_recv: [u32; 4],
    pmtu_to_rcv_ssthresh: [u32; 2],
    rtt: u32,
    rttvar_to_rcv_space: [u32; 7],
    total_retrans: u32,
    pacing_rate_to_bytes_received: [u64; 4],
    segs_out_to_segs_in: [u32; 2],
    notsent_bytes: u32,
    min_rtt: u32,
}

const _: () = assert!(std::mem::offset_of!(Wire, unacked) == 24);
const _: () = assert!(std::mem::offset_of!(Wire, rtt) == 68);
const _: () = assert!(std::mem::offset_of!(Wire, total_retrans) == 100);
const _: () = assert!(std::mem::offset_of!(Wire, notsent_bytes) == 144);
const _: () = assert!(size_of::<Wire>() == 152);

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{Ipv4Addr, TcpListener, TcpStream};

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let dialled = crate::linux::socket::dial(
            listener.local_addr().unwrap(),
            &crate::linux::outgoing::Outgoing::default(),
        )
        .unwrap();
        (dialled.into(), listener.accept().unwrap().0)
    }

    #[test]
    fn our_prefix_is_the_c_librarys() {
        assert_eq!(std::mem::offset_of!(libc::tcp_info, tcpi_unacked), 24);
        assert_eq!(std::mem::offset_of!(libc::tcp_info, tcpi_rtt), 68);
        assert_eq!(std::mem::offset_of!(libc::tcp_info, tcpi_total_retrans), 100);
    }

    #[test]
    fn what_the_peer_does_not_take_is_seen_and_so_is_its_acknowledgement() {
        let (mut ours, mut theirs) = pair();
        let info = TcpInfo::of(&ours).unwrap();
        assert!(info.rtt_us > 0 && info.is_all_acknowledged(), "{info:?}");
        let mut sent = 0;
        while let Ok(written) = ours.write(&[1; 16 * 1024]) {
            sent += written;
        }
        let info = TcpInfo::of(&ours).unwrap();
        assert!(info.notsent_octets > 0 && !info.is_all_acknowledged(), "{info:?}");
        let mut buffer = vec![0; 64 * 1024];
        while sent > 0 {
            sent -= theirs.read(&mut buffer).unwrap();
        }
        let acknowledged =
            (0..1_000_000).any(|_| TcpInfo::of(&ours).unwrap().is_all_acknowledged());
        assert!(acknowledged);
    }

    #[test]
    fn a_socket_that_is_not_tcp_is_an_error() {
        let udp = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        assert!(TcpInfo::of(&udp).is_err());
    }
}
