//! The example of the documentation is true.

use pilothouse_config::{write_file, write_folder};
use pilothouse_domain::{Cell, ColumnKind};

use crate::{read, read_files};

const PAGE: &str = include_str!("../../../../../docs/configuration.md");

fn example() -> &'static str {
    let (_, rest) = PAGE.split_once("```toml\n").expect("an example");
    rest.split_once("```").expect("its end").0
}

#[test]
fn the_documented_example_is_read_whole_and_comes_back() {
    let configuration = read(example()).unwrap();
    let names: Vec<&str> = configuration.endpoints.iter().map(|e| e.endpoint.name.as_str()).collect();
    assert_eq!(names, ["churn", "credit-risk", "support-assistant"]);
    let credit = &configuration.endpoints[1];
    assert_eq!(credit.golden_set.as_deref(), Some("credit-risk held out"));
    assert_eq!(credit.endpoint.target.auth.secrets(), ["credit-token"]);
    let rows = credit.endpoint.target.probe_input.as_ref().unwrap();
    assert_eq!((rows.columns[2].kind, &rows.rows[0][2]), (ColumnKind::Categorical, &Cell::Text("007".into())));
    let body = &configuration.endpoints[0].endpoint.target.json.as_ref().unwrap().body;
    assert_eq!(*body, serde_json::json!({ "instances": "{{records}}", "explain": null }));
    assert_eq!(configuration.golden_sets.len(), 2);
    assert_eq!(configuration.retention.unwrap().hour_days, 730);

    let written = write_file(&configuration).unwrap();
    assert_eq!(read(&written).unwrap(), configuration);
    let folder = write_folder(&configuration).unwrap();
    assert_eq!(read_files(&folder).unwrap(), configuration);
    let paths: Vec<&str> = folder.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths.len(), 9, "{paths:?}");
    assert!(paths.contains(&"endpoints/credit-risk.rows.csv") && paths.contains(&"golden/diabetes.toml"), "{paths:?}");
    for file in &folder {
        for named in pilothouse_config::row_files(file) {
            assert!(paths.contains(&named.as_str()), "{named}");
        }
    }
}

#[test]
fn what_is_written_is_readable() {
    let written = write_file(&read(example()).unwrap()).unwrap();
    let expected = r#"
[[endpoint]]
name = "churn"
environment = "staging"
url = "http://churn.example.com:8000/"
protocol = "json"
paused = true

[endpoint.json]
path = "/predict"
prediction = "/scores"
version = "/model/version"
body = '{"explain":null,"instances":"{{records}}"}'

[[endpoint]]
name = "credit-risk"
environment = "production"
url = "https://models.example.com/"
protocol = "v2"
model = "credit-risk"

[endpoint.auth]
kind = "bearer"
secret = "keyring:credit-token"

[endpoint.checks]
outputs_per_row = 2
probability_sum = true
"#;
    assert!(written.contains(expected), "{written}");
    assert!(!written.contains("finite") && !written.contains("total_timeout_ms"), "defaults are left out: {written}");
    assert!(written.contains("rows = \"\"\"\nage,purpose,code\n34,car,007\n"), "{written}");
}
