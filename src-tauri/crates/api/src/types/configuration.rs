//! The set-up as configuration: text out, difference, text in.

use super::{SecretState, border};

border! {
    /// The whole set-up as one TOML file.
    #[derive(Eq)]
    pub struct ConfigText {
        /// What the file is usually called.
        pub file_name: String,
        /// TOML.
        pub text: String,
    }

    /// A file of a configuration: TOML, or rows that TOML names.
    #[derive(Eq)]
    pub struct ConfigFile {
        /// Its path below the configuration's folder, with `/` between the parts.
        pub path: String,
        /// What it holds.
        pub text: String,
    }

    /// A configuration to compare with what is stored.
    #[derive(Eq)]
    pub struct ConfigFiles {
        /// Its files.
        pub files: Vec<ConfigFile>,
    }

    /// Carries a configuration over.
    #[derive(Eq)]
    pub struct ConfigApplyRequest {
        /// Its files.
        pub files: Vec<ConfigFile>,
        /// The `revision` of the difference that was looked at.
        pub revision: String,
        /// Whether endpoints that it does not describe are removed with their history.
        pub prune: bool,
    }

    /// Something that cannot be taken over, and where it stands.
    #[derive(Eq)]
    pub struct ConfigProblem {
        /// The file.
        pub file: String,
        /// Its line, from 1.
        pub line: u32,
        /// Its character in that line, from 1.
        pub column: u32,
        /// The key, such as `endpoint.probe.interval_ms`; empty when the text is no TOML.
        pub key: String,
        /// What is wrong.
        pub message: String,
        /// What to write in its place.
        pub hint: Option<String>,
    }

    /// What a configuration would change.
    #[derive(Eq)]
    pub struct ConfigDiff {
        /// Why it cannot be read. Then everything else is empty.
        pub problems: Vec<ConfigProblem>,
        /// Whether anything differs.
        pub differs: bool,
        /// Names the stored set-up that was compared.
        pub revision: String,
        /// How many endpoints the configuration describes.
        pub endpoints: u32,
        /// Endpoints that are not stored yet.
        pub added: Vec<String>,
        /// Endpoints that are stored otherwise.
        pub changed: Vec<ConfigChange>,
        /// Endpoints that only the database has.
        pub only_in_database: Vec<String>,
        /// Settings that are stored otherwise.
        pub settings: Vec<ConfigField>,
        /// Golden sets.
        pub golden_sets: ConfigGoldenSets,
        /// Secrets that it refers to and this machine does not hold; empty when the keyring does not answer.
        pub missing_secrets: Vec<ConfigSecret>,
        /// Whether the keyring answers (`present`: yes).
        pub keyring: SecretState,
    }

    /// An endpoint that changes.
    #[derive(Eq)]
    pub struct ConfigChange {
        /// Its name.
        pub name: String,
        /// Its fields that change.
        pub fields: Vec<ConfigField>,
    }

    /// A field that changes.
    #[derive(Eq)]
    pub struct ConfigField {
        /// Its path, such as `probe.interval_ms`.
        pub path: String,
        /// The stored value as text; `null`: not set.
        pub old: Option<String>,
        /// The wanted value as text; `null`: not set.
        pub new: Option<String>,
    }

    /// Golden sets of a configuration beside the stored ones.
    #[derive(Eq)]
    pub struct ConfigGoldenSets {
        /// Not stored yet.
        pub added: Vec<String>,
        /// Stored otherwise.
        pub changed: Vec<ConfigGoldenSetChange>,
        /// Only in the database. They stay, and do not count as a difference.
        pub only_in_database: Vec<String>,
    }

    /// A golden set that is stored otherwise.
    #[derive(Eq)]
    pub struct ConfigGoldenSetChange {
        /// Its name.
        pub name: String,
        /// `content` (fingerprints) or `source`.
        pub fields: Vec<ConfigField>,
        /// Its content differs: it cannot be applied, since a stored golden set never changes.
        pub refused: bool,
    }

    /// A secret that is not there yet.
    #[derive(Eq)]
    pub struct ConfigSecret {
        /// Its name in the keyring.
        pub name: String,
        /// Endpoints that use it.
        pub used_by: Vec<String>,
    }
}
