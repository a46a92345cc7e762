//! Gatus: the HTTP endpoints of its configuration.
//!
//! Source: Gatus 5, README, "Configuration" (`services` is the word of versions before 3).

use serde_json::Value;

use crate::proposal::short;
use crate::request::Request;
use crate::{Import, ImportError, Kind, durations};

pub(crate) fn read(document: &Value) -> Result<Import, ImportError> {
    let endpoints = document.get("endpoints").or_else(|| document.get("services")).and_then(Value::as_array);
    let endpoints = endpoints
        .ok_or_else(|| ImportError::Malformed { kind: Kind::Gatus, problem: "it needs a list `endpoints`".into() })?;
    let mut import = Import { kind: Kind::Gatus, proposals: Vec::new(), ignored: Vec::new() };
    for (at, entry) in endpoints.iter().enumerate() {
        let text = |member: &str| entry.get(member).and_then(Value::as_str);
        let name = text("name").map_or_else(|| format!("endpoint {}", at + 1), short);
        if entry.get("dns").is_some() || entry.get("ssh").is_some() {
            import.ignored.push(format!("`{name}` was left out: it is no check over HTTP"));
            continue;
        }
        let headers = entry.get("headers").and_then(Value::as_object).into_iter().flatten();
        let request = Request {
            url: text("url").unwrap_or_default().to_owned(),
            headers: headers.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect(),
            body: text("body").map(str::to_owned),
            user: None,
        };
        let mut proposal = match request.propose() {
            Ok(proposal) => proposal,
            Err(problem) => {
                import.ignored.push(format!("`{name}` was left out: {problem}"));
                continue;
            }
        };
        if text("name").is_some() {
            proposal.name = name;
        }
        proposal.environment = text("group").map(short).filter(|group| is_environment(group));
        proposal.interval_ms = text("interval").and_then(|text| durations::milliseconds(text, false));
        proposal.interval_ms = proposal.interval_ms.map(durations::interval);
        let timeout = entry.pointer("/client/timeout").and_then(Value::as_str);
        proposal.timeout_ms = timeout.and_then(|text| durations::milliseconds(text, false)).map(durations::timeout);
        proposal.paused = entry.get("enabled").and_then(Value::as_bool) == Some(false);
        if let Some(failures) = entry.pointer("/alerts/0/failure-threshold").and_then(Value::as_u64) {
            proposal.confirm_after = u32::try_from(failures).ok().map(|failures| failures.clamp(1, 1_000));
        }
        conditions(entry, &mut proposal);
        if entry.pointer("/client/insecure").and_then(Value::as_bool) == Some(true) {
            proposal.ignored.push("client.insecure was left out: certificates are always verified".into());
        }
        if entry.pointer("/client/oauth2").is_some() {
            proposal.ignored.push("client.oauth2 was left out: choose OAuth2 as the endpoint's credential".into());
        }
        if entry.get("alerts").is_some() {
            proposal.ignored.push("its alerts were left out, except the number of failures".into());
        }
        import.proposals.push(proposal);
    }
    Ok(import)
}

/// A group that is the word of an environment; others are left out.
fn is_environment(group: &str) -> bool {
    ["production", "prod", "staging", "stage", "development", "dev", "test", "qa"]
        .contains(&group.to_ascii_lowercase().as_str())
}

fn conditions(entry: &Value, proposal: &mut crate::Proposal) {
    let mut left = 0;
    for condition in entry.get("conditions").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
        let words: Vec<&str> = condition.split_whitespace().collect();
        match words.as_slice() {
            ["[STATUS]", "==", "200"] | ["[STATUS]", "<", "300"] | ["[CONNECTED]", "==", "true"] => {}
            ["[RESPONSE_TIME]", "<" | "<=", limit] if limit.parse::<u32>().is_ok() => {
                proposal.degraded_above_ms = limit.parse().ok();
                proposal.understood.push(format!("slower than {limit} ms becomes degraded"));
            }
            _ => left += 1,
        }
    }
    if left > 0 {
        proposal
            .ignored
            .push(format!("{left} conditions were left out: a model's answers are checked by its protocol"));
    }
}

#[cfg(test)]
mod tests {
    use pilothouse_domain::Auth;

    use crate::{Kind, read};

    #[test]
    fn a_configuration_is_understood() {
        let text = r#"
endpoints:
  - name: churn
    group: production
    url: "https://models.example.com/v1/models/churn:predict"
    method: POST
    interval: 1m30s
    body: |
      {"instances": [[1.0, 2.0]]}
    headers:
      Content-Type: application/json
      Authorization: Bearer abc
    client: {timeout: 5s, insecure: true}
    conditions:
      - "[STATUS] == 200"
      - "[RESPONSE_TIME] < 300"
      - "[BODY].predictions[0] == 1"
    alerts:
      - {type: slack, failure-threshold: 3}
  - name: dns
    url: "8.8.8.8"
    dns: {query-name: example.com}
  - name: tcp
    url: "tcp://db:5432"
  - name: secret
    url: "https://${HOST}/"
  - name: off
    enabled: false
    url: "https://models.example.com/health"
"#;
        let import = read(text, None).unwrap();
        assert_eq!(import.kind, Kind::Gatus);
        let names: Vec<&str> = import.proposals.iter().map(|found| found.name.as_str()).collect();
        assert_eq!((names, import.ignored.len()), (vec!["churn", "off"], 3), "{:#?}", import.ignored);
        let churn = &import.proposals[0];
        assert_eq!((churn.protocol, churn.model.as_deref()), (Some("v1"), Some("churn")));
        assert_eq!(
            (churn.interval_ms, churn.timeout_ms, churn.degraded_above_ms),
            (Some(90_000), Some(5_000), Some(300))
        );
        assert_eq!((churn.confirm_after, churn.environment.as_deref()), (Some(3), Some("production")));
        assert_eq!(churn.auth, Auth::Bearer { secret: "models-example-com-token".into() });
        assert_eq!(churn.rows, Some(serde_json::json!([[1.0, 2.0]])));
        assert_eq!(churn.ignored.len(), 3, "{:?}", churn.ignored);
        assert!(import.proposals[1].paused);
    }
}
