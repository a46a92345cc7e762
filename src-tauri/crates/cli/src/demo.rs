//! `demo`: the demo fleet on loopback.

use clap::Args;
use pilothouse_demo::DemoFleet;
use serde_json::json;

use crate::failure::{Answer, Failure};
use crate::output::Output;
use crate::session::interrupted;

/// `demo`
#[derive(Debug, Args)]
pub(crate) struct DemoOptions {
    /// Port of the registry; the models take the ports after it. 0: any free ports. Without it: 47100, or any free ones
    #[arg(long)]
    port: Option<u16>,
}

/// Runs the fleet until interrupted.
pub(crate) async fn run(options: &DemoOptions, output: Output) -> Result<Answer, Failure> {
    let fleet = DemoFleet::start(options.port).await.map_err(|error| Failure::usage(error.to_string()))?;
    let endpoints = fleet.endpoints();
    let listed = endpoints.iter().map(|endpoint| {
        json!({
            "name": endpoint.name,
            "url": endpoint.url,
            "protocol": endpoint.protocol.as_str(),
            "model": endpoint.model,
        })
    });
    let document = json!({ "endpoints": listed.collect::<Vec<_>>(), "control_url": fleet.control_url() });
    output.answer(&document, || {
        let mut lines: Vec<String> = endpoints
            .iter()
            .map(|endpoint| format!("{:<12} {:<7} {}", endpoint.name, endpoint.protocol.as_str(), endpoint.url))
            .collect();
        lines.push(format!("{:<12} {:<7} {}", "registry", "demo", fleet.control_url()));
        lines.join("\n")
    });
    output.note("The demo fleet runs until it is interrupted (Ctrl-C).");
    interrupted().await;
    fleet.shutdown().await;
    Ok(Answer::Good)
}
