//! SQLite: keeps what the writer commits, and answers readers on connections of their own.
//!
//! One process owns a database, by a lock on the file `<database>.lock`; anyone may read it beside
//! the owner (WAL), `sqlite3` included. All SQL stands in `sql/`.
#![forbid(unsafe_code)]

mod error;
mod lock;
mod read;
mod rows;
mod schema;

pub use error::StoreError;
pub use read::Reader;
pub use rows::{Store, StoreOptions};
pub use schema::{Location, migrate};
