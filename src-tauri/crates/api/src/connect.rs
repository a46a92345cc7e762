//! Connecting an endpoint: detection, drafts, and a test before anything is saved.

use pilothouse_domain::endpoint::{ContainerImage, JsonTemplate, PayloadForm, Reload, Tls, plain_url, shown_url};
use pilothouse_domain::{
    ControlPlaneConfig, Endpoint, EndpointId, Environment, EvaluationConfig, GoldenSet, ProbeConfig, Protocol, Target,
    TimestampMs,
};
use url::Url;

use crate::auth::{auth, auth_draft};
use crate::network::{network, network_draft};
use crate::types::{
    ConnectTestRequest, ControlPlaneDraft, Created, DetectRequest, Detection, EndpointAddRequest, EndpointDraft,
    EndpointUpdateRequest, EndpointUpdated, JsonDraft, ProbeResult, ReloadDraft,
};
use crate::{Api, ApiError, Code, convert, detected, prompts, server, tables};

pub(crate) fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new(Code::InvalidInput, message)
}

impl Api {
    /// What stands behind a URL.
    pub async fn detect(&self, request: DetectRequest) -> Result<Detection, ApiError> {
        let url = parse_server_url("url", &request.url)?;
        let credential = self.engine.credential(&auth(request.auth)?).await?;
        let tls = tls(request.ca_file, request.client_certificate_file, request.client_key_secret)?;
        let identity = self.engine.identity(&tls).await?;
        let transport = self.engine.transport(&network(request.network)?).await?;
        let found = pilothouse_serving::detect(&transport, &url, &credential, &tls, identity.as_ref()).await.map_err(
            |failure| {
                ApiError::new(Code::TargetFailed, failure.to_string())
                    .hint("check the address, and that the server runs")
            },
        )?;
        Ok(detected::view(found))
    }

    /// Probes a draft once without saving it.
    pub async fn connect_test(&self, request: ConnectTestRequest) -> Result<ProbeResult, ApiError> {
        Box::pin(self.test(Box::pin(self.endpoint_from(request.draft, None)).await?)).await
    }

    /// Probes an edited endpoint once without saving it. What the form does not show holds for the test too.
    pub async fn endpoint_test(&self, request: EndpointUpdateRequest) -> Result<ProbeResult, ApiError> {
        let before = self.engine.endpoint(EndpointId(request.id)).await?;
        Box::pin(self.test(Box::pin(self.endpoint_from(request.draft, Some(before))).await?)).await
    }

    async fn test(&self, endpoint: Endpoint) -> Result<ProbeResult, ApiError> {
        endpoint.validate().map_err(pilothouse_engine::EngineError::from)?;
        let at = self.engine.now();
        let client = self.engine.model_client(&endpoint).await?;
        let report = Box::pin(client.probe(true)).await;
        let classes = match &endpoint.evaluation {
            Some(evaluation) if report.prediction.is_some() => {
                self.engine.golden_set(evaluation.golden_set).await?.task.classes().to_vec()
            }
            _ => Vec::new(),
        };
        Ok(ProbeResult {
            at_ms: at.0,
            outcome: convert::outcome_word(report.outcome).to_owned(),
            reason: convert::outcome_reason(report.outcome),
            detail: report.detail,
            http_status: report.http_status,
            version: report.version.map(|version| version.to_string()),
            phases_us: convert::phases(report.phases),
            total_us: report.total_us,
            reused: report.reused,
            generation: report.generation.as_deref().map(prompts::generation_result),
            prediction: report.prediction.as_deref().map(|shown| convert::prediction_result(shown, &classes)),
        })
    }

    /// Connects an endpoint.
    pub async fn endpoint_add(&self, request: EndpointAddRequest) -> Result<Created, ApiError> {
        Ok(Created { id: self.add(request.draft, None).await? })
    }

    pub(crate) async fn add(&self, draft: EndpointDraft, image: Option<ContainerImage>) -> Result<i64, ApiError> {
        let mut endpoint = Box::pin(self.endpoint_from(draft, None)).await?;
        endpoint.target.image = image;
        Ok(self.engine.add_endpoint(endpoint).await?.0)
    }

    /// Changes an endpoint's settings. What the form does not show stays as it was. A conflict when the settings were
    /// changed since the draft was made.
    pub async fn endpoint_update(&self, request: EndpointUpdateRequest) -> Result<EndpointUpdated, ApiError> {
        let before = self.engine.endpoint(EndpointId(request.id)).await?;
        let mut endpoint = Box::pin(self.endpoint_from(request.draft, Some(before))).await?;
        endpoint.revision = request.revision;
        Ok(EndpointUpdated { revision: self.engine.update_endpoint(endpoint).await? })
    }

    /// What a person wrote in the form, over what was there before. Only what the form shows is touched, so that a setting
    /// made elsewhere is never lost by editing.
    pub(crate) async fn endpoint_from(
        &self,
        draft: EndpointDraft,
        before: Option<Endpoint>,
    ) -> Result<Endpoint, ApiError> {
        let evaluation = self.evaluation(draft.golden_set.as_deref(), draft.evaluation_interval_ms).await?;
        endpoint_of(draft, before, evaluation)
    }

    async fn evaluation(&self, name: Option<&str>, interval_ms: u32) -> Result<Option<EvaluationConfig>, ApiError> {
        let Some(name) = name.filter(|name| !name.is_empty()) else { return Ok(None) };
        let wanted = name.to_owned();
        let found = self.engine.with_store(move |store| store.golden_set_by_name(&wanted)).await?;
        let set = found.ok_or_else(|| ApiError::new(Code::NotFound, format!("there is no golden set `{name}`")))?;
        Ok(Some(EvaluationConfig { golden_set: set.id, interval_ms }))
    }
}

/// The draft over what was there before.
fn endpoint_of(
    draft: EndpointDraft,
    before: Option<Endpoint>,
    evaluation: Option<EvaluationConfig>,
) -> Result<Endpoint, ApiError> {
    let protocol = Protocol::parse(&draft.protocol)
        .ok_or_else(|| invalid(format!("`{}` is no protocol", draft.protocol)).hint(known_protocols()))?;
    let payload = PayloadForm::parse(&draft.payload).ok_or_else(|| {
        let known = PayloadForm::ALL.map(PayloadForm::as_str).join(", ");
        invalid(format!("`{}` is no form of a request", draft.payload)).hint(format!("use one of {known}"))
    })?;
    let url = parse_server_url("url", &draft.url)?;
    let url = match plain_url(&url) {
        None => url,
        Some(plain) if protocol.is_grpc() => plain,
        Some(_) => {
            return Err(invalid(format!("`{url}` is an address of gRPC, which `{}` is not", protocol.as_str()))
                .hint("choose the protocol `v2_grpc` or `grpc_health`, or give an address that begins with http://"));
        }
    };
    let mut endpoint = before.unwrap_or_else(|| Endpoint {
        id: EndpointId(0),
        name: String::new(),
        environment: Environment(String::new()),
        target: Target::new(url.clone(), protocol),
        probe: ProbeConfig::default(),
        evaluation: None,
        control_plane: None,
        metrics: None,
        paused: false,
        created: TimestampMs(0),
        revision: 0,
    });
    draft.name.trim().clone_into(&mut endpoint.name);
    endpoint.environment = Environment(draft.environment.trim().to_owned());
    endpoint.evaluation = evaluation;
    endpoint.control_plane = draft.control_plane.map(control_plane).transpose()?;
    endpoint.metrics = draft.metrics.map(server::metrics).transpose()?;
    let target = &mut endpoint.target;
    if target.url != url {
        // Another address is another container.
        target.image = None;
    }
    target.url = url;
    target.protocol = protocol;
    target.model = draft.model.filter(|model| !model.is_empty());
    target.model_version = draft.model_version.filter(|version| !version.is_empty());
    let management_url = draft.management_url.filter(|url| !url.trim().is_empty());
    target.management_url = management_url.map(|url| parse_url("management_url", &url)).transpose()?;
    target.management_auth = draft.management_auth.map(|draft| auth(*draft)).transpose()?;
    target.payload = payload;
    target.json = draft.json.map(json_template).transpose()?;
    target.prompts = draft.prompts.map(prompts::read).transpose()?;
    target.auth = auth(draft.auth)?;
    target.tls = tls(draft.ca_file, draft.client_certificate_file, draft.client_key_secret)?;
    target.network = network(draft.network)?;
    // Text that was not touched stands for the very rows it was made from: a category `1` would be read as a number.
    if draft.probe_rows != target.probe_input.as_ref().map(tables::to_json) {
        let text = draft.probe_rows.as_deref().map(str::trim).filter(|text| !text.is_empty());
        target.probe_input = text.map(tables::read).transpose()?;
    }
    let probe = &mut endpoint.probe;
    probe.interval_ms = draft.interval_ms;
    probe.total_timeout_ms = draft.total_timeout_ms;
    probe.confirm_after = draft.confirm_after;
    probe.recover_after = draft.recover_after;
    probe.degraded_above_ms = draft.degraded_above_ms;
    Ok(endpoint)
}

/// Every protocol's word, for a hint.
fn known_protocols() -> String {
    format!("use one of {}", Protocol::ALL.map(Protocol::as_str).join(", "))
}

/// [`parse_url`] for the address of a server, which may begin with `grpc://` or `grpcs://` as well; those are left as they
/// are, since detection heeds them. [`plain_url`] makes the address that is kept.
pub fn parse_server_url(field: &str, text: &str) -> Result<Url, ApiError> {
    let text = text.trim();
    let Some(rest) = text.strip_prefix("grpc").filter(|rest| rest.starts_with("://") || rest.starts_with("s://"))
    else {
        return parse_url(field, text);
    };
    // What is wrong with such an address would be wrong with its like.
    parse_url(field, &format!("http{rest}"))?;
    Url::parse(text)
        .map_err(|error| invalid(format!("{field} `{text}` is no URL: {error}")).hint("write it like grpc://host:8001"))
}

/// Reads a URL as people paste it; `field` names it in errors. `host:port` gets `http://`; a password in it is refused.
pub fn parse_url(field: &str, text: &str) -> Result<Url, ApiError> {
    let text = text.trim();
    // People paste `host:port` as often as a whole URL.
    let with_scheme = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let url = Url::parse(&with_scheme).map_err(|error| {
        invalid(format!("{field} `{text}` is no URL: {error}")).hint("write it like http://host:8080")
    })?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(invalid(format!("{field} begins with `{}://`", url.scheme())).hint("use http:// or https://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(invalid(format!("{field} contains a user or password"))
            .hint("leave it out of the address and store it in the keyring below"));
    }
    Ok(url)
}

/// TLS settings from a form, where an empty field is none.
pub(crate) fn tls(
    ca_file: Option<String>,
    client_certificate_file: Option<String>,
    client_key_secret: Option<String>,
) -> Result<Tls, ApiError> {
    let filled = |text: Option<String>| text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let (client_certificate_file, client_key_secret) = (filled(client_certificate_file), filled(client_key_secret));
    if client_certificate_file.is_some() != client_key_secret.is_some() {
        return Err(invalid("a client certificate needs both its PEM file and its private key")
            .hint("name the file, and the keyring's name of the key; or leave both empty"));
    }
    Ok(Tls {
        ca_file: filled(ca_file).map(Into::into),
        client_certificate_file: client_certificate_file.map(Into::into),
        client_key_secret,
    })
}

fn json_template(draft: JsonDraft) -> Result<JsonTemplate, ApiError> {
    let body =
        serde_json::from_str(&draft.body).map_err(|error| invalid(format!("the request body is not JSON: {error}")))?;
    for pointer in [Some(&draft.prediction), draft.version.as_ref()].into_iter().flatten() {
        if !pointer.is_empty() && !pointer.starts_with('/') {
            return Err(
                invalid(format!("`{pointer}` is no JSON pointer")).hint("write it like /predictions or /result/0")
            );
        }
    }
    Ok(JsonTemplate {
        path: draft.path,
        body,
        prediction: draft.prediction,
        version: draft.version.filter(|text| !text.is_empty()),
        live: draft.live.filter(|text| !text.is_empty()),
        ready: draft.ready.filter(|text| !text.is_empty()),
    })
}

fn control_plane(draft: ControlPlaneDraft) -> Result<ControlPlaneConfig, ApiError> {
    Ok(match draft {
        ControlPlaneDraft::Demo { url, model } => {
            ControlPlaneConfig::Demo { url: parse_url("control_plane.url", &url)?, model }
        }
        ControlPlaneDraft::Mlflow { url, model, alias, auth: auth_, reload } => {
            for (field, value) in [("control_plane.model", &model), ("control_plane.alias", &alias)] {
                if value.trim().is_empty() {
                    return Err(invalid(format!("{field} is empty"))
                        .hint("name the registered model and the alias that production follows"));
                }
            }
            let reload = reload.map(|reload| match reload {
                ReloadDraft::Http { method, url, auth: auth_ } => {
                    Ok(Reload::Http { method, url: parse_url("control_plane.reload.url", &url)?, auth: auth(auth_)? })
                }
                ReloadDraft::Command { program, args, timeout_ms } => {
                    Ok::<_, ApiError>(Reload::Command { program: program.into(), args, timeout_ms })
                }
            });
            let url = parse_url("control_plane.url", &url)?;
            ControlPlaneConfig::Mlflow { url, model, alias, auth: auth(auth_)?, reload: reload.transpose()? }
        }
    })
}

/// An endpoint as a person edits it.
pub(crate) fn draft(endpoint: &Endpoint, golden_set: Option<&GoldenSet>) -> EndpointDraft {
    let target = &endpoint.target;
    EndpointDraft {
        name: endpoint.name.clone(),
        environment: endpoint.environment.to_string(),
        url: shown_url(&target.url, target.protocol).to_string(),
        protocol: target.protocol.as_str().to_owned(),
        model: target.model.clone(),
        model_version: target.model_version.clone(),
        management_url: target.management_url.as_ref().map(ToString::to_string),
        management_auth: target.management_auth.as_ref().map(|auth| Box::new(auth_draft(auth))),
        payload: target.payload.as_str().to_owned(),
        interval_ms: endpoint.probe.interval_ms,
        degraded_above_ms: endpoint.probe.degraded_above_ms,
        confirm_after: endpoint.probe.confirm_after,
        recover_after: endpoint.probe.recover_after,
        total_timeout_ms: endpoint.probe.total_timeout_ms,
        auth: auth_draft(&target.auth),
        ca_file: target.tls.ca_file.as_ref().map(|path| path.display().to_string()),
        client_certificate_file: target.tls.client_certificate_file.as_ref().map(|path| path.display().to_string()),
        client_key_secret: target.tls.client_key_secret.clone(),
        network: network_draft(&target.network),
        json: target.json.as_ref().map(detected::json_draft),
        probe_rows: target.probe_input.as_ref().map(tables::to_json),
        prompts: target.prompts.as_ref().map(prompts::prompt_set_draft),
        control_plane: endpoint.control_plane.as_ref().map(control_plane_draft),
        metrics: endpoint.metrics.as_ref().map(server::metrics_draft),
        golden_set: golden_set.map(|set| set.name.clone()),
        evaluation_interval_ms: endpoint.evaluation.as_ref().map_or(300_000, |config| config.interval_ms),
    }
}

fn control_plane_draft(config: &ControlPlaneConfig) -> ControlPlaneDraft {
    match config {
        ControlPlaneConfig::Demo { url, model } => {
            ControlPlaneDraft::Demo { url: url.to_string(), model: model.clone() }
        }
        ControlPlaneConfig::Mlflow { url, model, alias, auth, reload } => ControlPlaneDraft::Mlflow {
            url: url.to_string(),
            model: model.clone(),
            alias: alias.clone(),
            auth: auth_draft(auth),
            reload: reload.as_ref().map(|reload| match reload {
                Reload::Http { method, url, auth } => {
                    ReloadDraft::Http { method: method.clone(), url: url.to_string(), auth: auth_draft(auth) }
                }
                Reload::Command { program, args, timeout_ms } => ReloadDraft::Command {
                    program: program.display().to_string(),
                    args: args.clone(),
                    timeout_ms: *timeout_ms,
                },
            }),
        },
    }
}
