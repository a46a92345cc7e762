//! `cargo xtask test`: everything that must hold, in stages, each timed; the first failure stops the run.
//!
//! What must stay true: the last lines are the test runners' own summaries, so that what ran is never our word for it;
//! tests never write into the checkout (generated types go to a folder of their own and are compared).

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use lexopt::prelude::*;

use crate::session::TestSession;
use crate::setup::node;
use crate::setup::{self, Needs};
use crate::workspace::Workspace;
use crate::{codegen, process, tidy};

/// The runners' lines that a stage hands back.
type Summary = Vec<String>;

struct Stage {
    name: &'static str,
    about: &'static str,
    needs: Needs,
    run: fn(&Workspace) -> (Summary, Result<()>),
}

const NOTHING: Needs = Needs {
    app: false,
    ui: false,
    virtual_display: false,
    keyring: false,
    web_driver: false,
    servers: false,
    heavy_servers: false,
};
const UI: Needs = Needs { ui: true, ..NOTHING };
// Tests of secrets and xtask start a keyring and a display; the app crate embeds the built UI when it compiles.
const RUST: Needs = Needs { app: true, ui: true, keyring: true, virtual_display: true, ..NOTHING };
const SERVERS: Needs = Needs { servers: true, ..RUST };
const HEAVY: Needs = Needs { heavy_servers: true, ..SERVERS };
const WINDOW: Needs = Needs { web_driver: true, ..SERVERS };

const STAGES: &[Stage] = &[
    Stage { name: "fmt", about: "rustfmt changes nothing", needs: NOTHING, run: fmt },
    Stage { name: "clippy", about: "no warning in any target", needs: RUST, run: clippy },
    Stage { name: "rust", about: "unit and crate tests", needs: RUST, run: rust },
    Stage { name: "doc", about: "examples in the documentation", needs: RUST, run: doc },
    Stage { name: "codegen", about: "the UI's types match the command surface", needs: RUST, run: codegen_drift },
    Stage { name: "tidy", about: "the invariants of ARCHITECTURE.md", needs: NOTHING, run: tidiness },
    Stage { name: "ui", about: "types and tests of the window's page", needs: UI, run: ui },
    Stage { name: "servers", about: "against real model servers", needs: SERVERS, run: servers },
    Stage { name: "heavy", about: "against the heavy model servers (with --all)", needs: HEAVY, run: heavy },
    Stage { name: "window", about: "journeys in the real window", needs: WINDOW, run: window },
];

/// The stage that takes gigabytes and many minutes; it runs with `--all`, or by its name.
const ON_REQUEST: &str = "heavy";

/// Which stages to run.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    only: Vec<String>,
    skip: Vec<String>,
    /// Also the stages that only run when asked for.
    all: bool,
    list: bool,
}

impl Options {
    /// Reads the rest of the command line.
    pub(crate) fn parse(mut arguments: lexopt::Parser) -> Result<Self> {
        let mut options = Self::default();
        while let Some(argument) = arguments.next()? {
            match argument {
                Long("only") => options.only.push(stage_name(&arguments.value()?.string()?)?),
                Long("skip") => options.skip.push(stage_name(&arguments.value()?.string()?)?),
                Long("all") => options.all = true,
                Long("list") => options.list = true,
                other => return Err(other.unexpected().into()),
            }
        }
        Ok(options)
    }

    fn selects(&self, name: &str) -> bool {
        let chosen = if self.only.is_empty() {
            self.all || name != ON_REQUEST
        } else {
            self.only.iter().any(|only| only == name)
        };
        chosen && !self.skip.iter().any(|skip| skip == name)
    }
}

fn stage_name(name: &str) -> Result<String> {
    if STAGES.iter().any(|stage| stage.name == name) {
        return Ok(name.to_owned());
    }
    let names: Vec<&str> = STAGES.iter().map(|stage| stage.name).collect();
    bail!("no stage `{name}`; the stages are: {}", names.join(", "))
}

/// Runs the selected stages, then prints the table of stages and the runners' summaries.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    if options.list {
        for stage in STAGES {
            println!("{:<9}{}", stage.name, stage.about);
        }
        return Ok(());
    }
    let mut report = Report::default();
    let result = stages(workspace, options, &mut report);
    print!("{}", report.text());
    result
}

fn stages(workspace: &Workspace, options: &Options, report: &mut Report) -> Result<()> {
    let needs =
        STAGES.iter().filter(|stage| options.selects(stage.name)).fold(NOTHING, |needs, stage| needs.and(stage.needs));
    let started = Instant::now();
    if needs != NOTHING {
        println!("\n=== set-up");
        let result = setup::prepare(workspace, needs);
        report.add("set-up", if result.is_ok() { "passed" } else { "FAILED" }, Some(started.elapsed()), Vec::new());
        result?;
    }
    let mut failed = None;
    for stage in STAGES {
        if !options.selects(stage.name) {
            report.add(stage.name, "skipped", None, Vec::new());
            continue;
        }
        if failed.is_some() {
            report.add(stage.name, "not run", None, Vec::new());
            continue;
        }
        println!("\n=== {}: {}", stage.name, stage.about);
        let started = Instant::now();
        let (summary, result) = (stage.run)(workspace);
        report.add(stage.name, if result.is_ok() { "passed" } else { "FAILED" }, Some(started.elapsed()), summary);
        if let Err(error) = result {
            failed = Some(error.context(format!("stage `{}` failed", stage.name)));
        }
    }
    failed.map_or(Ok(()), Err)
}

#[derive(Default)]
struct Report {
    rows: Vec<(String, &'static str, Option<Duration>)>,
    summaries: Vec<String>,
}

impl Report {
    fn add(&mut self, name: &str, result: &'static str, took: Option<Duration>, summary: Summary) {
        self.rows.push((name.to_owned(), result, took));
        for line in summary {
            if !self.summaries.contains(&line) {
                self.summaries.push(line);
            }
        }
    }

    fn text(&self) -> String {
        use std::fmt::Write;
        let mut text = String::from("\nstage     result        time\n");
        for (name, result, took) in &self.rows {
            let took = took.map_or_else(|| "-".to_owned(), |took| format!("{:.1} s", took.as_secs_f64()));
            let _ = writeln!(text, "{name:<10}{result:<8}{took:>10}");
        }
        if !self.summaries.is_empty() {
            text.push_str("\nThe test runners' own words:\n");
            for line in &self.summaries {
                let _ = writeln!(text, "{line}");
            }
        }
        text
    }
}

/// The lines that say what a runner ran: nextest's, libtest's and vitest's. Crates without a documentation example would
/// drown the rest, so their empty results stay out.
fn is_summary(line: &str) -> bool {
    line.starts_with("Summary [")
        || line.starts_with("FAIL ")
        || line.starts_with("TIMEOUT ")
        || line.starts_with("SIG")
        || line.starts_with("Test Files ")
        || line.starts_with("Tests ")
        || (line.starts_with("test result: ") && !line.starts_with("test result: ok. 0 passed"))
}

fn quiet(result: Result<()>) -> (Summary, Result<()>) {
    (Vec::new(), result)
}

fn fmt(workspace: &Workspace) -> (Summary, Result<()>) {
    quiet(process::run(&mut workspace.cargo(&["fmt", "--all", "--check"])))
}

fn clippy(workspace: &Workspace) -> (Summary, Result<()>) {
    let mut command = with_selection(workspace, &["clippy"], &["--all-targets", "--", "-D", "warnings"]);
    quiet(process::run(&mut command))
}

/// `cargo BEFORE… <selection> AFTER…`, with generated types kept out of the checkout.
fn with_selection(workspace: &Workspace, before: &[&str], after: &[&str]) -> Command {
    let mut command = workspace.cargo(before);
    command.args(Workspace::selection()).args(after);
    command.env("TS_RS_EXPORT_DIR", codegen::scratch(workspace));
    command
}

fn has_nextest(workspace: &Workspace) -> bool {
    process::output(&mut workspace.cargo(&["nextest", "--version"])).is_some()
}

fn rust(workspace: &Workspace) -> (Summary, Result<()>) {
    let mut command = if has_nextest(workspace) {
        // The whole workspace is built, also what later stages run: one selection, one set of features.
        let filter = "not (package(pilothouse-tests) & kind(test))";
        with_selection(workspace, &["nextest", "run"], &["--no-fail-fast", "-E", filter])
    } else {
        let after = ["--exclude", "pilothouse-tests", "--tests", "--no-fail-fast"];
        with_selection(workspace, &["test"], &after)
    };
    process::run_keeping(&mut command, is_summary)
}

fn doc(workspace: &Workspace) -> (Summary, Result<()>) {
    process::run_keeping(&mut with_selection(workspace, &["test"], &["--doc", "--no-fail-fast"]), is_summary)
}

fn codegen_drift(workspace: &Workspace) -> (Summary, Result<()>) {
    quiet(codegen::check(workspace, codegen::Scope::Workspace))
}

fn tidiness(workspace: &Workspace) -> (Summary, Result<()>) {
    quiet(tidy::run(workspace))
}

fn ui(workspace: &Workspace) -> (Summary, Result<()>) {
    if let Err(error) = process::run(&mut node::npm(workspace, &["run", "check"])) {
        return quiet(Err(error));
    }
    process::run_keeping(&mut node::npm(workspace, &["run", "test"]), is_summary)
}

/// Builds the two programs together with a test target, so that they get the features of the test build and nothing is
/// compiled twice, and says where they are.
fn programs(workspace: &Workspace, target: &str) -> Result<[(&'static str, std::path::PathBuf); 2]> {
    let targets = ["--bin", "pilothouse", "--bin", "pilothousectl", "--test", target];
    process::run(&mut with_selection(workspace, &["build"], &targets))?;
    Ok([
        ("PILOTHOUSE_APP", workspace.debug_binary("pilothouse")),
        ("PILOTHOUSE_CTL", workspace.debug_binary("pilothousectl")),
    ])
}

/// Which tests of a target to run.
#[derive(Debug, Clone, Copy)]
enum Choice<'a> {
    All,
    /// Those whose names hold this.
    With(&'a str),
    /// All but those.
    Without(&'a str),
}

impl Choice<'_> {
    /// As a filter of nextest, to be put behind another.
    fn expression(self) -> String {
        match self {
            Choice::All => String::new(),
            Choice::With(part) => format!(" & test({part})"),
            Choice::Without(part) => format!(" & not test({part})"),
        }
    }

    /// As arguments of libtest.
    fn arguments(self) -> Vec<String> {
        match self {
            Choice::All => Vec::new(),
            Choice::With(part) => vec![part.to_owned()],
            Choice::Without(part) => vec!["--skip".to_owned(), part.to_owned()],
        }
    }
}

/// The command that runs one test target of `pilothouse-tests`.
fn integration(workspace: &Workspace, target: &str, threads: &str, choice: Choice) -> Command {
    if has_nextest(workspace) {
        let expression = format!("package(pilothouse-tests) & binary({target}){}", choice.expression());
        let after = ["--test", target, "--no-fail-fast", "--test-threads", threads, "-E", &expression];
        with_selection(workspace, &["nextest", "run"], &after)
    } else {
        let mut after = vec!["--test", target, "--no-fail-fast", "--"];
        let arguments = choice.arguments();
        after.extend(arguments.iter().map(String::as_str));
        let threads = format!("--test-threads={threads}");
        after.push(&threads);
        with_selection(workspace, &["test"], &after)
    }
}

/// The module of the tests that need the environments of `tests/servers/heavy`.
const HEAVY_TESTS: &str = "heavy::";

fn servers(workspace: &Workspace) -> (Summary, Result<()>) {
    // Each test starts a server of its own and then mostly waits for the next probe.
    against_servers(workspace, "3", Choice::Without(HEAVY_TESTS))
}

fn heavy(workspace: &Workspace) -> (Summary, Result<()>) {
    against_servers(workspace, "1", Choice::With(HEAVY_TESTS))
}

fn against_servers(workspace: &Workspace, threads: &str, choice: Choice) -> (Summary, Result<()>) {
    let programs = match programs(workspace, "it") {
        Ok(programs) => programs,
        Err(error) => return quiet(Err(error)),
    };
    let mut command = integration(workspace, "it", threads, choice);
    command.envs(programs);
    process::run_keeping(&mut command, is_summary)
}

fn window(workspace: &Workspace) -> (Summary, Result<()>) {
    journeys(workspace, None, &[])
}

/// Runs the window tests in a session of their own; `filter` chooses some by name, `variables` are handed to them.
pub(crate) fn journeys(
    workspace: &Workspace,
    filter: Option<&str>,
    variables: &[(&str, &std::path::Path)],
) -> (Summary, Result<()>) {
    let session = match TestSession::start() {
        Ok(session) => session,
        Err(error) => return quiet(Err(error)),
    };
    let programs = match programs(workspace, "e2e") {
        Ok(programs) => programs,
        Err(error) => return quiet(Err(error)),
    };
    // WebKit's driver automates one window at a time.
    let mut command = session.wrap(&integration(workspace, "e2e", "1", filter.map_or(Choice::All, Choice::With)));
    command.envs(programs).envs(variables.iter().copied());
    process::run_keeping(&mut command, is_summary)
}

/// What the window tests need on the machine.
pub(crate) fn window_needs() -> Needs {
    WINDOW
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_chosen_by_name() {
        let parse = |arguments: &[&str]| Options::parse(lexopt::Parser::from_args(arguments));
        let chosen = |arguments: &[&str]| -> Vec<&str> {
            let options = parse(arguments).unwrap();
            STAGES.iter().map(|stage| stage.name).filter(|name| options.selects(name)).collect()
        };
        assert_eq!(chosen(&["--all"]).len(), STAGES.len());
        assert_eq!(chosen(&[]).len(), STAGES.len() - 1);
        assert!(!chosen(&[]).contains(&ON_REQUEST));
        assert_eq!(chosen(&["--only", ON_REQUEST]), [ON_REQUEST]);
        assert!(chosen(&["--all", "--skip", ON_REQUEST]) == chosen(&[]));
        assert_eq!(chosen(&["--only", "tidy", "--only", "fmt"]), ["fmt", "tidy"]);
        assert!(!chosen(&["--skip", "window"]).contains(&"window"));
        let error = parse(&["--only", "nonsense"]).unwrap_err().to_string();
        assert!(error.contains("clippy"), "{error}");
    }

    #[test]
    fn tests_are_chosen_for_each_runner() {
        assert_eq!(Choice::All.expression(), "");
        assert_eq!(Choice::With("heavy::").expression(), " & test(heavy::)");
        assert_eq!(Choice::Without("heavy::").expression(), " & not test(heavy::)");
        assert_eq!(Choice::Without("heavy::").arguments(), ["--skip", "heavy::"]);
    }

    #[test]
    fn summary_lines_of_each_runner() {
        assert!(is_summary("Summary [   0.005s] 12 tests run: 12 passed, 0 skipped"));
        assert!(is_summary("FAIL [   0.004s] xtask run::tests::options"));
        assert!(is_summary("Test Files  3 passed (3)"));
        assert!(is_summary("Tests  12 passed (12)"));
        assert!(is_summary("test result: FAILED. 0 passed; 1 failed; 0 ignored"));
        assert!(is_summary("test result: ok. 2 passed; 0 failed; 0 ignored"));
        assert!(!is_summary("test result: ok. 0 passed; 0 failed; 0 ignored"));
        assert!(!is_summary("PASS [   0.004s] xtask run::tests::options"));
    }

    #[test]
    fn the_report_ends_on_the_runners_words() {
        let mut report = Report::default();
        report.add("fmt", "passed", Some(Duration::from_millis(1500)), Vec::new());
        report.add(
            "rust",
            "FAILED",
            Some(Duration::from_secs(1)),
            vec!["FAIL x".into(), "Summary [1s]".into(), "FAIL x".into()],
        );
        report.add("doc", "not run", None, Vec::new());
        let text = report.text();
        assert!(text.contains("fmt       passed       1.5 s\n"), "{text}");
        assert!(text.contains("doc       not run          -\n"), "{text}");
        assert!(text.ends_with("FAIL x\nSummary [1s]\n"), "{text}");
    }
}
