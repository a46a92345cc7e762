//! Google service accounts: a JWT signed with the account's key is exchanged for a token (RFC 7523 §2.1).
//!
//! Source: Google, "Using OAuth 2.0 for Server to Server Applications" (access tokens, claim `scope`) and "Authenticating
//! service-to-service" for Cloud Run and Identity-Aware Proxy (identity tokens, claim `target_audience`).

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header::{ACCEPT, CONTENT_TYPE};
use jsonwebtoken::EncodingKey;
use pilothouse_domain::auth::GoogleServiceAccount;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use url::Url;

use super::concealed::Concealed;
use super::token::{Issued, Proof};
use super::token_client::{TokenClient, host_of, no_token, refusal};
use super::{MASK, jwt};
use crate::ServingError;
use crate::transport::Failure;

/// The life of the signed JWT, which is the longest that is accepted, and of an identity token.
const LIFETIME: Duration = Duration::from_hours(1);

/// A service account with its key.
#[derive(Clone)]
pub struct ServiceAccount {
    email: String,
    key_id: Option<String>,
    key: EncodingKey,
    token_url: Url,
    wanted: Wanted,
    /// The whole key file: what tells one account from another.
    key_file: SecretString,
}

/// Which token is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Wanted {
    Access { scope: String },
    Identity { audience: String },
}

/// The members of a key file that are used.
#[derive(Deserialize)]
struct KeyFile {
    client_email: String,
    private_key: String,
    #[serde(default)]
    private_key_id: Option<String>,
    token_uri: Url,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    iat: u64,
    exp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_audience: Option<&'a str>,
}

#[derive(Deserialize)]
struct TokenAnswer {
    #[serde(default)]
    access_token: Option<String>,
    #[serde(default)]
    id_token: Option<String>,
    #[serde(default)]
    expires_in: Option<u64>,
}

impl ServiceAccount {
    /// Reads the account's JSON key. The errors quote none of it.
    pub(super) fn new(settings: &GoogleServiceAccount, key_file: &SecretString) -> Result<Self, ServingError> {
        let unusable = |why: &str| ServingError::Credential(format!("the service account's JSON key {why}"));
        let file: KeyFile = serde_json::from_str(key_file.expose_secret()).map_err(|error| {
            // The parser's words would quote a value of the wrong type.
            let problem = if error.is_data() {
                "lacks `client_email`, `private_key` or a usable `token_uri`; store the whole file that Google made"
            } else {
                "is not JSON; store the whole file that Google made"
            };
            unusable(problem)
        })?;
        let key = jwt::signing_key(&file.private_key)
            .map_err(|_| unusable("holds a `private_key` that is not an RSA key of at least 2048 bits in PEM"))?;
        let wanted = match (&settings.scope, &settings.audience) {
            (Some(scope), None) => Wanted::Access { scope: scope.clone() },
            (None, Some(audience)) => Wanted::Identity { audience: audience.clone() },
            _ => return Err(ServingError::Credential("set either a scope or an audience".into())),
        };
        Ok(Self {
            email: file.client_email,
            key_id: file.private_key_id,
            key,
            token_url: file.token_uri,
            wanted,
            key_file: key_file.clone(),
        })
    }

    /// What tells one credential from another.
    pub(super) fn parts(&self) -> Vec<&str> {
        let (kind, text) = match &self.wanted {
            Wanted::Access { scope } => ("scope", scope),
            Wanted::Identity { audience } => ("audience", audience),
        };
        vec!["service_account", kind, text, self.key_file.expose_secret()]
    }

    /// Asks Google's token server.
    pub(super) async fn issue(&self, calls: &TokenClient, concealed: &Concealed) -> Result<Issued, Failure> {
        let host = host_of(self.token_url.as_str());
        let assertion = self
            .assertion(SystemTime::now())
            .map_err(|error| no_token(&host, &format!("the request for it cannot be signed: {error}")))?;
        concealed.remember(&assertion);
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer")
            .append_pair("assertion", &assertion)
            .finish();
        let request = http::Request::post(self.token_url.as_str())
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(ACCEPT, "application/json")
            .body(form.into_bytes())
            .map_err(|error| no_token(&host, &error))?;
        let answer = calls.send(request).await.map_err(|failure| failure.0)?;
        if !answer.status().is_success() {
            return Err(no_token(&host, &refusal(answer.status(), answer.body())));
        }
        self.read(answer.body()).map_err(|why| no_token(&host, &why))
    }

    fn assertion(&self, now: SystemTime) -> jsonwebtoken::errors::Result<String> {
        let iat = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let (scope, target_audience) = match &self.wanted {
            Wanted::Access { scope } => (Some(scope.as_str()), None),
            Wanted::Identity { audience } => (None, Some(audience.as_str())),
        };
        let aud = self.token_url.as_str();
        let claims = Claims { iss: &self.email, aud, iat, exp: iat + LIFETIME.as_secs(), scope, target_audience };
        jwt::signed(&claims, self.key_id.as_deref(), &self.key)
    }

    fn read(&self, body: &[u8]) -> Result<Issued, &'static str> {
        let answer: TokenAnswer = serde_json::from_slice(body).map_err(|_| "its answer is not the JSON of a token")?;
        let (token, valid_for) = match self.wanted {
            Wanted::Access { .. } => (answer.access_token, answer.expires_in.map(Duration::from_secs)),
            Wanted::Identity { .. } => (answer.id_token, Some(LIFETIME)),
        };
        let token = token.filter(|token| !token.is_empty()).ok_or("its answer holds no token")?;
        Ok(Issued { proof: Proof::Bearer(token.into()), valid_for })
    }
}

impl fmt::Debug for ServiceAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceAccount")
            .field("email", &self.email)
            .field("token_url", &self.token_url.as_str())
            .field("wanted", &self.wanted)
            .field("key", &MASK)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    const KEY_FILE: &str = include_str!("../../tests/data/service-account.json");
    const PUBLIC_KEY: &[u8] = include_bytes!("../../tests/data/service-account.pub.der");

    fn account(scope: Option<&str>, audience: Option<&str>) -> ServiceAccount {
        let settings = GoogleServiceAccount {
            secret: "k".into(),
            scope: scope.map(str::to_owned),
            audience: audience.map(str::to_owned),
        };
        ServiceAccount::new(&settings, &KEY_FILE.into()).unwrap()
    }

    fn claims(assertion: &str) -> (Value, Value) {
        let parts: Vec<&str> = assertion.split('.').collect();
        let [header, claims, signature] = parts[..] else { panic!("{assertion}") };
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).unwrap();
        let key = ring::signature::UnparsedPublicKey::new(&ring::signature::RSA_PKCS1_2048_8192_SHA256, PUBLIC_KEY);
        key.verify(format!("{header}.{claims}").as_bytes(), &decode(signature)).expect("the account's signature");
        let json = |part: &str| serde_json::from_slice(&decode(part)).unwrap();
        (json(header), json(claims))
    }

    #[test]
    fn the_assertion_is_signed_and_says_what_is_wanted() {
        let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let usual = json!({
            "iss": "watch@pilothouse-tests.iam.gserviceaccount.com", "aud": "https://oauth2.googleapis.com/token",
            "iat": 1_700_000_000, "exp": 1_700_003_600,
        });
        let check = |account: &ServiceAccount, name: &str, value: &str| {
            let (header, found) = claims(&account.assertion(now).unwrap());
            assert_eq!(header, json!({"typ": "JWT", "alg": "RS256", "kid": "test-key-1"}));
            let mut expect = usual.clone();
            expect[name] = value.into();
            assert_eq!(found, expect);
            assert!(!format!("{account:?}").contains("PRIVATE KEY"));
        };
        check(&account(Some("cloud-platform"), None), "scope", "cloud-platform");
        check(&account(None, Some("https://run.app")), "target_audience", "https://run.app");
    }

    #[test]
    fn answers_are_read() {
        let token = |account: &ServiceAccount, body: &str| match account.read(body.as_bytes()) {
            Ok(Issued { proof: Proof::Bearer(token), valid_for }) => {
                Ok((token.expose_secret().to_owned(), valid_for.map(|time| time.as_secs())))
            }
            Ok(other) => panic!("{other:?}"),
            Err(why) => Err(why),
        };
        let (access, identity) = (account(Some("s"), None), account(None, Some("a")));
        let both = r#"{"access_token":"ya29","expires_in":3599,"id_token":"eyJ","token_type":"Bearer"}"#;
        assert_eq!(token(&access, both), Ok(("ya29".into(), Some(3599))));
        assert_eq!(token(&identity, both), Ok(("eyJ".into(), Some(3600))));
        assert!(token(&access, r#"{"id_token":"eyJ"}"#).is_err());
        assert!(token(&identity, r#"{"id_token":""}"#).is_err());
        assert!(token(&access, "<html>").is_err());
    }

    #[test]
    fn a_key_file_that_is_none_is_explained_without_its_content() {
        let check = |file: &str, expect: &str| {
            let settings = GoogleServiceAccount { secret: "k".into(), scope: Some("s".into()), audience: None };
            let error = ServiceAccount::new(&settings, &file.into()).unwrap_err().to_string();
            assert!(error.contains(expect) && !error.contains("marker"), "{error}");
        };
        check("marker", "not JSON");
        check(r#"{"client_email":7,"private_key":"marker"}"#, "lacks");
        check(r#"{"client_email":"marker","private_key":"marker","token_uri":"https://t/"}"#, "not an RSA key");
    }

    proptest! {
        /// An answer of any bytes gives a token or a reason, never a panic.
        #[test]
        fn any_answer_is_read(body in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = account(Some("s"), None).read(&body);
        }
    }
}
