//! How it looks.
//!
//! ```text
//! rustsocks 0.1.0  ok  up 3 h 2 m   1 000 live   up 1.20 MB/s  down 34.1 MB/s
//! CPU 12 %  memory 93.1 MB  connections 1 003 of 10 000  descriptors 2 345 of 20 000
//! in all: 12 345 sessions, 67 rejected, 8 failed logins, 1.50 MB up, 34.1 MB down
//!  1 users   2 targets   3 clients   4 sessions            sorted by rate, of 1 000 of them
//! USER                    SESSIONS        UP        DOWN        SENT    RECEIVED   OLDEST
//! …
//! what was said, a question, or the keys
//! ```

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Cell, Clear, Paragraph, Row as TableRow, Table};

use super::amount::{count, octets, rate, span};
use super::inquirer::Which;
use super::rows::{Row, View};
use super::screen::{Mode, Question, Screen};
use crate::cli::api::printable;

/// Draws everything; the screen is told how many rows there is room for.
pub(super) fn draw(frame: &mut Frame<'_>, screen: &mut Screen) {
    let complaints = complaints(screen);
    let rows = [
        Constraint::Length(3),
        Constraint::Length(u16::try_from(complaints.len()).unwrap_or(0)),
        Constraint::Length(1),
        Constraint::Min(2),
        Constraint::Length(1),
    ];
    let [head, ill, tabs, body, foot] = Layout::vertical(rows).areas(frame.area());
    // One line is the table's heading.
    screen.make_room(usize::from(body.height.saturating_sub(1)));
    frame.render_widget(Paragraph::new(heads(screen, head.width)), head);
    frame.render_widget(Paragraph::new(complaints).style(ALARM), ill);
    frame.render_widget(Paragraph::new(tab_line(screen)), tabs);
    table(frame, screen, body);
    frame.render_widget(Paragraph::new(foot_line(screen, foot.width)), foot);
    match &screen.mode {
        Mode::Asking(asked) => dialog(frame, &question(asked)),
        Mode::Helping => dialog(frame, &HELP.map(str::to_owned)),
        Mode::Looking | Mode::Filtering => {}
    }
}

fn heads(screen: &Screen, width: u16) -> Vec<Line<'static>> {
    let (sample, totals) = (&screen.sample, &screen.sample.totals);
    if sample.at.is_none() {
        return vec![Line::from("rustsocks: waiting for the proxy's first answer")];
    }
    let well = if sample.health.status == "ok" { GOOD } else { ALARM };
    let mut first = Line::from(vec![
        Span::styled(format!("rustsocks {}  ", printable(&sample.health.version)), STRONG),
        Span::styled(printable(&sample.health.status), well),
        Span::raw(format!("  up {}", span(whole(totals.uptime_secs)))),
        Span::styled(format!("   {} live", count(sample.live)), STRONG),
        Span::raw("   "),
        Span::styled(
            format!("up {}  down {}", moving(screen.total_rate.up), moving(screen.total_rate.down)),
            STRONG,
        ),
    ]);
    if first.width() > usize::from(width) {
        first.spans.remove(0);
    }
    let cpu = screen.cpu.map_or("-".to_owned(), |share| format!("{:.0} %", share * 100.0));
    let most = totals.descriptors_max.map_or(String::new(), |most| format!(" of {}", count(most)));
    let second = format!(
        "CPU {cpu}  memory {}  connections {} of {}  descriptors {}{most}",
        octets(totals.resident_bytes),
        count(totals.connections),
        count(totals.connections_max),
        count(totals.descriptors),
    );
    let third = format!(
        "in all: {} sessions, {} rejected, {} failed logins, {} up, {} down",
        count(totals.started),
        count(totals.rejected),
        count(totals.auth_failures),
        octets(totals.sent),
        octets(totals.received),
    );
    vec![first, Line::from(second), Line::from(third)]
}

/// What is not as it should be, a line each.
fn complaints(screen: &Screen) -> Vec<Line<'static>> {
    let ill = screen.sample.health.complaints.iter();
    let silence = screen.silence.iter();
    let all = ill.chain(silence).take(COMPLAINTS_MAX);
    all.map(|text| Line::from(printable(text))).collect()
}

fn tab_line(screen: &Screen) -> Line<'static> {
    let mut line = Vec::new();
    for (index, view) in View::ALL.into_iter().enumerate() {
        let style = if view == screen.view { CHOSEN } else { Style::new() };
        line.push(Span::styled(format!(" {} {} ", index + 1, view.title()), style));
        line.push(Span::raw(" "));
    }
    let way = if screen.reversed { ", turned round" } else { "" };
    line.push(Span::styled(
        format!("  {}, by {}{way}", count(screen.rows.len() as u64), screen.sort.word(screen.view)),
        FAINT,
    ));
    let looked_at = screen.sample.sessions.len() as u64;
    if looked_at < screen.sample.live && looked_at >= MANY {
        line.push(Span::styled(format!("  (of the {} that moved most)", count(looked_at)), FAINT));
    }
    if let Some((view, key)) = &screen.opened {
        line.push(Span::styled(format!("  {} {}", view.word(), printable(key)), STRONG));
    }
    if !screen.filter.is_empty() || screen.mode == Mode::Filtering {
        let end = if screen.mode == Mode::Filtering { "_" } else { "" };
        line.push(Span::styled(format!("  filter: {}{end}", printable(&screen.filter)), STRONG));
    }
    if screen.paused {
        line.push(Span::styled("  paused", ALARM));
    }
    Line::from(line)
}

fn table(frame: &mut Frame<'_>, screen: &Screen, area: Rect) {
    if screen.rows.is_empty() && screen.sample.at.is_some() {
        let text = match screen.filter.is_empty() && screen.opened.is_none() {
            true => "no session is live",
            false => "no live session passes the filter; Esc clears it",
        };
        frame.render_widget(Paragraph::new(text).style(FAINT), area);
        return;
    }
    let room = usize::from(area.height.saturating_sub(1));
    let shown = screen.rows.iter().enumerate().skip(screen.first).take(room);
    let chosen = screen.chosen_at();
    let figures = figures(screen.view, area.width);
    let lines = shown.map(|(index, row)| {
        let line = TableRow::new(cells(row, &figures, screen.now_ms));
        if chosen == Some(index) { line.style(CHOSEN) } else { line }
    });
    let names = names(screen.view);
    let headings = names.iter().map(|name| Cell::from(*name));
    let numbers = figures
        .iter()
        .map(|figure| Cell::from(Line::from(figure.heading(screen.view)).right_aligned()));
    let headings = headings.chain(numbers);
    let widths = names_widths(screen.view).iter().map(|share| Constraint::Fill(*share));
    let widths = widths.chain(figures.iter().map(|_| Constraint::Length(FIGURE)));
    let table = Table::new(lines, widths).header(TableRow::new(headings).style(HEADING));
    frame.render_widget(table.column_spacing(SPACE), area);
}

/// The columns of names, which stand to the left.
const fn names(view: View) -> &'static [&'static str] {
    match view {
        View::Users => &["USER"],
        View::Targets => &["TARGET"],
        View::Clients => &["CLIENT"],
        View::Sessions => &["USER", "CLIENT", "TARGET"],
    }
}

/// How they share what figures leave.
const fn names_widths(view: View) -> &'static [u16] {
    match view {
        View::Users | View::Targets | View::Clients => &[1],
        View::Sessions => &[2, 3, 5],
    }
}

/// A column of figures.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Figure {
    Sessions,
    Up,
    Down,
    Sent,
    Received,
    Age,
}

impl Figure {
    const fn heading(self, view: View) -> &'static str {
        match (self, view) {
            (Self::Sessions, _) => "SESSIONS",
            (Self::Up, _) => "UP",
            (Self::Down, _) => "DOWN",
            (Self::Sent, _) => "SENT",
            (Self::Received, _) => "RECEIVED",
            (Self::Age, View::Sessions) => "AGE",
            (Self::Age, _) => "OLDEST",
        }
    }

    fn of(self, row: &Row, now_ms: i64) -> String {
        match self {
            Self::Sessions => count(row.sessions),
            Self::Up => rate(row.rate.up),
            Self::Down => rate(row.rate.down),
            Self::Sent => octets(row.sent),
            Self::Received => octets(row.received),
            Self::Age => {
                span(u64::try_from(now_ms.saturating_sub(row.since_ms)).unwrap_or(0) / 1000)
            }
        }
    }
}

/// Those that there is room for: names come first, which tell rows apart, then what moves now.
fn figures(view: View, width: u16) -> Vec<Figure> {
    use Figure::{Age, Down, Received, Sent, Sessions, Up};
    let (all, names_min) = match view {
        View::Users | View::Targets | View::Clients => {
            (vec![Sessions, Up, Down, Sent, Received, Age], NAME_MIN)
        }
        View::Sessions => (vec![Up, Down, Sent, Received, Age], NAMES_MIN),
    };
    let fit = |figures: &Vec<Figure>| {
        let taken = u16::try_from(figures.len()).unwrap_or(u16::MAX).saturating_mul(FIGURE + SPACE);
        names_min.saturating_add(taken) <= width
    };
    let now: Vec<_> = all.iter().copied().filter(|it| !matches!(it, Sent | Received)).collect();
    let least = now.iter().copied().filter(|figure| *figure != Age).collect();
    [all, now].into_iter().find(fit).unwrap_or(least)
}

fn cells(row: &Row, figures: &[Figure], now_ms: i64) -> Vec<Cell<'static>> {
    let names = row.names.iter().map(|name| Cell::from(printable(name)));
    let figures = figures.iter().map(|figure| figure.of(row, now_ms));
    names.chain(figures.map(|text| Cell::from(Line::from(text).right_aligned()))).collect()
}

fn foot_line(screen: &Screen, width: u16) -> Line<'static> {
    match &screen.said {
        Some(said) => Line::styled(printable(said), STRONG),
        None if screen.mode == Mode::Filtering => {
            Line::styled("letters of a user, a client or a target; Enter keeps, Esc clears", FAINT)
        }
        None => {
            let fits = |keys: &&&str| keys.chars().count() <= usize::from(width);
            Line::styled(*KEYS.iter().find(fits).unwrap_or(&KEYS[KEYS.len() - 1]), FAINT)
        }
    }
}

fn question(asked: &Question) -> [String; 4] {
    let whose = match &asked.which {
        Which::Session(id) => format!("the session {id}"),
        Which::User(user) => format!("all sessions of the user {user}"),
        Which::Target(target) => format!("all sessions to {target}"),
        Which::Source(source) => format!("all sessions from {source}"),
    };
    let least = if asked.at_least { "at least " } else { "" };
    let hidden = match asked.sessions.saturating_sub(asked.shown) {
        0 => String::new(),
        hidden => format!(", {} of them not in sight", count(hidden)),
    };
    [
        format!("End {} ({least}{} now{hidden})?", printable(&whose), count(asked.sessions)),
        "Both sides are reset at once.".to_owned(),
        String::new(),
        "y: end them    any other key: leave them".to_owned(),
    ]
}

fn dialog(frame: &mut Frame<'_>, lines: &[String]) {
    let area = frame.area();
    let widest = lines.iter().map(|line| line.chars().count()).max().unwrap_or(0);
    let width = u16::try_from(widest + 4).unwrap_or(u16::MAX).min(area.width);
    let height = u16::try_from(lines.len() + 2).unwrap_or(u16::MAX).min(area.height);
    let place = Rect {
        x: area.x + (area.width - width) / 2,
        y: area.y + (area.height - height) / 2,
        width,
        height,
    };
    frame.render_widget(Clear, place);
    let text: Vec<Line<'_>> = lines.iter().map(|line| Line::from(format!(" {line}"))).collect();
    frame.render_widget(Paragraph::new(text).block(Block::bordered()), place);
}

fn moving(octets_per_sec: f64) -> String {
    if octets_per_sec < 0.5 { "0 B/s".to_owned() } else { rate(octets_per_sec) }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
fn whole(secs: f64) -> u64 {
    secs as u64
}

const STRONG: Style = Style::new().add_modifier(Modifier::BOLD);
const FAINT: Style = Style::new().add_modifier(Modifier::DIM);
const HEADING: Style = Style::new().add_modifier(Modifier::BOLD).add_modifier(Modifier::UNDERLINED);
const CHOSEN: Style = Style::new().add_modifier(Modifier::REVERSED);
const GOOD: Style = Style::new().fg(Color::Green);
const ALARM: Style = Style::new().fg(Color::Red).add_modifier(Modifier::BOLD);
/// What a column of figures takes, and what is between two columns.
const FIGURE: u16 = 11;
const SPACE: u16 = 2;
/// What names should have: one by itself; a user, a client and a target.
const NAME_MIN: u16 = 26;
const NAMES_MIN: u16 = 60;
/// The keys, at length and in short.
const KEYS: [&str; 3] = [
    "1-4 Tab view   arrows choose   Enter open   s sort   r turn round   / filter   t end   p pause   \
     ? help   q leave",
    "1-4 view   Enter open   s sort   / filter   t end   p pause   ? help   q leave",
    "? help   q leave",
];
/// Lines of complaints; the rest stands in `/health`.
const COMPLAINTS_MAX: usize = 4;
/// With fewer, the number of sessions that are not looked at is that of those that came meanwhile.
const MANY: u64 = 1000;

const HELP: [&str; 14] = [
    "1 2 3 4, Tab, left, right   users, targets, clients, sessions",
    "up, down, j, k              choose a row",
    "Page Up, Page Down, g, G    further",
    "Enter                       the sessions behind the row",
    "s                           sort by the next: rate, up, down, moved, sessions or age, name",
    "r                           turn the order round",
    "/                           filter by a part of user, client, target or id",
    "Esc                         clear the filter",
    "t, Delete                   end the sessions of the row, after a question",
    "p                           pause, and go on",
    "q, Ctrl-C                   leave",
    "",
    "Rates are what moved between the last two answers.",
    "any key: back",
];

#[cfg(test)]
mod tests;
