//! `import`: endpoints from what another tool wrote down.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use pilothouse_api::types::{
    EndpointAdded, ImportApplyRequest, ImportChoice, ImportItem, ImportReadRequest, ImportView,
};
use serde_json::json;

use crate::arguments::Common;
use crate::discover::context_lines;
use crate::failure::{Answer, Failure};
use crate::output::{Output, plain};
use crate::session::with_api;
use crate::table_file;

/// Longest text that is read from standard input, in bytes.
const TEXT_MAX_BYTES: u64 = 8 * 1024 * 1024;

/// `import`
#[derive(Debug, Args)]
pub(crate) struct ImportOptions {
    /// A file with curl commands, an `OpenAPI` document, Prometheus targets, a Gatus configuration, an Uptime Kuma 1 backup
    /// or a kubeconfig; `-` reads standard input
    file: PathBuf,
    /// The format; without it the format is recognised
    #[arg(long, value_enum)]
    kind: Option<KindWord>,
    /// Show what would be connected, and what would be left out; store nothing
    #[arg(long)]
    dry_run: bool,
    /// Environment of those whose text names none
    #[arg(long, value_name = "E", default_value = "production")]
    env: String,
    /// Put the secrets that stand in the text into the keyring; without it they are left out
    #[arg(long)]
    store_secrets: bool,
}

/// The formats by their words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum KindWord {
    /// curl commands
    Curl,
    /// `OpenAPI` document, JSON or YAML
    #[value(name = "openapi")]
    OpenApi,
    /// Prometheus configuration, or a target list of `file_sd_configs`
    Prometheus,
    /// Gatus configuration
    Gatus,
    /// Backup of Uptime Kuma 1
    UptimeKuma,
    /// kubeconfig
    Kubeconfig,
}

impl KindWord {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Curl => "curl",
            Self::OpenApi => "openapi",
            Self::Prometheus => "prometheus",
            Self::Gatus => "gatus",
            Self::UptimeKuma => "uptime-kuma",
            Self::Kubeconfig => "kubeconfig",
        }
    }
}

/// Carries it out. Bad news when nothing was understood, or something was refused.
pub(crate) async fn run(options: &ImportOptions, common: &Common, output: Output) -> Result<Answer, Failure> {
    let text = read_text(&options.file)?;
    let kind = options.kind.map(|kind| kind.as_str().to_owned());
    with_api(common, async |api| {
        let view = api.import_read(ImportReadRequest { text: text.clone(), kind: kind.clone() }).await?;
        if options.dry_run {
            output.answer(&json!(view), || view_text(&view));
            return Ok(Answer::good_if(!view.items.is_empty() || !view.contexts.is_empty()));
        }
        let choice = |(index, item): (usize, &ImportItem)| ImportChoice {
            index,
            name: item.name.clone(),
            store_secret: options.store_secrets,
        };
        let items = view.items.iter().enumerate().map(choice).collect();
        let environment = options.env.clone();
        let added =
            Box::pin(api.import_apply(ImportApplyRequest { text: text.clone(), kind, environment, items })).await?;
        let document = json!({ "read": view, "added": added.items });
        output.answer(&document, || format!("{}\n\n{}", view_text(&view), added_text(&added.items)));
        let refused = added.items.iter().any(|item| item.id.is_none());
        Ok(Answer::good_if(!refused && !added.items.is_empty()))
    })
    .await
}

fn read_text(file: &Path) -> Result<String, Failure> {
    if file.as_os_str() != "-" {
        return table_file::read_text(file);
    }
    let mut text = String::new();
    let read = std::io::stdin().lock().take(TEXT_MAX_BYTES).read_to_string(&mut text);
    read.map_err(|error| Failure::usage(format!("standard input cannot be read: {error}")))?;
    Ok(text)
}

fn view_text(view: &ImportView) -> String {
    let mut lines = vec![format!("{}: {} endpoints", view.title, view.items.len())];
    for item in &view.items {
        let protocol = item.protocol.as_deref().unwrap_or("the server is asked");
        let model = item.model.as_deref().map_or_else(String::new, |model| format!(", model {}", plain(model)));
        lines.push(format!("{}: {} ({protocol}{model})", plain(&item.name), plain(&item.url)));
        if let Some(secret) = &item.secret {
            lines.push(format!("  secret in {}: --store-secrets keeps it as `{}`", plain(&secret.place), secret.name));
        }
        lines.extend(item.understood.iter().map(|line| format!("  understood: {}", plain(line))));
        lines.extend(item.ignored.iter().map(|line| format!("  left out: {}", plain(line))));
    }
    lines.extend(view.contexts.iter().flat_map(context_lines));
    lines.extend(view.ignored.iter().map(|line| format!("left out: {}", plain(line))));
    lines.join("\n")
}

pub(crate) fn added_text(items: &[EndpointAdded]) -> String {
    let line = |item: &EndpointAdded| match &item.refused {
        None => format!("{} is connected", plain(&item.name)),
        Some(why) => format!("{} was refused: {}", plain(&item.name), plain(why)),
    };
    items.iter().map(line).collect::<Vec<_>>().join("\n")
}
