//! What stands where a model server was expected: a cluster's API, an object store, a registry of images, a page.

use serde_json::Value;

use crate::detect::finding::{CredentialHint, Finding, Need, Role};
use crate::detect::reply::{Reply, Seen};
use crate::text::one_line;

/// Kubernetes: `/version` has `gitVersion`; refusals are `{"kind": "Status"}`.
pub(super) fn kubernetes(seen: Seen<'_>) -> Option<Finding> {
    let version = seen.replies.json("/version").and_then(|json| {
        let both = json.get("gitVersion")?.as_str()?;
        json.get("platform").map(|_| both)
    });
    let refused = seen.replies.iter().find(|reply| {
        matches!(reply.status, Some(401 | 403))
            && reply.any_json().is_some_and(|json| json["kind"] == "Status" && json.get("reason").is_some())
    });
    if version.is_none() && refused.is_none() {
        return None;
    }
    let advice = "this is a Kubernetes API server: import its kubeconfig, then choose the services that serve models";
    let mut finding = Finding::elsewhere("kubernetes", "Kubernetes API server", Role::ControlPlane, 0.97, advice);
    if let Some(version) = version {
        finding.version = Some(one_line(version, 40));
        finding.evidence.push(format!("`GET /version` says {}", one_line(version, 40)));
    }
    if let Some(reply) = refused {
        finding.evidence.push(format!("`GET {}` answered {}", reply.ask.path(), reply.words()));
        let why =
            "Kubernetes wants the credential of a kubeconfig: a client certificate, a token, or the answer of a plugin";
        finding.needs.push(Need::credential(CredentialHint::Kubeconfig, why));
    }
    Some(finding)
}

/// An S3 listing or refusal: what AWS-compatible services answer to an unsigned call.
pub(super) fn storage(seen: Seen<'_>) -> Option<Finding> {
    let is_xml = |reply: &&Reply| {
        let text = reply.any_text();
        text.contains("<ListAllMyBucketsResult")
            || text.contains("<ListBucketResult")
            || (text.contains("<Error>") && text.contains("<Code>") && reply.header("x-amz-request-id").is_some())
    };
    let reply = seen.replies.iter().find(is_xml)?;
    let is_sagemaker = seen.hints.route.starts_with("/endpoints/");
    let why =
        "AWS-compatible services hand an unsigned call to their object store: sign the requests with AWS keys (SigV4)";
    let need = Need::credential(CredentialHint::AwsSigv4 { region: None }, why);
    let evidence = format!("`GET {}` answers with a listing of an object store (S3)", reply.ask.path());
    if is_sagemaker {
        let mut finding = Finding::model("sagemaker", "A service in the manner of Amazon SageMaker", "sagemaker", 0.6);
        finding.models.extend(seen.hints.model.clone().map(crate::detect::DetectedModel::named));
        finding.predict = Some(seen.hints.route.clone());
        return Some(finding.saw(evidence).saw("the path is that of a SageMaker endpoint").needing(need));
    }
    let advice = "this is an object store, or another AWS-compatible service that got an unsigned call; for SageMaker give the \
                  address .../endpoints/NAME/invocations and AWS keys";
    Some(Finding::elsewhere("s3", "Object store (S3)", Role::Other, 0.7, advice).saw(evidence).needing(need))
}

/// A registry of images says so in a header (Distribution specification, "Determining Support").
pub(super) fn registry(seen: Seen<'_>) -> Option<Finding> {
    let reply = seen.replies.iter().find(|reply| {
        reply.header("docker-distribution-api-version").is_some_and(|value| value.starts_with("registry/2"))
    })?;
    let advice = "this is a registry of container images: it holds images of models and serves none";
    let finding = Finding::elsewhere("image-registry", "Container image registry", Role::Other, 0.9, advice);
    Some(finding.saw(format!("`GET {}` names the registry API in a header", reply.ask.path())))
}

/// Every route leads to another origin.
pub(super) fn redirect(seen: Seen<'_>) -> Option<Finding> {
    let leads = |reply: &Reply| {
        let is_redirect = matches!(reply.status, Some(301 | 302 | 303 | 307 | 308));
        reply.header("location").filter(|_| is_redirect).map(str::to_owned)
    };
    let answered = seen.replies.iter().filter(|reply| reply.status.is_some()).count();
    let places: Vec<String> = seen.replies.iter().filter_map(leads).collect();
    let root = seen.replies.get("/").and_then(leads);
    if places.len() < 2 || places.len() * 2 < answered {
        return None;
    }
    let target: url::Url = root.as_ref().or(places.first())?.parse().ok()?;
    let mut target = target;
    target.set_query(None);
    target.set_fragment(None);
    let looks_like_login =
        ["login", "signin", "oauth", "auth", "sso"].iter().any(|word| target.as_str().contains(word));
    let host = target.host_str().unwrap_or_default().to_owned();
    let finding =
        Finding::elsewhere("redirect", "A redirect", Role::Other, 0.4, "nothing was asked at the other address")
            .saw(format!("{} of {answered} routes lead to {host}", places.len()));
    Some(if looks_like_login {
        let why = format!(
            "it leads people to a sign-in page at {host}; a program needs a credential that the server itself takes"
        );
        finding.needing(Need::credential(CredentialHint::Bearer, why))
    } else {
        finding.needing(Need::Address { url: target.to_string(), why: "that is where it leads".into() })
    })
}

/// A TLS port answers plain HTTP with a page of its own (nginx, Go, Jetty word it alike).
pub(super) fn tls_port(seen: Seen<'_>) -> Option<Finding> {
    let reply = seen.replies.with_status(&[400, 497])?;
    let text = reply.any_text().to_ascii_lowercase();
    let says =
        text.contains("http request to an https server") || text.contains("plain http request was sent to https port");
    if !says {
        return None;
    }
    let finding =
        Finding::elsewhere("unknown", "A server that wants https", Role::Other, 0.9, "use https:// for this address")
            .saw(format!("`GET {}` answered {}", reply.ask.path(), reply.words()));
    Some(finding.needing(Need::Address { url: seen.with_scheme("https"), why: "this port speaks https".into() }))
}

/// A page for people, at `/` or everywhere.
pub(super) fn page(seen: Seen<'_>) -> Option<Finding> {
    let root = seen.replies.get("/").filter(|reply| reply.status == Some(200) && reply.is_page())?;
    let pages = seen.replies.iter().filter(|reply| reply.status == Some(200) && reply.is_page()).count();
    let title = root.page_title().unwrap_or_else(|| "without a title".into());
    let everywhere = if pages > 3 { ", and so does every other route" } else { "" };
    let advice = "this is a page for people; give the address of the model's API, as its documentation names it";
    let finding = Finding::elsewhere("page", "A web page", Role::Other, 0.2, advice);
    Some(finding.saw(format!("`GET /` answers with a page titled `{title}`{everywhere}")))
}

/// The value of a JSON member, for the refusal's words.
pub(super) fn member<'a>(reply: &'a Reply, name: &str) -> Option<&'a str> {
    reply.any_json().and_then(|json| json.get(name)).and_then(Value::as_str)
}
