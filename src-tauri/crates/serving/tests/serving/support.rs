//! What the tests share.

use std::sync::Arc;

use pilothouse_domain::{Outcome, Phases, ProbeConfig, Protocol, Target, TargetFailure, UnknownReason};
use pilothouse_serving::{Credential, ModelClient, Transport, TransportConfig};
use pilothouse_testkit::{FakeServer, quick_probe_config, target};

pub(crate) fn transport() -> Arc<Transport> {
    Transport::new(TransportConfig { system_proxy: false })
}

/// A V2 target whose probe asks `/v2/models/m/ready`.
pub(crate) fn ready_target(server: &FakeServer) -> Target {
    Target { model: Some("m".into()), ..target(server.url(), Protocol::OpenInference) }
}

pub(crate) fn client_of(target: &Target) -> ModelClient {
    client_with(target, &quick_probe_config(), Credential::None)
}

pub(crate) fn client_with(target: &Target, probe: &ProbeConfig, credential: Credential) -> ModelClient {
    ModelClient::new(transport(), target, probe, credential, None).expect("the target is usable")
}

pub(crate) const fn failed(reason: TargetFailure) -> Outcome {
    Outcome::TargetFailed(reason)
}

pub(crate) const fn ours(reason: UnknownReason) -> Outcome {
    Outcome::Unknown(reason)
}

/// The phases that are present: `d`ns, `c`onnect, t`u`nnel, `t`ls, `s`end, `w`ait, `r`eceive.
pub(crate) fn reached(phases: &Phases) -> String {
    [
        ('d', phases.dns),
        ('c', phases.connect),
        ('u', phases.tunnel),
        ('t', phases.tls),
        ('s', phases.send),
        ('w', phases.wait),
        ('r', phases.receive),
    ]
    .iter()
    .filter(|(_, time)| time.is_some())
    .map(|(initial, _)| *initial)
    .collect()
}
