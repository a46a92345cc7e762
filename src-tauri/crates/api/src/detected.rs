//! A detection as the window and the command line see it.

use pilothouse_domain::Protocol;
use pilothouse_domain::endpoint::JsonTemplate;
use pilothouse_serving::detect as serving;

use crate::types::{
    CredentialHint, DetectedAlternative, DetectedModel, DetectedNeed, DetectedRole, Detection, JsonDraft,
};

fn word(protocol: Option<Protocol>) -> Option<String> {
    protocol.map(|protocol| protocol.as_str().to_owned())
}

/// The counterpart of a detection.
pub(crate) fn view(found: serving::Detection) -> Detection {
    let base_url = found.shown_url().to_string();
    Detection {
        protocol: word(found.protocol),
        server: found.server,
        title: found.title,
        role: match found.role {
            serving::Role::Model => DetectedRole::Model,
            serving::Role::ControlPlane => DetectedRole::ControlPlane,
            serving::Role::Metrics => DetectedRole::Metrics,
            serving::Role::Other => DetectedRole::Other,
        },
        base_url,
        management_url: found.management_url.map(|url| url.to_string()),
        server_version: found.server_version,
        confidence: found.confidence,
        models: found
            .models
            .into_iter()
            .map(|model| DetectedModel {
                name: model.name,
                versions: model.versions,
                ready: model.ready,
                predict: model.predict,
            })
            .collect(),
        predict: found.predict,
        template: found.template.as_ref().map(json_draft),
        example_rows: found.example_rows.map(|rows| rows.to_string()),
        evidence: found.evidence,
        advice: found.advice,
        needs: found.needs.into_iter().map(need).collect(),
        alternatives: found
            .alternatives
            .into_iter()
            .map(|other| DetectedAlternative {
                server: other.server,
                title: other.title,
                protocol: word(other.protocol),
                confidence: other.confidence,
            })
            .collect(),
        needs_auth: found.needs_auth,
        requests: found.requests,
    }
}

/// A template as a person edits it.
pub fn json_draft(template: &JsonTemplate) -> JsonDraft {
    JsonDraft {
        path: template.path.clone(),
        body: template.body.to_string(),
        prediction: template.prediction.clone(),
        version: template.version.clone(),
        live: template.live.clone(),
        ready: template.ready.clone(),
    }
}

fn need(need: serving::Need) -> DetectedNeed {
    use serving::Need;
    match need {
        Need::Credential { credential, why } => DetectedNeed::Credential { credential: hint(credential), why },
        Need::CaFile { why } => DetectedNeed::CaFile { why },
        Need::ClientCertificate { why } => DetectedNeed::ClientCertificate { why },
        Need::ModelName { why } => DetectedNeed::ModelName { why },
        Need::Address { url, why } => DetectedNeed::Address { url, why },
        Need::Template { why } => DetectedNeed::Template { why },
    }
}

fn hint(hint: serving::CredentialHint) -> CredentialHint {
    use serving::CredentialHint as Hint;
    match hint {
        Hint::Bearer => CredentialHint::Bearer,
        Hint::Basic => CredentialHint::Basic,
        Hint::Header { name } => CredentialHint::Header { name },
        Hint::AwsSigv4 { region } => CredentialHint::AwsSigv4 { region },
        Hint::GoogleServiceAccount => CredentialHint::GoogleServiceAccount,
        Hint::Entra => CredentialHint::Entra,
        Hint::Kubeconfig => CredentialHint::Kubeconfig,
    }
}
