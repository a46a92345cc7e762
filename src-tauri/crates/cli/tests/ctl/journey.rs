//! An endpoint from being connected to being rolled back; and a rollback that is cut off.

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Fixture, fields, has_fields};

#[test]
fn a_bad_version_is_brought_back_with_proof() {
    let fixture = Fixture::new();
    fixture.connect_credit();
    assert_eq!(fixture.run(&["endpoint", "list"]).expect(0)["endpoints"][0]["name"], "credit");
    let report = fixture.run(&["collect", "--for", "5"]).expect(0);
    assert_eq!(fields(&report), ["late_ms_p99", "ok", "probes", "target_failed", "unknown"]);
    assert!(report["probes"].as_u64() >= Some(3) && report["ok"] == report["probes"], "{report}");

    let history = fixture.run(&["history", "credit", "--points", "10"]).expect(0);
    assert_eq!(fields(&history), ["buckets", "step_ms"]);
    let bucket = &history["buckets"][0];
    has_fields(bucket, "ts_ms n n_ok n_target_failed n_unknown p50_us p95_us p99_us max_us");
    let counted: u64 = history["buckets"].as_array().into_iter().flatten().filter_map(|b| b["n"].as_u64()).sum();
    assert_eq!(Some(counted), report["probes"].as_u64());
    let evaluated = fixture.run(&["evaluate", "credit", "--golden", "credit-golden"]).expect(0);
    assert_eq!(
        (&evaluated["n"], &evaluated["version"], &evaluated["recorded"]),
        (&250.into(), &"v6".into(), &true.into())
    );
    let good = evaluated["metrics"]["accuracy"]["value"].as_f64().expect("an accuracy");
    let versions = fixture.run(&["versions", "credit"]).expect(0);
    has_fields(&versions, "control_plane current versions");
    has_fields(&versions["versions"][0], "id created_ms labels metrics");
    assert!(versions["current"]["id"] == "v6" && versions["current"]["since_ms"].is_i64(), "{versions}");

    // A collector goes on while other processes read, change settings and roll back. It notices the new endpoint.
    let collector = fixture.start(&["collect"]);
    fixture.run(&["endpoint", "add", "wine", "--url", &fixture.url("wine"), "--interval-ms", "1000"]).expect(0);
    fixture.wait_for(&["endpoint", "show", "wine"], |shown| shown["health"] == "healthy");
    assert_eq!(fixture.run(&["collect", "--for", "1"]).expect_error(3), "conflict");

    fixture.inject_defect();
    fixture.wait_for(&["endpoint", "show", "credit"], |shown| shown["version"] == "v7");
    let fallen =
        fixture.run(&["evaluate", "credit"]).expect(0)["metrics"]["accuracy"]["value"].as_f64().expect("an accuracy");
    assert!(fallen < good - 0.05, "accuracy fell from {good} to {fallen}");
    let plan = fixture.run(&["rollback", "plan", "credit"]).expect(0);
    has_fields(&plan, "plan_id from to calls preflight");
    has_fields(&plan["calls"][0], "method url body");
    has_fields(&plan["preflight"][0], "check status detail");
    assert_eq!((&plan["from"], &plan["to"]), (&"v7".into(), &"v6".into()));
    let plan_id = plan["plan_id"].as_str().expect("an id");
    assert_eq!(fixture.run(&["rollback", "apply", plan_id, "--confirm", "credits"]).expect_error(2), "invalid_input");

    let run =
        fixture.run(&["rollback", "apply", plan_id, "--confirm", "credit", "--reason", "accuracy fell"]).expect(0);
    has_fields(&run, "run_id state verdict evidence");
    assert_eq!((&run["state"], &run["verdict"]), (&"finished".into(), &"verified".into()));
    let after = run["evidence"]["metrics_after"][0]["value"].as_f64().expect("an accuracy");
    assert!((after - good).abs() < 1e-9, "{run}");
    let run_id = run["run_id"].as_str().expect("an id");
    assert_eq!(fixture.run(&["rollback", "status", run_id]).expect(0)["verdict"], "verified");
    assert_eq!(fixture.run(&["rollback", "apply", plan_id, "--confirm", "credit"]).expect_error(2), "conflict");
    let blocked = fixture.run(&["rollback", "plan", "credit", "--to", "v6"]).expect(1);
    assert!(blocked["preflight"].as_array().into_iter().flatten().any(|check| check["status"] == "block"), "{blocked}");

    let entries = fixture.run(&["audit", "list"]).expect(0);
    let actions: Vec<&str> =
        entries["entries"].as_array().into_iter().flatten().filter_map(|e| e["action"].as_str()).collect();
    assert_eq!(actions, ["rollback.verdict", "rollback.apply", "endpoint.add", "endpoint.add"]);
    assert_eq!(entries["entries"][1]["reason"], "accuracy fell");
    let timeline = fixture.run(&["timeline", "--endpoint", "credit"]).expect(0);
    let kinds: Vec<&str> =
        timeline["events"].as_array().into_iter().flatten().filter_map(|e| e["kind"].as_str()).collect();
    for kind in ["endpoint_added", "version_changed", "rollback_started", "rollback_finished"] {
        assert!(kinds.contains(&kind), "{kind} is missing in {kinds:?}");
    }
    assert_eq!(fixture.run(&["endpoint", "remove", "wine"]).expect(0)["removed"], "wine");
    collector.signal(Signal::TERM);
    assert!(collector.reply().expect(0)["probes"].as_u64() > Some(3));
}

#[test]
fn a_killed_rollback_is_taken_up_and_never_lost() {
    let fixture = Fixture::new();
    let (run_id, mut apply) = begin_rollback(&fixture);
    apply.kill();
    let cut_off = fixture.run(&["rollback", "status", &run_id]).expect(0);
    assert!(cut_off["state"] != "finished" && cut_off["verdict"] == Value::Null, "{cut_off}");
    let plan = fixture.run(&["rollback", "plan", "credit", "--to", "v5"]).expect(1);
    assert_eq!(plan["blocked"], true, "a second run must wait for the first: {plan}");

    let collector = fixture.start(&["collect"]);
    let ended = fixture.wait_for(&["rollback", "status", &run_id], |run| run["state"] == "finished");
    assert!(["verified", "outcome_unknown"].contains(&ended["verdict"].as_str().unwrap_or_default()), "{ended}");
    collector.signal(Signal::INT);
    collector.reply().expect(0);
}

#[test]
fn an_interrupted_rollback_says_that_it_is_kept() {
    let fixture = Fixture::new();
    let (run_id, apply) = begin_rollback(&fixture);
    apply.signal(Signal::INT);
    let reply = apply.reply();
    assert!(reply.stderr.contains("is kept"), "{}", reply.stderr);
    let run = reply.expect(1);
    assert_eq!((&run["run_id"], &run["verdict"]), (&run_id.clone().into(), &Value::Null));
    let kept = fixture.run(&["rollback", "status", &run_id]).expect(0);
    assert!(kept["state"] != "finished", "{kept}");
}

/// Ships the defect and begins to roll it back; gives back the run as soon as it is written down.
fn begin_rollback(fixture: &Fixture) -> (String, crate::support::Running) {
    fixture.connect_credit();
    fixture.run(&["evaluate", "credit"]).expect(0);
    fixture.run(&["collect", "--for", "2.5"]).expect(0);
    fixture.inject_defect();
    let plan = fixture.run(&["rollback", "plan", "credit", "--to", "v6"]).expect(0);
    let plan_id = plan["plan_id"].as_str().expect("an id");
    let apply = fixture.start(&["rollback", "apply", plan_id, "--confirm", "credit"]);
    let entries =
        fixture.wait_for(&["audit", "list", "--limit", "1"], |audit| audit["entries"][0]["action"] == "rollback.apply");
    (entries["entries"][0]["evidence"]["run"].as_str().expect("a run").to_owned(), apply)
}
