//! What a server says about its model, and of its own health.

use super::border;

border! {
    /// The facets of an endpoint's health.
    #[derive(Eq)]
    pub struct HealthFacets {
        /// The server says that it lives.
        pub live: HealthFacet,
        /// The server says that the model is ready.
        pub ready: HealthFacet,
        /// The model predicts, and its prediction passes the checks.
        pub predicts: HealthFacet,
        /// Whether the server calls itself well while its predictions fail.
        pub contradict: bool,
    }

    /// The latest word on one facet.
    #[derive(Eq)]
    pub struct HealthFacet {
        /// `ok`, `failed`, `not_offered`, `not_asked` or `unknown`.
        pub state: String,
        /// Since when; `null` before it was asked.
        pub since_ms: Option<i64>,
        /// For people.
        pub detail: Option<String>,
    }

    /// A model as its server describes it.
    #[derive(Eq)]
    pub struct ModelDescription {
        /// The model's name; empty where the server names none.
        pub name: String,
        /// Server software with its version, as it names itself.
        pub server: Option<String>,
        /// Framework behind it.
        pub platform: Option<String>,
        /// The container image that it was discovered in.
        pub image: Option<String>,
        /// Whether the server says that the model is ready.
        pub ready: Option<bool>,
        /// Its versions, where the server lists them.
        pub versions: Vec<DescribedVersion>,
        /// Inputs in the order of the server; empty where it describes none.
        pub inputs: Vec<TensorField>,
        /// Outputs.
        pub outputs: Vec<TensorField>,
        /// Where inputs and outputs were read, when it was not the server itself.
        pub schema_source: Option<String>,
        /// The models that the server holds in memory; `null` where it does not say.
        pub loaded: Option<Vec<ModelInMemory>>,
        /// What a person should know before relying on this server.
        pub notice: Option<String>,
        /// When it was asked.
        pub at_ms: i64,
    }

    /// A version of a model as its server lists it.
    #[derive(Eq)]
    pub struct DescribedVersion {
        /// The version.
        pub version: String,
        /// The server's own word; empty where it has none.
        pub state: String,
        /// Whether calls without a version go to it, as far as the server says.
        pub is_default: bool,
        /// Worker processes.
        pub workers: Option<u32>,
        /// What else the server says.
        pub detail: Option<String>,
    }

    /// A model that a server holds in memory.
    #[derive(Eq)]
    pub struct ModelInMemory {
        /// Its name.
        pub name: String,
        /// What it takes in all, in bytes.
        pub size_bytes: i64,
        /// What of that lies in the memory of GPUs, in bytes.
        pub gpu_bytes: i64,
        /// When it is unloaded unless it is asked again.
        pub until_ms: Option<i64>,
    }

    /// An input or output.
    #[derive(Eq)]
    pub struct TensorField {
        /// Name; may be empty.
        pub name: String,
        /// `FP64`, `INT64`, `BYTES`, `BOOL`, … or the server's own word.
        pub datatype: String,
        /// Dimensions, -1 for any size; empty where the server does not say.
        pub shape: Vec<i64>,
        /// Whether a request may leave it out.
        pub optional: bool,
    }
}
