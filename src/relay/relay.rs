//! The relay between two ends.

use super::carrier::{Carrier, Fault, Pause, carry};
use super::end::{Direction, End, Meter, RelayEnd, Side, is_reset};
use super::flow::Flow;
use super::held::Held;
use super::stash::{Stash, StashPool};

/// Two flows, and what is known of how they end.
///
/// It owns no socket: ends are lent to [`Relay::advance`] each time, always the same two. A relay that
/// is given up before it has ended is to be [released](Relay::release).
pub struct Relay {
    upload: Flow,
    download: Flow,
    /// The side whose FIN was read first.
    closed_first: Option<Side>,
    /// The first failure of a socket; it decides how the relay ends.
    fault: Option<RelayEnd>,
    /// Whether its last portion of each direction was cut short by its budget.
    spent: [bool; 2],
    /// Whether the upload has to wait, with what it holds.
    upload_waits: bool,
}

/// Octets that may be read in each direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// From the client.
    pub upload: usize,
    /// From the upstream.
    pub download: usize,
}

impl From<usize> for Budget {
    /// So many in each.
    fn from(octets: usize) -> Self {
        Self { upload: octets, download: octets }
    }
}

/// What [`Relay::advance`] achieved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advance {
    /// Nothing more to do until an end becomes ready.
    Waiting,
    /// A budget is used up: call again, without waiting for readiness.
    Again,
    /// Both directions are over, nothing is left to deliver.
    Ended(RelayEnd),
}

impl Relay {
    /// A relay that delivers `early_upload`, what the client sent ahead of the reply, to the upstream
    /// before anything else.
    #[must_use]
    pub fn new(early_upload: &[u8], pool: &mut StashPool) -> Self {
        Self {
            upload: Flow::new(Stash::keep(early_upload, pool).map(Held::Stash)),
            download: Flow::new(None),
            closed_first: None,
            fault: None,
            spent: [false; 2],
            upload_waits: false,
        }
    }

    /// Leaves the upload alone, also what it holds, until it is told otherwise.
    pub fn hold_upload(&mut self, waits: bool) {
        self.upload_waits = waits;
    }

    /// Carries both directions on as far as their ends allow, reading at most `budget` octets
    /// ([`BYTES_PER_TURN`](super::BYTES_PER_TURN) as a rule) in each, so that neither direction can
    /// starve the other.
    ///
    /// Whether anything moved is what `meter` heard. After [`Advance::Ended`] the relay owns nothing,
    /// and further calls answer the same.
    pub fn advance<C: End, U: End, M: Meter>(
        &mut self,
        client: &mut C,
        upstream: &mut U,
        carrier: &mut Carrier,
        budget: impl Into<Budget>,
        meter: &mut M,
    ) -> Advance {
        let budget = budget.into();
        let ends = (&mut *client, &mut *upstream);
        let upload = match self.upload_waits {
            true => Ok(Pause::Waiting),
            false => carry(&mut self.upload, ends, carrier, budget.upload, |octets| {
                meter.moved(Direction::Upload, octets);
            }),
        };
        let upload = self.judge(upload, Side::Client, Side::Upstream, carrier);

        let ends = (upstream, client);
        let download = carry(&mut self.download, ends, carrier, budget.download, |octets| {
            meter.moved(Direction::Download, octets);
        });
        let download = self.judge(download, Side::Upstream, Side::Client, carrier);

        self.spent = [upload, download].map(|pause| pause == Pause::Again);
        if let Some(end) = self.end() {
            Advance::Ended(end)
        } else if upload == Pause::Again || download == Pause::Again {
            Advance::Again
        } else {
            Advance::Waiting
        }
    }

    /// Whether the last portion of upload and of download were cut short by the budget.
    #[must_use]
    pub const fn spent(&self) -> [bool; 2] {
        self.spent
    }

    /// Octets have come in large portions for a while, in one direction at least.
    #[must_use]
    pub fn is_heavy(&self) -> bool {
        self.upload.is_heavy() || self.download.is_heavy()
    }

    /// One direction has been finished by FIN and the other goes on.
    #[must_use]
    pub fn half_closed(&self) -> bool {
        self.upload.is_finished() != self.download.is_finished()
    }

    /// A socket has failed, but something that was accepted before is still to be delivered: how
    /// the relay will end, and has to be ended by the caller if that takes too long.
    #[must_use]
    pub fn failing(&self) -> Option<RelayEnd> {
        self.fault
    }

    /// Octets of `direction` that were read and not yet accepted by their sink.
    #[must_use]
    pub fn held(&self, direction: Direction) -> usize {
        match direction {
            Direction::Upload => self.upload.held(),
            Direction::Download => self.download.held(),
        }
    }

    /// Gives the relay up: its blocks go back to the pool, its pipes are closed.
    pub fn release(mut self, carrier: &mut Carrier) {
        for flow in [&mut self.upload, &mut self.download] {
            if let Some(held) = flow.take_held() {
                carrier.discard(held);
            }
        }
    }

    fn judge(
        &mut self,
        carried: Result<Pause, Fault>,
        source: Side,
        sink: Side,
        carrier: &mut Carrier,
    ) -> Pause {
        let pause = match carried {
            Ok(pause) => pause,
            Err(Fault::Source(error)) => self.fail(source, error.kind(), false, carrier),
            // What this peer had sent before it was lost lies in the kernel, acknowledged: it is
            // still read and delivered. Other failures promise no end of reading.
            Err(Fault::Sink(error)) => {
                let kind = error.kind();
                let gone = is_reset(kind) || kind == std::io::ErrorKind::TimedOut;
                self.fail(sink, kind, gone, carrier)
            }
        };
        let flow = match source {
            Side::Client => &self.upload,
            Side::Upstream => &self.download,
        };
        if flow.has_source_ended() {
            self.closed_first.get_or_insert(source);
        }
        pause
    }

    /// A socket has failed: the flow towards it is over, the flow from it delivers what it has, and
    /// with `read_on` what can still be read.
    fn fail(
        &mut self,
        side: Side,
        kind: std::io::ErrorKind,
        read_on: bool,
        carrier: &mut Carrier,
    ) -> Pause {
        self.fault.get_or_insert(RelayEnd::failed(side, kind));
        let (from, to) = match side {
            Side::Client => (&mut self.upload, &mut self.download),
            Side::Upstream => (&mut self.download, &mut self.upload),
        };
        if let Some(held) = to.sink_broke() {
            carrier.discard(held);
        }
        if read_on {
            from.source_lost();
        } else {
            from.source_broke();
        }
        Pause::Waiting
    }

    fn end(&self) -> Option<RelayEnd> {
        if !(self.upload.is_over() && self.download.is_over()) {
            return None;
        }
        self.fault.or_else(|| self.closed_first.map(RelayEnd::closed))
    }
}

// Every relaying connection carries one.
const _: () = assert!(size_of::<Relay>() <= 96);
