//! What holds for every chart: well-formed, deterministic, safe against any text, and true to gaps.

use jiff::tz::TimeZone;
use pilothouse_domain::TimestampMs;
use proptest::prelude::*;

use crate::accuracy::{AccuracyChart, AccuracyPoint};
use crate::availability::{AvailabilityBucket, AvailabilityChart};
use crate::heartbeat::{Beat, BeatState, HeartbeatChart};
use crate::latency::{LatencyChart, LatencyPoint};
use crate::series::{SeriesChart, SeriesLine, SeriesPoint, SeriesUnit, Tone};
use crate::waterfall::{Contribution, WaterfallChart};
use crate::{ChartError, Format, Mark, MarkKind, Size, Theme, TimeAxis};
use crate::{accuracy, availability, heartbeat, latency, plot_area, rate, series, waterfall};

mod samples;

const SIZE: Size = Size { width: 684, height: 220, scale: 2.0 };

fn parse(svg: &[u8]) -> roxmltree::Document<'_> {
    roxmltree::Document::parse(std::str::from_utf8(svg).unwrap()).unwrap()
}

fn count(document: &roxmltree::Document<'_>, element: &str) -> usize {
    document.descendants().filter(|node| node.has_tag_name(element)).count()
}

fn texts<'d>(document: &'d roxmltree::Document<'_>) -> Vec<&'d str> {
    document.descendants().filter(|node| node.has_tag_name("text")).filter_map(|node| node.text()).collect()
}

/// Every chart with this text wherever a text can come from outside.
fn all_with(text: &str) -> Vec<Vec<u8>> {
    let theme = samples::light();
    let mut latency = samples::latency();
    latency.marks.iter_mut().for_each(|mark| text.clone_into(&mut mark.label));
    let mut availability = samples::availability();
    availability.marks = latency.marks.clone();
    let mut accuracy = samples::accuracy();
    accuracy.points.iter_mut().for_each(|point| point.version = Some(text.to_owned()));
    let mut waterfall = samples::waterfall();
    for contribution in &mut waterfall.contributions {
        text.clone_into(&mut contribution.feature);
        text.clone_into(&mut contribution.value);
    }
    vec![
        latency::render(&latency, SIZE, &theme, Format::Svg).unwrap(),
        availability::render(&availability, SIZE, &theme, Format::Svg).unwrap(),
        accuracy::render(&accuracy, SIZE, &theme, Format::Svg).unwrap(),
        series::render(
            &SeriesChart { marks: availability.marks.clone(), ..samples::series() },
            SIZE,
            &theme,
            Format::Svg,
        )
        .unwrap(),
        waterfall::render(&waterfall, SIZE, &theme, Format::Svg).unwrap(),
        heartbeat::render(&samples::heartbeat(), SIZE, &theme, Format::Svg).unwrap(),
    ]
}

/// The elements and the attributes that a chart may hold; whatever a label says, there is nothing else.
fn assert_only_known_markup(svg: &[u8]) {
    const ELEMENTS: [&str; 7] = ["svg", "line", "rect", "polyline", "polygon", "circle", "text"];
    const ATTRIBUTES: [&str; 26] = [
        "width",
        "height",
        "viewBox",
        "font-family",
        "stroke-linejoin",
        "x1",
        "y1",
        "x2",
        "y2",
        "x",
        "y",
        "rx",
        "cx",
        "cy",
        "r",
        "points",
        "fill",
        "fill-opacity",
        "stroke",
        "stroke-opacity",
        "stroke-width",
        "stroke-dasharray",
        "font-size",
        "text-anchor",
        "paint-order",
        "xmlns",
    ];
    let document = parse(svg);
    for node in document.descendants().filter(|node| !node.is_root()) {
        assert!(node.is_element() || node.is_text(), "{:?}", node.node_type());
        if node.is_element() {
            assert!(ELEMENTS.contains(&node.tag_name().name()), "element {:?}", node.tag_name());
            for attribute in node.attributes() {
                assert!(ATTRIBUTES.contains(&attribute.name()), "attribute {}", attribute.name());
                let plain = |c: char| c.is_ascii_alphanumeric() || " ,.-#".contains(c);
                assert!(attribute.value().chars().all(plain), "{}={}", attribute.name(), attribute.value());
            }
        }
    }
}

#[test]
fn no_label_becomes_markup() {
    let hostile = [
        "<script>alert(1)</script>",
        "\"/><image href=\"https://evil.example/x.png\"/>",
        "' onload='alert(1)",
        "]]><!ENTITY x SYSTEM \"file:///etc/passwd\">&x;",
        "<!-- -->&lt;b&gt;",
        "a\u{0}b\u{1b}c\u{fffe}\u{ffff}",
        "\u{202e}nekot\u{202c} \u{2066}x",
        "\u{202e}مرحبا שלום",
        "\n\r\t",
        "",
    ];
    for text in hostile {
        for svg in all_with(text) {
            assert_only_known_markup(&svg);
        }
    }
}

#[test]
fn a_label_is_shown_as_it_is() {
    let svgs = all_with("<b> & \"q\"");
    for svg in &svgs[..4] {
        let document = parse(svg);
        assert!(texts(&document).iter().any(|text| text.contains("<b> & \"q\"")), "{:?}", texts(&document));
    }
}

#[test]
fn long_labels_are_cut_with_an_ellipsis() {
    for svg in &all_with(&"very long ".repeat(10_000))[..4] {
        assert!(svg.len() < 60_000, "{} bytes", svg.len());
        assert!(texts(&parse(svg)).iter().any(|text| text.ends_with('…')));
    }
}

fn anything() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        any::<String>(),
        prop::collection::vec(any::<char>(), 0..20).prop_map(String::from_iter),
        prop::sample::select(vec![
            "<script>", "&", "]]>", "\"", "'", "<!--", "\u{0}", "\u{202e}", "&#0;", "א", "<?xml"
        ])
        .prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 0..5).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Law: whatever text comes in, the picture is well-formed and holds only the markup that it always holds.
    #[test]
    fn any_text_is_safe(text in anything()) {
        for svg in all_with(&text) {
            assert_only_known_markup(&svg);
        }
    }

    /// Law: whatever numbers come in, the picture is well-formed.
    #[test]
    fn any_numbers_are_safe(
        values in prop::collection::vec(prop::option::of(any::<f64>()), 1..20),
        at in prop::collection::vec(any::<i64>(), 20),
        ends in any::<(i64, i64)>(),
        step_ms: i64,
    ) {
        let (from, to) = (ends.0.min(ends.1), ends.0.max(ends.1).saturating_add(1));
        let time = TimeAxis { from: TimestampMs(from), to: TimestampMs(to), zone: TimeZone::UTC };
        prop_assume!(to > from);
        let rows = || values.iter().zip(&at).map(|(value, at)| (*value, TimestampMs(*at)));
        let theme = samples::dark();
        let latency = LatencyChart {
            time: time.clone(),
            step_ms,
            buckets: rows().map(|(v, at)| LatencyPoint { at, p50_us: v, p95_us: v, p99_us: v }).collect(),
            marks: rows().map(|(_, at)| Mark { at, label: "mark".into(), kind: MarkKind::Info }).collect(),
        };
        assert_only_known_markup(&latency::render(&latency, SIZE, &theme, Format::Svg).unwrap());
        let accuracy = AccuracyChart {
            time,
            step_ms,
            points: rows().map(|(v, at)| AccuracyPoint { at, value: v, low: v, high: v, version: None }).collect(),
            marks: Vec::new(),
        };
        assert_only_known_markup(&accuracy::render(&accuracy, SIZE, &theme, Format::Svg).unwrap());
        let number = |index: usize| values[index % values.len()].unwrap_or(f64::NAN);
        let waterfall = WaterfallChart {
            base_value: number(0),
            prediction: number(1),
            contributions: (0..values.len())
                .map(|i| Contribution {
                    feature: "f".into(), value: "v".into(), attribution: number(i), low: number(i + 1), high: number(i + 2),
                })
                .collect(),
            top: values.len() / 2,
        };
        assert_only_known_markup(&waterfall::render(&waterfall, SIZE, &theme, Format::Svg).unwrap());
        let beats = values.iter().map(|v| Beat { state: BeatState::Slow, total_us: *v }).collect();
        assert_only_known_markup(&heartbeat::render(&HeartbeatChart { beats }, SIZE, &theme, Format::Svg).unwrap());
    }
}

#[test]
fn the_same_data_gives_the_same_bytes() {
    assert_eq!(all_with("v7 live"), all_with("v7 live"));
}

#[test]
fn gaps_break_the_lines() {
    let mut data = samples::latency();
    data.marks.clear();
    data.buckets.retain(|bucket| bucket.p50_us.is_some());
    let lines = |data: &LatencyChart| {
        let svg = latency::render(data, SIZE, &samples::light(), Format::Svg).unwrap();
        count(&parse(&svg), "polyline")
    };
    // Grid lines are polylines too; the difference is what gaps add to three series.
    let with_hole = lines(&data);
    let step = data.step_ms;
    let mut previous = data.buckets[0];
    let mut filled = vec![previous];
    for bucket in &data.buckets[1..] {
        while bucket.at.since(previous.at) > step {
            previous.at = previous.at.plus_ms(step);
            filled.push(previous);
        }
        previous = *bucket;
        filled.push(previous);
    }
    let whole = lines(&LatencyChart { buckets: filled.clone(), ..data.clone() });
    assert_eq!(with_hole, whole + 3);
    let middle = filled.len() / 4;
    (filled[middle].p50_us, filled[middle].p95_us, filled[middle].p99_us) = (None, None, None);
    assert_eq!(lines(&LatencyChart { buckets: filled, ..data }), whole + 3);
}

#[test]
fn a_lone_measurement_is_a_dot() {
    let mut data = samples::latency();
    data.buckets.truncate(1);
    let svg = latency::render(&data, SIZE, &samples::light(), Format::Svg).unwrap();
    assert_eq!(count(&parse(&svg), "circle"), 3);
}

#[test]
fn lines_never_join_two_versions() {
    let mut data = samples::accuracy();
    data.marks.clear();
    data.points.retain(|point| point.value.is_some());
    let lines = |data: &AccuracyChart| {
        let svg = accuracy::render(data, SIZE, &samples::light(), Format::Svg).unwrap();
        count(&parse(&svg), "polyline")
    };
    let two = lines(&data);
    data.points.iter_mut().for_each(|point| point.version = Some("6".into()));
    assert_eq!(two, lines(&data) + 1);
}

#[test]
fn one_failure_among_thousands_is_seen_and_unknown_does_not_count() {
    let bucket = |failed, unknown| AvailabilityBucket { at: TimestampMs(0), ok: 100_000, failed, unknown };
    assert_eq!(bucket(0, 500).share(), Some(1.0));
    assert_eq!(AvailabilityBucket { ok: 0, ..bucket(0, 9) }.share(), None);
    let red = |failed| {
        let mut data = samples::availability();
        (data.time.from, data.time.to) = (TimestampMs(0), TimestampMs(60_000));
        data.buckets = vec![bucket(failed, 3)];
        let svg = availability::render(&data, SIZE, &samples::light(), Format::Svg).unwrap();
        let document = parse(&svg);
        let bad = samples::light().bad;
        let red = document.descendants().find(|node| node.attribute("fill") == Some(bad.as_str()))?;
        red.attribute("height")?.parse::<f64>().ok()
    };
    assert_eq!(red(0), None);
    assert!(red(1).is_some_and(|height| height >= 3.0));
}

#[test]
fn mark_labels_do_not_overlap() {
    let mut data = samples::latency();
    let mark = |index: i64| Mark {
        at: data.time.from.plus_ms(index * 40_000),
        label: format!("version {index} went live"),
        kind: MarkKind::Version,
    };
    data.marks = (0..180).map(mark).collect();
    let svg = latency::render(&data, SIZE, &samples::light(), Format::Svg).unwrap();
    let document = parse(&svg);
    let number = |node: &roxmltree::Node<'_, '_>, name| node.attribute(name).unwrap().parse::<f64>().unwrap();
    let labels: Vec<(f64, f64, f64)> = document
        .descendants()
        .filter(|node| node.text().is_some_and(|text| node.has_tag_name("text") && text.contains("live")))
        .map(|node| (number(&node, "x"), number(&node, "y"), crate::text::width(node.text().unwrap(), 10.5)))
        .collect();
    assert!(labels.len() >= 3);
    for (index, a) in labels.iter().enumerate() {
        for b in &labels[index + 1..] {
            let apart = a.0 + a.2 < b.0 || b.0 + b.2 < a.0 || (a.1 - b.1).abs() >= 12.0;
            assert!(apart, "{a:?} {b:?}");
        }
    }
    assert_eq!(document.descendants().filter(|node| node.attribute("stroke-dasharray").is_some()).count(), 180);
}

#[test]
fn waterfall_bars_lead_from_base_to_prediction() {
    let data = samples::waterfall();
    let svg = waterfall::render(&data, SIZE, &samples::light(), Format::Svg).unwrap();
    let document = parse(&svg);
    let texts = texts(&document);
    assert!(texts.contains(&"base 0.705") && texts.contains(&"prediction 0.394"), "{texts:?}");
    assert!(texts.contains(&"−0.142 ± 0.011") && texts.contains(&"+0.022 ± 0.005"), "{texts:?}");
    assert!(texts.contains(&"2 other features"), "{texts:?}");
    // The first two vertical lines over all rows stand at base and prediction.
    let x_of = |node: roxmltree::Node<'_, '_>, name| node.attribute(name).unwrap().parse::<f64>().unwrap();
    let grid = samples::light().grid;
    let lines = document.descendants().filter(|node| node.attribute("stroke") == Some(grid.as_str()));
    let ends: Vec<f64> =
        lines.map(|node| node.attribute("points").unwrap().split(',').next().unwrap().parse().unwrap()).collect();
    let bars: Vec<(f64, f64)> = document
        .descendants()
        .filter(|n| n.attribute("rx").is_some())
        .map(|n| (x_of(n, "x"), x_of(n, "x") + x_of(n, "width")))
        .collect();
    assert_eq!(bars.len(), data.top + 1);
    let touches = |bar: (f64, f64), x: f64| (bar.0 - x).abs() < 0.15 || (bar.1 - x).abs() < 0.15;
    assert!(touches(bars[0], ends[0]) && touches(bars[data.top], ends[1]), "{ends:?} {bars:?}");
    for pair in bars.windows(2) {
        assert!(touches(pair[1], pair[0].0) || touches(pair[1], pair[0].1), "{bars:?}");
    }
}

#[test]
fn heartbeat_states_differ_in_shape() {
    let shapes = |state| {
        let data = HeartbeatChart { beats: vec![Beat { state, total_us: Some(30_000.0) }] };
        let svg = heartbeat::render(&data, SIZE, &samples::light(), Format::Svg).unwrap();
        let document = parse(&svg);
        (
            count(&document, "rect"),
            count(&document, "polygon"),
            document.descendants().any(|n| n.attribute("rx").is_some()),
        )
    };
    // One rectangle is the background.
    assert_eq!(shapes(BeatState::Ok), (2, 0, true));
    assert_eq!(shapes(BeatState::Slow), (1, 1, false));
    assert_eq!(shapes(BeatState::Failed), (3, 0, false));
    assert_eq!(shapes(BeatState::Unknown), (2, 0, false));
    let many = HeartbeatChart { beats: vec![Beat { state: BeatState::Ok, total_us: None }; 500] };
    let svg = heartbeat::render(&many, SIZE, &samples::light(), Format::Svg).unwrap();
    assert_eq!(count(&parse(&svg), "rect"), 1 + heartbeat::MOST_BEATS);
}

#[test]
fn png_has_the_scaled_size_and_shows_text() {
    let render = |theme: &Theme| latency::render(&samples::latency(), SIZE, theme, Format::Png).unwrap();
    let png = render(&samples::light());
    assert_eq!(&png[..8], b"\x89PNG\r\n\x1a\n");
    let edge = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
    assert_eq!((edge(16), edge(20)), (1368, 440));
    // Below the plot there is only text; with the embedded font it leaves ink there.
    let picture = resvg::tiny_skia::Pixmap::decode_png(&png).unwrap();
    let background = picture.pixel(2, 2).unwrap();
    let below = (plot_area(SIZE).bottom * 2.0) as u32 + 6;
    let ink = (below..picture.height()).flat_map(|y| (0..picture.width()).map(move |x| (x, y)));
    assert!(ink.filter(|&(x, y)| picture.pixel(x, y) != Some(background)).count() > 300);
}

#[test]
fn what_cannot_be_drawn_is_refused() {
    let theme = samples::light();
    let data = samples::latency();
    for size in [Size { width: 0, ..SIZE }, Size { height: 100_000, ..SIZE }, Size { scale: f32::NAN, ..SIZE }] {
        assert!(matches!(latency::render(&data, size, &theme, Format::Svg), Err(ChartError::Size { .. })));
    }
    let red = Theme { bad: "red".into(), ..theme.clone() };
    assert!(matches!(latency::render(&data, SIZE, &red, Format::Svg), Err(ChartError::Colour { name: "bad" })));
    let empty = LatencyChart { time: TimeAxis { to: data.time.from, ..data.time.clone() }, ..data };
    assert!(matches!(latency::render(&empty, SIZE, &theme, Format::Svg), Err(ChartError::EmptyRange)));
}

#[test]
fn pictures_without_data_are_drawn() {
    let theme = samples::light();
    let latency = LatencyChart { buckets: Vec::new(), marks: Vec::new(), ..samples::latency() };
    let svg = latency::render(&latency, SIZE, &theme, Format::Svg).unwrap();
    assert!(texts(&parse(&svg)).contains(&"100 ms"));
    let accuracy = AccuracyChart { points: Vec::new(), marks: Vec::new(), ..samples::accuracy() };
    assert_only_known_markup(&accuracy::render(&accuracy, SIZE, &theme, Format::Svg).unwrap());
    let waterfall = WaterfallChart { contributions: Vec::new(), ..samples::waterfall() };
    assert_only_known_markup(&waterfall::render(&waterfall, SIZE, &theme, Format::Svg).unwrap());
    assert_only_known_markup(
        &heartbeat::render(&HeartbeatChart { beats: Vec::new() }, SIZE, &theme, Format::Svg).unwrap(),
    );
    for (width, height) in [(16, 8), (40, 40), (8192, 8)] {
        let size = Size { width, height, scale: 1.0 };
        assert_only_known_markup(&latency::render(&samples::latency(), size, &theme, Format::Svg).unwrap());
        assert_only_known_markup(&waterfall::render(&samples::waterfall(), size, &theme, Format::Svg).unwrap());
    }
}

#[test]
fn a_rate_starts_at_zero_and_its_slow_end_lies_below_its_median() {
    let latency = samples::latency();
    let buckets = latency.buckets.iter().enumerate().map(|(index, bucket)| rate::RatePoint {
        at: bucket.at,
        median: (index % 7 != 3).then_some(40.0),
        slow: Some(31.0),
    });
    let chart = rate::RateChart {
        time: latency.time.clone(),
        step_ms: latency.step_ms,
        buckets: buckets.collect(),
        marks: latency.marks.clone(),
    };
    assert_eq!((rate::value_axis(&chart).low, rate::value_axis(&chart).high), (0.0, 40.0));
    let svg = rate::render(&chart, SIZE, &samples::light(), Format::Svg).unwrap();
    assert_only_known_markup(&svg);
    let empty = rate::RateChart { buckets: Vec::new(), ..chart };
    assert!(rate::render(&empty, SIZE, &samples::light(), Format::Png).is_ok());
}

#[test]
fn lines_of_series_stop_at_gaps_and_carry_their_bounds() {
    let svg = series::render(&samples::series(), SIZE, &samples::light(), Format::Svg).unwrap();
    let document = parse(&svg);
    // Two lines in two runs each beside the grid, and the band of one of them in two parts.
    let grid = series::value_axis(&samples::series(), SIZE).ticks().len();
    assert_eq!((count(&document, "polyline") - grid, count(&document, "polygon")), (4, 2));
    assert!(texts(&document).contains(&"20 ms"), "{:?}", texts(&document));
}

#[test]
fn shares_have_a_top_of_their_own() {
    let share = |value: f64| {
        let mut chart = SeriesChart { unit: SeriesUnit::Share, ..samples::series() };
        for point in chart.lines.iter_mut().flat_map(|line| &mut line.points) {
            *point = SeriesPoint { value: Some(value), bounds: None, ..*point };
        }
        series::value_axis(&chart, SIZE).high
    };
    assert!((share(0.93) - 1.0).abs() < 1e-9);
    assert!(share(0.04) < 0.1);
    assert!(share(1.7) > 1.0, "a server that says more than everything is shown");
}
