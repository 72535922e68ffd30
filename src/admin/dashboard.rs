//! `GET /`, `GET /docs` and `GET /dashboard/…`: the pages for people. Their files are part of the
//! binary, written by hand, and built by nothing: what lies beside this file is what a browser gets.
//!
//! They hold nothing about any session, so they are given to anybody who reaches them, also where
//! reading wants the token: a browser cannot show it for a page. What they show they ask the API for, as
//! any other client. Names and hosts are chosen by strangers, so the pages are told to run no script
//! but these files, and to make no markup of any text.

use super::reply::ApiReply;

/// One file of the dashboard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asset(usize);

struct File {
    /// Below `/dashboard/`; the first one is what `/` answers, the second what `/docs` does.
    path: &'static str,
    content_type: &'static str,
    body: &'static [u8],
    tag: u64,
}

impl Asset {
    /// What `/` answers.
    pub(super) const PAGE: Self = Self(0);

    /// What `/docs` answers.
    pub(super) const DOCS: Self = Self(1);

    /// The file at this path below `/dashboard/`.
    pub(super) fn at(path: &str) -> Option<Self> {
        FILES.iter().position(|file| file.path == path).map(Self)
    }

    /// The file, or 304 if `known`, the value of `If-None-Match`, has its tag (RFC 9110 §13.1.2).
    pub(super) fn reply(self, known: Option<&str>) -> ApiReply {
        let Some(file) = FILES.get(self.0) else {
            return ApiReply::problem(404, "there is no such path");
        };
        let tag = format!("\"{:016x}\"", file.tag);
        let is_tag = |one: &str| matches!(one.trim(), "*") || one.trim().ends_with(&tag);
        let fresh = known.is_some_and(|listed| listed.split(',').any(is_tag));
        let (status, body) = if fresh { (304, Vec::new()) } else { (200, file.body.to_vec()) };
        let headers = HEADERS.map(|(name, value)| (name, value.to_owned()));
        ApiReply { status, content_type: file.content_type, headers: headers.into(), body }
            .with_header("ETag", tag)
    }
}

const fn file(path: &'static str, content_type: &'static str, body: &'static [u8]) -> File {
    File { path, content_type, body, tag: digest(body) }
}

/// FNV-1a: tells one version of a file from the next, and can be had while compiling.
const fn digest(octets: &[u8]) -> u64 {
    let mut digest = 0xcbf2_9ce4_8422_2325;
    let mut rest = octets;
    while let [octet, after @ ..] = rest {
        digest = (digest ^ *octet as u64).wrapping_mul(0x0100_0000_01b3);
        rest = after;
    }
    digest
}

macro_rules! files {
    ($($kind:ident $path:literal,)*) => {
        [$(file($path, $kind, include_bytes!(concat!("dashboard/", $path)))),*]
    };
}

const HTML: &str = "text/html; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const PICTURE: &str = "image/svg+xml";

static FILES: [File; 40] = files![
    HTML "index.html",
    HTML "docs.html",
    PICTURE "mark.svg",
    STYLE "style/colours.css",
    STYLE "style/frame.css",
    STYLE "style/parts.css",
    STYLE "style/tables.css",
    STYLE "style/charts.css",
    STYLE "style/session.css",
    STYLE "style/rules.css",
    STYLE "style/docs.css",
    SCRIPT "main.js",
    SCRIPT "docs.js",
    SCRIPT "api.js",
    SCRIPT "element.js",
    SCRIPT "feed.js",
    SCRIPT "format.js",
    SCRIPT "glance.js",
    SCRIPT "poll.js",
    SCRIPT "place.js",
    SCRIPT "stream.js",
    SCRIPT "theme.js",
    SCRIPT "parts/banner.js",
    SCRIPT "parts/bars.js",
    SCRIPT "parts/chart.js",
    SCRIPT "parts/csv.js",
    SCRIPT "parts/filters.js",
    SCRIPT "parts/schema.js",
    SCRIPT "parts/sparkline.js",
    SCRIPT "parts/table.js",
    SCRIPT "parts/orders.js",
    SCRIPT "pages/events.js",
    SCRIPT "pages/history.js",
    SCRIPT "pages/limits.js",
    SCRIPT "pages/node.js",
    SCRIPT "pages/overview.js",
    SCRIPT "pages/rules.js",
    SCRIPT "pages/session.js",
    SCRIPT "pages/sessions.js",
    SCRIPT "pages/top.js",
];

/// Nothing from elsewhere, nothing inline, no frame around it, no markup from text. A browser asks
/// each time whether its copy is still the binary's.
const HEADERS: [(&str, &str); 6] = [
    (
        "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'; trusted-types 'none'",
    ),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cache-Control", "no-cache"),
];

#[cfg(test)]
mod tests;
