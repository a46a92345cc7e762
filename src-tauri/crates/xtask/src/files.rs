//! Files by content: walking a tree in a fixed order, hashing it, and stamps that say what was already done.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

/// All files below `folder`, sorted, without the folders whose name `skip` chooses. A missing folder is empty.
pub(crate) fn walk(folder: &Path, skip: &dyn Fn(&str) -> bool) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(folder) = open.pop() {
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error).with_context(|| format!("cannot read `{}`", folder.display())),
        };
        for entry in entries {
            let entry = entry.with_context(|| format!("cannot read `{}`", folder.display()))?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                if !skip(&entry.file_name().to_string_lossy()) {
                    open.push(entry.path());
                }
            } else if kind.is_file() {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}

/// SHA-256 of one file, in hex.
pub(crate) fn hash_file(file: &Path) -> Result<String> {
    let bytes = std::fs::read(file).with_context(|| format!("cannot read `{}`", file.display()))?;
    Ok(hex(&Sha256::digest(bytes)))
}

/// SHA-256 over the names and contents of `files`, relative to `base`, in hex.
pub(crate) fn hash_files(base: &Path, files: &[PathBuf]) -> Result<String> {
    let mut hasher = Sha256::new();
    for file in files {
        let name = file.strip_prefix(base).unwrap_or(file).to_string_lossy();
        let bytes = std::fs::read(file).with_context(|| format!("cannot read `{}`", file.display()))?;
        // Lengths keep a name and a content from running into each other.
        hasher.update((name.len() as u64).to_le_bytes());
        hasher.update(name.as_bytes());
        hasher.update((bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    }
    Ok(hex(&hasher.finalize()))
}

/// Whether `stamp` already says `value`.
pub(crate) fn stamped(stamp: &Path, value: &str) -> bool {
    std::fs::read_to_string(stamp).is_ok_and(|text| text.trim() == value)
}

/// Writes `value` into `stamp`: the work it names is done.
pub(crate) fn write_stamp(stamp: &Path, value: &str) -> Result<()> {
    std::fs::write(stamp, format!("{value}\n")).with_context(|| format!("cannot write `{}`", stamp.display()))
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_hash_changes_with_names_and_contents_only() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        let hash = || {
            let files = walk(folder.path(), &|name| name == "node_modules").unwrap();
            hash_files(folder.path(), &files).unwrap()
        };
        write("a", "1");
        let first = hash();
        std::fs::create_dir(folder.path().join("node_modules")).unwrap();
        write("node_modules/x", "ignored");
        assert_eq!(hash(), first);
        write("a", "2");
        assert_ne!(hash(), first);
        write("a", "1");
        assert_eq!(hash(), first);
        std::fs::rename(folder.path().join("a"), folder.path().join("b")).unwrap();
        assert_ne!(hash(), first);
    }

    #[test]
    fn file_hash_is_sha256() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("abc");
        std::fs::write(&file, "abc").unwrap();
        // FIPS 180-2, appendix B.1.
        assert_eq!(hash_file(&file).unwrap(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
