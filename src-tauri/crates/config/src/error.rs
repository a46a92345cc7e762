//! What can be wrong with a configuration: where it stands, what it is, what is accepted.

use std::fmt;

/// One thing that cannot be taken over, and where it stands. Never repeats a value that may be a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file, below the configuration's folder.
    pub file: String,
    /// Its line, from 1.
    pub line: u32,
    /// Its character in that line, from 1.
    pub column: u32,
    /// The key it is about, such as `endpoint.probe.interval_ms`; empty when the text itself cannot be read.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// What to write in its place, where that is known.
    pub hint: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: ", self.file, self.line, self.column)?;
        if !self.key.is_empty() {
            write!(f, "`{}`: ", self.key)?;
        }
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

/// Why a configuration cannot be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The text cannot be taken over. At least one problem, in the order of files and lines.
    #[error("{}", lines(.0))]
    Invalid(Vec<Problem>),
    /// Something that is stored has no form as TOML, or would not come back as it is.
    #[error("{what} `{name}` cannot be written as configuration: {problem}")]
    NotExpressible {
        /// `endpoint` or `golden set`.
        what: &'static str,
        /// Its name.
        name: String,
        /// Why.
        problem: String,
    },
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n")
}
