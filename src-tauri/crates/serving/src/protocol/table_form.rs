//! Rows in the form that a model's author chose: by a person's template, else by a form that has a name.

use http::HeaderValue;
use http::header::CONTENT_TYPE;
use pilothouse_domain::endpoint::PayloadForm;
use pilothouse_domain::{Table, Target};
use url::Url;

use super::cells::Rows;
use super::template::Template;
use super::tensors::check_rows;
use super::{Answer, Call, table_body};
use crate::ServingError;
use crate::transport::Failure;

const CSV: HeaderValue = HeaderValue::from_static("text/csv");

/// Reads one row of cells per row sent.
type Reader = fn(body: &[u8], rows: usize) -> Result<Rows, Failure>;

pub(super) struct TableForm {
    payload: PayloadForm,
    template: Option<Template>,
}

impl TableForm {
    /// That of a target; `usual` where it names none.
    pub(super) fn new(target: &Target, usual: PayloadForm) -> Result<Self, ServingError> {
        Ok(Self { payload: target.payload.or(usual), template: target.json.as_ref().map(Template::new).transpose()? })
    }

    /// Asks `url` for a prediction of every row.
    pub(super) fn call(&self, url: &Url, table: &Table) -> Result<Call, Failure> {
        check_rows(table)?;
        let url = url.clone();
        Ok(match (&self.template, self.payload) {
            (Some(template), _) => Call::post(url, template.filled(table)?),
            (None, PayloadForm::Csv) => {
                let mut call = Call::post(url, table_body::csv(table));
                call.headers.push((CONTENT_TYPE, CSV));
                call
            }
            (None, form) => Call::post(url, table_body::json(table, form)),
        })
    }

    /// Reads the answer for `rows` rows; without a template `usual` does.
    pub(super) fn read(&self, body: &[u8], rows: usize, usual: Reader) -> Result<Answer, Failure> {
        match &self.template {
            Some(template) => template.read(body, rows),
            None => Ok(usual(body, rows)?.into()),
        }
    }

    /// The most rows that one request takes; `None`: any number.
    pub(super) fn rows_per_call(&self) -> Option<usize> {
        self.template.as_ref().and_then(Template::rows_per_call)
    }
}
