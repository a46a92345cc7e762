//! Shared set-up of the integration and window tests.
//!
//! What it is: real model servers as processes ([`RealServer`]). What must stay true: everything listens on loopback only,
//! on a free port, and is ended by its id when its value goes away.

mod real_server;

pub use real_server::{
    Agent, AwsAccess, DockerEngine, KubernetesCluster, LANGUAGE_KEY, LITSERVE_KEY, OpenSsh, PASSPHRASE, RealServer,
    Registered, RegisteredVersion, TRITON_KEY, pinned,
};
