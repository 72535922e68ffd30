//! Ways through the table that find the rows of a filter, each by an index or by rowid.
//!
//! Which index is best depends on how the rows lie: a user with ten rows is found by the index on
//! users, one with ten million is met at once by reading in order. Instead of guessing, the ways
//! run side by side, each for a few rows at a time and all for as long, and the first that has its
//! answer ends it: that takes at most as many times the best way as there are ways.

use std::ops::ControlFlow;
use std::time::Duration;

use rusqlite::types::Value;
use rusqlite::{CachedStatement, Connection, Rows, params_from_iter};

use super::sieve::{self, Sieve};
use crate::clock::rfc3339;
use crate::stats::{Filter, Order, Place};

/// One way.
#[derive(Debug)]
pub(super) struct Way {
    sql: &'static str,
    parameters: Vec<Value>,
    /// Whether its rows come in the order of the history.
    pub(super) in_order: bool,
}

/// Rows of a way that is being walked.
pub(super) struct Walk<'s> {
    rows: Rows<'s>,
    /// Where it is; `None` before the first few rows.
    pub(super) at: Option<Place>,
    /// Whether there are no more rows.
    pub(super) ended: bool,
    /// How long it has taken so far.
    pub(super) spent: Duration,
}

impl Way {
    /// Every way to the rows of `filter` behind `after`; at least one is in order.
    pub(super) fn all(filter: &Filter, order: Order, after: Option<Place>) -> Vec<Self> {
        let by_time = filter.is_by_time();
        let of_user = filter.user.as_ref().map(|user| match order {
            Order::Ascending => (include_str!("../../../sql/query/history_of_user_asc.sql"), user),
            Order::Descending => {
                (include_str!("../../../sql/query/history_of_user_desc.sql"), user)
            }
        });
        let of_status = filter.only_status().map(|status| {
            let sql = match order {
                Order::Ascending => include_str!("../../../sql/query/history_of_status_asc.sql"),
                Order::Descending => include_str!("../../../sql/query/history_of_status_desc.sql"),
            };
            (sql, status.as_str())
        });
        // By time, a row behind `after` may have any number.
        let rows = rows(order, after.filter(|_| !by_time));
        let of = |sql: &'static str, text: &str| Self {
            sql,
            parameters: [rows.clone(), vec![Value::Text(text.to_owned())]].concat(),
            in_order: !by_time,
        };
        let indexed = of_user.map(|(sql, user)| of(sql, user)).into_iter();
        let mut ways: Vec<Self> =
            indexed.chain(of_status.map(|(sql, status)| of(sql, status))).collect();
        if by_time {
            ways.insert(0, Self::by_time(filter, order, after));
        } else if ways.is_empty() {
            ways.push(Self {
                sql: match order {
                    Order::Ascending => include_str!("../../../sql/query/history_asc.sql"),
                    Order::Descending => include_str!("../../../sql/query/history_desc.sql"),
                },
                parameters: rows,
                in_order: true,
            });
        }
        ways
    }

    fn by_time(filter: &Filter, order: Order, after: Option<Place>) -> Self {
        let (since, until) = bounds(filter);
        let (mut least, mut most) = ((since, i64::MIN), (until, i64::MIN));
        if let Some(after) = after {
            let after = (rfc3339(after.start_ms), after.row);
            match order {
                Order::Ascending => least = least.max(after),
                Order::Descending => most = most.min(after),
            }
        }
        Self {
            sql: match order {
                Order::Ascending => include_str!("../../../sql/query/history_by_time_asc.sql"),
                Order::Descending => include_str!("../../../sql/query/history_by_time_desc.sql"),
            },
            parameters: vec![least.0.into(), least.1.into(), most.0.into(), most.1.into()],
            in_order: true,
        }
    }

    #[cfg(test)]
    pub(super) fn sql(&self) -> &'static str {
        self.sql
    }

    /// Its statement, to be walked by [`Walk::new`].
    pub(super) fn prepare<'c>(
        &self,
        connection: &'c Connection,
    ) -> rusqlite::Result<CachedStatement<'c>> {
        connection.prepare_cached(self.sql)
    }
}

impl<'s> Walk<'s> {
    pub(super) fn new(statement: &'s mut CachedStatement<'_>, way: &Way) -> rusqlite::Result<Self> {
        let rows = statement.query(params_from_iter(&way.parameters))?;
        Ok(Self { rows, at: None, ended: false, spent: Duration::ZERO })
    }

    /// Looks at a few more rows, and hands out the places of those that pass until told to break.
    pub(super) fn advance(
        &mut self,
        sieve: &Sieve<'_>,
        mut find: impl FnMut(Place) -> ControlFlow<()>,
    ) -> rusqlite::Result<ControlFlow<()>> {
        for left in (0..ROWS_AT_A_TIME).rev() {
            let Some(row) = self.rows.next()? else {
                self.ended = true;
                return Ok(ControlFlow::Continue(()));
            };
            let passes = sieve.passes(row)?;
            // Reading the place of every row would cost more than looking at it.
            if passes || left == 0 {
                let place = sieve::place(row)?;
                self.at = Some(place);
                if passes && find(place).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// The least `start_time` that passes, and the least behind all that pass.
pub(super) fn bounds(filter: &Filter) -> (String, String) {
    let text = |ms: Option<i64>, otherwise: &str| ms.map_or(otherwise.to_owned(), rfc3339);
    (text(filter.since_ms, ""), text(filter.until_ms, BEHIND_ALL))
}

/// Greater and less than any row that may come: the bounds of a walk by number.
fn rows(order: Order, after: Option<Place>) -> Vec<Value> {
    let after = after.map(|place| place.row);
    let (least, most) = match order {
        Order::Ascending => (after.unwrap_or(i64::MIN), i64::MAX),
        Order::Descending => (i64::MIN, after.unwrap_or(i64::MAX)),
    };
    vec![least.into(), most.into()]
}

/// Sorts behind every time.
const BEHIND_ALL: &str = "~";
/// Rows that one way looks at before the next has its turn.
const ROWS_AT_A_TIME: usize = 64;
