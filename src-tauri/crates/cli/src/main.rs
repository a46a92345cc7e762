//! `pilothousectl`: the engine without a window.
//!
//! For scripts, CI and collectors without a screen. What must stay true: with `--json`, standard output holds exactly one
//! JSON document; exit codes are 0 done and good, 1 done but bad news, 2 wrong usage or input, 3 our own failure.

mod access;
mod arguments;
mod audit;
mod collect;
mod config;
mod config_files;
mod demo;
mod detect;
mod discover;
mod endpoint;
mod evaluate;
mod explain;
mod failure;
mod golden;
mod history;
mod import;
mod jump;
mod metrics;
mod network;
mod output;
mod parquet_table;
mod predictions;
mod probe;
mod prompts;
mod rollback;
mod scrape;
mod secret;
mod session;
mod table_file;
mod target;
mod times;
mod versions;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use clap::error::ErrorKind;
use tracing_subscriber::EnvFilter;

use crate::arguments::{Arguments, Command};
use crate::failure::{Answer, Failure};
use crate::output::Output;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return refuse(&error),
    };
    let output = Output { json: arguments.common.json, quiet: arguments.common.quiet };
    write_logs_to_stderr(arguments.common.quiet);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return output.failure(&Failure::internal(format!("the runtime did not start: {error}"))),
    };
    let outcome = runtime.block_on(carry_out(arguments, output));
    // A keyring prompt that nobody answers must not keep the process alive.
    runtime.shutdown_timeout(Duration::from_secs(1));
    match outcome {
        Ok(Answer::Good) => ExitCode::SUCCESS,
        Ok(Answer::BadNews) => ExitCode::from(1),
        Err(failure) => output.failure(&failure),
    }
}

async fn carry_out(arguments: Arguments, output: Output) -> Result<Answer, Failure> {
    let common = &arguments.common;
    match arguments.command {
        Command::Demo(options) => demo::run(&options, output).await,
        Command::Detect(options) => detect::run(&options, output).await,
        Command::Discover(command) => Box::pin(discover::run(command, common, output)).await,
        Command::Import(options) => Box::pin(import::run(&options, common, output)).await,
        Command::Probe(options) => probe::run(&options, output).await,
        Command::Endpoint(options) => endpoint::run(options, common, output).await,
        Command::Config(options) => config::run(options, common, output).await,
        Command::Secret(options) => secret::run(options, common, output).await,
        Command::Collect(options) => collect::run(&options, common, output).await,
        Command::History(options) => history::run(&options, common, output).await,
        Command::Metrics(options) => metrics::run(&options, common, output).await,
        Command::Scrape(options) => scrape::run(&options, output).await,
        Command::Golden(options) => golden::run(options, common, output).await,
        Command::Evaluate(options) => evaluate::run(&options, common, output).await,
        Command::Explain(options) => explain::run(&options, common, output).await,
        Command::Versions(options) => versions::run(&options, common, output).await,
        Command::Rollback(options) => rollback::run(options, common, output).await,
        Command::Timeline(options) => audit::timeline(&options, common, output).await,
        Command::Audit(options) => audit::run(options, common, output).await,
    }
}

/// Answers help, the version, or what is wrong with the arguments; the latter as JSON when that was asked for.
fn refuse(error: &clap::Error) -> ExitCode {
    let is_answer = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    let wants_json = std::env::args_os().any(|argument| argument == "--json");
    if is_answer || !wants_json {
        // When even this cannot be written, nobody reads it.
        let _ = error.print();
        return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
    }
    let text = error.render().to_string();
    // The first paragraph says what is wrong; the others repeat the usage.
    let first = text.lines().map(str::trim).take_while(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
    let failure = Failure::usage(first.trim_start_matches("error: "))
        .hint("see `pilothousectl help` for the commands and their options");
    Output { json: true, quiet: false }.failure(&failure)
}

/// Logs go to standard error: warnings, or what `PILOTHOUSE_LOG` says (`debug`, `pilothouse_engine=trace`, …).
fn write_logs_to_stderr(quiet: bool) {
    let default = if quiet { "error" } else { "warn" };
    let filter = EnvFilter::try_from_env("PILOTHOUSE_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
}
