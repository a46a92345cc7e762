//! JSON that is read only as far as its values fit into memory.
//!
//! What it hides: that `[[],[],…` of some megabytes becomes hundreds of them once it is read. What must stay true: no body
//! that a server sends takes more than a small multiple of what [`MAX_WEIGHT`] says, whatever it is made of.

use serde::de::{DeserializeOwned, Error as _};

/// The most that one answer may weigh: as many numbers, or a sixteenth of that in objects.
pub(crate) const MAX_WEIGHT: usize = 2_000_000;

/// The beginning of the error's text for an answer that is heavier.
pub(crate) const TOO_HEAVY: &str = "too many values";

/// [`serde_json::from_slice`] for bodies of servers.
pub(crate) fn from_slice<T: DeserializeOwned>(body: &[u8]) -> serde_json::Result<T> {
    // Every value but the first takes at least a comma or a bracket.
    if body.len() > MAX_WEIGHT / OBJECT && weight(body) > MAX_WEIGHT {
        return Err(serde_json::Error::custom(format!("{TOO_HEAVY}: more than {MAX_WEIGHT} can be held")));
    }
    serde_json::from_slice(body)
}

/// What an object takes beside its members: a node of a tree has room for eleven of them.
const OBJECT: usize = 16;
/// What a list takes beside its items: room for four.
const LIST: usize = 4;

fn weight(body: &[u8]) -> usize {
    let (mut sum, mut in_text, mut escaped) = (0, false, false);
    for byte in body {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'{' => sum += OBJECT,
            b'[' => sum += LIST,
            b',' => sum += 1,
            _ => {}
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn values_weigh_and_texts_do_not() {
        let check = |text: &str, expect: usize| assert_eq!(weight(text.as_bytes()), expect, "{text}");
        check("1", 0);
        check("[1,2,3]", LIST + 2);
        check(r#"{"a,b":"[{\",","c":[]}"#, OBJECT + 1 + LIST);
        check(r#"["\\",","]"#, LIST + 1);
    }

    #[test]
    fn only_what_fits_is_read() {
        let long = format!("[\"{}\"]", ",".repeat(4_000_000));
        assert!(from_slice::<Value>(long.as_bytes()).is_ok(), "a long text is one value");
        for item in ["0,", "[],", "{},"] {
            let body = format!("[{}0]", item.repeat(MAX_WEIGHT / OBJECT + 1));
            assert_eq!(from_slice::<Value>(body.as_bytes()).is_ok(), item == "0," || item == "[],", "{item}");
            let body = format!("[{}0]", item.repeat(MAX_WEIGHT + 1));
            let error = from_slice::<Value>(body.as_bytes()).unwrap_err();
            assert!(error.to_string().starts_with(TOO_HEAVY), "{error}");
        }
    }
}
