//! The steps that every stack goes through: found, connected with a credential, checked ten times, its version and what it
//! says of its model shown, its metrics read, its server killed and noticed, started again and recovered.

use pilothouse_api::Api;
use pilothouse_api::types::{
    AuthDraft, ConnectTestRequest, Detection, EndpointDraft, GoldenSetImport, HealthWord, MessageDraft, PromptDraft,
    PromptSetDraft, SecretSetRequest, TimelineRequest,
};
use pilothouse_testkit::BearerGate;
use pilothouse_tests::RealServer;

use super::metadata::{self, Metadata};
use super::server_view::{self, ServerView};
use crate::support::{LATER, RESTART, add, always, detect_request, draft, of, open, row, until, until_row};

/// The keyring's name of the credential.
pub(crate) const SECRET: &str = "stack-credential";
/// That of the management API's.
pub(crate) const MANAGEMENT_SECRET: &str = "stack-management-credential";
const GOLDEN_SET: &str = "two-tumours";

/// One serving stack.
pub(crate) struct Stack {
    /// Its name, as in `docs/serving.md`.
    pub(crate) name: &'static str,
    pub(crate) start: fn() -> RealServer,
    /// What detection must say; `None` where it goes by a host name that a server on loopback cannot have.
    pub(crate) detected: Option<Detected>,
    /// What a person fills in besides URL and credential.
    pub(crate) settings: fn(&RealServer, &mut EndpointDraft),
    pub(crate) access: Access,
    pub(crate) asked: Asked,
    pub(crate) version: Version,
    /// What the server says of its model.
    pub(crate) metadata: Metadata,
    /// What the server says of itself; `None`: it has no metrics.
    pub(crate) metrics: Option<ServerView>,
}

/// What probes ask.
pub(crate) enum Asked {
    /// For predictions of rows, of which the right answers are known.
    Rows(Examples),
    /// For text, which is random.
    Text,
}

/// The version that is shown.
pub(crate) enum Version {
    /// None: the server tells none.
    Untold,
    Is(&'static str),
    /// What only the started server knows.
    Of(fn(&RealServer) -> String),
    /// None with an answer: the server's management API alone tells which one answers.
    Managed(&'static str),
}

/// What detection says of a stack.
pub(crate) struct Detected {
    pub(crate) protocol: Option<&'static str>,
    pub(crate) server: &'static str,
    /// The environment and the package whose pinned version the server tells.
    pub(crate) version: Option<(&'static str, &'static str)>,
    /// A model that must be listed, with these versions among its own.
    pub(crate) model: Option<(&'static str, &'static [&'static str])>,
    /// The prediction route that must be proposed.
    pub(crate) predict: Option<&'static str>,
}

/// How a stack is guarded.
pub(crate) enum Access {
    /// It has no credential of its own: a gate in front of it demands a bearer token.
    Gate,
    /// It has none, and no gate here speaks what it speaks.
    Open,
    /// The server itself demands one. It is asked for once after each start: what to write into the form, and the secret.
    Own(fn(&RealServer) -> (AuthDraft, String)),
    /// As [`Access::Own`], and a bearer token of its own for the management API.
    OwnAndManagement(fn(&RealServer) -> (AuthDraft, String), fn(&RealServer) -> String),
}

/// Rows and the right answers to them.
pub(crate) struct Examples {
    pub(crate) columns: &'static [&'static str],
    pub(crate) rows: &'static [&'static [f64]],
    pub(crate) answers: &'static [f64],
}

/// A malignant and a benign tumour: mean radius and mean texture.
pub(crate) const TWO_TUMOURS: Examples =
    Examples { columns: &["mean radius", "mean texture"], rows: &[&[20.5, 21.0], &[11.0, 14.5]], answers: &[0.0, 1.0] };

impl Examples {
    /// As a person writes them into the form.
    fn as_json(&self) -> String {
        let record = |row: &&[f64]| {
            let members = self.columns.iter().zip(*row).map(|(name, value)| ((*name).to_owned(), (*value).into()));
            serde_json::Value::Object(members.collect())
        };
        serde_json::Value::Array(self.rows.iter().map(record).collect()).to_string()
    }

    /// With the right answers, as a labelled table.
    fn as_golden_set(&self) -> GoldenSetImport {
        let mut text = format!("{},answer\n", self.columns.join(","));
        for (row, answer) in self.rows.iter().zip(self.answers) {
            let cells: Vec<String> = row.iter().chain([answer]).map(ToString::to_string).collect();
            text.push_str(&cells.join(","));
            text.push('\n');
        }
        GoldenSetImport {
            name: GOLDEN_SET.into(),
            text,
            label: "answer".into(),
            task: "binary".into(),
            positive: "1".into(),
            source: "breast cancer, UCI".into(),
        }
    }
}

/// Tokens of each answer in text.
const TOKENS: u32 = 6;

fn prompts() -> PromptSetDraft {
    let message = MessageDraft { role: "user".into(), content: "Is a lump of 20 mm malignant?".into() };
    let prompt = PromptDraft { messages: vec![message], checks: Vec::new() };
    PromptSetDraft { route: "chat".into(), stream: true, max_tokens: TOKENS, prompts: vec![prompt] }
}

/// Puts a stack through every step; panics at the first that fails.
pub(crate) async fn conforms(stack: &Stack) {
    // Drafts are large, and several live across the steps.
    Box::pin(steps(stack)).await;
}

async fn steps(stack: &Stack) {
    let start = stack.start;
    let server = tokio::task::spawn_blocking(start).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let api = open(&folder.path().join("pilothouse.db"));
    assert!(api.watch().await.unwrap());

    // With a credential: the server's own, or one for a gate in front of it.
    let (gate, auth, value) = match stack.access {
        Access::Gate => {
            let token = format!("token-for-{}", stack.name.replace(' ', "-"));
            let gate = BearerGate::start(&server.url, &token).await;
            (Some(gate), AuthDraft::Bearer { secret: SECRET.into() }, token)
        }
        Access::Own(grant) | Access::OwnAndManagement(grant, _) => {
            let (auth, value) = grant(&server);
            (None, auth, value)
        }
        Access::Open => (None, AuthDraft::None, "nothing asks for it".to_owned()),
    };
    let url = gate.as_ref().map_or(&server.url, BearerGate::url).to_string();
    if gate.is_some() {
        let found = api.detect(detect_request(&url, AuthDraft::None)).await.unwrap();
        assert!(found.needs_auth, "{}: {found:?}", stack.name);
    }
    api.secret_set(SecretSetRequest { name: SECRET.into(), value }).await.unwrap();
    grant_management(stack, &api, &server).await;
    if let Some(detected) = &stack.detected {
        let found = api.detect(detect_request(&url, auth.clone())).await.unwrap();
        assert_detected(stack.name, detected, &found);
    }

    let mut wanted = draft(stack.name, &url, "v2");
    (stack.settings)(&server, &mut wanted);
    match &stack.asked {
        Asked::Rows(examples) => {
            wanted.probe_rows = Some(examples.as_json());
            api.golden_set_import(examples.as_golden_set()).await.unwrap();
            wanted.golden_set = Some(GOLDEN_SET.into());
        }
        Asked::Text => wanted.prompts = Some(prompts()),
    }
    let version = match stack.version {
        Version::Untold | Version::Managed(_) => None,
        Version::Is(version) => Some(version.to_owned()),
        Version::Of(version) => Some(version(&server)),
    };
    let mut without = wanted.clone();
    without.auth = AuthDraft::None;
    if !matches!(stack.access, Access::Open) {
        let refused = api.connect_test(ConnectTestRequest { draft: without }).await.unwrap();
        assert_eq!(refused.outcome, "target_failed", "{}: {refused:?}", stack.name);
    }
    wanted.auth = auth;
    // A server may answer before its model does.
    let test = until("the model answers", RESTART, async || {
        let test = api.connect_test(ConnectTestRequest { draft: wanted.clone() }).await.unwrap();
        (test.outcome == "ok").then_some(test)
    });
    let test = test.await;
    assert_eq!(test.version, version, "{}", stack.name);
    if matches!(stack.asked, Asked::Text) {
        let generation = test.generation.unwrap();
        assert!(generation.first_token_us.is_some() && generation.tokens_per_second.is_some(), "{generation:?}");
        assert_eq!(generation.finish_reason.as_deref(), Some("length"), "{}: {generation:?}", stack.name);
        assert_eq!(generation.completion_tokens, Some(TOKENS), "{}: {generation:?}", stack.name);
    }

    let version = match stack.version {
        Version::Managed(version) => Some(version.to_owned()),
        _ => version,
    };
    if let Some(view) = &stack.metrics {
        let detected = stack.detected.as_ref().map(|detected| detected.server);
        wanted.metrics = Some(server_view::find(&api, view, &server, &wanted, detected).await);
    }

    // Ten checks, all in order, and the version that the server named.
    let id = add(&api, wanted).await;
    for _ in 0..10 {
        let probe = api.probe_now(of(id)).await.unwrap();
        assert_eq!(probe.outcome, "ok", "{}: {probe:?}", stack.name);
        assert!(probe.total_us.is_some_and(|total| total > 0), "{}: {probe:?}", stack.name);
    }
    until_row(&api, id, "it is healthy", |row| row.health == HealthWord::Healthy).await;
    until_row(&api, id, "its version is shown", |row| row.version == version).await;
    let summary = until("ten checks are on record", LATER, async || {
        Some(api.health_summary(always(id)).await.unwrap()).filter(|summary| summary.n >= 10)
    });
    let summary = summary.await;
    assert_eq!((summary.n_ok, summary.n), (summary.n, summary.n), "{}: {:?}", stack.name, summary.reasons);

    // The answers are the model's.
    if matches!(stack.asked, Asked::Rows(_)) {
        let evaluated = until_row(&api, id, "it is evaluated", |row| row.quality.is_some()).await;
        assert_eq!(evaluated.quality.unwrap().value, Some(1.0), "{}", stack.name);
    }

    metadata::is_shown(&api, id, stack.name, &server, &stack.metadata).await;
    if let Some(view) = &stack.metrics {
        server_view::is_told(&api, id, stack.name, view).await;
    }

    outlives_a_crash(stack, &api, id, server, version.as_deref()).await;
    api.stop().await;
}

async fn grant_management(stack: &Stack, api: &Api, server: &RealServer) {
    if let Access::OwnAndManagement(_, key) = stack.access {
        api.secret_set(SecretSetRequest { name: MANAGEMENT_SECRET.into(), value: key(server) }).await.unwrap();
    }
}

/// Killed, noticed, started again, recovered; and none of it taken for a failure of ours.
async fn outlives_a_crash(stack: &Stack, api: &Api, id: i64, mut server: RealServer, version: Option<&str>) {
    let mut server = tokio::task::spawn_blocking(move || {
        server.kill();
        server
    })
    .await
    .unwrap();
    let down = until_row(api, id, "it is down", |row| row.health == HealthWord::Down).await;
    assert!(!down.reason.is_empty(), "{}", stack.name);
    let server = tokio::task::spawn_blocking(move || {
        server.start_again();
        server
    })
    .await
    .unwrap();
    if let Access::Own(grant) | Access::OwnAndManagement(grant, _) = stack.access {
        api.secret_set(SecretSetRequest { name: SECRET.into(), value: grant(&server).1 }).await.unwrap();
    }
    grant_management(stack, api, &server).await;
    until_row(api, id, "it is healthy again", |row| row.health == HealthWord::Healthy).await;
    assert_eq!(row(api, id).await.version.as_deref(), version, "{}", stack.name);
    let summary = api.health_summary(always(id)).await.unwrap();
    assert_eq!(summary.n_unknown, 0, "{}: {:?}", stack.name, summary.reasons);
    let request = TimelineRequest { id: Some(id), from_ms: 0, to_ms: i64::MAX / 4, limit: 100 };
    until("up, down and up again are on the timeline", LATER, async || {
        let events = api.timeline(request).await.unwrap().events;
        (events.iter().filter(|event| event.kind == "health_changed").count() >= 3).then_some(())
    })
    .await;
}

fn assert_detected(name: &str, detected: &Detected, found: &Detection) {
    let Detected { protocol, server, version, model, predict } = detected;
    assert_eq!(found.protocol.as_deref(), *protocol, "{name}: {found:?}");
    assert_eq!(found.server.as_deref(), Some(*server), "{name}: {found:?}");
    assert!(!found.needs_auth && !found.evidence.is_empty(), "{name}: {found:?}");
    if let Some((environment, package)) = version {
        let pinned = pilothouse_tests::pinned(environment, package);
        assert_eq!(found.server_version.as_deref(), Some(pinned.as_str()), "{name}: {found:?}");
    }
    if let Some((wanted, versions)) = model {
        let model = found.models.iter().find(|model| model.name == *wanted);
        let model = model.unwrap_or_else(|| panic!("{name}: `{wanted}` is not among {:?}", found.models));
        assert_ne!(model.ready, Some(false), "{name}: {model:?}");
        assert!(versions.iter().all(|v| model.versions.iter().any(|known| known == v)), "{name}: {model:?}");
    }
    if let Some(route) = predict {
        assert_eq!(found.predict.as_deref(), Some(*route), "{name}: {found:?}");
    }
}
