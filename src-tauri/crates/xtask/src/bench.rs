//! `cargo xtask bench`: runs every crate's benchmarks and writes their table into `docs/benchmarks.md`, between two
//! markers, with the machine and the command.
//!
//! Two kinds of lines are read: divan's tree (0.1), and `result: NAME = VALUE` lines, which a benchmark prints for what
//! is not a duration (bytes on disk, resident memory). The goals stand beside what was measured; nothing fails by them.

mod goals;
mod window;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use lexopt::prelude::*;

use crate::setup::{self, Needs};
use crate::workspace::Workspace;
use crate::{files, process};

const BEGIN: &str = "<!-- begin: written by cargo xtask bench -->";
const END: &str = "<!-- end -->";
/// The benchmark that is not a crate's own: the real window.
const WINDOW: &str = "window";

/// Which crates to measure.
#[derive(Debug, Default)]
pub(crate) struct Options {
    only: Vec<String>,
}

impl Options {
    /// Reads the rest of the command line.
    pub(crate) fn parse(mut arguments: lexopt::Parser) -> Result<Self> {
        let mut options = Self::default();
        while let Some(argument) = arguments.next()? {
            match argument {
                Long("only") => options.only.push(arguments.value()?.string()?),
                other => return Err(other.unexpected().into()),
            }
        }
        Ok(options)
    }
}

/// One measured thing.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    name: String,
    median: String,
    fastest: String,
    slowest: String,
    throughput: String,
}

impl Row {
    /// A row with one value.
    fn of_value(name: &str, value: &str) -> Self {
        let (name, median, none) = (name.to_owned(), value.to_owned(), String::new);
        Self { name, median, fastest: none(), slowest: none(), throughput: none() }
    }
}

/// Runs the benchmarks and replaces the tables of the crates that ran; the others keep theirs.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let benches = benches(workspace)?;
    let names: Vec<&str> = benches.keys().map(String::as_str).chain([WINDOW]).collect();
    if let Some(unknown) = options.only.iter().find(|only| !names.contains(&only.as_str())) {
        bail!("no benchmarks in `{unknown}`; there are: {}", names.join(", "));
    }
    let chosen = |name: &str| options.only.is_empty() || options.only.iter().any(|only| only == name);
    let window = cfg!(target_os = "linux") && chosen(WINDOW);
    setup::prepare(workspace, Needs { app: true, ui: window, virtual_display: window, ..Needs::default() })?;
    let page = workspace.root.join("docs").join("benchmarks.md");
    let text = std::fs::read_to_string(&page).with_context(|| format!("cannot read `{}`", page.display()))?;
    let mut sections = sections_of(&text);
    for (name, targets) in benches.iter().filter(|(name, _)| chosen(name)) {
        let mut rows = Vec::new();
        for target in targets {
            let (lines, result) = process::run_keeping_raw(&mut cargo_bench(workspace, target));
            result?;
            rows.extend(parse(&lines));
        }
        if rows.is_empty() {
            bail!("the benchmarks of `{name}` printed nothing that is read here");
        }
        sections.insert(name.clone(), table(&rows));
    }
    if window {
        sections.insert(WINDOW.to_owned(), table(&window::measure(workspace)?));
    }
    let written = replace_between(&text, &page_body(&machine(), &sections))?;
    std::fs::write(&page, written).with_context(|| format!("cannot write `{}`", page.display()))?;
    println!("written: {}", page.display());
    Ok(())
}

/// One benchmark, built like everything else here: with the packages and features of the whole workspace.
fn cargo_bench(workspace: &Workspace, target: &str) -> Command {
    let mut arguments = vec!["bench"];
    arguments.extend(Workspace::selection());
    arguments.extend(["--bench", target]);
    workspace.cargo(&arguments)
}

/// The names of the benchmarks of each crate. They differ between crates, as cargo is asked for them by name.
fn benches(workspace: &Workspace) -> Result<BTreeMap<String, Vec<String>>> {
    let folder = workspace.root.join("src-tauri").join("crates");
    let mut benches: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for entry in std::fs::read_dir(&folder).with_context(|| format!("cannot read `{}`", folder.display()))? {
        let entry = entry?;
        let own = entry.path().join("benches");
        for file in files::walk(&own, &|_| true)? {
            if file.parent() == Some(&own) && file.extension().is_some_and(|extension| extension == "rs") {
                let target = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                benches.entry(entry.file_name().to_string_lossy().into_owned()).or_default().push(target);
            }
        }
    }
    Ok(benches)
}

/// Reads divan's tree and `result:` lines.
fn parse(lines: &[String]) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    let mut path: Vec<String> = Vec::new();
    let mut value_column = None;
    for line in lines {
        if let Some((name, value)) = line.trim().strip_prefix("result: ").and_then(|rest| rest.split_once(" = ")) {
            rows.push(Row::of_value(name.trim(), value.trim()));
            continue;
        }
        if let Some(byte) = line.find("fastest").filter(|_| line.contains("│ median")) {
            value_column = Some(line[..byte].chars().count());
            path = vec![line[..byte].trim().to_owned()];
            continue;
        }
        let Some(value_column) = value_column else { continue };
        let characters: Vec<char> = line.chars().collect();
        let head: String = characters.iter().take(value_column).collect();
        let values: String = characters.iter().skip(value_column).collect();
        let columns: Vec<&str> = values.split('│').map(str::trim).collect();
        if let Some(branch) = head.chars().position(|character| matches!(character, '├' | '╰')) {
            let name: String = head.chars().skip(branch + 3).collect();
            // The tree indents by three characters a level; the top level has none.
            path.truncate(branch / 3 + 1);
            path.push(name.trim().to_owned());
            if let [fastest, slowest, median, ..] = columns[..]
                && !median.is_empty()
            {
                rows.push(Row {
                    name: path.join(" / "),
                    median: median.to_owned(),
                    fastest: fastest.to_owned(),
                    slowest: slowest.to_owned(),
                    throughput: String::new(),
                });
            }
        } else if let [_, _, median, ..] = columns[..]
            && median.ends_with("/s")
            && let Some(row) = rows.last_mut()
        {
            median.clone_into(&mut row.throughput);
        }
    }
    rows
}

fn table(rows: &[Row]) -> String {
    use std::fmt::Write;
    let mut text =
        String::from("| benchmark | median | fastest | slowest | per second | goal |\n|---|---|---|---|---|---|\n");
    for row in rows {
        let Row { name, median, fastest, slowest, throughput } = row;
        let goal = goals::judge(name, median);
        let _ = writeln!(text, "| {name} | {median} | {fastest} | {slowest} | {throughput} | {goal} |");
    }
    text
}

/// The tables already on the page, by crate.
fn sections_of(page: &str) -> BTreeMap<String, String> {
    let body = page.split_once(BEGIN).and_then(|(_, rest)| rest.split_once(END)).map_or("", |(body, _)| body);
    body.split("\n### ")
        .skip(1)
        .filter_map(|section| section.split_once('\n'))
        .map(|(name, text)| (name.trim().to_owned(), format!("{}\n", text.trim())))
        .collect()
}

fn page_body(machine: &str, sections: &BTreeMap<String, String>) -> String {
    use std::fmt::Write;
    let mut text = format!("\nMachine: {machine}. Command: `cargo xtask bench`.\n");
    for (name, section) in sections {
        let _ = write!(text, "\n### {name}\n\n{section}");
    }
    text.push('\n');
    text
}

fn replace_between(page: &str, body: &str) -> Result<String> {
    let markers = page.split_once(BEGIN).and_then(|(head, rest)| Some((head, rest.split_once(END)?.1)));
    let (head, tail) =
        markers.with_context(|| format!("docs/benchmarks.md has no lines `{BEGIN}` and `{END}` to write between"))?;
    Ok(format!("{head}{BEGIN}\n{body}{END}{tail}"))
}

fn machine() -> String {
    let read = |file: &str| std::fs::read_to_string(Path::new(file)).unwrap_or_default();
    let value = |text: &str, key: &str, separator: char| {
        text.lines()
            .filter_map(|line| line.split_once(separator))
            .find(|(name, _)| name.trim() == key)
            .map(|(_, value)| value.trim().trim_matches('"').to_owned())
    };
    let processor =
        value(&read("/proc/cpuinfo"), "model name", ':').unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    let count = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let system = value(&read("/etc/os-release"), "PRETTY_NAME", '=').unwrap_or_else(|| std::env::consts::OS.to_owned());
    let rustc = process::output(Command::new("rustc").arg("--version")).unwrap_or_default();
    let rustc = rustc.split(" (").next().unwrap_or_default().trim().to_owned();
    format!("{processor}, {count} logical processors, {system}, {rustc}, profile `bench`")
}

#[cfg(test)]
mod tests {
    use super::*;

    // Printed by divan 0.1.21; the last line is of our own convention.
    const DIVAN: &str = "\
     Running benches/shapley.rs (target/debug/deps/shapley-334e96e683a99ff9)
Timer precision: 28 ns
shapley                    fastest       │ slowest       │ median        │ mean          │ samples │ iters
├─ antithetic_permutation                │               │               │               │         │
│  ├─ 12                   1.015 ms      │ 1.162 ms      │ 1.089 ms      │ 1.089 ms      │ 2       │ 2
│  │                       2.265 Mitem/s │ 1.978 Mitem/s │ 2.112 Mitem/s │ 2.112 Mitem/s │         │
│  ╰─ 100                  32.97 ms      │ 37.18 ms      │ 35.07 ms      │ 35.07 ms      │ 2       │ 2
│                          603.5 Kitem/s │ 535.2 Kitem/s │ 567.3 Kitem/s │ 567.3 Kitem/s │         │
╰─ waterfall_30_features   205.6 µs      │ 10.14 ms      │ 208.9 µs      │ 590.8 µs      │ 100     │ 100

result: bytes per sample on disk = 38.4 B
";

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(ToOwned::to_owned).collect()
    }

    #[test]
    fn reads_divans_tree_and_result_lines() {
        let rows = parse(&lines(DIVAN));
        let names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "shapley / antithetic_permutation / 12",
                "shapley / antithetic_permutation / 100",
                "shapley / waterfall_30_features",
                "bytes per sample on disk",
            ]
        );
        assert_eq!((rows[1].median.as_str(), rows[1].throughput.as_str()), ("35.07 ms", "567.3 Kitem/s"));
        assert_eq!((rows[2].fastest.as_str(), rows[2].slowest.as_str()), ("205.6 µs", "10.14 ms"));
        assert_eq!((rows[2].throughput.as_str(), rows[3].median.as_str()), ("", "38.4 B"));
    }

    #[test]
    fn benchmarks_have_different_names() {
        let mut names: Vec<String> = benches(&Workspace::find().unwrap()).unwrap().into_values().flatten().collect();
        assert!(names.len() > 5, "{names:?}");
        names.sort();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
    }

    #[test]
    fn a_page_keeps_its_prose_and_the_tables_of_crates_that_did_not_run() {
        let page = format!("# Benchmarks\n\nprose\n\n{BEGIN}\n{END}\n\nmore\n");
        let rows = parse(&lines(DIVAN));
        let mut sections = sections_of(&page);
        assert!(sections.is_empty());
        sections.insert("serving".into(), table(&rows));
        let first = replace_between(&page, &page_body("a machine", &sections)).unwrap();
        assert!(first.starts_with("# Benchmarks\n\nprose\n") && first.ends_with("\n\nmore\n"), "{first}");
        let mut again = sections_of(&first);
        assert_eq!(again, sections);
        again.insert("store".into(), table(&rows[3..]));
        let second = replace_between(&first, &page_body("a machine", &again)).unwrap();
        assert_eq!(sections_of(&second), again);
        assert!(replace_between("no markers", "").is_err());
    }
}
