//! Discovering endpoints in a place: a Kubernetes cluster, a Docker engine.

use super::border;

border! {
    /// Asks which places there are.
    #[derive(Eq, Default)]
    pub struct DiscoveryPlacesRequest {
        /// A kubeconfig; `null`: `KUBECONFIG`, else `~/.kube/config`.
        pub kubeconfig: Option<String>,
    }

    /// Places that can be looked through. Nothing was asked of any of them.
    #[derive(Eq)]
    pub struct DiscoveryPlaces {
        /// The contexts of the kubeconfig.
        pub contexts: Vec<ClusterContext>,
        /// Why the kubeconfig cannot be read.
        pub kubeconfig_problem: Option<String>,
        /// The socket of the Docker engine.
        pub docker_socket: Option<String>,
        /// Why there is none.
        pub docker_problem: Option<String>,
    }

    /// A context of a kubeconfig, without any value of a credential.
    #[derive(Eq)]
    pub struct ClusterContext {
        /// Its name.
        pub name: String,
        /// Whether it is the current one.
        pub is_current: bool,
        /// The API server.
        pub server: String,
        /// The namespace.
        pub namespace: Option<String>,
        /// Whom it trusts, in words.
        pub trust: String,
        /// How it logs in, in words.
        pub login: String,
        /// The command that logging in runs.
        pub plugin: Option<String>,
        /// Why it cannot be used here.
        pub problem: Option<String>,
    }

    /// Looks through a place; nothing is stored.
    #[derive(Eq)]
    pub struct DiscoverRequest {
        /// The place.
        pub place: DiscoveryPlace,
    }

    /// A place.
    #[derive(Eq)]
    #[serde(tag = "kind")]
    pub enum DiscoveryPlace {
        /// A Kubernetes cluster.
        Kubernetes {
            /// The kubeconfig; `null`: the usual one.
            kubeconfig: Option<String>,
            /// The context; `null`: the current one.
            context: Option<String>,
            /// The namespace; `null`: all.
            namespace: Option<String>,
            /// A label selector: Services that it selects are listed whatever else they are.
            labels: Option<String>,
            /// Whether the command that logs in may be run.
            run_plugin: bool,
        },
        /// The Docker engine of this machine.
        Docker {
            /// Its socket; `null`: the usual one.
            socket: Option<String>,
            /// A label: containers that have it are listed whatever their image is.
            label: Option<String>,
        },
    }

    /// What a place holds.
    #[derive(Eq)]
    pub struct DiscoveryView {
        /// The place in words.
        pub place: String,
        /// The endpoints that could be watched.
        pub items: Vec<DiscoveredItem>,
        /// What could not be seen, and why.
        pub notes: Vec<String>,
    }

    /// An endpoint that could be watched.
    #[derive(Eq)]
    pub struct DiscoveredItem {
        /// The name proposed.
        pub name: String,
        /// `inference_service`, `service` or `container`.
        pub kind: String,
        /// Its namespace.
        pub namespace: Option<String>,
        /// The ways in which it may be reached, the likeliest first; none: it cannot be.
        pub ways: Vec<DiscoveredWay>,
        /// The serving stack.
        pub stack: Option<String>,
        /// The protocol's word, where the place says it.
        pub protocol: Option<String>,
        /// The model's name on the server, where the place says it.
        pub model: Option<String>,
        /// The image's tag, or the revision that is live.
        pub version: Option<String>,
        /// The image with its tag.
        pub image: Option<String>,
        /// The image's digest.
        pub digest: Option<String>,
        /// Whether the place says that it is ready.
        pub ready: Option<bool>,
        /// What was seen, in words.
        pub evidence: Vec<String>,
        /// What keeps it from being reached or from working.
        pub problems: Vec<String>,
    }

    /// A way to an endpoint.
    #[derive(Eq)]
    pub struct DiscoveredWay {
        /// The URL by this way.
        pub url: String,
        /// How connections leave this machine.
        pub network: super::NetworkDraft,
    }

    /// Connects what was chosen of a place.
    #[derive(Eq)]
    pub struct DiscoverAddRequest {
        /// The environment of all of them.
        pub environment: String,
        /// What was chosen.
        pub items: Vec<DiscoveredChoice>,
    }

    /// One endpoint chosen of a place. Its server is asked what it is and which models it holds; with several models it
    /// becomes several endpoints.
    #[derive(Eq)]
    pub struct DiscoveredChoice {
        /// The name to give it.
        pub name: String,
        /// Its URL.
        pub url: String,
        /// The way to it.
        pub network: super::NetworkDraft,
        /// The protocol that the place named.
        pub protocol: Option<String>,
        /// The model that the place named.
        pub model: Option<String>,
        /// For a container: its image. Its version stands in where the server tells none of its own.
        pub image: Option<DiscoveredImage>,
    }

    /// The image of a container.
    #[derive(Eq)]
    pub struct DiscoveredImage {
        /// Its name with its tag.
        pub name: String,
        /// Its tag, or the version that it is labelled with.
        pub version: Option<String>,
    }
}
