//! What may be written where, over the text of the sources.

use super::{Source, Violation};

/// This folder spells out what it forbids.
const OURSELVES: &str = "src-tauri/crates/xtask/src/tidy/";

type Check = fn(&Source) -> Vec<Violation>;

const CHECKS: [Check; 7] = [
    purity,
    only_store_speaks_sql,
    one_transport,
    no_unfinished_work,
    lint_exceptions_have_reasons,
    modules_say_what_they_are,
    one_backend_folder,
];

/// Every line that breaks a rule. `places` are absolute paths that exist on this machine alone.
pub(super) fn check(sources: &[Source], places: &[String]) -> Vec<Violation> {
    sources
        .iter()
        .filter(|source| !source.path.starts_with(OURSELVES))
        .flat_map(|source| CHECKS.iter().flat_map(|check| check(source)).chain(no_machine_paths(source, places)))
        .collect()
}

/// Lines of Rust code with their numbers: no comments, and nothing from the file's test module on (which our style puts
/// last).
fn code_lines(source: &Source) -> impl Iterator<Item = (usize, &str)> {
    source
        .text
        .lines()
        .enumerate()
        .take_while(|(_, line)| line.trim() != "#[cfg(test)]")
        .map(|(index, line)| (index + 1, line))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
}

fn is_rust(path: &str) -> bool {
    path.rsplit_once('.').is_some_and(|(_, extension)| extension == "rs")
}

/// Whether this is Rust that ends up in a program, as opposed to a test, a benchmark or an example.
fn is_program(source: &Source) -> bool {
    is_rust(&source.path)
        && source.path.starts_with("src-tauri/")
        && !["/tests/", "/benches/", "/examples/", "src-tauri/crates/testkit/"]
            .iter()
            .any(|part| source.path.contains(part))
        && !source.path.ends_with("/tests.rs")
}

fn found(source: &Source, lines: impl Iterator<Item = usize>, message: &str) -> Vec<Violation> {
    lines.map(|line| Violation::new(&source.path, line, message)).collect()
}

fn purity(source: &Source) -> Vec<Violation> {
    const FORBIDDEN: [&str; 9] = [
        "SystemTime",
        "Instant::",
        "time::Instant",
        "std::fs",
        "std::net",
        "std::process",
        "std::env::",
        "tokio::",
        "Zoned::now",
    ];
    let pure = ["domain", "stats", "charts", "config"]
        .iter()
        .any(|name| source.path.starts_with(&format!("src-tauri/crates/{name}/")));
    if !pure || !is_program(source) {
        return Vec::new();
    }
    let lines = code_lines(source).filter(|(_, line)| FORBIDDEN.iter().any(|word| line.contains(word)));
    found(
        source,
        lines.map(|(line, _)| line),
        "this crate does no input or output and never reads the clock: take it as an argument",
    )
}

fn only_store_speaks_sql(source: &Source) -> Vec<Violation> {
    if !is_program(source) || source.path.starts_with("src-tauri/crates/store/") {
        return Vec::new();
    }
    let lines = code_lines(source).filter(|(_, line)| is_sql(line));
    found(source, lines.map(|(line, _)| line), "SQL outside `store`: give the store a function for it")
}

fn is_sql(line: &str) -> bool {
    let has = |word: &str| line.find(word).is_some_and(|at| !line[..at].ends_with(|c: char| c.is_alphanumeric()));
    has("SELECT ")
        || has("INSERT INTO ")
        || has("DELETE FROM ")
        || has("CREATE TABLE ")
        || has("PRAGMA ")
        || (has("UPDATE ") && line.contains(" SET "))
}

fn one_transport(source: &Source) -> Vec<Violation> {
    const CONNECTS: [&str; 4] = ["TcpStream::connect", "TcpSocket::new", "UdpSocket::bind", "UnixStream::connect"];
    if !is_program(source)
        || source.path.starts_with("src-tauri/crates/serving/")
        || source.path.starts_with("src-tauri/crates/xtask/")
    {
        return Vec::new();
    }
    let lines = code_lines(source).filter(|(_, line)| CONNECTS.iter().any(|word| line.contains(word)));
    found(source, lines.map(|(line, _)| line), "only `serving`'s transport opens client sockets")
}

fn no_unfinished_work(source: &Source) -> Vec<Violation> {
    const RUST: [&str; 6] = ["todo!(", "unimplemented!(", "#[ignore", "dbg!(", "// TODO", "// FIXME"];
    const UI_TESTS: [&str; 5] = [".only(", ".skip(", ".todo(", ".skipIf(", ".fails("];
    let extension = source.path.rsplit('.').next().unwrap_or_default();
    let is_ui_test =
        source.path.starts_with("ui/") && (source.path.contains(".test.") || source.path.contains(".spec."));
    let words: &[&str] = match extension {
        "rs" => &RUST,
        _ if is_ui_test => &UI_TESTS,
        "ts" | "svelte" | "css" => &["// TODO", "// FIXME"],
        _ => return Vec::new(),
    };
    let mut violations = Vec::new();
    for (index, line) in source.text.lines().enumerate() {
        if let Some(word) = words.iter().find(|word| line.contains(**word)) {
            violations.push(Violation::new(&source.path, index + 1, format!("`{word}`: finish it or take it out")));
        }
    }
    violations
}

fn lint_exceptions_have_reasons(source: &Source) -> Vec<Violation> {
    if !is_rust(&source.path) {
        return Vec::new();
    }
    let mut violations = Vec::new();
    let lines: Vec<&str> = source.text.lines().collect();
    for (index, line) in lines.iter().enumerate() {
        let start = line.trim_start();
        if start.starts_with("#[allow(") || start.starts_with("#![allow(") {
            let message = "write `#[expect(lint, reason = \"…\")]`: it tells why, and when it is no longer needed";
            violations.push(Violation::new(&source.path, index + 1, message));
        }
        if start.starts_with("#[expect(") || start.starts_with("#![expect(") {
            let attribute: String = lines[index..]
                .iter()
                .scan(false, |done, line| {
                    if *done {
                        return None;
                    }
                    *done = line.trim_end().ends_with(")]");
                    Some(*line)
                })
                .collect();
            if !attribute.contains("reason") {
                violations.push(Violation::new(&source.path, index + 1, "a lint exception needs a `reason`"));
            }
        }
    }
    violations
}

fn modules_say_what_they_are(source: &Source) -> Vec<Violation> {
    if !is_rust(&source.path) || source.text.starts_with("//!") {
        return Vec::new();
    }
    vec![Violation::new(
        &source.path,
        1,
        "a module opens with a `//!` comment: what it is, hides, and what must stay true",
    )]
}

fn one_backend_folder(source: &Source) -> Vec<Violation> {
    if !source.path.starts_with("ui/src/") || source.path.starts_with("ui/src/backend/") {
        return Vec::new();
    }
    let lines = source.text.lines().enumerate().filter(|(_, line)| line.contains("@tauri-apps/"));
    found(source, lines.map(|(index, _)| index + 1), "only ui/src/backend imports @tauri-apps: add a function there")
}

/// Paths of one machine make a build that works only there. `you`, `user` and `name` are for examples in documentation,
/// `mara` is the person of the page's fixtures.
fn no_machine_paths(source: &Source, places: &[String]) -> Vec<Violation> {
    const ROOTS: [&str; 4] = ["/root/", "/home/", "/Users/", "C:\\Users\\"];
    const EXAMPLES: [&str; 5] = ["you", "user", "name", "mara", "$"];
    let mut violations = Vec::new();
    for (index, line) in source.text.lines().enumerate() {
        for root in ROOTS.into_iter().chain(places.iter().map(String::as_str)) {
            for (at, _) in line.match_indices(root) {
                let before = line[..at].chars().next_back();
                let is_start = before
                    .is_none_or(|c| !(c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | '}' | '>' | '~')));
                let after = &line[at + root.len()..];
                let is_example = matches!(root, "/home/" | "/Users/" | "C:\\Users\\")
                    && (EXAMPLES.iter().any(|name| after.starts_with(name))
                        || !after.starts_with(|c: char| c.is_alphanumeric()));
                if is_start && !is_example {
                    let message = format!("a path of one machine (`{root}…`): take it from the environment");
                    violations.push(Violation::new(&source.path, index + 1, message));
                }
            }
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn expect(path: &str, text: &str, lines: &[usize]) {
        // Every Rust file opens with its comment, so that only the rule under test can speak.
        let text = if is_rust(path) { format!("//! Doc.\n{text}") } else { text.to_owned() };
        let found = check(&[Source { path: path.to_owned(), text }], &["/build/clone".to_owned()]);
        assert_eq!(found.iter().map(|violation| violation.line).collect::<Vec<_>>(), lines, "{found:?}");
    }

    #[test]
    fn pure_crates_take_time_and_files_as_arguments() {
        expect("src-tauri/crates/stats/src/a.rs", "use std::time::SystemTime;", &[2]);
        expect("src-tauri/crates/domain/src/a.rs", "let now = Instant::now();", &[2]);
        expect("src-tauri/crates/charts/src/a.rs", "std::fs::read(path)", &[2]);
        expect("src-tauri/crates/stats/src/a.rs", "// SystemTime in a comment\n#[cfg(test)]\nuse std::fs;", &[]);
        expect("src-tauri/crates/stats/tests/a.rs", "use std::fs;", &[]);
        expect("src-tauri/crates/engine/src/a.rs", "use std::time::SystemTime;", &[]);
    }

    #[test]
    fn sql_belongs_to_the_store() {
        expect("src-tauri/crates/engine/src/a.rs", "let q = \"SELECT id FROM x\";", &[2]);
        expect("src-tauri/src/a.rs", "\n    UPDATE endpoints SET x = 1\n    PRAGMA user_version", &[3, 4]);
        expect("src-tauri/crates/store/src/a.rs", "let q = \"SELECT id FROM x\";", &[]);
        expect("src-tauri/crates/engine/src/a.rs", "// SELECT a version\nRESELECT x; \"select all\"", &[]);
    }

    #[test]
    fn one_transport_opens_sockets() {
        expect("src-tauri/crates/control/src/a.rs", "TcpStream::connect(address)", &[2]);
        expect("src-tauri/crates/serving/src/transport/a.rs", "TcpStream::connect(address)", &[]);
        expect("tests/it/a.rs", "TcpStream::connect(address)", &[]);
    }

    #[test]
    fn nothing_is_left_unfinished_or_switched_off() {
        expect("src-tauri/crates/engine/src/a.rs", "todo!()\n#[ignore]\n// TODO later", &[2, 3, 4]);
        expect("ui/src/a.test.ts", "it.only('x')\ndescribe.skip('y')\nit('z')", &[1, 2]);
        expect("ui/src/a.ts", "list.skip(3)", &[]);
    }

    #[test]
    fn lint_exceptions_say_why() {
        expect("src-tauri/src/a.rs", "#[allow(dead_code)]\nfn a() {}", &[2]);
        expect("src-tauri/src/a.rs", "#[expect(dead_code)]\nfn a() {}", &[2]);
        expect("src-tauri/src/a.rs", "#[expect(\n  dead_code,\n  reason = \"x\"\n)]\nfn a() {}", &[]);
    }

    #[test]
    fn a_module_opens_with_its_comment() {
        let source = |text: &str| Source { path: "src-tauri/src/a.rs".to_owned(), text: text.to_owned() };
        assert_eq!(check(&[source("use x;")], &[]).len(), 1);
        assert!(check(&[source("//! Says what it is.\nuse x;")], &[]).is_empty());
    }

    #[test]
    fn tauri_is_reached_through_one_folder() {
        expect("ui/src/features/a.svelte", "import { invoke } from '@tauri-apps/api/core'", &[1]);
        expect("ui/src/backend/a.ts", "import { invoke } from '@tauri-apps/api/core'", &[]);
        expect("ui/vite.config.ts", "// @tauri-apps/cli", &[]);
    }

    #[test]
    fn no_path_of_one_machine() {
        expect("docs/a.md", "see `/build/clone/x`", &[1]);
        expect("tests/a.py", "open('/root/.cache')", &[1]);
        expect("tests/a.py", "open('/home/ada/x')", &[1]);
        expect("docs/a.md", "/home/you/models, ~/root/x, $HOME/root/x, https://a.example/root/x, /home/", &[]);
    }
}
