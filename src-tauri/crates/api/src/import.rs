//! Importing: what another tool wrote down becomes endpoints, after a person has agreed.
//!
//! What must stay true: a secret found in a text goes to the keyring or nowhere; no answer holds one.

use std::collections::{HashMap, HashSet};

use futures_util::future::join_all;
use pilothouse_discovery::contexts_in;
use pilothouse_domain::endpoint::Tls;
use pilothouse_domain::{Network, ProbeConfig, Protocol};
use pilothouse_import::{Import, Kind, Proposal};
use pilothouse_secrets::ExposeSecret as _;
use pilothouse_serving::Detection;
use serde_json::Value;

use crate::auth::auth_draft;
use crate::connect_many::unique_name;
use crate::detected::json_draft;
use crate::types::{
    AuthDraft, EndpointAddRequest, EndpointAdded, EndpointDraft, EndpointPauseRequest, EndpointsAdded,
    ImportApplyRequest, ImportChoice, ImportItem, ImportReadRequest, ImportSecret, ImportView, NetworkDraft,
    SecretRequest, SecretSetRequest, SecretState,
};
use crate::{Api, ApiError, Code};

/// Servers asked at once what they are.
const ASKED_AT_ONCE: usize = 8;

impl Api {
    /// What a text of another tool holds; nothing is stored.
    #[expect(clippy::unused_async, reason = "every command is awaited alike")]
    pub async fn import_read(&self, request: ImportReadRequest) -> Result<ImportView, ApiError> {
        let import = read(&request.text, request.kind.as_deref())?;
        Ok(ImportView {
            kind: import.kind.as_str().to_owned(),
            title: import.kind.title().to_owned(),
            items: import.proposals.iter().map(item).collect(),
            contexts: match import.kind {
                Kind::Kubeconfig => contexts_in(&request.text)?.into_iter().map(Into::into).collect(),
                _ => Vec::new(),
            },
            ignored: import.ignored,
        })
    }

    /// Connects what was chosen; one that is refused does not keep the others out.
    pub async fn import_apply(&self, request: ImportApplyRequest) -> Result<EndpointsAdded, ApiError> {
        let import = read(&request.text, request.kind.as_deref())?;
        let mut proposals: Vec<Option<Proposal>> = import.proposals.into_iter().map(Some).collect();
        let mut chosen = Vec::with_capacity(request.items.len());
        for choice in request.items {
            let proposal = proposals.get_mut(choice.index).and_then(Option::take).ok_or_else(|| {
                ApiError::new(Code::InvalidInput, format!("there is no endpoint {} in the text", choice.index + 1))
                    .hint("read the text again")
            })?;
            chosen.push((choice, proposal));
        }
        self.keep_secrets(&mut chosen).await?;
        let known = self.engine.with_store(pilothouse_store::Store::endpoints).await?;
        let mut taken: HashSet<String> = known.into_iter().map(|endpoint| endpoint.name).collect();
        let mut items = Vec::with_capacity(chosen.len());
        let mut rest = chosen.into_iter().peekable();
        while rest.peek().is_some() {
            let group: Vec<(ImportChoice, Proposal)> = rest.by_ref().take(ASKED_AT_ONCE).collect();
            let found = join_all(group.iter().map(|(_, proposal)| self.ask(proposal))).await;
            for ((choice, proposal), found) in group.into_iter().zip(found) {
                let name = unique_name(choice.name.trim(), &taken);
                let paused = proposal.paused;
                let added = match draft(proposal, name.clone(), &request.environment, found) {
                    Ok(draft) => Box::pin(self.endpoint_add(EndpointAddRequest { draft })).await,
                    Err(error) => Err(error),
                };
                items.push(match added {
                    Ok(created) => {
                        if paused {
                            self.endpoint_pause(EndpointPauseRequest { id: created.id, paused }).await?;
                        }
                        taken.insert(name.clone());
                        EndpointAdded { name, id: Some(created.id), refused: None }
                    }
                    Err(error) => EndpointAdded { name, id: None, refused: Some(error.to_string()) },
                });
            }
        }
        Ok(EndpointsAdded { items })
    }

    /// Puts the secrets agreed to into the keyring, each under a name that is free there.
    async fn keep_secrets(&self, chosen: &mut [(ImportChoice, Proposal)]) -> Result<(), ApiError> {
        // One name in a text stands for one value.
        let mut stored: HashMap<String, String> = HashMap::new();
        for (choice, proposal) in chosen {
            let Some(secret) = proposal.secret.take().filter(|_| choice.store_secret) else { continue };
            let name = if let Some(name) = stored.get(&secret.name) {
                name.clone()
            } else {
                let name = self.free_secret_name(&secret.name).await?;
                let value = secret.value.expose_secret().to_owned();
                self.secret_set(SecretSetRequest { name: name.clone(), value }).await?;
                stored.insert(secret.name.clone(), name.clone());
                name
            };
            proposal.rename_secret(&name);
        }
        Ok(())
    }

    async fn free_secret_name(&self, wanted: &str) -> Result<String, ApiError> {
        for number in 1_u32..1_000 {
            let name = if number == 1 { wanted.to_owned() } else { format!("{wanted}-{number}") };
            if self.secret_state(SecretRequest { name: name.clone() }).await?.state != SecretState::Present {
                return Ok(name);
            }
        }
        Err(ApiError::new(Code::Conflict, format!("the keyring holds `{wanted}` a thousand times already")))
    }

    /// What the server is, where its route does not say it.
    async fn ask(&self, proposal: &Proposal) -> Option<Result<Detection, ApiError>> {
        if proposal.protocol.is_some() {
            return None;
        }
        let tls = Tls { ca_file: proposal.ca_file.clone(), ..Tls::default() };
        let credential = match self.engine.credential(&proposal.auth).await {
            Ok(credential) => credential,
            Err(error) => return Some(Err(error.into())),
        };
        let transport = match self.engine.transport(&Network::System).await {
            Ok(transport) => transport,
            Err(error) => return Some(Err(error.into())),
        };
        let found = pilothouse_serving::detect(&transport, &proposal.url, &credential, &tls, None).await;
        Some(found.map_err(|failure| ApiError::new(Code::TargetFailed, failure.to_string())))
    }
}

fn read(text: &str, kind: Option<&str>) -> Result<Import, ApiError> {
    let kind = match kind.filter(|word| !word.is_empty()) {
        None => None,
        Some(word) => Some(Kind::parse(word).ok_or_else(|| {
            let words = Kind::ALL.map(Kind::as_str).join(", ");
            ApiError::new(Code::InvalidInput, format!("`{word}` is no format")).hint(format!("use one of {words}"))
        })?),
    };
    pilothouse_import::read(text, kind).map_err(|error| ApiError::new(Code::InvalidInput, error.to_string()))
}

fn item(proposal: &Proposal) -> ImportItem {
    ImportItem {
        name: proposal.name.clone(),
        environment: proposal.environment.clone(),
        url: proposal.url.to_string(),
        protocol: proposal.protocol.map(str::to_owned),
        model: proposal.model.clone(),
        interval_ms: proposal.interval_ms,
        auth: auth_draft(&proposal.auth),
        secret: proposal
            .secret
            .as_ref()
            .map(|secret| ImportSecret { name: secret.name.clone(), place: secret.place.clone() }),
        paused: proposal.paused,
        understood: proposal.understood.clone(),
        ignored: proposal.ignored.clone(),
    }
}

/// The endpoint that a proposal becomes, with what the server said of itself where it was asked.
fn draft(
    proposal: Proposal,
    name: String,
    environment: &str,
    found: Option<Result<Detection, ApiError>>,
) -> Result<EndpointDraft, ApiError> {
    let mut url = proposal.url.to_string();
    let mut model = proposal.model;
    let mut json = proposal.json.as_ref().map(json_draft);
    let mut management_url = None;
    let protocol = match (proposal.protocol, found) {
        (Some(word), _) => Protocol::parse(word).ok_or_else(|| {
            ApiError::new(
                Code::InvalidInput,
                format!("the protocol `{word}` of its route is not spoken by this program"),
            )
        })?,
        (None, Some(Ok(found))) => {
            let Some(protocol) = found.protocol else {
                let message = format!("no protocol was recognised at {url}: {}", found.title);
                return Err(
                    ApiError::new(Code::InvalidInput, message).hint("connect it by hand and describe its request")
                );
            };
            url = found.base_url.to_string();
            management_url = found.management_url.map(|url| url.to_string());
            if protocol == Protocol::Json {
                json = found.template.as_ref().map(json_draft);
            } else {
                model = model.or_else(|| found.models.into_iter().next().map(|model| model.name));
            }
            protocol
        }
        (None, Some(Err(error))) => return Err(error),
        (None, None) => return Err(ApiError::new(Code::Internal, "the server was not asked what it is")),
    };
    let usual = usual_draft(name, proposal.environment.unwrap_or_else(|| environment.to_owned()), url, protocol);
    Ok(EndpointDraft {
        model,
        model_version: proposal.model_version,
        management_url,
        interval_ms: proposal.interval_ms.unwrap_or(usual.interval_ms),
        degraded_above_ms: proposal.degraded_above_ms,
        confirm_after: proposal.confirm_after.unwrap_or(usual.confirm_after),
        total_timeout_ms: proposal.timeout_ms.unwrap_or(usual.total_timeout_ms),
        auth: auth_draft(&proposal.auth),
        ca_file: proposal.ca_file.map(|file| file.display().to_string()),
        json,
        probe_rows: proposal.rows.as_ref().map(probe_rows),
        ..usual
    })
}

/// A draft with the usual settings, of which only name, place and protocol are known.
pub(crate) fn usual_draft(name: String, environment: String, url: String, protocol: Protocol) -> EndpointDraft {
    let usual = ProbeConfig::default();
    EndpointDraft {
        name,
        environment,
        url,
        protocol: protocol.as_str().to_owned(),
        model: None,
        model_version: None,
        management_url: None,
        management_auth: None,
        payload: "auto".into(),
        interval_ms: usual.interval_ms,
        degraded_above_ms: usual.degraded_above_ms,
        confirm_after: usual.confirm_after,
        recover_after: usual.recover_after,
        total_timeout_ms: usual.total_timeout_ms,
        auth: AuthDraft::None,
        ca_file: None,
        client_certificate_file: None,
        client_key_secret: None,
        network: NetworkDraft::System,
        json: None,
        probe_rows: None,
        prompts: None,
        control_plane: None,
        metrics: None,
        golden_set: None,
        evaluation_interval_ms: 300_000,
    }
}

/// Rows as the form reads them: objects. Rows without names get `x1`, `x2`, … by their place.
fn probe_rows(rows: &Value) -> String {
    let named = |row: &Value| match row {
        Value::Array(cells) => {
            Value::Object(cells.iter().enumerate().map(|(at, cell)| (format!("x{}", at + 1), cell.clone())).collect())
        }
        Value::Object(_) => row.clone(),
        cell => serde_json::json!({ "x1": cell }),
    };
    Value::Array(rows.as_array().into_iter().flatten().map(named).collect()).to_string()
}
