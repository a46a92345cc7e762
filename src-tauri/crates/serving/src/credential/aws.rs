//! AWS Signature Version 4, through AWS's own signing crate.
//!
//! Signed are the host, the content type, every `x-amz-*` and `x-amzn-*` header and the body; what a proxy may change is
//! not. AWS demands the first kind only; its SDKs sign the second as well (boto3 1.44.5, a request with a target variant).

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningParams, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::identity::Identity;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use pilothouse_domain::UnknownReason;
use pilothouse_domain::auth::{AssumeRole, AwsSigV4, AwsSource};
use secrecy::SecretString;
use url::Position;

use super::MASK;
use super::authorizer::{Authorization, RequestParts};
use super::aws_keys::AwsKeys;
use super::concealed::Concealed;
use super::fixed::sensitive;
use super::token::{Issued, Proof};
use super::token_client::TokenClient;
use crate::ServingError;
use crate::transport::Failure;

/// As whom, for which service and where requests are signed.
#[derive(Clone)]
pub struct AwsIdentity {
    region: String,
    service: String,
    keys: AwsKeys,
    role: Option<AssumeRole>,
}

impl AwsIdentity {
    /// `value` gives a secret by its name in the keyring.
    pub(super) fn new(
        settings: &AwsSigV4,
        value: impl Fn(&str) -> Result<SecretString, ServingError>,
    ) -> Result<Self, ServingError> {
        let keys = match &settings.source {
            AwsSource::Static { access_key_id, secret, session_token_secret } => AwsKeys::Given {
                access_key_id: access_key_id.clone(),
                secret: value(secret)?,
                session_token: session_token_secret.as_deref().map(value).transpose()?,
            },
            AwsSource::Profile { name } => AwsKeys::Profile(name.clone()),
            AwsSource::Environment => AwsKeys::Environment,
        };
        Ok(Self {
            region: settings.region.clone(),
            service: settings.service.clone(),
            keys,
            role: settings.assume_role.clone(),
        })
    }

    /// The secrets as given.
    pub(super) fn secrets(&self) -> Vec<SecretString> {
        match &self.keys {
            AwsKeys::Given { secret, session_token, .. } => {
                std::iter::once(secret.clone()).chain(session_token.clone()).collect()
            }
            AwsKeys::Profile(_) | AwsKeys::Environment => Vec::new(),
        }
    }

    /// What tells one identity from another. Keys do not depend on the service that they sign for.
    pub(super) fn parts(&self) -> Vec<&str> {
        let mut parts = vec!["aws", self.region.as_str()];
        parts.extend(self.keys.parts());
        if let Some(role) = &self.role {
            let sts_url = role.sts_url.as_ref().map_or("", url::Url::as_str);
            parts.extend([
                &role.role_arn,
                &role.session_name,
                role.external_id.as_deref().unwrap_or_default(),
                sts_url,
            ]);
        }
        parts
    }

    /// Whether asking again may give other keys.
    pub(super) const fn is_renewable(&self) -> bool {
        self.role.is_some() || !matches!(self.keys, AwsKeys::Given { .. })
    }

    /// The headers that a plan shows.
    pub(super) fn header_names(&self) -> Vec<HeaderName> {
        let mut names = vec![http::header::AUTHORIZATION, HeaderName::from_static("x-amz-date")];
        if self.role.is_some() || matches!(&self.keys, AwsKeys::Given { session_token: Some(_), .. }) {
            names.push(HeaderName::from_static("x-amz-security-token"));
        }
        names
    }

    /// Obtains the keys.
    pub(super) async fn issue(&self, calls: &Arc<TokenClient>) -> Result<Issued, Failure> {
        let keys = self.keys.obtain(&self.region, self.role.as_ref(), calls).await?;
        let valid_for = keys.expiry().map(|expiry| expiry.duration_since(SystemTime::now()).unwrap_or_default());
        Ok(Issued { proof: Proof::Aws(keys), valid_for })
    }

    /// Signs one request.
    pub(super) fn sign(
        &self,
        keys: &Credentials,
        request: &RequestParts<'_>,
        now: SystemTime,
        concealed: &Concealed,
    ) -> Result<Authorization, Failure> {
        let unusable = |why: &dyn fmt::Display| {
            Failure::ours(UnknownReason::Misconfigured, format!("the request cannot be signed: {why}"))
        };
        let content_type = request.content_type.map(|value| (CONTENT_TYPE, value.clone()));
        let own = request.headers.iter().filter(|(name, _)| name.as_str().starts_with("x-amz")).cloned();
        let headers: Vec<(HeaderName, HeaderValue)> = own.chain(content_type).collect();
        let headers = headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
        let url = &request.url[..Position::AfterQuery];
        let signable = SignableRequest::new(request.method.as_str(), url, headers, SignableBody::Bytes(request.body))
            .map_err(|error| unusable(&error))?;
        let identity = Identity::from(keys.clone());
        let params: SigningParams<'_> = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(&self.service)
            .time(now)
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| unusable(&error))?
            .into();
        let (instructions, signature) = sign(signable, &params).map_err(|error| unusable(&error))?.into_parts();
        concealed.remember(&signature);
        concealed.remember(keys.secret_access_key());
        if let Some(token) = keys.session_token() {
            concealed.remember(token);
        }
        let headers: Result<Vec<_>, ServingError> = instructions
            .headers()
            .map(|(name, value)| {
                let name = HeaderName::from_bytes(name.as_bytes())
                    .map_err(|error| ServingError::Credential(error.to_string()))?;
                Ok((name, sensitive(value)?))
            })
            .collect();
        Ok(Authorization::of_headers(headers.map_err(|error| unusable(&error))?))
    }
}

impl fmt::Debug for AwsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = match &self.keys {
            AwsKeys::Given { access_key_id, .. } => format!("{access_key_id} {MASK}"),
            AwsKeys::Profile(name) => format!("profile {name:?}"),
            AwsKeys::Environment => "environment".into(),
        };
        let Self { region, service, role, .. } = self;
        write!(f, "AwsIdentity {{ region: {region:?}, service: {service:?}, keys: {keys}, role: {role:?} }}")
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use http::Method;

    use super::*;

    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
    const TOKEN: &str = "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267";

    fn identity() -> AwsIdentity {
        let settings = serde_json::json!({
            "region": "us-east-1", "service": "service",
            "source": {"from": "static", "access_key_id": "AKIDEXAMPLE", "secret": "k"},
        });
        AwsIdentity::new(&serde_json::from_value(settings).unwrap(), |_| Ok(SECRET.into())).unwrap()
    }

    /// Cases of AWS's signing test suite (aws-c-auth v0.9.0 and the older `aws-sig-v4-test-suite`), each with its
    /// context: key `AKIDEXAMPLE`, `us-east-1`, `service`, 2015-08-30T12:36:00Z.
    #[test]
    fn signatures_are_those_of_the_official_test_suite() {
        let check = |method: Method, url: &str, form: Option<&str>, token: Option<&str>, signed: &str, expect: &str| {
            let keys = Credentials::new("AKIDEXAMPLE", SECRET, token.map(str::to_owned), None, "test");
            let url = url.parse().unwrap();
            let form_type = HeaderValue::from_static("application/x-www-form-urlencoded");
            let request = RequestParts {
                method: &method,
                url: &url,
                headers: &[(http::header::ACCEPT, HeaderValue::from_static("*/*"))],
                content_type: form.is_some().then_some(&form_type),
                body: form.unwrap_or_default().as_bytes(),
            };
            let now = UNIX_EPOCH + Duration::from_mins(24_015_636);
            let concealed = Concealed::default();
            let found = identity().sign(&keys, &request, now, &concealed).unwrap();
            let header = |name: &str| {
                found
                    .headers()
                    .iter()
                    .find(|(found, _)| found == name)
                    .map(|(_, value)| value.to_str().unwrap().to_owned())
            };
            assert_eq!(header("x-amz-date").as_deref(), Some("20150830T123600Z"));
            assert_eq!(header("x-amz-security-token").as_deref(), token);
            let authorization = format!(
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
                 SignedHeaders={signed}, Signature={expect}"
            );
            assert_eq!(header("authorization"), Some(authorization), "{url}");
            assert!(!concealed.redact(&format!("no such signature {expect}")).contains(expect));
            assert!(!format!("{found:?}").contains(expect), "{found:?}");
        };
        let base = "https://example.amazonaws.com/";
        let (get, post) = (Method::GET, Method::POST);
        let vanilla = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";
        check(get.clone(), base, None, None, "host;x-amz-date", vanilla);
        let query = "https://example.amazonaws.com/?Param-3=Value3&Param=Value2&%E1%88%B4=Value1";
        let ordered = "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac";
        check(get.clone(), query, None, None, "host;x-amz-date", ordered);
        let session = "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8";
        check(get, base, None, Some(TOKEN), "host;x-amz-date;x-amz-security-token", session);
        let form = "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a";
        check(post, base, Some("Param1=value1"), None, "content-type;host;x-amz-date", form);
    }

    /// Case `double-encode-path` of the suite: services decode a path before they check it, so that it is encoded twice.
    #[test]
    fn a_path_is_encoded_twice() {
        let keys = Credentials::new("ANOTREAL", "notrealrnrELgWzOk3IfjzDKtFBhDby", None, None, "test");
        let host = "https://tj9n5r0m12.execute-api.us-east-1.amazonaws.com";
        let url = format!("{host}/test/@connections/JBDvjfGEIAMCERw%3D").parse().unwrap();
        let request = RequestParts { method: &Method::POST, url: &url, headers: &[], content_type: None, body: &[] };
        let now = UNIX_EPOCH + Duration::from_mins(24_015_636);
        let found = identity().sign(&keys, &request, now, &Concealed::default()).unwrap();
        let values: Vec<&str> = found.headers().iter().filter_map(|(_, value)| value.to_str().ok()).collect();
        let expect = "Signature=57d157672191bac40bae387e48bbe14b15303c001fdbb01f4abf295dccb09705";
        assert!(values.iter().any(|value| value.ends_with(expect)), "{values:?}");
    }

    #[test]
    fn keys_that_stand_still_are_not_asked_again() {
        assert!(!identity().is_renewable());
        let names: Vec<String> = identity().header_names().iter().map(ToString::to_string).collect();
        assert_eq!(names, ["authorization", "x-amz-date"]);
        assert!(!format!("{:?}", identity()).contains("wJalr"));
    }
}
