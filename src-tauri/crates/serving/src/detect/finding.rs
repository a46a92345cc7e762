//! What one rule concludes from the answers.

use pilothouse_domain::Protocol;
use pilothouse_domain::endpoint::JsonTemplate;
use serde::{Deserialize, Serialize};

use super::DetectedModel;
use super::reply::Ask;

/// What stands behind a URL, by what it is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A model answers here.
    Model,
    /// A registry, a cluster or a dashboard: it says which version is live, and predicts nothing.
    ControlPlane,
    /// It keeps or offers metrics.
    Metrics,
    /// It is something else, or not known.
    #[default]
    Other,
}

/// What is needed before an endpoint can be watched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Need {
    /// A credential, or another one.
    Credential {
        /// Which kind fits.
        credential: CredentialHint,
        /// Who asks for it and where it is found.
        why: String,
    },
    /// A PEM file with the authority that signed the server's certificate.
    CaFile {
        /// What is wrong with the certificate.
        why: String,
    },
    /// A client certificate (mutual TLS).
    ClientCertificate {
        /// What the server said.
        why: String,
    },
    /// The name of a model: the server does not list them.
    ModelName {
        /// Why it cannot be told.
        why: String,
    },
    /// Another address.
    Address {
        /// The address.
        url: String,
        /// Why.
        why: String,
    },
    /// A request template: the server does not describe its request.
    Template {
        /// What is known.
        why: String,
    },
}

/// The kind of credential that fits, by the words of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum CredentialHint {
    /// `Authorization: Bearer …`
    Bearer,
    /// User and password.
    Basic,
    /// A header of its own.
    Header {
        /// The header.
        name: String,
    },
    /// AWS Signature Version 4.
    AwsSigv4 {
        /// The region, as far as the address says it.
        region: Option<String>,
    },
    /// A Google service account.
    GoogleServiceAccount,
    /// Microsoft Entra client credentials, or a key as a bearer token.
    Entra,
    /// The user entry of a kubeconfig.
    Kubeconfig,
}

/// What one rule concludes.
#[derive(Debug, Clone, Default)]
pub(super) struct Finding {
    /// The protocol's word; `None` from [`Finding::protocol`] while this program does not speak it.
    pub(super) protocol_word: Option<&'static str>,
    pub(super) server: String,
    pub(super) title: String,
    pub(super) role: Role,
    pub(super) version: Option<String>,
    pub(super) confidence: f64,
    pub(super) models: Vec<DetectedModel>,
    pub(super) predict: Option<String>,
    pub(super) template: Option<JsonTemplate>,
    pub(super) example_rows: Option<serde_json::Value>,
    pub(super) evidence: Vec<String>,
    pub(super) advice: Option<String>,
    pub(super) needs: Vec<Need>,
    /// The port on which predictions are served, when another one was asked.
    pub(super) serving_port: Option<u16>,
    pub(super) management_port: Option<u16>,
    /// What would make it surer or tell more, the most telling first.
    pub(super) asks: Vec<Ask>,
}

impl Finding {
    /// A model server.
    pub(super) fn model(server: &str, title: &str, protocol: &'static str, confidence: f64) -> Self {
        Self {
            protocol_word: Some(protocol),
            server: server.to_owned(),
            title: title.to_owned(),
            role: Role::Model,
            confidence,
            ..Self::default()
        }
    }

    /// Something that is not connected as an endpoint, with what to do instead.
    pub(super) fn elsewhere(server: &str, title: &str, role: Role, confidence: f64, advice: &str) -> Self {
        Self {
            server: server.to_owned(),
            title: title.to_owned(),
            role,
            confidence,
            advice: Some(advice.to_owned()),
            ..Self::default()
        }
    }

    /// With one more sentence of evidence.
    pub(super) fn saw(mut self, evidence: impl Into<String>) -> Self {
        self.evidence.push(evidence.into());
        self
    }

    /// With a need.
    pub(super) fn needing(mut self, need: Need) -> Self {
        self.needs.push(need);
        self
    }

    /// With a further question.
    pub(super) fn asking(mut self, ask: Ask) -> Self {
        self.asks.push(ask);
        self
    }

    /// The protocol, if this program speaks it.
    pub(super) fn protocol(&self) -> Option<Protocol> {
        self.protocol_word.and_then(Protocol::parse)
    }
}

impl Need {
    pub(super) fn credential(credential: CredentialHint, why: impl Into<String>) -> Self {
        Self::Credential { credential, why: why.into() }
    }
}
