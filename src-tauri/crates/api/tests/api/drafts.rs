//! Settings as a person edits them: saved unchanged, they change nothing; invalid, they are refused and named.

use std::time::Duration;

use pilothouse_api::types::{
    AnswerCheckDraft, AuthDraft, ChartKind, ConnectTestRequest, ControlPlaneDraft, EndpointAddRequest, EndpointDraft,
    EndpointRequest, EndpointUpdateRequest, GoldenSetImport, MessageDraft, PredictedValue, PromptDraft, PromptSetDraft,
    RangeRequest, ReloadDraft, Retention, Settings, ThemeChoice,
};
use pilothouse_api::{Api, ApiError, Code};
use pilothouse_domain::endpoint::{Auth, ControlPlaneConfig, Reload};
use pilothouse_domain::{Cell, Column, ColumnKind, EndpointId, EvaluationConfig, Protocol, Table};
use pilothouse_testkit::{Behaviour, FakeServer, Reply, StreamEnd};

use crate::support::{chart, draft, open};

async fn golden_set(api: &Api, text: &str, label: &str) -> Result<i64, ApiError> {
    let import = GoldenSetImport {
        name: "loans".into(),
        text: text.into(),
        label: label.into(),
        task: String::new(),
        positive: String::new(),
        source: "made up".into(),
    };
    Ok(api.golden_set_import(import).await?.id)
}

#[tokio::test]
async fn saving_an_untouched_draft_changes_nothing() {
    let place = open();
    let api = &place.api;
    let server = FakeServer::start(Behaviour::json(r#"{"predictions": [1]}"#)).await;
    let id = api.endpoint_add(EndpointAddRequest { draft: draft("loans", &server) }).await.unwrap().id;
    let set = golden_set(api, "age,code,good\n30,1,1\n40,2,0\n", "good").await.unwrap();

    // Everything that can be set, also what the form does not show.
    let mut full = api.engine().endpoint(EndpointId(id)).await.unwrap();
    let column = |name: &str, kind| Column { name: name.into(), kind };
    full.target.probe_input = Some(Table {
        columns: vec![
            column("z", ColumnKind::Numeric),
            column("code", ColumnKind::Categorical),
            column("empty", ColumnKind::Numeric),
        ],
        rows: vec![vec![Cell::Number(0.1), Cell::Text("1".into()), Cell::Missing]],
    });
    // The protocol with the most settings.
    full.target.protocol = Protocol::SageMaker;
    full.target.custom_attributes = Some("trace=1".into());
    full.target.model = Some("loans".into());
    full.target.model_version = Some("3".into());
    full.target.management_url = Some("http://127.0.0.1:8081/".parse().unwrap());
    full.target.management_auth = Some(Auth::Bearer { secret: "management".into() });
    full.target.auth = Auth::Header { name: "x-api-key".into(), secret: "loans-key".into() };
    full.target.checks.probability_sum = true;
    full.target.checks.outputs_per_row = Some(2);
    full.target.tls.ca_file = Some("/etc/ssl/own.pem".into());
    full.target.tls.client_certificate_file = Some("/etc/ssl/client.pem".into());
    full.target.tls.client_key_secret = Some("client-key".into());
    full.metrics = Some(pilothouse_domain::MetricsConfig::Scrape {
        url: "http://127.0.0.1:8082/metrics".parse().unwrap(),
        interval_ms: 30_000,
        send_credential: true,
    });
    full.probe.connect_timeout_ms = 1_234;
    full.probe.first_byte_timeout_ms = 2_345;
    full.probe.fresh_connection_every = 3;
    full.probe.max_response_bytes = 4_096;
    full.probe.degraded_above_ms = Some(250);
    full.evaluation = Some(EvaluationConfig { golden_set: pilothouse_domain::GoldenSetId(set), interval_ms: 77_000 });
    full.control_plane = Some(ControlPlaneConfig::Mlflow {
        url: "http://127.0.0.1:5000/".parse().unwrap(),
        model: "loans".into(),
        alias: "champion".into(),
        auth: Auth::Basic { username: "ops".into(), secret: "mlflow".into() },
        reload: Some(Reload::Command { program: "/usr/bin/true".into(), args: vec!["-x".into()], timeout_ms: 5_000 }),
    });
    full.revision = api.engine().update_endpoint(full.clone()).await.unwrap();
    api.engine().pause_endpoint(EndpointId(id), true).await.unwrap();
    full.paused = true;
    assert_eq!(api.engine().endpoint(EndpointId(id)).await.unwrap(), full);

    let detail = api.endpoint(EndpointRequest { id }).await.unwrap();
    let (revision, draft) = (detail.revision, detail.draft);
    let saved = api.endpoint_update(EndpointUpdateRequest { id, revision, draft: draft.clone() }).await.unwrap();
    assert_eq!(saved.revision, revision);
    assert_eq!(api.engine().endpoint(EndpointId(id)).await.unwrap(), full);
    assert_eq!(api.endpoint(EndpointRequest { id }).await.unwrap().draft, draft);

    // A test of what is edited uses what the form does not show: here a client certificate that is not there.
    let tested = api.endpoint_test(EndpointUpdateRequest { id, revision, draft: draft.clone() }).await;
    assert!(tested.is_err(), "{tested:?}");

    // One change is one change.
    let changed = EndpointDraft { interval_ms: 20_000, ..draft.clone() };
    full.revision = api.endpoint_update(EndpointUpdateRequest { id, revision, draft: changed }).await.unwrap().revision;
    full.probe.interval_ms = 20_000;
    assert_eq!(api.engine().endpoint(EndpointId(id)).await.unwrap(), full);
    // A second form that was filled in before that change does not undo it.
    let stale = EndpointDraft { environment: "production".into(), ..draft };
    let refused = api.endpoint_update(EndpointUpdateRequest { id, revision, draft: stale }).await.unwrap_err();
    assert_eq!(refused.code, Code::Conflict);
    assert!(refused.message.contains("`loans` were changed meanwhile"), "{refused:?}");
    assert_eq!(api.engine().endpoint(EndpointId(id)).await.unwrap(), full);
    api.stop().await;
}

#[tokio::test]
async fn a_draft_that_cannot_work_is_refused_and_named() {
    let place = open();
    let api = &place.api;
    let server = FakeServer::start(Behaviour::json(r#"{"predictions": [1]}"#)).await;
    let good = draft("loans", &server);
    let check = async |change: &dyn Fn(&mut EndpointDraft), code: Code, expect: &str| {
        let mut draft = good.clone();
        change(&mut draft);
        let error = api.endpoint_add(EndpointAddRequest { draft }).await.unwrap_err();
        assert_eq!(error.code, code, "{error:?}");
        assert!(error.message.contains(expect), "{}", error.message);
    };
    let invalid = Code::InvalidInput;
    check(&|draft| draft.name = " ".into(), invalid, "name").await;
    check(&|draft| draft.url = "ftp://host".into(), invalid, "ftp://").await;
    check(&|draft| draft.url = "http://user:pass@host".into(), invalid, "user or password").await;
    check(&|draft| draft.protocol = "grpc".into(), invalid, "`grpc` is no protocol").await;
    check(&|draft| draft.interval_ms = 10, invalid, "interval").await;
    check(&|draft| draft.json.as_mut().unwrap().body = "{".into(), invalid, "not JSON").await;
    check(&|draft| draft.json.as_mut().unwrap().prediction = "predictions".into(), invalid, "no JSON pointer").await;
    check(&|draft| draft.probe_rows = Some("[1]".into()), invalid, "JSON").await;
    check(&|draft| draft.golden_set = Some("nothing".into()), Code::NotFound, "nothing").await;
    check(
        &|draft| {
            let reload = Some(ReloadDraft::Http { method: "POST".into(), url: "::".into(), auth: AuthDraft::None });
            let (url, model, alias) = ("localhost:5000".into(), "m".into(), "champion".into());
            draft.control_plane = Some(ControlPlaneDraft::Mlflow { url, model, alias, auth: AuthDraft::None, reload });
        },
        invalid,
        "control_plane.reload.url",
    )
    .await;
    assert!(api.engine().with_store(pilothouse_store::Store::endpoints).await.unwrap().is_empty());
    api.endpoint_add(EndpointAddRequest { draft: good.clone() }).await.unwrap();
    check(&|_| {}, Code::Conflict, "loans").await;
    api.stop().await;
}

#[tokio::test]
async fn prompts_survive_the_form_and_golden_sets_do_not_apply_to_them() {
    let place = open();
    let api = &place.api;
    let server = FakeServer::start(Behaviour::json(r#"{"object":"list","data":[{"id":"tiny"}]}"#)).await;
    let message = |role: &str, content: &str| MessageDraft { role: role.into(), content: content.into() };
    let prompt = PromptDraft {
        messages: vec![message("system", "Be brief."), message("user", "Hello"), message("assistant", "Hi")],
        checks: vec![
            AnswerCheckDraft::Contains { text: "a".into() },
            AnswerCheckDraft::Regex { pattern: "a+".into() },
            AnswerCheckDraft::Json { required_keys: vec!["a".into()] },
            AnswerCheckDraft::Exact { text: "a".into() },
        ],
    };
    let prompts = PromptSetDraft { route: "chat".into(), stream: false, max_tokens: 7, prompts: vec![prompt] };
    let mut wanted = draft("chatty", &server);
    (wanted.protocol, wanted.json, wanted.probe_rows) = ("openai".into(), None, None);
    wanted.prompts = Some(prompts.clone());
    let id = api.endpoint_add(EndpointAddRequest { draft: wanted.clone() }).await.unwrap().id;
    let shown = api.endpoint(EndpointRequest { id }).await.unwrap().draft;
    assert_eq!(shown.prompts, Some(prompts.clone()));
    assert!(api.generation(range(id)).await.unwrap().last.is_none(), "nothing was asked yet");

    let refused = async |change: fn(&mut EndpointDraft)| {
        let mut changed = EndpointDraft { name: "other".into(), ..wanted.clone() };
        change(&mut changed);
        api.endpoint_add(EndpointAddRequest { draft: changed }).await.unwrap_err()
    };
    golden_set(api, "age,good\n30,1\n40,0\n", "good").await.unwrap();
    let golden = refused(|draft| draft.golden_set = Some("loans".into())).await;
    assert!(golden.message.contains("golden set holds rows"), "{golden:?}");
    let rows = refused(|draft| draft.protocol = "v2".into()).await;
    assert!(rows.message.contains("openai and ollama only"), "{rows:?}");
    let role = refused(|draft| draft.prompts.as_mut().unwrap().prompts[0].messages[0].role = "boss".into()).await;
    assert!(role.message.contains("`boss`"), "{role:?}");
    for error in [golden, rows, role] {
        assert_eq!(error.code, Code::InvalidInput);
    }
    api.stop().await;
}

#[tokio::test]
async fn an_address_of_grpc_is_kept_with_a_protocol_of_grpc_alone() {
    let place = open();
    let api = &place.api;
    let server = FakeServer::start(Behaviour::json("{}")).await;
    let url = server.url().as_str().replace("http://", "grpc://");
    let mut wanted = EndpointDraft { url: url.clone(), json: None, probe_rows: None, ..draft("tumours", &server) };
    wanted.protocol = "v2".into();
    let refused = api.endpoint_add(EndpointAddRequest { draft: wanted.clone() }).await.unwrap_err();
    assert!(refused.message.contains("an address of gRPC, which `v2` is not"), "{refused:?}");
    (wanted.protocol, wanted.model) = ("v2_grpc".into(), Some("tumours".into()));
    let id = api.endpoint_add(EndpointAddRequest { draft: wanted }).await.unwrap().id;
    assert_eq!(api.engine().endpoint(EndpointId(id)).await.unwrap().target.url, *server.url());
    assert_eq!(api.endpoint(EndpointRequest { id }).await.unwrap().draft.url, url);
    api.stop().await;
}

#[tokio::test]
async fn a_generated_answer_is_shown_with_its_checks_and_drawn() {
    let place = open();
    let api = &place.api;
    let piece =
        |text: &str| format!("data: {{\"model\":\"tiny\",\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n");
    let pieces = ["It is", " <b>Paris</b>", "."].map(|text| (Duration::from_millis(5), piece(text).into_bytes()));
    let head = Reply::bytes(200, Vec::new()).with_header("content-type", "text/event-stream");
    let server = FakeServer::start(Behaviour::routes([
        ("/v1/models", Behaviour::json(r#"{"object":"list","data":[{"id":"tiny"}]}"#)),
        ("/v1/chat/completions", Behaviour::Stream(head, pieces.to_vec(), StreamEnd::Complete)),
    ]))
    .await;
    let mut wanted = draft("chatty", &server);
    (wanted.protocol, wanted.json, wanted.probe_rows) = ("openai".into(), None, None);
    let checks =
        vec![AnswerCheckDraft::Contains { text: "Paris".into() }, AnswerCheckDraft::Json { required_keys: Vec::new() }];
    let messages = vec![MessageDraft { role: "user".into(), content: "The capital of France?".into() }];
    let prompts = vec![PromptDraft { messages, checks }];
    wanted.prompts = Some(PromptSetDraft { route: "chat".into(), stream: true, max_tokens: 16, prompts });
    let id = api.endpoint_add(EndpointAddRequest { draft: wanted }).await.unwrap().id;
    let probed = api.probe_now(EndpointRequest { id }).await.unwrap();
    assert_eq!((probed.outcome.as_str(), probed.reason.as_deref()), ("target_failed", Some("check_failed")));
    assert_eq!(probed.version.as_deref(), Some("tiny"));
    api.engine().with_store(pilothouse_store::Store::flush).await.unwrap();

    let shown = api.generation(range(id)).await.unwrap();
    assert_eq!(shown.n, 1);
    assert!(shown.first_token_us.p50.is_some() && shown.tokens_per_second.p05.is_some(), "{shown:?}");
    let last = shown.last.unwrap();
    assert_eq!(last.asked.as_deref(), Some("The capital of France?"));
    assert_eq!(last.result.text, "It is <b>Paris</b>.");
    let passed: Vec<bool> = last.result.checks.iter().map(|checked| checked.problem.is_none()).collect();
    assert_eq!(passed, [true, false]);
    for kind in [ChartKind::FirstToken, ChartKind::InterToken, ChartKind::TokensPerSecond] {
        let RangeRequest { from_ms, to_ms, .. } = range(id);
        let drawn = api.chart(chart(id, kind, from_ms, to_ms)).await.unwrap();
        assert!(drawn.points.iter().any(|point| point.values[0].is_some()), "{kind:?}");
    }
    api.stop().await;
}

/// An hour around now.
fn range(id: i64) -> RangeRequest {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
    RangeRequest { id, from_ms: now - 1_800_000, to_ms: now + 1_800_000 }
}

#[tokio::test]
async fn a_test_shows_what_the_model_predicted() {
    let place = open();
    let api = &place.api;
    let server = FakeServer::start(Behaviour::json(r#"{"predictions": [[0.25, 0.75], ["a", null]]}"#)).await;
    let mut wanted = draft("loans", &server);
    wanted.probe_rows = Some(r#"[{"x": 1}, {"x": 2}]"#.into());
    let tested = async |wanted: &EndpointDraft| {
        api.connect_test(ConnectTestRequest { draft: wanted.clone() }).await.unwrap().prediction
    };
    let shown = tested(&wanted).await.unwrap();
    let expect = [
        vec![PredictedValue::Number(0.25), PredictedValue::Number(0.75)],
        vec![PredictedValue::Text("a".into()), PredictedValue::Missing],
    ];
    assert_eq!(shown.rows, expect);
    assert_eq!((shown.row_count, shown.output_count, shown.names.len()), (2, 2, 0));
    let json = serde_json::to_value(&shown.rows).unwrap();
    assert_eq!(json, serde_json::json!([[0.25, 0.75], ["a", null]]));

    // The classes of the golden set name the values, where each class has one.
    golden_set(api, "x,good\n1,no\n2,yes\n", "good").await.unwrap();
    wanted.golden_set = Some("loans".into());
    assert_eq!(tested(&wanted).await.unwrap().names, ["no", "yes"]);
    server.set(Behaviour::json(r#"{"predictions": [1, 0]}"#));
    assert!(tested(&wanted).await.unwrap().names.is_empty());

    // An answer that names its values is believed, and a failure predicts nothing.
    server.set(Behaviour::json(r#"{"predictions": [{"label": 1, "score": 0.5}, {"label": 0, "score": 0.5}]}"#));
    assert_eq!(tested(&wanted).await.unwrap().names, ["label", "score"]);
    server.set(Behaviour::status(500, ""));
    assert_eq!(tested(&wanted).await, None);
    api.stop().await;
}

#[tokio::test]
async fn only_a_management_api_has_a_credential_of_its_own() {
    let place = open();
    let api = &place.api;
    let server = FakeServer::start(Behaviour::status(200, "")).await;
    let wanted = |protocol: &str| EndpointDraft {
        protocol: protocol.into(),
        model: Some("m".into()),
        management_auth: Some(Box::new(AuthDraft::Bearer { secret: "management-key".into() })),
        json: None,
        probe_rows: None,
        ..draft(protocol, &server)
    };
    let id = api.endpoint_add(EndpointAddRequest { draft: wanted("torchserve") }).await.unwrap().id;
    let shown = api.endpoint(EndpointRequest { id }).await.unwrap().draft;
    assert_eq!(shown.management_auth, wanted("torchserve").management_auth);
    let stored = api.engine().endpoint(EndpointId(id)).await.unwrap();
    assert!(
        stored.auths().iter().any(|auth| auth.secrets().contains(&"management-key")),
        "the keyring is asked for it"
    );
    let refused = api.endpoint_add(EndpointAddRequest { draft: wanted("v2") }).await.unwrap_err();
    assert!(refused.code == Code::InvalidInput && refused.message.contains("management_auth"), "{refused:?}");
    api.stop().await;
}

#[tokio::test]
async fn golden_sets_are_imported_once_and_whole() {
    let place = open();
    let api = &place.api;
    let text = "age,purpose,good\n30,car,1\n40,\"radio, TV\",0\n";
    for (text, label) in [("", "good"), (text, "bad"), ("good\n1\n0\n", "good"), ("age,good\n1,\n2,1\n", "good")] {
        assert_eq!(golden_set(api, text, label).await.unwrap_err().code, Code::InvalidInput, "{text:?} {label}");
    }
    let id = golden_set(api, text, "good").await.unwrap();
    let stored = api.engine().golden_set(pilothouse_domain::GoldenSetId(id)).await.unwrap();
    assert_eq!((stored.table.columns.len(), stored.labels.len()), (2, 2));
    let other = golden_set(api, "age,good\n30,1\n40,0\n", "good").await.unwrap_err();
    assert_eq!(other.code, Code::Conflict, "another content under the same name: {other:?}");
    assert_eq!(api.golden_sets(pilothouse_api::types::Empty {}).await.unwrap().golden_sets.len(), 1);
    api.stop().await;
}

#[tokio::test]
async fn retention_must_rise_and_is_kept() {
    let place = open();
    let api = &place.api;
    let settings = |raw_days, minute_days, hour_days| Settings {
        theme: ThemeChoice::Dark,
        retention: Retention { raw_days, minute_days, hour_days },
    };
    let before = api.settings(pilothouse_api::types::Empty {}).await.unwrap();
    assert_eq!(before.settings.retention, Retention { raw_days: 14, minute_days: 90, hour_days: 730 });
    for wrong in [settings(0, 1, 1), settings(5, 4, 10), settings(1, 20, 10), settings(1, 2, 40_000)] {
        assert_eq!(api.settings_set(wrong).await.unwrap_err().code, Code::InvalidInput);
    }
    assert_eq!(api.settings(pilothouse_api::types::Empty {}).await.unwrap().settings, before.settings);
    let kept = api.settings_set(settings(7, 30, 365)).await.unwrap();
    assert_eq!(kept.settings, settings(7, 30, 365));
    assert!(kept.database_bytes > 0);
    api.stop().await;
}
