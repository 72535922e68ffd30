//! TEMPORARY
use super::start::{Failure, Shared};
use super::storage::Storage;
use crate::config::Settings;
pub(super) struct Api;
impl Api {
    pub(super) fn start(_s: &Settings, _shared: &Shared, _st: &Storage) -> Result<Self, Failure> {
        Ok(Self)
    }
    pub(super) fn address(&self) -> Option<std::net::SocketAddr> {
        None
    }
    pub(super) fn stop(self) {}
}
