//! Ray Serve, by its HTTP proxy (8000 by default) or the dashboard (8265).

use serde_json::Value;

use crate::detect::DetectedModel;
use crate::detect::finding::{Finding, Need, Role};
use crate::detect::reply::{Ask, Reply, Seen};
use crate::text::one_line;

/// The proxy lists its routes at `/-/routes` (`{"/bc": "bc"}`) and says so in each 404.
pub(super) fn proxy(seen: Seen<'_>) -> Option<Finding> {
    let hint = seen.replies.iter().find(|reply| reply.status == Some(404) && reply.any_text().contains("/-/routes"));
    let routes = seen
        .replies
        .json("/-/routes")
        .and_then(Value::as_object)
        .filter(|routes| routes.iter().all(|(prefix, name)| prefix.starts_with('/') && name.is_string()));
    if hint.is_none() && routes.is_none() {
        return None;
    }
    let confidence = match (hint.is_some(), routes.is_some()) {
        (true, true) => 0.99,
        (false, true) => 0.9,
        _ => 0.85,
    };
    let mut finding = Finding::model("ray-serve", "Ray Serve", "json", confidence)
        .asking(Ask::get("/-/routes"))
        .needing(Need::Template {
            why:
                "a Ray Serve application reads any JSON it likes: describe its request and where the prediction stands"
                    .into(),
        });
    if let Some(reply) = hint {
        finding.evidence.push(format!("`{}` is refused as Ray Serve's proxy words it", reply.ask.path()));
    }
    for (prefix, name) in routes.into_iter().flatten().take(crate::detect::MAX_MODELS) {
        let mut model = DetectedModel::named(one_line(name.as_str().unwrap_or_default(), 200));
        model.predict = Some(prefix.clone());
        finding.models.push(model);
    }
    if routes.is_some() {
        finding.evidence.push(format!("`/-/routes` lists {} applications", finding.models.len()));
    }
    finding.predict = finding.models.first().and_then(|model| model.predict.clone());
    Some(finding)
}

/// The dashboard: `/api/version` has `ray_version`, `/api/serve/applications/` the applications and the proxy's port.
pub(super) fn dashboard(seen: Seen<'_>) -> Option<Finding> {
    let page = seen.replies.get("/").filter(|reply| reply.status == Some(200) && reply.is_page());
    let has_page = page.and_then(Reply::page_title).is_some_and(|title| title.contains("Ray Dashboard"));
    let is_aiohttp =
        seen.replies.iter().any(|reply| reply.header("server").is_some_and(|server| server.contains("aiohttp")));
    let version = seen.replies.json("/api/version").and_then(|json| json.get("ray_version")?.as_str());
    // The dashboard's page needs files that a small installation lacks: its HTTP library is a reason to ask.
    if !has_page && version.is_none() && !is_aiohttp {
        return None;
    }
    let advice = "this is Ray's dashboard: it says which applications are deployed; \
                  connect the applications at the proxy's address as endpoints";
    let confidence = match (version.is_some(), has_page) {
        (true, _) => 0.97,
        (false, true) => 0.7,
        (false, false) => 0.2,
    };
    let applications_ask =
        Ask { segments: vec!["api".into(), "serve".into(), "applications".into(), String::new()], ..Ask::get("/") };
    let mut finding = Finding::elsewhere("ray-dashboard", "Ray dashboard", Role::ControlPlane, confidence, advice)
        .asking(Ask::get("/api/version"))
        .asking(applications_ask.clone());
    if has_page {
        finding.evidence.push("its page is titled Ray Dashboard".into());
    }
    if let Some(version) = version {
        finding.evidence.push(format!("`/api/version` says Ray {}", one_line(version, 40)));
        finding.version = Some(one_line(version, 40));
    }
    if finding.evidence.is_empty() {
        finding.evidence.push("it answers with aiohttp, as Ray's dashboard does".into());
    }
    let serve = seen.replies.to(&applications_ask).and_then(Reply::json);
    let applications = serve.and_then(|json| json.get("applications")?.as_object());
    for (name, application) in applications.into_iter().flatten().take(crate::detect::MAX_MODELS) {
        let mut model = DetectedModel::named(one_line(name, 200));
        model.predict = application.get("route_prefix").and_then(Value::as_str).map(str::to_owned);
        model.ready = application.get("status").and_then(Value::as_str).map(|status| status == "RUNNING");
        finding.models.push(model);
    }
    if let Some(json) = serve {
        finding.evidence.push(format!("it lists {} applications", finding.models.len()));
        let port = json.pointer("/http_options/port").and_then(Value::as_u64);
        finding.serving_port = port.and_then(|port| u16::try_from(port).ok());
        if let Some(port) = finding.serving_port {
            finding.evidence.push(format!("the proxy listens on port {port}"));
        }
    }
    Some(finding)
}
