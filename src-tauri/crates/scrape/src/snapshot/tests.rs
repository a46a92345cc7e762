//! Pages of real servers, and what two looks at a page say about the time between them.

use proptest::prelude::*;

use super::*;
use crate::Quantity::*;
use crate::Unit;

macro_rules! page {
    ($file:literal) => {
        include_str!(concat!("../../../../../tests/data/metrics/", $file))
    };
}

const MINUTE: Duration = Duration::from_mins(1);

fn look(page: &str, model: &str) -> Snapshot {
    let wanted = Wanted { model: (!model.is_empty()).then_some(model), version: None };
    Snapshot::read(page.as_bytes(), &Limits::default(), wanted)
}

/// Readings as `quantity part value`, to three decimals.
fn readings(before: &Snapshot, now: &Snapshot, elapsed: Duration) -> Vec<String> {
    let readings = now.since(Some((before, elapsed)));
    readings
        .iter()
        .map(|r| {
            format!("{} {} {:.6}", r.quantity.as_str(), r.part, r.tally.value().unwrap_or(f64::NAN)).replace("  ", " ")
        })
        .collect()
}

#[test]
fn real_pages_name_their_server() {
    let check = |page: &str, model: &str, server: Option<&str>, quantities: &[Quantity]| {
        let snapshot = look(page, model);
        assert_eq!(snapshot.report.refusal(), None);
        assert_eq!(snapshot.report.skipped, 0, "{:?}", snapshot.report);
        assert_eq!(snapshot.server(), server);
        let mut found: Vec<Quantity> = snapshot.found().into_iter().map(|found| found.quantity).collect();
        found.dedup();
        assert_eq!(found, quantities, "{server:?}");
    };
    check(
        page!("mlserver-1.7.1.txt"),
        "bc",
        Some("MLServer"),
        &[Latency, Throughput, Errors, ComputeTime, InFlight, Cpu, Memory],
    );
    check(page!("triton-2.51.0.txt"), "bc", Some("Triton"), &[Latency, Throughput, Errors]);
    check(
        page!("torchserve-0.12.0.txt"),
        "m",
        Some("TorchServe"),
        &[Latency, Throughput, Errors, QueueTime, ComputeTime],
    );
    check(page!("bentoml-1.4.39.txt"), "", Some("BentoML"), &[InFlight]);
    check(
        page!("vllm-0.32.0.txt"),
        "tiny",
        Some("vLLM"),
        &[Throughput, Errors, FirstToken, OutputTokens, InFlight, Waiting, KvCache],
    );
    check(page!("llama.cpp-b11434.txt"), "", Some("llama.cpp"), &[PromptTokens]);
    let ray = [Latency, Throughput, Errors, ComputeTime, InFlight, Waiting];
    check(page!("ray-2.60.0.txt"), "", Some("Ray Serve"), &ray);
    check(page!("ray-2.60.0.txt"), "tumours", Some("Ray Serve"), &ray);
    check(page!("kserve-0.21.0.txt"), "bc", None, &[]);
    check("process_cpu_seconds_total 3\n", "", None, &[Cpu]);
}

#[test]
fn checks_of_ray_serves_proxy_are_no_predictions() {
    let before = page!("ray-2.60.0.txt");
    let checked_sixty_times = |line: &str| match line.rsplit_once(' ') {
        Some((series, _)) if series.contains("/-/healthz") => format!("{series} 61.0"),
        _ => line.to_owned(),
    };
    let now: Vec<String> = before.lines().map(checked_sixty_times).collect();
    assert_ne!(now.join("\n"), before.trim_end());
    let readings = readings(&look(before, ""), &look(&now.join("\n"), ""), MINUTE);
    assert!(readings.iter().any(|reading| reading == "throughput 0.000000"), "{readings:?}");
}

#[test]
fn only_the_endpoints_own_model_counts() {
    let found = |model| {
        let snapshot = look(page!("mlserver-1.7.1.txt"), model);
        let throughput = snapshot.found().into_iter().find(|found| found.quantity == Quantity::Throughput);
        throughput.map(|found| (found.series, found.total))
    };
    assert_eq!(found("bc"), Some((2, 3.0)));
    assert_eq!(found("other"), None);
    let wanted = Wanted { model: Some("bc"), version: Some("1") };
    let snapshot = Snapshot::read(page!("mlserver-1.7.1.txt").as_bytes(), &Limits::default(), wanted);
    assert!(snapshot.found().iter().any(|found| found.quantity == Quantity::Throughput && found.total < 1.5));
}

#[test]
fn two_looks_at_mlserver_tell_rates_and_durations() {
    let before = page!("mlserver-1.7.1.txt");
    let now = before
        .replace(r#"success_total{model="bc",version="None"} 2.0"#, r#"success_total{model="bc",version="None"} 62.0"#)
        .replace(
            r#"duration_count{model="bc",version="None"} 3.0"#,
            r#"duration_count{model="bc",version="None"} 63.0"#,
        )
        .replace(
            r#"{model="bc",version="None"} 0.0058166270002857345"#,
            r#"{model="bc",version="None"} 0.3058166270002857"#,
        );
    let (before, now) = (look(before, "bc"), look(&now, "bc"));
    let told = readings(&before, &now, MINUTE);
    for expected in ["throughput 1.000000", "compute_time 0.005000", "errors inference failed 0.000000", "cpu 0.000000"]
    {
        assert!(told.contains(&expected.to_owned()), "{told:?}");
    }
    assert!(!told.iter().any(|line| line.starts_with("latency")), "without requests there is no duration: {told:?}");
}

#[test]
fn an_alternative_counts_only_where_the_first_is_absent() {
    let page = "nv_inference_request_duration_us{model=\"m\",version=\"1\"} 5e6\n\
                nv_inference_request_success{model=\"m\",version=\"1\"} 10\n";
    let sources = |page: &str| {
        let found = look(page, "m").found();
        found.into_iter().filter(|f| f.quantity == Quantity::Latency).map(|f| f.source).collect::<Vec<_>>()
    };
    assert_eq!(sources(page), ["nv_inference_request_duration_us"]);
    let summary = format!("{page}nv_inference_request_summary_us{{model=\"m\",version=\"1\",quantile=\"0.95\"}} 700\n");
    assert_eq!(sources(&summary), ["nv_inference_request_summary_us"]);
    let told = readings(&look(&summary, "m"), &look(&summary, "m"), MINUTE);
    assert!(told.contains(&"latency p95 0.000700".to_owned()), "{told:?}");
}

#[test]
fn paired_counters_give_a_mean() {
    let page = |us: u32, n: u32| {
        format!(
            "nv_inference_request_duration_us{{model=\"m\"}} {us}\nnv_inference_request_success{{model=\"m\"}} {n}\n"
        )
    };
    let told = readings(&look(&page(1_000, 2), "m"), &look(&page(7_000, 4), "m"), MINUTE);
    assert_eq!(told, ["latency 0.003000", "throughput 0.033333"]);
    // The count began anew; the time did too, though by now it has passed what it was.
    let told = readings(&look(&page(1_000, 100), "m"), &look(&page(5_000, 2), "m"), MINUTE);
    assert_eq!(told, ["latency 0.002500", "throughput 0.033333"]);
}

#[test]
fn a_restart_and_a_new_series_are_seen() {
    let check = |before: &str, now: &str, expect: &[&str]| {
        assert_eq!(readings(&look(before, ""), &look(now, ""), Duration::from_secs(10)), expect, "{before} -> {now}");
    };
    let c = "ts_inference_requests_total";
    check(&format!("{c}{{w=\"1\"}} 100\n"), &format!("{c}{{w=\"1\"}} 5\n"), &["throughput 0.500000"]);
    // One of two workers began anew: the other's count goes on.
    check(
        &format!("{c}{{w=\"1\"}} 100\n{c}{{w=\"2\"}} 100\n"),
        &format!("{c}{{w=\"1\"}} 5\n{c}{{w=\"2\"}} 120\n"),
        &["throughput 2.500000"],
    );
    check("other 1\n", &format!("{c}{{w=\"1\"}} 5\n"), &["throughput 0.500000"]);
    // The earlier page was damaged: whether the series was there is not known.
    check("other\n", &format!("{c}{{w=\"1\"}} 5\n"), &[]);
    check(&format!("{c} 1\n"), &format!("{c} NaN\n"), &[]);
}

#[test]
fn gauges_need_no_second_look_and_shares_are_averaged() {
    let page = "vllm:num_requests_running{engine=\"0\"} 2\nvllm:num_requests_running{engine=\"1\"} 3\n\
                vllm:kv_cache_usage_perc{engine=\"0\"} 0.2\nvllm:kv_cache_usage_perc{engine=\"1\"} 0.6\n";
    let told: Vec<(Quantity, Option<f64>)> =
        look(page, "").since(None).into_iter().map(|r| (r.quantity, r.tally.value())).collect();
    assert_eq!(told, [(Quantity::InFlight, Some(5.0)), (Quantity::KvCache, Some(0.4))]);
}

#[test]
fn a_hundred_thousand_series_are_bounded() {
    use std::fmt::Write as _;
    let mut page = String::new();
    for i in 0..100_000 {
        let _ = writeln!(page, "ts_inference_requests_total{{model_name=\"m\",id=\"{i}\"}} 1");
    }
    let snapshot = look(&page, "m");
    assert_eq!(snapshot.series.len(), SERIES_MAX);
    assert!(snapshot.report.truncated);
}

#[test]
fn reasons_without_end_are_put_together() {
    use std::fmt::Write as _;
    let page = |n: u32| {
        (0..100).fold(String::new(), |mut page, i| {
            let _ = writeln!(page, "nv_inference_request_failure{{model=\"m\",reason=\"r{i:03}\"}} {n}");
            page
        })
    };
    let readings = look(&page(60), "m").since(Some((&look(&page(0), "m"), MINUTE)));
    assert_eq!(readings.len(), 17);
    assert_eq!(readings.iter().map(|r| r.tally.value().unwrap_or(0.0)).sum::<f64>().round() as i64, 100);
}

#[test]
fn histograms_give_quantiles_with_their_bounds() {
    let page = |counts: [u32; 3], sum: f64| {
        format!(
            "request_predict_seconds_bucket{{le=\"0.01\"}} {}\nrequest_predict_seconds_bucket{{le=\"0.1\"}} {}\n\
             request_predict_seconds_bucket{{le=\"+Inf\"}} {}\nrequest_predict_seconds_count {}\nrequest_predict_seconds_sum {sum}\n",
            counts[0], counts[1], counts[2], counts[2]
        )
    };
    let readings = look(&page([15, 20, 20], 2.0), "").since(Some((&look(&page([5, 10, 10], 1.0), ""), MINUTE)));
    let latency = readings.iter().find(|r| r.quantity == Quantity::Latency).unwrap();
    assert_eq!(latency.tally.value(), Some(0.1));
    let median = latency.tally.quantile(0.5).unwrap();
    assert_eq!((median.low, median.high), (0.0, Some(0.01)));
    assert_eq!(latency.quantity.unit(), Unit::Seconds);
}

proptest! {
    /// Whatever two pages say, no rate and no weight is negative, and nothing panics.
    #[test]
    fn rates_are_never_negative(before in proptest::collection::vec(-5.0_f64..50.0, 6), now in proptest::collection::vec(-5.0_f64..50.0, 6)) {
        let page = |v: &[f64]| format!(
            "ts_inference_requests_total {}\nRequests5XX {}\nrequest_predict_seconds_sum {}\nrequest_predict_seconds_count {}\n\
             request_predict_seconds_bucket{{le=\"1\"}} {}\nrequest_predict_seconds_bucket{{le=\"+Inf\"}} {}\n",
            v[0], v[1], v[2], v[3], v[4], v[5]
        );
        for reading in look(&page(&now), "").since(Some((&look(&page(&before), ""), MINUTE))) {
            prop_assert!(reading.tally.weight > 0.0 && reading.tally.sum >= 0.0, "{reading:?}");
        }
    }
}
