//! Texts from servers and commands, made fit to be shown: short, on one line, without markup or control characters.

use serde_json::Value;

/// The longest text shown, in characters.
const LIMIT: usize = 300;
/// How much of a body is looked at, in bytes.
const LOOKED_AT: usize = 64 * 1024;

/// What an error body says: the message of a JSON body, the words of a web page, or the text itself.
pub(crate) fn from_body(body: &[u8]) -> String {
    if let Ok(Value::Object(object)) = serde_json::from_slice::<Value>(body)
        && let Some(message) =
            ["message", "error", "detail", "error_message"].iter().find_map(|key| object.get(*key)?.as_str())
    {
        return shorten(message);
    }
    let text = String::from_utf8_lossy(&body[..body.len().min(LOOKED_AT)]);
    if text.trim_start().starts_with('<') { shorten(&without_tags(&text)) } else { shorten(&text) }
}

/// One line of at most 300 characters: blanks joined, control and text-direction characters removed.
pub(crate) fn shorten(text: &str) -> String {
    let words = one_line(text);
    if words.chars().count() <= LIMIT {
        return words;
    }
    let mut short: String = words.chars().take(LIMIT - 1).collect();
    short.push('…');
    short
}

/// Like [`shorten`], but keeps the end: a failing command says why in its last line.
pub(crate) fn shorten_front(text: &str) -> String {
    let words = one_line(text);
    let length = words.chars().count();
    if length <= LIMIT {
        return words;
    }
    let mut short = String::from("…");
    short.extend(words.chars().skip(length - (LIMIT - 1)));
    short
}

fn one_line(text: &str) -> String {
    let clean: String =
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).filter(|c| !turns_text(*c)).collect();
    clean.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Unicode's bidirectional controls (UAX #9) and zero-width marks, with which a text can pose as another.
const fn turns_text(c: char) -> bool {
    matches!(c, '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{2069}' | '\u{061C}' | '\u{FEFF}')
}

/// The words of a web page, without its tags, scripts and styles.
fn without_tags(page: &str) -> String {
    let lower = page.to_ascii_lowercase();
    let mut words = String::new();
    let mut at = 0;
    while let Some(open) = page[at..].find('<').map(|found| at + found) {
        words.push_str(&page[at..open]);
        words.push(' ');
        let hidden = ["script", "style"].iter().find(|name| lower[open + 1..].starts_with(**name));
        let from = match hidden {
            Some(name) => lower[open..].find(&format!("</{name}")).map_or(page.len(), |found| open + found),
            None => open,
        };
        at = page[from..].find('>').map_or(page.len(), |found| from + found + 1);
    }
    words.push_str(&page[at..]);
    words
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_body_is_told_in_one_short_line() {
        let check = |body: &str, expect: &str| assert_eq!(from_body(body.as_bytes()), expect);
        check(r#"{"error_code":"RESOURCE_DOES_NOT_EXIST","message":"Model not found"}"#, "Model not found");
        check(r#"{"detail":"Not Found"}"#, "Not Found");
        check(r#"{"detail":[1]}"#, r#"{"detail":[1]}"#);
        check(
            "<!doctype html>\n<html><title>404 Not Found</title><style>p{}</style><h1>Not Found</h1><script>x<1</script>",
            "404 Not Found Not Found",
        );
        check("Permission denied", "Permission denied");
        check("a\u{1b}[31mred\u{202e}\r\nb", "a [31mred b");
        check("", "");
        check("<unclosed", "");
    }

    #[test]
    fn a_long_text_is_cut_where_it_matters_least() {
        let long = format!("first {} last", "x".repeat(1000));
        assert!(shorten(&long).starts_with("first ") && shorten(&long).ends_with('…'));
        assert!(shorten_front(&long).ends_with(" last") && shorten_front(&long).starts_with('…'));
        assert_eq!(shorten(&long).chars().count(), LIMIT);
        assert_eq!(shorten_front(&long).chars().count(), LIMIT);
    }

    proptest! {
        /// Law: any bytes give one short line without control characters.
        #[test]
        fn any_body_gives_a_short_line(body in proptest::collection::vec(any::<u8>(), 0..2000), page in "<[a-zA-Z<>/ é]{0,200}") {
            for body in [body, page.into_bytes()] {
                let line = from_body(&body);
                prop_assert!(line.chars().count() <= LIMIT && !line.chars().any(char::is_control));
            }
        }
    }
}
