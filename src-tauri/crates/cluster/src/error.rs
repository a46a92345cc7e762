//! Errors of this crate, each with what to do next.
//!
//! What must stay true: no message holds a credential; what a server or a plugin wrote is cut to one short line.

use std::error::Error;
use std::fmt;
use std::time::Duration;

/// Where in a cluster something is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In every namespace.
    AllNamespaces,
    /// In one namespace.
    Namespace(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AllNamespaces => f.write_str("in all namespaces"),
            Self::Namespace(name) => write!(f, "in the namespace `{name}`"),
        }
    }
}

/// Why a cluster gave nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClusterError {
    /// The kubeconfig cannot be read.
    #[error("cannot use the kubeconfig: {0}")]
    Kubeconfig(String),
    /// There is none.
    #[error("there is no kubeconfig: neither `KUBECONFIG` nor `~/.kube/config` names a file. Name one")]
    NoKubeconfig,
    /// No context of that name.
    #[error("the kubeconfig has no context {}; it has {known}", named(.name.as_deref()))]
    NoContext {
        /// The name asked for; `None`: no current one is set.
        name: Option<String>,
        /// The names it has, in words.
        known: String,
    },
    /// The context cannot be used.
    #[error("the context `{context}` cannot be used: {problem}")]
    Context {
        /// The context.
        context: String,
        /// Why, and what to do.
        problem: String,
    },
    /// Logging in runs a command to which nobody agreed.
    #[error("the context `{context}` logs in by running `{command}`, which is not run without your consent")]
    PluginNotAgreed {
        /// The context.
        context: String,
        /// The command.
        command: String,
    },
    /// The command that logs in failed.
    #[error("the command `{command}`, with which the context `{context}` logs in, failed: {problem}")]
    Plugin {
        /// The context.
        context: String,
        /// The command.
        command: String,
        /// How.
        problem: String,
    },
    /// The API server was not reached.
    #[error("the API server {server} was not reached: {problem}")]
    Unreachable {
        /// Its URL.
        server: String,
        /// Why.
        problem: String,
    },
    /// It took too long.
    #[error("the API server {server} did not answer within {} s", .limit.as_secs())]
    TimedOut {
        /// Its URL.
        server: String,
        /// The limit.
        limit: Duration,
    },
    /// 401.
    #[error("the API server {server} does not accept the credential of the context `{context}` (401): log in again")]
    Unauthorized {
        /// Its URL.
        server: String,
        /// The context.
        context: String,
    },
    /// 403.
    #[error("not allowed (403): the user of the context `{context}` may not {verb} `{resource}` {place}. {}",
        permission_hint(.verb, .resource, .place))]
    Forbidden {
        /// The context.
        context: String,
        /// The verb as Kubernetes names it: `list`, `get`, `create`.
        verb: &'static str,
        /// The resource with its group: `inferenceservices.serving.kserve.io`.
        resource: String,
        /// Where.
        place: Place,
    },
    /// 404.
    #[error("the API server {server} has no {what}")]
    NotFound {
        /// Its URL.
        server: String,
        /// What was asked for.
        what: String,
    },
    /// An answer of another form.
    #[error("the API server {server} gave an answer that cannot be used: {problem}")]
    Answer {
        /// Its URL.
        server: String,
        /// What is wrong.
        problem: String,
    },
    /// The service's port cannot be forwarded.
    #[error("{0}")]
    NothingToForward(String),
    /// The service has no pod that is ready.
    #[error("{0}")]
    NoReadyPod(String),
}

fn named(name: Option<&str>) -> String {
    name.map_or_else(|| "that is current".to_owned(), |name| format!("`{}`", cut(name)))
}

fn permission_hint(verb: &str, resource: &str, place: &Place) -> String {
    match place {
        Place::AllNamespaces => {
            format!("Name a namespace, or ask for a ClusterRole with the verb `{verb}` on `{resource}`")
        }
        Place::Namespace(_) => format!("Ask for a Role with the verb `{verb}` on `{resource}` there"),
    }
}

/// One line of at most 200 characters without control characters.
pub(crate) fn cut(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(2_000).collect();
    line.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(200).collect()
}

/// An error with its causes, which are where the TLS layer and the system say what happened.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next.take() {
        let text = error.to_string();
        // Many layers repeat the text of what caused them.
        if !parts.last().is_some_and(|before| before.contains(&text)) {
            parts.push(text);
        }
        next = error.source();
    }
    cut(&parts.join(": "))
}

/// A kubeconfig that cannot be read. The parser's own words quote the file, where credentials stand: only the place of
/// the fault is kept.
pub(crate) fn kubeconfig_error(error: &kube::config::KubeconfigError) -> ClusterError {
    use kube::config::KubeconfigError as E;
    ClusterError::Kubeconfig(match error {
        E::ReadConfig(source, path) => format!("`{}` cannot be read: {source}", path.display()),
        E::Parse(problem) => match problem.location() {
            Some(at) => format!("line {} is not of a kubeconfig's form", at.line()),
            None => "it is not of a kubeconfig's form".into(),
        },
        other => with_causes(other),
    })
}
