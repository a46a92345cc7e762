//! The way to a server, as a person edits it.

use super::border;

border! {
    /// How connections leave this machine.
    #[derive(Eq, Default)]
    #[serde(tag = "kind")]
    pub enum NetworkDraft {
        /// As the system says.
        #[default]
        System,
        /// Directly.
        Direct,
        /// Through a proxy of its own.
        Proxy {
            /// `http://`, `https://`, `socks5://` or `socks5h://`, with host and port.
            url: String,
            /// The user that the proxy asks for.
            username: Option<String>,
            /// The keyring's name of the user's password.
            secret: Option<String>,
            /// What is reached directly: hosts, addresses and networks, with blanks or commas between them.
            bypass: String,
        },
        /// The Services of a Kubernetes cluster by forwarded ports.
        Kubernetes {
            /// The kubeconfig's context.
            context: String,
            /// The kubeconfig; `null`: the usual one.
            kubeconfig: Option<String>,
            /// Whether the command that logs in may be run.
            run_plugin: bool,
        },
    }
}
