//! Who may ask the API what.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test may block, read the clock and panic"
)]

mod harness;

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output};

use harness::api::{ask, exchange, get};
use harness::proxy::Proxy;

const ACTIVE: &str = "/api/sessions/active";

#[test]
fn the_token_is_made_at_the_first_start_kept_and_never_shown() {
    let mut proxy = Proxy::start();
    let token = proxy.token();
    let file = proxy.directory().join("data/api-token");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(token.len(), 64, "256 bits as hexadecimal digits");
    let api = proxy.api.unwrap();
    assert_eq!(get(api, ACTIVE).status, 200, "reading is open to this machine");
    assert!(!get(api, "/metrics").body.contains(&token));
    assert!(!proxy.log().contains(&token));
    let directory = proxy.stop();
    let again = Proxy::start_in(directory, "", "", "");
    assert_eq!(again.token(), token);
}

#[test]
fn where_it_is_required_only_health_metrics_and_bare_pages_are_open() {
    let proxy = Proxy::with_sections("api_require_token = true", "", "");
    let (api, token) = (proxy.api.unwrap(), proxy.token());
    assert_eq!(get(api, "/health").status, 200);
    assert_eq!(get(api, "/metrics").status, 200);
    // The pages hold nothing themselves, and no browser can show a token for them.
    assert_eq!(get(api, "/").status, 200);
    assert_eq!(get(api, "/dashboard/main.js").status, 200);
    assert_eq!(get(api, "/docs").status, 200);
    for path in
        [ACTIVE, "/api/sessions/stats", "/api/sessions/history", "/openapi.json", "/nowhere"]
    {
        let refused = get(api, path);
        assert_eq!(refused.status, 401, "{path}");
        assert!(refused.head.contains("WWW-Authenticate: Bearer realm=\"rustsocks\""));
        assert!(refused.head.contains("application/problem+json"), "{}", refused.head);
        assert!(!refused.body.contains(&token));
        assert_eq!(ask(api, "GET", path, Some("no such token")).status, 401, "{path}");
    }
    assert_eq!(ask(api, "GET", ACTIVE, Some(&token)).status, 200);
    assert_eq!(ask(api, "GET", "/nowhere", Some(&token)).status, 404);
}

#[test]
fn others_may_reach_it_only_with_the_token_and_under_its_own_name() {
    let proxy = Proxy::with_sections(
        "api_require_token = true",
        "stats_api_bind_address = \"0.0.0.0\"",
        "",
    );
    let (port, token) = (proxy.api.unwrap().port(), proxy.token());
    let api = ([127, 0, 0, 2], port).into();
    assert_eq!(get(api, ACTIVE).status, 401);
    assert_eq!(ask(api, "GET", ACTIVE, Some(&token)).status, 200);
    let named = |headers: &str| {
        exchange(
            api,
            &format!("GET {ACTIVE} HTTP/1.1\r\nAuthorization: Bearer {token}\r\n{headers}\r\n"),
        )
        .status
    };
    assert_eq!(named("Host: rebound.example\r\n"), 421);
    assert_eq!(named(&format!("Host: {api}\r\nOrigin: http://evil.example\r\n")), 403);
}

/// Starts a proxy on this token file, which is expected to fail.
fn start_on(directory: &Path, token_file: &str) -> Output {
    let config = directory.join("rustsocks.toml");
    let text = format!(
        "[server]\nbind_port = 0\napi_token_file = \"{token_file}\"\n[sessions]\nstats_api_port = 0\n\
         ledger_path = \"{}/ledger\"\n",
        directory.display()
    );
    std::fs::write(&config, text).unwrap();
    Command::new(env!("CARGO_BIN_EXE_rustsocks"))
        .arg("--config")
        .arg(&config)
        .current_dir(directory)
        .output()
        .unwrap()
}

#[test]
fn a_token_file_that_is_a_link_or_open_to_others_stops_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    symlink(path("elsewhere"), path("link")).unwrap();
    let secret = "0123456789abcdef0123456789abcdef";
    std::fs::write(path("open"), secret).unwrap();
    std::fs::set_permissions(path("open"), std::fs::Permissions::from_mode(0o644)).unwrap();
    for name in ["link", "open"] {
        let output = start_on(directory.path(), name);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(78), "{said}");
        assert!(said.contains("server.api_token_file") && said.contains(name), "{said}");
        assert!(!said.contains(secret));
    }
    assert!(!path("elsewhere").exists());
}
