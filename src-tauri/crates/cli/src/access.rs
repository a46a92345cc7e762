//! What opens the door: credentials by reference, certificate authorities, client certificates.
//!
//! What must stay true: no value of a secret stands on a command line or in a file read here, only its name in the
//! keyring.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;
use pilothouse_domain::endpoint::Tls;
use pilothouse_domain::{Auth, Network};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::network::NetworkOptions;
use crate::table_file;

/// What opens the door.
#[derive(Debug, Args)]
pub(crate) struct AccessOptions {
    /// Credential by reference: keyring:NAME (bearer token), basic:USER:keyring:NAME, header:HEADER:keyring:NAME or
    /// query:PARAMETER:keyring:NAME
    #[arg(long, value_name = "REFERENCE", conflicts_with = "auth_file")]
    pub(crate) auth: Option<AuthReference>,
    /// Credential of any kind, from a TOML or JSON file
    #[arg(long, value_name = "FILE", long_help = AUTH_FILE_HELP)]
    pub(crate) auth_file: Option<PathBuf>,
    /// PEM file with further certificate authorities
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// PEM file with the client certificate chain (mutual TLS)
    #[arg(long, value_name = "FILE", requires = "client_key")]
    pub(crate) client_cert: Option<PathBuf>,
    /// Private key of the client certificate by reference: keyring:NAME
    #[arg(long, value_name = "REFERENCE", requires = "client_cert")]
    pub(crate) client_key: Option<KeyReference>,
    #[command(flatten)]
    network: NetworkOptions,
}

const AUTH_FILE_HELP: &str = r#"Credential of any kind, from a TOML or JSON file. Secrets stand in it by their name in the keyring
(`pilothousectl secret set NAME`). One of:

  kind = "oauth2"                  # OAuth 2.0 client credentials
  token_url = "https://sso.example/oauth/token"
  client_id = "pilothouse"
  secret = "sso-secret"
  scopes = ["models:read"]         # optional; also: audience = "...", client_auth = "body"

  kind = "entra"                   # Microsoft Entra ID client credentials
  tenant = "contoso.onmicrosoft.com"
  client_id = "..."
  secret = "entra-secret"
  scope = "https://ml.azure.com/.default"

  kind = "google_service_account"  # the secret is the whole JSON key file
  secret = "vertex-key"
  scope = "https://www.googleapis.com/auth/cloud-platform"   # or: audience = "https://..."

  kind = "aws_sigv4"
  region = "eu-central-1"          # service = "sagemaker" unless given
  source = { from = "profile", name = "prod" }
                                   # or { from = "static", access_key_id = "AKIA...", secret = "aws-secret" }
                                   # or { from = "environment" }
  assume_role = { role_arn = "arn:aws:iam::123456789012:role/watch" }   # optional"#;

impl AccessOptions {
    pub(crate) fn auth(&self) -> Result<Auth, Failure> {
        auth_of(self.auth.as_ref(), self.auth_file.as_deref())
    }

    pub(crate) fn network(&self) -> Result<Network, Failure> {
        self.network.network()
    }

    pub(crate) fn tls(&self) -> Tls {
        Tls {
            ca_file: self.ca_file.clone(),
            client_certificate_file: self.client_cert.clone(),
            client_key_secret: self.client_key.as_ref().map(|key| key.0.clone()),
        }
    }
}

/// The credential that a reference or a file gives; none without either.
pub(crate) fn auth_of(reference: Option<&AuthReference>, file: Option<&Path>) -> Result<Auth, Failure> {
    match (reference, file) {
        (Some(reference), _) => Ok(reference.0.clone()),
        (None, Some(path)) => read_auth_file(path),
        (None, None) => Ok(Auth::None),
    }
}

/// A private key that stands in the keyring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyReference(String);

impl FromStr for KeyReference {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let name = text.strip_prefix("keyring:").ok_or("give keyring:NAME; a key never stands on a command line")?;
        pilothouse_secrets::check_name(name).map_err(|error| error.to_string())?;
        Ok(Self(name.to_owned()))
    }
}

/// A credential that stands in the keyring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AuthReference(pub(crate) Auth);

impl FromStr for AuthReference {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = "give keyring:NAME, basic:USER:keyring:NAME, header:HEADER:keyring:NAME or \
                    query:PARAMETER:keyring:NAME (or --auth-file for other kinds); a value itself never stands on a \
                    command line";
        let checked = |name: &str| match pilothouse_secrets::check_name(name) {
            Ok(()) => Ok(name.to_owned()),
            Err(error) => Err(error.to_string()),
        };
        if let Some(name) = text.strip_prefix("keyring:") {
            return Ok(Self(Auth::Bearer { secret: checked(name)? }));
        }
        let (first, name) = text.split_once(":keyring:").ok_or(form)?;
        match first.split_once(':') {
            Some(("basic", username)) if !username.is_empty() => {
                Ok(Self(Auth::Basic { username: username.to_owned(), secret: checked(name)? }))
            }
            Some(("header", header)) if !header.is_empty() => {
                Ok(Self(Auth::Header { name: header.to_owned(), secret: checked(name)? }))
            }
            Some(("query", parameter)) if !parameter.is_empty() => {
                Ok(Self(Auth::Query { name: parameter.to_owned(), secret: checked(name)? }))
            }
            _ => Err(form.to_owned()),
        }
    }
}

/// A credential for the eye and for scripts: as [`AuthReference`] reads it where that can be, else as a file for
/// `--auth-file` holds it; `null` without one.
pub(crate) fn auth_view(auth: &Auth) -> Value {
    match auth {
        Auth::None => Value::Null,
        Auth::Bearer { secret } => format!("keyring:{secret}").into(),
        Auth::Basic { username, secret } => format!("basic:{username}:keyring:{secret}").into(),
        Auth::Header { name, secret } => format!("header:{name}:keyring:{secret}").into(),
        Auth::Query { name, secret } => format!("query:{name}:keyring:{secret}").into(),
        Auth::OAuth2(_) | Auth::Entra(_) | Auth::GoogleServiceAccount(_) | Auth::AwsSigV4(_) => json!(auth),
    }
}

/// Reads a credential's file: TOML, or JSON when its name ends so. It holds names of secrets, never values.
fn read_auth_file(path: &Path) -> Result<Auth, Failure> {
    let text = table_file::read_text(path)?;
    let is_json = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
    let read = if is_json {
        serde_json::from_str(&text).map_err(|error| error.to_string())
    } else {
        toml::from_str(&text).map_err(|error| error.to_string())
    };
    let unusable = |why: String| {
        Failure::usage(format!("the credential in {} cannot be used: {why}", path.display())).hint(AUTH_FILE_HINT)
    };
    let auth: Auth = read.map_err(|why: String| unusable(one_line(&why)))?;
    auth.validate().map_err(|problem| unusable(problem.to_string()))?;
    for secret in auth.secrets() {
        pilothouse_secrets::check_name(secret).map_err(|error| unusable(error.to_string()))?;
    }
    Ok(auth)
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

const AUTH_FILE_HINT: &str = "see `pilothousectl endpoint add --help`, under --auth-file";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_references() {
        let check = |text: &str, expect: Auth| {
            assert_eq!(text.parse(), Ok(AuthReference(expect.clone())), "{text}");
            assert_eq!(auth_view(&expect), text);
        };
        check("keyring:prod-token", Auth::Bearer { secret: "prod-token".into() });
        check("basic:ada:keyring:p", Auth::Basic { username: "ada".into(), secret: "p".into() });
        check("header:x-api-key:keyring:k", Auth::Header { name: "x-api-key".into(), secret: "k".into() });
        check("query:api_key:keyring:k", Auth::Query { name: "api_key".into(), secret: "k".into() });
        for refused in ["hunter2", "bearer:hunter2", "basic::keyring:p", "keyring:", "cookie:x:keyring:k"] {
            assert!(refused.parse::<AuthReference>().is_err(), "{refused}");
        }
    }

    #[test]
    fn a_file_describes_every_kind() {
        let folder = tempfile::tempdir().unwrap();
        let check = |name: &str, text: &str| {
            let file = folder.path().join(name);
            std::fs::write(&file, text).unwrap();
            auth_of(None, Some(&file))
        };
        let toml = "kind = 'aws_sigv4'\nregion = 'eu-central-1'\nsource = { from = 'profile', name = 'prod' }\n";
        let found = check("aws.toml", toml).unwrap();
        assert_eq!(auth_view(&found)["source"]["name"], "prod");
        let again = check("aws.json", &auth_view(&found).to_string()).unwrap();
        assert_eq!(again, found, "what is shown can be read again");
        let entra = "kind = 'entra'\ntenant = 't'\nclient_id = 'c'\nsecret = 'entra'\nscope = 'x/.default'\n";
        assert_eq!(check("entra.toml", entra).unwrap().secrets(), ["entra"]);
        for (name, text) in [
            ("unknown.toml", "kind = 'kerberos'"),
            ("incomplete.toml", "kind = 'oauth2'\nclient_id = 'c'"),
            ("invalid.toml", "kind = 'google_service_account'\nsecret = 'g'"),
            ("name.toml", "kind = 'bearer'\nsecret = 'two\\nlines'"),
            ("broken.json", "kind = 'none'"),
        ] {
            assert!(check(name, text).is_err(), "{name}");
        }
        assert!(auth_of(None, Some(&folder.path().join("absent.toml"))).is_err());
        assert_eq!(auth_of(None, None).unwrap(), Auth::None);
    }

    #[test]
    fn a_key_is_a_reference() {
        assert_eq!("keyring:client-key".parse(), Ok(KeyReference("client-key".into())));
        assert!("-----BEGIN PRIVATE KEY-----".parse::<KeyReference>().is_err());
    }
}
