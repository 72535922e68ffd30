//! Pages and totals of ended sessions.

use std::ops::ControlFlow;
use std::time::Instant;

use rusqlite::{CachedStatement, Connection};

use super::record::record;
use super::sieve::Sieve;
use super::walk::{Walk, Way, bounds};
use crate::clock;
use crate::session::Status;
use crate::stats::{Best, Filter, HistoryPage, HistoryQuery, Order, Place};

/// One page. At `until` it is cut, but never before a few rows have been looked at: whoever goes on
/// where it was cut gets to the end.
pub(super) fn page(
    connection: &Connection,
    query: &HistoryQuery,
    until: Instant,
) -> rusqlite::Result<HistoryPage> {
    // One snapshot for the search and for what was found.
    let snapshot = connection.unchecked_transaction()?;
    let found = find(&snapshot, query, until)?;
    let mut statement = snapshot.prepare_cached(ROW)?;
    let mut records = Vec::with_capacity(found.places.len());
    for place in &found.places {
        records.push(statement.query_row([place.row], record)?);
    }
    Ok(HistoryPage { records, next: found.next, cut: found.cut })
}

struct Found {
    places: Vec<Place>,
    next: Option<Place>,
    cut: bool,
}

fn find(connection: &Connection, query: &HistoryQuery, until: Instant) -> rusqlite::Result<Found> {
    let HistoryQuery { filter, order, limit, after } = query;
    let sieve = Sieve::new(filter);
    let ways = Way::all(filter, *order, *after);
    let mut statements = prepare(connection, &ways)?;
    let mut walks = Vec::with_capacity(ways.len());
    for (way, statement) in ways.iter().zip(&mut statements) {
        // One more than the page has, to know whether it is the last.
        let best = Best::new(*order, after.map(|after| filter.rank(after)), limit + 1);
        walks.push((way, Walk::new(statement, way)?, best));
    }
    let mut now = clock::mono();
    let (winner, cut) = loop {
        // Rows in order lie together, rows of one user all over the file: equal time is fair.
        let shortest = walks.iter_mut().enumerate().min_by_key(|(_, (_, walk, _))| walk.spent);
        let Some((index, (way, walk, best))) = shortest else { break (None, false) };
        let told = walk.advance(&sieve, |place| {
            best.push(filter.rank(place), place);
            // Out of order, a later one may belong further ahead.
            if way.in_order && best.is_full() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })?;
        if told.is_break() || walk.ended {
            break (Some(index), false);
        }
        let later = clock::mono();
        walk.spent += later.saturating_duration_since(now);
        now = later;
        if now >= until && way.in_order {
            // Each that is in order has seen all up to where it is; the furthest saw most.
            let in_order = walks.iter().enumerate().filter(|(_, (way, ..))| way.in_order);
            let row = |walk: &Walk<'_>| walk.at.map(|place| place.row);
            let furthest = in_order
                .filter(|(_, (_, walk, _))| walk.at.is_some())
                .max_by(|(_, (_, a, _)), (_, (_, b, _))| order.of(row(a).cmp(&row(b))));
            break (furthest.map(|(index, _)| index), true);
        }
    };
    // Invariant: `Way::all` gives at least one way, and at least one that is in order.
    let (_, walk, best) = walks.swap_remove(winner.expect("a way that is in order"));
    let mut places: Vec<Place> = best.into_sorted().into_iter().map(|(_, place)| place).collect();
    let more = places.len() > *limit;
    places.truncate(*limit);
    let next = if more { places.last().copied() } else { walk.at.filter(|_| cut) };
    Ok(Found { places, next, cut })
}

/// How many there are; `None` if counting them took until `until`.
pub(super) fn total(
    connection: &Connection,
    filter: &Filter,
    until: Instant,
) -> rusqlite::Result<Option<u64>> {
    let snapshot = connection.unchecked_transaction()?;
    match counted(&snapshot, filter)? {
        Some(total) => Ok(Some(total)),
        None => count(&snapshot, filter, until),
    }
}

/// By counting entries of one index alone, where that is enough.
fn counted(connection: &Connection, filter: &Filter) -> rusqlite::Result<Option<u64>> {
    let Filter { user, status, since_ms, until_ms, .. } = filter;
    let only = |some: Filter| some == *filter;
    if only(Filter { status: *status, ..Filter::default() }) {
        let mut statement = connection.prepare_cached(TOTAL_OF_STATUS)?;
        let all = [Status::Closed, Status::Failed, Status::RejectedByAcl];
        let mut total = 0;
        for one in all.into_iter().filter(|one| status.is_none_or(|status| status == *one)) {
            total += statement.query_row([one.as_str()], |row| row.get::<_, u64>(0))?;
        }
        return Ok(Some(total));
    }
    if let Some(user) = user
        && only(Filter { user: Some(user.clone()), ..Filter::default() })
    {
        let total =
            connection.prepare_cached(TOTAL_OF_USER)?.query_row([user], |row| row.get(0))?;
        return Ok(Some(total));
    }
    if only(Filter { since_ms: *since_ms, until_ms: *until_ms, ..Filter::default() }) {
        let (since, until) = bounds(filter);
        let total = connection
            .prepare_cached(TOTAL_BY_TIME)?
            .query_row([since, until], |row| row.get(0))?;
        return Ok(Some(total));
    }
    Ok(None)
}

/// By looking at the rows.
fn count(
    connection: &Connection,
    filter: &Filter,
    until: Instant,
) -> rusqlite::Result<Option<u64>> {
    let sieve = Sieve::new(filter);
    let ways = Way::all(filter, Order::Ascending, None);
    let mut statements = prepare(connection, &ways)?;
    let mut walks = Vec::with_capacity(ways.len());
    for (way, statement) in ways.iter().zip(&mut statements) {
        walks.push((Walk::new(statement, way)?, 0));
    }
    let mut now = clock::mono();
    while let Some((walk, total)) = walks.iter_mut().min_by_key(|(walk, _)| walk.spent) {
        let told = walk.advance(&sieve, |_| {
            *total += 1;
            ControlFlow::Continue(())
        })?;
        if told.is_break() || walk.ended {
            return Ok(Some(*total));
        }
        let later = clock::mono();
        walk.spent += later.saturating_duration_since(now);
        now = later;
        if now >= until {
            break;
        }
    }
    Ok(None)
}

fn prepare<'c>(
    connection: &'c Connection,
    ways: &[Way],
) -> rusqlite::Result<Vec<CachedStatement<'c>>> {
    ways.iter().map(|way| way.prepare(connection)).collect()
}

const ROW: &str = include_str!("../../../sql/query/history_row.sql");
const TOTAL_OF_STATUS: &str = include_str!("../../../sql/query/history_total_of_status.sql");
const TOTAL_OF_USER: &str = include_str!("../../../sql/query/history_total_of_user.sql");
const TOTAL_BY_TIME: &str = include_str!("../../../sql/query/history_total_by_time.sql");

#[cfg(test)]
mod tests;
