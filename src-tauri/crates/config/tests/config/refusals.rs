//! What cannot be taken over is refused at its line, and no message repeats a secret.

use crate::{file, read, read_files};

const GOOD: &str = "\
[[endpoint]]
name = \"a\"
environment = \"staging\"
url = \"http://localhost:8080/\"
protocol = \"v2\"
";

/// The single problem of a text: its line, its key, and words of its message and hint.
#[track_caller]
fn check(text: &str, line: u32, key: &str, expect: &[&str]) {
    let problems = read(text).expect_err("refused");
    let problem = &problems[0];
    assert_eq!((problem.line, problem.key.as_str()), (line, key), "{problem}");
    for words in expect {
        assert!(problem.to_string().contains(words), "`{words}` is missing: {problem}");
    }
    assert_eq!(problems.len(), 1, "{problems:?}");
}

#[test]
fn unknown_keys_are_refused_with_the_one_that_was_meant() {
    read(GOOD).unwrap();
    let with = |more: &str| format!("{GOOD}{more}");
    check(&with("modle = \"m\"\n"), 6, "endpoint.modle", &["fleet.toml:6:1", "unknown key", "did you mean `model`"]);
    check(&with("\n[endpoint.probe]\nintervall_ms = 5\n"), 8, "endpoint.probe.intervall_ms", &["`interval_ms`"]);
    check(&with("colour = 1\n"), 6, "endpoint.colour", &["known here:", "environment", "protocol"]);
    let auth = "auth = { kind = \"bearer\", secret = \"keyring:t\", realm = \"x\" }\n";
    check(&with(auth), 6, "endpoint.auth.realm", &["unknown key", "known here: kind, secret"]);
    let auth = "auth = { kind = \"none\", user = \"x\" }\n";
    check(&with(auth), 6, "endpoint.auth.user", &["unknown key"]);
    let plane = "\n[endpoint.control_plane]\nkind = \"demo\"\nurl = \"http://h/\"\nmodel = \"m\"\nalias = \"x\"\n";
    check(&with(plane), 11, "endpoint.control_plane.alias", &["unknown key"]);
    check("[[endpoints]]\nname = \"a\"\n", 1, "endpoints", &["did you mean `endpoint`"]);
    check("[settings]\nthema = 1\n", 2, "settings.thema", &["unknown key"]);
    check("[settings.retention]\nraw_day = 1\n", 2, "settings.retention.raw_day", &["`raw_days`"]);
    let rows = "[endpoint.probe_input]\nrow = \"x\\n1\"\nrows = \"x\\n1\"\n";
    check(&with(rows), 7, "endpoint.probe_input.row", &["`rows`"]);
}

#[test]
fn wrong_values_are_refused_with_what_is_accepted() {
    let with = |more: &str| format!("{GOOD}{more}");
    let without = |line: &str| GOOD.replace(line, "");
    check(&GOOD.replace("\"v2\"", "\"v3\""), 5, "endpoint.protocol", &["unknown variant `v3`", "`mlflow`"]);
    check(&GOOD.replace("environment", "enviroment"), 1, "endpoint", &["`environment`", "`enviroment` may be meant"]);
    check(&without("protocol = \"v2\"\n"), 1, "endpoint", &["missing field `protocol`"]);
    check(&with("paused = \"yes\"\n"), 6, "endpoint.paused", &["expected a boolean"]);
    check(&GOOD.replace("http:", "ftp:"), 4, "endpoint.url", &["must begin with http://"]);
    check(&with("[endpoint.probe]\ninterval_ms = 10\n"), 7, "endpoint.probe.interval_ms", &["between 1000"]);
    check(&with("[endpoint.auth]\nkind = \"bearer\"\nsecret_ = \"keyring:x\"\n"), 6, "endpoint.auth", &["`secret`"]);
    check(&with("created = 1979-05-27\n"), 6, "endpoint.created", &["is a date"]);
    check(&with("degraded = inf\n"), 6, "endpoint.degraded", &["finite"]);
    check("endpoint = 3\n", 1, "endpoint", &["[[endpoint]]"]);
    check(&with("json = { body = \"{\", prediction = \"/p\" }\n"), 6, "endpoint.json.body", &["is not JSON"]);
    check(&format!("{GOOD}{GOOD}"), 7, "endpoint.name", &["`a` is described at fleet.toml:2 already"]);
    check("[settings.retention]\nraw_days = 90\nminute_days = 1\n", 1, "settings.retention", &["must rise"]);
    check("a = 1\nb = = 2\n", 2, "", &["fleet.toml:2:"]);
    check(
        &with("[endpoint.evaluation]\ngolden_set = \"storde\"\n"),
        7,
        "endpoint.evaluation.golden_set",
        &["`stored`"],
    );
    read(&with("[endpoint.evaluation]\ngolden_set = \"stored\"\n")).unwrap();
    check(&with("[endpoint.evaluation]\ninterval_ms = 5000\n"), 6, "endpoint.evaluation", &["names no `golden_set`"]);
    assert!(read_files(&[file("notes.txt", "hello")]).unwrap_err()[0].message.contains("no `.toml` file"));
}

#[test]
fn rows_are_refused_at_the_key_that_brings_them() {
    let with = |more: &str| format!("{GOOD}[endpoint.probe_input]\n{more}\n");
    let key = "endpoint.probe_input";
    check(&with(""), 6, key, &["neither `rows` nor `file`"]);
    check(&with("rows = \"a\\n1\"\nfile = \"x.csv\""), 6, key, &["`rows` and `file`"]);
    check(&with("file = \"x.csv\""), 7, &format!("{key}.file"), &["there is no file `x.csv`"]);
    check(&with("file = \"../x.csv\""), 7, &format!("{key}.file"), &["outside"]);
    check(&with("file = \"/etc/passwd\""), 7, &format!("{key}.file"), &["outside"]);
    check(&with("rows = 3"), 7, &format!("{key}.rows"), &["must be text"]);
    check(&with("rows = [{ a = 1 }, { a = [1] }]"), 7, &format!("{key}.rows"), &["row 2: `a`"]);
    check(&with("columns = { b = \"numeric\" }\nrows = \"a\\n1\""), 8, &format!("{key}.rows"), &["no column `b`"]);
    let rows = read(&with("rows = [{ z = 1, a = true }, { q = \"x\" }]")).unwrap();
    let table = rows.endpoints[0].endpoint.target.probe_input.clone().unwrap();
    let names: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["z", "a", "q"], "in the order of the text");

    let golden =
        |more: &str| format!("[[golden_set]]\nname = \"g\"\nlabel = \"y\"\nrows = \"x,y\\n1,no\\n2,yes\"\n{more}");
    read(&golden("task = \"binary\"\nclasses = [\"no\", \"yes\"]\n")).unwrap();
    check(&golden("task = \"binary\"\nclasses = [\"no\", \"perhaps\"]\n"), 6, "golden_set.classes", &["label `yes`"]);
    check(&golden("task = \"binary\"\n"), 1, "golden_set.classes", &["two different classes"]);
    check(&golden("task = \"regression\"\n"), 3, "golden_set.label", &["no number"]);
    check(&golden("task = \"guess\"\n"), 5, "golden_set.task", &["`multiclass`"]);
}

#[test]
fn secrets_are_refused_and_not_repeated() {
    let check = |more: &str, line: u32, expect: &str| {
        let problems = read(&format!("{GOOD}{more}\n")).expect_err(more);
        assert!(
            problems.iter().any(|problem| problem.line == line && problem.to_string().contains(expect)),
            "{problems:?}"
        );
        for problem in problems {
            assert!(!problem.to_string().contains("hunter2"), "{problem}");
        }
    };
    check("token = \"hunter2\"", 6, "secret set NAME");
    check("api-key = \"hunter2\"", 6, "looks like a secret");
    check("auth = { kind = \"bearer\", secret = \"hunter2\" }", 6, "`secret = \"keyring:NAME\"`");
    check("auth = { kind = \"bearer\", secret = \"keyring:hunter2 \" }", 6, "takes the name of a secret");
    check("auth = { kind = \"bearer\", token = \"hunter2\" }", 6, "looks like a secret");
    check("auth = { kind = \"header\", name = \"Authorization\", secret = \"Bearer hunter2\" }", 6, "keyring");
    check("model = \"Bearer hunter2hunter2\"", 6, "holds a credential");
    check(
        "[endpoint.control_plane]\nkind = \"demo\"\nmodel = \"m\"\nurl = \"http://u:hunter2@h/\"",
        9,
        "user or password",
    );
    check("[endpoint.tls]\nclient_key_secret = \"-----BEGIN PRIVATE KEY-----\\nhunter2\"", 7, "name of a secret");
    check("model = \"hunter2", 6, "");
    check("paused = \"hunter2\"", 6, "boolean");
    let top = read("password = \"hunter2\"\n").unwrap_err();
    assert!(top[0].message.contains("looks like a secret"), "{}", top[0]);
    // Data are data.
    read("[[golden_set]]\nname = \"g\"\ntask = \"regression\"\nlabel = \"y\"\nsource = \"Basic statistics\"\nrows = \"y,token\\n1,2\"\n").unwrap();
    read(&format!("{GOOD}[endpoint.probe_input]\nrows = [{{ amount = 1.5 }}]\n")).unwrap();
}
