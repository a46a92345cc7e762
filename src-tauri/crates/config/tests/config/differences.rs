//! What differs is told field by field.

use pilothouse_config::{Difference, FieldChange};
use serde_json::json;

use crate::read;

const STORED: &str = r#"
[[endpoint]]
name = "a"
environment = "staging"
url = "http://localhost:8080/"
protocol = "v2"
probe_input = { rows = "x\n1\n" }

[[endpoint]]
name = "b"
environment = "staging"
url = "http://localhost:8081/"
protocol = "v2"

[[golden_set]]
name = "g"
task = "regression"
label = "y"
rows = "x,y\n1,2\n"

[[golden_set]]
name = "old"
task = "regression"
label = "y"
rows = "x,y\n1,2\n"
"#;

#[test]
fn nothing_differs_from_itself() {
    let stored = read(STORED).unwrap();
    let difference = Difference::between(&stored, &stored);
    assert!(difference.is_empty(), "{difference:?}");
}

#[test]
fn each_field_is_named_with_both_values() {
    let stored = read(STORED).unwrap();
    let wanted = r#"
[settings.retention]
raw_days = 7

[[endpoint]]
name = "a"
environment = "production"
url = "http://localhost:8080/"
protocol = "v2"
auth = { kind = "bearer", secret = "keyring:t" }
probe = { degraded_above_ms = 250 }
probe_input = { rows = "x\n2\n" }
evaluation = { golden_set = "g", interval_ms = 60000 }

[[endpoint]]
name = "c"
environment = "staging"
url = "http://localhost:8082/"
protocol = "v2"

[[golden_set]]
name = "g"
task = "regression"
label = "y"
source = "measured"
rows = "x,y\n1,3\n"

[[golden_set]]
name = "new"
task = "regression"
label = "y"
rows = "x,y\n1,2\n"
"#;
    let difference = Difference::between(&stored, &read(wanted).unwrap());
    assert!(!difference.is_empty());
    assert_eq!((difference.added, difference.only_in_database), (vec!["c".to_owned()], vec!["b".to_owned()]));
    let change = |path: &str, old, new| FieldChange { path: path.into(), old, new };
    assert_eq!(difference.settings, [change("retention.raw_days", Some(json!(14)), Some(json!(7)))]);
    let [a] = difference.changed.as_slice() else { panic!("{:?}", difference.changed) };
    let (rows, rest): (Vec<_>, Vec<_>) = a.fields.iter().cloned().partition(|field| field.path == "probe_input");
    assert_eq!(
        rest,
        [
            change("auth.kind", Some(json!("none")), Some(json!("bearer"))),
            change("auth.secret", None, Some(json!("keyring:t"))),
            change("environment", Some(json!("staging")), Some(json!("production"))),
            change("evaluation.golden_set", None, Some(json!("g"))),
            change("evaluation.interval_ms", None, Some(json!(60000))),
            change("probe.degraded_above_ms", None, Some(json!(250))),
        ]
    );
    assert!(rows[0].old.as_ref().unwrap().as_str().unwrap().starts_with("1 row, 1 column ("), "{rows:?}");
    assert_eq!(difference.golden_sets_added, ["new"]);
    assert_eq!(difference.golden_sets_only_in_database, ["old"]);
    let [golden] = difference.golden_sets_changed.as_slice() else { panic!("{:?}", difference.golden_sets_changed) };
    assert!(golden.content.as_ref().is_some_and(|(old, new)| old != new && old.len() == 12));
    assert_eq!(golden.source, Some((String::new(), "measured".into())));
}
