//! What a pasted URL says by itself: the base behind a known route, and the model and version named in it.

use url::Url;

use crate::text::percent_decoded;

/// What the pasted URL said beside its base.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Hints {
    /// The model named in the route.
    pub(super) model: Option<String>,
    /// The version named in the route.
    pub(super) version: Option<String>,
    /// The part of the path that was a known route, `""` if none was.
    pub(super) route: String,
}

/// Segments at which a documented route begins, whatever follows.
const ROUTES: [&str; 8] =
    ["v2", "v1", "invocations", "predictions", "explanations", "serving-endpoints", "-", "api-description"];
/// Segments that are a route when nothing follows; elsewhere they are ordinary parts of a prefix.
const LAST: [&str; 17] = [
    "ping",
    "health",
    "healthz",
    "livez",
    "readyz",
    "version",
    "openapi.json",
    "docs",
    "docs.json",
    "schema.json",
    "predict",
    "info",
    "metrics",
    "redoc",
    "models",
    "score",
    "infer",
];

/// Whether a documented route begins at this segment.
fn begins_route(segments: &[String], at: usize) -> bool {
    let segment = segments[at].as_str();
    let next = segments.get(at + 1).map(String::as_str).filter(|text| !text.is_empty());
    match segment {
        // Ollama's own routes, behind a prefix that is common elsewhere.
        "api" => matches!(next, Some("generate" | "chat" | "tags" | "ps" | "version")),
        // SageMaker's runtime.
        "endpoints" => segments.get(at + 2).is_some_and(|last| last.starts_with("invocations")),
        _ => ROUTES.contains(&segment) || (next.is_none() && LAST.contains(&segment)),
    }
}

/// The server's base URL behind a route that a person copied, and what the route named.
pub(super) fn base_of(url: &Url) -> (Url, Hints) {
    let mut base = url.clone();
    base.set_fragment(None);
    let segments: Vec<String> = url.path_segments().map(|parts| parts.map(str::to_owned).collect()).unwrap_or_default();
    let Some(route) = (0..segments.len()).find(|at| begins_route(&segments, *at)) else {
        return (base, Hints::default());
    };
    let part = |at: usize| segments.get(route + at).map(String::as_str).filter(|text| !text.is_empty());
    let (model, version) = match (part(0), part(1)) {
        (Some("v1" | "v2"), Some("models")) => match (part(3), part(4)) {
            (Some("versions"), version) => (part(2), version),
            _ => (part(2), None),
        },
        (Some("predictions" | "explanations"), Some(model)) => (Some(model), part(2)),
        (Some("endpoints" | "serving-endpoints"), Some(model)) => (Some(model), None),
        _ => (None, None),
    };
    // `/v1/models/m:predict`, `/v1/models/m/versions/2:predict`
    let plain = |text: &str| percent_decoded(text.rsplit_once(':').map_or(text, |(name, _)| name));
    let hints = Hints {
        model: model.map(plain),
        version: version.map(plain),
        route: format!("/{}", segments[route..].join("/")),
    };
    base.set_path(&segments[..route].join("/"));
    base.set_query(None);
    (base, hints)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_is_found_behind_any_route() {
        let check = |url: &str, base: &str, model: Option<&str>, version: Option<&str>| {
            let (found, hints) = base_of(&url.parse().unwrap());
            assert_eq!(
                (found.as_str(), hints.model.as_deref(), hints.version.as_deref()),
                (base, model, version),
                "{url}"
            );
        };
        check("http://h:1", "http://h:1/", None, None);
        check("http://h:1/a/b", "http://h:1/a/b", None, None);
        check("http://h:1/v2", "http://h:1/", None, None);
        check("http://h:1/a/v2/models/m/infer", "http://h:1/a", Some("m"), None);
        check("http://h:1/v2/models/a%20b+c/versions/2", "http://h:1/", Some("a b+c"), Some("2"));
        check("http://h:1/x/invocations?k=1#f", "http://h:1/x", None, None);
        check("http://h:1/v1/models/m:predict", "http://h:1/", Some("m"), None);
        check("http://h:1/v1/models/m/versions/3:predict", "http://h:1/", Some("m"), Some("3"));
        check("http://h:1/v1/chat/completions", "http://h:1/", None, None);
        check("http://h:1/predictions/m/2.0", "http://h:1/", Some("m"), Some("2.0"));
        check("http://h:1/endpoints/ep/invocations", "http://h:1/", Some("ep"), None);
        check("http://h:1/api/generate", "http://h:1/", None, None);
        check("http://h:1/api/score", "http://h:1/api", None, None);
        check("http://h:1/api/risk", "http://h:1/api/risk", None, None);
        check("http://h:1/models/credit", "http://h:1/models/credit", None, None);
        check("http://h:1/credit/predict", "http://h:1/credit", None, None);
        check("http://h:1/-/routes", "http://h:1/", None, None);
    }
}
