//! `collect`: watches every endpoint of the database, as the window does.

use std::time::Duration;

use clap::Args;
use pilothouse_api::{ApiError, Code};
use serde_json::json;

use crate::arguments::Common;
use crate::failure::{Answer, Failure};
use crate::output::Output;
use crate::session::{interrupted, with_api};

/// `collect`
#[derive(Debug, Args)]
pub(crate) struct CollectOptions {
    /// Ends after so many seconds; without it, when interrupted
    #[arg(long = "for", value_name = "SECONDS", value_parser = seconds)]
    seconds: Option<Duration>,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().map_err(|_| "give a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// Watches, and tells how much was collected. Rollbacks that were cut off are taken up.
pub(crate) async fn run(options: &CollectOptions, common: &Common, output: Output) -> Result<Answer, Failure> {
    with_api(common, async |api| {
        if !api.watch().await? {
            let error = ApiError::new(Code::Conflict, "another process watches this database already")
                .hint("close the app or the other `pilothousectl collect`, or choose another database with --db");
            return Err(Failure::from(error).exit(3));
        }
        let endpoints = api.engine().with_store(pilothouse_store::Store::endpoints).await?;
        output.note(&format!("Watching {} endpoints; Ctrl-C ends it.", endpoints.len()));
        match options.seconds {
            Some(limit) => {
                tokio::select! {
                    () = tokio::time::sleep(limit) => {}
                    () = interrupted() => {}
                }
            }
            None => interrupted().await,
        }
        // After the stop no probe is under way any more, so that the report is complete.
        api.engine().stop().await;
        let report = api.engine().report();
        let document = json!({
            "probes": report.probes,
            "ok": report.ok,
            "target_failed": report.target_failed,
            "unknown": report.unknown,
            "late_ms_p99": report.late_ms_p99,
        });
        output.answer(&document, || {
            let late = report.late_ms_p99.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.1} ms"));
            format!(
                "{} probes: {} ok, {} failed, {} unknown; 99 % began less than {late} late",
                report.probes, report.ok, report.target_failed, report.unknown
            )
        });
        Ok(Answer::Good)
    })
    .await
}
