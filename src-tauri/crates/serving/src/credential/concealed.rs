//! What must never stand in a text, and the blanking out of it: servers echo what they refuse.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use secrecy::{ExposeSecret as _, SecretString};

use super::MASK;

/// Tokens and signatures remembered. An answer is read right after its request, of which few are in flight at once.
const REMEMBERED: usize = 16;

/// Shorter values would blank out harmless text everywhere, and protect nothing.
const SHORTEST: usize = 4;

/// A token may be echoed in part; of one this long, its first and last characters identify it.
const LONG: usize = 16;

/// The values of one credential.
#[derive(Debug, Default)]
pub(super) struct Concealed {
    lasting: Vec<SecretString>,
    /// Tokens and signatures lately put into requests, newest last.
    recent: Mutex<VecDeque<SecretString>>,
}

impl Concealed {
    /// Each value in every spelling that a server may echo.
    pub(super) fn new(values: impl IntoIterator<Item = SecretString>) -> Self {
        let mut lasting = Vec::new();
        for value in values {
            let encoded: String = url::form_urlencoded::byte_serialize(value.expose_secret().as_bytes()).collect();
            if encoded != value.expose_secret() {
                lasting.push(SecretString::from(encoded));
            }
            lasting.push(value);
        }
        lasting.retain(|value| value.expose_secret().chars().count() >= SHORTEST);
        // A value that holds another one goes first.
        lasting.sort_by_key(|value| std::cmp::Reverse(value.expose_secret().len()));
        Self { lasting, recent: Mutex::default() }
    }

    /// Remembers a token or signature that goes into a request.
    pub(super) fn remember(&self, value: &str) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if value.chars().count() < SHORTEST || recent.iter().any(|known| known.expose_secret() == value) {
            return;
        }
        if recent.len() == REMEMBERED {
            recent.pop_front();
        }
        recent.push_back(SecretString::from(value));
    }

    /// `text` without any of the values.
    pub(super) fn redact(&self, text: &str) -> String {
        let mut redacted = text.to_owned();
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        for value in self.lasting.iter().chain(recent.iter()) {
            redacted = without(&redacted, value.expose_secret());
        }
        redacted
    }
}

fn without(text: &str, value: &str) -> String {
    let redacted = text.replace(value, MASK);
    let characters: Vec<char> = value.chars().collect();
    if characters.len() < LONG {
        return redacted;
    }
    let head: String = characters[..LONG / 2].iter().collect();
    let tail: String = characters[characters.len() - LONG / 2..].iter().collect();
    redacted.replace(&head, MASK).replace(&tail, MASK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_blanked_out_in_every_spelling() {
        let concealed = Concealed::new(["se cret/ä+1".into(), "abc".into(), "0123456789abcdefXYZ".into()]);
        concealed.remember("signature-of-now");
        let check = |text: &str, expect: &str| assert_eq!(concealed.redact(text), expect);
        check("key se cret/ä+1.", "key ••••.");
        check("?key=se+cret%2F%C3%A4%2B1", "?key=••••");
        check("abc is too short to hide", "abc is too short to hide");
        check("token 01234567… or …bcdefXYZ", "token ••••… or …••••");
        check("Signature=signature-of-now", "Signature=••••");
        check("nothing of it", "nothing of it");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let concealed = Concealed::default();
        for number in 0..100 {
            concealed.remember(&format!("value-{number}-"));
        }
        assert_eq!(concealed.redact("value-99- value-85- value-1-"), "•••• •••• value-1-");
        assert_eq!(concealed.recent.lock().unwrap().len(), REMEMBERED);
    }
}
