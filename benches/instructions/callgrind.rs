//! valgrind's callgrind: how many instructions a process took (the manual's chapter 6).

use std::io;
use std::path::Path;
use std::process::Command;

/// What stands before a command so that it is counted, with its figures in the file `out`.
pub(crate) fn prefix(out: &Path) -> Vec<String> {
    vec![
        "valgrind".to_owned(),
        "--tool=callgrind".to_owned(),
        format!("--callgrind-out-file={}", out.display()),
        // Threads take turns; without this the one that waits may starve.
        "--fair-sched=yes".to_owned(),
    ]
}

/// Instructions of a command that ends by itself.
pub(crate) fn of_run(program: &Path, arguments: &[&str]) -> io::Result<u64> {
    let directory = tempfile::tempdir()?;
    let out = directory.path().join("out");
    let prefix = prefix(&out);
    let ran = Command::new(&prefix[0]).args(&prefix[1..]).arg(program).args(arguments).output();
    let ran = ran.map_err(|error| io::Error::other(format!("valgrind: {error}")))?;
    if !ran.status.success() {
        let said = String::from_utf8_lossy(&ran.stderr);
        return Err(io::Error::other(format!("{arguments:?}: {}: {said}", ran.status)));
    }
    total(&out)
}

/// The sum at the end of a file of figures.
pub(crate) fn total(out: &Path) -> io::Result<u64> {
    let text = std::fs::read_to_string(out)?;
    let line = text.lines().rev().find_map(|line| line.strip_prefix("totals:"));
    line.and_then(|line| line.trim().parse().ok())
        .ok_or_else(|| io::Error::other(format!("{}: no totals", out.display())))
}
