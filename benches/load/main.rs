//! `cargo bench --bench load`: the real release binary under load, beside a direct connection and any
//! other proxy, in one interleaved run, with full accounting into SQLite.
//!
//! ```text
//! core 0: clients ─┐                      ┌─ origin        core 1: the proxy, all of its threads
//!                  └─▶ direct / ours / peer ─▶
//! ```
//!
//! Only ratios within one run count. Rounds are interleaved (A B C, A B C, …), each figure is the
//! median with its least and greatest. CPU is what the kernel booked to the proxy's process.
//!
//! | variable | meaning |
//! |---|---|
//! | `LOAD_MODES` | comma-separated, of setup, pingpong, bulk, idle, mice, memory, udp (all but the last two) |
//! | `LOAD_ROUNDS`, `LOAD_SECONDS` | rounds (3), seconds of each measurement (2) |
//! | `LOAD_ONLY` | of set-up, ping-pong, bulk and datagrams only these: `setup 32, pingpong 64, bulk down 64, udp 4x32` |
//! | `LOAD_SESSIONS` | sessions of mode memory (1 000 000) |
//! | `LOAD_VARIANTS` | instead of others, ours: `published` more or less often, and asked for its figures; or with one, two and four `workers` on all cores |
//! | `RUSTSOCKS_PEER` | `name=command; name=command @@ file`: `{port}`, `{origin}`, `{dir}` are filled in, in the command and in the file, which becomes `{dir}/config` |
//! | `RUSTSOCKS_FORWARD` | the same for what forwards plain TCP to `{origin}` |
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::print_stdout,
    clippy::wildcard_enum_match_arm,
    clippy::exit,
    reason = "a bench reads the clock, prints and may give up"
)]

mod contender;
mod datagrams;
mod ears;
mod modes;
mod origin;
mod process;
mod scraper;
mod swarm;
mod table;

use std::env;
use std::io;

use contender::Contender;
use process::pin;

fn main() -> io::Result<()> {
    // `cargo test --benches` and `cargo bench -- --list` start it too.
    if env::args().any(|argument| argument == "--test" || argument == "--list") {
        return Ok(());
    }
    pin(0);
    let limit = rustsocks::linux::nofile::raise_nofile();
    let origin = origin::start()?;
    let contenders = contenders();
    let plan = modes::Plan::read(limit.soft);
    println!("origin {origin}, {} descriptors, {}", limit.soft, plan.describe());
    table::print(&modes::run(&plan, &contenders, origin)?);
    Ok(())
}

fn contenders() -> Vec<Contender> {
    match env::var("LOAD_VARIANTS").as_deref() {
        Ok("workers") => return contender::workers(),
        Ok(_) => return contender::published(),
        Err(_) => {}
    }
    let mut all = vec![
        contender::direct(),
        contender::ours("rustsocks", "sqlite"),
        contender::ours("rustsocks, memory", "memory"),
    ];
    all.extend(contender::others());
    all
}
