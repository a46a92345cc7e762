//! A certificate authority of a test's own, and what it signs.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

/// Whether a certificate is within its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// Valid from 1975 to 4096.
    Valid,
    /// Expired in 2001.
    Expired,
}

/// An authority that no system trusts.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A server's certificate with its key, as PEM.
#[derive(Clone)]
pub struct ServerCertificate {
    chain: String,
    key: String,
    client_authority: Option<String>,
}

/// A client's certificate with its key.
#[derive(Clone)]
pub struct ClientCertificate {
    /// The chain, PEM.
    pub certificate_pem: String,
    /// The private key, PEM.
    pub key_pem: String,
}

impl Authority {
    /// A new authority with a new key.
    #[expect(clippy::new_without_default, reason = "each call makes another key, which a default should not")]
    pub fn new() -> Self {
        let key = KeyPair::generate().expect("a key can be made");
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "Pilothouse test authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let pem = params.self_signed(&key).expect("an authority can sign itself").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// The authority's own certificate, PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A server certificate for these names or addresses.
    pub fn server(&self, names: &[&str], validity: Validity) -> ServerCertificate {
        let (chain, key) = self.sign(names, validity, ExtendedKeyUsagePurpose::ServerAuth);
        ServerCertificate { chain, key, client_authority: None }
    }

    /// A client certificate.
    pub fn client(&self, name: &str) -> ClientCertificate {
        let (certificate_pem, key_pem) = self.sign(&[name], Validity::Valid, ExtendedKeyUsagePurpose::ClientAuth);
        ClientCertificate { certificate_pem, key_pem }
    }

    fn sign(&self, names: &[&str], validity: Validity, usage: ExtendedKeyUsagePurpose) -> (String, String) {
        let key = KeyPair::generate().expect("a key can be made");
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("the names are valid");
        params.extended_key_usages = vec![usage];
        if validity == Validity::Expired {
            params.not_before = date_time_ymd(2000, 1, 1);
            params.not_after = date_time_ymd(2001, 1, 1);
        }
        let certificate = params.signed_by(&key, &self.issuer).expect("the authority can sign");
        (certificate.pem(), key.serialize_pem())
    }
}

impl ServerCertificate {
    /// The chain, PEM.
    pub fn chain(&self) -> &str {
        &self.chain
    }

    /// The private key, PEM.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Lets in only clients with a certificate of this authority.
    #[must_use]
    pub fn requiring_clients_of(mut self, authority: &Authority) -> Self {
        self.client_authority = Some(authority.pem.clone());
        self
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        self.acceptor_of(&[])
    }

    /// Agrees upon one of these protocols (ALPN); none: whatever the client speaks.
    pub(crate) fn acceptor_of(&self, protocols: &[&str]) -> TlsAcceptor {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("ring has the default versions");
        let builder = match &self.client_authority {
            None => builder.with_no_client_auth(),
            Some(pem) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates(pem) {
                    roots.add(certificate).expect("the authority is a certificate");
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
                builder.with_client_cert_verifier(verifier.expect("the authority is usable"))
            }
        };
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).expect("the key is PEM");
        let mut config = builder.with_single_cert(certificates(&self.chain), key).expect("certificate and key fit");
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }
}

fn certificates(pem: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().expect("the chain is PEM")
}
