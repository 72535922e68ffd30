//! Figures to a Markdown table.

use std::collections::BTreeMap;

/// Figures of one run: contenders in order, and for each measure its values, one per round.
pub(crate) struct Results {
    contenders: Vec<String>,
    measures: Vec<Measure>,
}

struct Measure {
    name: String,
    digits: usize,
    values: BTreeMap<String, Vec<f64>>,
}

impl Results {
    /// No figures yet.
    pub(crate) fn of(contenders: Vec<String>) -> Self {
        Self { contenders, measures: Vec::new() }
    }

    /// Adds the value of one round.
    pub(crate) fn add(&mut self, measure: &str, digits: usize, contender: &str, value: f64) {
        let at = self.measures.iter().position(|known| known.name == measure);
        let at = at.unwrap_or_else(|| {
            let (name, values) = (measure.to_owned(), BTreeMap::new());
            self.measures.push(Measure { name, digits, values });
            self.measures.len() - 1
        });
        self.measures[at].values.entry(contender.to_owned()).or_default().push(value);
    }
}

/// Prints a row per measure, a column per contender: median (least–greatest).
pub(crate) fn print(results: &Results) {
    println!("\n| | {} |", results.contenders.join(" | "));
    println!("|---{}|", "|---".repeat(results.contenders.len()));
    for measure in &results.measures {
        let cells = results.contenders.iter().map(|contender| {
            measure
                .values
                .get(contender)
                .map_or("–".to_owned(), |values| cell(values, measure.digits))
        });
        println!("| {} | {} |", measure.name, cells.collect::<Vec<_>>().join(" | "));
    }
}

fn cell(values: &[f64], digits: usize) -> String {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let (least, greatest) = (values[0], values[values.len() - 1]);
    let median = values[values.len() / 2];
    if values.len() == 1 {
        return format!("{median:.digits$}");
    }
    format!("{median:.digits$} ({least:.digits$}–{greatest:.digits$})")
}
