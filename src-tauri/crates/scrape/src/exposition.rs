//! Reading a page of metrics, line by line: Prometheus text 0.0.4 and `OpenMetrics` 1.0.
//!
//! The two differ little in what matters here: `OpenMetrics` ends with `# EOF` and may put exemplars behind a value. Both
//! are read by one reader, since servers often announce one and send the other. Formats:
//! <https://prometheus.io/docs/instrumenting/exposition_formats/> (text 0.0.4) and
//! <https://prometheus.io/docs/specs/om/open_metrics_spec/> (1.0.0); metric names in quotes as of Prometheus 3.
//!
//! What must stay true: a line that cannot be read costs itself and nothing else; samples are handed on one at a time, so
//! that a page of a hundred thousand series takes no more memory than one line; no bytes panic.

mod line;

pub use line::{Labels, Sample};

use line::{Line, read_line};

/// How much of a page is read.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes.
    pub bytes: usize,
    /// Samples handed on.
    pub samples: usize,
    /// Bytes of one line.
    pub line_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 8 * 1024 * 1024, samples: 200_000, line_bytes: 16 * 1024 }
    }
}

/// What reading a page came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Samples read.
    pub samples: usize,
    /// Lines that could not be read.
    pub skipped: usize,
    /// The first of them: its number (from 1) and what is wrong with it.
    pub first_problem: Option<(usize, &'static str)>,
    /// Samples whose value is a native histogram, which the text formats do not carry; they are left out.
    pub native_histograms: usize,
    /// Whether a limit cut the page short.
    pub truncated: bool,
    /// Whether the page was closed by `OpenMetrics`' `# EOF`.
    pub closed: bool,
}

impl Report {
    /// Why this is no page of metrics, if it is none.
    pub fn refusal(&self) -> Option<String> {
        let (number, why) = self.first_problem?;
        (self.samples == 0 || self.skipped > self.samples).then(|| {
            format!(
                "this is no Prometheus or OpenMetrics text: line {number} {why} ({} lines unreadable)",
                self.skipped
            )
        })
    }
}

/// Reads a page and hands each sample to `visit`, in order.
pub fn read(page: &[u8], limits: &Limits, visit: &mut dyn FnMut(&Sample<'_>)) -> Report {
    let mut report = Report::default();
    let within = &page[..page.len().min(limits.bytes)];
    report.truncated = within.len() < page.len();
    let mut lines = within.split(|byte| *byte == b'\n').enumerate().peekable();
    while let Some((index, bytes)) = lines.next() {
        if report.truncated && lines.peek().is_none() {
            // The last line of a page that was cut is itself cut: its value may miss digits.
            break;
        }
        let line = if bytes.len() > limits.line_bytes {
            Err("is longer than the limit")
        } else {
            str::from_utf8(bytes).map_err(|_| "is not UTF-8").and_then(read_line)
        };
        match line {
            Ok(Line::Nothing) => {}
            Ok(Line::End) => {
                report.closed = true;
                break;
            }
            Ok(Line::NativeHistogram) => report.native_histograms += 1,
            Ok(Line::Sample(sample)) => {
                if report.samples == limits.samples {
                    report.truncated = true;
                    break;
                }
                report.samples += 1;
                visit(&sample);
            }
            Err(why) => {
                report.skipped += 1;
                report.first_problem.get_or_insert((index + 1, why));
            }
        }
    }
    report
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(page: &str, limits: &Limits) -> (Vec<String>, Report) {
        let mut seen = Vec::new();
        let report =
            read(page.as_bytes(), limits, &mut |sample| seen.push(format!("{}={}", sample.name, sample.value)));
        (seen, report)
    }

    #[test]
    fn a_page_is_read_to_its_end_mark() {
        let (seen, report) = all("# TYPE a counter\na_total 1\n\n# EOF\nb 2\n", &Limits::default());
        assert_eq!(seen, ["a_total=1"]);
        assert!(report.closed && report.refusal().is_none());
    }

    #[test]
    fn a_bad_line_costs_itself_only() {
        let (seen, report) = all("a 1\nb{ 2\nc 3\nd\n", &Limits::default());
        assert_eq!(seen, ["a=1", "c=3"]);
        assert_eq!((report.skipped, report.first_problem.map(|(line, _)| line)), (2, Some(2)));
        assert_eq!(report.refusal(), None);
    }

    #[test]
    fn a_web_page_is_refused_with_its_first_line() {
        let (_, report) = all("<!DOCTYPE html>\n<html>\n</html>\n", &Limits::default());
        assert!(report.refusal().is_some_and(|why| why.contains("line 1")), "{report:?}");
        assert_eq!(
            all("", &Limits::default()).1.refusal(),
            None,
            "an empty page holds no metrics, and that is in order"
        );
    }

    #[test]
    fn limits_cut_a_page_and_say_so() {
        let check = |limits: Limits, expect: &[&str], truncated: bool| {
            let (seen, report) = all("aa 1\nbb 2\ncc 34567", &limits);
            assert_eq!((seen, report.truncated), (expect.iter().map(|&s| s.to_owned()).collect(), truncated));
        };
        let whole = Limits::default();
        check(whole, &["aa=1", "bb=2", "cc=34567"], false);
        check(Limits { samples: 2, ..whole }, &["aa=1", "bb=2"], true);
        check(Limits { bytes: 14, ..whole }, &["aa=1", "bb=2"], true);
        check(Limits { line_bytes: 4, ..whole }, &["aa=1", "bb=2"], false);
    }

    proptest! {
        /// No bytes panic, and what is handed on stays within the limits.
        #[test]
        fn any_bytes_are_read(page in proptest::collection::vec(any::<u8>(), 0..2_000)) {
            let limits = Limits { bytes: 1_500, samples: 20, line_bytes: 100 };
            let mut n = 0;
            let report = read(&page, &limits, &mut |_| n += 1);
            prop_assert_eq!(report.samples, n);
            prop_assert!(n <= limits.samples);
        }

        /// The same for what looks like metrics.
        #[test]
        fn almost_metrics_are_read(page in r#"([a-z_:]{1,4}[{]?([a-z]{1,2}="[a-z\\n"]{0,3}",?){0,2}[}]? ?[-+0-9eEInfNa.]{0,5}[ #{}]{0,3}\n){0,9}"#) {
            let report = read(page.as_bytes(), &Limits::default(), &mut |_| {});
            prop_assert!(report.samples + report.skipped <= page.lines().count());
        }
    }
}
