//! What strace(1) has seen of a process: which system calls each of its threads made once it had its
//! filter, by what the thread is there for.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::harness::wait_for;

/// The binary, watched by strace from beside it: the process that is started is the binary itself.
pub(crate) fn traced(into: &Path) -> Command {
    let mut command = Command::new("strace");
    // Threads by number and name; strings are not looked at.
    command.args(["-D", "-f", "-s", "0", "--decode-pids=comm", "-o"]).arg(into);
    command.arg(env!("CARGO_BIN_EXE_rustsocks")).env_remove("RUST_LOG");
    command
}

/// By duty, the calls that were made, each with how often.
pub(crate) type Calls = BTreeMap<&'static str, BTreeMap<String, usize>>;

/// Reads what was written of a process that has ended, as soon as all is.
pub(crate) fn read(from: &Path, process: u32, calls: &mut Calls) {
    let start = format!("{process}<");
    let text = wait_for("the end of the trace", || {
        let text = fs::read_to_string(from).ok()?;
        let over = |line: &str| line.starts_with(&start) && line.contains("+++ exited");
        text.lines().any(over).then_some(text)
    });
    let mut filtered = HashSet::new();
    let mut strange = BTreeSet::new();
    for line in text.lines() {
        // `123<name> call(… = 0`, with as many blanks as the numbers need.
        let Some((thread, rest)) = line.split_once('<') else { continue };
        let Some((name, said)) = rest.split_once("> ") else { continue };
        let said = said.trim_start();
        assert!(!said.contains("SIGSYS"), "{line}");
        let resumed = said.strip_prefix("<... ");
        let word = resumed.unwrap_or(said).split(['(', ' ']).next().unwrap_or_default();
        if !word.starts_with(|first: char| first.is_ascii_lowercase()) {
            continue;
        }
        // What may start threads puts on a second one.
        if filtered.contains(thread) && resumed.is_none() && word != "seccomp" {
            let Some(duty) = duty(name) else {
                strange.insert(name.to_owned());
                continue;
            };
            *calls.entry(duty).or_default().entry(word.to_owned()).or_default() += 1;
        }
        let result = said.rsplit_once(" = ").map(|(_, result)| result);
        match (word, result) {
            ("seccomp", Some("0"))
                if said.contains("SECCOMP_SET_MODE_FILTER") || resumed.is_some() =>
            {
                filtered.insert(thread.to_owned());
            }
            ("clone" | "clone3", Some(started)) if filtered.contains(thread) => {
                filtered.extend(started.split('<').next().map(str::to_owned));
            }
            _ => {}
        }
    }
    assert!(strange.is_empty(), "threads that nobody knows: {strange:?}");
}

/// What a thread of this name is there for.
fn duty(name: &str) -> Option<&'static str> {
    let kind = name
        .split_once('-')
        .map_or(name, |(kind, number)| if number.parse::<usize>().is_ok() { kind } else { name });
    Some(match kind {
        "worker" => "worker",
        "writer" | "rebuild" => "writer",
        "api" | "api-gate" | "access-log" => "api",
        "hash" => "hash",
        "pam" => "pam",
        "names" => "names",
        "rustsocks" | "signals" | "reload" => "main",
        _ => return None,
    })
}
