use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::KeyCode;

use super::super::inquirer::Told;
use super::super::sample::{Health, Sample, Session, Totals};
use super::*;
use crate::clock;

fn seen(screen: &mut Screen, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, screen)).unwrap();
    let buffer = terminal.backend().buffer();
    let mut text = String::new();
    for y in 0..height {
        for x in 0..width {
            text.push_str(buffer[(x, y)].symbol());
        }
        text.push('\n');
    }
    text
}

fn told(health: Health, sessions: Vec<Session>) -> Told {
    let live = sessions.len() as u64;
    let totals = Totals {
        uptime_secs: 3725.5,
        resident_bytes: 93_100_000,
        descriptors: 2345,
        descriptors_max: Some(20_000),
        connections: 3,
        connections_max: 10_000,
        started: 12_345,
        sent: 1_500_000,
        ..Totals::default()
    };
    Told::Sample(Box::new(Sample { at: Some(clock::mono()), sessions, live, totals, health }))
}

fn well() -> Health {
    Health { version: "9.9".to_owned(), status: "ok".to_owned(), complaints: Vec::new() }
}

fn session(id: u32, user: &str) -> Session {
    Session {
        id: format!("id-{id}"),
        user: user.to_owned(),
        source: "192.0.2.7".to_owned(),
        target: "[2001:db8::1]:443".to_owned(),
        started_ms: 0,
        sent: 1500,
        received: 34_100_000,
    }
}

#[test]
fn the_head_says_how_the_proxy_is_and_what_it_has_done() {
    let mut screen = Screen::default();
    assert!(seen(&mut screen, 100, 12).contains("waiting for the proxy's first answer"));
    screen.take(told(well(), vec![session(1, "alice")]), 45_000);
    // As narrow as a terminal is before somebody draws it wider.
    let text = seen(&mut screen, 80, 12);
    for part in [
        "rustsocks 9.9  ok  up 1 h 2 m   1 live   up 0 B/s  down 0 B/s",
        "memory 93.1 MB  connections 3 of 10 000  descriptors 2 345 of 20 000",
        "in all: 12 345 sessions, 0 rejected, 0 failed logins, 1.50 MB up, 0 B down",
        " 1 users   2 targets   3 clients   4 sessions ",
        "1, by rate",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
}

#[test]
fn a_line_of_the_table_has_the_sums_of_its_sessions() {
    let mut screen = Screen::default();
    screen.take(told(well(), vec![session(1, "alice"), session(2, "alice")]), 45_000);
    let text = seen(&mut screen, 110, 12);
    let line = text.lines().find(|line| line.starts_with("alice")).expect(&text);
    let words: Vec<_> = line.split_whitespace().collect();
    assert_eq!(words, ["alice", "2", "-", "-", "3.00", "kB", "68.2", "MB", "45", "s"]);
    screen.press(KeyCode::Char('4').into());
    let text = seen(&mut screen, 130, 12);
    let line = text.lines().find(|line| line.starts_with("alice")).expect(&text);
    assert!(line.contains("192.0.2.7") && line.contains("[2001:db8::1]:443"), "{line}");
}

#[test]
fn what_is_not_well_is_told_and_so_is_silence() {
    let complaints = vec!["writer: the disk is full".to_owned()];
    let health = Health { status: "degraded".to_owned(), complaints, ..well() };
    let mut screen = Screen::default();
    screen.take(told(health, Vec::new()), 0);
    screen.take(Told::Silent("no proxy can be asked at 127.0.0.1:9".to_owned()), 0);
    let text = seen(&mut screen, 100, 12);
    assert!(text.contains("degraded") && text.contains("writer: the disk is full"), "{text}");
    assert!(
        text.contains("no proxy can be asked") && text.contains("no session is live"),
        "{text}"
    );
}

#[test]
fn a_question_names_what_would_end() {
    let mut screen = Screen::default();
    screen.take(told(well(), vec![session(1, "alice"), session(2, "alice")]), 0);
    screen.press(KeyCode::Char('t').into());
    let text = seen(&mut screen, 100, 16);
    assert!(text.contains("End all sessions of the user alice (2 now)?"), "{text}");
    screen.press(KeyCode::Char('n').into());
    assert!(seen(&mut screen, 100, 16).contains("nothing was ended"));
    screen.press(KeyCode::Char('?').into());
    assert!(seen(&mut screen, 100, 20).contains("turn the order round"));
}

/// A user's name is chosen by somebody else.
#[test]
fn what_a_name_has_in_it_does_not_steer_the_terminal() {
    let mut screen = Screen::default();
    screen.take(told(well(), vec![session(1, "a\u{1b}[31mb\u{7}")]), 0);
    let text = seen(&mut screen, 110, 12);
    assert!(text.contains("a\\u{1b}[31mb\\u{7}"), "{text}");
}

#[test]
fn only_the_rows_in_sight_are_drawn_and_no_size_is_too_small() {
    let mut screen = Screen::default();
    let sessions = (0..1000).map(|id| session(id, &format!("user-{id:04}"))).collect();
    screen.take(told(well(), sessions), 0);
    let text = seen(&mut screen, 110, 24);
    assert_eq!(text.matches("user-").count(), 18, "{text}");
    for (width, height) in [(1, 1), (10, 3), (40, 5), (500, 200)] {
        for key in [KeyCode::Char('?'), KeyCode::Char('t'), KeyCode::Char('4')] {
            screen.press(key.into());
            seen(&mut screen, width, height);
        }
    }
}

#[test]
fn names_have_room_where_a_terminal_is_narrow() {
    let mut screen = Screen::default();
    screen.take(told(well(), vec![session(1, "anonymous")]), 45_000);
    for width in [80, 110] {
        for view in ['1', '2', '3', '4'] {
            screen.press(KeyCode::Char(view).into());
            let text = seen(&mut screen, width, 12);
            let names = match view {
                '1' => &["anonymous"][..],
                '2' => &["[2001:db8::1]:443"],
                '3' => &["192.0.2.7"],
                _ => &["anonymous", "192.0.2.7", "[2001:db8::1]:443", "UP", "DOWN"],
            };
            for name in names {
                assert!(text.contains(name), "{width}, {view}: {name}\n{text}");
            }
            assert!(text.contains("? help   q leave"), "{text}");
            assert_eq!(text.contains("RECEIVED"), width == 110 && view != '4', "{text}");
        }
    }
    screen.press(KeyCode::Char('4').into());
    assert!(seen(&mut screen, 130, 12).contains("RECEIVED"));
}
