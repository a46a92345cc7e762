//! Making a server load what its registry now points at: an HTTP call, or a local command.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use pilothouse_domain::endpoint::Reload;
use pilothouse_domain::{Check, CheckStatus, PlannedCall};
use pilothouse_serving::{ControlClient, MASK};
use url::Url;

use crate::command::How;
use crate::wire::{Wire, checked_url};
use crate::{Authorizer, CallReply, ControlError, command, text};

/// A reload that can be shown and sent.
#[derive(Debug)]
pub(crate) enum Reloader {
    /// Over HTTP.
    Http { method: Method, url: Url, wire: Box<Wire> },
    /// On this machine.
    Command { program: PathBuf, args: Vec<String>, timeout: Duration },
}

impl Reloader {
    /// Checks the settings.
    pub(crate) fn new(
        reload: &Reload,
        client: ControlClient,
        credential: Arc<Authorizer>,
    ) -> Result<Self, ControlError> {
        match reload {
            Reload::Http { method, url, auth: _ } => {
                checked_url("reload.url", url)?;
                let method = match method.to_ascii_uppercase().as_str() {
                    "POST" => Method::POST,
                    "PUT" => Method::PUT,
                    "PATCH" => Method::PATCH,
                    "DELETE" => Method::DELETE,
                    "GET" => Method::GET,
                    _ => {
                        return Err(ControlError::Misconfigured {
                            setting: "reload.method",
                            problem: "must be `POST`, `PUT`, `PATCH`, `DELETE` or `GET`".into(),
                        });
                    }
                };
                let wire = Wire::new("the reload call", url, client, credential);
                Ok(Self::Http { method, url: url.clone(), wire: Box::new(wire) })
            }
            Reload::Command { program, args, timeout_ms } => {
                // A bare name is looked up along PATH; a relative path would depend on where the app was started.
                if program.as_os_str().is_empty() || (program.components().count() > 1 && !program.is_absolute()) {
                    return Err(ControlError::Misconfigured {
                        setting: "reload.program",
                        problem: "must be an absolute path, or the bare name of a program".into(),
                    });
                }
                if !(100..=3_600_000).contains(timeout_ms) {
                    return Err(ControlError::Misconfigured {
                        setting: "reload.timeout_ms",
                        problem: format!("must lie between 100 and 3600000 (1 hour); got {timeout_ms}"),
                    });
                }
                let timeout = Duration::from_millis(u64::from(*timeout_ms));
                Ok(Self::Command { program: program.clone(), args: args.clone(), timeout })
            }
        }
    }

    /// The call as the plan shows it.
    pub(crate) fn planned(&self) -> PlannedCall {
        match self {
            Self::Http { method, url, wire } => PlannedCall {
                purpose: "Ask the server to load what the registry now points at".into(),
                method: method.to_string(),
                url: wire.shown_url(masked_query(url)),
                headers: wire.shown_headers(false),
                body: None,
            },
            Self::Command { program, args, .. } => PlannedCall {
                purpose: "Run the reload command on this machine".into(),
                method: "RUN".into(),
                url: command_line(&program.to_string_lossy(), args),
                headers: Vec::new(),
                body: None,
            },
        }
    }

    /// What can be known without reloading.
    pub(crate) fn check(&self) -> Check {
        let (status, detail) = match self {
            Self::Http { method, url, wire } => {
                (CheckStatus::Pass, format!("the server is reloaded by {method} {}", wire.shown_url(masked_query(url))))
            }
            Self::Command { program, .. } => match command::find(program) {
                Some(found) => (CheckStatus::Pass, format!("the server is reloaded by `{}`", found.display())),
                None => (
                    CheckStatus::Block,
                    format!(
                        "the reload command `{}` is not an executable file here; correct its path",
                        program.display()
                    ),
                ),
            },
        };
        Check { check: "reload".into(), status, detail }
    }

    /// Reloads.
    pub(crate) async fn send(&self) -> Result<CallReply, ControlError> {
        match self {
            Self::Http { method, url, wire } => {
                let answer = wire.write(method.clone(), url, None).await?;
                Ok(CallReply { status: Some(answer.status), detail: wire.answered(&answer.body) })
            }
            Self::Command { program, args, timeout } => run(program, args, *timeout).await,
        }
    }
}

async fn run(program: &std::path::Path, args: &[String], timeout: Duration) -> Result<CallReply, ControlError> {
    let to = format!("the reload command `{}`", program.display());
    let ended = match command::run(program, args, timeout).await {
        Ok(ended) => ended,
        Err(error) => return Err(ControlError::Unreachable { to, why: error.to_string() }),
    };
    let said = text::shorten_front(if ended.stderr.trim().is_empty() { &ended.stdout } else { &ended.stderr });
    let why = match ended.how {
        How::Exited(status) if status.success() => {
            let said = text::shorten_front(&format!("{} {}", ended.stdout, ended.stderr));
            return Ok(CallReply { status: None, detail: with_words("ended with success", &said) });
        }
        // It may have stopped a server and failed to start it, so nothing is known about what it did.
        How::Exited(status) => status.to_string(),
        How::OutOfTime => {
            format!("it had not ended after {} ms, and was ended with everything it started", timeout.as_millis())
        }
        How::Unseen(why) => format!("its end could not be seen: {why}"),
    };
    Err(ControlError::Ambiguous { to, status: None, why: with_words(&why, &said) })
}

fn with_words(what: &str, said: &str) -> String {
    if said.is_empty() { what.to_owned() } else { format!("{what}: {said}") }
}

/// The URL with the values of its query masked: many servers take their token there.
fn masked_query(url: &Url) -> String {
    let mut shown = url.as_str().split(['?', '#']).next().unwrap_or_default().to_owned();
    for (number, (name, _)) in url.query_pairs().enumerate() {
        let separator = if number == 0 { '?' } else { '&' };
        // Writing to a string cannot fail.
        write!(shown, "{separator}{name}={MASK}").ok();
    }
    shown
}

/// A program and its arguments as a person would type them; only for reading, never given to a shell.
fn command_line(program: &str, args: &[String]) -> String {
    let mut line = String::new();
    for word in std::iter::once(program).chain(args.iter().map(String::as_str)) {
        if !line.is_empty() {
            line.push(' ');
        }
        let plain = |c: char| c.is_alphanumeric() || "-_./:=@,+%".contains(c);
        if !word.is_empty() && word.chars().all(plain) {
            line.push_str(word);
        } else {
            line.push('\'');
            line.push_str(&word.replace('\'', r"'\''"));
            line.push('\'');
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Credential;
    use crate::wire::tests::{authorizer, client};

    fn command(program: &str, args: &[&str], timeout_ms: u32) -> Result<Reloader, ControlError> {
        let args = args.iter().map(ToString::to_string).collect();
        let reload = Reload::Command { program: program.into(), args, timeout_ms };
        Reloader::new(&reload, client(), authorizer(Credential::None))
    }

    #[test]
    fn the_plan_shows_the_command_word_for_word() {
        let planned = command("/usr/bin/restart", &["model server", "--now", "it's", ""], 1000).unwrap().planned();
        assert_eq!(planned.method, "RUN");
        assert_eq!(planned.url, r"/usr/bin/restart 'model server' --now 'it'\''s' ''");
    }

    #[test]
    fn a_token_in_the_query_is_masked() {
        let url = "http://127.0.0.1:1/reload?token=abc&x=1".parse().unwrap();
        let reload = Reload::Http { method: "post".into(), url, auth: pilothouse_domain::Auth::None };
        let reloader = Reloader::new(&reload, client(), authorizer(Credential::Bearer("tok-en".into()))).unwrap();
        let planned = reloader.planned();
        assert_eq!(
            (planned.method.as_str(), planned.url.as_str()),
            ("POST", "http://127.0.0.1:1/reload?token=••••&x=••••")
        );
        assert!(planned.headers.contains(&("authorization".into(), "••••".into())));
        assert!(!format!("{planned:?}{:?}", reloader.check()).contains("abc"));
    }

    #[test]
    fn settings_that_cannot_work_are_named() {
        let check = |result: Result<Reloader, ControlError>, setting: &str| {
            assert!(result.unwrap_err().to_string().contains(setting));
        };
        check(command("scripts/restart.sh", &[], 1000), "reload.program");
        check(command("", &[], 1000), "reload.program");
        check(command("/bin/true", &[], 1), "reload.timeout_ms");
        let reload = Reload::Http {
            method: "BREW".into(),
            url: "http://h".parse().unwrap(),
            auth: pilothouse_domain::Auth::None,
        };
        check(Reloader::new(&reload, client(), authorizer(Credential::None)), "reload.method");
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_command_ends_as_success_unknown_or_not_started() {
        let send = async |program, args: &[&str], ms| command(program, args, ms).unwrap().send().await;
        let reply = send("/bin/sh", &["-c", "echo restarted"], 30_000).await.unwrap();
        assert_eq!(reply, CallReply { status: None, detail: "ended with success: restarted".into() });
        let error = send("/bin/sh", &["-c", "echo port in use >&2; exit 7"], 30_000).await.unwrap_err();
        assert!(error.may_have_changed() && error.to_string().contains("exit status: 7: port in use"), "{error}");
        let error = send("/bin/sh", &["-c", "sleep 600"], 100).await.unwrap_err();
        assert!(error.may_have_changed() && error.to_string().contains("after 100 ms"), "{error}");
        let error = send("/nonexistent", &[], 100).await.unwrap_err();
        assert!(matches!(error, ControlError::Unreachable { .. }), "{error}");
        assert_eq!(command("/nonexistent", &[], 100).unwrap().check().status, CheckStatus::Block);
        assert_eq!(command("sh", &[], 100).unwrap().check().status, CheckStatus::Pass);
    }
}
