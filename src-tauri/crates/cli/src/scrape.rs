//! `scrape`: what would be read from a server's page of metrics, without a database.

use clap::Args;
use pilothouse_domain::Unit;
use pilothouse_engine::{
    EngineError, MetricsFound, MetricsPage, find_metrics, read_credential, read_identity, read_metrics_page,
};
use pilothouse_secrets::Secrets;
use pilothouse_serving::MetricsClient;
use serde_json::{Value, json};

use crate::access::AccessOptions;
use crate::failure::{Answer, Failure};
use crate::metrics::value;
use crate::output::{Output, columns, plain};
use crate::target;

/// `scrape`
#[derive(Debug, Args)]
pub(crate) struct ScrapeOptions {
    /// A page of metrics, or a server's base URL: then its page is looked for
    url: String,
    /// The model whose series count, where the server tells them apart
    #[arg(long)]
    model: Option<String>,
    /// What the server is (mlserver, triton, torchserve, vllm, …), to look in the likeliest place first
    #[arg(long, value_name = "NAME")]
    server: Option<String>,
    #[command(flatten)]
    access: AccessOptions,
}

/// Reads a page and tells what is understood. Bad news when nothing is.
pub(crate) async fn run(options: &ScrapeOptions, output: Output) -> Result<Answer, Failure> {
    let url = pilothouse_api::parse_url("URL", &options.url)?;
    let secrets = Secrets::keyring();
    let credential = read_credential(&secrets, &options.access.auth()?).await?;
    let transport = target::transport(&options.access).await?;
    let tls = options.access.tls();
    let identity = read_identity(&secrets, &tls).await?;
    let model = options.model.as_deref();
    let is_page = url.path().rsplit('/').next().is_some_and(|last| last.contains("metrics") || last == "prometheus");
    let found = if is_page {
        let client = MetricsClient::new(transport, credential, &tls, identity).map_err(EngineError::from)?;
        match read_metrics_page(&client, &url, model).await {
            Ok(page) => MetricsFound { page: Some(page), sent_credential: true, tried: Vec::new() },
            Err(failure) => MetricsFound { page: None, sent_credential: true, tried: vec![(url, failure.detail)] },
        }
    } else {
        let server = options.server.as_deref();
        find_metrics(&transport, &url, server, model, credential, &tls, identity).await.map_err(EngineError::from)?
    };
    let understood = found.page.as_ref().is_some_and(|page| !page.found.is_empty());
    output.answer(&document(&found), || text(&found));
    Ok(Answer::good_if(understood))
}

fn document(found: &MetricsFound) -> Value {
    let page = found.page.as_ref();
    let quantities = page.map(|page| {
        let one = |found: &pilothouse_scrape::Found| {
            json!({
                "quantity": found.quantity,
                "unit": found.quantity.unit(),
                "source": found.source,
                "note": found.note,
                "series": found.series,
                "total": found.total,
            })
        };
        page.found.iter().map(one).collect::<Vec<_>>()
    });
    let tried = found.tried.iter().map(|(url, why)| json!({ "url": url, "why": why }));
    json!({
        "url": page.map(|page| page.url.as_str()),
        "server": page.and_then(|page| page.server),
        "samples": page.map(|page| page.samples),
        "skipped": page.map(|page| page.skipped),
        "truncated": page.map(|page| page.truncated),
        "quantities": quantities.unwrap_or_default(),
        "tried": tried.collect::<Vec<_>>(),
    })
}

fn text(found: &MetricsFound) -> String {
    let mut lines: Vec<String> = Vec::new();
    match &found.page {
        Some(page) => lines.push(head(page)),
        None => lines.push("no page of metrics was found".to_owned()),
    }
    let rows: Vec<Vec<String>> = found.page.iter().flat_map(|page| &page.found).map(row).collect();
    if !rows.is_empty() {
        lines.push(columns(&["quantity", "now", "series", "what the server calls it", "note"], &rows));
    }
    lines.extend(found.tried.iter().map(|(url, why)| format!("  not {url}: {}", plain(why))));
    lines.join("\n")
}

fn head(page: &MetricsPage) -> String {
    let server = page.server.unwrap_or("no server that is known");
    let cut = if page.truncated { ", cut short" } else { "" };
    let skipped = if page.skipped > 0 { format!(", {} lines unreadable", page.skipped) } else { String::new() };
    format!("{}: {server}, {} values{cut}{skipped}", page.url, page.samples)
}

fn row(found: &pilothouse_scrape::Found) -> Vec<String> {
    let unit = found.quantity.unit();
    let now = match unit {
        // What is counted has no value at one moment.
        Unit::PerSecond => format!("{:.0} so far", found.total),
        Unit::Seconds => format!("{:.0} requests", found.total),
        Unit::Cores => format!("{:.0} s so far", found.total),
        Unit::Share | Unit::Bytes | Unit::Count => value(Some(found.total / gauges(found)), unit),
    };
    vec![
        found.quantity.title().to_owned(),
        now,
        found.series.to_string(),
        found.source.to_owned(),
        found.note.to_owned(),
    ]
}

/// Shares of several devices are averaged; other values of this moment add up.
fn gauges(found: &pilothouse_scrape::Found) -> f64 {
    if found.quantity.unit() == Unit::Share { found.series.max(1) as f64 } else { 1.0 }
}
