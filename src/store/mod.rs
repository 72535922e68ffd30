//! SQLite: keeps what the writer commits, and answers readers on connections of their own.
//!
//! One process owns a database, by a lock on the file `<database>.lock`; anyone may read it beside
//! the owner (WAL), `sqlite3` included. All SQL stands in `sql/`.
#![forbid(unsafe_code)]

mod backup;
mod bind;
mod error;
mod export;
mod lock;
mod owner;
mod read;
mod rows;
mod schema;
mod snapshot;

pub use backup::backup;
pub use error::StoreError;
pub use export::{Cell, Export, Selection};
pub use lock::Lock;
pub use owner::{Claim, Owner};
pub use read::Reader;
pub use rows::StoreOptions;
pub use schema::{Location, migrate};
pub use snapshot::Snapshot;
