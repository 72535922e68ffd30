//! The configuration file: a fault is one line, and what is in force is a configuration that means the
//! same.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use rustsocks::config::Settings;

fuzz_target!(|input: &[u8]| {
    let Ok(text) = str::from_utf8(input) else { return };
    // A plain password is hashed, which is slow on purpose.
    if text.replace("password_hash", "").contains("password") {
        return;
    }
    match Settings::parse(Some(Path::new("a.toml")), text) {
        Ok((settings, warnings)) => {
            for warning in &warnings {
                assert!(warning.starts_with("a.toml:") && is_line(warning), "{warning:?}");
            }
            let shown = settings.to_toml();
            // The hashes of users are masked.
            if shown.contains("[[auth.users]]") {
                return;
            }
            let (again, _) = Settings::parse(None, &shown).expect("what is in force can be loaded");
            assert_eq!(again, settings);
            assert_eq!(again.to_toml(), shown);
        }
        Err(error) => {
            let line = error.to_string();
            assert!(line.starts_with("a.toml:") && is_line(&line), "{line:?}");
        }
    }
});

fn is_line(text: &str) -> bool {
    !text.contains(['\n', '\r']) && text.len() > "a.toml: ".len()
}
