//! TLS: whom we trust, and as whom we present ourselves.
//!
//! What it hides: rustls, the system's root store, PEM files. What must stay true: verification is never switched off;
//! a private authority is added to the system's, not put in its place.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use pilothouse_domain::endpoint::Tls;
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, DEFAULT_VERSIONS};
use rustls_platform_verifier::Verifier;
use secrecy::ExposeSecret;

use crate::{ClientIdentity, ServingError};

/// The verifiers already made: reading the system's root store takes tens of milliseconds, once.
pub(crate) struct TrustStore {
    provider: Arc<CryptoProvider>,
    verifiers: Mutex<HashMap<Option<PathBuf>, Arc<Verifier>>>,
}

impl TrustStore {
    pub(crate) fn new() -> Self {
        Self { provider: Arc::new(rustls::crypto::ring::default_provider()), verifiers: Mutex::default() }
    }

    /// A configuration for these settings. Reads files, so it runs on a blocking thread.
    pub(crate) fn client_config(
        &self,
        ca_file: Option<&Path>,
        identity: Option<&ClientIdentity>,
    ) -> Result<ClientConfig, ServingError> {
        let verifier = self.verifier(ca_file)?;
        let builder = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(DEFAULT_VERSIONS)
            .map_err(|error| ServingError::SystemRoots(error.to_string()))?
            .dangerous()
            // "Dangerous" is rustls' word for any verifier of one's own; this one is the platform's.
            .with_custom_certificate_verifier(verifier);
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let (chain, key) = parse_identity(identity)?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|error| ServingError::ClientIdentity(error.to_string()))?
            }
        };
        // A resumed session does not look at the certificate again; a probe that opens a connection must.
        config.resumption = Resumption::disabled();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }

    fn verifier(&self, ca_file: Option<&Path>) -> Result<Arc<Verifier>, ServingError> {
        let key = ca_file.map(Path::to_path_buf);
        if let Some(verifier) = self.verifiers.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(Arc::clone(verifier));
        }
        let provider = Arc::clone(&self.provider);
        let verifier = match ca_file {
            None => Verifier::new(provider).map_err(|error| ServingError::SystemRoots(error.to_string()))?,
            Some(path) => {
                let invalid = |problem: String| ServingError::CaFile { path: path.to_path_buf(), problem };
                let pem = std::fs::read(path).map_err(|error| invalid(error.to_string()))?;
                let roots = certificates(&pem).map_err(invalid)?;
                Verifier::new_with_extra_roots(roots, provider).map_err(|error| invalid(error.to_string()))?
            }
        };
        let verifier = Arc::new(verifier);
        let mut verifiers = self.verifiers.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Arc::clone(verifiers.entry(key).or_insert(verifier)))
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if found.is_empty() => Err("it holds no PEM certificate".into()),
        Ok(found) => Ok(found),
        Err(error) => Err(error.to_string()),
    }
}

fn parse_identity(
    identity: &ClientIdentity,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), ServingError> {
    let chain = certificates(&identity.certificate_pem)
        .map_err(|problem| ServingError::ClientIdentity(format!("the certificate file: {problem}")))?;
    // The parser's own error may quote its input, which is a secret here.
    let key = PrivateKeyDer::from_pem_slice(identity.key_pem.expose_secret().as_bytes())
        .map_err(|_| ServingError::ClientIdentity("the stored key is not a PEM private key".into()))?;
    Ok((chain, key))
}

/// TLS settings of one endpoint. The configuration is made at the first use of https and kept; a failure is not kept, so
/// that a repaired file is picked up by the next attempt.
pub struct TlsProfile {
    store: Arc<TrustStore>,
    ca_file: Option<PathBuf>,
    identity: Option<ClientIdentity>,
    config: Mutex<Option<Arc<ClientConfig>>>,
    /// For proxies, which are no endpoints.
    without_identity: Mutex<Option<Arc<ClientConfig>>>,
}

impl TlsProfile {
    pub(crate) fn new(store: Arc<TrustStore>, tls: &Tls, identity: Option<ClientIdentity>) -> Self {
        Self {
            store,
            ca_file: tls.ca_file.clone(),
            identity,
            config: Mutex::default(),
            without_identity: Mutex::default(),
        }
    }

    /// Whether a client certificate is presented, which counts as a credential.
    pub(crate) const fn has_identity(&self) -> bool {
        self.identity.is_some()
    }

    pub(crate) async fn config(&self) -> Result<Arc<ClientConfig>, ServingError> {
        self.kept(&self.config, self.identity.clone()).await
    }

    /// The same trust, with no client certificate to show: for a proxy on the way.
    pub(crate) async fn config_without_identity(&self) -> Result<Arc<ClientConfig>, ServingError> {
        if self.identity.is_none() { self.config().await } else { self.kept(&self.without_identity, None).await }
    }

    async fn kept(
        &self,
        place: &Mutex<Option<Arc<ClientConfig>>>,
        identity: Option<ClientIdentity>,
    ) -> Result<Arc<ClientConfig>, ServingError> {
        if let Some(config) = &*place.lock().unwrap_or_else(PoisonError::into_inner) {
            return Ok(Arc::clone(config));
        }
        let (store, ca_file) = (Arc::clone(&self.store), self.ca_file.clone());
        let made = tokio::task::spawn_blocking(move || store.client_config(ca_file.as_deref(), identity.as_ref()))
            .await
            .map_err(|error| ServingError::SystemRoots(error.to_string()))??;
        let mut config = place.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Arc::clone(config.get_or_insert(Arc::new(made))))
    }
}
