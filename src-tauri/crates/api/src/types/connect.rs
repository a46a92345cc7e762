//! Connecting an endpoint: detection, a draft, a test.

use super::border;
use super::generation::{GenerationResult, PromptSetDraft};

border! {
    /// Asks what stands behind a URL.
    pub struct DetectRequest {
        /// The URL as pasted.
        pub url: String,
        /// Credential to ask with.
        pub auth: AuthDraft,
        /// PEM file with further certificate authorities.
        pub ca_file: Option<String>,
        /// PEM file with the client certificate chain.
        pub client_certificate_file: Option<String>,
        /// The keyring's name of the client certificate's private key.
        pub client_key_secret: Option<String>,
        /// The way to it.
        pub network: super::NetworkDraft,
    }

    /// A credential by reference to the keyring.
    #[derive(Eq)]
    #[serde(tag = "kind")]
    pub enum AuthDraft {
        /// None.
        None,
        /// Bearer token.
        Bearer {
            /// The keyring's name of it.
            secret: String,
        },
        /// User and password.
        Basic {
            /// The user.
            username: String,
            /// The keyring's name of the password.
            secret: String,
        },
        /// A header of its own.
        Header {
            /// The header.
            name: String,
            /// The keyring's name of its value.
            secret: String,
        },
        /// A parameter of the query.
        Query {
            /// The parameter.
            name: String,
            /// The keyring's name of its value.
            secret: String,
        },
        /// A token by OAuth 2.0 client credentials.
        Oauth2 {
            /// Where tokens are issued.
            token_url: String,
            /// The client.
            client_id: String,
            /// The keyring's name of the client's secret.
            secret: String,
            /// Scopes, with blanks between them.
            scopes: String,
            /// The audience, where the server wants one.
            audience: Option<String>,
            /// Where name and secret are put.
            client_auth: ClientAuthWord,
        },
        /// A token by Microsoft Entra ID client credentials.
        Entra {
            /// Tenant id or domain.
            tenant: String,
            /// The application's id.
            client_id: String,
            /// The keyring's name of the client's secret.
            secret: String,
            /// What the token is for.
            scope: String,
            /// The login server of a sovereign cloud.
            authority: Option<String>,
        },
        /// A token for a Google service account; either `scope` or `audience`.
        GoogleServiceAccount {
            /// The keyring's name of the JSON key file's content.
            secret: String,
            /// Scope of an access token.
            scope: Option<String>,
            /// Audience of an identity token.
            audience: Option<String>,
        },
        /// AWS Signature Version 4.
        AwsSigv4 {
            /// The region.
            region: String,
            /// The service signed for.
            service: String,
            /// Where the access key comes from.
            source: AwsSourceDraft,
            /// A role taken on with that key.
            assume_role: Option<AssumeRoleDraft>,
        },
    }

    /// Where a token request carries the client's name and secret.
    #[derive(Copy, Eq)]
    pub enum ClientAuthWord {
        /// In `Authorization: Basic`.
        Basic,
        /// In the body.
        Body,
    }

    /// Where an AWS access key comes from.
    #[derive(Eq)]
    #[serde(tag = "from")]
    pub enum AwsSourceDraft {
        /// Given here.
        Static {
            /// The access key's id.
            access_key_id: String,
            /// The keyring's name of the secret access key.
            secret: String,
            /// The keyring's name of a session token.
            session_token_secret: Option<String>,
        },
        /// A profile of the shared files.
        Profile {
            /// The profile.
            name: String,
        },
        /// The environment of this process.
        Environment,
    }

    /// A role taken on (STS `AssumeRole`).
    #[derive(Eq)]
    pub struct AssumeRoleDraft {
        /// The role.
        pub role_arn: String,
        /// The session's name in the account's log.
        pub session_name: String,
        /// The external id, where the role asks for one.
        pub external_id: Option<String>,
        /// The address of STS, where it is not the region's own.
        pub sts_url: Option<String>,
    }

    /// What was found.
    pub struct Detection {
        /// A protocol's word, or `null` when none was recognised.
        pub protocol: Option<String>,
        /// The server's word: `mlserver`, `vllm`, `unknown`.
        pub server: Option<String>,
        /// What it is, for people.
        pub title: String,
        /// Whether a model answers here.
        pub role: DetectedRole,
        /// The base URL under which the routes were found.
        pub base_url: String,
        /// The base URL of the management API, where it has one of its own.
        pub management_url: Option<String>,
        /// Its version.
        pub server_version: Option<String>,
        /// 0 to 1.
        pub confidence: f64,
        /// Models found.
        pub models: Vec<DetectedModel>,
        /// Path that predicts.
        pub predict: Option<String>,
        /// For plain JSON: the request as the server describes it.
        pub template: Option<JsonDraft>,
        /// Rows of the server's own example that fit the template, as JSON text.
        pub example_rows: Option<String>,
        /// What was seen, in words.
        pub evidence: Vec<String>,
        /// What to do with it, when it is not simply connected.
        pub advice: Option<String>,
        /// What is needed before it can be watched.
        pub needs: Vec<DetectedNeed>,
        /// What else it could be, nearly as likely.
        pub alternatives: Vec<DetectedAlternative>,
        /// The server asked for a credential.
        pub needs_auth: bool,
        /// How many requests were sent.
        pub requests: usize,
    }

    /// What stands behind a URL, by what it is good for.
    #[derive(Copy, Eq)]
    pub enum DetectedRole {
        /// A model answers here.
        Model,
        /// A registry, a cluster, a dashboard.
        ControlPlane,
        /// It keeps or offers metrics.
        Metrics,
        /// Something else, or not known.
        Other,
    }

    /// What is needed before an endpoint can be watched.
    #[derive(Eq)]
    #[serde(tag = "kind")]
    pub enum DetectedNeed {
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
        /// A client certificate.
        ClientCertificate {
            /// What the server said.
            why: String,
        },
        /// The name of a model.
        ModelName {
            /// Why it cannot be told.
            why: String,
        },
        /// Another address.
        Address {
            /// The address; empty when only its kind is known.
            url: String,
            /// Why.
            why: String,
        },
        /// A request template.
        Template {
            /// What is known.
            why: String,
        },
    }

    /// The kind of credential that fits.
    #[derive(Eq)]
    #[serde(tag = "kind")]
    pub enum CredentialHint {
        /// Bearer token.
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
        /// Microsoft Entra.
        Entra,
        /// The user entry of a kubeconfig.
        Kubeconfig,
    }

    /// Another reading of the same answers.
    pub struct DetectedAlternative {
        /// The server's word.
        pub server: String,
        /// What it is, for people.
        pub title: String,
        /// Its protocol's word.
        pub protocol: Option<String>,
        /// 0 to 1.
        pub confidence: f64,
    }

    /// One model found.
    #[derive(Eq)]
    pub struct DetectedModel {
        /// Name.
        pub name: String,
        /// Versions.
        pub versions: Vec<String>,
        /// Whether the server says that it is ready.
        pub ready: Option<bool>,
        /// The path of its own prediction route, where each model has another one.
        pub predict: Option<String>,
    }

    /// Connects several endpoints.
    pub struct EndpointsAddRequest {
        /// The endpoints as edited; a name that is taken gets a number.
        pub drafts: Vec<EndpointDraft>,
    }

    /// What came of each draft, in the order of the request.
    pub struct EndpointsAdded {
        /// One entry per draft.
        pub items: Vec<EndpointAdded>,
    }

    /// What came of one draft.
    pub struct EndpointAdded {
        /// The name under which it was connected, or was to be.
        pub name: String,
        /// Its number, when it was connected.
        pub id: Option<i64>,
        /// Why it was not.
        pub refused: Option<String>,
    }

    /// An endpoint as a person edits it.
    pub struct EndpointDraft {
        /// Unique name.
        pub name: String,
        /// `production`, `staging`, `development` or another word.
        pub environment: String,
        /// Base URL.
        pub url: String,
        /// `v2`, `v2_grpc`, `v1`, `torchserve`, `mlflow`, `sagemaker`, `azureml`, `vertex`, `databricks`, `json`, `openai`,
        /// `ollama` or `grpc_health`.
        pub protocol: String,
        /// Model name on the server.
        pub model: Option<String>,
        /// Fixed version to call; for `v1` a word that is no number is a version label; for clouds the production variant,
        /// deployment or served entity.
        pub model_version: Option<String>,
        /// Base URL of the management API. For `torchserve` `null` means port 8081 of the same host; for clouds the one that
        /// belongs to the URL, and for `azureml` none.
        pub management_url: Option<String>,
        /// For `torchserve` and clouds: credential of the management API; `null`: the endpoint's own.
        pub management_auth: Option<Box<AuthDraft>>,
        /// For `mlflow`, `v1` and clouds: `auto`, `dataframe_split`, `dataframe_records`, `inputs`, `instances`, `csv`,
        /// `input_data` or `data`.
        pub payload: String,
        /// Milliseconds between probes.
        pub interval_ms: u32,
        /// Slower than this is degraded.
        pub degraded_above_ms: Option<u32>,
        /// Failures in a row before it is down.
        pub confirm_after: u32,
        /// Successes in a row before it is healthy again.
        pub recover_after: u32,
        /// Limit for the whole probe in milliseconds.
        pub total_timeout_ms: u32,
        /// Credential.
        pub auth: AuthDraft,
        /// PEM file with further authorities.
        pub ca_file: Option<String>,
        /// PEM file with the client certificate chain (mutual TLS).
        pub client_certificate_file: Option<String>,
        /// The keyring's name of the client certificate's private key.
        pub client_key_secret: Option<String>,
        /// The way to it from this machine.
        pub network: super::NetworkDraft,
        /// For `json`, and for `torchserve` and clouds where the model wants a body of its own.
        pub json: Option<JsonDraft>,
        /// Rows sent by each probe: JSON array of objects; `null`: only the health route is asked.
        pub probe_rows: Option<String>,
        /// For `openai` and `ollama`: prompts that probes send; `null`: only the health route is asked.
        pub prompts: Option<PromptSetDraft>,
        /// Control plane.
        pub control_plane: Option<ControlPlaneDraft>,
        /// Where the server's own view of itself is read.
        pub metrics: Option<super::MetricsDraft>,
        /// Name of the golden set.
        pub golden_set: Option<String>,
        /// Milliseconds between evaluations.
        pub evaluation_interval_ms: u32,
    }

    /// Request template of a plain JSON endpoint.
    #[derive(Eq)]
    pub struct JsonDraft {
        /// Path below the base URL.
        pub path: String,
        /// JSON text with `"{{rows}}"` or `"{{records}}"` in it.
        pub body: String,
        /// RFC 6901 pointer to the predictions.
        pub prediction: String,
        /// RFC 6901 pointer to the version.
        pub version: Option<String>,
        /// Path of the route that says whether the server lives.
        pub live: Option<String>,
        /// Path of the route that says whether the model is ready.
        pub ready: Option<String>,
    }

    /// Control plane as a person edits it.
    #[derive(Eq)]
    #[serde(tag = "kind")]
    #[expect(clippy::large_enum_variant, reason = "one per endpoint; a box would only complicate matching")]
    pub enum ControlPlaneDraft {
        /// The demo registry.
        Demo {
            /// Base URL.
            url: String,
            /// Model name.
            model: String,
        },
        /// MLflow model registry.
        Mlflow {
            /// Tracking server.
            url: String,
            /// Registered model.
            model: String,
            /// Alias.
            alias: String,
            /// Credential.
            auth: AuthDraft,
            /// How the scoring server follows a moved alias.
            reload: Option<ReloadDraft>,
        },
    }

    /// How a server is made to load what the registry points at.
    #[derive(Eq)]
    #[serde(tag = "kind")]
    #[expect(clippy::large_enum_variant, reason = "one per endpoint; a box would only complicate matching")]
    pub enum ReloadDraft {
        /// An HTTP call.
        Http {
            /// Method.
            method: String,
            /// URL.
            url: String,
            /// Credential.
            auth: AuthDraft,
        },
        /// A local command, run without a shell.
        Command {
            /// Program.
            program: String,
            /// Arguments.
            args: Vec<String>,
            /// Limit in milliseconds.
            timeout_ms: u32,
        },
    }

    /// What one probe found.
    pub struct ProbeResult {
        /// When it was made.
        pub at_ms: i64,
        /// `ok`, `target_failed` or `unknown`.
        pub outcome: String,
        /// Closed reason word; `null` when ok.
        pub reason: Option<String>,
        /// For people.
        pub detail: Option<String>,
        /// HTTP status.
        pub http_status: Option<u16>,
        /// Version reported.
        pub version: Option<String>,
        /// Phases reached, in microseconds.
        pub phases_us: PhasesUs,
        /// Duration in microseconds.
        pub total_us: Option<u32>,
        /// Whether a kept-alive connection was used.
        pub reused: bool,
        /// What a generated answer measured, where a prompt was sent.
        pub generation: Option<GenerationResult>,
        /// The beginning of what the model predicted; `null` for a probe that is on record, which keeps no answers.
        pub prediction: Option<PredictionResult>,
    }

    /// The beginning of a prediction. It is stored nowhere.
    pub struct PredictionResult {
        /// At most 8 rows of at most 8 values, in the order of the rows sent.
        pub rows: Vec<Vec<PredictedValue>>,
        /// Rows that came.
        pub row_count: u32,
        /// Values of the longest row that came.
        pub output_count: u32,
        /// What each value of a row is called: by the answer itself, or the classes of the golden set where each has a
        /// value; empty where nobody says.
        pub names: Vec<String>,
        /// The output that the values belong to, where the answer names it.
        pub output: Option<String>,
    }

    /// One predicted value.
    #[serde(untagged)]
    pub enum PredictedValue {
        /// A number; one that is not finite is `null`.
        Number(f64),
        /// A text of at most 200 characters.
        Text(String),
        /// Nothing.
        Missing,
    }

    /// Phases in microseconds; `null`: not reached.
    #[derive(Copy, Eq)]
    pub struct PhasesUs {
        /// Name resolution.
        pub dns: Option<u32>,
        /// TCP connect.
        pub connect: Option<u32>,
        /// Opening a tunnel through a proxy or a jump host.
        pub tunnel: Option<u32>,
        /// TLS handshake.
        pub tls: Option<u32>,
        /// Sending.
        pub send: Option<u32>,
        /// Waiting for the first byte.
        pub wait: Option<u32>,
        /// Receiving.
        pub receive: Option<u32>,
    }

    /// Creates an endpoint.
    pub struct EndpointAddRequest {
        /// The draft.
        pub draft: EndpointDraft,
    }

    /// Tries a draft with one probe, without saving.
    pub struct ConnectTestRequest {
        /// The draft.
        pub draft: EndpointDraft,
    }

    /// Changes an endpoint, or tries the change.
    pub struct EndpointUpdateRequest {
        /// Endpoint.
        pub id: i64,
        /// The revision of the settings from which the draft was made.
        pub revision: i64,
        /// The draft.
        pub draft: EndpointDraft,
    }

    /// Settings were changed.
    #[derive(Copy, Eq)]
    pub struct EndpointUpdated {
        /// Their new revision.
        pub revision: i64,
    }

    /// Removes an endpoint with its history.
    #[derive(Eq)]
    pub struct EndpointRemoveRequest {
        /// Endpoint.
        pub id: i64,
        /// Its name, typed.
        pub confirm: String,
    }

    /// Pauses or resumes.
    #[derive(Copy, Eq)]
    pub struct EndpointPauseRequest {
        /// Endpoint.
        pub id: i64,
        /// Whether it shall rest.
        pub paused: bool,
    }
}

impl DetectRequest {
    /// Asks without certificates of one's own, by the system's way.
    pub fn new(url: impl Into<String>, auth: AuthDraft) -> Self {
        Self {
            url: url.into(),
            auth,
            ca_file: None,
            client_certificate_file: None,
            client_key_secret: None,
            network: super::NetworkDraft::System,
        }
    }
}
