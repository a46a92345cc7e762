//! `demo`: the demo fleet on loopback, and what can be made to go wrong with a running one.

use std::time::Duration;

use clap::{Args, Subcommand};
use http::Method;
use pilothouse_api::parse_url;
use pilothouse_demo::{DemoFleet, Fault};
use pilothouse_domain::endpoint::Tls;
use pilothouse_serving::{ControlCall, Transport, TransportConfig};
use serde_json::{Value, json};

use crate::failure::{Answer, Failure};
use crate::output::Output;
use crate::session::interrupted;

/// `demo`
#[derive(Debug, Args)]
pub(crate) struct DemoOptions {
    /// Port of the registry; the models take the ports after it. 0: any free ports. Without it: 47100, or any free ones
    #[arg(long)]
    port: Option<u16>,
    #[command(subcommand)]
    action: Option<DemoAction>,
}

/// What can be done with a running fleet.
#[derive(Debug, Subcommand)]
pub(crate) enum DemoAction {
    /// Make something go wrong with a model of a running fleet, or clear it with `none`
    Inject {
        /// The model, such as credit-risk
        model: String,
        /// `none`, `latency[:MS]`, `errors[:RATE]`, `hang`, `wrong_shape` or `version_defect`
        fault: Fault,
        /// The registry's address, as the running fleet said it
        #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:47100")]
        control_url: String,
    },
}

/// Runs the fleet until interrupted, or changes a running one.
pub(crate) async fn run(options: &DemoOptions, output: Output) -> Result<Answer, Failure> {
    match &options.action {
        None => serve(options, output).await,
        Some(DemoAction::Inject { model, fault, control_url }) => inject(model, *fault, control_url, output).await,
    }
}

/// An answer of the registry is a few hundred bytes.
const ANSWER_MAX_BYTES: usize = 64 * 1024;
/// It answers at once.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

async fn inject(model: &str, fault: Fault, control_url: &str, output: Output) -> Result<Answer, Failure> {
    let mut url = parse_url("--control-url", control_url)?;
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(["faults", model]);
    }
    let internal = |error: &dyn std::fmt::Display| Failure::internal(error.to_string());
    let transport = Transport::new(TransportConfig::default());
    let body = serde_json::to_vec(&fault).map_err(|error| internal(&error))?.into();
    let call = ControlCall {
        method: &Method::PUT,
        url: &url,
        headers: &[],
        body: Some(&body),
        credential: None,
        time_limit: ANSWER_WITHIN,
        max_answer_bytes: ANSWER_MAX_BYTES,
    };
    let answer = transport.control_client(&Tls::default(), None).call(&call).await;
    if let Some(failure) = answer.failure {
        let problem = format!("no demo fleet answers at {control_url}: {}", failure.detail);
        return Err(Failure::usage(problem)
            .hint("start one with `pilothousectl demo`, or name the running one's address with --control-url"));
    }
    let document: Value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
    if !answer.status.is_some_and(|status| (200..300).contains(&status)) {
        let why = document["error"].as_str().unwrap_or("the registry refused it");
        return Err(Failure::usage(why));
    }
    output.answer(&document, || format!("{model}: {fault}"));
    Ok(Answer::Good)
}

async fn serve(options: &DemoOptions, output: Output) -> Result<Answer, Failure> {
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
