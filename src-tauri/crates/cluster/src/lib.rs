//! A Kubernetes cluster as a kubeconfig names it.
//!
//! What it is: the contexts of a kubeconfig ([`contexts`]), a login to one of them ([`Cluster::login`]), reading lists of
//! resources ([`Cluster::list`]) and a forwarded port ([`Cluster::forward`]). What it hides: kube's client, TLS, tokens,
//! exec plugins, websockets. What must stay true: nothing is ever written to a cluster; a command that a kubeconfig names
//! runs only after a person agreed; the server's certificate is always verified; every call has a limit in time and in
//! bytes; no message holds a credential.

mod context;
mod error;
mod forward;
mod list;
mod login;
mod plugin;

pub use self::context::{Context, contexts, contexts_in};
pub use self::error::{ClusterError, Place};
pub use self::forward::{ForwardedStream, ServicePort};
pub use self::list::{Listing, ResourceKind};
pub use self::login::{Access, Cluster};
