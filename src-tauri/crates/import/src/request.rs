//! One HTTP request, as tools write it down, made into a proposal: the route's protocol, the body's template, the headers'
//! secret.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pilothouse_domain::Auth;
use pilothouse_domain::endpoint::JsonTemplate;
use pilothouse_openapi::template_of_example;
use secrecy::SecretString;
use serde_json::Value;
use url::Url;

use crate::proposal::{FoundSecret, Proposal, short};

/// Headers that say nothing about the endpoint.
const ORDINARY: [&str; 16] = [
    "accept",
    "accept-encoding",
    "accept-language",
    "cache-control",
    "connection",
    "content-length",
    "content-type",
    "dnt",
    "host",
    "origin",
    "pragma",
    "priority",
    "referer",
    "te",
    "upgrade-insecure-requests",
    "user-agent",
];
/// Headers whose value is a secret by custom.
const SECRET: [&str; 12] = [
    "x-api-key",
    "api-key",
    "apikey",
    "x-auth-token",
    "x-access-token",
    "x-token",
    "ocp-apim-subscription-key",
    "x-functions-key",
    "authorization",
    "proxy-authorization",
    "cookie",
    "x-goog-api-key",
];
/// Query members whose value is a secret by custom.
const SECRET_QUERY: [&str; 11] =
    ["key", "api_key", "apikey", "api-key", "token", "access_token", "auth", "sig", "signature", "code", "password"];

/// A request as a tool wrote it down.
#[derive(Default)]
pub(crate) struct Request {
    pub(crate) url: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Option<String>,
    pub(crate) user: Option<(String, String)>,
}

impl Request {
    /// A proposal; an error says why the address cannot be watched. The body never becomes part of a message.
    pub(crate) fn propose(self) -> Result<Proposal, String> {
        let mut url = parse_url(&self.url)?;
        let in_url = take_userinfo(&mut url);
        let stripped = take_secret_query(&mut url);
        let mut proposal = of_route(&url);
        if let Some(body) = self.body.as_deref().filter(|body| !body.trim().is_empty()) {
            with_body(&mut proposal, &url, body);
        }
        if let Some((user, password)) = self.user.or(in_url) {
            basic(&mut proposal, user, &password, "user and password");
        }
        for (name, value) in self.headers {
            with_header(&mut proposal, &name, &value);
        }
        for (name, value) in stripped {
            with_query(&mut proposal, &name, &value);
        }
        Ok(proposal)
    }
}

/// An address with a scheme of ours; what people leave out is added.
pub(crate) fn parse_url(text: &str) -> Result<Url, String> {
    let text = text.trim();
    if text.contains("${") || text.contains("{{") || text.starts_with('$') {
        return Err("its address holds a variable, which only the tool's own environment can fill in".into());
    }
    let with_scheme = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let url = Url::parse(&with_scheme).map_err(|error| format!("its address is no URL: {error}"))?;
    match url.scheme() {
        "http" | "https" if url.host_str().is_some() => Ok(url),
        scheme => Err(format!("it is checked over `{scheme}`; only http and https endpoints are watched")),
    }
}

fn take_userinfo(url: &mut Url) -> Option<(String, String)> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let decode = |text: &str| {
        let pair = format!("x={}", text.replace('+', "%2B"));
        url::form_urlencoded::parse(pair.as_bytes()).next().map(|(_, value)| value.into_owned()).unwrap_or_default()
    };
    let user = decode(url.username());
    let password = decode(url.password().unwrap_or_default());
    // An http URL with a host takes both.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    Some((user, password))
}

/// The query members taken out, with their values.
fn take_secret_query(url: &mut Url) -> Vec<(String, String)> {
    let is_secret = |name: &str| SECRET_QUERY.contains(&name.to_ascii_lowercase().as_str());
    let pairs: Vec<(String, String)> =
        url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
    if !pairs.iter().any(|(name, _)| is_secret(name)) {
        return Vec::new();
    }
    url.set_query(None);
    let (taken, kept): (Vec<_>, Vec<_>) = pairs.into_iter().partition(|(name, _)| is_secret(name));
    if !kept.is_empty() {
        url.query_pairs_mut().extend_pairs(kept);
    }
    taken
}

/// What a documented route says: its protocol, its model, the base before it.
fn of_route(url: &Url) -> Proposal {
    let parts: Vec<String> = url.path_segments().map(|parts| parts.map(str::to_owned).collect()).unwrap_or_default();
    let words: Vec<&str> = parts.iter().map(String::as_str).collect();
    let at = |at: usize| {
        let mut base = url.clone();
        base.set_fragment(None);
        base.set_path(&words[..at].join("/"));
        base
    };
    let decoded = |text: &str| {
        let pair = format!("x={}", text.replace('+', "%2B"));
        url::form_urlencoded::parse(pair.as_bytes()).next().map(|(_, value)| value.into_owned())
    };
    let found = (0..words.len()).find_map(|begin| match &words[begin..] {
        ["v2", "models", model, rest @ ..] => Some(("v2", begin, Some(*model), version_after(rest))),
        ["v1", "models", model, rest @ ..] if words.last().is_some_and(|last| last.contains(':')) => {
            Some(("v1", begin, model.split(':').next(), version_after(rest)))
        }
        ["predictions", model, rest @ ..] => Some(("torchserve", begin, Some(*model), rest.first().copied())),
        ["v1", "chat", "completions"] | ["v1", "completions"] => Some(("openai", begin, None, None)),
        ["api", "chat" | "generate"] => Some(("ollama", begin, None, None)),
        ["endpoints", name, "invocations"] => Some(("sagemaker", begin, Some(*name), None)),
        ["serving-endpoints", name, "invocations"] => Some(("databricks", begin, Some(*name), None)),
        ["invocations"] => Some(("mlflow", begin, None, None)),
        _ => None,
    });
    let Some((protocol, begin, model, version)) = found else { return Proposal::at(url.clone()) };
    let mut proposal = Proposal::at(at(begin));
    proposal.protocol = Some(protocol);
    proposal.model = model.filter(|name| !name.is_empty()).and_then(decoded);
    proposal.model_version = version.map(|text| text.split(':').next().unwrap_or(text)).and_then(decoded);
    if let Some(model) = &proposal.model {
        proposal.name = short(model);
    }
    proposal.understood.push(format!("the route /{} is that of the protocol `{protocol}`", words[begin..].join("/")));
    proposal
}

fn version_after<'a>(rest: &[&'a str]) -> Option<&'a str> {
    match rest {
        ["versions", version, ..] => Some(version),
        _ => None,
    }
}

fn with_body(proposal: &mut Proposal, url: &Url, body: &str) {
    let Ok(body) = serde_json::from_str::<Value>(body) else {
        proposal.ignored.push("its body is not JSON and was left out".into());
        return;
    };
    match proposal.protocol {
        None => {
            let template = template_of_example(&body);
            let mut base = url.clone();
            let path = base.path().to_owned();
            base.set_path("");
            base.set_fragment(None);
            proposal.url = base;
            proposal.protocol = Some("json");
            proposal.understood.push(if template.takes_rows {
                "the request was made from the body: its rows are replaced by those of each check".into()
            } else {
                "the body is sent as it is with each check".to_owned()
            });
            proposal.ignored.push("where the predictions stand in the answer is a guess: check it with a test".into());
            proposal.rows = template.example_rows;
            proposal.json = Some(JsonTemplate {
                path,
                body: template.body,
                prediction: "/predictions".into(),
                ..JsonTemplate::default()
            });
        }
        Some("openai" | "ollama") => {
            let model = body.get("model").and_then(Value::as_str);
            if let Some(model) = model {
                proposal.model = Some(model.to_owned());
                proposal.name = short(model);
            }
            proposal.understood.push("the model was taken from the body; its prompt was left out".into());
        }
        // What a container takes is its author's choice: the body given is an example of it.
        Some("sagemaker") => {
            let template = template_of_example(&body);
            proposal.understood.push("the request was made from the body, as its container takes it".into());
            proposal.ignored.push("where the predictions stand in the answer is a guess: check it with a test".into());
            proposal.rows = template.example_rows;
            let prediction = "/predictions".into();
            proposal.json = Some(JsonTemplate { body: template.body, prediction, ..JsonTemplate::default() });
        }
        Some("mlflow" | "v1" | "databricks") => {
            let rows = ["instances", "dataframe_records", "inputs"].iter().find_map(|name| body.get(*name));
            let rows = rows.filter(|rows| rows.is_array()).cloned().or_else(|| split_rows(&body));
            if rows.is_some() {
                proposal.understood.push("the rows of the body become the rows of each check".into());
            }
            proposal.rows = rows;
        }
        Some(_) => proposal.ignored.push("its body was left out: the server describes its inputs itself".into()),
    }
}

/// Records from `{"dataframe_split": {"columns", "data"}}`.
fn split_rows(body: &Value) -> Option<Value> {
    let split = body.get("dataframe_split")?;
    let columns: Vec<&str> = split.get("columns")?.as_array()?.iter().map(Value::as_str).collect::<Option<_>>()?;
    let rows = split.get("data")?.as_array()?.iter().map(|row| {
        let cells = row.as_array()?;
        (cells.len() == columns.len())
            .then(|| Value::Object(columns.iter().map(|name| (*name).to_owned()).zip(cells.iter().cloned()).collect()))
    });
    Some(Value::Array(rows.collect::<Option<Vec<Value>>>()?))
}

fn with_header(proposal: &mut Proposal, name: &str, value: &str) {
    let (name, value) = (name.trim(), value.trim());
    let lower = name.to_ascii_lowercase();
    if ORDINARY.contains(&lower.as_str()) || lower.starts_with("sec-") || value.is_empty() {
        return;
    }
    if value.contains("${") || value.starts_with('$') {
        proposal
            .ignored
            .push(format!("the header `{}` holds a variable: store its value as the credential", short(name)));
        return;
    }
    let is_secret = SECRET.contains(&lower.as_str())
        || ["token", "key", "secret", "auth", "session"].iter().any(|word| lower.contains(word));
    if !is_secret {
        proposal
            .ignored
            .push(format!("the header `{}` was left out: an endpoint sends only its credential's", short(name)));
        return;
    }
    if proposal.secret.is_some() {
        proposal.ignored.push(format!("the header `{}` was left out: there is a credential already", short(name)));
        return;
    }
    let (scheme, rest) = value.split_once(' ').unwrap_or(("", value));
    if lower == "authorization" && scheme.eq_ignore_ascii_case("bearer") {
        bearer(proposal, rest.trim(), "the header Authorization");
    } else if lower == "authorization" && scheme.eq_ignore_ascii_case("basic") {
        let decoded = STANDARD.decode(rest.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        match decoded.as_deref().and_then(|pair| pair.split_once(':')) {
            Some((user, password)) => {
                basic(proposal, user.to_owned(), password, "the header Authorization");
            }
            None => {
                proposal.ignored.push("the header Authorization is Basic but not readable, and was left out".into());
            }
        }
    } else {
        let secret = proposal.secret_name("key");
        proposal.auth = Auth::Header { name: name.to_owned(), secret: secret.clone() };
        found(proposal, secret, format!("the header {}", short(name)), value);
    }
}

fn with_query(proposal: &mut Proposal, name: &str, value: &str) {
    if proposal.auth != Auth::None {
        proposal
            .ignored
            .push(format!("the query member `{}` was left out: there is a credential already", short(name)));
        return;
    }
    let secret = proposal.secret_name("key");
    proposal.auth = Auth::Query { name: name.to_owned(), secret: secret.clone() };
    found(proposal, secret, format!("the query member {}", short(name)), value);
}

/// A bearer token found in a text.
pub(crate) fn bearer(proposal: &mut Proposal, token: &str, place: &str) {
    let secret = proposal.secret_name("token");
    proposal.auth = Auth::Bearer { secret: secret.clone() };
    found(proposal, secret, place.to_owned(), token);
}

/// User and password found in a text.
pub(crate) fn basic(proposal: &mut Proposal, username: String, password: &str, place: &str) {
    let secret = proposal.secret_name("password");
    proposal.auth = Auth::Basic { username, secret: secret.clone() };
    if password.is_empty() {
        proposal.ignored.push("the password is not in the text: store it in the keyring".into());
    } else {
        found(proposal, secret, place.to_owned(), password);
    }
}

fn found(proposal: &mut Proposal, name: String, place: String, value: &str) {
    proposal.secret = Some(FoundSecret { name, place, value: SecretString::from(value.to_owned()) });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn propose(url: &str, body: Option<&str>) -> Proposal {
        Request { url: url.into(), body: body.map(str::to_owned), ..Request::default() }.propose().unwrap()
    }

    #[test]
    fn routes_say_their_protocol() {
        let check = |url: &str, protocol: Option<&str>, base: &str, model: Option<&str>, version: Option<&str>| {
            let found = propose(url, None);
            assert_eq!((found.protocol, found.url.as_str()), (protocol, base), "{url}");
            assert_eq!((found.model.as_deref(), found.model_version.as_deref()), (model, version), "{url}");
        };
        check("http://h:1/a/v2/models/m/infer", Some("v2"), "http://h:1/a", Some("m"), None);
        check("http://h/v2/models/m/versions/3/infer", Some("v2"), "http://h/", Some("m"), Some("3"));
        check("http://h/v1/models/m:predict", Some("v1"), "http://h/", Some("m"), None);
        check("http://h/v1/models/m/versions/2:predict", Some("v1"), "http://h/", Some("m"), Some("2"));
        check("http://h/invocations", Some("mlflow"), "http://h/", None, None);
        check("http://h/predictions/m/2.0", Some("torchserve"), "http://h/", Some("m"), Some("2.0"));
        check("http://h/endpoints/e%20p/invocations", Some("sagemaker"), "http://h/", Some("e p"), None);
        check("http://h/serving-endpoints/ep/invocations", Some("databricks"), "http://h/", Some("ep"), None);
        check("https://h/openai/v1/chat/completions", Some("openai"), "https://h/openai", None, None);
        check("http://h/health", None, "http://h/health", None, None);
        check("h:8080/x", None, "http://h:8080/x", None, None);
    }

    #[test]
    fn bodies_become_templates_and_rows() {
        let found = propose("http://h/score", Some(r#"{"instances": [[1, 2]], "k": 1}"#));
        let json = found.json.unwrap();
        assert_eq!((found.url.as_str(), json.path.as_str()), ("http://h/", "/score"));
        assert_eq!(json.body, serde_json::json!({"instances": "{{rows}}", "k": 1}));
        assert_eq!(found.rows, Some(serde_json::json!([[1, 2]])));
        let split = r#"{"dataframe_split": {"columns": ["a", "b"], "data": [[1, "x"]]}}"#;
        let found = propose("http://h/invocations", Some(split));
        assert_eq!(found.rows, Some(serde_json::json!([{"a": 1, "b": "x"}])));
        let found = propose("http://h/endpoints/ep/invocations", Some(r#"{"instances": [[1, 2]]}"#));
        assert_eq!(found.json.map(|json| json.body), Some(serde_json::json!({"instances": "{{rows}}"})));
        assert_eq!(found.rows, Some(serde_json::json!([[1, 2]])));
        let found = propose("http://h/v1/chat/completions", Some(r#"{"model": "llama", "messages": []}"#));
        assert_eq!((found.model.as_deref(), found.name.as_str()), (Some("llama"), "llama"));
    }

    #[test]
    fn what_is_no_http_is_refused_with_its_reason() {
        for url in ["tcp://h:1", "icmp://h", "${HOST}/x", "http://", "dns://h"] {
            assert!(parse_url(url).is_err(), "{url}");
        }
    }
}
