//! Credentials between the form and the engine: drafts hold text as a person types it.

use pilothouse_domain::Auth;
use pilothouse_domain::auth::{AssumeRole, AwsSigV4, AwsSource, ClientAuth, Entra, GoogleServiceAccount, OAuth2};

use crate::ApiError;
use crate::connect::{invalid, parse_url};
use crate::types::{AssumeRoleDraft, AuthDraft, AwsSourceDraft, ClientAuthWord};

/// Reads a draft. What it refuses, it names; ranges are checked with the whole endpoint.
pub(crate) fn auth(draft: AuthDraft) -> Result<Auth, ApiError> {
    let auth = match draft {
        AuthDraft::None => Auth::None,
        AuthDraft::Bearer { secret } => Auth::Bearer { secret },
        AuthDraft::Basic { username, secret } => Auth::Basic { username, secret },
        AuthDraft::Header { name, secret } => Auth::Header { name: name.trim().to_owned(), secret },
        AuthDraft::Query { name, secret } => Auth::Query { name: name.trim().to_owned(), secret },
        AuthDraft::Oauth2 { token_url, client_id, secret, scopes, audience, client_auth } => {
            Auth::OAuth2(Box::new(OAuth2 {
                token_url: parse_url("auth.token_url", &token_url)?,
                client_id: client_id.trim().to_owned(),
                secret,
                scopes: scopes.split_whitespace().map(str::to_owned).collect(),
                audience: filled(audience),
                client_auth: match client_auth {
                    ClientAuthWord::Basic => ClientAuth::Basic,
                    ClientAuthWord::Body => ClientAuth::Body,
                },
            }))
        }
        AuthDraft::Entra { tenant, client_id, secret, scope, authority } => Auth::Entra(Box::new(Entra {
            tenant: tenant.trim().to_owned(),
            client_id: client_id.trim().to_owned(),
            secret,
            scope: scope.trim().to_owned(),
            authority: filled(authority).map(|url| parse_url("auth.authority", &url)).transpose()?,
        })),
        AuthDraft::GoogleServiceAccount { secret, scope, audience } => {
            Auth::GoogleServiceAccount(Box::new(GoogleServiceAccount {
                secret,
                scope: filled(scope),
                audience: filled(audience),
            }))
        }
        AuthDraft::AwsSigv4 { region, service, source, assume_role } => Auth::AwsSigV4(Box::new(AwsSigV4 {
            region: region.trim().to_owned(),
            service: filled(Some(service)).unwrap_or_else(|| "sagemaker".into()),
            source: match source {
                AwsSourceDraft::Static { access_key_id, secret, session_token_secret } => AwsSource::Static {
                    access_key_id: access_key_id.trim().to_owned(),
                    secret,
                    session_token_secret: filled(session_token_secret),
                },
                AwsSourceDraft::Profile { name } => AwsSource::Profile { name: name.trim().to_owned() },
                AwsSourceDraft::Environment => AwsSource::Environment,
            },
            assume_role: assume_role.map(role).transpose()?,
        })),
    };
    // Without an endpoint (detection) nobody else would look.
    auth.validate().map_err(|problem| invalid(problem.to_string()))?;
    Ok(auth)
}

fn role(draft: AssumeRoleDraft) -> Result<AssumeRole, ApiError> {
    Ok(AssumeRole {
        role_arn: draft.role_arn.trim().to_owned(),
        session_name: filled(Some(draft.session_name)).unwrap_or_else(|| "pilothouse".into()),
        external_id: filled(draft.external_id),
        sts_url: filled(draft.sts_url).map(|url| parse_url("auth.assume_role.sts_url", &url)).transpose()?,
    })
}

fn filled(text: Option<String>) -> Option<String> {
    text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// A credential as a person edits it.
pub fn auth_draft(auth: &Auth) -> AuthDraft {
    match auth.clone() {
        Auth::None => AuthDraft::None,
        Auth::Bearer { secret } => AuthDraft::Bearer { secret },
        Auth::Basic { username, secret } => AuthDraft::Basic { username, secret },
        Auth::Header { name, secret } => AuthDraft::Header { name, secret },
        Auth::Query { name, secret } => AuthDraft::Query { name, secret },
        Auth::OAuth2(oauth2) => AuthDraft::Oauth2 {
            token_url: oauth2.token_url.to_string(),
            client_id: oauth2.client_id,
            secret: oauth2.secret,
            scopes: oauth2.scopes.join(" "),
            audience: oauth2.audience,
            client_auth: match oauth2.client_auth {
                ClientAuth::Basic => ClientAuthWord::Basic,
                ClientAuth::Body => ClientAuthWord::Body,
            },
        },
        Auth::Entra(entra) => AuthDraft::Entra {
            tenant: entra.tenant,
            client_id: entra.client_id,
            secret: entra.secret,
            scope: entra.scope,
            authority: entra.authority.map(|url| url.to_string()),
        },
        Auth::GoogleServiceAccount(google) => {
            AuthDraft::GoogleServiceAccount { secret: google.secret, scope: google.scope, audience: google.audience }
        }
        Auth::AwsSigV4(aws) => AuthDraft::AwsSigv4 {
            region: aws.region,
            service: aws.service,
            source: match aws.source {
                AwsSource::Static { access_key_id, secret, session_token_secret } => {
                    AwsSourceDraft::Static { access_key_id, secret, session_token_secret }
                }
                AwsSource::Profile { name } => AwsSourceDraft::Profile { name },
                AwsSource::Environment => AwsSourceDraft::Environment,
            },
            assume_role: aws.assume_role.map(|role| AssumeRoleDraft {
                role_arn: role.role_arn,
                session_name: role.session_name,
                external_id: role.external_id,
                sts_url: role.sts_url.map(|url| url.to_string()),
            }),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds() -> Vec<Auth> {
        [
            r#"{"kind":"none"}"#,
            r#"{"kind":"bearer","secret":"k"}"#,
            r#"{"kind":"basic","username":"ann","secret":"k"}"#,
            r#"{"kind":"header","name":"x-api-key","secret":"k"}"#,
            r#"{"kind":"query","name":"api_key","secret":"k"}"#,
            r#"{"kind":"oauth2","token_url":"https://sso/t","client_id":"c","secret":"k","scopes":["a","b"],
                "audience":"models","client_auth":"body"}"#,
            r#"{"kind":"entra","tenant":"t","client_id":"c","secret":"k","scope":"x","authority":"https://login.cn/"}"#,
            r#"{"kind":"google_service_account","secret":"k","audience":"https://run.app"}"#,
            r#"{"kind":"aws_sigv4","region":"r","source":{"from":"static","access_key_id":"A","secret":"k",
                "session_token_secret":"s"}}"#,
            r#"{"kind":"aws_sigv4","region":"r","service":"bedrock","source":{"from":"profile","name":"prod"},
                "assume_role":{"role_arn":"arn:x","external_id":"e","sts_url":"https://sts/"}}"#,
            r#"{"kind":"aws_sigv4","region":"r","source":{"from":"environment"}}"#,
        ]
        .iter()
        .map(|json| serde_json::from_str(json).unwrap())
        .collect()
    }

    #[test]
    fn a_draft_is_the_credential_again() {
        for kind in kinds() {
            assert_eq!(auth(auth_draft(&kind)).unwrap(), kind);
        }
    }

    /// The configuration file and the form use the same words for the kinds.
    #[test]
    fn the_words_are_those_of_the_configuration() {
        for kind in kinds() {
            let draft = serde_json::to_value(auth_draft(&kind)).unwrap();
            assert_eq!(draft["kind"], kind.kind());
        }
    }

    #[test]
    fn blanks_are_no_values() {
        let google = AuthDraft::GoogleServiceAccount {
            secret: "k".into(),
            scope: Some(" x ".into()),
            audience: Some("  ".into()),
        };
        let Auth::GoogleServiceAccount(found) = auth(google).unwrap() else { panic!() };
        assert_eq!((found.scope.as_deref(), found.audience), (Some("x"), None));
        let empty = AuthDraft::Entra {
            tenant: String::new(),
            client_id: "c".into(),
            secret: "k".into(),
            scope: "x".into(),
            authority: None,
        };
        assert!(auth(empty).unwrap_err().to_string().contains("auth.tenant"));
    }
}
