//! From the answers of a few routes to a verdict; pure functions.
//!
//! Source: answers captured from `MLServer` 1.7.1, Triton 2.51.0, the `KServe` SDK 0.21.0, MLflow 3.17.2 (scoring and
//! tracking server), vLLM, llama.cpp, `LitServe`, `TorchServe`, `FastAPI`. The routes overlap: `/ping` exists on four servers,
//! `/v1/models` on OpenAI-compatible ones and on `KServe`, and `server: uvicorn` on nine. Each rule therefore reads bodies.

use pilothouse_domain::Protocol;
use serde_json::Value;

use crate::protocol::is_version_number;
use crate::text::one_line;
use crate::transport::Exchange;

/// The routes that are asked with GET.
pub(super) const ROUTES: &[&str] = &["/v2", "/ping", "/version", "/v1/models", "/openapi.json", "/health", "/"];

/// One answer.
#[derive(Debug, Clone)]
pub(super) struct Reply {
    pub(super) route: &'static str,
    pub(super) status: Option<u16>,
    pub(super) body: Vec<u8>,
}

impl Reply {
    pub(super) fn of(route: &'static str, exchange: &Exchange) -> Self {
        Self { route, status: exchange.status, body: exchange.body.to_vec() }
    }

    fn json(&self) -> Option<Value> {
        (self.status == Some(200)).then(|| serde_json::from_slice(&self.body).ok()).flatten()
    }

    fn text(&self) -> Option<String> {
        (self.status == Some(200)).then(|| String::from_utf8_lossy(&self.body).into_owned())
    }
}

/// The verdict.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Findings {
    pub(super) protocol: Option<Protocol>,
    pub(super) server: Option<String>,
    pub(super) server_version: Option<String>,
    pub(super) confidence: f64,
    /// Models that a list route named.
    pub(super) listed_models: Vec<String>,
    pub(super) predict: Option<String>,
    pub(super) evidence: Vec<String>,
    pub(super) needs_auth: bool,
}

/// Judges the answers; the most telling route first.
pub(super) fn classify(replies: &[Reply]) -> Findings {
    let reply = |route: &str| replies.iter().find(|reply| reply.route == route);
    let mut findings = open_inference(reply("/v2"), reply("/v1/models"))
        .or_else(|| openai(reply("/v1/models")))
        .or_else(|| mlflow(reply("/ping"), reply("/version"), reply("/openapi.json"), reply("/health"), reply("/")))
        .or_else(|| described(reply("/openapi.json")))
        .unwrap_or_default();
    let refused: Vec<&Reply> = replies.iter().filter(|reply| matches!(reply.status, Some(401 | 403))).collect();
    if findings.protocol.is_none()
        && let Some(first) = refused.first()
    {
        findings.needs_auth = true;
        findings.evidence.push(format!(
            "`GET {}` answered {}; give a credential",
            first.route,
            first.status.unwrap_or_default()
        ));
    }
    if findings.evidence.is_empty() {
        let statuses: Vec<String> =
            replies.iter().filter_map(|reply| reply.status.map(|status| format!("{} {status}", reply.route))).collect();
        findings.evidence.push(format!("no known server answers like this: {}", statuses.join(", ")));
    }
    if findings.server.is_none() {
        findings.server = Some("unknown".into());
    }
    findings
}

/// `GET /v2` names the server: `{"name", "version", "extensions"}`.
fn open_inference(server: Option<&Reply>, list: Option<&Reply>) -> Option<Findings> {
    let json = server?.json()?;
    let (name, version) = (json.get("name")?.as_str()?, json.get("version").and_then(Value::as_str));
    let has_extensions = json.get("extensions").is_some_and(Value::is_array);
    if version.is_none() && !has_extensions {
        return None;
    }
    let lower = name.to_ascii_lowercase();
    let known = ["mlserver", "triton", "kserve"].into_iter().find(|known| lower == *known);
    let is_tame = lower.len() <= 40 && lower.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    let server = known.map(str::to_owned).or_else(|| (is_tame && !lower.is_empty()).then_some(lower));
    let version = version.map(|version| one_line(version, 40));
    let mut evidence = vec![format!(
        "`GET /v2` names itself `{}` {}",
        one_line(name, 40),
        version.as_deref().unwrap_or("without a version")
    )];
    // KServe has no repository index; its V1 list is {"models": ["bc"]}, which no OpenAI-compatible server sends alone.
    let listed_models: Vec<String> = list
        .and_then(Reply::json)
        .and_then(|json| {
            Some(json.get("models")?.as_array()?.iter().filter_map(|name| Some(name.as_str()?.to_owned())).collect())
        })
        .unwrap_or_default();
    if !listed_models.is_empty() {
        evidence.push(format!("`GET /v1/models` lists {} models", listed_models.len()));
    }
    Some(Findings {
        protocol: Some(Protocol::OpenInference),
        server,
        server_version: version,
        confidence: match (known, has_extensions) {
            (Some(_), _) => 0.99,
            (None, true) => 0.95,
            (None, false) => 0.7,
        },
        listed_models,
        predict: None,
        evidence,
        needs_auth: false,
    })
}

/// `GET /v1/models` with `{"object": "list", "data": […]}`: an OpenAI-compatible server, which may also have `/ping`,
/// `/version` and `/invocations`, as vLLM does. Its protocol is not spoken here.
fn openai(list: Option<&Reply>) -> Option<Findings> {
    let json = list?.json()?;
    if json.get("object")?.as_str()? != "list" {
        return None;
    }
    let owner = json.pointer("/data/0/owned_by").and_then(Value::as_str).map(|owner| one_line(owner, 40));
    let server = owner.filter(|owner| !owner.is_empty());
    let evidence = vec!["`GET /v1/models` answers as an OpenAI-compatible server, which is not supported yet".into()];
    Some(Findings { server, confidence: 0.8, evidence, ..Findings::default() })
}

/// MLflow: the scoring server, or the tracking server that people mistake for it.
fn mlflow(
    ping: Option<&Reply>,
    version: Option<&Reply>,
    openapi: Option<&Reply>,
    health: Option<&Reply>,
    root: Option<&Reply>,
) -> Option<Findings> {
    let version = version?.text().map(|text| text.trim().to_owned()).filter(|text| is_version_number(text))?;
    let mut findings =
        Findings { server: Some("mlflow".into()), server_version: Some(version.clone()), ..Findings::default() };
    findings.evidence.push(format!("`GET /version` answers `{version}`"));
    // The scoring server's ping is one line feed; TorchServe answers JSON there.
    let has_ping = ping.and_then(Reply::text).is_some_and(|text| text.trim().is_empty());
    let has_invocations =
        openapi.and_then(Reply::json).is_some_and(|json| json.pointer("/paths/~1invocations").is_some());
    if has_ping {
        findings.protocol = Some(Protocol::Mlflow);
        findings.predict = Some("/invocations".into());
        findings.confidence = if has_invocations { 0.98 } else { 0.8 };
        findings.evidence.push("`GET /ping` answers with an empty line".into());
        if has_invocations {
            findings.evidence.push("`/openapi.json` describes `/invocations`".into());
        }
        return Some(findings);
    }
    let is_ok = health.and_then(Reply::text).is_some_and(|text| text.trim() == "OK");
    let has_title = root.and_then(Reply::text).is_some_and(|text| text.contains("<title>MLflow"));
    if is_ok || has_title {
        findings.confidence = 0.9;
        findings.evidence.push(
            "this is MLflow's tracking server: use it as the control plane, and connect the scoring server as the endpoint"
                .into(),
        );
        return Some(findings);
    }
    None
}

/// A server that describes itself with `OpenAPI` and has a route that looks like a prediction: plain JSON.
fn described(openapi: Option<&Reply>) -> Option<Findings> {
    const WORDS: [&str; 5] = ["predict", "infer", "invocations", "score", "classify"];
    let json = openapi?.json()?;
    json.get("openapi").or_else(|| json.get("swagger"))?;
    let posts: Vec<&String> = json
        .get("paths")?
        .as_object()?
        .iter()
        .filter(|(_, methods)| methods.get("post").is_some())
        .map(|(path, _)| path)
        .collect();
    let looks_right = |path: &&&String| WORDS.iter().any(|word| path.to_ascii_lowercase().contains(word));
    let path = posts.iter().find(looks_right).copied()?;
    let title = json.pointer("/info/title").and_then(Value::as_str).unwrap_or_default();
    let path = one_line(path, 120);
    let evidence = vec![
        format!("`/openapi.json` (title `{}`) describes `POST {path}`", one_line(title, 60)),
        "plain JSON needs a request template and a pointer to the prediction".into(),
    ];
    Some(Findings {
        protocol: Some(Protocol::Json),
        confidence: 0.4,
        predict: Some(path),
        evidence,
        ..Findings::default()
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reply(route: &'static str, status: u16, body: &str) -> Reply {
        Reply { route, status: Some(status), body: body.as_bytes().to_vec() }
    }

    fn judge(replies: &[(&'static str, u16, &str)]) -> Findings {
        let replies: Vec<Reply> = ROUTES
            .iter()
            .map(|route| {
                replies.iter().find(|(named, ..)| named == route).map_or_else(
                    || reply(route, 404, r#"{"detail":"Not Found"}"#),
                    |(_, status, body)| reply(route, *status, body),
                )
            })
            .collect();
        classify(&replies)
    }

    #[test]
    fn servers_are_told_apart() {
        let check = |replies: &[(&'static str, u16, &str)], protocol: Option<Protocol>, server: &str| {
            let found = judge(replies);
            assert_eq!((found.protocol, found.server.as_deref()), (protocol, Some(server)), "{replies:?} {found:?}");
            assert!((0.0..=1.0).contains(&found.confidence) && !found.evidence.is_empty());
        };
        let v2 = Some(Protocol::OpenInference);
        check(&[("/v2", 200, include_str!("../../tests/data/mlserver-1.7.1-server.json"))], v2, "mlserver");
        check(&[("/v2", 200, include_str!("../../tests/data/triton-2.51.0-server.json"))], v2, "triton");
        let kserve = r#"{"name":"kserve","version":"0.21.0","extensions":["model_repository_extension"]}"#;
        check(&[("/v2", 200, kserve), ("/v1/models", 200, r#"{"models":["bc"]}"#)], v2, "kserve");
        check(&[("/v2", 200, r#"{"name":"house","version":"1","extensions":[]}"#)], v2, "house");
        check(&[("/v2", 200, r#"{"name":"<b>","version":"1","extensions":[]}"#)], v2, "unknown");

        let scoring = [("/ping", 200, "\n"), ("/version", 200, "3.17.2"), ("/health", 200, "\n")];
        check(&scoring, Some(Protocol::Mlflow), "mlflow");
        let tracking = [("/version", 200, "3.17.2"), ("/health", 200, "OK"), ("/", 200, "<title>MLflow</title>")];
        check(&tracking, None, "mlflow");

        let fastapi = r#"{"openapi":"3.1.0","info":{"title":"x"},"paths":{"/a":{"get":{}},"/predict":{"post":{}}}}"#;
        check(&[("/openapi.json", 200, fastapi)], Some(Protocol::Json), "unknown");
    }

    #[test]
    fn look_alikes_are_not_mistaken() {
        let check = |replies: &[(&'static str, u16, &str)]| {
            let found = judge(replies);
            assert_eq!(found.protocol, None, "{replies:?} {found:?}");
        };
        // A single-page application answers every route with 200 and a page.
        let page = "<!doctype html><title>App</title>";
        let everything: Vec<_> = ROUTES.iter().map(|route| (*route, 200, page)).collect();
        check(&everything);
        // vLLM has /ping, /version and /invocations, too.
        check(&[
            ("/ping", 200, ""),
            ("/version", 200, r#"{"version":"0.32.0"}"#),
            ("/v1/models", 200, r#"{"object":"list","data":[{"id":"m","owned_by":"vllm"}]}"#),
        ]);
        check(&[
            ("/ping", 200, "\n"),
            ("/version", 200, "1.2.3"),
            ("/v1/models", 200, r#"{"object":"list","data":[{"id":"m","owned_by":"vllm"}]}"#),
        ]);
        check(&[("/ping", 200, "{\n \"status\": \"Healthy\"\n}")]);
        check(&[("/v2", 200, r#"{"name":"Docker registry"}"#)]);
        check(&[("/v2", 200, "{}"), ("/health", 200, "ok")]);
        check(&[]);
    }

    #[test]
    fn a_wall_of_refusals_asks_for_a_credential() {
        let wall: Vec<_> = ROUTES.iter().map(|route| (*route, 401, "no")).collect();
        let found = judge(&wall);
        assert!(found.needs_auth && found.protocol.is_none() && found.confidence == 0.0);
        assert!(!judge(&[]).needs_auth);
    }

    proptest! {
        #[test]
        fn any_bytes_never_panic(bodies in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..80), 7)) {
            let replies: Vec<Reply> = ROUTES
                .iter()
                .zip(bodies)
                .map(|(route, body)| Reply { route, status: Some(200), body })
                .collect();
            let found = classify(&replies);
            prop_assert!((0.0..=1.0).contains(&found.confidence));
        }
    }
}
