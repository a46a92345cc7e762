//! `config`: the whole set-up as TOML, compared with the database and carried over.

use std::fmt::Write as _;
use std::io::{BufRead as _, IsTerminal as _};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use pilothouse_api::Api;
use pilothouse_api::types::{
    ConfigApplyRequest, ConfigDiff, ConfigField, ConfigFile, ConfigFiles, ConfigProblem, Empty, SecretState,
};
use serde_json::{Value, json};

use crate::arguments::Common;
use crate::config_files;
use crate::failure::{Answer, Failure};
use crate::output::{Output, plain};
use crate::session::with_api;

/// `config …`
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Write the set-up as TOML; secrets stand in it by name only
    Export {
        /// A file ending in .toml, or a folder; without it standard output
        #[arg(long, value_name = "PATH")]
        out: Option<PathBuf>,
    },
    /// Tell what applying would change; exit code 1 when something differs
    Diff {
        /// A TOML file, or a folder of them
        path: PathBuf,
    },
    /// Carry a configuration over, all of it or nothing
    Apply(ApplyOptions),
}

/// `config apply`
#[derive(Debug, Args)]
pub(crate) struct ApplyOptions {
    /// A TOML file, or a folder of them
    path: PathBuf,
    /// Only show what would change
    #[arg(long)]
    dry_run: bool,
    /// Remove endpoints that the configuration does not describe, with their history
    #[arg(long)]
    prune: bool,
    /// Apply without asking
    #[arg(long, short)]
    yes: bool,
}

/// Carries it out.
pub(crate) async fn run(command: ConfigCommand, common: &Common, output: Output) -> Result<Answer, Failure> {
    with_api(common, async |api| match command {
        ConfigCommand::Export { out } => export(api, out.as_deref(), output).await,
        ConfigCommand::Diff { path } => {
            let diff = compare(api, config_files::load(&path)?).await?;
            output.answer(&json!(diff), || diff_text(&diff, false));
            Ok(Answer::good_if(!diff.differs))
        }
        ConfigCommand::Apply(options) => apply(api, &options, output).await,
    })
    .await
}

async fn export(api: &Api, out: Option<&Path>, output: Output) -> Result<Answer, Failure> {
    match out {
        None => {
            let file = api.config_export(Empty {}).await?;
            output.answer(&json!({ "toml": file.text }), || file.text.clone());
        }
        Some(path) if config_files::is_one_file(path) => {
            let file = api.config_export(Empty {}).await?;
            config_files::write(path, &file.text)?;
            output
                .answer(&json!({ "path": path, "files": 1, "stale": [] }), || format!("{} is written", path.display()));
        }
        Some(path) => {
            let files = api.config_folder().await?;
            let stale = config_files::write_folder(path, &files)?;
            for name in &stale {
                output.note(&format!("warning: {name} stands for nothing in the database; remove it if it is gone"));
            }
            output.answer(&json!({ "path": path, "files": files.len(), "stale": stale }), || {
                format!("{} files are written to {}", files.len(), path.display())
            });
        }
    }
    Ok(Answer::Good)
}

async fn apply(api: &Api, options: &ApplyOptions, output: Output) -> Result<Answer, Failure> {
    let files = config_files::load(&options.path)?;
    let diff = compare(api, files.clone()).await?;
    let answer = |applied: bool| -> Value {
        let mut document = json!(diff);
        document["applied"] = applied.into();
        document
    };
    if options.dry_run {
        output.answer(&answer(false), || diff_text(&diff, options.prune));
        return Ok(Answer::Good);
    }
    if !has_work(&diff, options.prune) {
        output.answer(&answer(false), || diff_text(&diff, options.prune));
        return Ok(Answer::Good);
    }
    output.note(&diff_text(&diff, options.prune));
    if let Some(set) = diff.golden_sets.changed.iter().find(|set| set.refused) {
        let message =
            format!("the golden set `{}` is stored with other rows, and a stored one never changes", set.name);
        return Err(Failure::usage(message).hint("give the other rows a name of their own"));
    }
    if !options.yes && !confirmed()? {
        return Err(Failure::usage("nothing was applied").hint("answer y, or give --yes"));
    }
    let request = ConfigApplyRequest { files, revision: diff.revision.clone(), prune: options.prune };
    api.config_apply(request).await?;
    output.answer(&answer(true), || applied_text(&diff, options.prune));
    Ok(Answer::Good)
}

async fn compare(api: &Api, files: Vec<ConfigFile>) -> Result<ConfigDiff, Failure> {
    let diff = api.config_diff(ConfigFiles { files }).await?;
    if diff.problems.is_empty() { Ok(diff) } else { Err(Failure::usage(problems_text(&diff.problems))) }
}

fn problems_text(problems: &[ConfigProblem]) -> String {
    let line = |problem: &ConfigProblem| {
        let ConfigProblem { file, line, column, key, message, hint } = problem;
        let key = if key.is_empty() { String::new() } else { format!("`{key}`: ") };
        let hint = hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default();
        plain(&format!("{file}:{line}:{column}: {key}{message}{hint}"))
    };
    problems.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Asks on the terminal.
fn confirmed() -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage("nothing was applied: there is no terminal to ask on")
            .hint("look at `pilothousectl config diff PATH`, then give --yes"));
    }
    Output { json: false, quiet: false }.note("Apply this? Type y and Enter:");
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    read.map_err(|error| Failure::internal(format!("standard input cannot be read: {error}")))?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}

/// Whether applying would change anything.
fn has_work(diff: &ConfigDiff, prune: bool) -> bool {
    let sets = &diff.golden_sets;
    let nothing = diff.added.is_empty()
        && diff.changed.is_empty()
        && diff.settings.is_empty()
        && sets.added.is_empty()
        && sets.changed.is_empty();
    !nothing || (prune && !diff.only_in_database.is_empty())
}

fn diff_text(diff: &ConfigDiff, prune: bool) -> String {
    let mut text = String::new();
    let fields = |text: &mut String, fields: &[ConfigField]| {
        for field in fields {
            let value = |value: &Option<String>| value.as_deref().map_or_else(|| "(not set)".to_owned(), plain);
            let _ = writeln!(text, "    {}: {} -> {}", plain(&field.path), value(&field.old), value(&field.new));
        }
    };
    for name in &diff.added {
        let _ = writeln!(text, "+ {}", plain(name));
    }
    for change in &diff.changed {
        let _ = writeln!(text, "~ {}", plain(&change.name));
        fields(&mut text, &change.fields);
    }
    for name in &diff.only_in_database {
        let fate = if prune { "is removed with its history" } else { "only in the database; --prune removes it" };
        let _ = writeln!(text, "- {}: {fate}", plain(name));
    }
    for name in &diff.golden_sets.added {
        let _ = writeln!(text, "+ golden set {}", plain(name));
    }
    for change in &diff.golden_sets.changed {
        let fate = if change.refused { ": stored with other rows; other rows need another name" } else { "" };
        let _ = writeln!(text, "~ golden set {}{fate}", plain(&change.name));
        fields(&mut text, &change.fields);
    }
    if !diff.settings.is_empty() {
        let _ = writeln!(text, "~ settings");
        fields(&mut text, &diff.settings);
    }
    if text.is_empty() {
        let _ = writeln!(text, "nothing differs");
    }
    text + &secrets_text(diff)
}

fn secrets_text(diff: &ConfigDiff) -> String {
    let mut text = String::new();
    for secret in &diff.missing_secrets {
        let (name, used_by) = (plain(&secret.name), plain(&secret.used_by.join(", ")));
        let _ = writeln!(text, "warning: the keyring has no `{name}` ({used_by}): pilothousectl secret set {name}");
    }
    if diff.keyring != SecretState::Present {
        let _ = writeln!(text, "warning: no keyring answers, so that missing secrets cannot be told");
    }
    text
}

fn applied_text(diff: &ConfigDiff, prune: bool) -> String {
    let removed = if prune { diff.only_in_database.len() } else { 0 };
    format!("applied: {} added, {} changed, {removed} removed", diff.added.len(), diff.changed.len())
}
