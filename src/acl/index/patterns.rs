//! Names with a `*` inside that end alike. Where they are many, they are told apart by what is before
//! their first `*`, by what is behind the last one in its label, and, of those with more than one, by a
//! whole label between these: a `*` stands for something within its label, so that labels can be counted.

use foldhash::fast::RandomState;
use hashbrown::{Equivalent, HashMap};

use super::candidates::{Candidates, Ranks};
use super::crowd::{Likeness, Settled};
use super::place::{Asker, Cut, Place};
use crate::acl::pattern::Pattern;
use crate::acl::rule::Reach;

/// Rules about names of one fixed end.
#[derive(Debug, Default)]
pub(super) struct Patterns {
    /// In order.
    few: Vec<(u32, Pattern)>,
    many: Option<Box<ByParts>>,
}

#[derive(Debug, Default)]
struct ByParts {
    /// Which there are.
    shapes: Vec<Shape>,
    places: HashMap<Parts, Likes, RandomState>,
}

/// Rules about names with the same parts.
#[derive(Debug, Default)]
struct Likes {
    /// With one `*`: there is nothing else to them.
    whole: Place,
    /// With more.
    others: Vec<(u32, Pattern)>,
}

/// What tells patterns of one fixed end apart.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Parts {
    front: Box<str>,
    tail: Box<str>,
    label: Box<str>,
}

#[derive(Hash)]
struct PartsRef<'a> {
    front: &'a str,
    tail: &'a str,
    label: &'a str,
}

impl Equivalent<Parts> for PartsRef<'_> {
    fn equivalent(&self, parts: &Parts) -> bool {
        (self.front, self.tail, self.label) == (&*parts.front, &*parts.tail, &*parts.label)
    }
}

/// Where parts are in a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Shape {
    front: usize,
    tail: usize,
    /// The place of the label, and how many labels there are; `None` where none is looked at.
    label: Option<(usize, usize)>,
}

impl Patterns {
    /// A rule is about this pattern; those before it are added before it.
    pub(super) fn add(&mut self, rank: u32, pattern: &Pattern) {
        self.few.push((rank, pattern.clone()));
    }

    /// The rules that lie here, while nothing is cut.
    pub(super) fn ranks(&self) -> impl ExactSizeIterator<Item = u32> {
        self.few.iter().map(|(rank, _)| *rank)
    }

    /// Nothing is added any more. `end` is the fixed end of all.
    pub(super) fn finish(&mut self, end: &str, cut: &mut Cut<'_>) {
        if self.few.len() <= cut.few {
            return self.few.shrink_to_fit();
        }
        let mut by_parts = ByParts::default();
        let mut shapes = hashbrown::HashSet::<Shape, RandomState>::default();
        for (rank, pattern) in std::mem::take(&mut self.few) {
            let Pattern::Labels(text) = &pattern else { continue };
            let (shape, parts, is_whole) = parts_of(text, end);
            if shapes.insert(shape) {
                by_parts.shapes.push(shape);
            }
            let likes = by_parts.places.entry(parts).or_default();
            if is_whole {
                likes.whole.add(rank);
            } else {
                likes.others.push((rank, pattern));
            }
        }
        for likes in by_parts.places.values_mut() {
            likes.whole.finish(cut);
            likes.others.shrink_to_fit();
            let ordered = cut.ordered;
            let others = likes.others.iter().map(|(rank, _)| &ordered[*rank as usize]);
            cut.crowds.look(others, Likeness::Names, Settled::default());
        }
        by_parts.places.shrink_to_fit();
        self.many = Some(Box::new(by_parts));
    }

    /// The rules that may hold for a name, the last so many octets of which are the fixed end with the
    /// point before it.
    pub(super) fn find<'a>(
        &'a self,
        name: &'a str,
        end: usize,
        asker: Asker,
        found: &mut Candidates<'a>,
    ) {
        found.push(Ranks::Naming(&self.few), Reach::DIRECT);
        let Some(by_parts) = &self.many else { return };
        let Some(before) = name.len().checked_sub(end).and_then(|at| name.get(..at)) else {
            return;
        };
        for shape in &by_parts.shapes {
            let Some((parts, between)) = shape.of(name, before) else { continue };
            let Some(likes) = by_parts.places.get(&parts) else { continue };
            if !between.is_empty() && !between.contains('.') {
                likes.whole.find(asker, Reach::DIRECT, found);
            }
            found.push(Ranks::Naming(&likes.others), Reach::DIRECT);
        }
    }
}

impl Shape {
    /// The parts of a name, and what is between front and tail; `before` is what is before the fixed end.
    fn of<'a>(self, name: &'a str, before: &'a str) -> Option<(PartsRef<'a>, &'a str)> {
        let (front, rest) = before.split_at_checked(self.front)?;
        let (between, tail) = rest.split_at_checked(rest.len().checked_sub(self.tail)?)?;
        let label = match self.label {
            None => "",
            Some((at, count)) => {
                let mut labels = name.split('.');
                let label = labels.nth(at)?;
                if at + 1 + labels.count() != count {
                    return None;
                }
                label
            }
        };
        Some((PartsRef { front, tail, label }, between))
    }
}

/// What a pattern of this fixed end is told apart by, and whether there is nothing else to it.
fn parts_of(text: &str, end: &str) -> (Shape, Parts, bool) {
    let behind = if end.is_empty() { text.len() } else { text.len() - end.len() - 1 };
    let before = &text[..behind];
    let first = before.find('*').unwrap_or(0);
    let last = before.rfind('*').unwrap_or(0);
    let (front, tail) = (&text[..first], &text[last + 1..behind]);
    // Labels that are wholly between the two.
    let count = text.split('.').count();
    let (from, to) = (front.matches('.').count() + 1, text[..last].matches('.').count());
    let between = text.split('.').enumerate().skip(from).take(to.saturating_sub(from));
    let label =
        between.filter(|(_, label)| !label.contains('*')).max_by_key(|(_, label)| label.len());
    let shape =
        Shape { front: front.len(), tail: tail.len(), label: label.map(|(at, _)| (at, count)) };
    let label = label.map_or("", |(_, label)| label);
    let parts = Parts { front: front.into(), tail: tail.into(), label: label.into() };
    (shape, parts, first == last)
}

#[cfg(test)]
impl Patterns {
    /// How many rules lie here, each as often as it does.
    pub(super) fn copies(&self) -> usize {
        let parts = self.many.iter().flat_map(|by_parts| by_parts.places.values());
        let copies = |likes: &Likes| likes.whole.copies() + likes.others.len();
        self.few.len() + parts.map(copies).sum::<usize>()
    }
}
