//! `evaluate`: metrics with intervals, by group, and between groups; of a file of predictions or of a live endpoint.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use pilothouse_api::{Api, ApiError, Code, tables};
use pilothouse_domain::{Cell, GoldenSet, Metric, Table, Task};
use pilothouse_engine::EngineError;
use pilothouse_stats::{EmptyDenominator, MetricOptions, StatsError, disparities, group_rates};
use serde_json::{Map, Value, json};

use crate::arguments::Common;
use crate::failure::{Answer, Failure};
use crate::output::{Output, columns, number, plain};
use crate::predictions::{self, ColumnNames, EvaluationRows};
use crate::session::{endpoint, with_api};
use crate::table_file;

/// `evaluate`
#[derive(Debug, Args)]
pub(crate) struct EvaluateOptions {
    /// The endpoint's name
    #[arg(required_unless_present = "predictions", conflicts_with = "predictions")]
    endpoint: Option<String>,
    /// Golden set to ask the endpoint; without it the endpoint's own
    #[arg(long, value_name = "NAME", requires = "endpoint")]
    golden: Option<String>,
    /// Table with labels and predictions
    #[arg(long, value_name = "FILE")]
    predictions: Option<PathBuf>,
    /// What is predicted
    #[arg(long, value_enum, required_unless_present = "endpoint", conflicts_with = "endpoint")]
    task: Option<TaskWord>,
    /// Column with the right answers [default: label]
    #[arg(long, value_name = "COL", conflicts_with = "endpoint")]
    label: Option<String>,
    /// Column with the predicted class or value [default: prediction, if it exists]
    #[arg(long, value_name = "COL", conflicts_with = "endpoint")]
    prediction: Option<String>,
    /// Column with the probability of --positive [default: score, if it exists]; several classes: one column per class in
    /// their order, separated by commas
    #[arg(long, value_name = "COL", value_delimiter = ',', conflicts_with = "endpoint")]
    score: Vec<String>,
    /// Positive label of a binary task; without it the larger one
    #[arg(long, value_name = "V", conflicts_with = "endpoint")]
    positive: Option<String>,
    /// Column whose values are compared as groups; may be given several times
    #[arg(long, value_name = "COL")]
    group: Vec<String>,
}

/// The tasks by their words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TaskWord {
    /// Two classes
    Binary,
    /// Several classes
    Multiclass,
    /// A number
    Regression,
}

impl TaskWord {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Binary => "binary",
            Self::Multiclass => "multiclass",
            Self::Regression => "regression",
        }
    }
}

/// Carries out either form.
pub(crate) async fn run(options: &EvaluateOptions, common: &Common, output: Output) -> Result<Answer, Failure> {
    match (&options.endpoint, &options.predictions, options.task) {
        (Some(name), None, _) => with_api(common, async |api| of_endpoint(api, name, options, output).await).await,
        (None, Some(file), Some(task)) => {
            let table = table_file::read(file)?;
            let names = ColumnNames {
                label: options.label.clone(),
                prediction: options.prediction.clone(),
                scores: options.score.clone(),
                positive: options.positive.clone(),
            };
            let rows = predictions::read(&table, task.as_str(), &names)?;
            let metrics = rows.metrics(&MetricOptions::default()).map_err(|error| refused(&error))?;
            tell(&rows, &metrics, &table, &options.group, json!({ "task": task.as_str() }), output)
        }
        _ => Err(Failure::usage("give either an endpoint or --predictions FILE with --task")),
    }
}

async fn of_endpoint(api: &Api, name: &str, options: &EvaluateOptions, output: Output) -> Result<Answer, Failure> {
    let endpoint = endpoint(api, name).await?;
    let engine = api.engine();
    let id = match &options.golden {
        Some(wanted) => golden_set_by_name(api, wanted).await?.id,
        None => endpoint
            .evaluation
            .as_ref()
            .map(|config| config.golden_set)
            .ok_or(EngineError::NoGoldenSet(endpoint.name))?,
    };
    let evaluation = engine.evaluate_golden_set(endpoint.id, id).await?;
    let golden_set = engine.golden_set(id).await?;
    let rows = EvaluationRows {
        task: golden_set.task.clone(),
        labels: golden_set.labels.clone(),
        decisions: evaluation.predictions,
        scores: None,
    };
    let facts = json!({
        "endpoint": name,
        "golden_set": golden_set.name,
        "version": evaluation.version,
        "ts_ms": evaluation.at,
        "elapsed_ms": evaluation.elapsed_ms,
        "recorded": evaluation.id.0 != 0,
    });
    // The model's outputs are probabilities and decide as well.
    let rows = EvaluationRows { scores: Some(rows.decisions.clone()), ..rows };
    tell(&rows, &evaluation.metrics, &golden_set.table, &options.group, facts, output)
}

/// A golden set by name. The error names those that exist.
async fn golden_set_by_name(api: &Api, name: &str) -> Result<GoldenSet, Failure> {
    let wanted = name.to_owned();
    let (found, known) =
        api.engine().with_store(move |store| Ok((store.golden_set_by_name(&wanted)?, store.golden_sets()?))).await?;
    found.ok_or_else(|| {
        let names: Vec<String> = known.into_iter().map(|set| format!("`{}`", set.name)).collect();
        let hint = if names.is_empty() {
            "store one with `pilothousectl golden import`".to_owned()
        } else {
            format!("there are {}", names.join(", "))
        };
        ApiError::new(Code::NotFound, format!("there is no golden set `{name}`")).hint(hint).into()
    })
}

fn refused(error: &StatsError) -> Failure {
    let message = error.to_string();
    let code = if *error == StatsError::NoRows { Code::NotEnoughData } else { Code::InvalidInput };
    ApiError::new(code, message).into()
}

fn tell(
    rows: &EvaluationRows,
    metrics: &[Metric],
    table: &Table,
    group_columns: &[String],
    facts: Value,
    output: Output,
) -> Result<Answer, Failure> {
    let mut document = facts;
    let (mut groups, mut fairness) = (Map::new(), Map::new());
    for name in group_columns {
        let values = group_values(table, name)?;
        groups.insert(name.clone(), groups_of(rows, &values)?);
        if matches!(rows.task, Task::Binary { .. }) {
            fairness.insert(name.clone(), fairness_of(rows, &values)?);
        }
    }
    document["n"] = json!(rows.labels.len());
    document["metrics"] = metrics_json(metrics);
    document["groups"] = Value::Object(groups);
    document["fairness"] = Value::Object(fairness);
    if let Task::Binary { classes: [_, positive] } = &rows.task {
        document["positive"] = json!(positive);
    }
    output.answer(&document, || text(&document, metrics));
    Ok(Answer::Good)
}

fn metrics_json(metrics: &[Metric]) -> Value {
    let entry = |metric: &Metric| {
        let mut value =
            json!({ "value": metric.value, "low": metric.low, "high": metric.high, "method": metric.method });
        if let Some(why) = &metric.why {
            value["why"] = json!(why);
        }
        (metric.name.clone(), value)
    };
    Value::Object(metrics.iter().map(entry).collect())
}

/// The group of each row; rows without a value form a group of their own.
fn group_values(table: &Table, name: &str) -> Result<Vec<String>, Failure> {
    let cells = predictions::column(table, name, "group")?;
    let value = |cell: &Cell| match cell {
        Cell::Missing => "(missing)".to_owned(),
        cell => tables::cell_text(cell),
    };
    Ok(cells.iter().map(value).collect())
}

fn groups_of(rows: &EvaluationRows, values: &[String]) -> Result<Value, Failure> {
    let mut members: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (row, value) in values.iter().enumerate() {
        members.entry(value).or_default().push(row);
    }
    let mut groups = Map::new();
    for (value, members) in members {
        let metrics = rows.subset(&members).metrics(&MetricOptions::default()).map_err(|error| refused(&error))?;
        groups.insert(value.to_owned(), json!({ "n": members.len(), "metrics": metrics_json(&metrics) }));
    }
    Ok(Value::Object(groups))
}

/// The five disparities by name; an undefined one is `null`, and `why` says why.
fn fairness_of(rows: &EvaluationRows, values: &[String]) -> Result<Value, Failure> {
    let rates = group_rates(&rows.task, &rows.labels, &rows.decisions, values).map_err(|error| refused(&error))?;
    let (mut fairness, mut reasons) = (Map::new(), Map::new());
    for disparity in disparities(&rates, EmptyDenominator::Undefined) {
        fairness.insert(disparity.name.to_owned(), json!(disparity.value));
        if let Some(why) = disparity.why {
            reasons.insert(disparity.name.to_owned(), json!(why));
        }
    }
    if !reasons.is_empty() {
        fairness.insert("why".to_owned(), Value::Object(reasons));
    }
    Ok(Value::Object(fairness))
}

fn text(document: &Value, metrics: &[Metric]) -> String {
    let version = document["version"].as_str().map(|version| format!(", version {}", plain(version)));
    let mut parts = vec![format!("{} rows{}", document["n"], version.unwrap_or_default())];
    let row = |metric: &Metric| {
        let interval = match (metric.low, metric.high) {
            (Some(low), Some(high)) => format!("{low:.4} to {high:.4}"),
            _ => "-".to_owned(),
        };
        let note = metric.why.clone().unwrap_or_else(|| metric.method.clone());
        vec![metric.name.clone(), number(metric.value), interval, note]
    };
    parts.push(columns(&["metric", "value", "95 % interval", "method"], &metrics.iter().map(row).collect::<Vec<_>>()));
    let main = metrics.first().map(|metric| metric.name.as_str()).unwrap_or_default();
    for (column, groups) in document["groups"].as_object().into_iter().flatten() {
        let row = |(value, group): (&String, &Value)| {
            vec![plain(value), group["n"].to_string(), number(group["metrics"][main]["value"].as_f64())]
        };
        let rows: Vec<Vec<String>> = groups.as_object().into_iter().flatten().map(row).collect();
        parts.push(columns(&[&plain(column), "rows", main], &rows));
    }
    for (column, disparities) in document["fairness"].as_object().into_iter().flatten() {
        let shown = disparities.as_object().into_iter().flatten().filter(|(name, _)| *name != "why");
        let rows: Vec<Vec<String>> = shown.map(|(name, value)| vec![name.clone(), number(value.as_f64())]).collect();
        parts.push(columns(&[&format!("between groups of {}", plain(column)), "value"], &rows));
    }
    parts.join("\n\n")
}
