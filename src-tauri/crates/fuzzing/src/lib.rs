//! Every reader of bytes that somebody else wrote, as a function from bytes to nothing.
//!
//! What it is: the laws that the long run (`fuzz/`, with cargo-fuzz) and the short run (this crate's test) share. What must
//! stay true: a target panics only where the program would be wrong, so that every finding counts; it does no input and no
//! output; the folder `fuzz/seeds/NAME` holds real bytes for each.

use std::collections::BTreeSet;

use pilothouse_config::{Configuration, SourceFile};
use pilothouse_import::Kind;
use pilothouse_scrape::catalogue::Wanted;
use pilothouse_scrape::exposition::Limits;
use pilothouse_scrape::{Snapshot, Tally};
use pilothouse_serving::fuzzing;
use secrecy::ExposeSecret;

/// One reader with its seeds.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name, which is also that of its folder of seeds and of its cargo-fuzz target.
    pub name: &'static str,
    /// Reads any bytes.
    pub run: fn(&[u8]),
    /// Words that its format knows: mutations put them in.
    pub words: &'static [&'static str],
}

/// Words of JSON and numbers at the edges, which every target's formats may hold.
pub const COMMON_WORDS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    "null",
    "true",
    "NaN",
    "-Infinity",
    "1e999",
    "-1",
    "0",
    "1e-400",
    "9223372036854775807",
    "18446744073709551616",
    "\\u0000",
    "\\ud800",
    "\u{feff}",
    "\u{202e}",
    "\r\n",
    "\n\n",
    "../",
    "[[[[[[[[[[[[[[[[",
    "{\"a\":{\"a\":{\"a\":",
];

/// Every target.
pub const TARGETS: &[Target] = &[
    Target {
        name: "answers",
        run: fuzzing::answers,
        words: &[
            "\"outputs\"",
            "\"shape\"",
            "\"datatype\"",
            "\"data\"",
            "\"FP64\"",
            "\"BYTES\"",
            "\"predictions\"",
            "\"model_version\"",
            "\"instances\"",
            "\"choices\"",
            "\"usage\"",
            "\"error\"",
            "\"state\"",
            "\"modelVersion\"",
        ],
    },
    Target {
        name: "grpc",
        run: fuzzing::grpc,
        words: &[
            "\0\0\0\0\u{2}\u{8}\u{1}",
            "\u{1a}\u{4}FP64",
            "FP32",
            "FP16",
            "BYTES",
            "BOOL",
            "INT64",
            "*\u{13}",
            "2\u{10}",
            "\u{7f}\u{7f}\u{7f}\u{7f}\u{7f}\u{7f}\u{7f}\u{7f}\u{1}",
            "State.READY",
        ],
    },
    Target {
        name: "stream",
        run: fuzzing::stream,
        words: &[
            "data: ",
            "data: [DONE]\n\n",
            "event: ",
            ": ",
            "\"delta\"",
            "\"content\"",
            "\"finish_reason\"",
            "\"done\":true",
        ],
    },
    Target {
        name: "detection",
        run: fuzzing::detection,
        words: &[
            "--- ",
            "--- * 200 content-type=application/json\n",
            "401",
            "404",
            "www-authenticate=Bearer",
            "location=http://h/",
        ],
    },
    Target {
        name: "metrics",
        run: metrics,
        words: &[
            "# TYPE ",
            "# EOF\n",
            "_bucket{le=\"+Inf\"} ",
            "_sum ",
            "_count ",
            "+Inf",
            "quantile=\"0.5\"",
            " # {",
            "\\n",
        ],
    },
    Target {
        name: "config",
        run: config,
        words: &[
            "[[endpoint]]\n",
            "[[golden_set]]\n",
            "[endpoint.probe]\n",
            "name = ",
            "url = ",
            "\"\"\"",
            "'''",
            "= {",
            "inf",
            "1979-05-27",
        ],
    },
    Target { name: "rows", run: rows, words: &["\"a\"\"b\"", ",,", ";", "{\"a\":1}\n", "1,2\n", "nan"] },
    Target {
        name: "import",
        run: import,
        words: &[
            "curl ",
            " -H ",
            " -d ",
            " --json ",
            " -u ",
            "$'",
            "'\\''",
            " \\\n",
            "http://",
            "- ",
            ": &a",
            "*a",
            "<<: *a",
            "!!binary ",
        ],
    },
    Target {
        name: "openapi",
        run: openapi,
        words: &[
            "\"$ref\":\"#/",
            "\"paths\"",
            "\"post\"",
            "\"schema\"",
            "\"items\"",
            "\"allOf\"",
            "\"type\":\"array\"",
            "~1",
            "\"example\"",
        ],
    },
];

/// The target of this name.
pub fn target(name: &str) -> Option<Target> {
    TARGETS.iter().copied().find(|target| target.name == name)
}

/// A page of metrics: what it says is finite where a chart would draw it, and survives being stored.
fn metrics(page: &[u8]) {
    let limits = Limits { bytes: 256 * 1024, samples: 2_000, line_bytes: 4 * 1024 };
    let half = &page[..page.len() / 2];
    let wanted = Wanted { model: Some("m"), version: None };
    for wanted in [wanted, Wanted { model: None, version: Some("1") }, Wanted { model: None, version: None }] {
        let (before, now) = (Snapshot::read(half, &limits, wanted), Snapshot::read(page, &limits, wanted));
        assert!(now.report.samples <= limits.samples, "the limit of samples holds");
        let _ = (now.server(), now.found(), now.report.refusal());
        for reading in now.since(Some((&before, std::time::Duration::from_secs(15)))) {
            let _ = (reading.tally.value(), reading.tally.quantile(0.95));
            let Some(bytes) = reading.tally.histogram_bytes() else { continue };
            let mut back = Tally::new(reading.tally.value().unwrap_or(0.0), 1.0);
            assert!(back.set_histogram_bytes(&bytes), "what was stored can be read");
            assert_eq!(back.histogram_bytes(), Some(bytes), "a histogram survives being stored");
        }
    }
    let _ = Tally::new(1.0, 1.0).set_histogram_bytes(page);
}

/// A configuration: what is understood can be written, and reads as the same again.
fn config(text: &[u8]) {
    let Ok(text) = std::str::from_utf8(text) else { return };
    let file = |text: String| [SourceFile { path: "pilothouse.toml".into(), text }];
    let files = file(text.to_owned());
    let _ = pilothouse_config::row_files(&files[0]);
    let known = BTreeSet::from(["wine".to_owned()]);
    match pilothouse_config::read(&files, &known) {
        Err(error) => assert!(!error.to_string().is_empty(), "a refusal says why"),
        Ok(found) => {
            let Ok(written) = pilothouse_config::write_file(&found) else { return };
            let again = pilothouse_config::read(&file(written), &known);
            assert_eq!(again.ok().map(Configuration::sorted), Some(found.sorted()), "what was written reads the same");
        }
    }
}

/// A table: what is understood can be written, and reads as the same again.
fn rows(text: &[u8]) {
    use pilothouse_config::rows::{Kinds, read, write};
    let Ok(text) = std::str::from_utf8(text) else { return };
    let Ok(table) = read(text, &Kinds::default()) else { return };
    if let Some(written) = write(&table) {
        assert_eq!(read(&written.text, &written.kinds).as_ref(), Ok(&table), "what was written reads the same");
    }
}

/// Whether a text within a value holds this one.
fn holds(value: &serde_json::Value, text: &str) -> bool {
    match value {
        serde_json::Value::String(held) => held.contains(text),
        serde_json::Value::Array(items) => items.iter().any(|item| holds(item, text)),
        serde_json::Value::Object(members) => members.values().any(|member| holds(member, text)),
        _ => false,
    }
}

/// What other tools wrote, in each of their formats: a secret found in it is nowhere but in its own place.
fn import(text: &[u8]) {
    let Ok(text) = std::str::from_utf8(text) else { return };
    for kind in [None].into_iter().chain(Kind::ALL.map(Some)) {
        let Ok(import) = pilothouse_import::read(text, kind) else { continue };
        assert!(import.proposals.len() <= pilothouse_import::MAX_PROPOSALS, "the limit of proposals holds");
        for proposal in &import.proposals {
            let url = &proposal.url;
            assert!(matches!(url.scheme(), "http" | "https"), "{url} can be asked");
            assert!(url.username().is_empty() && url.password().is_none(), "no credential is left in {url}");
            // Short ones may stand in any word, and one like the host in the name that is made of the host.
            let secret = proposal.secret.as_ref().filter(|secret| !secret.name.contains(secret.value.expose_secret()));
            let secret = secret.map(|secret| secret.value.expose_secret());
            if let Some(secret) = secret.filter(|secret| secret.len() >= 24) {
                let auth = serde_json::to_value(&proposal.auth).expect("settings can be written");
                assert!(!holds(&auth, secret), "the credential is a reference");
                assert!(!proposal.name.contains(secret), "the name does not hold the secret");
                assert!(!url.as_str().contains(secret), "the address does not hold the secret");
            }
        }
    }
}

/// An `OpenAPI` document, however its references lead.
fn openapi(text: &[u8]) {
    let Ok(document) = serde_json::from_slice(text) else { return };
    let _ = pilothouse_openapi::routes(&document);
    let _ = pilothouse_openapi::template_of_example(&document);
    let _ = pilothouse_openapi::describe(&document);
}
