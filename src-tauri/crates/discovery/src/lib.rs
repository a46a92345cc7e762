//! From a place to the model endpoints in it: a Kubernetes cluster, or the Docker engine of this machine.
//!
//! What it is: [`kubernetes`] and [`docker`], which read a place and return a [`Discovery`]: candidates, each with what it
//! was recognised by, and notes on what could not be seen. What it hides: the APIs of both, and how each serving stack
//! names its images, ports and labels. What must stay true: a place is only read; a model server itself is not asked
//! (detection does that, when a person has chosen); whatever a place answers, the result is bounded.

mod candidate;
mod docker;
mod image;
mod kubernetes;
mod stack;

pub use self::candidate::{Candidate, CandidateKind, Discovery, Revision};
pub use self::docker::{DockerError, DockerOptions, docker, docker_socket};
pub use self::image::ImageName;
pub use self::kubernetes::{KubernetesOptions, kubernetes};
pub use self::stack::{STACKS, Stack};
pub use pilothouse_cluster::{Access, ClusterError, Context, ServicePort, contexts, contexts_in};
