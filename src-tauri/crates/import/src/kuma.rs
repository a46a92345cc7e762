//! Uptime Kuma 1: the HTTP monitors of a backup (Settings, Backup, Export).
//!
//! Source: Uptime Kuma 1.23, `Backup.vue` and `monitor.js`. Version 2 has no backup as text.

use pilothouse_domain::Auth;
use serde_json::Value;

use crate::proposal::short;
use crate::request::Request;
use crate::{Import, ImportError, Kind, durations};

pub(crate) fn read(document: &Value) -> Result<Import, ImportError> {
    let monitors = document.get("monitorList").and_then(Value::as_array).ok_or_else(|| ImportError::Malformed {
        kind: Kind::UptimeKuma,
        problem: "it needs a list `monitorList`".into(),
    })?;
    let mut import = Import { kind: Kind::UptimeKuma, proposals: Vec::new(), ignored: Vec::new() };
    for (at, monitor) in monitors.iter().enumerate() {
        let text = |member: &str| monitor.get(member).and_then(Value::as_str).filter(|text| !text.is_empty());
        let name = text("name").map_or_else(|| format!("monitor {}", at + 1), short);
        let kind = text("type").unwrap_or_default();
        if !matches!(kind, "http" | "keyword" | "json-query") {
            import
                .ignored
                .push(format!("`{name}` was left out: it is a monitor of type `{}`, not of HTTP", short(kind)));
            continue;
        }
        let headers: Vec<(String, String)> = text("headers")
            .and_then(|text| serde_json::from_str::<Value>(text).ok())
            .and_then(|headers| {
                let pairs = headers.as_object()?.iter();
                Some(pairs.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect())
            })
            .unwrap_or_default();
        let method = text("authMethod").or_else(|| text("auth_method"));
        let user = text("basic_auth_user").filter(|_| method != Some("ntlm"));
        let request = Request {
            url: text("url").unwrap_or_default().to_owned(),
            headers,
            body: text("body").map(str::to_owned),
            user: user.map(|user| (user.to_owned(), text("basic_auth_pass").unwrap_or_default().to_owned())),
        };
        let mut proposal = match request.propose() {
            Ok(proposal) => proposal,
            Err(problem) => {
                import.ignored.push(format!("`{name}` was left out: {problem}"));
                continue;
            }
        };
        proposal.name = name;
        let seconds = |member: &str| {
            let seconds = monitor.get(member)?.as_f64()?;
            durations::milliseconds(&seconds.to_string(), true)
        };
        proposal.interval_ms = seconds("interval").map(durations::interval);
        proposal.timeout_ms = seconds("timeout").filter(|ms| *ms > 0).map(durations::timeout);
        if let Some(retries) = monitor.get("maxretries").and_then(Value::as_u64) {
            proposal.confirm_after =
                u32::try_from(retries).ok().map(|retries| retries.saturating_add(1).clamp(1, 1_000));
        }
        let active = monitor.get("active");
        proposal.paused = active.is_some_and(|active| active.as_bool() == Some(false) || active.as_u64() == Some(0));
        if monitor.get("ignoreTls").and_then(Value::as_bool) == Some(true) {
            proposal.ignored.push("ignoreTls was left out: certificates are always verified".into());
        }
        match method {
            Some("oauth2-cc") => {
                proposal
                    .ignored
                    .push("its OAuth2 credential was left out: choose OAuth2 as the endpoint's credential".into());
            }
            Some("mtls") => {
                proposal.ignored.push("its client certificate was left out: give it in the settings".into());
            }
            Some("ntlm") => proposal.ignored.push("NTLM was left out: it is not spoken".into()),
            _ => {}
        }
        if matches!(kind, "keyword" | "json-query") {
            proposal
                .ignored
                .push(format!("its check by {kind} was left out: a model's answers are checked by its protocol"));
        }
        if monitor.get("notificationIDList").and_then(Value::as_object).is_some_and(|ids| !ids.is_empty()) {
            proposal.ignored.push("its notifications were left out".into());
        }
        if proposal.auth == Auth::None && method == Some("basic") {
            proposal.ignored.push("it has no user".into());
        }
        import.proposals.push(proposal);
    }
    Ok(import)
}

#[cfg(test)]
mod tests {
    use pilothouse_domain::Auth;

    use crate::{Kind, read};

    #[test]
    fn a_backup_is_understood() {
        let text = r#"{"version":"1.23.13","notificationList":[{"id":1,"name":"mail"}],"monitorList":[
            {"id":1,"name":"Churn","url":"https://models.example.com/invocations","method":"POST","type":"http","interval":60,
             "timeout":48,"maxretries":2,"active":true,"headers":"{\"X-Api-Key\":\"k\"}","authMethod":null,
             "body":"{\"dataframe_records\":[{\"age\":30}]}","notificationIDList":{"1":true},"ignoreTls":false},
            {"id":2,"name":"Risk","url":"http://risk:8080/health","type":"keyword","keyword":"ok","interval":20,"active":0,
             "authMethod":"basic","basic_auth_user":"ann","basic_auth_pass":"pw","ignoreTls":true},
            {"id":3,"name":"Router","hostname":"10.0.0.1","type":"ping","interval":60},
            {"id":4,"name":"Broken","url":"https://","type":"http"}]}"#;
        let import = read(text, None).unwrap();
        assert_eq!(
            (import.kind, import.proposals.len(), import.ignored.len()),
            (Kind::UptimeKuma, 2, 2),
            "{import:#?}"
        );
        let churn = &import.proposals[0];
        assert_eq!((churn.name.as_str(), churn.protocol), ("Churn", Some("mlflow")));
        assert_eq!((churn.interval_ms, churn.timeout_ms, churn.confirm_after), (Some(60_000), Some(48_000), Some(3)));
        assert_eq!(churn.rows, Some(serde_json::json!([{"age": 30}])));
        assert_eq!(churn.auth, Auth::Header { name: "X-Api-Key".into(), secret: "models-example-com-key".into() });
        let risk = &import.proposals[1];
        assert_eq!(risk.auth, Auth::Basic { username: "ann".into(), secret: "risk-8080-password".into() });
        assert!(risk.paused && risk.ignored.len() == 2, "{:?}", risk.ignored);
    }
}
