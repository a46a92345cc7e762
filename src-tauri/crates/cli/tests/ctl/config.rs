//! The set-up as files: written, compared, carried over, refused.

use serde_json::json;

use crate::support::{Fixture, run, start};

fn database(fixture: &Fixture, name: &str) -> String {
    fixture.path(name).to_str().expect("UTF-8").to_owned()
}

#[test]
fn an_exported_folder_is_the_same_set_up_elsewhere() {
    let fixture = Fixture::new();
    fixture.connect_credit();
    let folder = database(&fixture, "config");
    let exported = fixture.run(&["config", "export", "--out", &folder]).expect(0);
    assert_eq!((&exported["files"], &exported["stale"]), (&5.into(), &json!([])), "{exported}");
    assert_eq!(fixture.run(&["config", "diff", &folder]).expect(0)["differs"], false);

    let other = database(&fixture, "other.db");
    let at = |more: &[&str]| run(&[&["config"][..], more, &["--db", &other]].concat());
    let diff = at(&["diff", &folder]).expect(1);
    assert_eq!((&diff["added"], &diff["golden_sets"]["added"]), (&json!(["credit"]), &json!(["credit-golden"])));
    assert_eq!(at(&["apply", &folder]).expect_error(2), "invalid_input", "nobody is there to be asked");
    assert_eq!(at(&["apply", &folder, "--dry-run"]).expect(0)["applied"], false);
    assert_eq!(at(&["diff", &folder]).expect(1)["differs"], true);
    assert_eq!(at(&["apply", &folder, "--yes"]).expect(0)["applied"], true);
    assert_eq!(at(&["diff", &folder]).expect(0)["differs"], false);
    let text = |reply: serde_json::Value| reply["toml"].as_str().expect("TOML").to_owned();
    let here = text(fixture.run(&["config", "export"]).expect(0));
    assert_eq!(text(at(&["export"]).expect(0)), here);

    // The copy works: its model is asked, its golden set is evaluated.
    assert_eq!(run(&["evaluate", "credit", "--db", &other]).expect(0)["n"], 250);

    let one = database(&fixture, "fleet.toml");
    at(&["export", "--out", &one]).expect(0);
    let changed = here.replace("interval_ms = 1000", "interval_ms = 2000").replace("\"credit\"", "\"loans\"");
    std::fs::write(&one, changed).expect("a file");
    let diff = at(&["diff", &one]).expect(1);
    assert_eq!((&diff["added"], &diff["only_in_database"]), (&json!(["loans"]), &json!(["credit"])));
    at(&["apply", &one, "--yes", "--prune"]).expect(0);
    let listed = run(&["endpoint", "list", "--db", &other]).expect(0);
    assert_eq!(listed["endpoints"][0]["name"], "loans");
    assert_eq!(listed["endpoints"].as_array().map(Vec::len), Some(1));
}

#[test]
fn what_is_wrong_is_named_with_its_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let put = |text: &str| {
        let path = folder.path().join("fleet.toml");
        std::fs::write(&path, text).expect("a file");
        path.to_str().expect("UTF-8").to_owned()
    };
    let new = folder.path().join("new.db");
    let new = new.to_str().expect("UTF-8");
    let check = |text: &str, expect: &str| {
        let reply = run(&["config", "apply", &put(text), "--yes", "--db", new]).expect(2);
        let message = reply["error"]["message"].as_str().expect("a message");
        assert!(message.contains(expect) && !message.contains("hunter2"), "{message}");
    };
    let endpoint = "[[endpoint]]\nname = \"a\"\nenvironment = \"e\"\nurl = \"http://h/\"\nprotocol = \"v2\"\n";
    check(
        &format!("{endpoint}modle = \"m\"\n"),
        "fleet.toml:6:1: `endpoint.modle`: unknown key; did you mean `model`?",
    );
    check("[[endpoint]]\ntoken = \"hunter2\"\n", "fleet.toml:2:1: `endpoint.token`: looks like a secret");
    check("x = \n", "fleet.toml:1:");
    let missing = folder.path().join("nothing.toml");
    let missing = missing.to_str().expect("UTF-8");
    assert_eq!(run(&["config", "diff", missing, "--db", new]).expect_error(2), "invalid_input");
    assert_eq!(start(&["config"]).reply().expect_error(2), "invalid_input");
}
