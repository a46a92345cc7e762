//! How a person proves who they are to a server: every kind, by reference.
//!
//! What it is: settings that are stored, shown and exported. What must stay true: no value of a secret stands here, only
//! the name under which the OS keyring holds it.

use serde::{Deserialize, Serialize};
use url::Url;

use crate::endpoint::InvalidSetting;

/// A credential by reference. The values stand in the OS keyring, under the names that [`Auth::secrets`] lists.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Auth {
    /// None.
    #[default]
    None,
    /// `Authorization: Bearer …`
    Bearer {
        /// The keyring's name of the token.
        secret: String,
    },
    /// `Authorization: Basic …`
    Basic {
        /// The user.
        username: String,
        /// The keyring's name of the password.
        secret: String,
    },
    /// A header of its own, such as `x-api-key`.
    Header {
        /// The header.
        name: String,
        /// The keyring's name of its value.
        secret: String,
    },
    /// A parameter of the query, such as `?api_key=…`.
    Query {
        /// The parameter.
        name: String,
        /// The keyring's name of its value.
        secret: String,
    },
    /// A token by OAuth 2.0 client credentials (RFC 6749 §4.4).
    #[serde(rename = "oauth2")]
    OAuth2(Box<OAuth2>),
    /// A token by Microsoft Entra ID client credentials, which is OAuth 2.0 with a known token URL.
    Entra(Box<Entra>),
    /// A token for a Google service account (a signed JWT is exchanged for it, RFC 7523 §2.1).
    GoogleServiceAccount(Box<GoogleServiceAccount>),
    /// Each request is signed by AWS Signature Version 4.
    #[serde(rename = "aws_sigv4")]
    AwsSigV4(Box<AwsSigV4>),
}

/// OAuth 2.0 client credentials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OAuth2 {
    /// Where tokens are issued.
    pub token_url: Url,
    /// The client.
    pub client_id: String,
    /// The keyring's name of the client's secret.
    pub secret: String,
    /// The scopes asked for; none: the server's default.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// The `audience` asked for, where the server wants one (Auth0, Okta).
    #[serde(default)]
    pub audience: Option<String>,
    /// Where the client's name and secret are put.
    #[serde(default)]
    pub client_auth: ClientAuth,
}

/// Where a token request carries the client's name and secret (RFC 6749 §2.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuth {
    /// In `Authorization: Basic …`, which every server must understand.
    #[default]
    Basic,
    /// In the request's body.
    Body,
}

/// Microsoft Entra ID client credentials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entra {
    /// The tenant's id or domain.
    pub tenant: String,
    /// The application's (client's) id.
    pub client_id: String,
    /// The keyring's name of the client's secret.
    pub secret: String,
    /// What the token is for, such as `https://ml.azure.com/.default`.
    pub scope: String,
    /// The login server of a sovereign cloud; `None`: `https://login.microsoftonline.com/`.
    #[serde(default)]
    pub authority: Option<Url>,
}

/// A Google service account. Exactly one of `scope` and `audience` is set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoogleServiceAccount {
    /// The keyring's name of the account's JSON key file.
    pub secret: String,
    /// The scope of an access token, such as `https://www.googleapis.com/auth/cloud-platform` (Vertex AI).
    #[serde(default)]
    pub scope: Option<String>,
    /// The audience of an identity token: the service's URL (Cloud Run) or the client id (Identity-Aware Proxy).
    #[serde(default)]
    pub audience: Option<String>,
}

/// AWS Signature Version 4.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AwsSigV4 {
    /// The region, such as `eu-central-1`.
    pub region: String,
    /// The service signed for.
    #[serde(default = "sagemaker")]
    pub service: String,
    /// Where the access key comes from.
    pub source: AwsSource,
    /// A role taken on with that key, if any.
    #[serde(default)]
    pub assume_role: Option<AssumeRole>,
}

fn sagemaker() -> String {
    "sagemaker".into()
}

/// Where an AWS access key comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "snake_case")]
pub enum AwsSource {
    /// Given here.
    Static {
        /// The access key's id, which is not a secret.
        access_key_id: String,
        /// The keyring's name of the secret access key.
        secret: String,
        /// The keyring's name of a session token, for temporary keys.
        #[serde(default)]
        session_token_secret: Option<String>,
    },
    /// A profile of the shared `config` and `credentials` files.
    Profile {
        /// The profile.
        name: String,
    },
    /// The variables `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN` of this process.
    Environment,
}

/// A role that is taken on (STS `AssumeRole`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssumeRole {
    /// The role.
    pub role_arn: String,
    /// The session's name in the account's log.
    #[serde(default = "pilothouse")]
    pub session_name: String,
    /// The external id, where the role asks for one.
    #[serde(default)]
    pub external_id: Option<String>,
    /// The address of STS, where it is not the region's own (a VPC endpoint).
    #[serde(default)]
    pub sts_url: Option<Url>,
}

fn pilothouse() -> String {
    "pilothouse".into()
}

impl Auth {
    /// The keyring's names of every secret used.
    pub fn secrets(&self) -> Vec<&str> {
        match self {
            Self::None => Vec::new(),
            Self::Bearer { secret }
            | Self::Basic { secret, .. }
            | Self::Header { secret, .. }
            | Self::Query { secret, .. } => vec![secret],
            Self::OAuth2(oauth2) => vec![&oauth2.secret],
            Self::Entra(entra) => vec![&entra.secret],
            Self::GoogleServiceAccount(google) => vec![&google.secret],
            Self::AwsSigV4(aws) => match &aws.source {
                AwsSource::Static { secret, session_token_secret, .. } => {
                    std::iter::once(secret.as_str()).chain(session_token_secret.as_deref()).collect()
                }
                AwsSource::Profile { .. } | AwsSource::Environment => Vec::new(),
            },
        }
    }

    /// The kind in the word of the configuration file.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Bearer { .. } => "bearer",
            Self::Basic { .. } => "basic",
            Self::Header { .. } => "header",
            Self::Query { .. } => "query",
            Self::OAuth2(_) => "oauth2",
            Self::Entra(_) => "entra",
            Self::GoogleServiceAccount(_) => "google_service_account",
            Self::AwsSigV4(_) => "aws_sigv4",
        }
    }

    /// Checks what can be known without a network. The first problem found is returned.
    pub fn validate(&self) -> Result<(), InvalidSetting> {
        for secret in self.secrets() {
            filled("auth.secret", secret)?;
        }
        match self {
            Self::Basic { username, .. } if username.contains(':') => {
                invalid("auth.username", "must not contain a colon")
            }
            Self::None | Self::Bearer { .. } | Self::Basic { .. } => Ok(()),
            Self::Header { name, .. } | Self::Query { name, .. } => filled("auth.name", name),
            Self::OAuth2(oauth2) => {
                checked_url("auth.token_url", &oauth2.token_url)?;
                filled("auth.client_id", &oauth2.client_id)?;
                oauth2.scopes.iter().try_for_each(|scope| word("auth.scopes", scope))
            }
            Self::Entra(entra) => entra.validate(),
            Self::GoogleServiceAccount(google) => match (&google.scope, &google.audience) {
                (Some(scope), None) => filled("auth.scope", scope),
                (None, Some(audience)) => filled("auth.audience", audience),
                _ => invalid(
                    "auth.scope",
                    "or `auth.audience` must be set, and not both: a scope gives an access token (Vertex AI), an \
                     audience gives an identity token (Cloud Run, Identity-Aware Proxy)",
                ),
            },
            Self::AwsSigV4(aws) => aws.validate(),
        }
    }
}

impl Entra {
    /// The token URL of the tenant (Microsoft identity platform, v2.0); an error for a tenant that fits into no URL.
    pub fn token_url(&self) -> Result<Url, url::ParseError> {
        let authority = self.authority.as_ref().map_or("https://login.microsoftonline.com", Url::as_str);
        format!("{}/{}/oauth2/v2.0/token", authority.trim_end_matches('/'), self.tenant).parse()
    }

    fn validate(&self) -> Result<(), InvalidSetting> {
        let fits = |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '.');
        if self.tenant.is_empty() || !self.tenant.chars().all(fits) {
            return invalid("auth.tenant", "must be the tenant's id or its domain, such as `contoso.onmicrosoft.com`");
        }
        filled("auth.client_id", &self.client_id)?;
        word("auth.scope", &self.scope)?;
        self.authority.as_ref().map_or(Ok(()), |authority| checked_url("auth.authority", authority))
    }
}

impl AwsSigV4 {
    fn validate(&self) -> Result<(), InvalidSetting> {
        let fits = |text: &str| {
            !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        };
        if !fits(&self.region) {
            return invalid("auth.region", "must be an AWS region, such as `eu-central-1`");
        }
        if !fits(&self.service) {
            return invalid("auth.service", "must be the service's signing name, such as `sagemaker`");
        }
        match &self.source {
            AwsSource::Static { access_key_id, .. } => word("auth.source.access_key_id", access_key_id)?,
            AwsSource::Profile { name } => filled("auth.source.name", name)?,
            AwsSource::Environment => {}
        }
        let Some(role) = &self.assume_role else { return Ok(()) };
        if !role.role_arn.starts_with("arn:") {
            return invalid("auth.assume_role.role_arn", "must begin with `arn:`");
        }
        let fits = |c: char| c.is_ascii_alphanumeric() || "+=,.@-_".contains(c);
        if !(2..=64).contains(&role.session_name.len()) || !role.session_name.chars().all(fits) {
            return invalid(
                "auth.assume_role.session_name",
                "must have 2 to 64 letters, digits or characters of `+=,.@-_`",
            );
        }
        role.sts_url.as_ref().map_or(Ok(()), |url| checked_url("auth.assume_role.sts_url", url))
    }
}

fn invalid(field: &'static str, problem: &str) -> Result<(), InvalidSetting> {
    Err(InvalidSetting { field, problem: problem.into() })
}

fn filled(field: &'static str, text: &str) -> Result<(), InvalidSetting> {
    if text.trim().is_empty() || text.chars().any(char::is_control) {
        return invalid(field, "must be given, without control characters");
    }
    Ok(())
}

/// Not empty, without blanks.
fn word(field: &'static str, text: &str) -> Result<(), InvalidSetting> {
    if text.chars().any(char::is_whitespace) {
        return invalid(field, "must not contain blanks");
    }
    filled(field, text)
}

fn checked_url(field: &'static str, url: &Url) -> Result<(), InvalidSetting> {
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return invalid(field, "must begin with https:// (or http://) and name a host");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return invalid(field, "must not contain a user or password; store the secret in the keyring instead");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Auth {
        serde_json::from_str(json).unwrap_or_else(|error| panic!("{json}: {error}"))
    }

    const STATIC_KEYS: &str = r#"{"kind":"aws_sigv4","region":"eu-central-1",
        "source":{"from":"static","access_key_id":"AKIA","secret":"aws","session_token_secret":"aws-session"}}"#;

    #[test]
    fn every_kind_reads_its_word_and_lists_its_secrets() {
        let check = |json: &str, kind: &str, secrets: &[&str]| {
            let auth = parse(json);
            assert_eq!((auth.kind(), auth.secrets()), (kind, secrets.to_vec()), "{json}");
            assert_eq!(auth.validate(), Ok(()), "{json}");
            assert_eq!(parse(&serde_json::to_string(&auth).unwrap()), auth, "{json}");
        };
        check(r#"{"kind":"none"}"#, "none", &[]);
        check(r#"{"kind":"bearer","secret":"t"}"#, "bearer", &["t"]);
        check(r#"{"kind":"basic","username":"ann","secret":"p"}"#, "basic", &["p"]);
        check(r#"{"kind":"header","name":"x-api-key","secret":"k"}"#, "header", &["k"]);
        check(r#"{"kind":"query","name":"api_key","secret":"k"}"#, "query", &["k"]);
        check(r#"{"kind":"oauth2","token_url":"https://sso/t","client_id":"c","secret":"s"}"#, "oauth2", &["s"]);
        check(r#"{"kind":"entra","tenant":"t","client_id":"c","secret":"s","scope":"x/.default"}"#, "entra", &["s"]);
        check(r#"{"kind":"google_service_account","secret":"g","scope":"x"}"#, "google_service_account", &["g"]);
        check(STATIC_KEYS, "aws_sigv4", &["aws", "aws-session"]);
        check(
            r#"{"kind":"aws_sigv4","region":"eu-west-1","source":{"from":"profile","name":"prod"},
                "assume_role":{"role_arn":"arn:aws:iam::1:role/r"}}"#,
            "aws_sigv4",
            &[],
        );
    }

    #[test]
    fn what_is_left_out_has_the_usual_value() {
        let Auth::AwsSigV4(aws) = parse(STATIC_KEYS) else { panic!() };
        assert_eq!((aws.service.as_str(), aws.assume_role), ("sagemaker", None));
        let entra = parse(r#"{"kind":"entra","tenant":"t.example","client_id":"c","secret":"s","scope":"x"}"#);
        let Auth::Entra(entra) = entra else { panic!() };
        assert_eq!(
            entra.token_url().unwrap().as_str(),
            "https://login.microsoftonline.com/t.example/oauth2/v2.0/token"
        );
        let china = Entra { authority: Some("https://login.chinacloudapi.cn".parse().unwrap()), ..*entra };
        assert_eq!(china.token_url().unwrap().as_str(), "https://login.chinacloudapi.cn/t.example/oauth2/v2.0/token");
    }

    #[test]
    fn settings_that_cannot_work_are_named() {
        let check = |json: &str, field: &str| assert_eq!(parse(json).validate().unwrap_err().field, field, "{json}");
        check(r#"{"kind":"bearer","secret":""}"#, "auth.secret");
        check(r#"{"kind":"basic","username":"a:b","secret":"p"}"#, "auth.username");
        check(r#"{"kind":"query","name":" ","secret":"p"}"#, "auth.name");
        check(r#"{"kind":"oauth2","token_url":"ftp://h/t","client_id":"c","secret":"s"}"#, "auth.token_url");
        check(r#"{"kind":"oauth2","token_url":"https://a:b@h/t","client_id":"c","secret":"s"}"#, "auth.token_url");
        check(
            r#"{"kind":"oauth2","token_url":"https://h/t","client_id":"c","secret":"s","scopes":["a b"]}"#,
            "auth.scopes",
        );
        check(r#"{"kind":"entra","tenant":"a/b","client_id":"c","secret":"s","scope":"x"}"#, "auth.tenant");
        check(r#"{"kind":"google_service_account","secret":"g"}"#, "auth.scope");
        check(r#"{"kind":"google_service_account","secret":"g","scope":"a","audience":"b"}"#, "auth.scope");
        check(r#"{"kind":"aws_sigv4","region":"EU west","source":{"from":"environment"}}"#, "auth.region");
        check(
            r#"{"kind":"aws_sigv4","region":"eu-west-1","source":{"from":"environment"},"assume_role":{"role_arn":"role/r"}}"#,
            "auth.assume_role.role_arn",
        );
    }
}
