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
        /// Through an SSH jump host.
        Ssh {
            /// Its name or address.
            host: String,
            /// Its port.
            port: u16,
            /// The user on it.
            user: String,
            /// How the user logs in.
            auth: SshAuthDraft,
            /// The fingerprint of its key that is trusted; `null`: what stands in OpenSSH's files of known hosts.
            host_key: Option<String>,
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

    /// How a user logs in to a jump host.
    #[derive(Eq)]
    #[serde(tag = "kind")]
    pub enum SshAuthDraft {
        /// With the keys of a running SSH agent.
        Agent {
            /// Where it listens; `null`: where `SSH_AUTH_SOCK` says.
            socket: Option<String>,
        },
        /// With a private key from the keyring.
        Key {
            /// The keyring's name of its text.
            secret: String,
            /// The keyring's name of its passphrase.
            passphrase_secret: Option<String>,
        },
        /// With a private key from a file.
        KeyFile {
            /// The file; `~/` is the home folder.
            path: String,
            /// The keyring's name of its passphrase.
            passphrase_secret: Option<String>,
        },
        /// With a password.
        Password {
            /// The keyring's name of it.
            secret: String,
        },
    }

    /// Asks a jump host for its key.
    #[derive(Eq)]
    pub struct SshHostKeyRequest {
        /// Its name or address.
        pub host: String,
        /// Its port.
        pub port: u16,
    }

    /// A jump host's key.
    #[derive(Eq)]
    pub struct SshHostKey {
        /// `ssh-ed25519` and the like.
        pub algorithm: String,
        /// `SHA256:…`, as `ssh-keygen -l` shows it.
        pub fingerprint: String,
        /// What OpenSSH's files of known hosts say of it.
        pub standing: SshHostKeyStanding,
    }

    /// What is known of a host key.
    #[derive(Copy, Eq)]
    pub enum SshHostKeyStanding {
        /// It stands in a file of known hosts.
        Known,
        /// The host stands in none.
        Unknown,
        /// The host stands there with another key.
        Changed,
        /// It is marked as revoked.
        Revoked,
    }
}
