//! Tables that people bring as files: CSV, JSON Lines or a JSON array. The kind is read from the content, not the name.

use std::path::Path;

use pilothouse_api::tables;
use pilothouse_domain::Table;

use crate::failure::Failure;

/// Reads a table.
pub(crate) fn read(path: &Path) -> Result<Table, Failure> {
    tables::read(&read_text(path)?).map_err(|mut error| {
        error.message = format!("{}: {}", path.display(), error.message);
        error.into()
    })
}

/// Reads a text file.
pub(crate) fn read_text(path: &Path) -> Result<String, Failure> {
    let bytes = read_bytes(path)?;
    String::from_utf8(bytes).map_err(|_| {
        Failure::usage(format!("{} is not text in UTF-8", path.display()))
            .hint("give CSV with a header line, or JSON Lines")
    })
}

fn read_bytes(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| Failure::usage(format!("{} cannot be read: {error}", path.display())))
}
