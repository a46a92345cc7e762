//! What the project set out to reach, beside what was measured. A goal decides nothing: it is only shown.

/// Name of a row, and its upper limit.
const GOALS: [(&str, &str); 26] = [
    ("100 endpoints: start lateness p99", "5 ms"),
    ("100 endpoints: resident memory", "40 MiB"),
    ("1,000 endpoints, keep-alive: CPU for 1,000 probes", "0.20 s"),
    ("1,000 endpoints, keep-alive: start lateness p99", "5 ms"),
    ("1,000 endpoints, keep-alive: resident memory", "40 MiB"),
    ("1,000 endpoints, fresh connections: CPU for 1,000 probes", "0.30 s"),
    ("1,000 endpoints, fresh connections: start lateness p99", "5 ms"),
    ("1,000 endpoints, fresh connections: resident memory", "40 MiB"),
    ("1,000 endpoints, fresh TLS connections: CPU for 1,000 probes", "0.65 s"),
    ("1,000 endpoints, fresh TLS connections: start lateness p99", "5 ms"),
    ("1,000 endpoints, fresh TLS connections: resident memory", "40 MiB"),
    ("bytes per sample on disk, together", "10 B"),
    ("screens / fleet_of_1000_endpoints_first", "20 ms"),
    ("screens / fleet_of_1000_endpoints_again", "20 ms"),
    ("screens / latency_chart_of_days / 30", "1 ms"),
    ("screens / availability_chart_of_days / 30", "1 ms"),
    ("chart / latency_1000_buckets / Svg", "1 ms"),
    ("shapley / antithetic_permutation / 30", "3 ms"),
    ("stats / sketch_inserts", "150 ms"),
    ("stats / metrics_of_a_million_rows", "150 ms"),
    ("stats / fairness_of_a_million_rows", "30 ms"),
    ("window of 100 endpoints: start to the first painted row", "900 ms"),
    ("window of 100 endpoints: memory (PSS) of all its processes", "250 MiB"),
    ("store / history_of_days_at_1000_points / 30", "1 ms"),
    ("window of 1,000 endpoints: start to the first painted row", "1.5 s"),
    ("window of 1,000 endpoints: memory (PSS) of all its processes", "250 MiB"),
];

/// The row's goal and whether `measured` reaches it; empty for a row without one.
pub(super) fn judge(name: &str, measured: &str) -> String {
    let Some((_, goal)) = GOALS.iter().find(|(row, _)| *row == name) else { return String::new() };
    match (amount(measured), amount(goal)) {
        (Some(found), Some(limit)) if found <= limit => format!("≤ {goal}: met"),
        (Some(_), Some(_)) => format!("≤ {goal}: **missed**"),
        _ => format!("≤ {goal}"),
    }
}

/// A number with its unit as seconds or bytes.
fn amount(text: &str) -> Option<f64> {
    let (number, unit) = text.trim().split_once(' ')?;
    let factor = match unit {
        "ns" => 1e-9,
        "µs" => 1e-6,
        "ms" => 1e-3,
        "s" | "B" => 1.0,
        "KiB" => 1_024.0,
        "MiB" => 1_048_576.0,
        _ => return None,
    };
    Some(number.parse::<f64>().ok()? * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_reached_up_to_its_limit() {
        let check = |measured: &str, expect: &str| assert_eq!(judge("stats / sketch_inserts", measured), expect);
        check("150 ms", "≤ 150 ms: met");
        check("149999 µs", "≤ 150 ms: met");
        check("0.1501 s", "≤ 150 ms: **missed**");
        check("many", "≤ 150 ms");
        assert_eq!(judge("something else", "1 ms"), "");
        assert_eq!(judge("100 endpoints: resident memory", "40.1 MiB"), "≤ 40 MiB: **missed**");
    }

    #[test]
    fn every_goal_is_readable() {
        for (name, goal) in GOALS {
            assert!(amount(goal).is_some(), "{name}: {goal}");
        }
    }
}
