//! Rows whose outcome is written down by hand.

use super::row::{Came, Dialect, Login, Row, Target};

/// Where logins are wanted; dialect, login, target; whether it gets through, the reply, and the record:
/// status, close_code, acl_decision, rule, user, claimed_user.
type Golden = (bool, Dialect, Login, Target, bool, &'static str, &'static str);

/// What is written down of this row.
pub(crate) fn of(row: &Row) -> Option<Came> {
    let found = GOLDEN.iter().find(|(wanted, dialect, login, target, ..)| {
        let golden = Row { wanted: *wanted, dialect: *dialect, login: *login, target: *target };
        golden == *row
    })?;
    let (.., through, reply, record) = found;
    Some(Came { through: *through, reply: (*reply).to_owned(), record: (*record).to_owned() })
}

pub(crate) const fn count() -> usize {
    GOLDEN.len()
}

use Dialect::{Bind, Connect, Http, Socks4, Socks4a, Udp};
use Login::{Alice, Bob, Empty, None, NulInName, NulInPassword, OtherCaseName, Unknown, Wrong};
use Login::{Long, OtherCasePassword};
use Target::{Allowed, ByAddress, ByGroup, ByName, ByNameSpelt, ByPort, BySource, ByUser};
use Target::{NameOfAddress, NoRule, OtherSource, Shadow};

#[rustfmt::skip]
const GOLDEN: [Golden; 48] = [
    // Without a login nothing, in no dialect.
    (true, Connect, None, Allowed, false, "no method", "failed | no_acceptable_method | - | - | anonymous | -"),
    (true, Bind, None, Allowed, false, "no method", "failed | no_acceptable_method | - | - | anonymous | -"),
    (true, Udp, None, Allowed, false, "no method", "failed | no_acceptable_method | - | - | anonymous | -"),
    (true, Socks4, None, Allowed, false, "91", "failed | no_acceptable_method | - | - | anonymous | -"),
    (true, Socks4a, None, Allowed, false, "91", "failed | no_acceptable_method | - | - | anonymous | -"),
    (true, Http, None, Allowed, false, "407", "failed | no_acceptable_method | - | - | anonymous | -"),
    // A claim is no login, but it is written down.
    (true, Socks4, Alice, Allowed, false, "91", "failed | no_acceptable_method | - | - | anonymous | alice"),
    (true, Socks4a, Alice, Allowed, false, "91", "failed | no_acceptable_method | - | - | anonymous | alice"),
    // The right one.
    (true, Connect, Alice, Allowed, true, "0", "closed | client_closed | allow | allowed | alice | -"),
    (true, Bind, Alice, Allowed, true, "0", "closed | client_closed | allow | allowed | alice | -"),
    (true, Udp, Alice, Allowed, true, "0", "closed | client_closed | allow | allowed | alice | -"),
    (true, Http, Alice, Allowed, true, "200", "closed | client_closed | allow | allowed | alice | -"),
    (true, Http, Bob, Allowed, true, "200", "closed | client_closed | allow | allowed | bob | -"),
    // Every wrong one.
    (true, Connect, Wrong, Allowed, false, "login failed", "failed | auth_failed | - | - | anonymous | alice"),
    (true, Udp, Wrong, Allowed, false, "login failed", "failed | auth_failed | - | - | anonymous | alice"),
    (true, Http, Wrong, Allowed, false, "407", "failed | auth_failed | - | - | anonymous | alice"),
    (true, Connect, Unknown, Allowed, false, "login failed", "failed | auth_failed | - | - | anonymous | mallory"),
    (true, Connect, Empty, Allowed, false, "login failed", "failed | auth_failed | - | - | anonymous | -"),
    (true, Connect, NulInName, Allowed, false, "login failed", "failed | auth_failed | - | - | anonymous | alice\0"),
    (true, Http, NulInPassword, Allowed, false, "407", "failed | auth_failed | - | - | anonymous | alice"),
    (true, Connect, OtherCaseName, Allowed, false, "login failed", "failed | auth_failed | - | - | anonymous | Alice"),
    (true, Bind, OtherCasePassword, Allowed, false, "login failed", "failed | auth_failed | - | - | anonymous | alice"),
    (true, Http, Long, Allowed, false, "407", "failed | no_acceptable_method | - | - | anonymous | -"),
    // Rules for users and groups hold for whom they name.
    (true, Connect, Alice, ByUser, false, "2", "rejected_by_acl | acl_denied | block | by user | alice | -"),
    (true, Connect, Bob, ByUser, true, "0", "closed | client_closed | allow | allowed | bob | -"),
    (true, Http, Alice, ByGroup, false, "403", "rejected_by_acl | acl_denied | block | by group | alice | -"),
    (true, Http, Bob, ByGroup, true, "200", "closed | client_closed | allow | allowed | bob | -"),
    (true, Udp, Alice, ByUser, false, "0", "rejected_by_acl | acl_denied | block | by user | alice | -"),
    (true, Bind, Alice, ByGroup, false, "2", "rejected_by_acl | acl_denied | block | by group | alice | -"),
    (false, Connect, None, ByUser, true, "0", "closed | client_closed | allow | allowed | anonymous | -"),
    // A login that nobody asked for makes nobody; a claim is written down.
    (false, Connect, Alice, ByUser, true, "0", "closed | client_closed | allow | allowed | anonymous | -"),
    (false, Http, Alice, ByUser, true, "200", "closed | client_closed | allow | allowed | anonymous | -"),
    (false, Socks4, Alice, ByUser, true, "90", "closed | client_closed | allow | allowed | anonymous | alice"),
    (false, Socks4a, Alice, Shadow, true, "90", "closed | client_closed | allow | allowed | anonymous | alice"),
    // Rules by what is asked for.
    (false, Connect, None, ByAddress, false, "2", "rejected_by_acl | acl_denied | block | by address | anonymous | -"),
    (false, Socks4, None, ByAddress, false, "91", "rejected_by_acl | acl_denied | block | by address | anonymous | -"),
    (false, Http, None, NameOfAddress, false, "403", "rejected_by_acl | acl_denied_address | block | by address | anonymous | -"),
    (false, Connect, None, ByName, false, "2", "rejected_by_acl | acl_denied | block | by name | anonymous | -"),
    (false, Socks4a, None, ByNameSpelt, false, "91", "rejected_by_acl | acl_denied | block | by name | anonymous | -"),
    (false, Udp, None, ByNameSpelt, false, "0", "rejected_by_acl | acl_denied | block | by name | anonymous | -"),
    (false, Socks4, None, ByName, true, "90", "closed | client_closed | allow | allowed | anonymous | -"),
    (false, Connect, None, ByPort, false, "2", "rejected_by_acl | acl_denied | block | by port | anonymous | -"),
    (false, Udp, None, ByPort, false, "0", "rejected_by_acl | acl_denied | block | by port | anonymous | -"),
    (false, Connect, None, BySource, false, "2", "rejected_by_acl | acl_denied | block | by source | anonymous | -"),
    (false, Connect, None, OtherSource, true, "0", "closed | client_closed | allow | allowed | anonymous | -"),
    (false, Http, None, Shadow, true, "200", "closed | client_closed | allow | allowed | anonymous | -"),
    (false, Bind, None, NoRule, false, "2", "rejected_by_acl | acl_denied | block | default policy | anonymous | -"),
    (false, Udp, None, NoRule, false, "0", "rejected_by_acl | acl_denied | block | default policy | anonymous | -"),
];
