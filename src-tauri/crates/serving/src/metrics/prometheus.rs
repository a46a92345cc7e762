//! Prometheus' HTTP API: `query_range` and its answers, as 2.42.0 gave them
//! (<https://prometheus.io/docs/prometheus/latest/querying/api/>).
//!
//! What must stay true: an empty result is no data and never 0; values are texts and may be `NaN` and `+Inf`.

use std::collections::BTreeMap;

use pilothouse_domain::TimestampMs;
use serde::Deserialize;
use url::Url;

use super::MetricsFailure;
use crate::protocol::below;

/// Prometheus refuses more points per series than this.
const POINTS_MAX: u64 = 11_000;
/// Series of one answer that are kept: more lines cannot be told apart on a chart.
const SERIES_MAX: usize = 12;

/// One line of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct PrometheusSeries {
    /// What tells it from the others of the same answer: its labels, without the metric's name.
    pub labels: String,
    /// The points that are numbers, by rising time.
    pub points: Vec<(TimestampMs, f64)>,
}

/// Whole seconds between two points so that a range has about `points` of them and never more than Prometheus gives.
pub fn step_s(from: TimestampMs, to: TimestampMs, points: u32) -> u64 {
    let range_s = u64::try_from(to.since(from)).unwrap_or(0) / 1_000;
    let points = u64::from(points.max(1)).min(POINTS_MAX - 1);
    range_s.div_ceil(points).max(1)
}

/// The URL of one query.
pub(super) fn range_url(base: &Url, query: &str, (from, to): (TimestampMs, TimestampMs), step_s: u64) -> Url {
    let mut url = below(base, &["api", "v1", "query_range"]);
    // Points on whole steps, so that neighbouring ranges ask for the same ones.
    let step = i64::try_from(step_s).unwrap_or(i64::MAX);
    let second = |at: TimestampMs| at.0.div_euclid(1_000).div_euclid(step) * step;
    url.query_pairs_mut()
        .append_pair("query", query)
        .append_pair("start", &second(from).to_string())
        .append_pair("end", &second(to).to_string())
        .append_pair("step", &step_s.to_string());
    url
}

#[derive(Deserialize)]
#[serde(tag = "status", rename_all = "lowercase")]
enum Answer {
    Success {
        data: Data,
    },
    Error {
        #[serde(rename = "errorType", default)]
        kind: String,
        #[serde(default)]
        error: String,
    },
}

#[derive(Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum Data {
    Matrix(Vec<Line>),
    Vector(serde::de::IgnoredAny),
    Scalar(serde::de::IgnoredAny),
    String(serde::de::IgnoredAny),
}

#[derive(Deserialize)]
struct Line {
    metric: BTreeMap<String, String>,
    /// Absent for native histograms.
    #[serde(default)]
    values: Vec<(f64, String)>,
}

/// Reads an answer; `None` when it is not one of Prometheus.
pub(super) fn read(body: &[u8]) -> Option<Result<Vec<PrometheusSeries>, MetricsFailure>> {
    let data = match crate::bounded_json::from_slice(body).ok()? {
        Answer::Success { data } => data,
        Answer::Error { kind, error } => {
            return Some(Err(MetricsFailure::answer(format!("Prometheus refuses the query: {kind}: {error}"))));
        }
    };
    let Data::Matrix(lines) = data else {
        return Some(Err(MetricsFailure::answer("the query gives no series over time")));
    };
    let alone = lines.len() == 1;
    let series = lines.into_iter().take(SERIES_MAX).map(|line| {
        let number = |(at, text): (f64, String)| {
            let value: f64 = text.parse().ok()?;
            (value.is_finite() && at.is_finite()).then_some((TimestampMs((at * 1_000.0) as i64), value))
        };
        let labels = line.metric.iter().filter(|(name, _)| *name != "__name__");
        let labels: Vec<String> = labels.map(|(name, value)| format!("{name}={value}")).collect();
        PrometheusSeries {
            labels: if alone { String::new() } else { crate::text::one_line(&labels.join(" "), 80) },
            points: line.values.into_iter().filter_map(number).collect(),
        }
    });
    Some(Ok(series.filter(|series| !series.points.is_empty()).collect()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn answers_are_read_as_prometheus_wrote_them() {
        let check = |body: &str, expect: &[(&str, &[(i64, f64)])]| {
            let found = read(body.as_bytes()).unwrap().unwrap();
            let shown: Vec<(&str, Vec<(i64, f64)>)> = found
                .iter()
                .map(|series| (series.labels.as_str(), series.points.iter().map(|(at, v)| (at.0, *v)).collect()))
                .collect();
            let expect: Vec<(&str, Vec<(i64, f64)>)> = expect.iter().map(|(l, p)| (*l, p.to_vec())).collect();
            assert_eq!(shown, expect, "{body}");
        };
        // Prometheus 2.42.0.
        check(
            r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"__name__":"probe_success","instance":"http://127.0.0.1:9/","job":"blackbox"},"values":[[1795333425,"0"],[1795333435,"0"]]},{"metric":{"__name__":"probe_success","instance":"b"},"values":[[1795333425.5,"1"]]}]}}"#,
            &[
                ("instance=http://127.0.0.1:9/ job=blackbox", &[(1_795_333_425_000, 0.0), (1_795_333_435_000, 0.0)]),
                ("instance=b", &[(1_795_333_425_500, 1.0)]),
            ],
        );
        check(r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#, &[]);
        check(
            r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,"NaN"],[2,"+Inf"],[3,"4"]]}]}}"#,
            &[("", &[(3_000, 4.0)])],
        );
        check(
            r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,"NaN"]]}]}}"#,
            &[],
        );
    }

    #[test]
    fn refusals_say_why() {
        let check = |body: &str, part: &str| {
            let failure = read(body.as_bytes()).unwrap().unwrap_err();
            assert!(failure.detail.contains(part) && failure.answered, "{failure}");
        };
        check(
            r#"{"status":"error","errorType":"bad_data","error":"invalid parameter \"query\": 1:6: parse error: unclosed left parenthesis"}"#,
            "unclosed left parenthesis",
        );
        check(r#"{"status":"success","data":{"resultType":"scalar","result":[1795333463.77,"+Inf"]}}"#, "over time");
        assert!(read(b"<html>").is_none());
        assert!(read(br#"{"status":"ok"}"#).is_none());
    }

    #[test]
    fn no_range_asks_for_more_points_than_are_given() {
        let check = |range_s: i64, points, expect| {
            let step = step_s(TimestampMs(0), TimestampMs(range_s * 1_000), points);
            assert_eq!(step, expect);
            assert!(range_s as u64 / step < POINTS_MAX);
        };
        check(3_600, 200, 18);
        check(10, 200, 1);
        check(0, 0, 1);
        check(31_536_000, u32::MAX, 2_868);
    }

    #[test]
    fn the_query_is_sent_as_it_is() {
        let base: Url = "http://p:9090/prom/".parse().unwrap();
        let url = range_url(&base, "sum(rate(a{b=\"c d\"}[1m])) + 1", (TimestampMs(12_345), TimestampMs(99_999)), 10);
        assert_eq!(url.path(), "/prom/api/v1/query_range");
        let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        let expect = [("query", "sum(rate(a{b=\"c d\"}[1m])) + 1"), ("start", "10"), ("end", "90"), ("step", "10")];
        assert_eq!(pairs, expect.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    proptest! {
        /// Any bytes are an answer, a refusal, or nothing of Prometheus.
        #[test]
        fn any_bytes_are_read(body in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(&body);
        }
    }
}
