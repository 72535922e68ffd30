//! `cargo bench --bench instructions`: how many instructions the hot parts take, as valgrind's callgrind
//! counts them, held against `baseline/`. The one figure of speed that a shared, noisy machine does
//! not blur, and so the one that CI can check.
//!
//! A case runs twice in a process of its own, once with twice the repetitions: the difference is what the
//! repetitions cost, free of start and end. Instructions of the kernel are not among them.
//!
//! - Parts, in this process: a handshake, a session's accounting, a decision, a word to the writer.
//! - The whole binary under load from here, default settings, all its threads: a session, a message there
//!   and back, a MiB. `RUSTSOCKS_PEER` and `RUSTSOCKS_FORWARD` (see `benches/load`) put others beside it;
//!   then nothing is compared.
//!
//! Into how many portions a MiB falls is chance, so that one is shown, not compared.
//! `INSTRUCTIONS_BASELINE=write` writes the baseline anew. Counts depend on the compiler: with another one
//! than the baseline names they are printed, not held against it. They depend on the profile too: each has
//! its own baseline.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::print_stdout,
    clippy::exit,
    reason = "a bench reads the clock, prints and may give up"
)]

mod baseline;
mod callgrind;
#[path = "../load/contender.rs"]
#[allow(dead_code, reason = "for the bench of load")]
mod contender;
#[path = "../load/ears.rs"]
#[allow(dead_code, reason = "for the bench of load")]
mod ears;
#[path = "../load/origin.rs"]
#[allow(dead_code, reason = "for the bench of load")]
mod origin;
mod parts;
#[path = "../plain_policy/mod.rs"]
mod plain_policy;
#[path = "../population/mod.rs"]
mod population;
#[path = "../load/process.rs"]
#[allow(dead_code, reason = "for the bench of load")]
mod process;
mod whole;

use std::env;
use std::io;

use baseline::Baseline;

fn main() -> io::Result<()> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--part", name, count] => return parts::run(name, count.parse().unwrap()),
        // `cargo test --benches` and `cargo bench -- --list` start it too.
        _ if arguments.iter().any(|argument| argument == "--test" || argument == "--list") => {
            return Ok(());
        }
        _ => {}
    }
    let mut counts = Vec::new();
    for name in parts::NAMES {
        let program = env::current_exe()?;
        let taken = |count: u64| callgrind::of_run(&program, &["--part", name, &count.to_string()]);
        let each = taken(2 * PARTS_EACH)?.saturating_sub(taken(PARTS_EACH)?) / PARTS_EACH;
        println!("{each:>10}  {name}");
        counts.push(((*name).to_owned(), each));
    }
    let (ours, others) = (contender::ours("rustsocks", "sqlite"), contender::others());
    for contender in std::iter::once(&ours).chain(&others) {
        for name in whole::NAMES {
            let each = whole::count(contender, name)?;
            println!("{each:>10}  {}: {name}", contender.name);
            if others.is_empty() && *name != whole::BY_CHANCE {
                counts.push(((*name).to_owned(), each));
            }
        }
    }
    if !others.is_empty() {
        return Ok(());
    }
    if env::var("INSTRUCTIONS_BASELINE").is_ok_and(|word| word == "write") {
        return Baseline::of(counts)?.write();
    }
    let complaints = Baseline::read()?.against(&counts)?;
    for complaint in &complaints {
        eprintln!("{complaint}");
    }
    if complaints.is_empty() { Ok(()) } else { std::process::exit(1) }
}

/// Repetitions of a part: enough that what is outside them does not show.
const PARTS_EACH: u64 = 2_000;
