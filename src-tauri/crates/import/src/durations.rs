//! Durations as people write them in configuration: `30s`, `1m30s`, `500ms`, `2h`.

/// Milliseconds; `None` for anything else. A bare number is seconds when `bare_seconds`.
pub(crate) fn milliseconds(text: &str, bare_seconds: bool) -> Option<u32> {
    let text = text.trim();
    if text.is_empty() {
        return None;
    }
    if let Ok(number) = text.parse::<f64>() {
        return bare_seconds.then(|| in_range(number * 1_000.0)).flatten();
    }
    let mut total = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let unit = match &rest[..letters] {
            "ms" => 1.0,
            "s" => 1_000.0,
            "m" => 60_000.0,
            "h" => 3_600_000.0,
            "d" => 86_400_000.0,
            "w" => 604_800_000.0,
            _ => return None,
        };
        total += number * unit;
        rest = &rest[letters..];
    }
    in_range(total)
}

fn in_range(ms: f64) -> Option<u32> {
    (ms.is_finite() && ms >= 0.0 && ms <= f64::from(u32::MAX)).then_some(ms as u32)
}

/// An interval between checks within what can be set: a second to a day.
pub(crate) fn interval(ms: u32) -> u32 {
    ms.clamp(1_000, 86_400_000)
}

/// A limit of one check within what can be set.
pub(crate) fn timeout(ms: u32) -> u32 {
    ms.clamp(10, 600_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        let check = |text: &str, expect: Option<u32>| assert_eq!(milliseconds(text, false), expect, "{text}");
        check("30s", Some(30_000));
        check("1m30s", Some(90_000));
        check("500ms", Some(500));
        check("1.5h", Some(5_400_000));
        check("7d", Some(604_800_000));
        check("30", None);
        check("", None);
        check("s", None);
        check("1x", None);
        check("99999999w", None);
        check("1é", None);
        assert_eq!(milliseconds("30", true), Some(30_000));
        assert_eq!(milliseconds("nan", true), None);
    }
}
