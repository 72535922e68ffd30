//! The dashboard as a browser has it: the real binary, Debian's Chromium, and scripts for Playwright in
//! `tests/dashboard/`. What a script prints is a measurement; pictures go to `target/tmp/dashboard/`.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    reason = "a test may block, read the clock and panic"
)]

mod harness;
#[path = "harness/names.rs"]
mod names;
#[path = "dashboard/past.rs"]
mod past;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use harness::PATIENCE;
use harness::api::{ask, exchange, get};
use harness::origin::Origin;
use harness::proxy::Proxy;
use names::{NameServer, Reply};
use parking_lot::Mutex;
use serde_json::{Value, json};

/// One browser at a time: several are too much for a small machine.
static BROWSER: Mutex<()> = Mutex::new(());

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dashboard")
}

/// Where pictures go.
fn pictures() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("dashboard");
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// The scene of a script: one proxy, and the address of a target.
fn scene(proxy: &Proxy, origin: &Origin) -> Value {
    json!({
        "api": proxy.api.unwrap(),
        "socks": proxy.socks,
        "origin": origin.address,
        "token": proxy.token(),
        "out": pictures(),
    })
}

/// Runs a script to its end, which must be a good one. `act` does what it orders.
#[track_caller]
fn drive(script: &str, scene: &Value, mut act: impl FnMut(&str)) {
    assert!(
        scripts().join("node_modules/playwright-core").exists(),
        "playwright-core is not there (sh .ci/setup test installs it)"
    );
    let _alone = BROWSER.lock();
    let home = tempfile::tempdir().unwrap();
    let mut node = Command::new("node")
        .arg(script)
        .current_dir(scripts())
        .env("SCENE", scene.to_string())
        .env("HOME", home.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("node is installed (sh .ci/setup test)");
    let mut stdin = node.stdin.take().unwrap();
    for line in BufReader::new(node.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        match line.strip_prefix("! ") {
            Some(word) => {
                act(word);
                writeln!(stdin, "done").unwrap();
            }
            None => println!("{script}: {line}"),
        }
    }
    let status = node.wait().unwrap();
    assert!(status.success(), "{script}: {status}");
}

fn no_order(word: &str) {
    panic!("nobody knows the order {word}");
}

#[test]
fn its_files_come_from_the_binary_and_are_known_again() {
    let proxy = Proxy::with_sections("api_require_token = true", "", "");
    let api = proxy.api.unwrap();
    let page = get(api, "/");
    assert_eq!(page.status, 200, "no browser can show a token for a page");
    assert!(page.head.contains("\r\nContent-Type: text/html; charset=utf-8\r\n"), "{}", page.head);
    assert!(page.head.contains("\r\nCache-Control: no-cache\r\n"), "{}", page.head);
    assert_eq!(page.head.matches("Cache-Control").count(), 1, "{}", page.head);
    assert!(page.head.contains("Content-Security-Policy: default-src 'none'"), "{}", page.head);
    assert!(page.body.contains("/dashboard/main.js"));
    let script = get(api, "/dashboard/main.js");
    assert_eq!(script.status, 200);
    assert!(script.head.contains("text/javascript"), "{}", script.head);
    let tag = script.head.lines().find_map(|line| line.strip_prefix("ETag: ")).unwrap();
    let again = exchange(
        api,
        &format!("GET /dashboard/main.js HTTP/1.1\r\nHost: {api}\r\nIf-None-Match: {tag}\r\n\r\n"),
    );
    assert_eq!((again.status, again.body.as_str()), (304, ""));
    let head = ask(api, "HEAD", "/", None);
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    let length = format!("Content-Length: {}", page.body.len());
    assert!(head.head.contains(&length), "{}", head.head);
    let wrong = ask(api, "POST", "/", Some(&proxy.token()));
    assert_eq!(wrong.status, 405);
    assert!(wrong.head.contains("Allow: GET, HEAD"), "{}", wrong.head);
    for path in ["/dashboard", "/dashboard/", "/dashboard/nothing.js", "/dashboard/../main.js"] {
        assert_eq!(ask(api, "GET", path, Some(&proxy.token())).status, 404, "{path}");
    }
}

#[test]
fn numbers_and_times_are_written_as_people_read_them() {
    let output = Command::new("node")
        .args(["--test", "format.test.mjs"])
        .current_dir(scripts())
        .output()
        .expect("node is installed (sh .ci/setup test)");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("# pass 6"), "{said}");
}

#[test]
fn every_page_loads_in_peace_wide_and_narrow_light_and_dark() {
    let (proxy, origin) = (Proxy::start(), Origin::echo());
    drive("pages.mjs", &scene(&proxy, &origin), no_order);
}

#[test]
fn a_session_is_seen_and_ended_by_a_click() {
    let (proxy, origin) = (Proxy::start(), Origin::echo());
    drive("live.mjs", &scene(&proxy, &origin), no_order);
}

#[test]
fn it_can_be_used_by_keyboard_alone() {
    let (proxy, origin) = (Proxy::start(), Origin::echo());
    drive("keyboard.mjs", &scene(&proxy, &origin), no_order);
}

#[test]
fn names_of_strangers_are_names_and_nothing_else() {
    let names = [
        "<img src=x onerror=pwned=1>",
        "\"><script>pwned=1</script>",
        "</td></tr><b onclick=pwned=1>",
        "javascript:pwned=1//${7*7}{{7*7}}",
        "=HYPERLINK(\"x\")&user=alice#/node",
        "\u{202e}gnp.live \u{1f980} 名前",
    ];
    let users = names.map(|name| {
        let name = serde_json::to_string(name).unwrap();
        format!("[[auth.users]]\nusername = {name}\npassword = \"secret\"\n")
    });
    let proxy = Proxy::with(&format!("[auth]\nsocks_method = \"userpass\"\n{}", users.concat()));
    let origin = Origin::echo();
    let mut scene = scene(&proxy, &origin);
    scene["names"] = json!(names);
    drive("names.mjs", &scene, no_order);
}

#[test]
fn it_says_what_is_wrong() {
    let (proxy, origin) = (Proxy::start(), Origin::echo());
    let scene = scene(&proxy, &origin);
    let (mut proxy, mut lock) = (Some(proxy), None);
    drive("trouble.mjs", &scene, |word| match word {
        "lock" => lock = Some(proxy.as_ref().unwrap().lock_database()),
        "unlock" => drop(lock.take()),
        "stop" => drop(proxy.take()),
        word => no_order(word),
    });
}

#[test]
fn where_as_many_listen_as_may_it_asks_again_and_again() {
    let (proxy, origin) = (Proxy::start(), Origin::echo());
    let api = proxy.api.unwrap();
    let listen = |_| {
        let mut stream = TcpStream::connect(api).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET /api/events HTTP/1.1\r\nHost: {api}\r\n\r\n").unwrap();
        let mut line = [0; 15];
        stream.read_exact(&mut line).unwrap();
        assert_eq!(&line, b"HTTP/1.1 200 OK");
        stream
    };
    let _listening: Vec<TcpStream> = (0..4).map(listen).collect();
    drive("crowded.mjs", &scene(&proxy, &origin), no_order);
}

#[test]
fn where_only_sums_are_kept_it_says_so() {
    let proxy = Proxy::with_sections("", "enabled = false", "");
    let origin = Origin::echo();
    drive("sums.mjs", &scene(&proxy, &origin), no_order);
}

#[test]
fn rules_are_listed_explained_and_read_anew() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("acl.toml");
    let mail = "[[rules]]\naction = \"block\"\ndescription = \"<b>no mail</b>\"\npriority = 200\n\
                destinations = [\".example.com\"]\nports = [25]\n";
    let rules = format!(
        "[global]\ndefault_policy = \"block\"\n{mail}\
         [[rules]]\naction = \"shadow-block\"\npriority = 150\ndestinations = [\"127.0.0.0/8\"]\n\
         [[rules]]\naction = \"allow\"\ndestinations = [\"127.0.0.1\"]\n"
    );
    fs::write(&file, rules).unwrap();
    let acl = "[acl]\nenabled = true\nconfig_file = \"{dir}/acl.toml\"\n";
    let (proxy, origin) = (Proxy::start_in(directory, "", "", acl), Origin::echo());
    drive("rules.mjs", &scene(&proxy, &origin), |word| match word {
        "change" => fs::write(&file, format!("[global]\n{mail}")).unwrap(),
        word => no_order(word),
    });
}

#[test]
fn a_ban_is_lifted_by_a_click() {
    let proxy = Proxy::with(
        "[auth]\nmax_failures = 1\nfailure_delay_ms = 0\nsocks_method = \"userpass\"\n\
         [[auth.users]]\nusername = \"alice\"\npassword = \"secret\"\n",
    );
    let origin = Origin::echo();
    drive("limits.mjs", &scene(&proxy, &origin), no_order);
}

#[test]
fn the_api_is_shown_and_tried_on_a_page_of_its_own() {
    let (proxy, origin) = (Proxy::start(), Origin::echo());
    drive("docs.mjs", &scene(&proxy, &origin), no_order);
}

#[test]
fn where_reading_wants_the_token_it_asks_for_it() {
    let proxy = Proxy::with_sections("api_require_token = true", "", "");
    let origin = Origin::echo();
    drive("token.mjs", &scene(&proxy, &origin), no_order);
}

#[test]
fn it_keeps_up_with_as_many_sessions_as_there_are() {
    let proxy = Proxy::start();
    let origin = Origin::echo();
    let mut scene = scene(&proxy, &origin);
    let resources = get(proxy.api.unwrap(), "/api/system/resources").json();
    let number = |name: &str| resources[name].as_u64();
    // A session takes two descriptors, of the proxy and of the script, which is its target, too.
    let left = number("open_descriptors_max").unwrap_or(u64::MAX) - DESCRIPTORS_OTHERWISE;
    let room = number("connections_max").unwrap().min(left / 2);
    let wanted = std::env::var("DASHBOARD_SESSIONS").map_or(SESSIONS, |text| text.parse().unwrap());
    println!("{wanted} sessions wanted, {room} allowed by the descriptors");
    scene["sessions"] = json!(wanted.min(room));
    drive("many.mjs", &scene, no_order);
}

/// Also makes the picture of the README, where `DASHBOARD_PICTURE` says for how many seconds the proxy is
/// to be busy before.
#[test]
#[cfg(feature = "dns-cares")]
fn it_shows_what_has_passed() {
    let server = NameServer::start(|name, _| match past::HOSTS.contains(&name) {
        true => Reply::Addresses(vec![Ipv4Addr::LOCALHOST.into()]),
        false => Reply::NoSuchName,
    });
    let directory = Proxy::start().stop();
    let file = directory.path().join("data/sessions.db");
    past::write(&mut rusqlite::Connection::open(file).unwrap());
    let users = past::USERS
        .map(|name| format!("[[auth.users]]\nusername = \"{name}\"\npassword = \"secret\"\n"));
    let further = format!(
        "[resolver]\nservers = [\"{}\"]\n[auth]\nsocks_method = \"userpass\"\n{}",
        server.address(),
        users.concat()
    );
    let proxy = Proxy::start_in(directory, "", "", &further);
    let mut scene = scene(&proxy, &Origin::echo());
    let seconds: Option<u32> =
        std::env::var("DASHBOARD_PICTURE").ok().map(|it| it.parse().unwrap());
    let picture = match seconds {
        Some(_) => Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/dashboard.png"),
        None => pictures().join("picture.png"),
    };
    scene["users"] = json!(past::USERS);
    scene["hosts"] = json!(past::HOSTS);
    scene["living"] = json!(if seconds.is_some() { 48 } else { 12 });
    scene["seconds"] = json!(seconds.unwrap_or(2));
    scene["height"] = json!(PICTURE_HEIGHT);
    scene["picture"] = json!(picture);
    drive("picture.mjs", &scene, no_order);
    let octets = fs::metadata(picture).unwrap().len();
    assert!((20_000..200 * 1024).contains(&octets), "a picture of {octets} octets");
}

/// What of the page the picture shows.
const PICTURE_HEIGHT: u32 = 848;
/// What both have beside sessions, and some more.
const DESCRIPTORS_OTHERWISE: u64 = 900;
/// Live sessions when nobody says how many.
const SESSIONS: u64 = 500;
