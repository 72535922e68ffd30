//! A row as readers see it.

use rusqlite::Row;
use rusqlite::types::FromSql;

use crate::stats::Record;

/// Reads a row of all columns, in the order of the table.
pub(super) fn record(row: &Row<'_>) -> rusqlite::Result<Record> {
    let mut columns = Columns { row, at: 0 };
    Ok(Record {
        session_id: columns.next()?,
        user: columns.next()?,
        start_time: columns.next()?,
        end_time: columns.next()?,
        duration_secs: columns.next()?,
        source_ip: columns.next()?,
        source_port: columns.next()?,
        dest_ip: columns.next()?,
        dest_port: columns.next()?,
        protocol: columns.next()?,
        bytes_sent: columns.next()?,
        bytes_received: columns.next()?,
        packets_sent: columns.next()?,
        packets_received: columns.next()?,
        status: columns.next()?,
        close_reason: columns.next()?,
        acl_rule_matched: columns.next()?,
        acl_decision: columns.next()?,
        duration_ms: columns.next()?,
        resolved_ip: columns.next()?,
        command: columns.next()?,
        close_code: columns.next()?,
        rule_id: columns.next()?,
        policy_generation: columns.next()?,
        node: columns.next()?,
        auth_us: columns.next()?,
        resolve_us: columns.next()?,
        connect_us: columns.next()?,
        first_byte_us: columns.next()?,
        client_rtt_us: columns.next()?,
        upstream_rtt_us: columns.next()?,
        client_retransmits: columns.next()?,
        upstream_retransmits: columns.next()?,
        claimed_user: columns.next()?,
    })
}

/// Columns one after the other: finding each by its name would compare every name with every other.
struct Columns<'a> {
    row: &'a Row<'a>,
    at: usize,
}

impl Columns<'_> {
    fn next<T: FromSql>(&mut self) -> rusqlite::Result<T> {
        let at = self.at;
        self.at += 1;
        self.row.get(at)
    }
}
