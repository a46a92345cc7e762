//! A fleet's usual pictures: two hours with a gap, a new version that costs accuracy, a few failures.

use super::*;

const MINUTE: i64 = 60_000;
/// 2026-11-22T06:00:00Z.
const START: i64 = 1_795_327_200_000;

pub(super) fn light() -> Theme {
    theme([
        "#18202b", "#6b7685", "#eceff3", "#1f6fd1", "#1c8a55", "#a96a00", "#c8322f", "#7b8795", "#1f6fd1", "#ffffff",
    ])
}

pub(super) fn dark() -> Theme {
    theme([
        "#e6eaf0", "#8b97a7", "#20272f", "#5aa9ff", "#3fbf7f", "#e5a83b", "#f0605d", "#6c7888", "#5aa9ff", "#151a21",
    ])
}

fn theme(colours: [&str; 10]) -> Theme {
    let mut colours = colours.map(str::to_owned).into_iter();
    let mut next = || colours.next().unwrap();
    Theme {
        ink: next(),
        muted: next(),
        grid: next(),
        accent: next(),
        ok: next(),
        warn: next(),
        bad: next(),
        unknown: next(),
        band: next(),
        background: Some(next()),
    }
}

fn hours(n: i64) -> TimeAxis {
    TimeAxis { from: TimestampMs(START), to: TimestampMs(START + n * 60 * MINUTE), zone: TimeZone::UTC }
}

fn live() -> Vec<Mark> {
    vec![Mark { at: TimestampMs(START + 72 * MINUTE), label: "v7 live".into(), kind: MarkKind::Version }]
}

/// A repeatable wobble between -1 and 1.
fn wobble(index: i64, seed: i64) -> f64 {
    let mixed = (index * 31 + seed).unsigned_abs().wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 40) as f64 / f64::from(1 << 23) - 1.0
}

pub(super) fn latency() -> LatencyChart {
    let point = |index: i64| {
        let wave = (index as f64 / 13.0).sin() * 5_000.0;
        LatencyPoint {
            at: TimestampMs(START + index * MINUTE),
            p50_us: Some(18_000.0 + wave * 0.4 + wobble(index, 1) * 1_200.0),
            p95_us: Some(38_000.0 + wave + wobble(index, 2) * 2_500.0),
            p99_us: Some(55_000.0 + wave + wobble(index, 3) * 9_000.0),
        }
    };
    let buckets = (0..120).filter(|index| !(27..35).contains(index)).map(point).collect();
    LatencyChart { time: hours(2), step_ms: MINUTE, buckets, marks: live() }
}

pub(super) fn availability() -> AvailabilityChart {
    let bucket = |index: i64| {
        let (ok, failed, unknown) = match index {
            20 => (58, 2, 0),
            72..=76 => (60 - (index - 70) * 8, (index - 70) * 8, 0),
            27..=30 => (0, 0, 60),
            _ => (60, 0, 0),
        };
        AvailabilityBucket {
            at: TimestampMs(START + index * MINUTE),
            ok: ok as u64,
            failed: failed as u64,
            unknown: unknown as u64,
        }
    };
    let buckets = (0..120).filter(|index| !(31..35).contains(index)).map(bucket).collect();
    AvailabilityChart { time: hours(2), step_ms: MINUTE, buckets, marks: live() }
}

pub(super) fn accuracy() -> AccuracyChart {
    let point = |index: i64| {
        let value = if index < 36 { 0.773 } else { 0.712 } + wobble(index, 4) * 0.003;
        AccuracyPoint {
            at: TimestampMs(START + index * 2 * MINUTE),
            value: Some(value),
            low: Some(value - 0.024),
            high: Some(value + 0.022),
            version: Some(if index < 36 { "v6" } else { "v7" }.to_owned()),
        }
    };
    let points = (0..60).filter(|index| !(14..18).contains(index)).map(point).collect();
    AccuracyChart { time: hours(2), step_ms: 2 * MINUTE, points, marks: live() }
}

pub(super) fn heartbeat() -> HeartbeatChart {
    let beat = |index: i64| {
        let state = match index {
            12..=15 => BeatState::Unknown,
            38 | 39 | 41 => BeatState::Slow,
            47..=49 => BeatState::Failed,
            _ => BeatState::Ok,
        };
        let slow = if state == BeatState::Slow { 90_000.0 } else { 0.0 };
        Beat { state, total_us: Some(30_000.0 + slow + wobble(index, 5) * 9_000.0) }
    };
    HeartbeatChart { beats: (0..52).map(beat).collect() }
}

pub(super) fn waterfall() -> WaterfallChart {
    let row = |feature: &str, value: &str, attribution: f64, half: f64| Contribution {
        feature: feature.to_owned(),
        value: value.to_owned(),
        attribution,
        low: attribution - half,
        high: attribution + half,
    };
    WaterfallChart {
        base_value: 0.705,
        prediction: 0.394,
        contributions: vec![
            row("age", "23", -0.041, 0.006),
            row("checking_account", "little", -0.142, 0.011),
            row("credit_amount", "4 870 000", -0.121, 0.014),
            row("duration", "48", -0.083, 0.009),
            row("purpose", "car", 0.022, 0.005),
            row("saving_accounts", "rich", 0.035, 0.006),
            row("housing", "own", 0.028, 0.004),
            row("sex", "female", -0.012, 0.004),
            row("job", "2", 0.003, 0.003),
        ],
        top: 7,
    }
}

/// Thirty days in 1,000 buckets, with an outlier and many marks.
fn month() -> LatencyChart {
    let step_ms = 30 * 24 * 60 * MINUTE / 1_000;
    let point = |index: i64| {
        let wave = (index as f64 / 33.0).sin() * 5_000.0;
        let spike = if index == 700 { 1_900_000.0 } else { 0.0 };
        LatencyPoint {
            at: TimestampMs(START + index * step_ms),
            p50_us: Some(180_000.0 + wave + wobble(index, 1) * 12_000.0),
            p95_us: Some(400_000.0 + wave * 9.0 + wobble(index, 2) * 45_000.0),
            p99_us: Some(700_000.0 + wave * 9.0 + wobble(index, 3) * 90_000.0 + spike),
        }
    };
    let kinds = [MarkKind::Version, MarkKind::Rollback, MarkKind::Incident, MarkKind::Info];
    let mark = |index: i64| Mark {
        at: TimestampMs(START + (index * index * 17 % 1_000) * step_ms),
        label: ["v12 live", "rolled back to v11", "errors above 5 %", "paused"][index as usize % 4].into(),
        kind: kinds[index as usize % 4],
    };
    let time = TimeAxis { to: TimestampMs(START + 1_000 * step_ms), ..hours(2) };
    let buckets = (0..1_000).filter(|index| !(430..520).contains(index)).map(point).collect();
    LatencyChart { time, step_ms, buckets, marks: (1..9).map(mark).collect() }
}

/// A few evaluations of three versions over three days, one of them alone.
fn sparse() -> AccuracyChart {
    let point = |(hour, value, version): (i64, f64, &str)| AccuracyPoint {
        at: TimestampMs(START + hour * 60 * MINUTE),
        value: Some(value),
        low: Some(value - 0.031),
        high: Some(value + 0.027),
        version: Some(version.to_owned()),
    };
    let points = [
        (2, 0.931, "2026.10.1"),
        (8, 0.934, "2026.10.1"),
        (14, 0.929, "2026.10.1"),
        (20, 0.871, "2026.11.0-rc1+build.8842"),
        (44, 0.932, "2026.10.1"),
        (50, 0.930, "2026.10.1"),
        (56, 0.951, "2026.11.1"),
        (62, 0.949, "2026.11.1"),
    ];
    AccuracyChart { time: hours(72), step_ms: 6 * 60 * MINUTE, points: points.map(point).into(), marks: Vec::new() }
}

/// Thirty exact attributions with long names.
fn wide() -> WaterfallChart {
    let contributions: Vec<Contribution> = (0..30)
        .map(|index| {
            let attribution = wobble(index, 9) * 40.0 / (1.0 + index as f64);
            Contribution {
                feature: format!("mean_concave_points_of_the_{index}th_largest_cell_nucleus"),
                value: "0.1471".into(),
                attribution,
                low: attribution,
                high: attribution,
            }
        })
        .collect();
    let prediction = 152.1 + contributions.iter().map(|c| c.attribution).sum::<f64>();
    WaterfallChart { base_value: 152.1, prediction, contributions, top: 10 }
}

/// Writes every sample to the folder named by `PILOTHOUSE_CHART_SAMPLES`, to be looked at.
#[test]
fn write_samples_when_asked() {
    let Some(folder) = std::env::var_os("PILOTHOUSE_CHART_SAMPLES").map(std::path::PathBuf::from) else { return };
    std::fs::create_dir_all(&folder).unwrap();
    let beats = Size { width: 208, height: 18, scale: 4.0 };
    let tall = Size { width: 740, height: 336, scale: 2.0 };
    let (month, sparse, wide) = (month(), sparse(), wide());
    for (name, theme) in [("light", light()), ("dark", dark())] {
        for (format, ending) in [(Format::Svg, "svg"), (Format::Png, "png")] {
            let pictures = [
                ("latency", latency::render(&latency(), SIZE, &theme, format)),
                ("availability", availability::render(&availability(), SIZE, &theme, format)),
                ("accuracy", accuracy::render(&accuracy(), SIZE, &theme, format)),
                ("heartbeat", heartbeat::render(&heartbeat(), beats, &theme, format)),
                ("waterfall", waterfall::render(&waterfall(), tall, &theme, format)),
                ("month", latency::render(&month, SIZE, &theme, format)),
                ("sparse", accuracy::render(&sparse, SIZE, &theme, format)),
                ("wide", waterfall::render(&wide, tall, &theme, format)),
            ];
            for (chart, bytes) in pictures {
                std::fs::write(folder.join(format!("{chart}-{name}.{ending}")), bytes.unwrap()).unwrap();
            }
        }
    }
}

pub(super) fn series() -> SeriesChart {
    let line = |tone, quiet, height: f64, banded: bool| {
        let indices = (0..120).filter(|index| !(40..50).contains(index));
        let point = |index: i64| {
            let value = height + wobble(index, 9) * height * 0.1;
            SeriesPoint {
                at: TimestampMs(START + index * MINUTE),
                value: Some(value),
                bounds: banded.then_some((value * 0.5, value * 1.5)),
            }
        };
        SeriesLine { tone, quiet, points: indices.map(point).collect() }
    };
    SeriesChart {
        time: hours(2),
        step_ms: MINUTE,
        unit: SeriesUnit::Microseconds,
        lines: vec![line(Tone::Accent, false, 38_000.0, false), line(Tone::Ink, true, 12_000.0, true)],
        marks: live(),
    }
}
