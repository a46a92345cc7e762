//! `endpoint`: connect, list, show and remove endpoints.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use pilothouse_api::types::{
    ControlPlaneDraft, EndpointAddRequest, EndpointDraft, EndpointRemoveRequest, EndpointRequest, MetricsDraft,
    ModelDescription, ModelInMemory, PanelDraft, ReloadDraft,
};
use pilothouse_api::{Api, auth_draft, json_draft, network_draft, prompt_set_draft, tables};
use pilothouse_domain::endpoint::shown_url;
use pilothouse_domain::{Auth, ControlPlaneConfig, Endpoint, EndpointId, MetricsConfig, Network, Target, TimestampMs};
use serde_json::{Value, json};

use crate::access::{AuthReference, auth_of, auth_view};
use crate::arguments::Common;
use crate::failure::{Answer, Failure};
use crate::output::{Output, columns, plain};
use crate::session::{endpoint, with_api};
use crate::target::{self, ModelOptions};
use crate::versions::control_plane_word;
use crate::{table_file, times};

/// `endpoint …`
#[derive(Debug, Subcommand)]
pub(crate) enum EndpointCommand {
    /// Connect an endpoint
    Add(Box<AddOptions>),
    /// List all endpoints with their health
    List,
    /// Show one endpoint with its settings
    Show {
        /// Its name
        name: String,
    },
    /// Ask the server what it says about the model: versions, inputs, outputs
    Describe {
        /// Its name
        name: String,
    },
    /// Remove an endpoint with its history
    Remove {
        /// Its name
        name: String,
    },
}

/// `endpoint add`
#[derive(Debug, Args)]
pub(crate) struct AddOptions {
    /// Unique name
    name: String,
    /// The server's base URL
    #[arg(long)]
    url: String,
    #[command(flatten)]
    model: ModelOptions,
    /// Where it runs; production is guarded more strictly
    #[arg(long, value_name = "E", default_value = "production")]
    env: String,
    /// Milliseconds between probes, 1,000 to 86,400,000
    #[arg(long, default_value_t = 15_000)]
    interval_ms: u32,
    /// Limit of one probe in milliseconds
    #[arg(long, default_value_t = 30_000)]
    timeout_ms: u32,
    /// Slower than this is degraded, in milliseconds
    #[arg(long)]
    degraded_above_ms: Option<u32>,
    /// Failures in a row before it is down
    #[arg(long, default_value_t = 2)]
    confirm_after: u32,
    /// Successes in a row before it is healthy again
    #[arg(long, default_value_t = 2)]
    recover_after: u32,
    /// Rows to predict with each probe; without it the health route is asked
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Golden set to evaluate it with
    #[arg(long, value_name = "NAME")]
    golden: Option<String>,
    /// Milliseconds between evaluations
    #[arg(long, default_value_t = 300_000)]
    evaluation_interval_ms: u32,
    #[command(flatten)]
    metrics: MetricsOptions,
    #[command(flatten)]
    control: ControlOptions,
}

/// Where the server's own view of itself is read.
#[derive(Debug, Args)]
struct MetricsOptions {
    /// The server's page of metrics (Prometheus text); `pilothousectl scrape URL` finds it
    #[arg(long, value_name = "U")]
    metrics_url: Option<String>,
    /// Milliseconds between two looks at it
    #[arg(long, value_name = "MS", default_value_t = MetricsConfig::DEFAULT_INTERVAL_MS, requires = "metrics_url")]
    metrics_interval_ms: u32,
    /// Send the endpoint's credential along
    #[arg(long, requires = "metrics_url")]
    metrics_credential: bool,
    /// In the place of --metrics-url: the base URL of a Prometheus server
    #[arg(long, value_name = "U", conflicts_with = "metrics_url", requires = "panel")]
    prometheus_url: Option<String>,
    /// Its credential, in the form of --auth
    #[arg(long, value_name = "REFERENCE", requires = "prometheus_url")]
    prometheus_auth: Option<AuthReference>,
    /// NAME=UNIT=QUERY or NAME=UNIT:QUANTITY=QUERY, such as p95=seconds:latency=QUERY; may be given several times
    #[arg(long, value_name = "PANEL", requires = "prometheus_url", value_parser = read_panel)]
    panel: Vec<PanelDraft>,
}

/// The system that decides which version is live.
#[derive(Debug, Args)]
struct ControlOptions {
    /// Kind of the control plane
    #[arg(long, value_enum, requires = "control_url")]
    control_plane: Option<ControlPlaneWord>,
    /// Its base URL
    #[arg(long, value_name = "U", requires = "control_plane")]
    control_url: Option<String>,
    /// The model's name there; without it that of --model, or the endpoint's
    #[arg(long, value_name = "NAME", requires = "control_plane")]
    control_model: Option<String>,
    /// mlflow: the alias that production follows
    #[arg(long, value_name = "ALIAS", default_value = "champion")]
    control_alias: String,
    /// mlflow: credential of the registry, in the form of --auth
    #[arg(long, value_name = "REFERENCE", requires = "control_plane", conflicts_with = "control_auth_file")]
    control_auth: Option<AuthReference>,
    /// mlflow: credential of the registry from a file, in the form of --auth-file
    #[arg(long, value_name = "FILE", requires = "control_plane")]
    control_auth_file: Option<PathBuf>,
    /// mlflow: URL that makes the scoring server load what the alias points at
    #[arg(long, value_name = "U", conflicts_with = "reload_command")]
    reload_url: Option<String>,
    /// mlflow: method of that call
    #[arg(long, value_name = "METHOD", default_value = "POST")]
    reload_method: String,
    /// mlflow: credential of that call, in the form of --auth
    #[arg(long, value_name = "REFERENCE", requires = "reload_url")]
    reload_auth: Option<AuthReference>,
    /// mlflow: program that makes the scoring server load what the alias points at; run without a shell
    #[arg(long, value_name = "PROGRAM")]
    reload_command: Option<String>,
    /// An argument of that program; may be given several times
    #[arg(long, value_name = "ARG", requires = "reload_command", allow_hyphen_values = true)]
    reload_arg: Vec<String>,
    /// Limit of that program in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 60_000)]
    reload_timeout_ms: u32,
}

/// The control planes by their words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ControlPlaneWord {
    /// The demo fleet's registry
    Demo,
    /// An MLflow model registry
    Mlflow,
}

/// Carries it out.
pub(crate) async fn run(command: EndpointCommand, common: &Common, output: Output) -> Result<Answer, Failure> {
    with_api(common, async |api| {
        match command {
            EndpointCommand::Add(options) => {
                let draft = draft(&options).await?;
                let id = EndpointId(api.endpoint_add(EndpointAddRequest { draft }).await?.id);
                let view = view(api, &api.engine().endpoint(id).await?).await?;
                output.answer(&view, || format!("{} is connected; `pilothousectl collect` watches it", options.name));
            }
            EndpointCommand::List => {
                let mut views = Vec::new();
                for endpoint in api.engine().with_store(pilothouse_store::Store::endpoints).await? {
                    views.push(view(api, &endpoint).await?);
                }
                output.answer(&json!({ "endpoints": views }), || list_text(&views));
            }
            EndpointCommand::Show { name } => {
                let endpoint = endpoint(api, &name).await?;
                let mut view = view(api, &endpoint).await?;
                view["probe"] = json!(endpoint.probe);
                view["checks"] = json!(endpoint.target.checks);
                view["prompts"] = json!(endpoint.target.prompts);
                view["facets"] = json!(pilothouse_api::health_facets(&api.engine().health_facets(&endpoint).await?));
                view["probe_rows"] = json!(endpoint.target.probe_input.as_ref().map(|table| table.rows.len()));
                output.answer(&view, || show_text(&view));
            }
            EndpointCommand::Describe { name } => {
                let id = endpoint(api, &name).await?.id.0;
                let description = Box::pin(api.model_describe(EndpointRequest { id })).await?;
                output.answer(&json!(description), || describe_text(&description));
            }
            EndpointCommand::Remove { name } => {
                let id = endpoint(api, &name).await?.id.0;
                api.endpoint_remove(EndpointRemoveRequest { id, confirm: name.clone() }).await?;
                output.answer(&json!({ "removed": name }), || format!("{name} is removed with its history"));
            }
        }
        Ok(Answer::Good)
    })
    .await
}

async fn draft(options: &AddOptions) -> Result<EndpointDraft, Failure> {
    let target = options.model.target(&target::transport(&options.model.access).await?, &options.url, None).await?;
    let probe_rows = options.input.as_deref().map(table_file::read).transpose()?;
    Ok(EndpointDraft {
        name: options.name.clone(),
        environment: options.env.clone(),
        url: target.url.to_string(),
        protocol: target.protocol.as_str().to_owned(),
        model: target.model.clone(),
        model_version: target.model_version.clone(),
        management_url: target.management_url.as_ref().map(ToString::to_string),
        management_auth: target.management_auth.as_ref().map(|auth| Box::new(auth_draft(auth))),
        payload: target.payload.as_str().to_owned(),
        interval_ms: options.interval_ms,
        degraded_above_ms: options.degraded_above_ms,
        confirm_after: options.confirm_after,
        recover_after: options.recover_after,
        total_timeout_ms: options.timeout_ms,
        auth: auth_draft(&target.auth),
        ca_file: target.tls.ca_file.as_ref().map(|path| path.display().to_string()),
        client_certificate_file: target.tls.client_certificate_file.as_ref().map(|path| path.display().to_string()),
        client_key_secret: target.tls.client_key_secret.clone(),
        network: network_draft(&target.network),
        json: target.json.as_ref().map(json_draft),
        probe_rows: probe_rows.as_ref().map(tables::to_json),
        prompts: target.prompts.as_ref().map(prompt_set_draft),
        control_plane: control_plane_draft(&options.control, &options.name, &target)?,
        metrics: metrics_draft(&options.metrics),
        golden_set: options.golden.clone(),
        evaluation_interval_ms: options.evaluation_interval_ms,
    })
}

fn metrics_draft(options: &MetricsOptions) -> Option<MetricsDraft> {
    if let Some(url) = options.prometheus_url.clone() {
        let auth = options.prometheus_auth.as_ref().map_or(Auth::None, |reference| reference.0.clone());
        return Some(MetricsDraft::Prometheus { url, auth: auth_draft(&auth), panels: options.panel.clone() });
    }
    options.metrics_url.clone().map(|url| MetricsDraft::Scrape {
        url,
        interval_ms: options.metrics_interval_ms,
        send_credential: options.metrics_credential,
    })
}

/// Reads `NAME=UNIT=QUERY` or `NAME=UNIT:QUANTITY=QUERY`; the query may hold further `=`.
fn read_panel(text: &str) -> Result<PanelDraft, String> {
    let form = "give NAME=UNIT=QUERY or NAME=UNIT:QUANTITY=QUERY";
    let mut parts = text.splitn(3, '=');
    let (Some(name), Some(unit), Some(query)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(form.to_owned());
    };
    let (unit, quantity) = match unit.split_once(':') {
        Some((unit, quantity)) => (unit, Some(quantity.to_owned())),
        None => (unit, None),
    };
    Ok(PanelDraft { name: name.to_owned(), query: query.to_owned(), unit: unit.to_owned(), quantity })
}

fn control_plane_draft(
    options: &ControlOptions,
    name: &str,
    target: &Target,
) -> Result<Option<ControlPlaneDraft>, Failure> {
    let Some(kind) = options.control_plane else { return Ok(None) };
    let url = options.control_url.clone().ok_or_else(|| Failure::usage("--control-plane needs --control-url"))?;
    let named = options.control_model.clone().or_else(|| target.model.clone());
    let model = named.unwrap_or_else(|| name.to_owned());
    let auth = auth_draft(&auth_of(options.control_auth.as_ref(), options.control_auth_file.as_deref())?);
    let reload_auth = auth_draft(&auth_of(options.reload_auth.as_ref(), None)?);
    Ok(Some(match kind {
        ControlPlaneWord::Demo => ControlPlaneDraft::Demo { url, model },
        ControlPlaneWord::Mlflow => ControlPlaneDraft::Mlflow {
            url,
            model,
            alias: options.control_alias.clone(),
            auth,
            reload: match (&options.reload_url, &options.reload_command) {
                (Some(url), _) => Some(ReloadDraft::Http {
                    method: options.reload_method.clone(),
                    url: url.clone(),
                    auth: reload_auth,
                }),
                (None, Some(program)) => Some(ReloadDraft::Command {
                    program: program.clone(),
                    args: options.reload_arg.clone(),
                    timeout_ms: options.reload_timeout_ms,
                }),
                (None, None) => None,
            },
        },
    }))
}

/// An endpoint with its health as this database knows it. Credentials are references.
async fn view(api: &Api, endpoint: &Endpoint) -> Result<Value, Failure> {
    let engine = api.engine();
    let health = engine.health_of(endpoint).await?;
    let golden_set = match &endpoint.evaluation {
        Some(config) => Some(engine.golden_set(config.golden_set).await?.name.clone()),
        None => None,
    };
    Ok(json!({
        "id": endpoint.id,
        "name": endpoint.name,
        "environment": endpoint.environment,
        "url": shown_url(&endpoint.target.url, endpoint.target.protocol),
        "protocol": endpoint.target.protocol.as_str(),
        "model": endpoint.target.model,
        "model_version": endpoint.target.model_version,
        "management_url": endpoint.target.management_url,
        "management_auth": endpoint.target.management_auth.as_ref().map(auth_view),
        "custom_attributes": endpoint.target.custom_attributes,
        "payload": endpoint.target.payload,
        "notice": endpoint.target.protocol.notice(),
        "interval_ms": endpoint.probe.interval_ms,
        "auth": auth_view(&endpoint.target.auth),
        "network": (endpoint.target.network != Network::System).then(|| json!(endpoint.target.network)),
        "control_plane": endpoint.control_plane.as_ref().map(control_plane_view),
        "metrics": endpoint.metrics.as_ref().map(metrics_view),
        "golden_set": golden_set,
        "evaluation_interval_ms": endpoint.evaluation.as_ref().map(|config| config.interval_ms),
        "paused": endpoint.paused,
        "created_ms": endpoint.created,
        "health": health.health,
        "since_ms": health.since,
        "reason": health.reason,
        "version": engine.current_version(endpoint.id).await?,
        "deployment": engine.deployment(endpoint).await?,
    }))
}

fn control_plane_view(config: &ControlPlaneConfig) -> Value {
    let kind = control_plane_word(config);
    match config {
        ControlPlaneConfig::Demo { url, model } => json!({ "kind": kind, "url": url, "model": model }),
        ControlPlaneConfig::Mlflow { url, model, alias, auth, reload } => json!({
            "kind": kind,
            "url": url,
            "model": model,
            "alias": alias,
            "auth": auth_view(auth),
            "reload": reload.as_ref().map(|reload| match reload {
                pilothouse_domain::endpoint::Reload::Http { method, url, auth } => {
                    json!({ "kind": "http", "method": method, "url": url, "auth": auth_view(auth) })
                }
                pilothouse_domain::endpoint::Reload::Command { program, args, timeout_ms } => {
                    json!({ "kind": "command", "program": program, "args": args, "timeout_ms": timeout_ms })
                }
            }),
        }),
    }
}

fn metrics_view(config: &MetricsConfig) -> Value {
    match config {
        MetricsConfig::Scrape { url, interval_ms, send_credential } => json!({
            "kind": "scrape",
            "url": url,
            "interval_ms": interval_ms,
            "send_credential": send_credential,
        }),
        MetricsConfig::Prometheus { url, auth, panels } => {
            json!({ "kind": "prometheus", "url": url, "auth": auth_view(auth), "panels": panels })
        }
    }
}

fn list_text(views: &[Value]) -> String {
    let word = |value: &Value| plain(value.as_str().unwrap_or("-"));
    let row = |view: &Value| {
        ["name", "environment", "health", "version", "protocol", "url"].map(|field| word(&view[field])).to_vec()
    };
    let rows: Vec<Vec<String>> = views.iter().map(row).collect();
    columns(&["name", "environment", "health", "version", "protocol", "url"], &rows)
}

fn describe_text(model: &ModelDescription) -> String {
    let mut lines = Vec::new();
    let mut line = |name: &str, value: Option<&str>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            lines.push(format!("{name}: {}", plain(value)));
        }
    };
    line("model", Some(&model.name));
    line("server", model.server.as_deref());
    line("platform", model.platform.as_deref());
    line("image", model.image.as_deref());
    line("ready", model.ready.map(|ready| if ready { "yes" } else { "no" }));
    line("described by", model.schema_source.as_deref());
    line("notice", model.notice.as_deref());
    for version in &model.versions {
        let default = if version.is_default { "default" } else { "" };
        let parts = [version.version.as_str(), &version.state, default, version.detail.as_deref().unwrap_or_default()];
        line("version", Some(&parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" · ")));
    }
    for loaded in model.loaded.iter().flatten() {
        line("in memory", Some(&in_memory_text(loaded)));
    }
    if model.loaded.as_ref().is_some_and(Vec::is_empty) {
        line("in memory", Some("none; a model is loaded when it is asked"));
    }
    let fields = model.inputs.iter().map(|field| ("input", field));
    let fields: Vec<Vec<String>> = fields
        .chain(model.outputs.iter().map(|field| ("output", field)))
        .map(|(kind, field)| {
            let shape: Vec<String> = field.shape.iter().map(ToString::to_string).collect();
            let optional = if field.optional { "optional" } else { "" };
            [kind, &field.name, &field.datatype, &shape.join("×"), optional].map(plain).to_vec()
        })
        .collect();
    if fields.is_empty() {
        lines.push("this server describes no inputs".to_owned());
    } else {
        lines.push(columns(&["", "name", "type", "shape", ""], &fields));
    }
    lines.join("\n")
}

/// `mistral:latest, 5.1 GB, 5.1 GB of it in GPU memory, until 2026-11-22 …`.
fn in_memory_text(model: &ModelInMemory) -> String {
    let gigabytes = |bytes: i64| format!("{:.1} GB", bytes as f64 / 1e9);
    let until = model.until_ms.map(|ms| format!(", until {}", times::show(TimestampMs(ms)))).unwrap_or_default();
    let (size, gpu) = (gigabytes(model.size_bytes), gigabytes(model.gpu_bytes));
    format!("{}, {size}, {gpu} of it in GPU memory{until}", model.name)
}

fn show_text(view: &Value) -> String {
    let fields = view.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
    let line = |(name, value): (&String, &Value)| {
        let text = match value {
            Value::String(text) => plain(text),
            Value::Number(number) if name.ends_with("since_ms") || name.ends_with("created_ms") => {
                number.as_i64().map_or_else(|| number.to_string(), |ms| times::show(TimestampMs(ms)))
            }
            other => plain(&other.to_string()),
        };
        format!("{name}: {text}")
    };
    fields.map(line).collect::<Vec<_>>().join("\n")
}
