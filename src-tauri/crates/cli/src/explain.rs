//! `explain`: Shapley values of predictions, of a connected endpoint or of any URL.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use pilothouse_api::tables;
use pilothouse_domain::{Cell, ProbeConfig, Table, Task};
use pilothouse_engine::{EngineError, ExplainedTable, OutputReading, TableExplanation, explain_table, output_names};
use pilothouse_explain::{Budget, ShapleyExplanation};
use serde_json::{Value, json};

use crate::arguments::Common;
use crate::failure::{Answer, Failure};
use crate::output::{Output, columns, plain};
use crate::session::{endpoint, with_api};
use crate::target::ModelOptions;
use crate::{table_file, target};

/// `explain`
#[derive(Debug, Args)]
pub(crate) struct ExplainOptions {
    /// The endpoint's name: rows of its golden set are explained
    #[arg(required_unless_present = "url", conflicts_with_all = ["url", "background", "rows"])]
    endpoint: Option<String>,
    /// The server's base URL
    #[arg(long, requires_all = ["background", "rows"])]
    url: Option<String>,
    #[command(flatten)]
    model: ModelOptions,
    /// Table of average cases
    #[arg(long, value_name = "FILE")]
    background: Option<PathBuf>,
    /// Table of rows to explain
    #[arg(long, value_name = "FILE")]
    rows: Option<PathBuf>,
    /// Which row, counted from 0; may be given several times. Without it every row of --rows
    #[arg(long, value_name = "I", required_unless_present = "url")]
    row: Vec<u32>,
    /// How to explain
    #[arg(long, value_enum, default_value = "shapley")]
    method: Method,
    /// Model rows for the whole call, or `exact`; without it chosen by the number of features
    #[arg(long, value_name = "ROWS|exact")]
    budget: Option<BudgetOption>,
    /// Seed of the sampling
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Output to explain by name or index, or `all`; without it the last one
    #[arg(long, value_name = "NAME_OR_INDEX")]
    output: Option<String>,
    /// With --url: the classes in the order of the model's outputs, for a model that answers with labels, or for names
    #[arg(long, value_name = "A,B,…", value_delimiter = ',', requires = "url")]
    classes: Vec<String>,
}

/// The methods by their words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Method {
    /// Shapley values
    Shapley,
    #[value(hide = true)]
    Lime,
    #[value(hide = true)]
    PermutationImportance,
    #[value(hide = true)]
    Pdp,
}

/// A budget as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BudgetOption(Budget);

impl FromStr for BudgetOption {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "exact" => Ok(Self(Budget::Exact)),
            text => match text.parse() {
                Ok(rows) if rows > 0 => Ok(Self(Budget::Rows(rows))),
                _ => Err("give a number of model rows, or `exact`".to_owned()),
            },
        }
    }
}

/// What was explained, ready to be told.
struct Explained {
    features: Vec<String>,
    outputs: Vec<String>,
    /// The explained rows: index and cells.
    rows: Vec<(u32, Vec<Cell>)>,
    table: ExplainedTable,
}

/// Explains and tells.
pub(crate) async fn run(options: &ExplainOptions, common: &Common, output: Output) -> Result<Answer, Failure> {
    if options.method != Method::Shapley {
        return Err(Failure::usage("only the method `shapley` exists yet").hint("leave --method out, or give shapley"));
    }
    match (&options.endpoint, &options.url) {
        (Some(name), _) => {
            with_api(common, async |api| {
                let endpoint = endpoint(api, name).await?;
                let engine = api.engine();
                let Some(config) = &endpoint.evaluation else {
                    return Err(EngineError::NoGoldenSet(endpoint.name).into());
                };
                let golden_set = engine.golden_set(config.golden_set).await?;
                let table =
                    engine.explain_golden_rows(endpoint.id, &options.row, options.budget(), options.seed).await?;
                let rows = options.row.iter().map(|&row| (row, golden_set.table.rows[row as usize].clone()));
                let explained = Explained {
                    features: names(&golden_set.table),
                    outputs: output_names(&golden_set.task),
                    rows: rows.collect(),
                    table,
                };
                tell(&explained, options, output)
            })
            .await
        }
        (None, Some(url)) => tell(&of_url(url, options).await?, options, output),
        (None, None) => Err(Failure::usage("give either an endpoint or --url")),
    }
}

impl ExplainOptions {
    fn budget(&self) -> Budget {
        self.budget.map_or(Budget::Auto, |budget| budget.0)
    }
}

async fn of_url(url: &str, options: &ExplainOptions) -> Result<Explained, Failure> {
    let (Some(background), Some(rows)) = (&options.background, &options.rows) else {
        return Err(Failure::usage("an explanation of a URL needs --background and --rows"));
    };
    let background = table_file::read(background)?;
    let given = in_columns_of(&background, &table_file::read(rows)?)?;
    let wanted: Vec<u32> = if options.row.is_empty() { (0..given.len() as u32).collect() } else { options.row.clone() };
    let row = |index: &u32| {
        let cells = given.get(*index as usize).cloned();
        let cells =
            cells.ok_or_else(|| Failure::usage(format!("there is no row {index}; the table has {}", given.len())))?;
        Ok((*index, cells))
    };
    let rows = wanted.iter().map(row).collect::<Result<Vec<(u32, Vec<Cell>)>, Failure>>()?;
    let transport = target::transport(&options.model.access).await?;
    let target = options.model.target(&transport, url, None).await?;
    let client = Arc::new(options.model.client(&transport, &target, &ProbeConfig::default()).await?);
    let reading = match options.classes.as_slice() {
        [] => OutputReading::Numbers,
        [negative, positive] => OutputReading::Task(Task::Binary { classes: [negative.clone(), positive.clone()] }),
        [_] => return Err(Failure::usage("--classes names at least two classes")),
        classes => OutputReading::Task(Task::Multiclass { classes: classes.to_vec() }),
    };
    let features = names(&background);
    let request = TableExplanation {
        name: target.url.to_string(),
        background,
        rows: rows.iter().map(|(_, cells)| cells.clone()).collect(),
        reading,
        budget: options.budget(),
        seed: options.seed,
    };
    let table = explain_table(client, request).await?;
    let count = table.explanations.first().map_or(0, |explanation| explanation.prediction.len());
    let outputs = match options.classes.as_slice() {
        [] => (0..count).map(|index| index.to_string()).collect(),
        classes => classes.to_vec(),
    };
    Ok(Explained { features, outputs, rows, table })
}

fn names(table: &Table) -> Vec<String> {
    table.columns.iter().map(|column| column.name.clone()).collect()
}

/// The rows of a table with its columns in the order, and of the kinds, of `background`.
fn in_columns_of(background: &Table, table: &Table) -> Result<Vec<Vec<Cell>>, Failure> {
    let position = |name: &str| table.columns.iter().position(|column| column.name == name);
    let order = background.columns.iter().map(|column| {
        position(&column.name).ok_or_else(|| {
            Failure::usage(format!("the rows have no column `{}`", column.name))
                .hint("both tables need the columns that the model takes")
        })
    });
    let order = order.collect::<Result<Vec<usize>, Failure>>()?;
    if let Some(extra) =
        table.columns.iter().find(|column| background.columns.iter().all(|known| known.name != column.name))
    {
        return Err(Failure::usage(format!("the background has no column `{}`", extra.name))
            .hint("both tables need the columns that the model takes"));
    }
    let cell = |(cell, column): (&Cell, &pilothouse_domain::Column)| match (cell, column.kind) {
        // A category that looks like a number in the few rows to explain.
        (Cell::Number(value), pilothouse_domain::ColumnKind::Categorical) => Cell::Text(value.to_string()),
        (cell, _) => cell.clone(),
    };
    Ok(table
        .rows
        .iter()
        .map(|row| order.iter().map(|&index| &row[index]).zip(&background.columns).map(cell).collect())
        .collect())
}

/// Which outputs are told.
fn chosen(wanted: Option<&str>, outputs: &[String]) -> Result<Vec<usize>, Failure> {
    let last = outputs.len().checked_sub(1).ok_or_else(|| Failure::usage("the model has no outputs"))?;
    match wanted {
        None => Ok(vec![last]),
        Some("all") => Ok((0..=last).collect()),
        Some(wanted) => {
            let by_name = outputs.iter().position(|name| name == wanted);
            let by_index = || wanted.parse::<usize>().ok().filter(|index| *index <= last);
            let found = by_name.or_else(by_index).ok_or_else(|| {
                Failure::usage(format!("there is no output `{wanted}`")).hint(format!(
                    "the outputs are {}, or give an index from 0 to {last}, or `all`",
                    outputs.join(", ")
                ))
            })?;
            Ok(vec![found])
        }
    }
}

fn tell(explained: &Explained, options: &ExplainOptions, output: Output) -> Result<Answer, Failure> {
    let chosen = chosen(options.output.as_deref(), &explained.outputs)?;
    let all = options.output.as_deref() == Some("all");
    let first = explained.table.explanations.first().ok_or_else(|| Failure::usage("there are no rows to explain"))?;
    // One number for one output, a list for all of them.
    let shaped =
        |values: Vec<Value>| if all { json!(values) } else { values.into_iter().next().unwrap_or(Value::Null) };
    let estimators: Vec<&str> = explained.table.explanations.iter().map(|row| row.estimator.as_str()).collect();
    let sampled = estimators.iter().find(|estimator| **estimator != "exact");
    let rows = explained.rows.iter().zip(&explained.table.explanations).map(|((index, cells), explanation)| {
        let lists = chosen.iter().map(|&output| attributions(explained, cells, explanation, output));
        json!({
            "index": index,
            "prediction": chosen.iter().map(|&output| explanation.prediction[output]).collect::<Vec<_>>(),
            "attributions": shaped(lists.collect()),
            "estimator": explanation.estimator,
        })
    });
    let document = json!({
        "method": "shapley",
        // Rows may differ: one with few varying features is enumerated.
        "estimator": sampled.or(estimators.first()),
        "seed": options.seed,
        "base_value": shaped(chosen.iter().map(|&output| json!(first.base_value[output])).collect()),
        "outputs": chosen.iter().map(|&output| &explained.outputs[output]).collect::<Vec<_>>(),
        "rows": rows.collect::<Vec<_>>(),
        "model_calls": explained.table.model_calls,
        "model_rows": explained.table.explanations.iter().map(|explanation| explanation.model_rows).sum::<u64>(),
        "elapsed_ms": explained.table.elapsed_ms,
        "version": explained.table.version,
        "fit": Value::Null,
    });
    output.answer(&document, || text(explained, &chosen));
    Ok(Answer::Good)
}

fn attributions(explained: &Explained, cells: &[Cell], explanation: &ShapleyExplanation, output: usize) -> Value {
    let named = explained.features.iter().zip(cells).zip(&explanation.attributions[output]);
    let entries = named.map(|((feature, cell), attribution)| {
        json!({
            "feature": feature,
            "cell": cell,
            "value": attribution.value,
            "low": attribution.low,
            "high": attribution.high,
        })
    });
    entries.collect()
}

fn text(explained: &Explained, chosen: &[usize]) -> String {
    let mut parts = Vec::new();
    for ((index, cells), explanation) in explained.rows.iter().zip(&explained.table.explanations) {
        for &output in chosen {
            parts.push(format!(
                "row {index}, output {}: {:.4} from a base of {:.4} ({})",
                plain(&explained.outputs[output]),
                explanation.prediction[output],
                explanation.base_value[output],
                explanation.estimator
            ));
            let mut named: Vec<_> =
                explained.features.iter().zip(cells).zip(&explanation.attributions[output]).collect();
            named.sort_by(|(_, a), (_, b)| b.value.abs().total_cmp(&a.value.abs()));
            let rows: Vec<Vec<String>> = named
                .into_iter()
                .map(|((feature, cell), attribution)| {
                    let spread = attribution.high.map(|high| format!("±{:.4}", high - attribution.value));
                    let value = format!("{:+.4}", attribution.value);
                    vec![value, spread.unwrap_or_default(), plain(feature), plain(&tables::cell_text(cell))]
                })
                .collect();
            parts.push(columns(&["adds", "95 %", "feature", "value"], &rows));
        }
    }
    parts.push(format!("{} requests, {} ms", explained.table.model_calls, explained.table.elapsed_ms));
    parts.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_are_rows_or_exact() {
        let check = |text: &str, expect: Option<Budget>| {
            assert_eq!(text.parse::<BudgetOption>().ok().map(|option| option.0), expect, "{text}");
        };
        check("exact", Some(Budget::Exact));
        check("2000", Some(Budget::Rows(2_000)));
        check("0", None);
        check("many", None);
    }

    #[test]
    fn outputs_are_chosen_by_name_before_index() {
        let outputs = ["1", "0", "other"].map(String::from);
        let check = |wanted: Option<&str>, expect: Option<Vec<usize>>| {
            assert_eq!(chosen(wanted, &outputs).ok(), expect, "{wanted:?}");
        };
        check(None, Some(vec![2]));
        check(Some("all"), Some(vec![0, 1, 2]));
        check(Some("0"), Some(vec![1]));
        check(Some("2"), Some(vec![2]));
        check(Some("3"), None);
    }

    #[test]
    fn rows_are_brought_into_the_background_s_columns() {
        let background = tables::read("a,b\n1,x\n2,5\n").expect("background");
        let rows = tables::read("b,a\n5,3\n").expect("rows");
        assert_eq!(in_columns_of(&background, &rows), Ok(vec![vec![Cell::Number(3.0), Cell::Text("5".into())]]));
        let rows = tables::read("b,c\n5,3\n").expect("rows");
        assert!(in_columns_of(&background, &rows).is_err());
    }
}
