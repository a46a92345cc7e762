//! A jump host that takes passwords: the real one of the integration tests cannot, without an account of this machine.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use pilothouse_domain::network::{SshAuth, SshJump};
use pilothouse_domain::{Network, Outcome, ProbeConfig, Target, UnknownReason};
use pilothouse_serving::{Credential, HostKeyStanding, ModelClient, ProbeReport};
use pilothouse_testkit::{Behaviour, FakeServer, WireServer, quick_probe_config};
use russh::keys::PrivateKey;
use russh::keys::ssh_key::private::Ed25519Keypair;
use russh::server::{Auth, ChannelOpenHandle, Config, Handler, Msg, Session};
use russh::{Channel, ChannelOpenFailure};
use secrecy::SecretString;
use tokio::net::TcpStream;

use crate::support::{ours, ready_target, transport};

/// Lets in `ann` with the password `hunter2`, and through to any port of this machine.
struct Gatekeeper;

impl Handler for Gatekeeper {
    type Error = russh::Error;

    async fn auth_password(&mut self, user: &str, password: &str) -> Result<Auth, Self::Error> {
        Ok(if (user, password) == ("ann", "hunter2") { Auth::Accept } else { Auth::reject() })
    }

    async fn channel_open_direct_tcpip(
        &mut self,
        channel: Channel<Msg>,
        _host: &str,
        port: u32,
        _originator: &str,
        _originator_port: u32,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        let port = u16::try_from(port).expect("a port");
        match TcpStream::connect(("127.0.0.1", port)).await {
            Ok(mut tcp) => {
                reply.accept().await;
                tokio::spawn(async move { tokio::io::copy_bidirectional(&mut channel.into_stream(), &mut tcp).await });
            }
            Err(_) => reply.reject(ChannelOpenFailure::ConnectFailed).await,
        }
        Ok(())
    }
}

async fn gatekeeper() -> WireServer {
    let key = PrivateKey::from(Ed25519Keypair::from_seed(&[7; 32]));
    let config = Arc::new(Config { keys: vec![key], ..Config::default() });
    WireServer::start(move |stream, _| {
        let config = Arc::clone(&config);
        async move {
            let session = russh::server::run_stream(config, stream, Gatekeeper).await.map_err(io::Error::other)?;
            session.await.map_err(io::Error::other)
        }
    })
    .await
}

async fn probe(host: &WireServer, model: &FakeServer, host_key: &str, password: &str) -> ProbeReport {
    let jump = SshJump {
        host: "127.0.0.1".into(),
        port: host.url().port().expect("a port"),
        user: "ann".into(),
        auth: SshAuth::Password { secret: "jump-password".into() },
        host_key: Some(host_key.into()),
    };
    let target = Target { network: Network::Ssh(Box::new(jump)), ..ready_target(model) };
    let secrets = BTreeMap::from([("jump-password".to_owned(), SecretString::from(password))]);
    let through = transport().by_way_of(&target.network, &secrets).expect("the settings are usable");
    let patient = ProbeConfig { connect_timeout_ms: 15_000, total_timeout_ms: 20_000, ..quick_probe_config() };
    ModelClient::new(through, &target, &patient, Credential::None, None).expect("usable").probe(true).await
}

#[tokio::test]
async fn a_password_lets_in_who_has_it() {
    let (host, model) = (gatekeeper().await, FakeServer::start(Behaviour::status(200, "")).await);
    let port = host.url().port().unwrap();
    let key = transport().ssh_host_key("127.0.0.1", port).await.unwrap();
    assert_eq!((key.algorithm.as_str(), key.standing), ("ssh-ed25519", HostKeyStanding::Unknown));
    let report = probe(&host, &model, &key.fingerprint, "hunter2").await;
    assert!(report.outcome == Outcome::Ok && report.phases.tunnel.is_some(), "{report:?}");
    let refused = probe(&host, &model, &key.fingerprint, "marker-wrong").await;
    assert_eq!(refused.outcome, ours(UnknownReason::TunnelFailed), "{refused:?}");
    let detail = refused.detail.unwrap();
    assert!(detail.contains("does not accept the password") && !detail.contains("marker"), "{detail}");
    assert_eq!(model.requests().len(), 1);
}
