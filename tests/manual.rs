//! What is made from the definition of the command line: completions and manual pages.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::process::{Command, Output, Stdio};

fn rustsocks(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rustsocks")).args(arguments).output().unwrap()
}

fn said(arguments: &[&str]) -> String {
    let output = rustsocks(arguments);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn each_shell_has_its_completions() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let text = said(&["completions", shell]);
        for word in ["terminate", "explain", "hash-password", "dry-run"] {
            assert!(text.contains(word), "{shell}: {word}");
        }
    }
    assert_eq!(rustsocks(&["completions", "tcl"]).status.code(), Some(2));
}

/// As bash does it: what could follow `rustsocks sessions te`.
#[test]
fn bash_completes_a_command() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("rustsocks.bash");
    std::fs::write(&file, said(&["completions", "bash"])).unwrap();
    let script = "source \"$1\"; COMP_WORDS=(rustsocks sessions te); COMP_CWORD=2; \
                  _rustsocks rustsocks te sessions; echo \"${COMPREPLY[@]}\"";
    let output = Command::new("bash")
        .args(["--norc", "-c", script, "bash"])
        .arg(&file)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "terminate", "{output:?}");
}

#[test]
fn each_command_has_its_page() {
    let page = said(&["man"]);
    assert!(
        page.contains(".TH rustsocks 1") && page.contains("RUSTSOCKS_SERVER_BIND_PORT"),
        "{page}"
    );
    let directory = tempfile::tempdir().unwrap();
    let pages = directory.path().join("man1");
    assert!(said(&["man", "--directory", pages.to_str().unwrap()]).is_empty());
    let mut names: Vec<_> = std::fs::read_dir(&pages)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    for name in
        ["rustsocks.1", "rustsocks-check.1", "rustsocks-sessions-list.1", "rustsocks-user-add.1"]
    {
        assert!(names.iter().any(|it| it == name), "{name}: {names:?}");
    }
    let list = std::fs::read_to_string(pages.join("rustsocks-sessions-list.1")).unwrap();
    assert!(list.contains("Examples:") && list.contains("\\-\\-dest"), "{list}");
    let Ok(groff) = Command::new("groff").arg("--version").output() else { return };
    assert!(groff.status.success());
    for name in names {
        let output = Command::new("groff")
            .args(["-Kutf8", "-man", "-Tutf8", "-wall", "-z"])
            .arg(pages.join(&name))
            .output()
            .unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{name}: {output:?}");
    }
}
