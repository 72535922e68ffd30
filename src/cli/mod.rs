//! The command line: a file per command.
#![forbid(unsafe_code)]

mod api;
#[cfg(feature = "database")]
mod backup;
mod check;
#[cfg(feature = "database")]
mod cleanup;
mod completions;
#[cfg(feature = "database")]
mod database;
mod explain;
mod failure;
mod hash_password;
mod health;
mod logging;
mod man;
#[cfg(feature = "database")]
mod migrate;
#[cfg(feature = "database")]
mod new_file;
mod panics;
mod password;
#[cfg(feature = "database")]
mod progress;
#[cfg(feature = "database")]
mod replay;
mod run;
mod sessions;
mod show_config;
#[cfg(feature = "top")]
mod top;
mod user;
mod users_edit;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};

/// A SOCKS proxy whose accounting you can bill on.
///
/// Without a command it runs the proxy: SOCKS on 127.0.0.1:1080, API and metrics on
/// 127.0.0.1:9090, every session in data/sessions.db below the working directory.
#[derive(Debug, Parser)]
#[command(name = "rustsocks", version, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
struct Line {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    file: File,
}

#[derive(Debug, Args)]
struct File {
    /// Configuration file (TOML); without it every key has its default
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the proxy until SIGTERM or SIGINT
    #[command(after_help = RUN_EXAMPLES)]
    Run(File),
    /// Check a configuration and say what is wrong with it
    #[command(after_help = CHECK_EXAMPLES)]
    Check(File),
    /// Say what is decided about a request, and why; or what other rules would have decided
    Explain(explain::Explain),
    /// Print the configuration in force, defaults included, secrets masked
    ///
    /// Behind each value of a section stands where it comes from: the line of the file, or the variable of
    /// the environment. Those without are the defaults.
    #[command(after_help = SHOW_EXAMPLES)]
    ShowConfig(File),
    /// Read a password and print the hash for `auth.users.password_hash`
    ///
    /// On a terminal it is asked for twice; elsewhere it is the one line of stdin.
    #[command(after_help = HASH_EXAMPLES)]
    HashPassword,
    /// Add, change, delete, list and check the users of `auth.users_file`
    #[command(subcommand)]
    User(user::UserCommand),
    /// Bring the database's schema up to date
    #[cfg(feature = "database")]
    Migrate(migrate::Migrate),
    /// Delete old sessions from the database, also while the proxy writes it
    #[cfg(feature = "database")]
    Cleanup(cleanup::Cleanup),
    /// Look at sessions, end them, take them out
    #[command(subcommand)]
    Sessions(sessions::Sessions),
    Health(health::Health),
    /// Watch users, targets and sessions of the running proxy, and end them
    #[cfg(feature = "top")]
    Top(top::Top),
    /// Copy the database while the proxy writes it
    #[cfg(feature = "database")]
    Backup(backup::Backup),
    /// Print what makes a shell complete commands and options
    Completions(completions::Completions),
    /// Print the manual page, or write one for each command
    Man(man::Manual),
}

/// Reads the command line and does what it says.
#[must_use]
pub fn main(line: impl IntoIterator<Item = OsString>) -> ExitCode {
    let line = match Line::try_parse_from(line) {
        Ok(line) => line,
        Err(error) => {
            // clap knows best: help and version go to stdout with 0, errors to stderr with 2.
            let code = u8::try_from(error.exit_code()).unwrap_or(2);
            return match error.print() {
                Ok(()) => ExitCode::from(code),
                Err(_) => ExitCode::FAILURE,
            };
        }
    };
    let done = match line.command.unwrap_or(Command::Run(line.file)) {
        Command::Run(file) => run::run(file.config.as_deref()),
        Command::Check(file) => check::check(file.config.as_deref()),
        Command::Explain(explain) => explain.explain(),
        Command::ShowConfig(file) => show_config::show_config(file.config.as_deref()),
        Command::HashPassword => hash_password::hash_password(),
        Command::User(user) => user.run(),
        #[cfg(feature = "database")]
        Command::Migrate(migrate) => migrate.migrate(),
        #[cfg(feature = "database")]
        Command::Cleanup(cleanup) => cleanup.clean_up(),
        Command::Sessions(sessions) => sessions.run(),
        #[cfg(feature = "top")]
        Command::Top(top) => top.watch(),
        Command::Health(health) => health.health(),
        #[cfg(feature = "database")]
        Command::Backup(backup) => backup.backup(),
        Command::Completions(completions) => completions.print(Line::command()),
        Command::Man(manual) => manual.write(Line::command()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

const EXAMPLES: &str = "\
Examples:
  rustsocks                                 run with the defaults
  rustsocks run --config /etc/rustsocks/rustsocks.toml
  rustsocks check --config conf/rustsocks.toml
  rustsocks hash-password < password.txt
  rustsocks explain --user alice example.com:443
  rustsocks explain --replay 7d --rules new.toml
  rustsocks user add alice --group staff --file data/users
  rustsocks sessions list --user alice
  rustsocks sessions terminate --user alice
  rustsocks top
  rustsocks sessions export --since 2026-01-01 --user alice > alice.csv
  rustsocks backup sessions-backup.db
  curl -x socks5h://127.0.0.1:1080 https://example.com/

A value of the configuration may come from the environment: RUSTSOCKS_SERVER_BIND_PORT=1081 wins over
bind_port in [server] of the file.

Exit status: 0 done, 1 failed while running, 2 wrong usage, 77 permission, 78 bad configuration.";

const RUN_EXAMPLES: &str = "\
Examples:
  rustsocks run --config /etc/rustsocks/rustsocks.toml
  RUSTSOCKS_SERVER_BIND_PORT=1081 RUSTSOCKS_LOGGING_LEVEL=debug rustsocks run

Signals: SIGTERM and SIGINT let sessions end and stop, a second one stops now; SIGHUP reloads;
SIGUSR1 opens the access log anew.";

const CHECK_EXAMPLES: &str = "\
Examples:
  rustsocks check --config /etc/rustsocks/rustsocks.toml && systemctl reload rustsocks";

const SHOW_EXAMPLES: &str = "\
Examples:
  rustsocks show-config
  rustsocks show-config --config /etc/rustsocks/rustsocks.toml | grep '#'";

const HASH_EXAMPLES: &str = "\
Examples:
  rustsocks hash-password
  printf 'change me' | rustsocks hash-password";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Line::command().debug_assert();
    }

    /// Commands that do something, by their whole name.
    fn doers(command: &clap::Command, above: &str, found: &mut Vec<(String, String)>) {
        let name = format!("{above}{}", command.get_name());
        if command.has_subcommands() && !above.is_empty() {
            for below in command.get_subcommands() {
                doers(below, &format!("{name} "), found);
            }
        } else {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            found.push((name, help));
        }
    }

    #[test]
    fn every_command_has_an_example_that_is_its_own() {
        let line = Line::command();
        let mut found = Vec::new();
        for command in line.get_subcommands() {
            doers(command, "rustsocks ", &mut found);
        }
        let least = if cfg!(feature = "database") { 15 } else { 10 };
        assert!(found.len() > least, "{found:?}");
        for (name, help) in found {
            assert!(help.contains(&name), "{name} shows no example of itself: {help:?}");
        }
    }

    /// What completions and pages are made from has a sentence for each argument.
    #[test]
    fn every_argument_says_what_it_is() {
        fn look(command: &clap::Command) {
            for argument in command.get_arguments() {
                let said = argument.get_help().is_some();
                assert!(said, "{} of {}", argument.get_id(), command.get_name());
            }
            command.get_subcommands().for_each(look);
        }
        look(&Line::command());
    }
}
