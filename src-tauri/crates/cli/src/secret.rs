//! `secret`: values go from standard input into the OS keyring, and never come back out.

use std::io::Read;

use clap::Subcommand;
use pilothouse_api::types::{SecretEntry, SecretRequest, SecretSetRequest, SecretState};
use serde_json::json;

use crate::arguments::Common;
use crate::failure::{Answer, Failure};
use crate::output::Output;
use crate::session::with_api;

/// Longest value that is read, in bytes.
const VALUE_MAX_BYTES: u64 = 64 * 1024;

/// `secret …`
#[derive(Debug, Subcommand)]
pub(crate) enum SecretCommand {
    /// Store a value that stands on standard input; one newline at its end is left out
    Set {
        /// The secret's name
        name: String,
    },
    /// Tell whether a secret is present, missing, locked or unavailable
    State {
        /// The secret's name
        name: String,
    },
    /// Remove a secret
    Forget {
        /// The secret's name
        name: String,
    },
}

/// Carries it out. The state of a secret is good news only when it can be used.
pub(crate) async fn run(command: SecretCommand, common: &Common, output: Output) -> Result<Answer, Failure> {
    with_api(common, async |api| {
        let (entry, wanted) = match command {
            SecretCommand::Set { name } => {
                let value = read_value()?;
                (api.secret_set(SecretSetRequest { name, value }).await?, SecretState::Present)
            }
            SecretCommand::State { name } => {
                check_name(&name)?;
                (api.secret_state(SecretRequest { name }).await?, SecretState::Present)
            }
            SecretCommand::Forget { name } => (api.secret_forget(SecretRequest { name }).await?, SecretState::Missing),
        };
        let document = json!({ "name": entry.name, "state": entry.state, "used_by": entry.used_by });
        output.answer(&document, || text(&entry));
        Ok(Answer::good_if(entry.state == wanted))
    })
    .await
}

fn check_name(name: &str) -> Result<(), Failure> {
    pilothouse_secrets::check_name(name).map_err(|error| Failure::usage(error.to_string()))
}

fn text(entry: &SecretEntry) -> String {
    let state = match entry.state {
        SecretState::Present => "present",
        SecretState::Missing => "missing",
        SecretState::Locked => "locked: unlock the keyring, or answer its prompt",
        SecretState::Unavailable => "unavailable: no keyring answers",
    };
    match entry.used_by.as_slice() {
        [] => format!("{}: {state}", entry.name),
        used_by => format!("{}: {state} (used by {})", entry.name, used_by.join(", ")),
    }
}

fn read_value() -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let read = std::io::stdin().lock().take(VALUE_MAX_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|error| Failure::usage(format!("standard input cannot be read: {error}")))?;
    if bytes.len() as u64 > VALUE_MAX_BYTES {
        return Err(Failure::usage(format!("the secret is longer than {VALUE_MAX_BYTES} bytes")));
    }
    value_of(bytes)
}

/// The value without the newline that `echo` and editors put at the end.
fn value_of(bytes: Vec<u8>) -> Result<String, Failure> {
    let mut value = String::from_utf8(bytes).map_err(|_| Failure::usage("the secret is not text in UTF-8"))?;
    if value.ends_with('\n') {
        value.pop();
        if value.ends_with('\r') {
            value.pop();
        }
    }
    if value.is_empty() {
        return Err(Failure::usage("standard input holds no secret")
            .hint("pipe the value in, such as `pilothousectl secret set NAME < FILE`"));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_newline_is_left_out() {
        let check = |text: &str, expect: Option<&str>| {
            assert_eq!(value_of(text.as_bytes().to_vec()).ok().as_deref(), expect, "{text:?}");
        };
        check("token", Some("token"));
        check("token\n", Some("token"));
        check("token\r\n", Some("token"));
        check("two\nlines\n\n", Some("two\nlines\n"));
        check("\n", None);
        check("", None);
        assert!(value_of(vec![0xff]).is_err());
    }
}
