//! Every command of the window is listed in the app's permissions, and every listed one exists.
//!
//! The commands are the table in the api crate plus each command that the shell writes out itself. Without this, a
//! command could be forgotten in `permissions/app.toml` (it would be refused in the window) or stay listed for ever.

use super::{Source, Violation};

const TABLE: &str = "src-tauri/crates/api/src/commands.rs";
const PERMISSIONS: &str = "src-tauri/permissions/app.toml";
const CAPABILITY: &str = "src-tauri/capabilities/main.json";

/// Differences between commands, permissions and the main window's capability.
pub(super) fn check(sources: &[Source]) -> Vec<Violation> {
    let find = |path: &str| sources.iter().find(|source| source.path == path);
    let mut commands: Vec<(String, String, usize)> = Vec::new();
    if let Some(table) = find(TABLE) {
        commands.extend(table_names(&table.text).into_iter().map(|(name, line)| (name, table.path.clone(), line)));
    }
    for shell in sources.iter().filter(|source| source.path.starts_with("src-tauri/src/")) {
        let names = written_names(&shell.text).into_iter();
        commands.extend(names.map(|(name, line)| (name, shell.path.clone(), line)));
    }
    let Some(permissions) = find(PERMISSIONS) else {
        return vec![Violation::new(PERMISSIONS, 0, "missing: it lists the commands that the window may call")];
    };
    let Some(capability) = find(CAPABILITY) else {
        return vec![Violation::new(CAPABILITY, 0, "missing: it gives the main window its permissions")];
    };
    let parsed = match (permissions_of(&permissions.text), granted(&capability.text)) {
        (Ok(listed), Ok(granted)) => (listed, granted),
        (Err(message), _) => return vec![Violation::new(PERMISSIONS, 0, message)],
        (_, Err(message)) => return vec![Violation::new(CAPABILITY, 0, message)],
    };
    let (listed, granted) = parsed;
    let mut violations = Vec::new();
    for (name, path, line) in &commands {
        if !listed.iter().any(|permission| permission.commands.contains(name)) {
            violations.push(Violation::new(path, *line, format!("command `{name}` is not listed in {PERMISSIONS}")));
        }
    }
    for permission in &listed {
        for name in &permission.commands {
            if !commands.iter().any(|(command, _, _)| command == name) {
                let line = line_of(&permissions.text, &format!("\"{name}\""));
                violations.push(Violation::new(PERMISSIONS, line, format!("no command `{name}` exists")));
            }
        }
        if !granted.contains(&permission.identifier) {
            let line = line_of(&permissions.text, &permission.identifier);
            let message = format!("permission `{}` is not granted in {CAPABILITY}", permission.identifier);
            violations.push(Violation::new(PERMISSIONS, line, message));
        }
    }
    for identifier in granted.iter().filter(|identifier| !identifier.contains(':')) {
        if !listed.iter().any(|permission| permission.identifier == **identifier) {
            let line = line_of(&capability.text, &format!("\"{identifier}\""));
            violations.push(Violation::new(CAPABILITY, line, format!("no permission `{identifier}` exists")));
        }
    }
    violations
}

struct Permission {
    identifier: String,
    commands: Vec<String>,
}

fn permissions_of(text: &str) -> Result<Vec<Permission>, String> {
    let table: toml::Table = toml::from_str(text).map_err(|error| format!("cannot be read: {error}"))?;
    let permissions = table.get("permission").and_then(toml::Value::as_array).cloned().unwrap_or_default();
    Ok(permissions
        .iter()
        .map(|permission| Permission {
            identifier: permission["identifier"].as_str().unwrap_or_default().to_owned(),
            commands: permission
                .get("commands")
                .and_then(|commands| commands.get("allow"))
                .and_then(toml::Value::as_array)
                .map(|names| names.iter().filter_map(|name| name.as_str().map(ToOwned::to_owned)).collect())
                .unwrap_or_default(),
        })
        .collect())
}

fn granted(text: &str) -> Result<Vec<String>, String> {
    let value: serde_json::Value = serde_json::from_str(text).map_err(|error| format!("cannot be read: {error}"))?;
    let permissions = value["permissions"].as_array().cloned().unwrap_or_default();
    // An entry is a name, or an object with one and a scope.
    Ok(permissions
        .iter()
        .filter_map(|entry| entry.as_str().or_else(|| entry["identifier"].as_str()).map(ToOwned::to_owned))
        .collect())
}

/// `name(Request) -> Response, "…";` lines of the api crate's table, with their lines.
fn table_names(text: &str) -> Vec<(String, usize)> {
    let mut names = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        let Some((name, rest)) = line.split_once('(') else { continue };
        let is_name =
            !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        if is_name && rest.contains(") -> ") && rest.contains(", \"") && rest.ends_with("\";") {
            names.push((name.to_owned(), index + 1));
        }
    }
    names
}

/// Functions marked `#[tauri::command]` whose name is written out, with their lines. A macro's `$name` comes from the
/// table.
fn written_names(text: &str) -> Vec<(String, usize)> {
    let mut names = Vec::new();
    let mut marked = false;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.starts_with("#[tauri::command") {
            marked = true;
        }
        let Some((_, rest)) = line.split_once("fn ") else { continue };
        let name: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        if std::mem::take(&mut marked) && !name.is_empty() {
            names.push((name, index + 1));
        }
    }
    names
}

/// The first line (from 1) with `needle`, 0 when there is none.
fn line_of(text: &str, needle: &str) -> usize {
    text.lines().position(|line| line.contains(needle)).map_or(0, |index| index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD_TABLE: &str = "macro_rules! commands {\n    fleet(Empty) -> Fleet, \"All.\";\n}\n";
    const GOOD_SHELL: &str = "#[tauri::command]\nasync fn ready() {}\n#[tauri::command]\nasync fn $name() {}\n#[command(version)]\nfn other() {}\n";
    const GOOD_PERMISSIONS: &str =
        "[[permission]]\nidentifier = \"allow-all\"\ncommands.allow = [\n  \"fleet\",\n  \"ready\",\n]\n";
    const GOOD_CAPABILITY: &str = r#"{"permissions": ["core:event:allow-listen", "allow-all"]}"#;

    fn messages(table: &str, shell: &str, permissions: &str, capability: &str) -> Vec<String> {
        let source = |path: &str, text: &str| Source { path: path.to_owned(), text: text.to_owned() };
        check(&[
            source(TABLE, table),
            source("src-tauri/src/lib.rs", shell),
            source(PERMISSIONS, permissions),
            source(CAPABILITY, capability),
        ])
        .iter()
        .map(ToString::to_string)
        .collect()
    }

    #[test]
    fn agreement_is_clean() {
        assert!(messages(GOOD_TABLE, GOOD_SHELL, GOOD_PERMISSIONS, GOOD_CAPABILITY).is_empty());
    }

    #[test]
    fn each_difference_is_found_with_its_place() {
        let unlisted = GOOD_PERMISSIONS.replace("  \"fleet\",\n", "");
        assert_eq!(
            messages(GOOD_TABLE, GOOD_SHELL, &unlisted, GOOD_CAPABILITY),
            [format!("{TABLE}:2: command `fleet` is not listed in {PERMISSIONS}")]
        );
        let extra = GOOD_PERMISSIONS.replace("\"ready\"", "\"ready\", \"gone\"");
        assert_eq!(
            messages(GOOD_TABLE, GOOD_SHELL, &extra, GOOD_CAPABILITY),
            [format!("{PERMISSIONS}:5: no command `gone` exists")]
        );
        let ungranted = GOOD_CAPABILITY.replace("allow-all", "allow-none");
        assert_eq!(
            messages(GOOD_TABLE, GOOD_SHELL, GOOD_PERMISSIONS, &ungranted),
            [
                format!("{PERMISSIONS}:2: permission `allow-all` is not granted in {CAPABILITY}"),
                format!("{CAPABILITY}:1: no permission `allow-none` exists"),
            ]
        );
        let broken = messages(GOOD_TABLE, GOOD_SHELL, "[[", GOOD_CAPABILITY);
        assert!(broken[0].contains("cannot be read"), "{broken:?}");
    }
}
