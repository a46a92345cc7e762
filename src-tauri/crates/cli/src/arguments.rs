//! What can be asked on the command line: the table of commands and the options that all of them take.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::{
    audit, collect, config, demo, detect, discover, endpoint, evaluate, explain, golden, history, import, metrics,
    probe, rollback, scrape, secret, versions,
};

/// Watch deployed models, evaluate and explain them, and roll a bad version back: Pilothouse without a window.
#[derive(Debug, Parser)]
#[command(name = "pilothousectl", version, propagate_version = true, disable_help_subcommand = false)]
#[command(after_help = "Exit codes: 0 done and good, 1 done but bad news, 2 wrong usage or input, 3 our own failure.")]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// Database; without it the app's own
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) db: Option<PathBuf>,
    /// Write one JSON document to standard output and nothing else
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Write no progress and no warnings to standard error
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
}

/// One command.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the demo fleet: real small models on loopback, until interrupted
    Demo(demo::DemoOptions),
    /// Tell what model server stands behind a URL
    Detect(detect::DetectOptions),
    /// Find the model endpoints of a Kubernetes cluster or of a Docker engine
    #[command(subcommand)]
    Discover(discover::DiscoverCommand),
    /// Probe a URL a few times, without a database
    Probe(probe::ProbeOptions),
    /// Connect, list, show or remove endpoints
    #[command(subcommand)]
    Endpoint(endpoint::EndpointCommand),
    /// Export the whole set-up as TOML, compare it with the database, or carry it over
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Connect endpoints from what another tool wrote down
    Import(import::ImportOptions),
    /// Store or forget a secret in the OS keyring, or ask for its state
    #[command(subcommand)]
    Secret(secret::SecretCommand),
    /// Watch every endpoint of the database until interrupted
    Collect(collect::CollectOptions),
    /// Show an endpoint's health over time
    History(history::HistoryOptions),
    /// Show what an endpoint's server says of itself over time
    Metrics(metrics::MetricsOptions),
    /// Tell what would be read from a server's page of metrics
    Scrape(scrape::ScrapeOptions),
    /// Import or list golden sets
    #[command(subcommand)]
    Golden(golden::GoldenCommand),
    /// Compute metrics, of a file of predictions or of an endpoint
    Evaluate(evaluate::EvaluateOptions),
    /// Explain predictions of an endpoint or a URL
    Explain(explain::ExplainOptions),
    /// List the versions of an endpoint's model
    Versions(versions::VersionsOptions),
    /// Plan, apply or look at a rollback
    #[command(subcommand)]
    Rollback(rollback::RollbackCommand),
    /// Show what happened
    Timeline(audit::TimelineOptions),
    /// Show who changed what
    #[command(subcommand)]
    Audit(audit::AuditCommand),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_table_of_commands_is_consistent() {
        Arguments::command().debug_assert();
    }
}
