//! Signed JSON Web Tokens (RFC 7519, RS256), through the `jsonwebtoken` crate with ring's RSA.
//!
//! What it hides: that crate wants its cryptography installed once per process; of what it offers, one would compile
//! another C library, and the other an RSA with a known timing weakness, while ring is here already for TLS.

use std::sync::Once;

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, KeyUtils};
use jsonwebtoken::errors::{ErrorKind, Result};
use jsonwebtoken::signature::{Error as SignatureError, Signer};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde::Serialize;

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |algorithm, key| match algorithm {
        Algorithm::RS256 => {
            let pair =
                RsaKeyPair::from_der(key.as_bytes()).map_err(|error| ErrorKind::InvalidRsaKey(error.to_string()))?;
            Ok(Box::new(RingRs256(pair)))
        }
        _ => Err(ErrorKind::UnsupportedAlgorithm.into()),
    },
    // Nothing is verified here: the token server does.
    verifier_factory: |_, _| Err(ErrorKind::UnsupportedAlgorithm.into()),
    key_utils: KeyUtils::new_unimplemented(),
};

struct RingRs256(RsaKeyPair);

impl Signer<Vec<u8>> for RingRs256 {
    fn try_sign(&self, message: &[u8]) -> std::result::Result<Vec<u8>, SignatureError> {
        let mut signature = vec![0; self.0.public().modulus_len()];
        self.0
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
            .map_err(|_| SignatureError::new())?;
        Ok(signature)
    }
}

impl JwtSigner for RingRs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::RS256
    }
}

/// A private RSA key that signs; the PEM is PKCS#8 or PKCS#1, of at least 2048 bits. The error does not quote the key.
pub(super) fn signing_key(pem: &str) -> Result<EncodingKey> {
    let key = EncodingKey::from_rsa_pem(pem.as_bytes())?;
    (PROVIDER.signer_factory)(&Algorithm::RS256, &key)?;
    Ok(key)
}

/// The claims in the compact form, signed; `key_id` tells the receiver which of the signer's keys it was.
pub(super) fn signed(claims: &impl Serialize, key_id: Option<&str>, key: &EncodingKey) -> Result<String> {
    static INSTALLED: Once = Once::new();
    // Somebody else's provider would do as well.
    INSTALLED.call_once(|| {
        PROVIDER.install_default().ok();
    });
    let header = Header { kid: key_id.map(str::to_owned), ..Header::new(Algorithm::RS256) };
    jsonwebtoken::encode(&header, claims, key)
}
