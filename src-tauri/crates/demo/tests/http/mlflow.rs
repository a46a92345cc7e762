//! MLflow's scoring protocol as the diabetes model speaks it.

use pilothouse_domain::{Column, Table};
use reqwest::{Method, StatusCode};
use serde_json::{Map, Value, json};

use crate::{Demo, assert_close, expected};

fn split(table: &Table) -> Value {
    let names: Vec<&str> = table.columns.iter().map(|c| c.name.as_str()).collect();
    json!({ "dataframe_split": { "columns": names, "data": table.rows } })
}

fn records(table: &Table) -> Value {
    let record = |row: &Vec<_>| {
        let pair = |(c, cell): (&Column, _)| (c.name.clone(), json!(cell));
        Value::Object(table.columns.iter().zip(row).map(pair).collect::<Map<String, Value>>())
    };
    table.rows.iter().map(record).collect()
}

#[tokio::test]
async fn the_routes_of_a_scoring_server() {
    let demo = Demo::start().await;
    for (path, expect) in [("/ping", "\n"), ("/health", "\n"), ("/version", "3.17.2")] {
        let (status, content_type, body) = demo.get("diabetes", path).await;
        assert_eq!(
            (status, content_type.as_str(), body.as_str()),
            (StatusCode::OK, "application/json", expect),
            "{path}"
        );
    }
    for path in ["/", "/v2", "/metrics"] {
        let (status, _, body) = demo.get("diabetes", path).await;
        assert_eq!((status, body.as_str()), (StatusCode::NOT_FOUND, r#"{"detail":"Not Found"}"#), "{path}");
    }
}

#[tokio::test]
async fn every_form_of_input_gets_scikit_learns_predictions() {
    let demo = Demo::start().await;
    let table = demo.endpoint("diabetes").golden_set.table;
    let columns: Map<String, Value> = table
        .columns
        .iter()
        .enumerate()
        .map(|(at, c)| (c.name.clone(), table.rows.iter().map(|row| json!(row[at])).collect()))
        .collect();
    // By name, not by position: the columns reversed, and one that the model does not know.
    let mut shuffled = table.clone();
    shuffled.columns.push(Column { name: "extra".into(), kind: pilothouse_domain::ColumnKind::Numeric });
    shuffled.columns.reverse();
    for row in &mut shuffled.rows {
        row.push(pilothouse_domain::Cell::Missing);
        row.reverse();
    }
    for body in [
        split(&table),
        split(&shuffled),
        json!({ "dataframe_records": records(&table) }),
        json!({ "instances": records(&table) }),
        json!({ "inputs": columns }),
    ] {
        let (status, answer) = demo.post("diabetes", "/invocations", &body).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        assert_eq!(answer.as_object().unwrap().len(), 1, "no version is told");
        assert_close(&answer["predictions"], expected("diabetes", "v2").iter().flatten());
    }
}

#[tokio::test]
async fn csv_is_accepted_and_answers_are_spaced_as_python_does() {
    let demo = Demo::start().await;
    let table = demo.endpoint("diabetes").probe_input;
    let line = |cells: Vec<String>| cells.join(",");
    let header = line(table.columns.iter().map(|c| c.name.clone()).collect());
    let rows = table.rows.iter().map(|row| line(row.iter().map(|cell| json!(cell).to_string()).collect()));
    let csv = std::iter::once(header).chain(rows).collect::<Vec<_>>().join("\n");
    let url = demo.endpoint("diabetes").url.join("/invocations").unwrap();
    let (status, _, body) = demo.send_to(Method::POST, url, "text/csv; charset=utf-8", Some(csv)).await;
    assert_eq!(status, StatusCode::OK);
    let predictions = serde_json::from_str::<Value>(&body).unwrap()["predictions"].clone();
    assert_close(&predictions, expected("diabetes", "v2").iter().take(2).flatten());
    assert_eq!(body, format!(r#"{{"predictions": [{}, {}]}}"#, predictions[0], predictions[1]));
}

#[tokio::test]
async fn bodies_that_do_not_fit_get_mlflows_errors() {
    let demo = Demo::start().await;
    let table = demo.endpoint("diabetes").probe_input;
    let mut missing = split(&table);
    missing["dataframe_split"]["columns"][2] = json!("BMI");
    let mut ragged = split(&table);
    ragged["dataframe_split"]["data"][0] = json!([1.0]);
    let mut text = split(&table);
    text["dataframe_split"]["data"][1][0] = json!("old");
    let dictionary = "The input must be a JSON dictionary with exactly one of the input fields {'dataframe_split', \
                      'instances', 'inputs', 'dataframe_records'}. Received dictionary with input fields:";
    let malformed = "Invalid input. Ensure that input is a valid JSON formatted string. Error: 'JSONDecodeError(";
    for (body, code, expect) in [
        ("{bad".to_owned(), "BAD_REQUEST", malformed),
        (String::new(), "BAD_REQUEST", malformed),
        (r#"{"data":[[1]]}"#.to_owned(), "BAD_REQUEST", dictionary),
        (r#"{"inputs":[],"instances":[]}"#.to_owned(), "BAD_REQUEST", dictionary),
        ("[1,2]".to_owned(), "BAD_REQUEST", dictionary),
        (json!({"inputs": table.rows}).to_string(), "INVALID_PARAMETER_VALUE", "Failed to enforce schema of data"),
        (json!({"instances": table.rows}).to_string(), "INVALID_PARAMETER_VALUE", "Failed to enforce schema of data"),
        (
            missing.to_string(),
            "INVALID_PARAMETER_VALUE",
            "Model is missing inputs ['bmi']. Note that there were extra inputs: ['BMI']",
        ),
        (ragged.to_string(), "BAD_REQUEST", "10 columns passed, passed data had 1 columns"),
        (text.to_string(), "INVALID_PARAMETER_VALUE", "row 1, column `age`: a number is needed, not the text `old`"),
        (r#"{"dataframe_records":[]}"#.to_owned(), "INVALID_PARAMETER_VALUE", "Model is missing inputs"),
        (r#"{"dataframe_split":{"columns":3}}"#.to_owned(), "BAD_REQUEST", "`columns` must be a list"),
        (r#"{"inputs":{"age":[1],"sex":[1,2]}}"#.to_owned(), "INVALID_PARAMETER_VALUE", "the same length"),
    ] {
        let (status, content_type, answer) =
            demo.send(Method::POST, "diabetes", "/invocations", Some(body.clone())).await;
        assert_eq!((status, content_type.as_str()), (StatusCode::BAD_REQUEST, "application/json"), "{body}: {answer}");
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!((&answer["error_code"], &answer["sqlstate"]), (&json!(code), &json!("KAM00")), "{body}: {answer}");
        assert!(answer["message"].as_str().unwrap().contains(expect), "{body}: {answer}");
    }
    let url = demo.endpoint("diabetes").url.join("/invocations").unwrap();
    let (status, content_type, answer) = demo.send_to(Method::POST, url, "text/plain", Some("x".into())).await;
    assert_eq!((status, content_type.as_str()), (StatusCode::UNSUPPORTED_MEDIA_TYPE, "text/plain; charset=utf-8"));
    assert!(answer.ends_with("Got 'text/plain'."), "{answer}");
}
