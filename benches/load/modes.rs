//! What is measured, and in which order.

use std::env;
use std::io;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use super::Contender;
use super::contender::Way;
use super::datagrams::{self, Senders};
use super::process::Process;
use super::scraper::Scraper;
use super::swarm::{Swarm, Work};
use super::table::Results;

/// What shall be measured.
pub(crate) struct Plan {
    modes: Vec<String>,
    rounds: usize,
    span: Duration,
    idle: usize,
    sessions: u64,
    only: Vec<String>,
}

impl Plan {
    /// As the environment says.
    pub(crate) fn read(descriptors: u64) -> Self {
        let number = |name: &str, default: u64| {
            env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
        };
        let modes =
            env::var("LOAD_MODES").unwrap_or_else(|_| "setup,pingpong,bulk,idle,mice".into());
        // Both ends of each are of this process; and some peers have six of each.
        let idle = number("LOAD_IDLE", 10_000).min(descriptors.saturating_sub(1000) / 2);
        Self {
            modes: modes.split(',').map(|mode| mode.trim().to_owned()).collect(),
            rounds: number("LOAD_ROUNDS", 3) as usize,
            span: Duration::from_millis(number("LOAD_SECONDS", 2) * 1000),
            idle: idle as usize,
            sessions: number("LOAD_SESSIONS", 1_000_000),
            only: env::var("LOAD_ONLY").map_or_else(
                |_| Vec::new(),
                |only| only.split(',').map(|item| item.trim().to_owned()).collect(),
            ),
        }
    }

    fn wants(&self, item: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == item)
    }

    pub(crate) fn describe(&self) -> String {
        format!("{} × {:?} of {}", self.rounds, self.span, self.modes.join(", "))
    }
}

/// Measures everything; contenders take turns within each round.
pub(crate) fn run(
    plan: &Plan,
    contenders: &[Contender],
    origin: SocketAddr,
) -> io::Result<Results> {
    let names = contenders.iter().map(|contender| contender.name.clone());
    let mut results = Results::of(names.collect());
    let done = go_through(plan, contenders, origin, &mut results);
    if let Err(error) = done {
        // What was measured is told all the same.
        eprintln!("not gone on with: {error}");
    }
    Ok(results)
}

fn go_through(
    plan: &Plan,
    contenders: &[Contender],
    origin: SocketAddr,
    results: &mut Results,
) -> io::Result<()> {
    for mode in &plan.modes {
        let rounds = if mode == "memory" || mode == "idle" { 1 } else { plan.rounds };
        for round in 0..rounds {
            for contender in contenders {
                eprintln!("{mode}, round {}: {}", round + 1, contender.name);
                let process = contender.start(origin)?;
                let _scraper = contender.scraped.then(|| Scraper::start(process.api));
                let bench = Bench { plan, contender, process: &process, origin };
                bench.measure(mode, results)?;
            }
        }
    }
    Ok(())
}

struct Bench<'a> {
    plan: &'a Plan,
    contender: &'a Contender,
    process: &'a Process,
    origin: SocketAddr,
}

impl Bench<'_> {
    fn measure(&self, mode: &str, results: &mut Results) -> io::Result<()> {
        match mode {
            "setup" => [1, 32, 256]
                .into_iter()
                .filter(|many| self.plan.wants(&format!("setup {many}")))
                .try_for_each(|many| self.setup(many, results)),
            "pingpong" => [1, 64, 512]
                .into_iter()
                .filter(|many| self.plan.wants(&format!("pingpong {many}")))
                .try_for_each(|many| self.pingpong(many, results)),
            "bulk" => [1, 8, 64].into_iter().try_for_each(|many| {
                let ways = [("down", Work::Down), ("up", Work::Up), ("both", Work::Duplex)];
                ways.into_iter()
                    .filter(|(name, _)| self.plan.wants(&format!("bulk {name} {many}")))
                    .try_for_each(|(name, work)| self.bulk(many, name, work, results))
            }),
            "idle" => self.idle(results),
            "mice" => self.mice(results),
            "memory" => self.memory(),
            "udp" => [(1, 1), (1, 32), (4, 32)]
                .into_iter()
                .filter(|(many, each)| self.plan.wants(&format!("udp {many}x{each}")))
                .try_for_each(|shape| self.udp(shape, results)),
            _ => Err(io::Error::other(format!("LOAD_MODES: no mode {mode}"))),
        }
    }

    fn swarm(&self, many: usize, work: Work) -> io::Result<Swarm> {
        let mut swarm = Swarm::new(self.process.address, self.origin, self.contender.way)?;
        swarm.add(many, work)?;
        // What is measured is what goes on, not how it begins.
        let until = Instant::now() + WARM_UP;
        swarm.run(|_| Instant::now() >= until)?;
        Ok(swarm)
    }

    fn name(&self) -> &str {
        &self.contender.name
    }

    fn setup(&self, many: usize, results: &mut Results) -> io::Result<()> {
        let mut swarm = self.swarm(many, Work::Session)?;
        let before = self.process.used();
        let (mut tally, seconds) = swarm.measure(self.plan.span)?;
        let used = self.process.used() - before;
        let sessions = tally.sessions.max(1) as f64;
        let label = |what: &str| format!("set-up, {many} at a time: {what}");
        results.add(&label("sessions/s"), 0, self.name(), sessions / seconds);
        results.add(&label("p50 µs to the reply"), 0, self.name(), tally.percentile(0.5));
        results.add(&label("CPU µs per session"), 1, self.name(), used.cpu * 1e6 / sessions);
        if used.writer > 0.0 {
            let writer = used.writer * 1e6 / sessions;
            results.add(&label("writer CPU µs per session"), 1, self.name(), writer);
        }
        self.complain(tally.failures);
        Ok(())
    }

    fn pingpong(&self, many: usize, results: &mut Results) -> io::Result<()> {
        let mut swarm = self.swarm(many, Work::PingPong)?;
        let before = self.process.used();
        let (mut tally, seconds) = swarm.measure(self.plan.span)?;
        let used = self.process.used() - before;
        let trips = tally.trips.max(1) as f64;
        let label = |what: &str| format!("ping-pong, {many} sessions: {what}");
        results.add(&label("k round trips/s"), 1, self.name(), trips / seconds / 1e3);
        results.add(&label("CPU µs per round trip"), 1, self.name(), used.cpu * 1e6 / trips);
        results.add(&label("p99 ms"), 2, self.name(), tally.percentile(0.99) / 1e3);
        self.complain(tally.failures);
        Ok(())
    }

    fn bulk(&self, many: usize, name: &str, work: Work, results: &mut Results) -> io::Result<()> {
        let mut swarm = self.swarm(many, work)?;
        let before = self.process.used();
        let (tally, seconds) = swarm.measure(self.plan.span)?;
        let used = self.process.used() - before;
        let octets = tally.octets.max(1) as f64;
        let label = |what: &str| format!("bulk {name}, {many} streams: {what}");
        results.add(&label("GB/s"), 2, self.name(), octets / seconds / 1e9);
        let gib = octets / f64::from(1 << 30);
        results.add(&label("CPU s per GiB"), 2, self.name(), used.cpu / gib);
        self.complain(tally.failures);
        Ok(())
    }

    fn mice(&self, results: &mut Results) -> io::Result<()> {
        let mut swarm = self.swarm(16, Work::PingPong)?;
        swarm.add(4, Work::Down)?;
        let until = Instant::now() + WARM_UP;
        swarm.run(|_| Instant::now() >= until)?;
        let (mut tally, seconds) = swarm.measure(self.plan.span)?;
        let label = |what: &str| format!("16 ping-pongs beside 4 bulk streams: {what}");
        results.add(&label("p50 ms"), 2, self.name(), tally.percentile(0.5) / 1e3);
        results.add(&label("p99 ms"), 2, self.name(), tally.percentile(0.99) / 1e3);
        results.add(&label("bulk GB/s"), 2, self.name(), tally.octets as f64 / seconds / 1e9);
        Ok(())
    }

    fn idle(&self, results: &mut Results) -> io::Result<()> {
        // Queues, caches and tables of a fixed size are touched once, by whoever comes first.
        let mut swarm = self.swarm(64, Work::Session)?;
        let until = Instant::now() + IDLE_PATIENCE;
        swarm.run(|swarm| swarm.tally.sessions >= IDLE_BEFORE || Instant::now() >= until)?;
        drop(swarm);
        thread::sleep(WARM_UP);
        let (private, shared) = self.process.resident_kib();
        let descriptors = self.process.descriptors();
        let many = self.plan.idle;
        let mut swarm = Swarm::new(self.process.address, self.origin, self.contender.way)?;
        let until = Instant::now() + IDLE_PATIENCE;
        // In portions: listeners have queues.
        while swarm.working() < many && Instant::now() < until {
            let portion = (many - swarm.working()).min(IDLE_PORTION);
            let expected = swarm.working() + portion;
            swarm.add(portion, Work::Idle)?;
            swarm.run(|swarm| swarm.working() >= expected || Instant::now() >= until)?;
        }
        let held = swarm.working().max(1) as f64;
        let settled = Instant::now() + IDLE_SETTLES;
        swarm.run(|_| Instant::now() >= settled)?;
        let (private_now, shared_now) = self.process.resident_kib();
        let before = self.process.used();
        let began = Instant::now();
        swarm.run(|_| began.elapsed() >= self.plan.span)?;
        let used = self.process.used() - before;
        let per = |now: u64, before: u64| now.saturating_sub(before) as f64 / held;
        let label = |what: &str| format!("{many} idle sessions: {what}");
        results.add(&label("held"), 0, self.name(), swarm.working() as f64);
        results.add(&label("KiB of memory each"), 2, self.name(), per(private_now, private));
        results.add(&label("KiB of mapped file each"), 2, self.name(), per(shared_now, shared));
        let open = self.process.descriptors().saturating_sub(descriptors) as f64 / held;
        results.add(&label("descriptors each"), 2, self.name(), open);
        let cpu = (used.cpu + used.writer) / began.elapsed().as_secs_f64() * 100.0;
        results.add(&label("% CPU"), 2, self.name(), cpu);
        Ok(())
    }

    /// Memory over many sessions, printed as they go by.
    fn memory(&self) -> io::Result<()> {
        if self.contender.command.is_none() {
            return Ok(());
        }
        let mut swarm = self.swarm(64, Work::Session)?;
        let part = self.plan.sessions / 10;
        println!("\n{}: sessions, KiB of memory, KiB of mapped files", self.name());
        let mut done = 0;
        for mark in 0..=10 {
            let upto = part * mark;
            swarm.run(|swarm| done + swarm.tally.sessions >= upto)?;
            done += std::mem::take(&mut swarm.tally).sessions;
            let (private, shared) = self.process.resident_kib();
            println!("{done}, {private}, {shared}");
        }
        Ok(())
    }

    /// So many associations, each with so many datagrams under way.
    fn udp(&self, shape: (usize, usize), results: &mut Results) -> io::Result<()> {
        let way = self.contender.way;
        if way == Way::Plain && self.contender.command.is_some() {
            // It forwards TCP.
            return Ok(());
        }
        let echo = datagrams::echo()?;
        let mut senders = match Senders::new((self.process.address, way), echo, shape) {
            // It does not carry datagrams.
            Err(error) if error.kind() == io::ErrorKind::Unsupported => return Ok(()),
            made => made?,
        };
        senders.measure(WARM_UP)?;
        let before = self.process.used();
        let (back, lost, seconds) = senders.measure(self.plan.span)?;
        let used = self.process.used() - before;
        let datagrams = 2.0 * back.max(1) as f64;
        let (many, each) = shape;
        let label = |what: &str| format!("datagrams, {many} × {each} under way: {what}");
        results.add(&label("k/s there and back"), 1, self.name(), back as f64 / seconds / 1e3);
        results.add(&label("CPU µs each way"), 2, self.name(), used.cpu * 1e6 / datagrams);
        if lost > 0 {
            eprintln!("  {}: {lost} datagrams were lost", self.name());
        }
        Ok(())
    }

    fn complain(&self, failures: u64) {
        if failures > 0 {
            eprintln!("  {}: {failures} sessions failed", self.name());
        }
    }
}

const WARM_UP: Duration = Duration::from_millis(300);
const IDLE_PATIENCE: Duration = Duration::from_secs(60);
const IDLE_PORTION: usize = 500;
/// Sessions that have come and gone before the idle ones: as many rows as fill SQLite's cache of pages, 16 MiB
/// at 450 octets or so each, which otherwise grows with every session and is held against it.
const IDLE_BEFORE: u64 = 50_000;
/// What has to be written once of a session that lives is written by then, so that it is idle.
const IDLE_SETTLES: Duration = Duration::from_secs(12);
