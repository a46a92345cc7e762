//! Commands that need no history: shapes, errors, exit codes.

use serde_json::Value;

use crate::support::{Fixture, fields, has_fields, input_csv, run};

#[test]
fn detect_and_probe_tell_what_stands_behind_a_url() {
    let fixture = Fixture::new();
    assert_eq!(fields(&fixture.demo), ["control_url", "endpoints"]);
    has_fields(&fixture.demo["endpoints"][0], "name url protocol model");

    let found = run(&["detect", &fixture.url("wine")]).expect(0);
    has_fields(&found, "protocol server server_version confidence models predict evidence");
    has_fields(&found["models"][0], "name versions ready");
    assert_eq!(found["protocol"], "v2");
    assert_eq!(run(&["detect", &fixture.url("diabetes")]).expect(0)["protocol"], "mlflow");
    assert_eq!(run(&["detect", "http://127.0.0.1:1/"]).expect_error(1), "target_failed");

    let input = input_csv(&fixture.path("input.csv"));
    let input = input.to_str().expect("UTF-8");
    let url = fixture.url("credit-risk");
    let options = ["--input", input, "--count", "3", "--interval-ms", "10"];
    let probed = run(&[&["probe", &url][..], &options].concat()).expect(0);
    let outcomes = probed["outcomes"].as_array().expect("outcomes");
    assert_eq!(outcomes.len(), 3);
    has_fields(&outcomes[0], "ts_ms outcome reason http_status version phases_us total_us reused prediction");
    assert_eq!(fields(&outcomes[0]["phases_us"]), ["connect", "dns", "receive", "send", "tls", "tunnel", "wait"]);
    assert!(outcomes[0]["phases_us"]["connect"].is_u64() && outcomes[0]["phases_us"]["tls"].is_null());
    assert_eq!((&outcomes[0]["reused"], &outcomes[1]["reused"]), (&Value::Bool(false), &Value::Bool(true)));
    assert_eq!(outcomes[2]["version"], "v6");
    let predicted = &outcomes[0]["prediction"];
    assert_eq!(predicted["rows"].as_array().map(Vec::len), predicted["row_count"].as_u64().map(|n| n.min(8) as usize));
    assert!(predicted["rows"][0][0].is_f64(), "{predicted}");
    assert_eq!(fields(&probed["summary"]), ["n", "ok", "p50_us", "p95_us", "p99_us", "target_failed", "unknown"]);
    assert_eq!(probed["summary"]["ok"], 3);

    let refused = run(&["probe", "http://127.0.0.1:1", "--protocol", "v2", "--model", "m"]).expect(1);
    assert_eq!(refused["outcomes"][0]["reason"], "connection_refused");
    assert_eq!(refused["summary"]["p50_us"], Value::Null);
}

#[test]
fn a_url_is_explained_without_a_database() {
    let fixture = Fixture::new();
    let input = input_csv(&fixture.path("input.csv"));
    let (url, input) = (fixture.url("credit-risk"), input.to_str().expect("UTF-8"));
    let of_url = [
        "explain",
        "--url",
        &url,
        "--protocol",
        "v2",
        "--model",
        "credit-risk",
        "--background",
        input,
        "--rows",
        input,
    ];
    let with = |more: &[&str]| run(&[&of_url[..], more].concat());

    let explained = with(&["--row", "2", "--budget", "exact", "--seed", "5", "--classes", "bad,good"]).expect(0);
    has_fields(&explained, "method estimator seed base_value outputs rows model_calls model_rows elapsed_ms fit");
    assert_eq!((&explained["estimator"], &explained["seed"]), (&"exact".into(), &5.into()));
    assert_eq!(explained["outputs"], serde_json::json!(["good"]));
    let row = &explained["rows"][0];
    assert_eq!(row["index"], 2);
    let attributions = row["attributions"].as_array().expect("attributions");
    has_fields(&attributions[0], "feature value low high");
    let sum: f64 = attributions.iter().filter_map(|attribution| attribution["value"].as_f64()).sum();
    let gap = row["prediction"][0].as_f64().expect("a number") - explained["base_value"].as_f64().expect("a number");
    assert!((sum - gap).abs() < 1e-9, "the attributions sum to {sum}, not to {gap}");

    let all = with(&["--row", "2", "--budget", "exact", "--output", "all"]).expect(0);
    assert_eq!(all["outputs"], serde_json::json!(["0", "1"]));
    assert_eq!(all["rows"][0]["attributions"][1], row["attributions"]);
    assert_eq!(with(&["--budget", "500", "--seed", "1"]).expect(0)["rows"].as_array().map(Vec::len), Some(6));

    assert_eq!(with(&["--method", "lime"]).expect_error(2), "invalid_input");
    assert_eq!(with(&["--row", "6"]).expect_error(2), "invalid_input");
    assert_eq!(with(&["--output", "ugly"]).expect_error(2), "invalid_input");
}

#[test]
fn a_file_of_predictions_is_evaluated_by_group() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("predictions");
    let mut text = String::from("{\"label\": \"yes\", \"score\": 0.9, \"sex\": \"f\"}\n");
    text.push_str(
        "{\"label\": \"no\", \"score\": 0.6, \"sex\": \"f\"}\n{\"label\": \"yes\", \"score\": 0.4, \"sex\": \"m\"}\n",
    );
    text.push_str("{\"label\": \"no\", \"score\": 0.1, \"sex\": \"m\"}\n");
    std::fs::write(&file, text).expect("a file");
    let file = file.to_str().expect("UTF-8");
    let of_file = ["evaluate", "--predictions", file, "--task", "binary"];
    let found = run(&[&of_file[..], &["--positive", "yes", "--group", "sex"]].concat()).expect(0);
    has_fields(&found, "n metrics groups fairness");
    assert_eq!(found["n"], 4);
    let accuracy = &found["metrics"]["accuracy"];
    assert_eq!(fields(accuracy), ["high", "low", "method", "value"]);
    assert_eq!((accuracy["value"].as_f64(), accuracy["method"].as_str()), (Some(0.5), Some("wilson")));
    assert_eq!(found["metrics"]["roc_auc"]["value"], 0.75);
    assert_eq!(found["groups"]["sex"]["f"]["n"], 2);
    assert_eq!(found["groups"]["sex"]["f"]["metrics"]["recall"]["value"], 1.0);
    assert_eq!(found["fairness"]["sex"]["demographic_parity_difference"], 1.0);
    assert_eq!(found["fairness"]["sex"]["equal_opportunity_difference"], 1.0);

    let with = |more: &[&str]| run(&[&of_file[..], more].concat());
    assert_eq!(with(&["--label", "truth"]).expect_error(2), "invalid_input");
    assert_eq!(with(&["--positive", "perhaps"]).expect_error(2), "invalid_input");
    assert_eq!(
        run(&["evaluate", "--predictions", "/nonexistent", "--task", "binary"]).expect_error(2),
        "invalid_input"
    );
}

#[test]
fn every_error_is_one_document_with_its_exit_code() {
    let folder = tempfile::tempdir().expect("a folder");
    let (new, bad) = (folder.path().join("new.db"), folder.path().join("bad.db"));
    std::fs::write(&bad, "this is no database, and long enough to be read as one ".repeat(30)).expect("a file");
    let (new, bad) = (new.to_str().expect("UTF-8"), bad.to_str().expect("UTF-8"));
    assert_eq!(run(&["fly"]).expect_error(2), "invalid_input");
    assert_eq!(run(&["history", "nobody", "--db", new]).expect_error(2), "not_found");
    assert_eq!(run(&["history", "nobody", "--from", "yesterday", "--db", new]).expect_error(2), "invalid_input");
    assert_eq!(run(&["rollback", "status", "no-run", "--db", new]).expect_error(2), "not_found");
    assert_eq!(run(&["rollback", "apply", "no-plan", "--confirm", "x", "--db", new]).expect_error(2), "not_found");
    assert_eq!(run(&["endpoint", "list", "--db", bad]).expect_error(3), "storage");
    let missing =
        ["endpoint", "add", "x", "--url", "http://127.0.0.1:1", "--protocol", "v2", "--model", "m", "--db", new];
    let with = |more: &[&str]| run(&[&missing[..], more].concat());
    assert_eq!(with(&["--golden", "nothing"]).expect_error(2), "not_found");
    assert_eq!(with(&["--auth", "hunter2"]).expect_error(2), "invalid_input");
    assert_eq!(with(&["--interval-ms", "5"]).expect_error(2), "invalid_input");

    let state = run(&["secret", "state", "prod-token", "--db", new]).expect(1);
    assert_eq!((&state["name"], &state["state"]), (&"prod-token".into(), &"unavailable".into()));
    assert_eq!(run(&["secret", "forget", "prod-token", "--db", new]).expect_error(3), "keyring_unavailable");
    assert_eq!(run(&["secret", "set", "prod-token", "--db", new]).expect_error(2), "invalid_input");
}
