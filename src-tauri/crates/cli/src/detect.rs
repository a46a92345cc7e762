//! `detect`: what model server stands behind a URL.

use clap::Args;
use pilothouse_serving::Detection;
use pilothouse_serving::detect::{CredentialHint, Need};
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
    let found = target::detect(&target::transport(&options.access).await?, &options.url, &options.access).await?;
    let document = json!({
        "protocol": found.protocol.map(pilothouse_domain::Protocol::as_str),
        "server": found.server,
        "title": found.title,
        "role": found.role,
        "server_version": found.server_version,
        "confidence": found.confidence,
        "base_url": found.shown_url(),
        "management_url": found.management_url,
        "models": found.models,
        "predict": found.predict,
        "template": found.template,
        "evidence": found.evidence,
        "advice": found.advice,
        "needs": found.needs,
        "alternatives": found.alternatives,
        "needs_auth": found.needs_auth,
        "requests": found.requests,
    });
    output.answer(&document, || text(&found));
    Ok(Answer::good_if(found.protocol.is_some()))
}

fn text(found: &Detection) -> String {
    let version = found.server_version.as_deref().unwrap_or_default();
    let mut lines = vec![
        format!("{} {}", plain(&found.title), plain(version)).trim_end().to_owned(),
        format!(
            "protocol: {} (confidence {:.2})",
            found.protocol.map_or("none recognised", pilothouse_domain::Protocol::as_str),
            found.confidence
        ),
        format!("base URL: {}", found.shown_url()),
    ];
    lines.extend(found.server.as_ref().map(|server| format!("server: {} {}", plain(server), plain(version))));
    lines.extend(found.management_url.as_ref().map(|url| format!("management URL: {url}")));
    for other in &found.alternatives {
        lines.push(format!("could also be: {} (confidence {:.2})", plain(&other.title), other.confidence));
    }
    for model in &found.models {
        let ready = match model.ready {
            Some(true) => "ready",
            Some(false) => "not ready",
            None => "readiness not told",
        };
        lines.push(format!("model: {} [{}] {ready}", plain(&model.name), plain(&model.versions.join(", "))));
    }
    lines.extend(found.predict.as_deref().map(|path| format!("predict: {}", plain(path))));
    if let Some(template) = &found.template {
        lines.push(format!("request: {}", plain(&template.body.to_string())));
        lines.push(format!("prediction at: {}", plain(&template.prediction)));
    }
    lines.extend(found.advice.as_deref().map(|advice| format!("advice: {}", plain(advice))));
    lines.extend(found.needs.iter().map(need_text));
    lines.extend(found.evidence.iter().map(|evidence| format!("  {}", plain(evidence))));
    lines.join("\n")
}

fn need_text(need: &Need) -> String {
    let (what, why) = match need {
        Need::Credential { credential, why } => {
            let kind = match credential {
                CredentialHint::Bearer => "--auth keyring:NAME".to_owned(),
                CredentialHint::Basic => "--auth basic:USER:keyring:NAME".to_owned(),
                CredentialHint::Header { name } => format!("--auth header:{}:keyring:NAME", plain(name)),
                CredentialHint::AwsSigv4 { .. } => "AWS keys".to_owned(),
                CredentialHint::GoogleServiceAccount => "a Google service account".to_owned(),
                CredentialHint::Entra => "Microsoft Entra client credentials".to_owned(),
                CredentialHint::Kubeconfig => "a kubeconfig".to_owned(),
            };
            (format!("a credential ({kind}; store it with `pilothousectl secret set`)"), why)
        }
        Need::CaFile { why } => ("--ca-file FILE".to_owned(), why),
        Need::ClientCertificate { why } => ("a client certificate".to_owned(), why),
        Need::ModelName { why } => ("--model NAME".to_owned(), why),
        Need::Address { url, why } => (format!("another address: {}", plain(url)), why),
        Need::Template { why } => ("--request-template FILE".to_owned(), why),
    };
    format!("needs {what}: {}", plain(why))
}
