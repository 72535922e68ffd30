//! The law of the house: reads the source and says no, with file, line and rule.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test may block, read the clock and panic"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Who may import whom, floor by floor. A module that is not listed may not be imported.
const IMPORTS: &[(&str, &str)] = &[
    // Floor 0: vocabulary.
    ("target", ""),
    ("key", ""),
    ("clock", ""),
    ("linux", ""),
    // Floor 1: protocol and policy.
    ("socks", "target"),
    ("http", "target socks"),
    ("proxy_protocol", ""),
    ("auth", "clock"),
    ("egress", "linux auth"),
    ("acl", "target clock socks auth"),
    ("limit", "clock auth"),
    ("session", "target key clock linux socks auth acl"),
    // Floor 2: assembled parts.
    ("policy", "clock socks auth egress acl limit"),
    ("resolve", "target key clock"),
    ("mailbox", "key auth limit resolve policy session clock"),
    ("udp", "target clock socks auth acl limit session policy resolve"),
    ("stats", "target clock session resolve udp"),
    ("relay", "clock linux"),
    (
        "connection",
        "target clock socks http proxy_protocol auth egress acl limit session policy resolve",
    ),
    ("access_log", "clock linux session stats"),
    ("config", "access_log target clock socks proxy_protocol auth egress acl limit policy"),
    // Floor 3: threads.
    ("offload", "target key clock auth limit resolve mailbox"),
    (
        "worker",
        "target key clock linux socks http proxy_protocol auth egress acl limit session policy resolve mailbox stats relay \
         connection udp offload",
    ),
    ("writer", "target key clock session stats access_log"),
    ("store", "target clock linux limit session stats writer"),
    (
        "admin",
        "target key clock linux socks auth acl limit session policy resolve mailbox stats udp access_log",
    ),
    // Floor 4: composition.
    (
        "daemon",
        "access_log target key clock linux socks proxy_protocol auth egress acl limit session policy resolve mailbox stats relay \
         connection config offload worker writer store admin",
    ),
    ("cli", "target clock linux socks auth acl policy config daemon store"),
    ("main", "cli"),
];

/// Crates that only these files or folders may name.
const CRATES: &[(&str, &[&str])] = &[
    ("rusqlite", &["store/"]),
    ("rusqlite_migration", &["store/"]),
    ("tiny_http", &["admin/"]),
    ("prometheus", &["admin/prometheus", "admin/mod.rs"]),
    ("mio", &["worker/", "mailbox.rs", "linux/", "resolve/cares.rs", "admin/gate", "daemon/"]),
    ("c_ares", &["resolve/cares.rs"]),
    ("dns_lookup", &["resolve/system.rs"]),
    ("signal_hook", &["daemon/signals.rs", "cli/top/terminal.rs"]),
    ("ratatui", &["cli/top/"]),
    ("sd_notify", &["daemon/service.rs"]),
    ("listenfd", &["daemon/passed.rs"]),
    ("clap", &["cli/"]),
    ("clap_complete", &["cli/completions.rs"]),
    ("clap_mangen", &["cli/man.rs"]),
    ("ureq", &["cli/api.rs"]),
    ("utoipa", &["admin/", "stats/"]),
    ("csv", &["cli/sessions/"]),
    ("libc", &["linux/"]),
    ("nonstick", &["auth/pam.rs"]),
    ("landlock", &["linux/paths.rs"]),
    ("seccompiler", &["linux/calls.rs"]),
];

/// Names that say nothing.
const GRAB_BAGS: &[&str] =
    &["util", "utils", "common", "helper", "helpers", "misc", "types", "manager", "base", "core"];

/// Text that stands only in these files (a trailing `/` means a folder).
const ONLY_IN: &[(&str, &[&str], &str)] = &[
    ("Instant::now", &["clock.rs"], "only clock.rs reads a clock"),
    ("SystemTime::now", &["clock.rs"], "only clock.rs reads a clock"),
    ("Utc::now", &["clock.rs"], "only clock.rs reads a clock"),
    (
        "thread::Builder",
        &["daemon/sandbox.rs", "offload/pool.rs", "admin/", "cli/top/inquirer.rs"],
        "threads are started in daemon/sandbox.rs, offload/pool.rs, admin/ and cli/top/inquirer.rs",
    ),
    (
        "thread::spawn",
        &["daemon/sandbox.rs", "offload/pool.rs", "admin/", "cli/top/inquirer.rs"],
        "threads are started in daemon/sandbox.rs, offload/pool.rs, admin/ and cli/top/inquirer.rs",
    ),
    ("unsafe", &["linux/"], "unsafe only in linux/"),
];

#[test]
fn imports_point_down_the_floors() {
    let allowed: BTreeMap<&str, BTreeSet<&str>> = IMPORTS
        .iter()
        .map(|(module, imports)| (*module, imports.split_whitespace().collect()))
        .collect();
    let mut broken = Vec::new();
    for (path, line, text) in source_lines() {
        let module = module_of(&path);
        let Some(may) = allowed.get(module.as_str()) else {
            if module != "lib" {
                broken.push(format!("{path}: the module `{module}` is not in the import table"));
            }
            continue;
        };
        for part in text.split("crate::").skip(1) {
            // `use crate::{a, b}` would hide modules from this test.
            let name: String =
                part.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            let fine = name == module || may.contains(name.as_str());
            if !fine {
                broken.push(format!(
                    "{path}:{line}: `{module}` may not import `{name}` (the table in tests/tidy.rs)"
                ));
            }
        }
        if module == "main" {
            for part in text.split("rustsocks::").skip(1) {
                if !part.starts_with("cli") {
                    broken.push(format!("{path}:{line}: `main` imports `cli` and nothing else"));
                }
            }
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn the_import_table_has_no_cycle() {
    let mut seen = BTreeSet::new();
    for (module, imports) in IMPORTS {
        for import in imports.split_whitespace() {
            assert!(
                seen.contains(import),
                "`{module}` imports `{import}`, which is listed after it or not at all"
            );
        }
        assert!(seen.insert(*module), "`{module}` is listed twice");
    }
}

#[test]
fn crates_stay_in_their_folders() {
    let mut broken = Vec::new();
    for (path, line, text) in source_lines() {
        for (name, places) in CRATES {
            let named = [format!("use {name}::"), format!("{name}::")].iter().any(|needle| {
                text.match_indices(needle.as_str()).any(|(at, _)| {
                    at == 0
                        || !text.as_bytes()[at - 1].is_ascii_alphanumeric()
                            && !matches!(text.as_bytes()[at - 1], b'_' | b':')
                })
            });
            if named && !stands_in(&path, places) {
                broken.push(format!("{path}:{line}: `{name}` belongs to {places:?}"));
            }
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn some_things_stand_only_where_they_belong() {
    let mut broken = Vec::new();
    for (path, line, text) in source_lines() {
        for (needle, places, rule) in ONLY_IN {
            let attribute = text.contains("forbid(unsafe_code)") || text.contains("unsafe_code,");
            if text.contains(needle) && !attribute && !stands_in(&path, places) {
                broken.push(format!("{path}:{line}: {rule}"));
            }
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn what_may_panic_says_why_it_does_not() {
    let mut broken = Vec::new();
    for file in source_files() {
        let path = relative(&file);
        let text = code_before_tests(&file);
        let lines: Vec<&str> = text.lines().collect();
        for (index, line) in lines.iter().enumerate() {
            let code = line.split("//").next().unwrap_or("");
            let panics =
                [".unwrap()", ".expect(", "panic!(", "todo!(", "unimplemented!(", "unreachable!("]
                    .iter()
                    .any(|needle| code.contains(needle));
            let explained = lines[index.saturating_sub(3)..=index]
                .iter()
                .any(|line| line.contains("// Invariant:"));
            if panics && !explained {
                broken.push(format!(
                    "{path}:{}: may panic; say why it does not in a comment `// Invariant: …`",
                    index + 1
                ));
            }
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn names_say_something() {
    let mut broken = Vec::new();
    for file in source_files() {
        let path = relative(&file);
        for part in path.split(['/', '.']) {
            if GRAB_BAGS.contains(&part) {
                broken.push(format!("{path}: `{part}` says nothing about what is in it"));
            }
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn each_folder_says_what_it_is_for_and_forbids_unsafe() {
    for file in source_files() {
        let path = relative(&file);
        let text = fs::read_to_string(&file).unwrap();
        let tests = path.ends_with("tests.rs") || path.contains("/tests/");
        if !tests && path != "main.rs" {
            assert!(text.starts_with("//!"), "{path}: begins without saying what it is for");
        }
        if path.ends_with("/mod.rs")
            && !path.starts_with("linux/")
            && path.matches('/').count() == 1
        {
            assert!(text.contains("#![forbid(unsafe_code)]"), "{path}: must forbid unsafe code");
        }
    }
}

#[test]
fn every_query_is_used_once() {
    let entries = fs::read_dir(root().join("sql/query")).unwrap();
    let source: String =
        source_files().iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    for entry in entries {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let uses = source.matches(&format!("query/{name}")).count();
        assert_eq!(uses, 1, "sql/query/{name} is used {uses} times");
    }
}

#[test]
fn every_link_and_file_named_in_the_readme_exists() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let mut missing = Vec::new();
    for part in readme.split("](").skip(1) {
        let target = part.split(')').next().unwrap_or("");
        let file = target.split('#').next().unwrap_or("");
        let foreign = file.contains("://") || file.is_empty();
        if !foreign && !root().join(file).exists() {
            missing.push(target.to_owned());
        }
    }
    let folders = ["src/", "conf/", "sql/", "tests/", "benches/"];
    for word in readme.split(['`', ' ', '\n', '(', ')', ',']) {
        let named =
            folders.iter().any(|folder| word.starts_with(folder) && word.len() > folder.len());
        if named && !word.contains('*') && !word.contains('…') && !root().join(word).exists() {
            missing.push(word.to_owned());
        }
    }
    assert!(missing.is_empty(), "README.md names what does not exist: {missing:?}");
}

#[test]
fn no_line_is_longer_than_the_eye() {
    for (path, line, text) in all_lines() {
        assert!(text.chars().count() <= 110, "{path}:{line}: longer than 110 characters");
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn relative(file: &Path) -> String {
    file.strip_prefix(root().join("src")).unwrap().to_str().unwrap().to_owned()
}

fn source_files() -> Vec<PathBuf> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join("src"), &mut found);
    found.sort();
    assert!(found.len() > 50, "the source has moved");
    found
}

/// The text of a file up to its tests; of a file of tests nothing.
fn code_before_tests(file: &Path) -> String {
    let path = relative(file);
    if path.ends_with("tests.rs") || path.contains("/tests/") {
        return String::new();
    }
    let text = fs::read_to_string(file).unwrap();
    text.split("\n#[cfg(test)]\n").next().unwrap_or("").to_owned()
}

/// Lines of code outside tests, without comments.
fn source_lines() -> Vec<(String, usize, String)> {
    let mut lines = Vec::new();
    for file in source_files() {
        for (index, line) in code_before_tests(&file).lines().enumerate() {
            let code = line.split("//").next().unwrap_or("").to_owned();
            lines.push((relative(&file), index + 1, code));
        }
    }
    lines
}

fn all_lines() -> Vec<(String, usize, String)> {
    let mut lines = Vec::new();
    for file in source_files() {
        for (index, line) in fs::read_to_string(&file).unwrap().lines().enumerate() {
            lines.push((relative(&file), index + 1, line.to_owned()));
        }
    }
    lines
}

fn module_of(path: &str) -> String {
    path.split('/').next().unwrap_or("").trim_end_matches(".rs").to_owned()
}

fn stands_in(path: &str, places: &[&str]) -> bool {
    places.iter().any(|place| path.starts_with(place))
}
