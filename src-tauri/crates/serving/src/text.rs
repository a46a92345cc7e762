//! Text from elsewhere, made fit to be shown: short, on one line, without control characters.

use serde_json::Value;

/// The longest detail shown to people, in characters.
pub(crate) const DETAIL_LIMIT: usize = 300;

/// `text` on one line, without control characters, at most `limit` characters (an ellipsis marks a cut).
pub(crate) fn one_line(text: &str, limit: usize) -> String {
    let mut line = String::new();
    let mut length = 0;
    let mut blank_pending = false;
    for character in text.chars() {
        if character.is_whitespace() || character.is_control() || is_invisible(character) {
            blank_pending = !line.is_empty();
            continue;
        }
        let needed = 1 + usize::from(blank_pending);
        if length + needed >= limit {
            line.push('…');
            return line;
        }
        if blank_pending {
            line.push(' ');
            blank_pending = false;
        }
        line.push(character);
        length += needed;
    }
    line
}

/// A segment of a URL's path as text.
pub(crate) fn percent_decoded(segment: &str) -> String {
    // A query pair is the one decoder that `url` offers; `+` must not become a blank on the way.
    let text = format!("x={}", segment.replace('+', "%2B"));
    url::form_urlencoded::parse(text.as_bytes())
        .next()
        .map_or_else(|| segment.to_owned(), |(_, value)| value.into_owned())
}

/// Marks that reorder or hide text: a server's message must not rewrite the line it is shown on.
const fn is_invisible(character: char) -> bool {
    matches!(character, '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{2069}' | '\u{FEFF}')
}

/// The server's own error message in a body, if it can be found: the usual JSON members, an HTML title, or plain text.
pub(crate) fn server_message(body: &[u8]) -> Option<String> {
    // A message stands at the beginning; the rest of a large body is not worth decoding.
    let head = &body[..body.len().min(64 * 1024)];
    let message = match serde_json::from_slice::<Value>(head) {
        Ok(json) => json_message(&json)?,
        Err(_) => plain_message(&String::from_utf8_lossy(head))?,
    };
    let mut message = message.as_str();
    // MLflow repeats the data it was sent, several times over, before it says what is wrong with them.
    if message.chars().count() > DETAIL_LIMIT
        && let Some(last) = message.rfind("Error: ")
    {
        message = &message[last + "Error: ".len()..];
    }
    let message = one_line(message, DETAIL_LIMIT);
    (!message.is_empty()).then_some(message)
}

fn json_message(json: &Value) -> Option<String> {
    match json {
        Value::String(text) => Some(text.clone()),
        // FastAPI: {"detail": [{"msg": …, "loc": …}]}
        Value::Array(items) => json_message(items.first()?),
        Value::Object(members) => ["error", "message", "Message", "detail", "msg", "error_code", "title", "__type"]
            .iter()
            .find_map(|name| members.get(*name).and_then(json_message)),
        _ => None,
    }
}

fn plain_message(text: &str) -> Option<String> {
    let text = text.trim();
    if !text.starts_with('<') {
        return Some(text.to_owned());
    }
    // AWS's errors: <ErrorResponse><Error><Code>…</Code><Message>…</Message>, whatever the content type says.
    if let Some(message) = element(text, "Message") {
        return Some(match element(text, "Code") {
            Some(code) => format!("{code}: {message}"),
            None => message.to_owned(),
        });
    }
    element(text, "title").map(str::to_owned)
}

/// The text of the first element of this name, in whatever case.
fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    // Lower-casing ASCII keeps every byte's place.
    let (lower, name) = (text.to_ascii_lowercase(), name.to_ascii_lowercase());
    let open = format!("<{name}>");
    let after = lower.find(&open)? + open.len();
    let length = lower[after..].find(&format!("</{name}>"))?;
    text.get(after..after + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_and_cleaned() {
        let check = |input: &str, expect: &str| assert_eq!(one_line(input, 10), expect, "{input:?}");
        check("short", "short");
        check("  a \n\t b\u{0}\u{1b}[31m", "a b [31m");
        check("exactly 10 and more", "exactly 1…");
        check("a\u{202E}b", "a b");
        assert!(one_line(&"é".repeat(1000), DETAIL_LIMIT).chars().count() <= DETAIL_LIMIT);
    }

    #[test]
    fn the_servers_message_is_found() {
        let check =
            |body: &str, expect: Option<&str>| assert_eq!(server_message(body.as_bytes()).as_deref(), expect, "{body}");
        check(r#"{"error":"Model nope not found"}"#, Some("Model nope not found"));
        check(r#"{"error_code":"BAD_REQUEST","message":"no\nway"}"#, Some("no way"));
        check(r#"{"detail":[{"type":"json_invalid","msg":"JSON decode error"}]}"#, Some("JSON decode error"));
        check(r#"{"error":{"message":"quota"}}"#, Some("quota"));
        check("<html><head><TITLE>502 Bad Gateway</TITLE></head>", Some("502 Bad Gateway"));
        check("<html><body>no title</body>", None);
        let aws = "<?xml version='1.0'?><ErrorResponse><Error><Code>SignatureDoesNotMatch</Code><Message>no\n match</Message>";
        check(aws, Some("SignatureDoesNotMatch: no match"));
        check("<Error><Message>alone</Message></Error>", Some("alone"));
        check(r#"{"__type":"ValidationException","Message":"no endpoint"}"#, Some("no endpoint"));
        check(r#"{"__type":"UnrecognizedClientException"}"#, Some("UnrecognizedClientException"));
        let long = format!(
            r#"{{"message":"Failed to predict data '{}'. \nError: Model is missing inputs ['a']."}}"#,
            "1 ".repeat(400)
        );
        check(&long, Some("Model is missing inputs ['a']."));
        check("Permission denied", Some("Permission denied"));
        check("", None);
        check("[]", None);
    }
}
