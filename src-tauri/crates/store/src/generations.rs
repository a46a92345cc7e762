//! What generated answers measured: one row per answer, sums per minute, hour and day, and the last answer itself.
//!
//! What must stay true: a row and its sums are stored in the transaction that stores its probe, at the probe's own time;
//! of the text of answers only the last one of an endpoint is kept.

use std::collections::{BTreeMap, HashMap};

use pilothouse_domain::{EndpointId, Generation, Probe, TimestampMs, TokenCount};
use pilothouse_stats::QuantileSketch;
use rusqlite::{Connection, OptionalExtension as _};

use crate::history::{Source, choose, clamp, count, cover, round_up};
use crate::json::{from_json, to_json};
use crate::retention::floors;
use crate::rollups::{GENERATION, Level, Stored, Sums, minute_of};
use crate::{Store, StoreError};

/// No foreign key to the endpoint in the tables that grow, for the reason given at the table `sample`.
pub(crate) const V5: &str = "
CREATE TABLE generation (
    endpoint INTEGER NOT NULL, ts_ms INTEGER NOT NULL, prompt INTEGER NOT NULL, first_token_us INTEGER,
    inter_token_us INTEGER, inter_token_p95_us INTEGER, tokens_per_second REAL, counted_by_server INTEGER NOT NULL,
    finish_reason INTEGER, prompt_tokens INTEGER, completion_tokens INTEGER, load_us INTEGER, prompt_us INTEGER,
    generate_us INTEGER, PRIMARY KEY (endpoint, ts_ms)
) STRICT, WITHOUT ROWID;
CREATE TABLE generation_minute (
    endpoint INTEGER NOT NULL, bucket INTEGER NOT NULL, n INTEGER NOT NULL, first_token BLOB, inter_token BLOB,
    tokens_per_second BLOB, PRIMARY KEY (endpoint, bucket)
) STRICT, WITHOUT ROWID;
CREATE TABLE generation_hour (
    endpoint INTEGER NOT NULL, bucket INTEGER NOT NULL, n INTEGER NOT NULL, first_token BLOB, inter_token BLOB,
    tokens_per_second BLOB, PRIMARY KEY (endpoint, bucket)
) STRICT, WITHOUT ROWID;
CREATE TABLE generation_day (
    endpoint INTEGER NOT NULL, bucket INTEGER NOT NULL, n INTEGER NOT NULL, first_token BLOB, inter_token BLOB,
    tokens_per_second BLOB, PRIMARY KEY (endpoint, bucket)
) STRICT, WITHOUT ROWID;
CREATE TABLE last_answer (
    endpoint INTEGER PRIMARY KEY REFERENCES endpoint (id) ON DELETE CASCADE, ts_ms INTEGER NOT NULL,
    generation TEXT NOT NULL
) STRICT;";

/// Sums of generated answers: how many, then first token, inter-token latency and tokens per second.
type GenerationSums = Sums<1, 3>;

/// Three points of a distribution, each within 1 %; `None` where nothing was measured.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Quantiles {
    /// 5th percentile: where more is better, the slow end.
    pub p05: Option<f64>,
    /// Median.
    pub p50: Option<f64>,
    /// 95th percentile.
    pub p95: Option<f64>,
    /// 99th percentile.
    pub p99: Option<f64>,
}

/// Generated answers of a stretch of time.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct GenerationSummary {
    /// Answers.
    pub n: u32,
    /// Time to first token in microseconds.
    pub first_token_us: Quantiles,
    /// Mean gap between pieces of one answer, in microseconds.
    pub inter_token_us: Quantiles,
    /// Tokens per second.
    pub tokens_per_second: Quantiles,
}

/// Generated answers over time. Empty stretches have no bucket.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerationHistory {
    /// Length of a bucket in milliseconds.
    pub step_ms: i64,
    /// The buckets that hold something, oldest first.
    pub buckets: Vec<GenerationBucket>,
}

/// What was generated in `[at, at + step)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GenerationBucket {
    /// When it begins.
    pub at: TimestampMs,
    /// What was measured.
    pub summary: GenerationSummary,
}

/// The last answer of an endpoint, with its text.
#[derive(Debug, Clone, PartialEq)]
pub struct LastAnswer {
    /// When its probe was due.
    pub at: TimestampMs,
    /// What it measured and said.
    pub generation: Generation,
}

impl Store {
    /// Generated answers in `[from, to)` in at most about `points` buckets. Both ends are moved outwards to whole buckets.
    pub fn generation_history(
        &self,
        endpoint: EndpointId,
        from: TimestampMs,
        to: TimestampMs,
        points: u32,
    ) -> Result<GenerationHistory, StoreError> {
        self.read("read the generated answers", |connection| {
            let (from, to) = clamp(from, to);
            let (step_ms, source) = choose(from, to, points, &floors(connection)?);
            let range = (from - from.rem_euclid(step_ms), round_up(to, step_ms));
            let mut sums: BTreeMap<i64, GenerationSums> = BTreeMap::new();
            visit(connection, source, endpoint, range, &mut |at, part| {
                part.add_to(sums.entry(at.div_euclid(step_ms)).or_default());
            })?;
            let bucket = |(bucket, sums): (i64, GenerationSums)| GenerationBucket {
                at: TimestampMs(bucket * step_ms),
                summary: GenerationSummary::new(&sums),
            };
            Ok(GenerationHistory { step_ms, buckets: sums.into_iter().map(bucket).collect() })
        })
    }

    /// Generated answers of exactly `[from, to)`; where retention has removed the finer sums, of a little more.
    pub fn generation_summary(
        &self,
        endpoint: EndpointId,
        from: TimestampMs,
        to: TimestampMs,
    ) -> Result<GenerationSummary, StoreError> {
        self.read("sum up the generated answers", |connection| {
            let (from, to) = clamp(from, to);
            let mut segments = Vec::new();
            cover(Source::Rollup(Level::Day), from, to, &floors(connection)?, &mut segments);
            let mut sums = GenerationSums::default();
            for (source, from, to) in segments {
                visit(connection, source, endpoint, (from, to), &mut |_, part| part.add_to(&mut sums))?;
            }
            Ok(GenerationSummary::new(&sums))
        })
    }

    /// The last answer of the endpoint; `None` when none was stored.
    pub fn last_answer(&self, endpoint: EndpointId) -> Result<Option<LastAnswer>, StoreError> {
        self.read("read the last answer", |connection| {
            let found: Option<(i64, String)> = connection
                .prepare_cached("SELECT ts_ms, generation FROM last_answer WHERE endpoint = ?1")?
                .query_row([endpoint.0], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            let Some((at, text)) = found else { return Ok(None) };
            Ok(Some(LastAnswer { at: TimestampMs(at), generation: from_json("last answer", &endpoint, &text)? }))
        })
    }
}

/// Stores what the probes among `stored` generated, each with the time its probe was stored at.
pub(crate) fn insert(connection: &Connection, stored: &[(TimestampMs, &Probe)]) -> Result<(), StoreError> {
    let mut minutes: BTreeMap<(i64, i64), GenerationSums> = BTreeMap::new();
    let mut last: HashMap<EndpointId, (TimestampMs, &Generation)> = HashMap::new();
    for &(at, probe) in stored {
        let Some(generation) = probe.generation.as_deref() else { continue };
        insert_one(connection, probe.endpoint, at, generation)?;
        let measured = [
            generation.first_token_us.map(f64::from),
            generation.inter_token_us.map(f64::from),
            generation.tokens_per_second,
        ];
        add(minutes.entry((probe.endpoint.0, minute_of(at))).or_default(), measured);
        let newest = last.entry(probe.endpoint).or_insert((at, generation));
        if newest.0 <= at {
            *newest = (at, generation);
        }
    }
    if minutes.is_empty() {
        return Ok(());
    }
    for (endpoint, (at, generation)) in last {
        connection
            .prepare_cached(
                "INSERT INTO last_answer (endpoint, ts_ms, generation) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE
                 SET ts_ms = excluded.ts_ms, generation = excluded.generation WHERE excluded.ts_ms >= ts_ms",
            )?
            .execute((endpoint.0, at.0, to_json("last answer", generation)?))?;
    }
    GENERATION.add(connection, minutes)
}

fn insert_one(
    connection: &Connection,
    endpoint: EndpointId,
    at: TimestampMs,
    generation: &Generation,
) -> Result<(), StoreError> {
    let server = &generation.server;
    connection
        .prepare_cached(
            "INSERT INTO generation (endpoint, ts_ms, prompt, first_token_us, inter_token_us, inter_token_p95_us,
                tokens_per_second, counted_by_server, finish_reason, prompt_tokens, completion_tokens, load_us, prompt_us,
                generate_us)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14) ON CONFLICT DO NOTHING",
        )?
        .execute(rusqlite::params![
            endpoint.0,
            at.0,
            generation.prompt,
            generation.first_token_us,
            generation.inter_token_us,
            generation.inter_token_p95_us,
            generation.tokens_per_second,
            generation.token_count == TokenCount::Server,
            generation.finish_reason.map(pilothouse_domain::FinishReason::code),
            generation.prompt_tokens,
            generation.completion_tokens,
            server.load_us,
            server.prompt_us,
            server.generate_us,
        ])?;
    Ok(())
}

/// Counts one answer.
fn add(sums: &mut GenerationSums, measured: [Option<f64>; 3]) {
    sums.counts[0] += 1;
    for (sketch, value) in sums.quantities.iter_mut().zip(measured) {
        if let Some(value) = value {
            sketch.insert(value);
        }
    }
}

/// One row of a source.
enum Part<'a> {
    /// What one answer measured.
    Answer([Option<f64>; 3]),
    Bucket(&'a Stored<'a, 1, 3>),
}

impl Part<'_> {
    fn add_to(&self, sums: &mut GenerationSums) {
        match self {
            Self::Answer(measured) => add(sums, *measured),
            Self::Bucket(stored) => stored.add_to(sums),
        }
    }
}

/// Hands what the source holds of `[from, to)` to `visit`, each with its time.
fn visit(
    connection: &Connection,
    source: Source,
    endpoint: EndpointId,
    (from, to): (i64, i64),
    visit: &mut dyn FnMut(i64, &Part<'_>),
) -> Result<(), StoreError> {
    let Source::Rollup(level) = source else {
        let mut statement = connection.prepare_cached(
            "SELECT ts_ms, first_token_us, inter_token_us, tokens_per_second FROM generation
             WHERE endpoint = ?1 AND ts_ms >= ?2 AND ts_ms < ?3 ORDER BY ts_ms",
        )?;
        let mut rows = statement.query((endpoint.0, from, to))?;
        while let Some(row) = rows.next()? {
            visit(row.get(0)?, &Part::Answer([row.get(1)?, row.get(2)?, row.get(3)?]));
        }
        return Ok(());
    };
    let range = (TimestampMs(from), TimestampMs(to));
    GENERATION.read(connection, level, endpoint, range, &mut |at, stored| visit(at.0, &Part::Bucket(stored)))
}

impl Quantiles {
    fn new(sketch: &QuantileSketch) -> Self {
        let [p05, p50, p95, p99] = [0.05, 0.5, 0.95, 0.99].map(|q| sketch.quantile(q));
        Self { p05, p50, p95, p99 }
    }
}

impl GenerationSummary {
    fn new(sums: &GenerationSums) -> Self {
        let [first_token_us, inter_token_us, tokens_per_second] = sums.quantities.each_ref().map(Quantiles::new);
        Self { n: count(sums.counts[0]), first_token_us, inter_token_us, tokens_per_second }
    }
}

#[cfg(test)]
mod tests {
    use pilothouse_domain::FinishReason;
    use pilothouse_domain::generation::CheckedAnswer;

    use super::*;
    use crate::Retention;
    use crate::testing::{DAY, HOUR, MONDAY, endpoint, probe, store};

    fn generation(first_token_us: u32, tokens_per_second: f64) -> Generation {
        Generation {
            first_token_us: Some(first_token_us),
            inter_token_us: Some(first_token_us / 10),
            tokens_per_second: Some(tokens_per_second),
            token_count: TokenCount::Server,
            finish_reason: Some(FinishReason::Length),
            text: "Paris <b>".to_owned(),
            checks: vec![CheckedAnswer { check: "contains “x”".to_owned(), problem: Some("does not".to_owned()) }],
            ..Generation::default()
        }
    }

    fn asked(id: EndpointId, at: TimestampMs, generation: Generation) -> Probe {
        Probe { generation: Some(Box::new(generation)), ..probe(id, at, 1_000) }
    }

    fn near(found: Option<f64>, expect: f64) {
        let found = found.unwrap();
        assert!((found - expect).abs() <= expect * 0.011, "{found} is not {expect}");
    }

    #[test]
    fn every_source_says_the_same() {
        let (_folder, store) = store();
        let id = store.add_endpoint(&endpoint("chatty")).unwrap();
        // One answer each five minutes for two days, the first token taking from 1 to 576 ms.
        for i in 0..576_u32 {
            let at = MONDAY.plus_ms(i64::from(i) * 300_000);
            store.append_probe(asked(id, at, generation((i + 1) * 1_000, f64::from(i + 1)))).unwrap();
        }
        // A probe without an answer, and one without measurements.
        store.append_probe(probe(id, MONDAY.plus_ms(1_000), 5)).unwrap();
        store.append_probe(asked(id, MONDAY.plus_ms(2_000), Generation::default())).unwrap();
        store.flush().unwrap();

        let whole = store.generation_summary(id, MONDAY, MONDAY.plus_ms(2 * DAY)).unwrap();
        assert_eq!(whole.n, 577);
        near(whole.first_token_us.p50, 288_000.0);
        near(whole.inter_token_us.p50, 28_800.0);
        near(whole.tokens_per_second.p05, 29.0);
        // An odd range is put together from raw rows, minutes, hours.
        let odd = store.generation_summary(id, MONDAY.plus_ms(7), MONDAY.plus_ms(26 * HOUR + 1)).unwrap();
        assert_eq!(odd.n, 313);
        for (points, step_ms, n_first) in [(2, DAY, 289), (48, HOUR, 13), (2_880, 60_000, 2)] {
            let history = store.generation_history(id, MONDAY, MONDAY.plus_ms(2 * DAY), points).unwrap();
            assert_eq!((history.step_ms, history.buckets[0].summary.n), (step_ms, n_first), "{points} points");
            assert_eq!(history.buckets.iter().map(|bucket| bucket.summary.n).sum::<u32>(), 577);
        }
    }

    #[test]
    fn the_last_answer_is_kept_whole_and_goes_with_its_endpoint() {
        let (_folder, store) = store();
        let id = store.add_endpoint(&endpoint("chatty")).unwrap();
        assert_eq!(store.last_answer(id).unwrap(), None);
        let newest = generation(3_000, 7.5);
        for (seconds, answer) in [(2, newest.clone()), (1, generation(1_000, 1.0))] {
            store.append_probe(asked(id, MONDAY.plus_ms(seconds * 1_000), answer)).unwrap();
            store.flush().unwrap();
        }
        let last = store.last_answer(id).unwrap().unwrap();
        assert_eq!(last, LastAnswer { at: MONDAY.plus_ms(2_000), generation: newest });
        store.remove_endpoint(id).unwrap();
        assert_eq!(store.last_answer(id).unwrap(), None);
        assert_eq!(store.generation_summary(id, MONDAY, MONDAY.plus_ms(DAY)).unwrap().n, 0);
    }

    #[test]
    fn answers_are_kept_as_long_as_probes() {
        let (_folder, store) = store();
        let id = store.add_endpoint(&endpoint("chatty")).unwrap();
        for day in 0..40 {
            let at = MONDAY.plus_ms(day * DAY + 12 * HOUR);
            store.append_probe(asked(id, at, generation(1_000, 1.0))).unwrap();
        }
        store.flush().unwrap();
        let retention = Retention { raw_days: 10, minute_days: 20, hour_days: 30 };
        let report = store.retain(&retention, MONDAY.plus_ms(39 * DAY + 13 * HOUR)).unwrap();
        // Of 40 days 29 raw rows, 19 minutes and 9 hours are too old.
        assert_eq!(report.generations, 29 + 19 + 9);
        assert_eq!(store.generation_summary(id, MONDAY, MONDAY.plus_ms(40 * DAY)).unwrap().n, 40);
    }
}
