use std::fs;

use super::*;

fn location(directory: &tempfile::TempDir, name: &str) -> Location {
    Location::parse(&format!("sqlite://{}", directory.path().join(name).display())).unwrap()
}

#[test]
fn the_migrations_are_sound() {
    assert_eq!(Migrations::from_slice(&MIGRATIONS).validate(), Ok(()));
}

#[test]
fn newer_foreign_and_damaged_files_are_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let location = |name: &str| location(&directory, name);
    let newer = location("newer.db");
    drop(newer.open_to_write().unwrap());
    let connection = Connection::open(newer.path()).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    let error = newer.open_to_write().unwrap_err();
    assert!(matches!(error, StoreError::Newer { found: 99, .. }), "{error}");

    let foreign = location("foreign.db");
    let connection = Connection::open(foreign.path()).unwrap();
    connection.execute_batch("CREATE TABLE cats (name TEXT)").unwrap();
    drop(connection);
    let error = foreign.open_to_write().unwrap_err();
    assert!(error.to_string().contains("foreign.db") && error.is_configuration(), "{error}");

    let damaged = location("damaged.db");
    fs::write(damaged.path(), [b'x'; 8192]).unwrap();
    let error = damaged.open_to_write().unwrap_err();
    assert!(error.to_string().contains("damaged.db") && error.is_configuration(), "{error}");
}

#[test]
fn what_is_refused_stays_as_it_was_to_the_octet() {
    let directory = tempfile::tempdir().unwrap();
    for (name, sql) in [
        ("newer", "PRAGMA user_version = 99"),
        ("foreign", "CREATE TABLE cats (name TEXT)"),
        ("numbered", "CREATE TABLE cats (name TEXT); PRAGMA user_version = 1"),
        ("alike", "CREATE TABLE sessions (session_id TEXT, status TEXT); PRAGMA user_version = 2"),
    ] {
        let location = location(&directory, &format!("{name}.db"));
        Connection::open(location.path()).unwrap().execute_batch(sql).unwrap();
        let before = fs::read(location.path()).unwrap();
        let error = location.open_to_write().unwrap_err();
        assert!(error.is_configuration(), "{name}: {error}");
        assert!(fs::read(location.path()).unwrap() == before, "{name}");
        assert!(!location.beside("-wal").exists(), "{name}");
    }
}

/// Fills each table of a database with rows that have something in every column.
fn fill(connection: &Connection) -> Vec<Table> {
    let mut tables = Vec::new();
    for name in strings(connection, "SELECT name FROM sqlite_schema WHERE type = 'table'") {
        if name.starts_with("sqlite_") {
            continue;
        }
        let columns = strings(connection, &format!("SELECT name FROM pragma_table_info('{name}')"));
        let types = strings(connection, &format!("SELECT type FROM pragma_table_info('{name}')"));
        for number in 0..ROWS {
            let values: Vec<_> = types
                .iter()
                .enumerate()
                .map(|(column, kind)| match kind.as_str() {
                    "INTEGER" => (number * 1000 + column).to_string(),
                    "TEXT" => format!("'2026-01-0{number}T00:00:00.{column:03}Z'"),
                    other => panic!("{name}: a column of type {other}: say how to fill it"),
                })
                .collect();
            let sql = format!("INSERT INTO {name} VALUES ({})", values.join(", "));
            connection.execute(&sql, []).unwrap();
        }
        let rows = contents(connection, &name, &columns);
        tables.push(Table { name, columns, rows });
    }
    tables
}

struct Table {
    name: String,
    columns: Vec<String>,
    rows: Vec<Vec<rusqlite::types::Value>>,
}

fn contents(
    connection: &Connection,
    table: &str,
    columns: &[String],
) -> Vec<Vec<rusqlite::types::Value>> {
    let sql = format!("SELECT {} FROM {table} ORDER BY 1", columns.join(", "));
    let mut select = connection.prepare(&sql).unwrap();
    let row = |row: &rusqlite::Row<'_>| (0..columns.len()).map(|at| row.get(at)).collect();
    select.query_map([], row).unwrap().collect::<Result<_, _>>().unwrap()
}

fn strings(connection: &Connection, sql: &str) -> Vec<String> {
    let mut select = connection.prepare(sql).unwrap();
    select.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

fn schema(connection: &Connection) -> Vec<String> {
    strings(connection, "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY type, name")
}

/// Of every version there ever was, one more with each migration.
#[test]
fn a_filled_database_of_every_earlier_version_is_brought_up_to_date_with_its_rows() {
    let directory = tempfile::tempdir().unwrap();
    let latest = location(&directory, "latest.db").open_to_write().unwrap().0;
    for version in 1..=MIGRATIONS.len() {
        let location = location(&directory, &format!("{version}.db"));
        let mut old = Connection::open(location.path()).unwrap();
        Migrations::from_slice(&MIGRATIONS).to_version(&mut old, version).unwrap();
        let tables = fill(&old);
        assert!(tables.iter().any(|table| table.name == "sessions" && table.rows.len() == ROWS));
        drop(old);
        let (new, reached) = location.open_to_write().unwrap();
        assert_eq!(reached, MIGRATIONS.len());
        for Table { name, columns, rows } in tables {
            assert_eq!(contents(&new, &name, &columns), rows, "{name} of version {version}");
        }
        assert_eq!(schema(&new), schema(&latest), "version {version}");
        let sound: String =
            new.pragma_query_value(None, "integrity_check", |row| row.get(0)).unwrap();
        assert_eq!(sound, "ok");
    }
}

#[test]
fn a_directory_or_a_file_that_we_may_not_write_is_a_matter_of_permission() {
    let directory = tempfile::tempdir().unwrap();
    let location = location(&directory, "s.db");
    drop(location.open_to_write().unwrap());
    let mut permissions = fs::metadata(location.path()).unwrap().permissions();
    permissions.set_readonly(true);
    fs::set_permissions(location.path(), permissions).unwrap();
    let Err(error) = location.open_to_write() else {
        println!("skipped: whoever runs this may write everything");
        return;
    };
    assert!(error.is_permission() && error.to_string().contains("s.db"), "{error}");
}

const ROWS: usize = 3;
