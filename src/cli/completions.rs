//! `rustsocks completions`

use clap::Args;
use clap_complete::Shell;

use super::failure::{Failure, print};

/// Print what makes a shell complete commands and options
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Completions {
    /// Which shell
    shell: Shell,
}

impl Completions {
    pub(super) fn print(self, mut line: clap::Command) -> Result<(), Failure> {
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut line, "rustsocks", &mut text);
        print(&String::from_utf8_lossy(&text))
    }
}

const EXAMPLES: &str = "\
Examples:
  rustsocks completions bash > /etc/bash_completion.d/rustsocks
  rustsocks completions zsh > \"${fpath[1]}/_rustsocks\"
  rustsocks completions fish > ~/.config/fish/completions/rustsocks.fish";
