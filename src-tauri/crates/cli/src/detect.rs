//! `detect`: what model server stands behind a URL.

use clap::Args;
use serde_json::json;

use crate::access::AccessOptions;
use crate::failure::{Answer, Failure};
use crate::output::{Output, plain};
use crate::target;

/// `detect`
#[derive(Debug, Args)]
pub(crate) struct DetectOptions {
    /// The server's base URL, or any route below it
    url: String,
    #[command(flatten)]
    access: AccessOptions,
}

/// Asks and tells. Bad news when no protocol is recognised.
pub(crate) async fn run(options: &DetectOptions, output: Output) -> Result<Answer, Failure> {
    let found = target::detect(&target::transport()?, &options.url, &options.access).await?;
    let document = json!({
        "protocol": found.protocol.map(pilothouse_domain::Protocol::as_str),
        "server": found.server,
        "server_version": found.server_version,
        "confidence": found.confidence,
        "base_url": found.base_url,
        "models": found.models,
        "predict": found.predict,
        "evidence": found.evidence,
        "needs_auth": found.needs_auth,
    });
    output.answer(&document, || {
        let mut lines = vec![format!(
            "protocol: {} (confidence {:.2})",
            found.protocol.map_or("none recognised", pilothouse_domain::Protocol::as_str),
            found.confidence
        )];
        if let Some(server) = &found.server {
            lines.push(format!("server: {} {}", plain(server), plain(found.server_version.as_deref().unwrap_or(""))));
        }
        for model in &found.models {
            let ready = match model.ready {
                Some(true) => "ready",
                Some(false) => "not ready",
                None => "readiness not told",
            };
            lines.push(format!("model: {} [{}] {ready}", plain(&model.name), plain(&model.versions.join(", "))));
        }
        lines.extend(found.predict.as_deref().map(|path| format!("predict: {path}")));
        if found.needs_auth {
            lines.push(
                "the server asks for a credential: store it with `pilothousectl secret set` and name it with --auth"
                    .into(),
            );
        }
        lines.extend(found.evidence.iter().map(|evidence| format!("  {}", plain(evidence))));
        lines.join("\n")
    });
    Ok(Answer::good_if(found.protocol.is_some()))
}
