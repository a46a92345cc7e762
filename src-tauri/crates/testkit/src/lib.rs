//! Fakes for tests: servers on port 0 for every fault, certificates, proxies, a manual clock, builders.
//!
//! What it is: a dev-dependency only. What must stay true: only loopback is used; everything started here stops when its
//! value is dropped; nothing waits by sleeping a fixed time.

mod bearer_gate;
mod behaviour;
mod builders;
mod certificates;
mod clock;
mod forward_proxy;
mod grpc_server;
mod port_forward;
mod request;
mod server;
mod socks_proxy;
mod wait;
mod wire_server;

pub use bearer_gate::BearerGate;
pub use behaviour::{Behaviour, Reply, StreamEnd};
pub use builders::{endpoint, number_table, prompt_set, quick_probe_config, target};
pub use certificates::{Authority, ClientCertificate, ServerCertificate, Validity};
pub use clock::ManualClock;
pub use forward_proxy::ForwardProxy;
pub use grpc_server::{GrpcCall, GrpcReply, GrpcServer};
pub use port_forward::Forwarded;
pub use request::RecordedRequest;
pub use server::FakeServer;
pub use socks_proxy::SocksProxy;
pub use wait::wait_until;
pub use wire_server::{WireServer, read_head};
