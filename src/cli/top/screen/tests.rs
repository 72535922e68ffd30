use std::time::Duration;

use super::*;
use crate::clock;

fn session(id: &str, user: &str, sent: u64) -> Session {
    Session {
        id: id.to_owned(),
        user: user.to_owned(),
        source: "192.0.2.7".to_owned(),
        target: "example.com:443".to_owned(),
        sent,
        ..Session::default()
    }
}

fn looked(sessions: Vec<Session>) -> Told {
    let live = sessions.len() as u64;
    Told::Sample(Box::new(Sample { at: Some(clock::mono()), sessions, live, ..Sample::default() }))
}

/// One that has seen two users, and whose three sessions.
fn screen() -> Screen {
    let mut screen = Screen::default();
    screen.make_room(10);
    let sessions = vec![session("1", "alice", 5), session("2", "bob", 3), session("3", "bob", 1)];
    screen.take(looked(sessions), 1000);
    screen
}

fn press(screen: &mut Screen, keys: &str) -> Option<Wish> {
    let mut wish = None;
    for letter in keys.chars() {
        let code = match letter {
            '\n' => KeyCode::Enter,
            '\u{1b}' => KeyCode::Esc,
            '\u{8}' => KeyCode::Backspace,
            '\t' => KeyCode::Tab,
            other => KeyCode::Char(other),
        };
        wish = screen.press(code.into());
    }
    wish
}

fn keys(screen: &Screen) -> Vec<&str> {
    screen.rows.iter().map(|row| row.key.as_str()).collect()
}

#[test]
fn digits_tab_and_arrows_turn_to_the_views() {
    let mut screen = screen();
    assert_eq!(keys(&screen), ["alice", "bob"]);
    press(&mut screen, "4");
    assert_eq!((screen.view, keys(&screen)), (View::Sessions, vec!["1", "2", "3"]));
    press(&mut screen, "\t");
    assert_eq!(screen.view, View::Users, "round and round");
    screen.press(KeyCode::Left.into());
    assert_eq!(screen.view, View::Sessions);
}

#[test]
fn nothing_is_ended_without_a_plain_yes() {
    for answer in ["n", "\n", "q", "t", "\u{1b}", " "] {
        let mut screen = screen();
        assert_eq!(press(&mut screen, "jt"), None);
        let which = Which::User("bob".to_owned());
        let asked = Question { which, sessions: 2, shown: 2, at_least: false };
        assert_eq!(screen.mode, Mode::Asking(asked));
        assert_eq!(press(&mut screen, answer), None, "{answer:?}");
        assert_eq!(screen.mode, Mode::Looking);
        assert_eq!(screen.said.as_deref(), Some("nothing was ended"));
    }
    assert_eq!(press(&mut screen(), "jty"), Some(Wish::End(Which::User("bob".to_owned()))));
    assert_eq!(press(&mut screen(), "4jty"), Some(Wish::End(Which::Session("2".to_owned()))));
    assert_eq!(
        press(&mut screen(), "2ty"),
        Some(Wish::End(Which::Target("example.com:443".to_owned())))
    );
    assert_eq!(press(&mut screen(), "3ty"), Some(Wish::End(Which::Source("192.0.2.7".to_owned()))));
}

#[test]
fn with_nothing_there_is_nothing_to_be_ended() {
    let mut screen = Screen::default();
    assert_eq!(press(&mut screen, "ty"), None);
    press(&mut screen, "jkgG\n");
    assert_eq!(screen.mode, Mode::Looking);
}

#[test]
fn the_question_is_about_what_was_chosen_whatever_comes_meanwhile() {
    let mut screen = screen();
    press(&mut screen, "jt");
    screen.take(looked(vec![session("9", "carol", 7)]), 2000);
    assert_eq!(press(&mut screen, "y"), Some(Wish::End(Which::User("bob".to_owned()))));
}

#[test]
fn what_is_chosen_stays_chosen_when_rows_change_places() {
    let mut screen = screen();
    press(&mut screen, "sss");
    assert_eq!((screen.sort, keys(&screen)), (Sort::Moved, vec!["alice", "bob"]));
    press(&mut screen, "j");
    assert_eq!(screen.chosen_at(), Some(1));
    screen.take(looked(vec![session("1", "alice", 5), session("2", "bob", 300)]), 2000);
    assert_eq!((keys(&screen), screen.chosen_at()), (vec!["bob", "alice"], Some(0)));
    screen.take(looked(vec![session("1", "alice", 5)]), 3000);
    assert_eq!(screen.chosen_at(), Some(0), "it has gone");
}

#[test]
fn a_filter_is_typed_kept_and_cleared() {
    let mut screen = screen();
    press(&mut screen, "/BOx");
    assert_eq!((screen.filter.as_str(), keys(&screen).len()), ("BOx", 0));
    press(&mut screen, "\u{8}q\u{8}\n");
    assert_eq!((screen.filter.as_str(), keys(&screen)), ("BO", vec!["bob"]));
    assert_eq!(press(&mut screen, "q"), Some(Wish::Leave), "no letter any more");
    press(&mut screen, "\u{1b}");
    assert_eq!(keys(&screen).len(), 2);
}

#[test]
fn enter_opens_the_sessions_behind_a_sum() {
    let mut screen = screen();
    press(&mut screen, "j\n");
    assert_eq!((screen.view, keys(&screen)), (View::Sessions, vec!["2", "3"]));
    press(&mut screen, "\n");
    assert_eq!(screen.view, View::Sessions);
    press(&mut screen, "\u{1b}");
    assert_eq!(keys(&screen).len(), 3);
}

/// It once showed those of everybody whose name has this one in it.
#[test]
fn enter_opens_no_sessions_of_others() {
    let mut screen = Screen::default();
    screen.make_room(10);
    let sessions = ["bob", "bobby", "bob"].iter().zip(["s1", "s2", "s3"]);
    screen.take(looked(sessions.map(|(user, id)| session(id, user, 0)).collect()), 1000);
    press(&mut screen, "\n");
    assert_eq!(keys(&screen), ["s1", "s3"]);
    press(&mut screen, "/s3\n");
    assert_eq!(keys(&screen), ["s3"], "a filter finds among them");
    press(&mut screen, "2");
    assert_eq!(screen.rows[0].sessions, 1);
}

/// It once asked about those that pass the filter, and ended all.
#[test]
fn the_question_tells_how_many_end_whatever_is_in_sight() {
    let mut screen = Screen::default();
    screen.take(looked(vec![session("s1", "bob", 5), session("s2", "bob", 3)]), 1000);
    press(&mut screen, "/s2\nt");
    let which = Which::User("bob".to_owned());
    let asked = Question { which, sessions: 2, shown: 1, at_least: false };
    assert_eq!(screen.mode, Mode::Asking(asked));
    let sessions = vec![session("1", "alice", 5)];
    let sample = Sample { at: Some(clock::mono()), sessions, live: 30_000, ..Sample::default() };
    press(&mut screen, "n\u{1b}");
    screen.take(Told::Sample(Box::new(sample)), 2000);
    press(&mut screen, "t");
    assert!(matches!(&screen.mode, Mode::Asking(Question { at_least: true, .. })));
}

#[test]
fn a_pause_holds_what_is_seen_and_silence_is_told() {
    let mut screen = screen();
    press(&mut screen, "p");
    screen.take(looked(Vec::new()), 2000);
    assert_eq!(keys(&screen).len(), 2);
    screen.take(Told::Silent("no proxy can be asked".to_owned()), 2000);
    assert_eq!(screen.silence.as_deref(), Some("no proxy can be asked"));
    press(&mut screen, "p");
    screen.take(looked(Vec::new()), 3000);
    assert_eq!((keys(&screen).len(), screen.silence.clone()), (0, None));
    screen.take(Told::Ended(1), 3000);
    assert_eq!(screen.said.as_deref(), Some("1 session told to end"));
}

#[test]
fn a_long_list_scrolls_with_what_is_chosen() {
    let mut screen = Screen::default();
    let sessions = (0..100).map(|index| session(&format!("{index:03}"), "a", 0)).collect();
    screen.take(looked(sessions), 0);
    press(&mut screen, "4");
    screen.make_room(10);
    assert_eq!((screen.first, screen.chosen_at()), (0, Some(0)));
    screen.press(KeyCode::PageDown.into());
    assert_eq!((screen.first, screen.chosen_at()), (1, Some(10)));
    press(&mut screen, "G");
    assert_eq!((screen.first, screen.chosen_at()), (90, Some(99)));
    press(&mut screen, "kk");
    assert_eq!((screen.first, screen.chosen_at()), (90, Some(97)));
    press(&mut screen, "g");
    assert_eq!((screen.first, screen.chosen_at()), (0, Some(0)));
    screen.make_room(200);
    assert_eq!(screen.first, 0);
}

#[test]
fn control_c_leaves_from_everywhere() {
    for before in ["", "/x", "jt", "?"] {
        let mut screen = screen();
        press(&mut screen, before);
        let key = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(screen.press(key), Some(Wish::Leave), "{before}");
    }
}

#[test]
fn the_share_of_a_core_is_what_was_used_between_two_looks() {
    let mut before = Sample { at: Some(clock::mono()), ..Sample::default() };
    before.totals.cpu_secs = 1.0;
    let mut now =
        Sample { at: before.at.map(|at| at + Duration::from_secs(2)), ..Sample::default() };
    now.totals.cpu_secs = 2.0;
    assert_eq!(cpu(&before, &now), Some(0.5));
    assert_eq!(cpu(&Sample::default(), &now), None);
    now.totals.cpu_secs = 0.5;
    assert_eq!(cpu(&before, &now), None, "another process");
}
