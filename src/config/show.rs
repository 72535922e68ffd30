//! Settings as TOML again, for `show-config`.

use super::settings::Settings;

impl Settings {
    /// Every key with the value that is in force, also those that the file left out.
    ///
    /// It is a configuration itself, and loads as the same settings, with one exception: each
    /// user's hash is shown as `"***"`, also where the file has a plain password, and must be put
    /// back first. Comments and replaced sections of the file are not shown.
    #[must_use]
    pub fn to_toml(&self) -> String {
        // Invariant: the file has text keys only and no value that TOML lacks.
        toml::to_string(&self.file).expect("a configuration is TOML")
    }
}
