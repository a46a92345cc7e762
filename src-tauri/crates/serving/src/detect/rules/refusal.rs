//! What is left when no rule reads the answers, and the credential that a refusal asks for.

use super::infrastructure::member;
use crate::detect::finding::{CredentialHint, Finding, Need};
use crate::detect::reply::{Reply, Seen};

/// Nothing known answers like this.
pub(super) fn unexplained(seen: Seen<'_>) -> Finding {
    let statuses: Vec<String> =
        seen.replies.iter().filter_map(|reply| Some(format!("{} {}", reply.ask.path(), reply.status?))).collect();
    let finding = Finding { server: "unknown".into(), title: "No known server".into(), ..Finding::default() };
    if refused(seen).is_some() {
        return Finding { title: "A server that asks for a credential".into(), ..finding };
    }
    finding.saw(format!("no known server answers like this: {}", statuses.join(", ")))
}

fn refused(seen: Seen<'_>) -> Option<&Reply> {
    seen.replies.with_status(&[401]).or_else(|| seen.replies.with_status(&[403, 407]))
}

/// Adds the credential that a refusal asks for, where the finding rests on nothing better.
pub(super) fn with_credential(seen: Seen<'_>, mut finding: Finding) -> Finding {
    let has_credential = finding.needs.iter().any(|need| matches!(need, Need::Credential { .. }));
    let Some(reply) = refused(seen).filter(|_| finding.confidence < 0.5 && !has_credential) else { return finding };
    let path = reply.ask.path();
    finding.evidence.push(format!("`GET {path}` answered {}", reply.words()));
    let (credential, why) = wanted(reply);
    finding.needs.push(Need::credential(credential, why));
    finding
}

/// Which credential a refusal names (RFC 9110 §11.6.1), or the words of well-known gateways.
fn wanted(reply: &Reply) -> (CredentialHint, String) {
    let scheme = reply.header("www-authenticate").unwrap_or_default().to_ascii_lowercase();
    let text = reply.any_text().to_ascii_lowercase();
    let status = reply.status.unwrap_or_default();
    if scheme.starts_with("basic") {
        return (CredentialHint::Basic, "the server asks for user and password".into());
    }
    if scheme.starts_with("bearer") {
        return (CredentialHint::Bearer, "the server asks for a bearer token".into());
    }
    // Kong: "No API key found in request"; many others name the header itself.
    for (words, header) in
        [("x-api-key", "X-Api-Key"), ("no api key found in request", "apikey"), ("api-key", "api-key")]
    {
        if text.contains(words) || scheme.contains(words) {
            return (
                CredentialHint::Header { name: header.into() },
                format!("the server asks for a key in the header {header}"),
            );
        }
    }
    if member(reply, "__type").is_some() || text.contains("missing authentication token") {
        let why = "AWS wants requests signed with AWS keys (SigV4)";
        return (CredentialHint::AwsSigv4 { region: None }, why.into());
    }
    (
        CredentialHint::Bearer,
        format!("the server answered {status} and does not say what it wants; a bearer token is usual"),
    )
}
