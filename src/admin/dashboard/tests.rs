use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::session::Outcome;

fn text(path: &str) -> &'static str {
    let file = FILES.iter().find(|file| file.path == path).unwrap();
    str::from_utf8(file.body).unwrap()
}

fn header<'a>(reply: &'a ApiReply, name: &str) -> Option<&'a str> {
    reply.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
}

#[test]
fn every_file_of_the_folder_is_served_and_no_other() {
    fn walk(folder: &Path, found: &mut BTreeSet<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension != "rs") {
                found.insert(path);
            }
        }
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/admin/dashboard");
    let mut there = BTreeSet::new();
    walk(&folder, &mut there);
    let served: BTreeSet<_> = FILES.iter().map(|file| folder.join(file.path)).collect();
    assert_eq!(there, served);
}

#[test]
fn whatever_a_file_names_is_served() {
    for file in FILES.iter().filter(|file| file.path.ends_with(".js")) {
        let folder = Path::new(file.path).parent().unwrap();
        for line in text(file.path).lines().filter(|line| line.starts_with("import ")) {
            let name = line.split('"').nth(1).unwrap();
            let path = match name.strip_prefix("../") {
                Some(rest) => PathBuf::from(rest),
                None => folder.join(name.strip_prefix("./").unwrap()),
            };
            assert!(Asset::at(path.to_str().unwrap()).is_some(), "{}: {line}", file.path);
        }
    }
    for part in text("index.html").split("\"/dashboard/").skip(1) {
        let path = part.split('"').next().unwrap();
        assert!(Asset::at(path).is_some(), "index.html: {path}");
    }
}

#[test]
fn no_file_names_another_host_or_makes_markup_of_text() {
    let markup =
        ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "DOMParser"];
    for file in &FILES {
        let text = text(file.path);
        let hosts = text.split("://").count() - 1;
        let harmless = ["http://www.w3.org/2000/svg", "socks5h://", "https://example.com/"];
        let known: usize = harmless.iter().map(|known| text.matches(known).count()).sum();
        assert_eq!(hosts, known, "{}: a foreign address", file.path);
        for word in markup {
            assert!(!text.contains(word), "{}: {word}", file.path);
        }
    }
    let page = text("index.html");
    assert!(!page.contains("style=") && !page.contains("<style"), "inline style");
    assert_eq!(
        page.matches("<script").count(),
        page.matches("<script type=\"module\" src=").count()
    );
}

#[test]
fn the_history_can_be_searched_for_every_ending() {
    let words = text("pages/history.js");
    let list = words.split("CODES = [").nth(1).unwrap().split(']').next().unwrap();
    let offered: BTreeSet<_> = list.split('"').skip(1).step_by(2).collect();
    let there: BTreeSet<_> = Outcome::ALL.iter().map(|outcome| outcome.close_code()).collect();
    assert_eq!(offered, there);
    let overview = text("pages/overview.js");
    for name in ["WELL = [", "REFUSED = ["] {
        let list = overview.split(name).nth(1).unwrap().split(']').next().unwrap();
        assert!(list.split('"').skip(1).step_by(2).all(|code| there.contains(code)), "{name}");
    }
}

#[test]
fn a_browser_that_has_a_file_is_told_so() {
    let first = Asset::PAGE.reply(None);
    assert_eq!((first.status, first.content_type), (200, HTML));
    assert_eq!(first.body, text("index.html").as_bytes());
    let tag = header(&first, "ETag").unwrap();
    for known in [tag.to_owned(), format!("W/{tag}"), format!("\"x\", {tag}"), "*".to_owned()] {
        let again = Asset::PAGE.reply(Some(&known));
        assert_eq!((again.status, again.body.len()), (304, 0), "{known}");
        assert_eq!(header(&again, "ETag"), Some(tag));
    }
    assert_eq!(Asset::PAGE.reply(Some("\"0000000000000000\"")).status, 200);
    let tags: BTreeSet<_> = FILES.iter().map(|file| file.tag).collect();
    assert_eq!(tags.len(), FILES.len(), "no two files have one tag");
}

#[test]
fn a_browser_is_told_to_trust_nothing_but_these_files() {
    for index in 0..FILES.len() {
        let reply = Asset(index).reply(None);
        let policy = header(&reply, "Content-Security-Policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; "), "{policy}");
        assert!(!policy.contains("unsafe") && !policy.contains("http") && !policy.contains('*'));
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
        assert_eq!(header(&reply, "X-Frame-Options"), Some("DENY"));
    }
}
