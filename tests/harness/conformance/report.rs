//! How the cases went, as a table of text.

use std::fmt::Write;

use super::case::Case;
use super::conversation::{Trouble, WAYS};

/// One case: held in each way, or skipped and why.
pub(crate) struct Row<'a> {
    pub(crate) case: &'a Case,
    pub(crate) result: Result<[Result<(), Trouble>; WAYS.len()], &'static str>,
}

/// The table, and how many conversations went wrong: of ours also those that want what it lacks, which a
/// server of others, or one with another configuration, may.
pub(crate) fn table(title: &str, rows: &[Row<'_>], ours: bool) -> (String, usize) {
    let mut text = format!("\n{title}\n");
    let width = rows.iter().map(|row| row.case.name.chars().count()).max().unwrap_or(0);
    let line = |text: &mut String, section: &str, name: &str, cells: [&str; 3]| {
        let [a, b, c] = cells;
        let drawn = writeln!(text, "{section:<11} {name:<width$}  {a:<8} {b:<8} {c}");
        drawn.expect("a string takes all");
    };
    let [whole, trickled, pipelined] = WAYS.map(|way| way.name());
    line(&mut text, "section", "case", [whole, trickled, pipelined]);
    let (mut passed, mut failed, mut lacking, mut skipped) = (0, 0, 0, 0);
    let mut faults = String::new();
    for row in rows {
        let case = row.case;
        match &row.result {
            Err(why) => {
                skipped += 1;
                line(&mut text, case.section, case.name, ["skipped:", why, ""]);
            }
            Ok(results) => {
                let cells = [0, 1, 2].map(|at| match &results[at] {
                    Ok(()) => "pass",
                    Err(Trouble::Lacks) => "lacks",
                    Err(Trouble::Fault(_)) => "FAIL",
                });
                line(&mut text, case.section, case.name, cells);
                for (way, result) in WAYS.iter().zip(results) {
                    match result {
                        Ok(()) => passed += 1,
                        Err(Trouble::Lacks) => lacking += 1,
                        Err(Trouble::Fault(fault)) => {
                            failed += 1;
                            let told = writeln!(
                                faults,
                                "{} {}, {}: {fault}",
                                case.section,
                                case.name,
                                way.name()
                            );
                            told.expect("a string takes all");
                        }
                    }
                }
            }
        }
    }
    text.push_str(&faults);
    let told = writeln!(
        text,
        "{title}: {} cases, {skipped} of them skipped; {passed} conversations passed, {failed} failed, \
         {lacking} want what the server lacks",
        rows.len()
    );
    told.expect("a string takes all");
    (text, failed + if ours { lacking } else { 0 })
}
