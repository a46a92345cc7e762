//! What drawing costs: a latency chart of 1,000 buckets, as SVG and as PNG, and the waterfall of one row.

use jiff::tz::TimeZone;
use pilothouse_charts::latency::{LatencyChart, LatencyPoint};
use pilothouse_charts::waterfall::{Contribution, WaterfallChart};
use pilothouse_charts::{Format, Size, Theme, TimeAxis, latency, waterfall};
use pilothouse_domain::TimestampMs;

const SIZE: Size = Size { width: 684, height: 220, scale: 2.0 };
const STEP_MS: i64 = 2_592_000;

fn main() {
    divan::main();
}

fn theme() -> Theme {
    Theme {
        ink: "#18202b".into(),
        muted: "#6b7685".into(),
        grid: "#eceff3".into(),
        accent: "#1f6fd1".into(),
        ok: "#1c8a55".into(),
        warn: "#a96a00".into(),
        bad: "#c8322f".into(),
        unknown: "#7b8795".into(),
        band: "#1f6fd1".into(),
        background: None,
    }
}

/// Thirty days in 1,000 buckets.
fn thirty_days() -> LatencyChart {
    let point = |index: i64| {
        let wobble = (index as f64 * 1.7).sin();
        LatencyPoint {
            at: TimestampMs(index * STEP_MS),
            p50_us: Some(18_000.0 + 900.0 * wobble),
            p95_us: Some(38_000.0 + 3_000.0 * wobble),
            p99_us: Some(55_000.0 + 9_000.0 * wobble),
        }
    };
    LatencyChart {
        time: TimeAxis { from: TimestampMs(0), to: TimestampMs(1_000 * STEP_MS), zone: TimeZone::UTC },
        step_ms: STEP_MS,
        buckets: (0..1_000).map(point).collect(),
        marks: Vec::new(),
    }
}

#[divan::bench(args = [Format::Svg, Format::Png])]
fn latency_1000_buckets(bencher: divan::Bencher<'_, '_>, format: Format) {
    let (data, theme) = (thirty_days(), theme());
    bencher.bench(|| latency::render(&data, SIZE, &theme, format));
}

#[divan::bench]
fn waterfall_30_features(bencher: divan::Bencher<'_, '_>) {
    let contribution = |index: i32| {
        let attribution = f64::from(index - 15) / 100.0;
        let (low, high) = (attribution - 0.01, attribution + 0.01);
        Contribution { feature: format!("feature_{index}"), value: "1.5".into(), attribution, low, high }
    };
    let data = WaterfallChart {
        base_value: 0.7,
        prediction: 0.55,
        contributions: (0..30).map(contribution).collect(),
        top: 10,
    };
    let theme = theme();
    bencher.bench(|| waterfall::render(&data, SIZE, &theme, Format::Svg));
}
