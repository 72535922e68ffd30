use super::*;

fn settings(text: &str) -> Settings {
    // Without a database it must be said that there is to be none.
    let storage = if cfg!(feature = "database") { "sqlite" } else { "memory" };
    let text =
        format!("sessions.ledger_path = \"/dev/shm\"\nsessions.storage = \"{storage}\"\n{text}");
    Settings::parse(None, &text).unwrap().0
}

fn line(finding: &Finding) -> (char, String) {
    match finding {
        Finding::Fine(line) => ('+', line.clone()),
        Finding::Poor(line) => ('~', line.clone()),
        Finding::Bad(failure) => ('!', failure.to_string()),
    }
}

#[test]
fn each_thing_has_one_line() {
    let findings = inspect(&settings("server.bind_port = 0\nsessions.stats_api_port = 0\n"), None);
    let lines: Vec<_> = findings.iter().map(line).collect();
    let begins: Vec<_> =
        lines.iter().map(|(_, line)| line.split(':').next().unwrap().to_owned()).collect();
    let expected = ["SOCKS", "API", "descriptors", "logins", "clock"];
    assert_eq!(begins[..5], expected);
    if cfg!(feature = "database") {
        // The ledger lies where everybody's files do.
        assert_eq!(begins[5..], ["data", "ledger", "sandbox"]);
    }
    assert!(lines.iter().all(|(_, line)| !line.contains('\n')), "{lines:?}");
    assert!(lines.iter().all(|(kind, _)| *kind != '!'), "{lines:?}");
}

#[test]
fn a_port_that_is_taken_is_told_and_an_address_of_another_host_is_a_fault() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (kind, text) = line(&listener(("SOCKS", taken.local_addr().unwrap())));
    assert!(kind == '~' && text.contains("is in use now"), "{text}");
    let (kind, text) = line(&listener(("API", "192.0.2.1:9".parse().unwrap())));
    assert!(kind == '!' && text.contains("API: 192.0.2.1:9 cannot be listened on"), "{text}");
}

#[test]
fn a_directory_is_judged_by_rights_and_room() {
    let above = tempfile::tempdir().unwrap();
    let missing = above.path().join("data");
    let (kind, text) = line(&directory("data", &missing, 1));
    let expected = format!("data: {} will be made and has ", missing.display());
    assert!(kind == '+' && text.starts_with(&expected), "{text}");
    let (kind, text) = line(&directory("data", above.path(), u64::MAX));
    assert!(kind == '~' && text.contains("MiB"), "{text}");
    // Not even root makes anything below a file.
    std::fs::write(&missing, "x").unwrap();
    let below = missing.join("data");
    let (kind, text) = line(&directory("data", &below, 1));
    let expected =
        format!("data: {} cannot be written to ({})", below.display(), missing.display());
    assert!(kind == '!' && text.starts_with(&expected), "{text}");
}
