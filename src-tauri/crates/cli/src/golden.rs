//! `golden`: labelled rows to evaluate endpoints with.

use std::path::PathBuf;

use clap::Subcommand;
use pilothouse_api::tables;
use pilothouse_api::types::{Empty, GoldenSetImport, GoldenSetSummary};
use serde_json::json;

use crate::arguments::Common;
use crate::evaluate::TaskWord;
use crate::failure::{Answer, Failure};
use crate::output::{Output, columns};
use crate::session::with_api;
use crate::table_file;

/// `golden …`
#[derive(Debug, Subcommand)]
pub(crate) enum GoldenCommand {
    /// Store a labelled table as a golden set
    Import {
        /// Unique name
        name: String,
        /// CSV, JSON Lines or Parquet
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
        /// Column with the right answers
        #[arg(long, value_name = "COL")]
        label: String,
        /// What is predicted; without it read from the labels
        #[arg(long, value_enum)]
        task: Option<TaskWord>,
        /// Positive label of a binary task; without it the larger one
        #[arg(long, value_name = "V")]
        positive: Option<String>,
        /// Where the rows come from, and under which licence
        #[arg(long, value_name = "TEXT")]
        source: Option<String>,
    },
    /// List the golden sets
    List,
}

/// Carries it out.
pub(crate) async fn run(command: GoldenCommand, common: &Common, output: Output) -> Result<Answer, Failure> {
    with_api(common, async |api| {
        match command {
            GoldenCommand::Import { name, file, label, task, positive, source } => {
                let request = GoldenSetImport {
                    name,
                    text: tables::to_json(&table_file::read(&file)?),
                    label,
                    task: task.map(TaskWord::as_str).unwrap_or_default().to_owned(),
                    positive: positive.unwrap_or_default(),
                    source: source.unwrap_or_else(|| file.display().to_string()),
                };
                let set = api.golden_set_import(request).await?;
                output.answer(&document(&set), || format!("{}: {} rows, {}", set.name, set.n, set.task));
            }
            GoldenCommand::List => {
                let sets = api.golden_sets(Empty {}).await?.golden_sets;
                let listed: Vec<_> = sets.iter().map(document).collect();
                output.answer(&json!({ "golden_sets": listed }), || {
                    let row = |set: &GoldenSetSummary| vec![set.name.clone(), set.task.clone(), set.n.to_string()];
                    columns(&["name", "task", "rows"], &sets.iter().map(row).collect::<Vec<_>>())
                });
            }
        }
        Ok(Answer::Good)
    })
    .await
}

fn document(set: &GoldenSetSummary) -> serde_json::Value {
    json!({ "id": set.id, "name": set.name, "task": set.task, "n": set.n })
}
