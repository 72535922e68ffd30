//! A session's values as a statement's parameters, from memory on the stack: no row allocates.
//!
//! SQLite copies each text that is bound, and keeps it until the parameter is bound again. So a
//! column that says the same as in the row before is not bound again.

use std::fmt::{self, Write};
use std::net::IpAddr;

use rusqlite::{CachedStatement, Connection, ToSql};

use crate::clock::Stamp;
use crate::session::SessionView;

/// A statement that writes whole rows.
pub(super) struct Upsert<'c, 'r> {
    statement: CachedStatement<'c>,
    /// The row whose values are bound.
    last: Option<&'r SessionView>,
}

impl<'c, 'r> Upsert<'c, 'r> {
    /// `node` is the name of this node; empty for none.
    pub(super) fn new(connection: &'c Connection, node: &str) -> rusqlite::Result<Self> {
        let mut statement =
            connection.prepare_cached(include_str!("../../sql/query/upsert_session.sql"))?;
        statement.raw_bind_parameter(25, text(node))?;
        Ok(Self { statement, last: None })
    }

    /// Writes a row, unless there is a finished one.
    pub(super) fn write(&mut self, row: &'r SessionView) -> rusqlite::Result<()> {
        self.bind_what_differs_always(row)?;
        self.bind_what_repeats(row)?;
        self.last = Some(row);
        self.statement.raw_execute()?;
        Ok(())
    }

    fn bind_what_differs_always(&mut self, row: &SessionView) -> rusqlite::Result<()> {
        let ended = row.ending;
        let (traffic, stages) = (row.traffic, row.stages);
        let bind = &mut self.statement;
        bind.raw_bind_parameter(1, row.id.encode(&mut [0; 36]))?;
        bind.raw_bind_parameter(3, Stamp::of(row.start_ms).as_str())?;
        bind.raw_bind_parameter(4, row.end_ms().map(Stamp::of).as_ref().map(Stamp::as_str))?;
        bind.raw_bind_parameter(5, ended.map(|ending| signed(ending.duration_ms / 1000)))?;
        bind.raw_bind_parameter(7, row.client.port())?;
        bind.raw_bind_parameter(9, row.target_port)?;
        bind.raw_bind_parameter(11, signed(traffic.bytes_sent))?;
        bind.raw_bind_parameter(12, signed(traffic.bytes_received))?;
        bind.raw_bind_parameter(13, signed(traffic.packets_sent))?;
        bind.raw_bind_parameter(14, signed(traffic.packets_received))?;
        bind.raw_bind_parameter(19, ended.map(|ending| signed(ending.duration_ms)))?;
        bind.raw_bind_parameter(23, row.rule_id)?;
        bind.raw_bind_parameter(24, row.decision.map(|_| signed(row.policy_generation)))?;
        bind.raw_bind_parameter(26, stages.auth_us)?;
        bind.raw_bind_parameter(27, stages.resolve_us)?;
        bind.raw_bind_parameter(28, stages.connect_us)?;
        bind.raw_bind_parameter(29, stages.first_byte_us)?;
        bind.raw_bind_parameter(30, row.client_tcp.map(|(rtt, _)| rtt))?;
        bind.raw_bind_parameter(31, row.upstream_tcp.map(|(rtt, _)| rtt))?;
        bind.raw_bind_parameter(32, row.client_tcp.map(|(_, retransmits)| retransmits))?;
        bind.raw_bind_parameter(33, row.upstream_tcp.map(|(_, retransmits)| retransmits))
    }

    fn bind_what_repeats(&mut self, row: &'r SessionView) -> rusqlite::Result<()> {
        self.differing(2, row, |row| &*row.user, |user| user)?;
        self.differing(6, row, |row| row.client.ip(), IpText::of)?;
        self.differing(8, row, |row| &*row.target_host, |host| host)?;
        self.differing(10, row, SessionView::protocol, |word| word)?;
        self.differing(15, row, SessionView::status, |status| status.as_str())?;
        let outcome = |row: &SessionView| row.ending.map(|ending| ending.outcome);
        let reason = |row: &SessionView| {
            // All that the sentence is made of.
            (outcome(row), row.detail, row.is_by_guard(), row.shadow)
        };
        self.differing(16, row, reason, |_| row.close_reason())?;
        let rule = |row: &'r SessionView| row.decision.and_then(|_| text(&row.rule));
        self.differing(17, row, rule, |rule| rule)?;
        self.differing(18, row, |row| row.decision, |it| it.map(|decision| decision.as_str()))?;
        self.differing(20, row, |row| row.resolved, |ip| ip.map(IpText::of))?;
        self.differing(21, row, SessionView::command_word, |word| word)?;
        self.differing(22, row, outcome, |outcome| outcome.map(|it| it.close_code()))?;
        self.differing(34, row, |row| text(&row.claimed_user), |name| name)
    }

    /// Binds a column if its value differs from the row before.
    fn differing<V: PartialEq, S: ToSql>(
        &mut self,
        parameter: usize,
        row: &'r SessionView,
        value: impl Fn(&'r SessionView) -> V,
        sql: impl FnOnce(V) -> S,
    ) -> rusqlite::Result<()> {
        let now = value(row);
        if self.last.is_some_and(|last| value(last) == now) {
            return Ok(());
        }
        self.statement.raw_bind_parameter(parameter, sql(now))
    }
}

/// A statement that writes the figures of sessions that live and have a row.
pub(super) struct Checkpoint<'c>(CachedStatement<'c>);

impl<'c> Checkpoint<'c> {
    pub(super) fn new(connection: &'c Connection) -> rusqlite::Result<Self> {
        let sql = include_str!("../../sql/query/checkpoint_session.sql");
        Ok(Self(connection.prepare_cached(sql)?))
    }

    /// Writes the figures. Answers whether there was an unfinished row.
    pub(super) fn write(&mut self, row: &SessionView) -> rusqlite::Result<bool> {
        let (traffic, stages) = (row.traffic, row.stages);
        let bind = &mut self.0;
        bind.raw_bind_parameter(1, row.id.encode(&mut [0; 36]))?;
        bind.raw_bind_parameter(2, signed(traffic.bytes_sent))?;
        bind.raw_bind_parameter(3, signed(traffic.bytes_received))?;
        bind.raw_bind_parameter(4, signed(traffic.packets_sent))?;
        bind.raw_bind_parameter(5, signed(traffic.packets_received))?;
        bind.raw_bind_parameter(6, row.resolved.map(IpText::of))?;
        bind.raw_bind_parameter(7, stages.auth_us)?;
        bind.raw_bind_parameter(8, stages.resolve_us)?;
        bind.raw_bind_parameter(9, stages.connect_us)?;
        bind.raw_bind_parameter(10, stages.first_byte_us)?;
        Ok(bind.raw_execute()? > 0)
    }
}

/// SQLite has no unsigned integers; a counter never comes near the bound.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A text, NULL if it is empty.
fn text(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// An address as text, on the stack.
struct IpText {
    octets: [u8; IP_OCTETS_MAX],
    length: usize,
}

impl IpText {
    fn of(ip: IpAddr) -> Self {
        let mut text = Self { octets: [0; IP_OCTETS_MAX], length: 0 };
        match ip {
            // By hand: the formatter takes four times as long.
            IpAddr::V4(ip) => text.write_v4(ip.octets()),
            IpAddr::V6(ip) => {
                let written = write!(text, "{ip}");
                debug_assert!(written.is_ok(), "an address is never longer");
            }
        }
        text
    }

    fn write_v4(&mut self, octets: [u8; 4]) {
        for (index, octet) in octets.into_iter().enumerate() {
            if index > 0 {
                self.push(b'.');
            }
            if octet >= 100 {
                self.push(b'0' + octet / 100);
            }
            if octet >= 10 {
                self.push(b'0' + octet / 10 % 10);
            }
            self.push(b'0' + octet % 10);
        }
    }

    fn push(&mut self, octet: u8) {
        self.octets[self.length] = octet;
        self.length += 1;
    }
}

impl Write for IpText {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let end = self.length + part.len();
        let room = self.octets.get_mut(self.length..end).ok_or(fmt::Error)?;
        room.copy_from_slice(part.as_bytes());
        self.length = end;
        Ok(())
    }
}

impl ToSql for IpText {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        Ok(std::str::from_utf8(&self.octets[..self.length]).unwrap_or_default().into())
    }
}

/// `ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255`
const IP_OCTETS_MAX: usize = 45;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_ever() {
        for ip in ["0.0.0.0", "9.10.99.100", "199.200.255.1", "::", "2001:db8::1"] {
            let text = IpText::of(ip.parse().unwrap());
            assert_eq!(std::str::from_utf8(&text.octets[..text.length]), Ok(ip));
        }
        let longest = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
        assert_eq!(IpText::of(longest.parse().unwrap()).length, longest.len());
    }
}
