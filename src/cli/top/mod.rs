//! `rustsocks top`: who uses the running proxy now, by user, target, client and session.
//!
//! ```text
//! keys ──▶ Screen ──▶ draw ──▶ terminal          the only thing that waits for keys
//!           ▲   │
//!    Sample │   │ Order                          bounded channels
//!           │   ▼
//!          Inquirer, a thread ──▶ HTTP API       the only thing that waits for the proxy
//! ```
//!
//! `screen.rs` decides and touches nothing; `draw.rs` shows what it says. So a proxy that does not
//! answer never keeps anybody from leaving.

mod amount;
mod draw;
mod inquirer;
mod rates;
mod rows;
mod sample;
mod screen;
mod terminal;

use std::io::{self, IsTerminal};
use std::time::Duration;

use clap::Args;
use ratatui::crossterm::event::{self, Event, KeyEventKind};

use self::inquirer::Inquirer;
use self::screen::{Screen, Wish};
use self::terminal::{Terminal, Waited};
use super::api::Reach;
use super::failure::Failure;
use crate::clock;

/// Watch users, targets and sessions of the running proxy, and end them
///
/// Asks its HTTP API every few seconds. Rates are what has moved between two answers. `?` shows the
/// keys. To end sessions it shows the token, where it can read it.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Top {
    /// Seconds between two looks
    #[arg(long, value_name = "SECONDS", default_value = "2",
          value_parser = clap::value_parser!(u64).range(1..=60))]
    interval: u64,
    #[command(flatten)]
    reach: Reach,
}

impl Top {
    pub(super) fn watch(self) -> Result<(), Failure> {
        if !io::stdout().is_terminal() {
            let text =
                "top wants a terminal; for a file or a pipe there is `rustsocks sessions list`";
            return Err(Failure::Usage(text.to_owned()));
        }
        let interval = Duration::from_secs(self.interval);
        let inquirer = Inquirer::start(self.reach.api()?, interval)?;
        let mut terminal = Terminal::enter()?;
        let watched = run(&mut terminal, &inquirer);
        // First the terminal, so that what is said then is seen.
        terminal.leave()?;
        watched
    }
}

fn run(terminal: &mut Terminal, inquirer: &Inquirer) -> Result<(), Failure> {
    let failure = |error: io::Error| Failure::Other(format!("the terminal: {error}"));
    let mut screen = Screen::default();
    while !terminal.is_told_to_leave() {
        for told in inquirer.answers() {
            screen.take(told, clock::utc_ms());
        }
        terminal.draw(|frame| draw::draw(frame, &mut screen)).map_err(failure)?;
        if terminal.wait(BETWEEN_LOOKS).map_err(failure)? == Waited::Gone {
            return Ok(());
        }
        // Also without a key: a new size is told by a signal.
        if !event::poll(Duration::ZERO).map_err(failure)? {
            continue;
        }
        match event::read().map_err(failure)? {
            Event::Key(key) if key.kind != KeyEventKind::Release => match screen.press(key) {
                Some(Wish::Leave) => return Ok(()),
                Some(Wish::End(which)) => {
                    let sent = inquirer.end(which);
                    if !sent {
                        screen.say("not sent: the proxy has not answered the last one yet");
                    }
                }
                None => {}
            },
            // What has a new size is drawn anew anyway.
            Event::Key(_)
            | Event::Resize(..)
            | Event::Mouse(_)
            | Event::Paste(_)
            | Event::FocusGained
            | Event::FocusLost => {}
        }
    }
    Ok(())
}

/// How long keys are waited for before answers are looked for.
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

const EXAMPLES: &str = "\
Examples:
  rustsocks top
  rustsocks top --config /etc/rustsocks/rustsocks.toml --interval 1
  rustsocks top --api 127.0.0.1:9191 --token-file /var/lib/rustsocks/api-token

Keys: 1 users, 2 targets, 3 clients, 4 sessions; arrows choose, Enter opens, s sorts, / filters,
t ends what is chosen (after a question), p pauses, ? tells all of them, q leaves.";
