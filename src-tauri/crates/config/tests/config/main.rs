//! Configurations from outside: what is refused and where, what differs, and the laws of writing and reading.

mod differences;
mod example;
mod laws;
mod refusals;

use std::collections::BTreeSet;

use pilothouse_config::{ConfigError, Configuration, Problem, SourceFile};

fn file(path: &str, text: &str) -> SourceFile {
    SourceFile { path: path.to_owned(), text: text.to_owned() }
}

fn read(text: &str) -> Result<Configuration, Vec<Problem>> {
    read_files(&[file("fleet.toml", text)])
}

fn read_files(files: &[SourceFile]) -> Result<Configuration, Vec<Problem>> {
    pilothouse_config::read(files, &BTreeSet::from(["stored".to_owned()])).map_err(|error| match error {
        ConfigError::Invalid(problems) => problems,
        other @ ConfigError::NotExpressible { .. } => panic!("{other}"),
    })
}
