//! Settings of this program.

use super::border;

border! {
    /// What can be set.
    #[derive(Eq)]
    pub struct Settings {
        /// `system`, `light` or `dark`.
        pub theme: ThemeChoice,
        /// How long single probes are kept.
        pub retention: Retention,
    }

    /// Theme.
    #[derive(Copy, Eq)]
    pub enum ThemeChoice {
        /// As the desktop.
        System,
        /// Light.
        Light,
        /// Dark.
        Dark,
    }

    /// How long history is kept; days are kept for ever.
    #[derive(Copy, Eq)]
    pub struct Retention {
        /// Single probes, in days.
        pub raw_days: u32,
        /// Minutes, in days.
        pub minute_days: u32,
        /// Hours, in days.
        pub hour_days: u32,
    }

    /// Settings with the facts beside them.
    #[derive(Eq)]
    pub struct SettingsView {
        /// Settings.
        pub settings: Settings,
        /// The database file.
        pub database: String,
        /// Its size in bytes, with its WAL.
        pub database_bytes: u64,
        /// Folder of the log files; `null` when none are written.
        pub logs: Option<String>,
        /// Version of this program.
        pub version: String,
    }
}
