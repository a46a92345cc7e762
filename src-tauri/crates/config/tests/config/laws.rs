//! Laws of writing and reading, over configurations that nobody would think of.

use pilothouse_config::{
    Configuration, ConfiguredEndpoint, Difference, RetentionDays, SourceFile, write_file, write_folder,
};
use pilothouse_domain::{Cell, Column, ColumnKind, Endpoint, GoldenSet, GoldenSetId, Label, Table, Task, TimestampMs};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{file, read, read_files};

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z]{1,8}", "[ -~]{1,12}", "[a-zé\"'\\\\\n\t]{1,8}"]
}

fn secret() -> impl Strategy<Value = String> {
    "[A-Za-z0-9._-]{1,12}"
}

fn auth() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!({ "kind": "none" })),
        secret().prop_map(|secret| json!({ "kind": "bearer", "secret": secret })),
        ("[a-zé\"]{1,8}", secret())
            .prop_map(|(username, secret)| json!({ "kind": "basic", "username": username, "secret": secret })),
        secret().prop_map(|secret| json!({ "kind": "header", "name": "x-api-key", "secret": secret })),
        (secret(), prop::collection::vec("[a-z]{1,5}", 0..3)).prop_map(|(secret, scopes)| {
            let token_url = "https://login.example.com/token";
            json!({ "kind": "oauth2", "token_url": token_url, "client_id": "me", "secret": secret, "scopes": scopes })
        }),
        (secret(), prop::option::of(secret())).prop_map(|(secret, session)| {
            let source =
                json!({ "from": "static", "access_key_id": "AKIA", "secret": secret, "session_token_secret": session });
            json!({ "kind": "aws_sigv4", "region": "eu-central-1", "source": source })
        }),
    ]
}

fn url() -> impl Strategy<Value = String> {
    "https?://[a-z]{1,8}(:[1-9][0-9]{1,3})?/[a-z/]{0,6}"
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_filter("finite", |value| value.is_finite()).prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map(text(), inner, 0..3).prop_map(|map| json!(map)),
        ]
    })
}

fn reload() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        (url(), auth()).prop_map(|(url, auth)| json!({ "kind": "http", "method": "POST", "url": url, "auth": auth })),
        (prop::collection::vec(text(), 0..3), 1_u32..90_000).prop_map(
            |(args, timeout)| json!({ "kind": "command", "program": "/bin/x", "args": args, "timeout_ms": timeout })
        ),
    ]
}

fn control_plane() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        (url(), text()).prop_map(|(url, model)| json!({ "kind": "demo", "url": url, "model": model })),
        (url(), text(), auth(), reload()).prop_map(|(url, model, auth, reload)| {
            json!({ "kind": "mlflow", "url": url, "model": model, "alias": "champion", "auth": auth, "reload": reload })
        }),
    ]
}

fn metrics() -> impl Strategy<Value = Value> {
    let panel = ("[a-z]{1,9}", text(), prop::option::of(Just("in_flight"))).prop_map(|(name, query, quantity)| {
        json!({ "name": name, "query": format!("up{query}"), "unit": "seconds", "quantity": quantity })
    });
    prop_oneof![
        Just(Value::Null),
        (url(), any::<bool>()).prop_map(|(url, send)| json!({ "kind": "scrape", "url": url, "send_credential": send })),
        (url(), auth(), panel).prop_map(
            |(url, auth, panel)| json!({ "kind": "prometheus", "url": url, "auth": auth, "panels": [panel] })
        ),
    ]
}

fn prompts() -> impl Strategy<Value = Value> {
    let check = prop_oneof![
        text().prop_map(|text| json!({ "kind": "contains", "text": text })),
        prop::collection::vec("[a-z]{1,5}", 0..2).prop_map(|keys| json!({ "kind": "json", "required_keys": keys })),
    ];
    let prompt = ("[a-zA-Z .\n\"'#=]{1,20}[a-z]", prop::collection::vec(check, 0..2)).prop_map(
        |(content, checks)| json!({ "messages": [{ "role": "user", "content": content }], "checks": checks }),
    );
    prop::option::of((prop::collection::vec(prompt, 1..3), any::<bool>(), 1_u32..99)).prop_map(|set| {
        set.map_or(
            Value::Null,
            |(prompts, stream, max)| json!({ "prompts": prompts, "stream": stream, "max_tokens": max }),
        )
    })
}

fn cells(kind: ColumnKind) -> BoxedStrategy<Cell> {
    let number = prop_oneof![any::<f64>(), (-9_i32..9).prop_map(f64::from)];
    match kind {
        ColumnKind::Numeric => prop_oneof![
            number.prop_filter("finite", |value| value.is_finite()).prop_map(Cell::Number),
            Just(Cell::Missing)
        ]
        .boxed(),
        ColumnKind::Categorical => prop_oneof![text().prop_map(Cell::Text), Just(Cell::Missing)].boxed(),
    }
}

fn table() -> impl Strategy<Value = Table> {
    let kind = prop_oneof![Just(ColumnKind::Numeric), Just(ColumnKind::Categorical)];
    (prop::collection::btree_map(text(), kind, 1..4), 1_usize..4).prop_flat_map(|(columns, rows)| {
        let columns: Vec<Column> = columns.into_iter().map(|(name, kind)| Column { name, kind }).collect();
        let row: Vec<_> = columns.iter().map(|column| cells(column.kind)).collect();
        prop::collection::vec(row, rows).prop_map(move |rows| Table { columns: columns.clone(), rows })
    })
}

fn probe() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!({})),
        (1_000_u32..100_000, 1_u32..9, prop::option::of(1_u32..999)).prop_map(|(interval, confirm, degraded)| {
            json!({ "interval_ms": interval, "confirm_after": confirm, "degraded_above_ms": degraded })
        }),
    ]
}

fn network() -> impl Strategy<Value = Value> {
    let proxy = ("http|https|socks5|socks5h", prop::option::of((secret(), secret())), 0_u8..3);
    prop_oneof![
        Just(json!({ "kind": "system" })),
        Just(json!({ "kind": "direct" })),
        (1_u16..9, prop::option::of(secret()), any::<bool>()).prop_map(|(port, secret, by_key)| {
            let auth = match secret {
                None => json!({ "kind": "agent" }),
                Some(secret) if port > 6 => json!({ "kind": "key", "secret": secret, "passphrase_secret": "other" }),
                Some(secret) if by_key => {
                    json!({ "kind": "key_file", "path": "~/.ssh/id", "passphrase_secret": secret })
                }
                Some(secret) => json!({ "kind": "password", "secret": secret }),
            };
            json!({ "kind": "ssh", "host": "jump.example", "port": port, "user": "ann", "auth": auth })
        }),
        proxy.prop_map(|(scheme, login, entries)| {
            let (username, secret) = login.unzip();
            let bypass: Vec<String> = (0..entries).map(|entry| format!("10.{entry}.0.0/16")).collect();
            let url = format!("{scheme}://proxy.example:3128");
            json!({ "kind": "proxy", "url": url, "username": username, "secret": secret, "bypass": bypass })
        }),
    ]
}

fn endpoint() -> impl Strategy<Value = ConfiguredEndpoint> {
    let options = (prop::option::of(text()), prop::option::of(secret()), prompts(), network());
    let target = (url(), auth(), prop::option::of(json_value()), options);
    let target = target.prop_map(|(url, auth, body, (model, key, prompts, network))| {
        let json = body.as_ref().map(|body| json!({ "path": "p", "body": body, "prediction": "/p" }));
        let protocol = match (&prompts, &body) {
            (Value::Object(_), _) => "openai",
            (_, Some(_)) => "json",
            _ => "v2",
        };
        let tls = json!({ "ca_file": "/ca.pem", "client_key_secret": key });
        json!({
            "url": url, "protocol": protocol, "model": model, "json": json, "auth": auth, "tls": tls, "prompts": prompts,
            "network": network,
        })
    });
    let rest = (probe(), control_plane(), prop::option::of((text(), 5_000_u32..900_000)), any::<bool>());
    (text(), target, rest, prop::option::of(table()), any::<bool>(), metrics()).prop_map(
        |(environment, target, (probe, control_plane, evaluation, paused), rows, sums, metrics)| {
            // A golden set holds rows, and who generates text has none.
            let evaluation = evaluation.filter(|_| target["prompts"].is_null());
            let evaluated = evaluation.as_ref().map(|(_, every)| json!({ "golden_set": 0, "interval_ms": every }));
            let value = json!({
                "id": 0, "created": 0, "name": "", "environment": environment, "target": target, "probe": probe,
                "control_plane": control_plane, "evaluation": evaluated, "paused": paused, "metrics": metrics,
            });
            let mut endpoint: Endpoint = serde_json::from_value(value).expect("an endpoint");
            endpoint.target.checks.probability_sum = sums;
            endpoint.target.probe_input = rows;
            ConfiguredEndpoint::new(endpoint, evaluation.map(|_| "stored".to_owned()))
        },
    )
}

fn golden_set() -> impl Strategy<Value = GoldenSet> {
    (table(), text(), 0_u8..3).prop_map(|(table, source, task)| {
        let classes = |n: usize| (0..n).map(|i| i.to_string()).collect::<Vec<_>>();
        let task = match task {
            0 => Task::Regression,
            1 => Task::Binary { classes: ["1".into(), "0".into()] },
            _ => Task::Multiclass { classes: classes(3) },
        };
        let label = |at: usize| match &task {
            Task::Regression => Label::Value(at as f64 / 3.0),
            other => Label::Class((at % other.classes().len()) as u32),
        };
        let labels = (0..table.rows.len()).map(label).collect();
        let (id, name, created) = (GoldenSetId(0), String::new(), TimestampMs(0));
        GoldenSet { id, name, task, table, labels, created, source }
    })
}

prop_compose! {
    fn configuration()(
        endpoints in prop::collection::btree_map("[A-Za-z][ -~é]{0,6}[a-z]", endpoint(), 0..4),
        golden_sets in prop::collection::btree_map("[A-Za-z][ -~é]{0,6}[a-z]", golden_set(), 0..3),
        retention in prop::option::of((1_u32..9, 9_u32..99, 99_u32..999)),
    ) -> Configuration {
        let endpoints = endpoints.into_iter().map(|(name, mut configured)| {
            configured.endpoint.name = name;
            configured
        });
        let golden_sets = golden_sets.into_iter().map(|(name, set)| GoldenSet { name, ..set });
        let retention = retention.map(|(raw_days, minute_days, hour_days)| RetentionDays { raw_days, minute_days, hour_days });
        Configuration { retention, endpoints: endpoints.collect(), golden_sets: golden_sets.collect() }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    /// Written and read again, a configuration is the same, as one file and as a folder; written once more, so are the bytes.
    #[test]
    fn writing_and_reading_gives_the_same(configuration in configuration()) {
        let text = write_file(&configuration).unwrap();
        let back = read(&text).unwrap();
        prop_assert_eq!(&back, &configuration);
        prop_assert!(Difference::between(&configuration, &back).is_empty());
        prop_assert_eq!(write_file(&back).unwrap(), text);

        let folder = write_folder(&configuration).unwrap();
        let back = read_files(&folder).unwrap();
        prop_assert_eq!(&back, &configuration);
        prop_assert_eq!(write_folder(&back).unwrap(), folder);
    }

    /// Two configurations differ exactly when their difference is not empty.
    #[test]
    fn only_equal_configurations_have_no_difference(a in configuration(), b in configuration()) {
        let (mut a, mut b) = (a, b);
        a.golden_sets.clear();
        b.golden_sets.clear();
        b.retention = a.retention;
        prop_assert_eq!(Difference::between(&a, &b).is_empty(), a == b);
    }

    /// Whatever the text, it is read or refused, and what is wrong stands somewhere.
    #[test]
    fn any_text_is_read_without_panic(text in "\\PC{0,80}|(\\[{1,2}(endpoint|golden_set|settings)[.a-z]{0,8}\\]{1,2}\n([a-z_]{1,9} ?= ?[\"{\\[0-9a-z,=.]{0,9}\n){0,4}){0,3}") {
        if let Err(problems) = read(&text) {
            prop_assert!(!problems.is_empty() && problems.iter().all(|problem| problem.line > 0));
        }
    }

    /// A configuration with some bytes changed is read or refused.
    #[test]
    fn damaged_configurations_never_panic(configuration in configuration(), damage in prop::collection::vec((any::<prop::sample::Index>(), any::<char>()), 1..4)) {
        let mut characters: Vec<char> = write_file(&configuration).unwrap().chars().collect();
        for (index, character) in damage {
            let at = index.index(characters.len());
            characters[at] = character;
        }
        let text: String = characters.into_iter().collect();
        let _ = read(&text);
        let _ = pilothouse_config::row_files(&file("fleet.toml", &text));
    }
}

#[test]
fn files_are_found_in_any_arrangement() {
    let endpoint = "[[endpoint]]\nname = \"a\"\nenvironment = \"e\"\nurl = \"http://h/\"\nprotocol = \"v2\"\n";
    let with_rows = format!("{endpoint}probe_input = {{ file = \"../rows/a.jsonl\" }}\n");
    let files: Vec<SourceFile> =
        vec![file("deep/er/a.toml", &with_rows), file("deep/rows/a.jsonl", "{\"x\": 1}\n"), file("b.toml", "")];
    let read = read_files(&files).unwrap();
    assert_eq!(read.endpoints[0].endpoint.target.probe_input.as_ref().unwrap().rows.len(), 1);
    assert_eq!(pilothouse_config::row_files(&files[0]), ["deep/rows/a.jsonl"]);
}
