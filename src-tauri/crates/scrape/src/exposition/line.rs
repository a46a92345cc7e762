//! One line of a page: a comment, nothing, or a sample.

use std::borrow::Cow;

/// One series' value. Borrowed from its line.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample<'a> {
    /// The metric's name, with its suffix (`_total`, `_bucket`, `_sum`, `_count`) as it is written.
    pub name: Cow<'a, str>,
    /// The labels in the order in which they are written.
    pub labels: Labels<'a>,
    /// The value: may be NaN or infinite.
    pub value: f64,
}

/// Labels of a sample: name and value, unescaped.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Labels<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl Labels<'_> {
    /// The value of this label. Absent labels read as empty, as in Prometheus.
    pub fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(label, _)| label == name).map_or("", |(_, value)| value)
    }

    /// Name and value of each.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), value.as_ref()))
    }
}

/// What a line holds.
pub(super) enum Line<'a> {
    Nothing,
    /// `# EOF`
    End,
    Sample(Sample<'a>),
    NativeHistogram,
}

/// Labels of one sample at most.
const LABELS_MAX: usize = 64;

/// Reads one line, without its end.
pub(super) fn read_line(line: &str) -> Result<Line<'_>, &'static str> {
    let line = line.trim_matches([' ', '\t', '\r']);
    if line.is_empty() {
        return Ok(Line::Nothing);
    }
    if let Some(comment) = line.strip_prefix('#') {
        return Ok(if comment == " EOF" { Line::End } else { Line::Nothing });
    }
    let mut rest = Rest(line);
    let mut name = Cow::Borrowed(rest.take_name());
    let mut labels = Labels::default();
    rest.skip_blanks();
    if rest.take('{') {
        read_labels(&mut rest, &mut name, &mut labels)?;
        rest.skip_blanks();
    } else if rest.0.len() == line.len() - name.len() {
        return Err("has no blank between name and value");
    }
    if name.is_empty() {
        return Err("does not begin with a metric's name");
    }
    if rest.0.starts_with('{') {
        return Ok(Line::NativeHistogram);
    }
    // A timestamp and an exemplar may follow. The time is ours: servers' clocks differ, and these pages are of now.
    let text = rest.0.split([' ', '\t']).next().unwrap_or_default();
    let value = read_number(text).ok_or("has no number for its value")?;
    Ok(Line::Sample(Sample { name, labels, value }))
}

/// `{a="b",c="d"}` without its opening brace; a comma before the closing one is accepted (TorchServe writes it). A quoted
/// text without `=` is the metric's name (Prometheus 3, names of any characters).
fn read_labels<'a>(rest: &mut Rest<'a>, name: &mut Cow<'a, str>, labels: &mut Labels<'a>) -> Result<(), &'static str> {
    loop {
        rest.skip_blanks();
        if rest.take('}') {
            return Ok(());
        }
        let label = if rest.0.starts_with('"') { rest.take_quoted()? } else { Cow::Borrowed(rest.take_name()) };
        rest.skip_blanks();
        if rest.take('=') {
            rest.skip_blanks();
            if label.is_empty() {
                return Err("has a label without a name");
            }
            let value = rest.take_quoted()?;
            if labels.0.len() == LABELS_MAX {
                return Err("has too many labels");
            }
            labels.0.push((label, value));
        } else if name.is_empty() && !label.is_empty() {
            *name = label;
        } else {
            return Err("has a label without a value");
        }
        rest.skip_blanks();
        if !rest.take(',') && !rest.0.starts_with('}') {
            return Err("has labels that do not end");
        }
    }
}

/// A number as Go writes it: `NaN`, `+Inf`, `1e+09`.
fn read_number(text: &str) -> Option<f64> {
    // Rust also reads `infinity` and any case; both are harmless.
    text.parse().ok()
}

/// What is left of a line.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    fn skip_blanks(&mut self) {
        self.0 = self.0.trim_start_matches([' ', '\t']);
    }

    fn take(&mut self, wanted: char) -> bool {
        match self.0.strip_prefix(wanted) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    /// `[a-zA-Z_:][a-zA-Z0-9_:]*`, or nothing.
    fn take_name(&mut self) -> &'a str {
        let is_part =
            |(at, c): (usize, char)| c.is_ascii_alphabetic() || "_:".contains(c) || (at > 0 && c.is_ascii_digit());
        let end = self.0.char_indices().find(|&part| !is_part(part)).map_or(self.0.len(), |(at, _)| at);
        let (name, rest) = self.0.split_at(end);
        self.0 = rest;
        name
    }

    /// A text in quotes with `\\`, `\"` and `\n` undone. An unknown escape stays as it is, as in Prometheus.
    fn take_quoted(&mut self) -> Result<Cow<'a, str>, &'static str> {
        if !self.take('"') {
            return Err("has a label value without quotes");
        }
        let whole = self.0;
        let Some(end) = whole.find(['"', '\\']) else { return Err("has a label value that does not end") };
        if whole[end..].starts_with('"') {
            self.0 = &whole[end + 1..];
            return Ok(Cow::Borrowed(&whole[..end]));
        }
        let mut text = whole[..end].to_owned();
        let mut characters = whole[end..].chars();
        while let Some(character) = characters.next() {
            match character {
                '"' => {
                    self.0 = characters.as_str();
                    return Ok(Cow::Owned(text));
                }
                '\\' => match characters.next() {
                    Some('n') => text.push('\n'),
                    Some(escaped @ ('"' | '\\')) => text.push(escaped),
                    Some(other) => text.extend(['\\', other]),
                    None => break,
                },
                other => text.push(other),
            }
        }
        Err("has a label value that does not end")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(line: &str) -> String {
        match read_line(line) {
            Ok(Line::Sample(sample)) => {
                let labels: Vec<String> = sample.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
                format!("{} [{}] {}", sample.name, labels.join(";"), sample.value)
            }
            Ok(Line::Nothing) => "nothing".to_owned(),
            Ok(Line::End) => "end".to_owned(),
            Ok(Line::NativeHistogram) => "native histogram".to_owned(),
            Err(why) => format!("error: {why}"),
        }
    }

    #[test]
    fn lines_are_read_as_the_formats_say() {
        let check = |line: &str, expect: &str| assert_eq!(show(line), expect, "{line}");
        check("up 1", "up [] 1");
        check("  up\t 1.5e+09 1395066363000\r", "up [] 1500000000");
        check("a{} 1", "a [] 1");
        check(r#"a{x="1",y="2"} 3"#, "a [x=1;y=2] 3");
        // TorchServe 0.12.0 closes its labels with a comma.
        check(r#"Requests5XX{Level="Host",Hostname="vm",} 3.0"#, "Requests5XX [Level=Host;Hostname=vm] 3");
        check(r#"a { x = "1" , y="2" } 3"#, "a [x=1;y=2] 3");
        check(r#"a{x="C:\\dir\"q\"\nend, }\q"} 3"#, "a [x=C:\\dir\"q\"\nend, }\\q] 3");
        check(r#"vllm:a_bucket{le="+Inf"} +Inf"#, "vllm:a_bucket [le=+Inf] inf");
        check("a NaN", "a [] NaN");
        check("a -Inf", "a [] -inf");
        check(r#"a_bucket{le="1"} 17 1520879607.789 # {trace_id="KOO5S4vxi0o"} 0.67"#, "a_bucket [le=1] 17");
        check(r#"{"http.requests",code="200"} 5"#, "http.requests [code=200] 5");
        check(r#"a{"b.c"="d"} 5"#, "a [b.c=d] 5");
        check("# HELP a b", "nothing");
        check("#", "nothing");
        check("", "nothing");
        check("# EOF", "end");
        check("a {count:1,sum:2,schema:0} 3", "error: has a label without a value");
        check(r#"a{x="1"} {count:1,sum:2}"#, "native histogram");
    }

    #[test]
    fn what_is_no_sample_is_named() {
        let check = |line: &str, part: &str| assert!(show(line).contains(part), "{line}: {}", show(line));
        check("<html>", "blank between");
        check("a", "blank between");
        check("a b", "no number");
        check("1a 1", "blank between");
        check("{} 1", "metric's name");
        check("a{x} 1", "without a value");
        check("a{x=1} 1", "without quotes");
        check(r#"a{x="1} 1"#, "does not end");
        check(r#"a{x="1\"#, "does not end");
        check(r#"a{x="1" 1"#, "do not end");
        check(r#"a{="1"} 1"#, "without a name");
        check(r#"a{x="1"}"#, "no number");
        check("ä 1", "blank between");
    }
}
