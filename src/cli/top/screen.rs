//! What is on the screen, and what a key does to it. Pure: it is told keys and answers, and says what it
//! wishes.
#![expect(clippy::wildcard_enum_match_arm, reason = "most keys mean nothing")]

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::inquirer::{Told, Which};
use super::rates::{Rate, Rates};
use super::rows::{Filter, Row, Sort, View, rows};
use super::sample::{Sample, Session};

/// What a key asks of the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Leave,
    /// End these sessions: it was asked for and confirmed.
    End(Which),
}

/// What keys mean at the moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Mode {
    #[default]
    Looking,
    /// They are letters of the filter.
    Filtering,
    /// They answer the question whether these sessions are to end.
    Asking(Question),
    /// The keys are told.
    Helping,
}

/// Which sessions would end, and how many they are. What is sent to the proxy is a name, so that those
/// which a filter hides end, too, and those that come before the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) which: Which,
    pub(super) sessions: u64,
    /// How many of these pass the filter.
    pub(super) shown: u64,
    /// There are more live ones than were looked at.
    pub(super) at_least: bool,
}

/// The state of the view.
#[derive(Debug, Default)]
pub(super) struct Screen {
    pub(super) view: View,
    pub(super) sort: Sort,
    pub(super) reversed: bool,
    pub(super) filter: String,
    /// The row whose sessions alone are looked at, if one was opened.
    pub(super) opened: Option<(View, String)>,
    pub(super) mode: Mode,
    pub(super) paused: bool,
    /// The last look, if there was one.
    pub(super) sample: Sample,
    pub(super) total_rate: Rate,
    /// Share of one core that the process used between the last two looks.
    pub(super) cpu: Option<f64>,
    pub(super) rows: Vec<Row>,
    /// Why there is no newer look.
    pub(super) silence: Option<String>,
    /// The last thing that was said to whoever sits there.
    pub(super) said: Option<String>,
    pub(super) now_ms: i64,
    /// The row that is chosen, by its key, so that it stays chosen when rows change places.
    chosen: Option<String>,
    /// The first row that is shown, and how many there is room for.
    pub(super) first: usize,
    room: usize,
    rates: Rates,
    by_session: Vec<Rate>,
}

impl Screen {
    /// Takes what the proxy says.
    pub(super) fn take(&mut self, told: Told, now_ms: i64) {
        match told {
            Told::Sample(_) if self.paused => {}
            Told::Sample(sample) => {
                self.silence = None;
                self.now_ms = now_ms;
                self.cpu = cpu(&self.sample, &sample);
                (self.by_session, self.total_rate) = self.rates.since_last(&sample, now_ms);
                self.sample = *sample;
                self.arrange();
            }
            Told::Silent(why) => self.silence = Some(why),
            Told::Ended(count) => {
                let sessions = if count == 1 { "session" } else { "sessions" };
                self.said = Some(format!("{count} {sessions} told to end"));
            }
            Told::NotEnded(why) => self.said = Some(why),
        }
    }

    /// Says something to whoever sits there.
    pub(super) fn say(&mut self, text: &str) {
        self.said = Some(text.to_owned());
    }

    /// Does what a key means.
    pub(super) fn press(&mut self, key: KeyEvent) -> Option<Wish> {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        if control && matches!(key.code, KeyCode::Char('c' | 'd')) {
            return Some(Wish::Leave);
        }
        match std::mem::take(&mut self.mode) {
            Mode::Looking => self.look(key.code),
            Mode::Filtering => {
                self.type_filter(key.code);
                None
            }
            // Only a plain yes: whatever else was pressed was not meant so.
            Mode::Asking(question) => match key.code {
                KeyCode::Char('y' | 'Y') => {
                    self.say("asked the proxy to end them");
                    Some(Wish::End(question.which))
                }
                _ => {
                    self.say("nothing was ended");
                    None
                }
            },
            Mode::Helping => None,
        }
    }

    fn look(&mut self, key: KeyCode) -> Option<Wish> {
        self.said = None;
        match key {
            KeyCode::Char('q') => return Some(Wish::Leave),
            KeyCode::Char(digit @ '1'..='4') => {
                let index = usize::try_from(u32::from(digit) - u32::from('1')).unwrap_or(0);
                self.turn_to(View::ALL[index]);
            }
            KeyCode::Tab | KeyCode::Right => self.turn_to(self.beside(1)),
            KeyCode::BackTab | KeyCode::Left => self.turn_to(self.beside(View::ALL.len() - 1)),
            KeyCode::Char('s') => {
                let at = Sort::ALL.iter().position(|sort| *sort == self.sort).unwrap_or(0);
                self.sort = Sort::ALL[(at + 1) % Sort::ALL.len()];
                self.arrange();
            }
            KeyCode::Char('r') => {
                self.reversed = !self.reversed;
                self.arrange();
            }
            KeyCode::Char('/') => self.mode = Mode::Filtering,
            KeyCode::Esc => {
                self.filter.clear();
                self.opened = None;
                self.arrange();
            }
            KeyCode::Char('p') => self.paused = !self.paused,
            KeyCode::Char('t') | KeyCode::Delete => self.ask(),
            KeyCode::Enter => self.open(),
            KeyCode::Char('?' | 'h') => self.mode = Mode::Helping,
            KeyCode::Down | KeyCode::Char('j') => self.choose(|at, _| at + 1),
            KeyCode::Up | KeyCode::Char('k') => self.choose(|at, _| at.saturating_sub(1)),
            KeyCode::PageDown => self.choose(|at, room| at + room),
            KeyCode::PageUp => self.choose(|at, room| at.saturating_sub(room)),
            KeyCode::Home | KeyCode::Char('g') => self.choose(|_, _| 0),
            KeyCode::End | KeyCode::Char('G') => self.choose(|_, _| usize::MAX),
            _ => {}
        }
        None
    }

    fn type_filter(&mut self, key: KeyCode) {
        self.mode = match key {
            KeyCode::Enter => Mode::Looking,
            KeyCode::Esc => {
                self.filter.clear();
                Mode::Looking
            }
            KeyCode::Backspace => {
                self.filter.pop();
                Mode::Filtering
            }
            KeyCode::Char(letter) if self.filter.len() < FILTER_OCTETS_MAX => {
                self.filter.push(letter);
                Mode::Filtering
            }
            _ => Mode::Filtering,
        };
        self.arrange();
    }

    /// The question before sessions are ended.
    fn ask(&mut self) {
        let Some(row) = self.chosen_row() else { return };
        self.mode = Mode::Asking(Question {
            which: self.view.which(&row.key),
            sessions: self.view.count(&row.key, &self.sample.sessions),
            shown: row.sessions,
            at_least: self.view != View::Sessions
                && (self.sample.sessions.len() as u64) < self.sample.live,
        });
    }

    /// The sessions behind a sum.
    fn open(&mut self) {
        if self.view == View::Sessions {
            return;
        }
        if let Some(row) = self.chosen_row() {
            self.opened = Some((self.view, row.key.clone()));
            self.filter.clear();
            self.turn_to(View::Sessions);
        }
    }

    fn turn_to(&mut self, view: View) {
        if view != self.view {
            (self.view, self.chosen, self.first) = (view, None, 0);
            self.arrange();
        }
    }

    fn beside(&self, steps: usize) -> View {
        let at = View::ALL.iter().position(|view| *view == self.view).unwrap_or(0);
        View::ALL[(at + steps) % View::ALL.len()]
    }

    fn choose(&mut self, to: impl FnOnce(usize, usize) -> usize) {
        let at = self.chosen_at().unwrap_or(0);
        let to = to(at, self.room.max(1)).min(self.rows.len().saturating_sub(1));
        self.chosen = self.rows.get(to).map(|row| row.key.clone());
        self.scroll();
    }

    fn chosen_row(&self) -> Option<&Row> {
        self.rows.get(self.chosen_at()?)
    }

    /// The place of the chosen row; the first where nothing is chosen, or it has gone.
    pub(super) fn chosen_at(&self) -> Option<usize> {
        let chosen = self.chosen.as_ref();
        let at = chosen.and_then(|chosen| self.rows.iter().position(|row| row.key == *chosen));
        at.or((!self.rows.is_empty()).then_some(0))
    }

    /// There is room for so many rows.
    pub(super) fn make_room(&mut self, rows: usize) {
        self.room = rows;
        self.scroll();
    }

    /// Keeps the chosen row in sight.
    fn scroll(&mut self) {
        let at = self.chosen_at().unwrap_or(0);
        let last = self.rows.len().saturating_sub(self.room);
        self.first = self.first.clamp(at.saturating_sub(self.room.saturating_sub(1)), at).min(last);
    }

    /// Puts the rows in order anew.
    fn arrange(&mut self) {
        let sessions: &[Session] = &self.sample.sessions;
        let text = self.filter.to_lowercase();
        let opened = self.opened.as_ref().map(|(view, key)| (*view, key.as_str()));
        let filter = Filter { opened, text: &text };
        let order = (self.sort, self.reversed);
        self.rows = rows(self.view, sessions, &self.by_session, filter, order);
        self.scroll();
    }
}

/// The share of one core between two looks at the same process.
fn cpu(before: &Sample, now: &Sample) -> Option<f64> {
    let passed = now.at?.saturating_duration_since(before.at?).as_secs_f64();
    let used = now.totals.cpu_secs - before.totals.cpu_secs;
    (passed > 0.0 && used >= 0.0).then_some(used / passed)
}

/// Octets of a filter: longer than any name.
const FILTER_OCTETS_MAX: usize = 300;

#[cfg(test)]
mod tests;
