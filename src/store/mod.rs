//! SQLite: keeps what the writer commits, and answers readers on connections of their own.
//!
//! One process owns a database, by a lock on the file `<database>.lock`; anyone may read it beside
//! the owner (WAL), `sqlite3` included. All SQL stands in `sql/`.
#![forbid(unsafe_code)]

mod backup;
mod bind;
mod cleanup;
mod error;
mod export;
mod inode;
mod location;
mod lock;
mod log;
mod minutes;
mod owner;
mod place;
mod read;
mod retention;
mod rows;
mod schema;
mod snapshot;
mod usage;

pub use backup::backup;
pub use cleanup::Cleanup;
pub use error::StoreError;
pub use export::{Cell, Export, Selection};
pub use location::Location;
pub use lock::Lock;
pub use owner::{Claim, Owner};
pub use read::Reader;
pub use rows::StoreOptions;
pub use schema::migrate;
pub use snapshot::Snapshot;
