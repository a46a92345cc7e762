//! The transport, the client and detection against fake servers: each fault of the wire gives its exact outcome and the
//! phases it reached.

mod aws_sources;
mod connections;
mod control_client;
mod detection;
mod faults;
mod forwards;
mod generation;
mod grpc;
mod hostile;
mod jump_host;
mod names;
mod predictions;
mod proxies;
mod redirects;
mod stacks;
mod support;
mod tls;
mod tokens;
