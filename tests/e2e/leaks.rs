//! Looking for a value where it must not be.

use std::path::{Path, PathBuf};

/// Panics when the value is in any file below a folder: database, WAL, logs, the window's own storage, lock files.
pub(crate) fn assert_absent(folder: &Path, value: &str) {
    let files = files(folder);
    assert!(files.iter().any(|file| file.ends_with("pilothouse.db")), "the database is among the files: {files:?}");
    for file in files {
        let bytes = std::fs::read(&file).unwrap_or_default();
        assert!(!contains(&bytes, value.as_bytes()), "the value is in {}", file.display());
    }
}

/// Panics when the value is in a process's command line or environment.
pub(crate) fn assert_absent_from_process(process: u32, value: &str) {
    for part in ["cmdline", "environ"] {
        let bytes = std::fs::read(format!("/proc/{process}/{part}")).unwrap_or_default();
        assert!(!contains(&bytes, value.as_bytes()), "the value is in the {part} of process {process}");
    }
}

/// Whether bytes hold a value, as UTF-8 or as UTF-16 (`WebKit` keeps its strings in either).
fn contains(bytes: &[u8], value: &[u8]) -> bool {
    let wide: Vec<u8> = value.iter().flat_map(|byte| [*byte, 0]).collect();
    [value, &wide].iter().any(|needle| bytes.windows(needle.len()).any(|window| window == *needle))
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut found = Vec::new();
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}
