//! A configuration on the disk: one TOML file, or a folder of them, with the row files that they name.
//!
//! What must stay true: only what lies within the configuration's folder is read; writing deletes nothing.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use pilothouse_api::types::ConfigFile;
use pilothouse_config::{SourceFile, row_files};

use crate::failure::Failure;
use crate::table_file;

/// Deepest folder that is looked into.
const DEPTH_MAX: usize = 16;

/// Reads a file or a folder.
pub(crate) fn load(path: &Path) -> Result<Vec<ConfigFile>, Failure> {
    let (root, mut documents) = if path.is_dir() {
        let mut found = Vec::new();
        find(path, 0, &mut found)?;
        if found.is_empty() {
            return Err(Failure::usage(format!("there is no `.toml` file in {}", path.display()))
                .hint("write one with `pilothousectl config export --out FOLDER`"));
        }
        (path.to_owned(), found)
    } else {
        (path.parent().map(Path::to_owned).unwrap_or_default(), vec![path.to_owned()])
    };
    documents.sort();
    let mut files = Vec::new();
    for document in documents {
        let below = document.strip_prefix(&root).unwrap_or(&document);
        let mut name = below.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/");
        if !is_toml(below) {
            // A single file may be called as it likes.
            name.push_str(".toml");
        }
        files.push(SourceFile { path: name, text: table_file::read_text(&document)? });
    }
    let named: BTreeSet<String> = files.iter().flat_map(row_files).collect();
    for name in named {
        let path = name.split('/').fold(root.clone(), |path, part| path.join(part));
        // One that is not there is told with the line that names it.
        if path.is_file() {
            files.push(SourceFile { path: name, text: table_file::read_text(&path)? });
        }
    }
    Ok(files.into_iter().map(|SourceFile { path, text }| ConfigFile { path, text }).collect())
}

fn find(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let unreadable = |error: std::io::Error| Failure::usage(format!("{} cannot be read: {error}", folder.display()));
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let kind = entry.file_type().map_err(unreadable)?;
        let is_hidden = entry.file_name().to_string_lossy().starts_with('.');
        if kind.is_dir() && !is_hidden && depth < DEPTH_MAX {
            find(&entry.path(), depth + 1, found)?;
        } else if !kind.is_dir() && !is_hidden && is_toml(&entry.path()) {
            found.push(entry.path());
        }
    }
    Ok(())
}

fn is_toml(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("toml"))
}

/// Whether an export to this path is one file and not a folder.
pub(crate) fn is_one_file(path: &Path) -> bool {
    is_toml(path) && !path.is_dir()
}

/// Writes the files of a folder. Gives back the `.toml` files of earlier exports that nothing stands for any more.
pub(crate) fn write_folder(root: &Path, files: &[ConfigFile]) -> Result<Vec<String>, Failure> {
    for file in files {
        let path = file.path.split('/').fold(root.to_owned(), |path, part| path.join(part));
        write(&path, &file.text)?;
    }
    let mut stale = Vec::new();
    for folder in ["endpoints", "golden"] {
        let mut found = Vec::new();
        if root.join(folder).is_dir() {
            find(&root.join(folder), 0, &mut found)?;
        }
        for path in found {
            let below = path.strip_prefix(root).unwrap_or(&path);
            let name = below.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/");
            if !files.iter().any(|file| file.path == name) {
                stale.push(name);
            }
        }
    }
    stale.sort();
    Ok(stale)
}

/// Writes one file, and the folders above it where they are missing.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let written = match path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => std::fs::create_dir_all(folder).and_then(|()| std::fs::write(path, text)),
        None => std::fs::write(path, text),
    };
    written.map_err(|error| Failure::usage(format!("{} cannot be written: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_read_with_the_rows_that_it_names() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| write(&folder.path().join(name), text).unwrap();
        put("pilothouse.toml", "");
        put("endpoints/a.toml", "[[endpoint]]\nprobe_input = { file = \"a.rows.csv\" }\n");
        put("endpoints/a.rows.csv", "x\n1\n");
        put("endpoints/unnamed.csv", "x\n1\n");
        put(".git/config.toml", "");
        let names = |files: Vec<ConfigFile>| files.into_iter().map(|file| file.path).collect::<Vec<_>>();
        let all = load(folder.path()).unwrap();
        assert_eq!(names(all), ["endpoints/a.toml", "pilothouse.toml", "endpoints/a.rows.csv"]);
        let one = load(&folder.path().join("endpoints/a.toml")).unwrap();
        assert_eq!(names(one), ["a.toml", "a.rows.csv"]);
        assert!(load(&folder.path().join(".git")).is_ok() && load(&folder.path().join("nothing.toml")).is_err());

        let kept = [ConfigFile { path: "pilothouse.toml".into(), text: "# kept\n".into() }];
        assert_eq!(write_folder(folder.path(), &kept).unwrap(), ["endpoints/a.toml"]);
        assert!(folder.path().join("endpoints/a.toml").exists(), "an export deletes nothing");
    }
}
