//! HTTP with a control plane: one read, one write, each with limits, and the sorting of what can go wrong.
//!
//! What it hides: the transport's kinds of failure. What must stay true: a write ends as [`ControlError::Ambiguous`] whenever
//! the request may have arrived; a read never does; a body is never longer than [`MAX_ANSWER_BYTES`] in memory.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, HeaderName, HeaderValue};
use http::{Method, StatusCode, header};
use pilothouse_serving::{Authorizer, ControlCall, ControlClient, Exchange, MASK, RequestParts};
use serde_json::Value;
use url::Url;

use crate::{ControlError, Refusal, text};

/// The largest body that is read.
const MAX_ANSWER_BYTES: usize = 8 * 1024 * 1024;
/// Limit for a read, from connecting to the last byte.
const READ_TIMEOUT: Duration = Duration::from_secs(15);
/// Limit for a write. Longer, since giving up leaves its outcome unknown, and some reloads answer only when done.
const WRITE_TIMEOUT: Duration = Duration::from_mins(1);

/// One server that is spoken to with one credential.
#[derive(Debug, Clone)]
pub(crate) struct Wire {
    client: ControlClient,
    credential: Arc<Authorizer>,
    /// Who is spoken to, for messages: "MLflow at ADDRESS".
    name: String,
    read_timeout: Duration,
    write_timeout: Duration,
}

/// An answer with a status of success.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    /// 200 to 299.
    pub(crate) status: u16,
    /// The whole body.
    pub(crate) body: Vec<u8>,
}

/// A request that did not lead to a full answer.
struct NoAnswer {
    reached: Reached,
    /// The HTTP status, if the answer's head arrived.
    status: Option<u16>,
    why: String,
}

/// How far a request came that was not answered in full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reached {
    /// No connection.
    Nothing,
    /// It may have arrived.
    Server,
}

impl Wire {
    /// `kind` is what stands before the address in messages.
    pub(crate) fn new(kind: &str, base: &Url, client: ControlClient, credential: Arc<Authorizer>) -> Self {
        let name = format!("{kind} at {}", shown_address(base));
        Self { client, credential, name, read_timeout: READ_TIMEOUT, write_timeout: WRITE_TIMEOUT }
    }

    /// Limits that a test can wait for.
    #[cfg(test)]
    pub(crate) fn with_timeouts(mut self, timeout: Duration) -> Self {
        self.read_timeout = timeout;
        self.write_timeout = timeout;
        self
    }

    /// Who is spoken to, for messages.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether a credential goes along.
    pub(crate) fn has_credential(&self) -> bool {
        !self.credential.is_none()
    }

    /// The headers of a write, as a plan shows them.
    pub(crate) fn shown_headers(&self, with_body: bool) -> Vec<(String, String)> {
        let mut headers = vec![("accept".to_owned(), "application/json".to_owned())];
        if with_body {
            headers.push(("content-type".to_owned(), "application/json".to_owned()));
        }
        headers.extend(self.credential.masked_headers());
        headers
    }

    /// An address as a plan shows it: with the credential's parameter by name, where it stands in the query.
    pub(crate) fn shown_url(&self, url: impl Into<String>) -> String {
        let mut shown = url.into();
        if let Some(name) = self.credential.query_name() {
            let separator = if shown.contains('?') { '&' } else { '?' };
            // Writing to a string cannot fail.
            write!(shown, "{separator}{name}={MASK}").ok();
        }
        shown
    }

    /// Reads a JSON object.
    pub(crate) async fn read(&self, url: &Url) -> Result<Value, ControlError> {
        let answer = self.read_bytes(url).await?;
        match serde_json::from_slice(&answer.body) {
            Ok(value @ Value::Object(_)) => Ok(value),
            _ => Err(self.unreadable(
                Some(answer.status),
                format!("it is not a JSON object but `{}`", self.credential.redact(&text::from_body(&answer.body))),
            )),
        }
    }

    /// Reads whatever stands at an address, with a status of success.
    pub(crate) async fn read_bytes(&self, url: &Url) -> Result<Answer, ControlError> {
        match self.exchange(Method::GET, url, None, self.read_timeout).await {
            Ok((status, body)) => self.accepted(status, body),
            Err(NoAnswer { status: None, why, .. }) => Err(ControlError::Unreachable { to: self.name.clone(), why }),
            Err(NoAnswer { status, why, .. }) => Err(self.unreadable(status, why)),
        }
    }

    /// Writes. Success is any status of 200 to 299.
    pub(crate) async fn write(&self, method: Method, url: &Url, body: Option<&Value>) -> Result<Answer, ControlError> {
        match self.exchange(method, url, body, self.write_timeout).await {
            Ok((status, body)) => match self.accepted(status, body) {
                // A server's inner failure or an odd answer after a write does not prove that nothing happened.
                Err(ControlError::Unreadable { from, status, why }) => {
                    Err(ControlError::Ambiguous { to: from, status, why })
                }
                other => other,
            },
            Err(NoAnswer { reached: Reached::Nothing, why, .. }) => {
                Err(ControlError::Unreachable { to: self.name.clone(), why })
            }
            Err(NoAnswer { status, why, .. }) => Err(ControlError::Ambiguous { to: self.name.clone(), status, why }),
        }
    }

    /// An answer to a read that the wire format does not know.
    pub(crate) fn unreadable(&self, status: Option<u16>, why: String) -> ControlError {
        ControlError::Unreadable { from: self.name.clone(), status, why }
    }

    /// A refusal that is not told by a status.
    pub(crate) fn refused(&self, reason: Refusal, status: Option<u16>, why: String) -> ControlError {
        ControlError::Refused { by: self.name.clone(), reason, status, why }
    }

    /// The words of an answer, for people.
    pub(crate) fn answered(&self, body: &[u8]) -> String {
        let words = self.credential.redact(&text::from_body(body));
        if words.is_empty() || words == "{}" { "accepted".into() } else { format!("accepted: {words}") }
    }

    fn accepted(&self, status: StatusCode, body: Vec<u8>) -> Result<Answer, ControlError> {
        if status.is_success() {
            return Ok(Answer { status: status.as_u16(), body });
        }
        let words = self.credential.redact(&text::from_body(&body));
        let why =
            if words.is_empty() { status.canonical_reason().unwrap_or("no reason given").to_owned() } else { words };
        let reason = match status.as_u16() {
            401 | 407 => Refusal::Unauthenticated,
            403 => Refusal::Forbidden,
            404 | 410 => Refusal::NotFound,
            409 | 412 => Refusal::Changed,
            429 => Refusal::RateLimited,
            300..=399 => Refusal::Redirected,
            // 408 says that our request did not arrive in time, which a proxy may say about a request passed on.
            400..=499 if status != StatusCode::REQUEST_TIMEOUT => Refusal::Invalid,
            501 | 505 => Refusal::Invalid,
            _ => return Err(self.unreadable(Some(status.as_u16()), why)),
        };
        Err(self.refused(reason, Some(status.as_u16()), why))
    }

    /// One request and its whole answer. When a token is refused, which carries out nothing, the request is made once
    /// more with a new one.
    async fn exchange(
        &self,
        method: Method,
        url: &Url,
        body: Option<&Value>,
        timeout: Duration,
    ) -> Result<(StatusCode, Vec<u8>), NoAnswer> {
        let body = body.map(|body| Bytes::from(body.to_string()));
        let json = HeaderValue::from_static("application/json");
        let headers: [(HeaderName, HeaderValue); 1] = [(ACCEPT, json.clone())];
        let parts = RequestParts {
            method: &method,
            url,
            headers: &headers,
            content_type: body.is_some().then_some(&json),
            body: body.as_deref().unwrap_or_default(),
        };
        let mut is_repeated = false;
        loop {
            let authorization = self.credential.authorize(&parts).await.map_err(|failure| NoAnswer {
                reached: Reached::Nothing,
                status: None,
                why: failure.detail,
            })?;
            let call = ControlCall {
                method: &method,
                url,
                headers: &headers,
                body: body.as_ref(),
                credential: Some(&authorization),
                time_limit: timeout,
                max_answer_bytes: MAX_ANSWER_BYTES,
            };
            let (status, answer) = self.answer(&self.client.call(&call).await)?;
            if is_repeated || !self.credential.wants_repeat(&authorization, status.as_u16(), &answer).await {
                return Ok((status, answer));
            }
            is_repeated = true;
        }
    }

    /// The whole answer of an exchange. A redirect is an answer that tells its address and nothing else.
    fn answer(&self, exchange: &Exchange) -> Result<(StatusCode, Vec<u8>), NoAnswer> {
        let reached = if exchange.phases.send.is_none() { Reached::Nothing } else { Reached::Server };
        let no_answer = |why: &str| NoAnswer { reached, status: exchange.status, why: self.credential.redact(why) };
        if let Some(failure) = &exchange.failure {
            return Err(no_answer(&failure.detail));
        }
        let status = exchange.status.and_then(|status| StatusCode::from_u16(status).ok());
        let status = status.ok_or_else(|| no_answer("no answer"))?;
        if status.is_redirection() {
            let to = exchange.headers.get(header::LOCATION).and_then(|to| to.to_str().ok());
            let words = to.map(|to| format!("it redirects to {}", without_query(to)));
            return Ok((status, words.unwrap_or_default().into_bytes()));
        }
        Ok((status, exchange.body.to_vec()))
    }
}

/// Scheme, host, port and path: a query may hold a token.
pub(crate) fn shown_address(url: &Url) -> String {
    without_query(url.as_str()).trim_end_matches('/').to_owned()
}

fn without_query(address: &str) -> &str {
    address.split(['?', '#']).next().unwrap_or_default()
}

/// A base URL with further path segments, each percent-encoded. A prefix of the base stays.
pub(crate) fn below(base: &Url, segments: &[&str]) -> Url {
    let mut url = base.clone();
    url.set_query(None);
    url.set_fragment(None);
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(segments);
    }
    url
}

/// Refuses a base URL that cannot be called or that holds a credential.
pub(crate) fn checked_url(setting: &'static str, url: &Url) -> Result<(), ControlError> {
    let problem = if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        "must begin with http:// or https:// and name a host"
    } else if !url.username().is_empty() || url.password().is_some() {
        "must not contain a user or password; store the secret in the keyring instead"
    } else {
        return Ok(());
    };
    Err(ControlError::Misconfigured { setting, problem: problem.into() })
}

#[cfg(test)]
pub(crate) mod tests {
    use pilothouse_domain::endpoint::Tls;
    use pilothouse_serving::{Transport, TransportConfig};
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::fake::{Fake, Reply};

    fn transport() -> Arc<Transport> {
        Transport::new(TransportConfig { system_proxy: false })
    }

    /// A client over a transport without proxies.
    pub(crate) fn client() -> ControlClient {
        transport().control_client(&Tls::default(), None)
    }

    /// A credential in use, over a transport without proxies.
    pub(crate) fn authorizer(credential: crate::Credential) -> Arc<Authorizer> {
        Arc::new(Authorizer::new(&transport(), credential, &Tls::default()).unwrap())
    }

    #[test]
    fn a_prefix_stays_and_names_are_encoded() {
        let check = |base: &str, expect: &str| {
            assert_eq!(below(&base.parse().unwrap(), &["a", "b c/d"]).as_str(), expect);
        };
        check("http://h:1", "http://h:1/a/b%20c%2Fd");
        check("http://h/pre/fix/", "http://h/pre/fix/a/b%20c%2Fd");
        check("http://h/pre?token=1#x", "http://h/pre/a/b%20c%2Fd");
    }

    #[test]
    fn an_address_with_a_password_is_refused() {
        let check = |url: &str, ok: bool| assert_eq!(checked_url("url", &url.parse().unwrap()).is_ok(), ok, "{url}");
        check("https://mlflow.example/prefix", true);
        check("http://ada:pw@h", false);
        check("file:///etc", false);
    }

    fn wire(url: &Url) -> Wire {
        Wire::new("the registry", url, client(), authorizer(crate::Credential::Bearer(SECRET.into())))
    }

    const SECRET: &str = "marker-4711";

    /// What a read and a write say about one and the same answer.
    async fn both(reply: Reply) -> (Result<Value, ControlError>, Result<Answer, ControlError>) {
        let fake = Fake::start(move |_| reply.clone()).await;
        let wire = wire(&fake.url);
        let read = wire.read(&fake.url).await;
        let write = wire.write(Method::POST, &fake.url, Some(&json!({"a": 1}))).await;
        let asked = fake.asked();
        assert_eq!(asked.len(), 2, "no request is repeated or followed");
        assert!(asked[1].head.contains(&format!("authorization: Bearer {SECRET}")), "{}", asked[1].head);
        assert_eq!(asked[1].body, r#"{"a":1}"#);
        for text in [format!("{read:?}"), format!("{write:?}")] {
            assert!(!text.contains(SECRET), "{text}");
        }
        (read, write)
    }

    #[tokio::test]
    async fn a_refusal_is_a_refusal_for_reads_and_writes() {
        let check = async |reply: Reply, reason: Refusal, words: &str| {
            let (read, write) = both(reply).await;
            for error in [read.unwrap_err(), write.unwrap_err()] {
                assert_eq!(error.refusal(), Some(reason), "{error}");
                assert!(!error.may_have_changed() && error.to_string().contains(words), "{error}");
            }
        };
        // As answered by MLflow 3.17.2 with authentication on.
        let page = "You are not authenticated. Please see https://www.mlflow.org/docs/latest/auth/index.html";
        check(Reply::html(401, page), Refusal::Unauthenticated, "not authenticated").await;
        check(Reply::html(403, "Permission denied"), Refusal::Forbidden, "Permission denied").await;
        let missing = json!({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "Model Version (name=bc, version=99) not found"});
        check(Reply::json(404, &missing), Refusal::NotFound, "(name=bc, version=99) not found").await;
        check(Reply::html(404, "<!doctype html><h1>Not Found</h1><p>No URL"), Refusal::NotFound, "Not Found No URL")
            .await;
        check(Reply::json(409, &json!({"error": "live is v6"})), Refusal::Changed, "live is v6").await;
        check(Reply::Say(429, "text/plain", vec![]), Refusal::RateLimited, "Too Many Requests").await;
        check(Reply::json(415, &json!({"detail": "content type"})), Refusal::Invalid, "content type").await;
        let elsewhere = "https://sso.example/login?state=abc".to_owned();
        check(Reply::Redirect(elsewhere), Refusal::Redirected, "redirects to https://sso.example/login").await;
        check(Reply::html(403, &format!("token {SECRET} may not")), Refusal::Forbidden, "token •••• may not").await;
    }

    #[tokio::test]
    async fn an_inner_failure_leaves_a_write_open_but_not_a_read() {
        for reply in [
            Reply::html(500, "<h1>Internal Server Error</h1>"),
            Reply::json(503, &json!({"message": "busy"})),
            Reply::html(504, "gateway timeout"),
            Reply::html(408, "late"),
            Reply::Say(200, "application/json", vec![b' '; MAX_ANSWER_BYTES + 1]),
        ] {
            let (read, write) = both(reply).await;
            assert!(matches!(read, Err(ControlError::Unreadable { .. })), "{read:?}");
            assert!(write.unwrap_err().may_have_changed());
        }
    }

    #[tokio::test]
    async fn a_web_page_is_not_an_answer() {
        let (read, _) = both(Reply::html(200, "<html><title>Sign in</title></html>")).await;
        let error = read.unwrap_err().to_string();
        assert!(error.contains("not a JSON object but `Sign in`") && error.contains("base URL"), "{error}");
    }

    #[tokio::test]
    async fn a_lost_connection_leaves_a_write_open_but_not_a_read() {
        let (read, write) = both(Reply::Close).await;
        assert!(matches!(read, Err(ControlError::Unreachable { .. })), "{read:?}");
        let error = write.unwrap_err();
        assert!(error.may_have_changed(), "{error}");

        let fake = Fake::start(|_| Reply::Hang).await;
        let wire = wire(&fake.url).with_timeouts(Duration::from_millis(300));
        let error = wire.read(&fake.url).await.unwrap_err();
        assert!(!error.may_have_changed() && error.to_string().contains("within"), "{error}");
        let error = wire.write(Method::POST, &fake.url, None).await.unwrap_err();
        assert!(error.may_have_changed() && error.to_string().contains("within"), "{error}");
    }

    #[tokio::test]
    async fn where_nobody_listens_nothing_was_changed() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let url: Url = format!("http://127.0.0.1:{port}/?token=abc").parse().unwrap();
        let error = wire(&url).write(Method::POST, &url, None).await.unwrap_err();
        assert!(matches!(error, ControlError::Unreachable { .. }), "{error}");
        assert!(error.to_string().contains("nothing listens") && !error.to_string().contains("abc"), "{error}");
    }

    #[tokio::test]
    async fn no_redirect_is_followed() {
        let there = Fake::start(|_| Reply::json(200, &json!({}))).await;
        let to = there.url.to_string();
        let here = Fake::start(move |_| Reply::Redirect(to.clone())).await;
        let wire = wire(&here.url);
        for error in
            [wire.read(&here.url).await.unwrap_err(), wire.write(Method::POST, &here.url, None).await.unwrap_err()]
        {
            assert_eq!(error.refusal(), Some(Refusal::Redirected), "{error}");
            assert!(!error.may_have_changed(), "{error}");
        }
        assert!(there.asked().is_empty(), "the credential went nowhere else");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Law: an answer of any status and any bytes is sorted without a panic, and a refused write changed nothing.
        #[test]
        fn any_answer_is_sorted(status in 200_u16..600, body in proptest::collection::vec(any::<u8>(), 0..400)) {
            let wire = wire(&"http://127.0.0.1:1".parse().unwrap());
            let status = StatusCode::from_u16(status).unwrap();
            match wire.accepted(status, body) {
                Ok(answer) => prop_assert!((200..300).contains(&answer.status)),
                Err(error) => prop_assert!(!error.to_string().chars().any(char::is_control)),
            }
        }
    }
}
