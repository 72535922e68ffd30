//! What the counts were when somebody last looked, and how far they may go from there.

use std::collections::BTreeMap;
use std::env;
use std::io;
use std::path::PathBuf;
use std::process::Command;

use serde::{Deserialize, Serialize};

/// The committed counts.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Baseline {
    /// The compiler that they were counted with, as `rustc --version` says.
    compiler: String,
    instructions: BTreeMap<String, u64>,
}

impl Baseline {
    /// The present counts.
    pub(crate) fn of(counts: Vec<(String, u64)>) -> io::Result<Self> {
        Ok(Self { compiler: compiler()?, instructions: counts.into_iter().collect() })
    }

    /// As committed.
    pub(crate) fn read() -> io::Result<Self> {
        let path = path()?;
        toml::from_str(&std::fs::read_to_string(&path)?)
            .map_err(|error| io::Error::other(format!("{}: {error}", path.display())))
    }

    /// Replaces what is committed.
    pub(crate) fn write(&self) -> io::Result<()> {
        std::fs::write(path()?, toml::to_string(self).map_err(io::Error::other)?)
    }

    /// What is wrong with `counts`. Fewer instructions are right, but said, so that the baseline follows.
    pub(crate) fn against(&self, counts: &[(String, u64)]) -> io::Result<Vec<String>> {
        let compiler = compiler()?;
        if compiler != self.compiler {
            println!("not compared: counted with {compiler}, the baseline with {}", self.compiler);
            return Ok(Vec::new());
        }
        let path = path()?;
        let path = path.display();
        let mut complaints = Vec::new();
        for (name, count) in counts {
            let Some(&before) = self.instructions.get(name) else {
                complaints.push(format!("{name}: not in {path}"));
                continue;
            };
            let bound = before + before * TOLERANCE_PERCENT / 100;
            if *count > bound {
                complaints.push(format!(
                    "{name}: {count} instructions, {before} before, {bound} at most"
                ));
            } else if count + count * TOLERANCE_PERCENT / 100 < before {
                println!("{name}: {count} instructions, {before} before; {path} may follow");
            }
        }
        Ok(complaints)
    }
}

fn path() -> io::Result<PathBuf> {
    let program = env::current_exe()?;
    let profile = program.ancestors().nth(2).and_then(|folder| folder.file_name());
    let profile = profile.ok_or_else(|| io::Error::other("built to no folder of a profile"))?;
    Ok(PathBuf::from(FOLDER).join(profile).with_extension("toml"))
}

fn compiler() -> io::Result<String> {
    let said = Command::new("rustc").arg("--version").output()?.stdout;
    Ok(String::from_utf8_lossy(&said).trim().to_owned())
}

/// More than this above the baseline is a finding. Whole sessions differ by 2 % from run to run: how many
/// events a wait brings is chance.
const TOLERANCE_PERCENT: u64 = 10;
/// One file for each profile, named as the folder that this was built to: `release`, or `debug` for the
/// one that `profile.toml` makes for CI.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions/baseline");
