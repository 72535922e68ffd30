//! What is asked for: method, path and query to a [`Route`], or to why not. Pure.
//!
//! A new path is a [`Place`]: a line in `Place::of`, one in `Place::allow`, one in `Route::of`, one in
//! `Route::need`, and one in `Route::pace`.

mod history;
mod limits;
mod minutes;
mod query;

pub use self::history::HistoryRequest;
pub(super) use self::history::STATUSES;
pub use self::limits::{BansQuery, QuotasQuery};
pub(super) use self::minutes::LIMIT_MAX as MINUTES_MAX;
pub use self::minutes::MinutesQuery;
use std::net::IpAddr;

use self::query::{Parameters, decode};
use super::access::Need;
use super::dashboard::Asset;
use super::events::{EventsQuery, Topic};
use super::page::{Cursor, Sort};
use super::reply::ApiReply;
use super::request::Method;
use crate::session::SessionId;
use crate::stats::{Filter, Order, TOP_MAX};

/// What a request asks for, its parameters checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// `GET /`, `GET /docs` and `GET /dashboard/{file}`.
    Dashboard(Asset),
    /// `GET /openapi.json`.
    OpenApi,
    /// `GET /health`.
    Health,
    /// `GET /metrics`.
    Metrics,
    /// `GET /api/system/resources`.
    Resources,
    /// `GET /api/sessions/active`.
    ActiveSessions(ActiveQuery),
    /// `GET /api/sessions/history` and `GET /api/users/{user}/sessions`.
    History(HistoryRequest),
    /// `GET /api/sessions/{id}`.
    Session(SessionId),
    /// `POST /api/sessions/{id}/terminate`.
    Terminate(SessionId),
    /// `POST /api/sessions/terminate`.
    TerminateAll(Filter),
    /// `GET /api/sessions/stats`.
    Stats(StatsQuery),
    /// `GET /api/metrics/history`.
    Minutes(MinutesQuery),
    /// `GET /api/acl/rules`.
    Rules(RulesQuery),
    /// `POST /api/acl/explain`.
    Explain,
    /// `POST /api/admin/reload`.
    Reload,
    /// `GET /api/events`.
    Events(EventsQuery),
    /// `GET /api/quotas`.
    Quotas(QuotasQuery),
    /// `GET /api/bans`.
    Bans(BansQuery),
    /// `DELETE /api/bans/{address}`.
    LiftBan(IpAddr),
}

/// How long a request may take a handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// It is answered from memory.
    Quick,
    /// It waits: for the database, or for files to be read.
    Slow,
    /// It waits for the database, unless this session is in memory.
    SlowUnlessAtHand(SessionId),
}

/// Which rules, in the order in which they are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RulesQuery {
    /// At most so many.
    pub limit: u32,
    /// How many are passed over.
    pub cursor: u32,
}

/// Which live sessions, and in which order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActiveQuery {
    /// Only those that pass.
    pub filter: Filter,
    /// The column they are sorted by.
    pub sort: Sort,
    /// Which way.
    pub order: Order,
    /// At most so many.
    pub limit: u32,
    /// After this row; its sort and order are those of the query.
    pub cursor: Option<Cursor>,
}

/// Which sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatsQuery {
    /// The window in hours.
    pub window_hours: u32,
    /// Entries of each list.
    pub top: u32,
}

/// What the numbers of a query may be.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// `stats_window_hours`: the window when none is named.
    pub window_hours: u32,
    /// `stats_window_max_hours`: the longest window.
    pub window_hours_max: u32,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { window_hours: 24, window_hours_max: 168 }
    }
}

/// Why a request leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Miss {
    /// 404: there is no such path.
    NotFound,
    /// 405: the path is there, the method is not; these are.
    WrongMethod(&'static str),
    /// 400: what is wrong, by name.
    Bad(String),
}

impl Route {
    /// What `method` on `path` with `query` asks for; path and query as sent.
    ///
    /// # Errors
    /// When there is no such path, not with this method, or not with these parameters.
    pub fn of(
        method: Method,
        path: &str,
        query: Option<&str>,
        bounds: &Bounds,
    ) -> Result<Self, Miss> {
        let place = Place::of(path)?;
        if !place.allows(method) {
            return Err(Miss::WrongMethod(place.allow()));
        }
        let mut parameters = Parameters::parse(query)?;
        let route = match place {
            Place::Dashboard(asset) => Self::Dashboard(asset),
            Place::OpenApi => Self::OpenApi,
            Place::Health => Self::Health,
            Place::Metrics => Self::Metrics,
            Place::Resources => Self::Resources,
            Place::ActiveSessions => Self::ActiveSessions(ActiveQuery::take(&mut parameters)?),
            Place::History => Self::History(HistoryRequest::take(&mut parameters, None)?),
            Place::UserSessions(user) => {
                Self::History(HistoryRequest::take(&mut parameters, Some(user))?)
            }
            Place::Session(id) => Self::Session(id),
            Place::Terminate(id) => Self::Terminate(id),
            Place::TerminateAll => Self::TerminateAll(some_filter(&mut parameters)?),
            Place::Stats => Self::Stats(StatsQuery::take(&mut parameters, bounds)?),
            Place::Minutes => Self::Minutes(MinutesQuery::take(&mut parameters)?),
            Place::Rules => Self::Rules(RulesQuery {
                limit: parameters.number("limit", 1, LIMIT_MAX)?.unwrap_or(LIMIT),
                cursor: parameters.number("cursor", 0, u32::MAX)?.unwrap_or(0),
            }),
            Place::Explain => Self::Explain,
            Place::Reload => Self::Reload,
            Place::Events => Self::Events(events(&mut parameters)?),
            Place::Quotas => Self::Quotas(QuotasQuery::take(&mut parameters)?),
            Place::Bans => Self::Bans(BansQuery::take(&mut parameters)?),
            Place::Ban(address) => Self::LiftBan(address),
        };
        parameters.finish()?;
        Ok(route)
    }

    /// What it does, and so what it wants to be shown.
    #[must_use]
    pub const fn need(&self) -> Need {
        match self {
            Self::Dashboard(_) | Self::Health | Self::Metrics => Need::Probing,
            Self::Resources
            | Self::OpenApi
            | Self::ActiveSessions(_)
            | Self::History(_)
            | Self::Session(_)
            | Self::Stats(_)
            | Self::Minutes(_)
            | Self::Rules(_)
            | Self::Explain
            | Self::Events(_)
            | Self::Quotas(_)
            | Self::Bans(_) => Need::Reading,
            Self::Terminate(_) | Self::TerminateAll(_) | Self::Reload | Self::LiftBan(_) => {
                Need::Changing
            }
        }
    }
}

impl Route {
    /// How long it may take a handler.
    #[must_use]
    pub const fn pace(&self) -> Pace {
        match self {
            Self::History(_) | Self::Minutes(_) | Self::Reload => Pace::Slow,
            Self::Session(id) | Self::Terminate(id) => Pace::SlowUnlessAtHand(*id),
            Self::Dashboard(_)
            | Self::OpenApi
            | Self::Health
            | Self::Metrics
            | Self::Resources
            | Self::ActiveSessions(_)
            | Self::TerminateAll(_)
            | Self::Stats(_)
            | Self::Rules(_)
            | Self::Explain
            | Self::Events(_)
            | Self::Quotas(_)
            | Self::Bans(_)
            | Self::LiftBan(_) => Pace::Quick,
        }
    }
}

/// A path that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Dashboard(Asset),
    OpenApi,
    Health,
    Metrics,
    Resources,
    ActiveSessions,
    History,
    UserSessions(String),
    Session(SessionId),
    Terminate(SessionId),
    TerminateAll,
    Stats,
    Minutes,
    Rules,
    Explain,
    Reload,
    Events,
    Quotas,
    Bans,
    Ban(IpAddr),
}

impl Place {
    fn of(path: &str) -> Result<Self, Miss> {
        let path = path.strip_prefix('/').ok_or(Miss::NotFound)?;
        // Split first: an encoded slash is part of a name, not the end of one.
        let segments: Vec<String> = path
            .split('/')
            .map(|segment| decode(segment).ok_or_else(|| Miss::encoding("the path")))
            .collect::<Result<_, _>>()?;
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        match segments.as_slice() {
            [""] => Ok(Self::Dashboard(Asset::PAGE)),
            ["docs"] => Ok(Self::Dashboard(Asset::DOCS)),
            ["openapi.json"] => Ok(Self::OpenApi),
            ["dashboard", file @ ..] => {
                Asset::at(&file.join("/")).map(Self::Dashboard).ok_or(Miss::NotFound)
            }
            ["health"] => Ok(Self::Health),
            ["metrics"] if cfg!(feature = "metrics") => Ok(Self::Metrics),
            ["api", "system", "resources"] => Ok(Self::Resources),
            ["api", "sessions", "active"] => Ok(Self::ActiveSessions),
            ["api", "sessions", "history"] => Ok(Self::History),
            ["api", "users", user, "sessions"] if !user.is_empty() => {
                Ok(Self::UserSessions((*user).to_owned()))
            }
            ["api", "sessions", "stats"] => Ok(Self::Stats),
            ["api", "sessions", "terminate"] => Ok(Self::TerminateAll),
            ["api", "sessions", id, "terminate"] if id.len() == UUID_LENGTH => {
                id.parse().map(Self::Terminate).map_err(|_| Miss::NotFound)
            }
            ["api", "metrics", "history"] => Ok(Self::Minutes),
            ["api", "acl", "rules"] => Ok(Self::Rules),
            ["api", "acl", "explain"] => Ok(Self::Explain),
            ["api", "admin", "reload"] => Ok(Self::Reload),
            ["api", "events"] => Ok(Self::Events),
            ["api", "quotas"] => Ok(Self::Quotas),
            ["api", "bans"] => Ok(Self::Bans),
            ["api", "bans", address] => address.parse().map(Self::Ban).map_err(|_| Miss::NotFound),
            ["api", "sessions", id] if id.len() == UUID_LENGTH => {
                id.parse().map(Self::Session).map_err(|_| Miss::NotFound)
            }
            _ => Err(Miss::NotFound),
        }
    }

    fn allow(&self) -> &'static str {
        match self {
            Self::Dashboard(_)
            | Self::OpenApi
            | Self::Health
            | Self::Metrics
            | Self::Resources
            | Self::ActiveSessions
            | Self::History
            | Self::UserSessions(_)
            | Self::Session(_)
            | Self::Stats
            | Self::Minutes
            | Self::Rules
            | Self::Events
            | Self::Quotas
            | Self::Bans => READ,
            Self::Ban(_) => DELETE,
            Self::Terminate(_) | Self::TerminateAll | Self::Explain | Self::Reload => POST,
        }
    }

    fn allows(&self, method: Method) -> bool {
        let name = match method {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
            Method::Delete => "DELETE",
            Method::Other => return false,
        };
        self.allow().split(", ").any(|allowed| allowed == name)
    }
}

impl ActiveQuery {
    fn take(parameters: &mut Parameters) -> Result<Self, Miss> {
        let sort = parameters.choice("sort", &Sort::ALL)?.unwrap_or_default();
        let order = parameters.choice("order", &ORDERS)?.unwrap_or(Order::Descending);
        let cursor = match parameters.text("cursor")? {
            None => None,
            Some(text) => match Cursor::decode(&text) {
                Some(cursor) if cursor.sort == sort && cursor.order == order => Some(cursor),
                Some(_) => {
                    return Err(Miss::parameter("cursor", "is of another sort or order"));
                }
                None => return Err(Miss::parameter("cursor", "is not one of ours")),
            },
        };
        Ok(Self {
            filter: live_filter(parameters)?,
            sort,
            order,
            limit: parameters.number("limit", 1, LIMIT_MAX)?.unwrap_or(LIMIT),
            cursor,
        })
    }
}

/// The filter of live sessions.
fn live_filter(parameters: &mut Parameters) -> Result<Filter, Miss> {
    Ok(Filter {
        user: parameters.text("user")?,
        dest: parameters.dest()?,
        source: parameters.source()?,
        ..Filter::default()
    })
}

/// What a listener wants to hear.
fn events(parameters: &mut Parameters) -> Result<EventsQuery, Miss> {
    Ok(EventsQuery {
        filter: live_filter(parameters)?,
        only: parameters.choice("event", &Topic::ALL)?,
        for_secs: parameters.number("for_secs", 1, LISTENING_SECS_MAX)?,
    })
}

/// The same with something in it: nobody ends all sessions by leaving something out.
fn some_filter(parameters: &mut Parameters) -> Result<Filter, Miss> {
    let filter = live_filter(parameters)?;
    if filter == Filter::default() {
        return Err(Miss::Bad("one of `user`, `dest` and `source` must be given".to_owned()));
    }
    Ok(filter)
}

impl StatsQuery {
    fn take(parameters: &mut Parameters, bounds: &Bounds) -> Result<Self, Miss> {
        let window = parameters.number("window_hours", 1, bounds.window_hours_max)?;
        Ok(Self {
            window_hours: window.unwrap_or(bounds.window_hours),
            top: parameters.number("top", 1, TOP_MAX)?.unwrap_or(TOP),
        })
    }
}

impl Miss {
    fn parameter(name: &str, what: &str) -> Self {
        Self::Bad(format!("parameter `{name}` {what}"))
    }

    fn encoding(name: &str) -> Self {
        Self::Bad(format!("`{name}` is not percent-encoded UTF-8 text"))
    }

    /// The answer that says so.
    #[must_use]
    pub fn reply(&self) -> ApiReply {
        match self {
            Self::NotFound => ApiReply::problem(404, "there is no such path"),
            Self::WrongMethod(allow) => {
                ApiReply::problem(405, &format!("this path allows {allow}"))
                    .with_header("Allow", *allow)
            }
            Self::Bad(what) => ApiReply::problem(400, what),
        }
    }
}

const READ: &str = "GET, HEAD";
const POST: &str = "POST";
const DELETE: &str = "DELETE";
pub(super) const ORDERS: [(Order, &str); 2] =
    [(Order::Ascending, "asc"), (Order::Descending, "desc")];
/// Rows of a page when no limit is named, and at most.
pub(super) const LIMIT: u32 = 100;
pub(super) const LIMIT_MAX: u32 = 1000;
/// Entries of a list of sums when no number is named.
pub(super) const TOP: u32 = 10;
/// A day.
pub(super) const LISTENING_SECS_MAX: u32 = 86_400;
/// A UUID is spelled in one way, with hyphens.
const UUID_LENGTH: usize = 36;

#[cfg(test)]
mod tests;
