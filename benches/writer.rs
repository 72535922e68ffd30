//! The writer against a bare loop of one prepared insert: the same schema, indexes, pragmas and size
//! of transactions, in one run, in turns. Ours goes the whole way: slots of the ledger, journal,
//! batch, commit, sums, slots freed; and checkpoints of long sessions besides, which the bare loop
//! does not write.
//!
//! ```sh
//! cargo bench --bench writer                        # on fresh databases
//! ROWS=5000000 cargo bench --bench writer           # on databases with 5 million rows
//! ROUNDS=9 SESSIONS=200000 USERS=10000 LIVE=5000 cargo bench --bench writer
//! ```
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a bench may block, read the clock and panic"
)]

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{Connection, Transaction, TransactionBehavior, params};
use rustsocks::acl::{Decision, Ruling};
use rustsocks::key::Key;
use rustsocks::session::{
    CHANNEL_ENTRIES_MAX, Command, Ending, IdSource, Journal, Ledger, Opening, Outcome, SessionRef,
    SessionSlot, Share, Stages, Table, Traffic, journal,
};
use rustsocks::stats::{Minutes, Record, UserSums, Windows, WriterGauges};
use rustsocks::store::{Claim, Location, StoreOptions, migrate};
use rustsocks::writer::{BATCH_ROWS_MAX, Options, Parts, Witness, Writer};

fn main() {
    // `cargo test --benches` wants to see that it runs, and no more.
    let tested = !std::env::args().any(|argument| argument == "--bench");
    let number = |name: &str, default: usize| {
        std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
    };
    let plan = Plan {
        rows: number("ROWS", 0),
        rounds: number("ROUNDS", if tested { 1 } else { 7 }),
        sessions: number("SESSIONS", if tested { 5000 } else { 100_000 }),
        users: number("USERS", 100),
        live: number("LIVE", 1000),
    };
    let directory = tempfile::tempdir_in(std::env::var("DIR").unwrap_or(".".to_owned())).unwrap();
    let (bare, ours) = (directory.path().join("bare.db"), directory.path().join("ours.db"));
    migrate(&url(&bare)).unwrap();
    let mut bare = Bare::open(&bare);
    let mut source = Source::new(plan.users);
    while bare.rows < plan.rows {
        bare.insert(&source.records(BATCH_ROWS_MAX));
    }
    std::fs::copy(directory.path().join("bare.db"), &ours).unwrap();
    let mut ours = Ours::start(&ours, plan.live);
    println!(
        "{} rows at first, rounds of {} sessions, {} users, {} live sessions checkpointed each {} s",
        bare.rows,
        plan.sessions,
        plan.users,
        plan.live,
        CHECKPOINT_INTERVAL.as_secs()
    );
    println!("            bare: rows/s  CPU µs    ours: rows/s  CPU µs    rate ratio  CPU ratio");
    let mut rounds = Vec::new();
    for round in 0..plan.rounds {
        let mut cost = Cost::default();
        let mut left = plan.sessions;
        while left > 0 {
            // Made just before, so that they are in the cache as ours are.
            let records = source.records(left.min(BATCH_ROWS_MAX));
            cost.add(&bare.insert(&records));
            left -= records.len();
        }
        let own = ours.write(&mut source, plan.sessions);
        let line = [cost.rate(), cost.cpu_us(), own.rate(), own.cpu_us()];
        print_line(&format!("round {round}"), line);
        rounds.push(line);
    }
    let median = [0, 1, 2, 3].map(|column| {
        let mut values: Vec<_> = rounds.iter().map(|line| line[column]).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    });
    print_line("median", median);
    println!("checkpoint rows written: {}", ours.stop());
}

fn print_line(what: &str, [bare_rate, bare_cpu, our_rate, our_cpu]: [f64; 4]) {
    println!(
        "{what:10} {bare_rate:14.0} {bare_cpu:7.2} {our_rate:15.0} {our_cpu:7.2} {:13.2} {:10.2}",
        our_rate / bare_rate,
        our_cpu / bare_cpu
    );
}

struct Plan {
    rows: usize,
    rounds: usize,
    sessions: usize,
    users: usize,
    live: usize,
}

/// What so many rows took.
#[derive(Default)]
struct Cost {
    rows: usize,
    wall: Duration,
    cpu_ns: u64,
}

impl Cost {
    fn add(&mut self, other: &Self) {
        self.rows += other.rows;
        self.wall += other.wall;
        self.cpu_ns += other.cpu_ns;
    }

    fn rate(&self) -> f64 {
        self.rows as f64 / self.wall.as_secs_f64()
    }

    fn cpu_us(&self) -> f64 {
        self.cpu_ns as f64 / 1000.0 / self.rows as f64
    }
}

/// CPU time of a thread of ours, nanoseconds.
fn cpu_ns(thread: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{thread}/schedstat")).unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

fn url(path: &Path) -> String {
    format!("sqlite://{}", path.display())
}

/// Makes sessions that look like a proxy's.
struct Source {
    ids: IdSource,
    /// For what is only to be looked at.
    ledger: Ledger,
    share: Share,
    users: Vec<String>,
    targets: Vec<String>,
    ruling: Ruling,
    now_ms: i64,
    random: u64,
}

impl Source {
    fn new(users: usize) -> Self {
        let (ledger, mut share) = (Ledger::new(1), Share::new());
        share.add(ledger.grow().unwrap());
        Self {
            ids: IdSource::new(),
            ledger,
            share,
            users: (0..users).map(|number| format!("user-{number}")).collect(),
            targets: (0..1000).map(|number| format!("host-{number}.example.com")).collect(),
            ruling: Ruling {
                decision: Decision::Allow,
                rule: "default policy".into(),
                rule_id: None,
                shadow: None,
            },
            now_ms: rustsocks::clock::utc_ms(),
            random: 0x9e37_79b9_7f4a_7c15,
        }
    }

    fn random(&mut self) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        usize::try_from(self.random >> 8).unwrap()
    }

    /// Opens a session as a worker does, at ten thousand a second of its own clock.
    fn open(&mut self, share: &mut Share) -> Option<SessionSlot> {
        let random = self.random();
        if random.is_multiple_of(10) {
            self.now_ms += 1;
        }
        let octets = random.to_le_bytes();
        let slot = share.open(&Opening {
            id: self.ids.next(self.now_ms),
            start_ms: self.now_ms,
            client: ([10, 0, octets[0] & 7, octets[1]], 40_000 | u16::from(octets[2])).into(),
            user: &self.users[random % self.users.len()],
            claimed_user: None,
            target: Some((&self.targets[random / 7 % 1000], 443)),
            command: Some(Command::Connect),
            ruling: Some(&self.ruling),
            policy_generation: 1,
            accepted: true,
        })?;
        let session = slot.reference();
        session.set_resolved([192, 0, 2, octets[3]].into());
        session.set_stages(&Stages {
            auth_us: None,
            resolve_us: Some(120),
            connect_us: Some(340),
            first_byte_us: Some(560),
        });
        session.set_client_tcp(77, 0);
        session.set_upstream_tcp(88, 0);
        session.publish(traffic(u64::from(octets[4]) * 100), self.now_ms);
        Some(slot)
    }

    fn settle(&self, share: &mut Share, slot: SessionSlot) -> SessionRef {
        let ending = Ending { outcome: Outcome::ClientClosed, relayed: true, duration_ms: 42 };
        share.settle(slot, &ending, self.now_ms)
    }

    /// So many finished sessions, every value ready to be bound.
    fn records(&mut self, count: usize) -> Vec<Record> {
        let mut share = std::mem::take(&mut self.share);
        let records = (0..count).map(|_| {
            let slot = self.open(&mut share).unwrap();
            let session = self.settle(&mut share, slot);
            let record = Record::of(&self.ledger.view(session).unwrap(), NODE);
            self.ledger.free(session);
            record
        });
        let records = records.collect();
        self.share = share;
        records
    }
}

fn traffic(octets: u64) -> Traffic {
    Traffic {
        bytes_sent: octets,
        bytes_received: octets * 20,
        packets_sent: octets / 1000,
        packets_received: octets / 50,
    }
}

/// The loop to be compared with.
struct Bare {
    connection: Connection,
    rows: usize,
}

impl Bare {
    fn open(path: &Path) -> Self {
        let connection = Connection::open(path).unwrap();
        for (pragma, value) in [("synchronous", 2), ("cache_size", -16_384)] {
            connection.pragma_update(None, pragma, value).unwrap();
        }
        connection.pragma_update(None, "wal_autocheckpoint", 4000).unwrap();
        Self { connection, rows: 0 }
    }

    fn insert(&mut self, records: &[Record]) -> Cost {
        let (began, cpu) = (Instant::now(), cpu_ns("thread-self"));
        let transaction =
            Transaction::new(&mut self.connection, TransactionBehavior::Immediate).unwrap();
        let mut insert = transaction.prepare_cached(INSERT).unwrap();
        for it in records {
            insert
                .execute(params![
                    it.session_id,
                    it.user,
                    it.start_time,
                    it.end_time,
                    it.duration_secs,
                    it.source_ip,
                    it.source_port,
                    it.dest_ip,
                    it.dest_port,
                    it.protocol,
                    it.bytes_sent,
                    it.bytes_received,
                    it.packets_sent,
                    it.packets_received,
                    it.status,
                    it.close_reason,
                    it.acl_rule_matched,
                    it.acl_decision,
                    it.duration_ms,
                    it.resolved_ip,
                    it.command,
                    it.close_code,
                    it.rule_id,
                    it.policy_generation,
                    it.node,
                    it.auth_us,
                    it.resolve_us,
                    it.connect_us,
                    it.first_byte_us,
                    it.client_rtt_us,
                    it.upstream_rtt_us,
                    it.client_retransmits,
                    it.upstream_retransmits,
                    it.claimed_user,
                ])
                .unwrap();
        }
        drop(insert);
        transaction.commit().unwrap();
        self.rows += records.len();
        let cpu_ns = cpu_ns("thread-self") - cpu;
        Cost { rows: records.len(), wall: began.elapsed(), cpu_ns }
    }
}

/// The writer, fed as by a worker.
struct Ours {
    share: Share,
    journal: Journal,
    gauges: Arc<WriterGauges>,
    thread: thread::JoinHandle<u64>,
    /// Its name below /proc.
    task: String,
    live: Vec<SessionRef>,
    ended: u64,
}

impl Ours {
    fn start(path: &Path, live: usize) -> Self {
        let location = Location::parse(&url(path)).unwrap();
        let lock = location.lock(Duration::ZERO).unwrap();
        let options = StoreOptions { node: NODE.to_owned(), ..StoreOptions::default() };
        let keep = Claim::new(location, lock, Vec::new()).open(options, || {}).unwrap();
        let ledger = Arc::new(Ledger::new(LEDGER_SLOTS));
        let mut share = Share::new();
        for _ in 0..LEDGER_SLOTS / 16_384 {
            share.add(ledger.grow().unwrap());
        }
        let (journal, receiver) = journal(CHANNEL_ENTRIES_MAX);
        let table = Arc::new(Table::new(1));
        let mut source = Source::new(10);
        let live = (0..live)
            .map(|_| {
                let session = source.open(&mut share).unwrap().reference();
                table.insert(0, session.id().unwrap(), session, Key { slot: 0, generation: 0 });
                session
            })
            .collect();
        let gauges = Arc::new(WriterGauges::default());
        let writer = Writer::new(Parts {
            receiver,
            ledger,
            table,
            keep: Some(Box::new(keep)),
            ring: None,
            minutes: Arc::new(Minutes::new(1)),
            users: Arc::new(UserSums::new(100)),
            windows: Arc::new(Windows::new(24, 168)),
            gauges: Arc::clone(&gauges),
            witness: Witness::default(),
            options: Options {
                batch_size: 100,
                batch_interval: Duration::from_secs(1),
                checkpoint_interval: CHECKPOINT_INTERVAL,
                cleanup_interval: Duration::from_secs(3600),
                stop_patience: Duration::from_secs(60),
            },
        });
        let (sender, task) = crossbeam_channel::bounded(1);
        let thread = thread::spawn(move || {
            let task = std::fs::read_link("/proc/thread-self").unwrap();
            sender.send(task.to_str().unwrap().to_owned()).unwrap();
            writer.run()
        });
        let task = task.recv().unwrap();
        Self { share, journal, gauges, thread, task, live, ended: 0 }
    }

    /// Sends so many sessions through the journal as fast as they are taken, all live ones moving
    /// meanwhile, and waits until they are committed.
    fn write(&mut self, source: &mut Source, sessions: usize) -> Cost {
        let (began, cpu) = (Instant::now(), cpu_ns(&self.task));
        let before = self.gauges.rows.get();
        for sent in 0..sessions {
            let slot = loop {
                self.journal.flush();
                match source.open(&mut self.share) {
                    Some(slot) => break slot,
                    None => thread::park_timeout(Duration::from_millis(1)),
                }
            };
            let session = source.settle(&mut self.share, slot);
            self.journal.closed(session);
            if sent % 1000 == 0 {
                for live in &self.live {
                    live.publish(traffic(self.ended + sent as u64), source.now_ms);
                }
            }
        }
        // The last few wait for their interval, and count in the next round.
        let enough = before + sessions as u64 - BATCH_ROWS_MAX as u64;
        while self.gauges.rows.get() < enough {
            self.journal.flush();
            thread::park_timeout(Duration::from_millis(1));
        }
        let rows = usize::try_from(self.gauges.rows.get() - before).unwrap();
        let cost = Cost { rows, wall: began.elapsed(), cpu_ns: cpu_ns(&self.task) - cpu };
        self.ended += sessions as u64;
        while self.journal.queue_len() > 0 || self.gauges.queue.get() > 0 {
            thread::park_timeout(Duration::from_millis(1));
        }
        cost
    }

    /// Ends the writer; answers how many of its rows were checkpoints.
    fn stop(self) -> u64 {
        let Self { journal, gauges, thread, ended, .. } = self;
        drop(journal);
        assert_eq!(thread.join().unwrap(), 0, "sessions that were not stored");
        gauges.rows.get() - ended
    }
}

const NODE: &str = "node-1";
const LEDGER_SLOTS: u32 = 4 * 16_384;
/// More often than by default, so that each round has some.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(1);
const INSERT: &str = "INSERT INTO sessions (
    session_id, user, start_time, end_time, duration_secs, source_ip, source_port, dest_ip,
    dest_port, protocol, bytes_sent, bytes_received, packets_sent, packets_received, status,
    close_reason, acl_rule_matched, acl_decision, duration_ms, resolved_ip, command, close_code,
    rule_id, policy_generation, node, auth_us, resolve_us, connect_us, first_byte_us,
    client_rtt_us, upstream_rtt_us, client_retransmits, upstream_retransmits, claimed_user
) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)";
