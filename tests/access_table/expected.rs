//! What is to come of a row, said in the contract's words and without the proxy's code.

use super::row::{Came, Dialect, Login, Row, Target};

pub(crate) fn expected(row: &Row) -> Came {
    let user = match entry(row) {
        Entry::Refused { reply, code, claimed } => {
            let record = format!("failed | {code} | - | - | anonymous | {claimed}");
            return Came { through: false, reply: reply.to_owned(), record };
        }
        Entry::As { user } => user,
    };
    let claimed = claimed(row);
    match decision(row, user) {
        Decision::Block { rule, code } => Came {
            through: false,
            reply: match row.dialect {
                Dialect::Connect | Dialect::Bind => "2",
                // The association stands; its datagram does not pass.
                Dialect::Udp => "0",
                Dialect::Socks4 | Dialect::Socks4a => "91",
                Dialect::Http => "403",
            }
            .to_owned(),
            record: format!("rejected_by_acl | {code} | block | {rule} | {user} | {claimed}"),
        },
        Decision::Allow { rule } => Came {
            through: true,
            reply: match row.dialect {
                Dialect::Connect | Dialect::Bind | Dialect::Udp => "0",
                Dialect::Socks4 | Dialect::Socks4a => "90",
                Dialect::Http => "200",
            }
            .to_owned(),
            record: format!("closed | client_closed | allow | {rule} | {user} | {claimed}"),
        },
    }
}

/// Whether it is let in, and as whom.
enum Entry {
    Refused { reply: &'static str, code: &'static str, claimed: String },
    As { user: &'static str },
}

fn entry(row: &Row) -> Entry {
    if !row.wanted {
        return Entry::As { user: "anonymous" };
    }
    let nothing = || "-".to_owned();
    let (none, failed) = ("no_acceptable_method", "auth_failed");
    match row.dialect {
        // It cannot carry a login, whatever it claims.
        Dialect::Socks4 | Dialect::Socks4a => {
            Entry::Refused { reply: "91", code: none, claimed: claimed(row) }
        }
        Dialect::Http => match (row.login, row.login.said(row.dialect)) {
            (Login::Alice, _) => Entry::As { user: "alice" },
            (Login::Bob, _) => Entry::As { user: "bob" },
            // Longer than any login: none at all.
            (Login::None | Login::Long, _) | (_, None) => {
                Entry::Refused { reply: "407", code: none, claimed: nothing() }
            }
            (_, Some((name, _))) => {
                Entry::Refused { reply: "407", code: failed, claimed: shown(&name) }
            }
        },
        Dialect::Connect | Dialect::Bind | Dialect::Udp => {
            match (row.login, row.login.said(row.dialect)) {
                (Login::Alice, _) => Entry::As { user: "alice" },
                (Login::Bob, _) => Entry::As { user: "bob" },
                (_, None) => Entry::Refused { reply: "no method", code: none, claimed: nothing() },
                (_, Some((name, _))) => {
                    Entry::Refused { reply: "login failed", code: failed, claimed: shown(&name) }
                }
            }
        }
    }
}

/// A USERID is a claim, and is recorded as one; up to its NUL, which ends it.
fn claimed(row: &Row) -> String {
    let said = match row.dialect {
        Dialect::Socks4 | Dialect::Socks4a => row.login.said(row.dialect),
        Dialect::Connect | Dialect::Bind | Dialect::Udp | Dialect::Http => None,
    };
    let userid = said.map_or(String::new(), |(name, _)| name.replace('\0', ""));
    shown(&userid)
}

/// A name as it is recorded: none is no name.
fn shown(name: &str) -> String {
    if name.is_empty() { "-".to_owned() } else { name.to_owned() }
}

enum Decision {
    Allow { rule: &'static str },
    Block { rule: &'static str, code: &'static str },
}

fn decision(row: &Row, user: &str) -> Decision {
    let block = |rule| Decision::Block { rule, code: "acl_denied" };
    let allow = Decision::Allow { rule: "allowed" };
    match row.target {
        Target::Allowed | Target::OtherSource => allow,
        Target::ByAddress => block("by address"),
        // Without names it asks for the address itself.
        Target::NameOfAddress if !row.dialect.takes_names() => block("by address"),
        // Nothing is against the name, but every address that it has is forbidden.
        Target::NameOfAddress => Decision::Block { rule: "by address", code: "acl_denied_address" },
        Target::ByUser if user == "alice" => block("by user"),
        Target::ByUser => allow,
        Target::ByGroup if user == "alice" => block("by group"),
        Target::ByGroup => allow,
        Target::BySource => block("by source"),
        Target::ByName | Target::ByNameSpelt if row.dialect.takes_names() => block("by name"),
        Target::ByName | Target::ByNameSpelt => allow,
        Target::ByPort => block("by port"),
        Target::Shadow => Decision::Allow { rule: "allowed" },
        Target::NoRule => block("default policy"),
    }
}
