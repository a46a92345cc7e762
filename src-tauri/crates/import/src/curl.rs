//! curl commands, as a terminal's history, a wiki page or a browser's "Copy as cURL" has them.
//!
//! Source: the manual of curl 8. What must stay true: a file named by `@` is not read; a value that may be a secret is in
//! no message.

use std::path::PathBuf;

use crate::proposal::Proposal;
use crate::request::{Request, bearer};
use crate::{Import, ImportError, Kind, durations};

/// Commands read from one text at most.
const MAX_COMMANDS: usize = 1_000;

/// Whether a text begins with a curl command, behind a prompt perhaps.
pub(crate) fn looks_like(text: &str) -> bool {
    let first = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#')).unwrap_or_default();
    let word = first.trim_start_matches(['$', '>', '%', ' ']).split_whitespace().next().unwrap_or_default();
    is_curl(word)
}

fn is_curl(word: &str) -> bool {
    !word.contains("://") && matches!(word.rsplit(['/', '\\']).next(), Some("curl" | "curl.exe"))
}

pub(crate) fn read(text: &str) -> Result<Import, ImportError> {
    let malformed = |problem: &str| ImportError::Malformed { kind: Kind::Curl, problem: problem.to_owned() };
    // Windows' shell continues a line with `^`; a browser quotes with `$'…'`, whose escapes JSON reads itself.
    let text =
        text.replace("^\r\n", " ").replace("^\n", " ").replace("\\\r\n", " ").replace("\\\n", " ").replace(" $'", " '");
    let mut commands: Vec<Vec<String>> = Vec::new();
    for line in logical_lines(&text) {
        let words = shlex::split(&line).ok_or_else(|| malformed("a quote is not closed"))?;
        for word in words {
            if is_curl(&word) {
                commands.push(Vec::new());
            } else if let Some(command) = commands.last_mut() {
                command.push(word);
            }
        }
    }
    if commands.is_empty() {
        return Err(malformed("there is no word `curl` in it"));
    }
    let mut import = Import { kind: Kind::Curl, proposals: Vec::new(), ignored: Vec::new() };
    for (number, command) in commands.into_iter().take(MAX_COMMANDS).enumerate() {
        match proposal(command) {
            Ok(proposal) => import.proposals.push(proposal),
            Err(problem) => import.ignored.push(format!("command {}: {problem}", number + 1)),
        }
    }
    Ok(import)
}

/// Lines joined while a quote is open, without comments: `shlex` would take an apostrophe in one for a quote.
fn logical_lines(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut quote = None;
    for line in text.lines() {
        if quote.is_none() && (line.trim().is_empty() || line.trim_start().starts_with('#')) {
            continue;
        }
        match lines.last_mut().filter(|_| quote.is_some()) {
            Some(last) => {
                last.push('\n');
                last.push_str(line);
            }
            None => lines.push(line.to_owned()),
        }
        quote = quote_after(quote, line);
    }
    lines
}

/// The quote that is still open after a line.
fn quote_after(mut quote: Option<char>, line: &str) -> Option<char> {
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (None | Some('"'), '\\') => {
                characters.next();
            }
            (None, '\'' | '"') => quote = Some(character),
            (Some(open), _) if open == character => quote = None,
            _ => {}
        }
    }
    quote
}

/// Options with a value that say nothing about the endpoint.
const IGNORED_WITH_VALUE: [&str; 16] = [
    "-o",
    "--output",
    "-A",
    "--user-agent",
    "-e",
    "--referer",
    "-w",
    "--write-out",
    "--retry",
    "--retry-delay",
    "--retry-max-time",
    "-D",
    "--dump-header",
    "--resolve",
    "--interface",
    "--limit-rate",
];
/// Short options that take a value.
const SHORT_WITH_VALUE: &str = "XHdumxEAeowbDFCTKrY";

#[derive(Default)]
struct Command {
    request: Request,
    method: Option<String>,
    as_query: bool,
    token: Option<String>,
    timeout_ms: Option<u32>,
    ca_file: Option<PathBuf>,
    ignored: Vec<String>,
}

fn proposal(words: Vec<String>) -> Result<Proposal, String> {
    let mut command = Command::default();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        if matches!(word.as_str(), "|" | ";" | "&&" | "||" | ">" | "&") {
            break;
        }
        if word.starts_with("--") {
            let (name, given) = match word.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (word, None),
            };
            command.option(&name, given, &mut words);
        } else if let Some(letters) = word.strip_prefix('-').filter(|letters| !letters.is_empty()) {
            let mut rest = letters.chars();
            while let Some(letter) = rest.next() {
                let attached = rest.as_str();
                let takes = SHORT_WITH_VALUE.contains(letter);
                let given = (takes && !attached.is_empty()).then(|| attached.to_owned());
                command.option(&format!("-{letter}"), given, &mut words);
                if takes {
                    break;
                }
            }
        } else if command.request.url.is_empty() {
            word.trim_end_matches(';').clone_into(&mut command.request.url);
        } else {
            command.ignored.push("a second address was left out: write one command for each".into());
        }
    }
    command.finish()
}

impl Command {
    fn option(&mut self, name: &str, given: Option<String>, words: &mut impl Iterator<Item = String>) {
        let mut given = given;
        let mut value = || given.take().or_else(|| words.next()).unwrap_or_default();
        match name {
            "-X" | "--request" => self.method = Some(value().to_ascii_uppercase()),
            "--url" => self.request.url = value(),
            "-H" | "--header" => {
                let header = value();
                if let Some((name, value)) = header.split_once(':') {
                    self.request.headers.push((name.trim().to_owned(), value.trim().to_owned()));
                }
            }
            "-d" | "--data" | "--data-raw" | "--data-binary" | "--data-ascii" | "--json" | "--data-urlencode" => {
                let data = value();
                if data.starts_with('@') && name != "--data-raw" {
                    self.ignored.push(
                        "its body stands in a file, which was not read: paste the body in the place of @FILE".into(),
                    );
                } else {
                    match &mut self.request.body {
                        // curl joins several with `&`, except those of `--json`.
                        Some(body) => {
                            body.push_str(if name == "--json" { "" } else { "&" });
                            body.push_str(&data);
                        }
                        None => self.request.body = Some(data),
                    }
                }
            }
            "-u" | "--user" => {
                let pair = value();
                let (user, password) = pair.split_once(':').unwrap_or((&pair, ""));
                self.request.user = Some((user.to_owned(), password.to_owned()));
            }
            "--oauth2-bearer" => self.token = Some(value()),
            "-b" | "--cookie" => {
                let cookie = value();
                if cookie.contains('=') {
                    self.request.headers.push(("Cookie".into(), cookie));
                }
            }
            "-G" | "--get" => self.as_query = true,
            "-k" | "--insecure" => self.ignored.push(
                "-k was left out: certificates are always verified; name the authority's PEM file instead".into(),
            ),
            "--cacert" => self.ca_file = Some(value().into()),
            "-m" | "--max-time" => self.timeout_ms = durations::milliseconds(&value(), true).map(durations::timeout),
            "-E" | "--cert" | "--key" | "--cert-type" | "--key-type" | "--pass" => {
                let _ = value();
                self.ignored
                    .push(format!("{name} was left out: give the client certificate in the endpoint's settings"));
            }
            "-x" | "--proxy" | "--preproxy" | "--socks5" | "--socks5-hostname" | "-U" | "--proxy-user" => {
                let _ = value();
                self.ignored.push(format!("{name} was left out: the proxy is set on the endpoint or by the system"));
            }
            "--aws-sigv4" => {
                let _ = value();
                self.ignored.push("--aws-sigv4 was left out: choose AWS keys as the endpoint's credential".into());
            }
            "-F" | "--form" | "-T" | "--upload-file" => {
                let _ = value();
                self.ignored.push(format!("{name} was left out: an endpoint is sent JSON"));
            }
            "--connect-timeout" => {
                let _ = value();
            }
            _ if IGNORED_WITH_VALUE.contains(&name) => {
                let _ = value();
            }
            // Every other option is a switch for people: -s, -S, -i, -v, -L, -f, --compressed.
            _ => {}
        }
    }

    fn finish(self) -> Result<Proposal, String> {
        if self.request.url.is_empty() {
            return Err("it names no address".into());
        }
        let has_body = self.request.body.is_some() && !self.as_query;
        let mut request = self.request;
        if self.as_query {
            request.body = None;
        }
        let mut proposal = request.propose()?;
        match self.method.as_deref() {
            None | Some("GET" | "POST" | "HEAD") => {}
            Some(_) => proposal.ignored.push("its method was left out: checks use that of the protocol".into()),
        }
        if !has_body && proposal.protocol.is_none() {
            proposal.understood.push("there is no body: the server is asked what it is".into());
        }
        if let Some(token) = self.token.filter(|_| proposal.secret.is_none()) {
            bearer(&mut proposal, &token, "--oauth2-bearer");
        }
        proposal.timeout_ms = self.timeout_ms;
        proposal.ca_file = self.ca_file;
        proposal.ignored.extend(self.ignored);
        Ok(proposal)
    }
}

#[cfg(test)]
mod tests {
    use pilothouse_domain::Auth;
    use secrecy::ExposeSecret as _;
    use serde_json::json;

    use super::*;

    fn one(text: &str) -> Proposal {
        let mut import = read(text).unwrap_or_else(|error| panic!("{error}: {text}"));
        assert_eq!(import.proposals.len(), 1, "{import:?}");
        import.proposals.remove(0)
    }

    #[test]
    fn a_prediction_is_understood() {
        let found = one(
            "# the nightly check, don't remove\n$ curl -sS -X POST \\\n  'https://models.example.com:8443/churn/predict' \\\n  \
             -H 'Content-Type: application/json' -H \"Authorization: Bearer abc.def\" \\\n  \
             --data-raw '{\"instances\": [[1, 2.5], [3, 4]]}' --cacert /etc/ca.pem -m 2.5",
        );
        assert_eq!((found.url.as_str(), found.protocol), ("https://models.example.com:8443/", Some("json")));
        let template = found.json.unwrap();
        assert_eq!((template.path.as_str(), template.body), ("/churn/predict", json!({"instances": "{{rows}}"})));
        assert_eq!(found.rows, Some(json!([[1, 2.5], [3, 4]])));
        assert_eq!((found.timeout_ms, found.ca_file), (Some(2_500), Some("/etc/ca.pem".into())));
        assert_eq!(found.auth, Auth::Bearer { secret: "models-example-com-8443-token".into() });
        assert_eq!(found.secret.unwrap().value.expose_secret(), "abc.def");
    }

    #[test]
    fn options_are_read_as_curl_reads_them() {
        let found = one("curl -XPOST -uann:pw -kd'[[1]]' http://h/x");
        assert_eq!(found.auth, Auth::Basic { username: "ann".into(), secret: "h-password".into() });
        assert_eq!(found.json.unwrap().body, json!("{{rows}}"));
        assert!(found.ignored.iter().any(|line| line.starts_with("-k ")), "{:?}", found.ignored);
        let found = one("curl --request=POST --url http://h/v2/models/m/infer --json '{}' -o out.json");
        assert_eq!((found.protocol, found.model.as_deref()), (Some("v2"), Some("m")));
        let found = one("curl.exe ^\n -H \"X-Api-Key: k\" http://h/");
        assert_eq!(found.auth, Auth::Header { name: "X-Api-Key".into(), secret: "h-key".into() });
        let found = one("curl http://h/p -d @body.json | jq .");
        assert!(found.json.is_none() && found.ignored.iter().any(|line| line.contains("file")), "{found:?}");
        let found = one("curl 'http://h/p' --data-raw $'{\"text\":\"a\\u0021\"}' --compressed");
        assert_eq!(found.json.unwrap().body, json!({"text": "a!"}));
    }

    #[test]
    fn several_commands_are_several_proposals() {
        let import = read("curl http://a/\n\ncurl http://b/ && curl ftp://c/\ncurl\n").unwrap();
        let hosts: Vec<&str> = import.proposals.iter().filter_map(|found| found.url.host_str()).collect();
        assert_eq!((hosts, import.ignored.len()), (vec!["a", "b"], 2));
        assert!(read("wget http://a/").is_err() && read("curl 'http://a/").is_err());
    }
}
