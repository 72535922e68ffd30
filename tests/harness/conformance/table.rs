//! A whole table of cases, in every way.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use parking_lot::Mutex;

use super::case::{Case, Scene};
use super::conversation::{self, WAYS};
use super::namespace;
use super::places::Places;
use super::report::{self, Row};
use super::subject::{Served, Subject, is_another};

/// Holds all cases of a specification; `test` is the name of the test that calls this.
///
/// # Panics
/// When a conversation did not go as its case has it; the table says which.
pub(crate) fn hold(specification: &str, test: &str, cases: &[Case]) {
    if !is_another()
        && let Some((said, passed)) = namespace::run_inside(test)
    {
        eprint!("{said}");
        assert!(passed, "{specification}, in a namespace of its own: see above");
        return;
    }
    let (subject, places) = (Subject::start(), Places::open());
    let served: Vec<_> = cases.iter().map(|case| (case, subject.serve(case.needs))).collect();
    let (title, ours) = (format!("{specification} against {}", subject.name()), subject.is_ours());
    let rows = Mutex::new(Vec::new());
    let next = AtomicUsize::new(0);
    // Some cases wait for a target that never answers; the others need not wait for them.
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some((case, served)) = served.get(at) else { return };
                    let row = hold_case(case, *served, ours, &places);
                    rows.lock().push((at, row));
                }
            });
        }
    });
    let mut rows = rows.into_inner();
    rows.sort_by_key(|(at, _)| *at);
    let rows: Vec<_> = rows.into_iter().map(|(_, row)| row).collect();
    let (table, wrong) = report::table(&title, &rows, ours);
    eprintln!("{table}");
    assert_eq!(rows.len(), cases.len());
    assert_eq!(wrong, 0, "{title}: see above");
}

fn hold_case<'a>(
    case: &'a Case,
    served: Result<Served<'_>, &'static str>,
    ours: bool,
    places: &Places,
) -> Row<'a> {
    let result = served.map(|served| {
        let scene = Scene { places, login: served.login, ours };
        WAYS.map(|way| conversation::hold(served.address, (case.steps)(&scene), way, places))
    });
    Row { case, result }
}

const AT_ONCE: usize = 8;
