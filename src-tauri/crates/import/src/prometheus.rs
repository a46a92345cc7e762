//! Prometheus: the static targets of a configuration, or a list as `file_sd_configs` reads it.
//!
//! Source: Prometheus 2.42 and 3, "Configuration"; the blackbox exporter's README for its way of naming targets.

use pilothouse_domain::Auth;
use serde_json::Value;

use crate::proposal::{Proposal, short};
use crate::request::{Request, basic, bearer};
use crate::{Import, ImportError, Kind, durations};

pub(crate) fn read(document: &Value) -> Result<Import, ImportError> {
    let mut import = Import { kind: Kind::Prometheus, proposals: Vec::new(), ignored: Vec::new() };
    if let Some(groups) = document.as_array() {
        let job = Job { name: "", is_blackbox: false, config: &Value::Null, global: &Value::Null };
        for group in groups {
            job.group(group, &mut import);
        }
        return Ok(import);
    }
    let jobs = document.get("scrape_configs").and_then(Value::as_array).ok_or_else(|| ImportError::Malformed {
        kind: Kind::Prometheus,
        problem: "it needs `scrape_configs`, or a list of `targets`".into(),
    })?;
    let global = document.get("global").unwrap_or(&Value::Null);
    for config in jobs {
        let name = config.get("job_name").and_then(Value::as_str).unwrap_or("without a name");
        // The blackbox exporter is asked at /probe with the real target as a parameter.
        let is_probe = config.get("metrics_path").and_then(Value::as_str) == Some("/probe");
        let is_blackbox = is_probe && config.pointer("/params/module").is_some();
        let job = Job { name, is_blackbox, config, global };
        for (member, _) in config.as_object().into_iter().flatten() {
            if member.ends_with("_sd_configs") {
                let what = member.trim_end_matches("_configs");
                import
                    .ignored
                    .push(format!("job `{}`: its targets come from {what}, which has to be asked", short(name)));
            }
        }
        if config.get("relabel_configs").is_some() && !is_blackbox {
            import.ignored.push(format!("job `{}`: its relabelling was left out", short(name)));
        }
        for group in config.get("static_configs").and_then(Value::as_array).into_iter().flatten() {
            job.group(group, &mut import);
        }
    }
    Ok(import)
}

struct Job<'a> {
    name: &'a str,
    is_blackbox: bool,
    config: &'a Value,
    global: &'a Value,
}

impl Job<'_> {
    fn setting(&self, member: &str) -> Option<&str> {
        self.config.get(member).or_else(|| self.global.get(member)).and_then(Value::as_str)
    }

    fn group(&self, group: &Value, import: &mut Import) {
        let label = |name: &str| group.pointer(&format!("/labels/{name}")).and_then(Value::as_str);
        for target in group.get("targets").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
            match self.proposal(target) {
                Ok(mut proposal) => {
                    proposal.environment =
                        ["environment", "env", "stage"].iter().find_map(|name| label(name)).map(short);
                    if let Some(name) = ["model", "name", "service"].iter().find_map(|name| label(name)) {
                        proposal.name = short(name);
                    }
                    import.proposals.push(proposal);
                }
                Err(problem) => {
                    let job =
                        if self.name.is_empty() { String::new() } else { format!("job `{}`: ", short(self.name)) };
                    import.ignored.push(format!("{job}a target was left out: {problem}"));
                }
            }
        }
    }

    fn proposal(&self, target: &str) -> Result<Proposal, String> {
        let scheme = self.config.get("scheme").and_then(Value::as_str).unwrap_or("http");
        let is_url = target.contains("://");
        let url = if is_url { target.to_owned() } else { format!("{scheme}://{target}") };
        let mut proposal = Request { url, ..Request::default() }.propose()?;
        proposal.interval_ms = self.setting("scrape_interval").and_then(|text| durations::milliseconds(text, false));
        proposal.interval_ms = proposal.interval_ms.map(durations::interval);
        proposal.timeout_ms = self.setting("scrape_timeout").and_then(|text| durations::milliseconds(text, false));
        proposal.timeout_ms = proposal.timeout_ms.map(durations::timeout);
        if self.is_blackbox || is_url {
            proposal.understood.push("the blackbox exporter calls this address".into());
            return Ok(proposal);
        }
        let path = self.config.get("metrics_path").and_then(Value::as_str).unwrap_or("/metrics");
        proposal
            .understood
            .push(format!("Prometheus reads its metrics at {path}: the server there is asked what it is"));
        if let Some(token) = self.config.pointer("/authorization/credentials").and_then(Value::as_str) {
            bearer(&mut proposal, token, "authorization.credentials");
        } else if let Some(user) = self.config.pointer("/basic_auth/username").and_then(Value::as_str) {
            let password = self.config.pointer("/basic_auth/password").and_then(Value::as_str).unwrap_or_default();
            basic(&mut proposal, user.to_owned(), password, "basic_auth");
        }
        for file in ["/authorization/credentials_file", "/basic_auth/password_file", "/bearer_token_file"] {
            if self.config.pointer(file).is_some() {
                let secret = proposal.secret_name("token");
                if proposal.auth == Auth::None {
                    proposal.auth = Auth::Bearer { secret };
                }
                proposal
                    .ignored
                    .push("its secret stands in a file, which was not read: store it in the keyring".into());
            }
        }
        proposal.ca_file = self.config.pointer("/tls_config/ca_file").and_then(Value::as_str).map(Into::into);
        if self.config.pointer("/tls_config/insecure_skip_verify").and_then(Value::as_bool) == Some(true) {
            proposal.ignored.push("insecure_skip_verify was left out: certificates are always verified".into());
        }
        Ok(proposal)
    }
}

#[cfg(test)]
mod tests {
    use crate::{Kind, read};

    #[test]
    fn a_configuration_is_understood() {
        let text = r"
global:
  scrape_interval: 30s
scrape_configs:
  - job_name: models
    scrape_interval: 15s
    scheme: https
    tls_config: {ca_file: /etc/ca.pem}
    static_configs:
      - targets: ['churn.models:8080', 'risk.models:8080']
        labels: {env: staging, team: growth}
  - job_name: blackbox
    metrics_path: /probe
    params: {module: [http_2xx]}
    static_configs:
      - targets: ['https://api.example.com/v2/models/iris/infer', 'icmp://host']
    relabel_configs:
      - source_labels: [__address__]
        target_label: __param_target
  - job_name: pods
    kubernetes_sd_configs: [{role: pod}]
";
        let import = read(text, None).unwrap();
        assert_eq!(
            (import.kind, import.proposals.len(), import.ignored.len()),
            (Kind::Prometheus, 3, 2),
            "{import:#?}"
        );
        let churn = &import.proposals[0];
        assert_eq!((churn.url.as_str(), churn.interval_ms), ("https://churn.models:8080/", Some(15_000)));
        assert_eq!(
            (churn.environment.as_deref(), churn.ca_file.clone()),
            (Some("staging"), Some("/etc/ca.pem".into()))
        );
        let iris = &import.proposals[2];
        assert_eq!((iris.protocol, iris.model.as_deref(), iris.interval_ms), (Some("v2"), Some("iris"), Some(30_000)));
    }

    #[test]
    fn a_list_for_file_sd_is_understood_as_json_and_as_yaml() {
        let json = r#"[{"targets": ["10.0.0.1:8000", "10.0.0.2:8000"], "labels": {"environment": "production", "model": "churn"}}]"#;
        let yaml = "- targets:\n  - 10.0.0.1:8000\n  - 10.0.0.2:8000\n  labels:\n    environment: production\n    model: churn\n";
        for text in [json, yaml] {
            let import = read(text, None).unwrap();
            let found: Vec<(&str, &str)> =
                import.proposals.iter().map(|found| (found.url.as_str(), found.name.as_str())).collect();
            assert_eq!(found, [("http://10.0.0.1:8000/", "churn"), ("http://10.0.0.2:8000/", "churn")]);
        }
    }
}
