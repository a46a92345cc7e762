//! Evaluations: metrics as JSON, predictions as little-endian numbers.
//!
//! What must stay true: `latest_evaluation` names the newest evaluation of each version, so that neither the fleet screen
//! nor a verdict looks through years of them, and retention knows whose predictions to keep.

use std::collections::HashMap;

use pilothouse_domain::{EndpointId, Evaluation, EvaluationId, GoldenSetId, TimestampMs, VersionId};
use rusqlite::{Connection, OptionalExtension as _, Row};

use crate::json::{from_json, to_json};
use crate::probes::saturated;
use crate::{Store, StoreError};

/// `width`: numbers per row of `predictions`, which are IEEE 754 doubles, little-endian, row by row. `version_key`: `v`
/// before the version, or nothing when it is not known (a primary key holds no NULL).
pub(crate) const V1: &str = "
CREATE TABLE evaluation (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    endpoint INTEGER NOT NULL REFERENCES endpoint (id) ON DELETE CASCADE,
    golden_set INTEGER NOT NULL REFERENCES golden_set (id),
    version TEXT,
    at_ms INTEGER NOT NULL,
    n INTEGER NOT NULL,
    elapsed_ms INTEGER NOT NULL,
    metrics TEXT NOT NULL,
    width INTEGER NOT NULL,
    predictions BLOB
) STRICT;
CREATE INDEX evaluation_by_endpoint ON evaluation (endpoint, at_ms);
CREATE TABLE latest_evaluation (
    endpoint INTEGER NOT NULL REFERENCES endpoint (id) ON DELETE CASCADE,
    version_key TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    evaluation INTEGER NOT NULL REFERENCES evaluation (id) ON DELETE CASCADE,
    PRIMARY KEY (endpoint, version_key)
) STRICT, WITHOUT ROWID;
CREATE INDEX latest_evaluation_by_evaluation ON latest_evaluation (evaluation);";

const WHAT: &str = "evaluation";
const COLUMNS: &str = "e.id, e.endpoint, e.golden_set, e.version, e.at_ms, e.n, e.elapsed_ms, e.metrics";
/// Evaluations per endpoint that the fleet screen compares.
const VERSIONS_COMPARED: usize = 2;

/// Changes whenever the judgement of an endpoint's quality may change: another evaluation, another version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QualityMark {
    evaluation: i64,
    live_version: Option<i64>,
}

impl Store {
    /// Stores an evaluation (its `id` is ignored) and returns its number. Every row of predictions must have as many
    /// numbers as the first.
    pub fn add_evaluation(&self, evaluation: &Evaluation) -> Result<EvaluationId, StoreError> {
        let metrics = to_json(WHAT, &evaluation.metrics)?;
        let (width, predictions) = encode(&evaluation.predictions)?;
        let Evaluation { endpoint, golden_set, ref version, at, n, elapsed_ms, .. } = *evaluation;
        let version = version.clone();
        self.write("store the evaluation", move |connection| {
            for (table, what, id) in [("endpoint", "endpoint", endpoint.0), ("golden_set", "golden set", golden_set.0)] {
                let sql = format!("SELECT 1 FROM {table} WHERE id = ?1");
                if !connection.prepare_cached(&sql)?.exists([id])? {
                    return Err(StoreError::not_found(what, &id));
                }
            }
            let version = version.as_ref();
            connection
                .prepare_cached(
                    "INSERT INTO evaluation (endpoint, golden_set, version, at_ms, n, elapsed_ms, metrics, width, predictions)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
                )?
                .execute(rusqlite::params![
                    endpoint.0,
                    golden_set.0,
                    version.map(VersionId::as_str),
                    at.0,
                    n,
                    elapsed_ms,
                    metrics,
                    width,
                    predictions
                ])?;
            let id = connection.last_insert_rowid();
            connection
                .prepare_cached(
                    "INSERT INTO latest_evaluation (endpoint, version_key, at_ms, evaluation) VALUES (?1, ?2, ?3, ?4)
                     ON CONFLICT DO UPDATE SET at_ms = excluded.at_ms, evaluation = excluded.evaluation
                     WHERE excluded.at_ms >= at_ms",
                )?
                .execute((endpoint.0, version_key(version), at.0, id))?;
            Ok(EvaluationId(id))
        })
    }

    /// The evaluations of the endpoint in `[from, to)`, oldest first, without their predictions.
    pub fn evaluations(
        &self,
        endpoint: EndpointId,
        from: TimestampMs,
        to: TimestampMs,
    ) -> Result<Vec<Evaluation>, StoreError> {
        self.read("read the evaluations", |connection| {
            let mut statement = connection.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM evaluation e WHERE endpoint = ?1 AND at_ms >= ?2 AND at_ms < ?3 ORDER BY at_ms, id"
            ))?;
            let mut rows = statement.query((endpoint.0, from.0, to.0))?;
            let mut evaluations = Vec::new();
            while let Some(row) = rows.next()? {
                evaluations.push(decode(row)?);
            }
            Ok(evaluations)
        })
    }

    /// The evaluation with this number, with its predictions as far as retention has kept them.
    pub fn evaluation(&self, id: EvaluationId) -> Result<Option<Evaluation>, StoreError> {
        self.read("read the evaluation", |connection| find(connection, id))
    }

    /// The endpoint's newest evaluation, of this version when one is given, with its predictions.
    pub fn latest_evaluation(
        &self,
        endpoint: EndpointId,
        version: Option<&VersionId>,
    ) -> Result<Option<Evaluation>, StoreError> {
        self.read("read the latest evaluation", |connection| {
            let key = version.map(|version| version_key(Some(version)));
            let id: Option<i64> = connection
                .prepare_cached(
                    "SELECT evaluation FROM latest_evaluation WHERE endpoint = ?1 AND (?2 IS NULL OR version_key = ?2)
                     ORDER BY at_ms DESC, evaluation DESC LIMIT 1",
                )?
                .query_row((endpoint.0, key), |row| row.get(0))
                .optional()?;
            id.map_or(Ok(None), |id| find(connection, EvaluationId(id)))
        })
    }

    /// The mark of every endpoint that was ever evaluated.
    pub fn quality_marks(&self) -> Result<HashMap<EndpointId, QualityMark>, StoreError> {
        self.read("look for new evaluations", |connection| {
            // The number of the evaluation tells any other of it too: the newest of a version only gives way to a later one.
            let mut statement = connection.prepare_cached(
                "SELECT endpoint, max(evaluation), (SELECT max(id) FROM live_version v WHERE v.endpoint = l.endpoint)
                 FROM latest_evaluation l GROUP BY endpoint",
            )?;
            let marks = statement.query_map([], |row| {
                Ok((EndpointId(row.get(0)?), QualityMark { evaluation: row.get(1)?, live_version: row.get(2)? }))
            })?;
            Ok(marks.collect::<Result<_, _>>()?)
        })
    }

    /// Of every endpoint, the newest evaluation of each of the two versions evaluated last, newest first, without
    /// predictions. An unknown version counts as one.
    pub fn latest_evaluations(&self) -> Result<HashMap<EndpointId, Vec<Evaluation>>, StoreError> {
        self.read("read the latest evaluations", |connection| {
            let mut statement = connection.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM latest_evaluation l JOIN evaluation e ON e.id = l.evaluation
                 ORDER BY l.endpoint, l.at_ms DESC, l.evaluation DESC"
            ))?;
            let mut rows = statement.query([])?;
            let mut latest: HashMap<EndpointId, Vec<Evaluation>> = HashMap::new();
            while let Some(row) = rows.next()? {
                let of_endpoint = latest.entry(EndpointId(row.get(1)?)).or_default();
                if of_endpoint.len() < VERSIONS_COMPARED {
                    of_endpoint.push(decode(row)?);
                }
            }
            Ok(latest)
        })
    }
}

/// Forgets the predictions of up to `limit` evaluations before `floor_ms`, except the newest of each version; returns how
/// many. Their metrics stay.
pub(crate) fn remove_old_predictions(
    connection: &Connection,
    floor_ms: i64,
    limit: usize,
) -> Result<usize, StoreError> {
    let changed = connection
        .prepare_cached(
            "UPDATE evaluation SET predictions = NULL WHERE id IN (
                SELECT id FROM evaluation WHERE at_ms < ?1 AND predictions IS NOT NULL
                AND NOT EXISTS (SELECT 1 FROM latest_evaluation WHERE evaluation = evaluation.id) LIMIT ?2)",
        )?
        .execute((floor_ms, limit as i64))?;
    Ok(changed)
}

fn version_key(version: Option<&VersionId>) -> String {
    version.map_or_else(String::new, |version| format!("v{version}"))
}

fn find(connection: &Connection, id: EvaluationId) -> Result<Option<Evaluation>, StoreError> {
    let mut statement = connection
        .prepare_cached(&format!("SELECT {COLUMNS}, e.width, e.predictions FROM evaluation e WHERE e.id = ?1"))?;
    let mut rows = statement.query([id.0])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let mut evaluation = decode(row)?;
    if let Some(bytes) = row.get_ref(9)?.as_blob_or_null().map_err(rusqlite::Error::from)? {
        evaluation.predictions = decode_predictions(row.get(8)?, bytes)
            .ok_or_else(|| StoreError::unreadable(WHAT, &id, "its predictions are cut off"))?;
    }
    Ok(Some(evaluation))
}

fn decode(row: &Row<'_>) -> Result<Evaluation, StoreError> {
    let id = EvaluationId(row.get(0)?);
    Ok(Evaluation {
        id,
        endpoint: EndpointId(row.get(1)?),
        golden_set: GoldenSetId(row.get(2)?),
        version: row.get::<_, Option<String>>(3)?.map(VersionId),
        at: TimestampMs(row.get(4)?),
        n: saturated(row.get(5)?),
        elapsed_ms: saturated(row.get(6)?),
        metrics: from_json(WHAT, &id, &row.get::<_, String>(7)?)?,
        predictions: Vec::new(),
    })
}

fn encode(predictions: &[Vec<f64>]) -> Result<(i64, Vec<u8>), StoreError> {
    let width = predictions.first().map_or(0, Vec::len);
    if let Some(index) = predictions.iter().position(|row| row.len() != width || row.is_empty()) {
        let problem =
            format!("row {} has {} predictions, the first row has {width}", index + 1, predictions[index].len());
        return Err(StoreError::Invalid { what: WHAT, problem });
    }
    let bytes = predictions.iter().flatten().flat_map(|number| number.to_le_bytes()).collect();
    Ok((width as i64, bytes))
}

fn decode_predictions(width: i64, bytes: &[u8]) -> Option<Vec<Vec<f64>>> {
    if bytes.is_empty() {
        return Some(Vec::new());
    }
    let row_bytes = usize::try_from(width).ok()?.checked_mul(size_of::<f64>())?;
    if !bytes.len().is_multiple_of(row_bytes) {
        return None;
    }
    let (numbers, _) = bytes.as_chunks::<8>();
    let numbers: Vec<f64> = numbers.iter().map(|chunk| f64::from_le_bytes(*chunk)).collect();
    Some(numbers.chunks(row_bytes / size_of::<f64>()).map(<[f64]>::to_vec).collect())
}

#[cfg(test)]
mod tests {
    use pilothouse_domain::{GoldenSet, Label, Metric, Table, Task};
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{MONDAY, endpoint, store};

    fn evaluation(store: &Store, endpoint: EndpointId, version: Option<&str>, after_ms: i64) -> Evaluation {
        let set = GoldenSet {
            id: GoldenSetId(0),
            name: "held out".to_owned(),
            task: Task::Regression,
            table: Table { columns: Vec::new(), rows: vec![Vec::new()] },
            labels: vec![Label::Value(1.5)],
            created: MONDAY,
            source: String::new(),
        };
        let metric = Metric {
            name: "r2".to_owned(),
            value: Some(0.25),
            low: None,
            high: Some(0.5),
            method: "bootstrap(1000, seed 7)".to_owned(),
            why: None,
        };
        let mut evaluation = Evaluation {
            id: EvaluationId(0),
            endpoint,
            golden_set: store.add_golden_set(&set).unwrap(),
            version: version.map(Into::into),
            at: MONDAY.plus_ms(after_ms),
            n: 2,
            metrics: vec![metric],
            predictions: vec![vec![0.1, -0.0], vec![f64::MAX, f64::MIN_POSITIVE]],
            elapsed_ms: 12,
        };
        evaluation.id = store.add_evaluation(&evaluation).unwrap();
        evaluation
    }

    fn bare(evaluation: &Evaluation) -> Evaluation {
        Evaluation { predictions: Vec::new(), ..evaluation.clone() }
    }

    #[test]
    fn the_latest_of_each_version_is_found() {
        let (_folder, store) = store();
        let id = store.add_endpoint(&endpoint("wine")).unwrap();
        let old = evaluation(&store, id, Some("6"), 0);
        let six = evaluation(&store, id, Some("6"), 10);
        let unknown = evaluation(&store, id, None, 20);
        let seven = evaluation(&store, id, Some("7"), 30);
        // Stored late: it is not the newest of its version.
        let late = evaluation(&store, id, Some("7"), 25);
        assert_eq!(store.evaluation(seven.id).unwrap().as_ref(), Some(&seven));
        assert_eq!(store.latest_evaluation(id, None).unwrap().as_ref(), Some(&seven));
        assert_eq!(store.latest_evaluation(id, Some(&"6".into())).unwrap().as_ref(), Some(&six));
        assert_eq!(store.latest_evaluation(id, Some(&"5".into())).unwrap(), None);
        assert_eq!(store.latest_evaluations().unwrap()[&id], [bare(&seven), bare(&unknown)]);
        let mark = || store.quality_marks().unwrap()[&id];
        let before = mark();
        assert_eq!(mark(), before);
        store.observe_version(id, &"7".into(), MONDAY, pilothouse_domain::version::VersionSource::Endpoint).unwrap();
        let live = mark();
        let eight = evaluation(&store, id, Some("8"), 5);
        assert!(before != live && live != mark(), "another live version, another evaluation");
        let window = store.evaluations(id, MONDAY, MONDAY.plus_ms(30)).unwrap();
        assert_eq!(window, [&old, &eight, &six, &unknown, &late].map(bare));
        store.remove_endpoint(id).unwrap();
        assert_eq!(store.evaluation(seven.id).unwrap(), None);
    }

    #[test]
    fn unknown_records_and_ragged_predictions_are_refused() {
        let (_folder, store) = store();
        let id = store.add_endpoint(&endpoint("wine")).unwrap();
        let good = evaluation(&store, id, None, 0);
        for predictions in [vec![vec![1.0], vec![1.0, 2.0]], vec![Vec::new()]] {
            let refused = store.add_evaluation(&Evaluation { predictions, ..good.clone() });
            assert!(matches!(refused, Err(StoreError::Invalid { .. })));
        }
        let no_endpoint = Evaluation { endpoint: EndpointId(9), ..good.clone() };
        let no_set = Evaluation { golden_set: GoldenSetId(9), ..good };
        for orphan in [no_endpoint, no_set] {
            assert!(matches!(store.add_evaluation(&orphan), Err(StoreError::NotFound { .. })));
        }
    }

    proptest! {
        /// Predictions survive their bytes, NaN included; bytes of any kind never panic.
        #[test]
        fn predictions_survive_their_bytes(rows in prop::collection::vec(prop::array::uniform3(any::<u64>()), 0..20),
                                           width in any::<i64>(), bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let rows: Vec<Vec<f64>> = rows.iter().map(|row| row.map(f64::from_bits).to_vec()).collect();
            let (stored_width, stored) = encode(&rows).unwrap();
            let read = decode_predictions(stored_width, &stored).unwrap();
            let bits = |rows: &[Vec<f64>]| rows.iter().flatten().map(|x| x.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(bits(&read), bits(&rows));
            prop_assert_eq!(read.len(), rows.len());
            decode_predictions(width, &bytes);
            decode_predictions(width % 9, &bytes);
        }
    }
}
