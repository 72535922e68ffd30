use std::fs;

use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;

use super::super::rows::tests::full;
use super::super::rows::{Store, StoreOptions};
use super::*;
use crate::session::IdSource;
use crate::stats::Change;
use crate::writer::Keep;

fn location(directory: &TempDir) -> Location {
    let path = directory.path().join("data/s.db");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    Location::parse(&format!("sqlite://{}", path.display())).unwrap()
}

fn open(location: &Location) -> Store {
    let store = Store::open(location, StoreOptions::default()).unwrap();
    store.in_a_hurry()
}

fn row(ids: &IdSource) -> Change {
    Change { session: full(ids, 0), before: None }
}

fn count(location: &Location) -> i64 {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
    let connection = Connection::open_with_flags(location.path(), flags).unwrap();
    let sound: String =
        connection.pragma_query_value(None, "integrity_check", |row| row.get(0)).unwrap();
    assert_eq!(sound, "ok");
    connection.query_row("SELECT count(*) FROM sessions", [], |row| row.get(0)).unwrap()
}

/// Commits a row, has something done to the files, and commits more; answers what the file at the
/// path then holds.
fn survives(harm: impl FnOnce(&Location)) -> (TempDir, Location) {
    let directory = tempfile::tempdir().unwrap();
    let location = location(&directory);
    let ids = IdSource::new();
    let mut store = open(&location);
    store.commit(&[row(&ids), row(&ids)]).unwrap();
    harm(&location);
    let waits = row(&ids);
    let error = store.commit(std::slice::from_ref(&waits)).unwrap_err();
    assert!(error.to_string().contains("s.db") && error.to_string().contains("while in use"));
    store.commit(&[waits]).unwrap();
    assert_eq!(count(&location), 3);
    store.commit(&[row(&ids)]).unwrap();
    assert!(store.tend(crate::clock::mono()).is_ok());
    store.close();
    drop(store);
    assert_eq!(count(&location), 4);
    (directory, location)
}

fn names(location: &Location) -> Vec<String> {
    let entries = fs::read_dir(location.directory()).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[track_caller]
fn assert_nothing_was_left(location: &Location) {
    let names = names(location);
    assert!(
        names.iter().all(|name| ["s.db", "s.db-wal", "s.db-shm"].contains(&&**name)),
        "{names:?}"
    );
}

#[test]
fn a_database_that_is_deleted_is_put_back_with_all_its_rows() {
    let (_directory, location) = survives(|location| {
        for suffix in ["", "-wal", "-shm"] {
            fs::remove_file(location.beside(suffix)).unwrap();
        }
    });
    assert_nothing_was_left(&location);
}

#[test]
fn a_log_that_outlives_its_deleted_database_is_not_applied_to_another() {
    let (_directory, location) = survives(|location| fs::remove_file(location.path()).unwrap());
    assert_nothing_was_left(&location);
}

#[test]
fn even_its_directory_may_be_gone() {
    survives(|location| fs::remove_dir_all(location.directory()).unwrap());
}

#[test]
fn a_stranger_in_its_place_is_set_aside_whole() {
    let (_directory, location) = survives(|location| {
        for suffix in ["", "-wal", "-shm"] {
            fs::rename(location.beside(suffix), location.beside(&format!(".moved{suffix}")))
                .unwrap();
        }
        let stranger = Connection::open(location.path()).unwrap();
        stranger.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE cats (name TEXT)").unwrap();
        // It is still open, so its log is still there.
        std::mem::forget(stranger);
    });
    let names = names(&location);
    let aside = names.iter().find(|name| name.starts_with("s.db.replaced-") && name.ends_with('Z'));
    let aside = location.directory().join(aside.unwrap());
    let cats = Connection::open(aside).unwrap();
    assert_eq!(cats.query_row("SELECT count(*) FROM cats", [], |row| row.get(0)), Ok(0));
}

#[test]
fn a_database_without_its_log_is_made_whole() {
    let directory = tempfile::tempdir().unwrap();
    let location = location(&directory);
    let ids = IdSource::new();
    let mut store = open(&location);
    store.commit(&[row(&ids)]).unwrap();
    fs::remove_file(location.beside("-wal")).unwrap();
    let error = store.commit(&[]).unwrap_err();
    assert!(error.to_string().contains("write-ahead log"), "{error}");
    store.commit(&[row(&ids)]).unwrap();
    assert_eq!(count(&location), 2);
}

#[test]
fn what_cannot_be_put_back_now_is_put_back_later() {
    let directory = tempfile::tempdir().unwrap();
    let location = location(&directory);
    let ids = IdSource::new();
    let mut store = open(&location);
    store.commit(&[row(&ids)]).unwrap();
    fs::remove_file(location.path()).unwrap();
    // A directory in the way of the copy.
    let blocker = location.beside(".copy");
    fs::create_dir(&blocker).unwrap();
    for _ in 0..3 {
        store.commit(&[]).unwrap_err();
    }
    fs::remove_dir(&blocker).unwrap();
    store.commit(&[]).unwrap();
    assert_eq!(count(&location), 1);
}

#[test]
fn readers_see_what_was_put_back() {
    use crate::stats::History;
    let directory = tempfile::tempdir().unwrap();
    let location = location(&directory);
    let ids = IdSource::new();
    let mut store = open(&location);
    let reader = super::super::Reader::new(&location);
    let (first, second) = (row(&ids), row(&ids));
    store.commit(std::slice::from_ref(&first)).unwrap();
    assert!(reader.one(first.session.id).unwrap().is_some());
    fs::remove_file(location.path()).unwrap();
    store.commit(&[]).unwrap_err();
    assert!(reader.one(first.session.id).is_err(), "nothing is there to be read");
    store.commit(std::slice::from_ref(&second)).unwrap();
    for change in [first, second] {
        assert!(reader.one(change.session.id).unwrap().is_some());
    }
}
