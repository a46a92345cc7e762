//! Tables that people bring as files: CSV, JSON Lines, a JSON array, or Parquet. The kind is read from the content, not the
//! name.

use std::path::Path;

use pilothouse_api::tables;
use pilothouse_domain::Table;

use crate::failure::Failure;
use crate::parquet_table;

/// Reads a table.
pub(crate) fn read(path: &Path) -> Result<Table, Failure> {
    let bytes = read_bytes(path)?;
    let table = if parquet_table::is_parquet(&bytes) {
        parquet_table::read(bytes)
    } else {
        text(bytes, path).and_then(|text| Ok(tables::read(&text)?))
    };
    table.map_err(|mut failure| {
        if !failure.error.message.contains(&path.display().to_string()) {
            failure.error.message = format!("{}: {}", path.display(), failure.error.message);
        }
        failure
    })
}

/// Reads a text file.
pub(crate) fn read_text(path: &Path) -> Result<String, Failure> {
    text(read_bytes(path)?, path)
}

fn text(bytes: Vec<u8>, path: &Path) -> Result<String, Failure> {
    String::from_utf8(bytes).map_err(|_| {
        Failure::usage(format!("{} is neither Parquet nor text in UTF-8", path.display()))
            .hint("give CSV with a header line, JSON Lines or Parquet")
    })
}

fn read_bytes(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| Failure::usage(format!("{} cannot be read: {error}", path.display())))
}
