//! Plain JSON over HTTP: the request from a person's template, the prediction from where a pointer says.

use pilothouse_domain::{Table, Target};
use url::Url;

use super::template::Template;
use super::{Answer, Call, FacetCall, Lacking, ModelMetadata, ServingProtocol, misfit};
use crate::ServingError;
use crate::transport::Failure;

/// The protocol, bound to one target.
pub(super) struct Json {
    url: Url,
    template: Template,
    live: Option<Url>,
    ready: Option<Url>,
}

impl Json {
    pub(super) fn new(target: &Target) -> Result<Self, ServingError> {
        let template = target.json.as_ref().ok_or_else(|| {
            ServingError::Target("the protocol `json` needs a request body and a pointer to the prediction".into())
        })?;
        let url = if template.path.is_empty() { target.url.clone() } else { join(&target.url, &template.path)? };
        let route = |path: &Option<String>| path.as_deref().map(|path| join(&target.url, path)).transpose();
        let (live, ready) = (route(&template.live)?, route(&template.ready)?);
        Ok(Self { url, template: Template::new(template)?, live, ready })
    }
}

/// `path` below `base`; it may bring a query of its own.
fn join(base: &Url, path: &str) -> Result<Url, ServingError> {
    let mut directory = base.clone();
    directory.set_query(None);
    directory.set_fragment(None);
    let joined = format!("{}/{}", directory.as_str().trim_end_matches('/'), path.trim_start_matches('/'));
    let mut url: Url =
        joined.parse().map_err(|_| ServingError::Target(format!("`{path}` cannot be a path below the URL")))?;
    if url.query().is_none() {
        url.set_query(base.query());
    }
    Ok(url)
}

/// A route that a person or the server's own description named is there.
fn named(route: &Url) -> FacetCall {
    FacetCall { call: Call::get(route.clone()), lacking: Lacking::Nothing }
}

impl ServingProtocol for Json {
    fn health_call(&self) -> Result<Call, Failure> {
        if !self.template.has_placeholder() {
            return Ok(Call::post(self.url.clone(), self.template.unfilled()));
        }
        match self.ready.as_ref().or(self.live.as_ref()) {
            Some(route) => Ok(Call::get(route.clone())),
            None => Err(misfit("no health route is set; give one, or rows to send with each probe")),
        }
    }

    fn read_health(&self, body: &[u8]) -> Result<(), Failure> {
        if self.template.has_placeholder() {
            // A health route: its status says all.
            return Ok(());
        }
        // A template without rows is a whole request: its answer must hold a prediction.
        self.template.prediction_of(body).map(|_| ())
    }

    fn health_prediction(&self, body: &[u8]) -> Option<Answer> {
        if self.template.has_placeholder() { None } else { self.template.read(body, 1).ok() }
    }

    fn liveness_call(&self) -> Option<FacetCall> {
        self.live.as_ref().map(named)
    }

    fn readiness_call(&self) -> Option<FacetCall> {
        self.ready.as_ref().map(named)
    }

    fn predict_call(&self, table: &Table, _metadata: Option<&ModelMetadata>) -> Result<Call, Failure> {
        Ok(Call::post(self.url.clone(), self.template.filled(table)?))
    }

    fn read_prediction(&self, body: &[u8], rows: usize) -> Result<Answer, Failure> {
        self.template.read(body, rows)
    }

    fn rows_per_call(&self) -> Option<usize> {
        self.template.rows_per_call()
    }
}

#[cfg(test)]
mod tests {
    use pilothouse_domain::endpoint::JsonTemplate;
    use pilothouse_domain::{Cell, Column, ColumnKind, Outcome, Protocol, TargetFailure};
    use serde_json::{Value, json};

    use super::super::tests::target;
    use super::*;

    fn json(url: &str, path: &str, body: Value, prediction: &str) -> Result<Json, ServingError> {
        let mut target = target(url, Protocol::Json, None);
        let prediction = prediction.to_owned();
        target.json = Some(JsonTemplate {
            path: path.into(),
            body,
            prediction,
            version: Some("/meta/version".into()),
            ..JsonTemplate::default()
        });
        Json::new(&target)
    }

    fn table() -> Table {
        let column = |name: &str| Column { name: name.into(), kind: ColumnKind::Numeric };
        Table {
            columns: vec![column("a"), column("b")],
            rows: vec![vec![Cell::Number(1.5), Cell::Text("\"}]".into())], vec![Cell::Missing, Cell::Number(2.0)]],
        }
    }

    #[test]
    fn templates_are_filled_as_values() {
        let body = json!({"rows": "{{rows}}", "deep": [{"r": "{{records}}"}], "text": "see {{rows}}"});
        let call = json("http://h/api?k=1", "/predict", body, "/p").unwrap().predict_call(&table(), None).unwrap();
        assert_eq!(call.url.as_str(), "http://h/api/predict?k=1");
        let sent: Value = serde_json::from_slice(&call.body.unwrap()).unwrap();
        assert_eq!(
            sent,
            json!({
                "rows": [[1.5, "\"}]"], [null, 2.0]],
                "deep": [{"r": [{"a": 1.5, "b": "\"}]"}, {"a": null, "b": 2.0}]}],
                "text": "see {{rows}}",
            })
        );
    }

    #[test]
    fn the_url_itself_is_used_without_a_path() {
        let call = json("http://h/score?k=1", "", json!("{{rows}}"), "").unwrap().predict_call(&table(), None).unwrap();
        assert_eq!(call.url.as_str(), "http://h/score?k=1");
    }

    #[test]
    fn health_is_asked_where_a_route_was_named() {
        let check = |live: Option<&str>, ready: Option<&str>, expect: [Option<&str>; 3]| {
            let mut target = target("http://h/api", Protocol::Json, None);
            let [live, ready] = [live, ready].map(|path| path.map(str::to_owned));
            target.json = Some(JsonTemplate { body: json!("{{rows}}"), live, ready, ..JsonTemplate::default() });
            let json = Json::new(&target).unwrap();
            let url = |call: Option<Call>| call.map(|call| call.url.to_string());
            let found = [
                url(json.liveness_call().map(|asked| asked.call)),
                url(json.readiness_call().map(|asked| asked.call)),
                url(json.health_call().ok()),
            ];
            assert_eq!(found, expect.map(|text| text.map(str::to_owned)));
        };
        check(None, None, [None; 3]);
        check(Some("/livez"), None, [Some("http://h/api/livez"), None, Some("http://h/api/livez")]);
        check(
            Some("livez"),
            Some("readyz?deep=1"),
            [Some("http://h/api/livez"), Some("http://h/api/readyz?deep=1"), Some("http://h/api/readyz?deep=1")],
        );
    }

    #[test]
    fn predictions_are_found_by_pointer() {
        let json = json("http://h/", "", json!("{{rows}}"), "/out/0/p").unwrap();
        let check = |body: Value, rows: usize, expect: Result<Vec<Vec<f64>>, TargetFailure>| {
            let found = json.read_prediction(body.to_string().as_bytes(), rows).map(|answer| answer.rows);
            let expect = expect
                .map(|rows| rows.iter().map(|row| row.iter().map(|&x| Cell::Number(x)).collect()).collect())
                .map_err(Outcome::TargetFailed);
            assert_eq!(found.map_err(|failure| failure.outcome), expect, "{body}");
        };
        check(json!({"out": [{"p": [0.5, 0.25]}]}), 2, Ok(vec![vec![0.5], vec![0.25]]));
        check(json!({"out": [{"p": [[0.5, 0.5], [1, 0]]}]}), 2, Ok(vec![vec![0.5, 0.5], vec![1.0, 0.0]]));
        check(json!({"out": [{"p": 7}]}), 1, Ok(vec![vec![7.0]]));
        check(json!({"out": [{"p": [0.2, 0.8]}]}), 1, Ok(vec![vec![0.2, 0.8]]));
        check(json!({"out": [{"p": [1, 2, 3]}]}), 2, Err(TargetFailure::WrongShape));
        check(json!({"out": [{"p": 7}]}), 2, Err(TargetFailure::WrongShape));
        check(json!({"out": []}), 1, Err(TargetFailure::ProtocolViolation));
    }

    #[test]
    fn versions_are_texts_or_numbers() {
        let json = json("http://h/", "", json!("{{rows}}"), "/p").unwrap();
        let check = |version: Value, expect: Option<&str>| {
            let body = json!({"p": [1], "meta": {"version": version}}).to_string();
            let found = json.read_prediction(body.as_bytes(), 1).unwrap().version;
            assert_eq!(found.as_ref().map(pilothouse_domain::VersionId::as_str), expect);
        };
        check(json!("v7"), Some("v7"));
        check(json!(7), Some("7"));
        check(json!(null), None);
        check(json!(""), None);
    }

    #[test]
    fn unusable_settings_are_named() {
        assert!(json("http://h/", "", json!("{{rows}}"), "p").err().unwrap().to_string().contains("`p`"));
        let no_rows = json("http://h/", "", json!({"x": 1}), "/p").unwrap();
        assert!(no_rows.predict_call(&table(), None).is_err());
        assert!(no_rows.health_call().is_ok());
        let with_rows = json("http://h/", "", json!("{{rows}}"), "/p").unwrap();
        let outcome = with_rows.health_call().unwrap_err().outcome;
        assert_eq!(outcome, Outcome::Unknown(pilothouse_domain::UnknownReason::Misconfigured));
    }
}
