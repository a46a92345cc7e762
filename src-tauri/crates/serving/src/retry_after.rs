//! How long a server asks to be left alone.
//!
//! Source: RFC 9110 §10.2.3 (`Retry-After`: seconds, or a date) and RFC 6585 §4 (with 429). What must stay true: this
//! machine's clock is not asked, since it may be wrong; no server can silence its watch for longer than
//! [`RETRY_AFTER_MAX`].

use std::time::Duration;

use http::HeaderMap;
use http::header::{DATE, HeaderName, RETRY_AFTER};

/// The longest wait that is kept to.
pub(crate) const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);

/// The wait that the headers of an answer ask for, from when the answer came.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let asked = text(RETRY_AFTER)?;
    let wait = if let Ok(seconds) = asked.parse() {
        Duration::from_secs(seconds)
    } else {
        // A date is understood by the server's own clock, which the same answer tells.
        let until = httpdate::parse_http_date(asked).ok()?;
        until.duration_since(httpdate::parse_http_date(text(DATE)?).ok()?).ok()?
    };
    (!wait.is_zero()).then(|| wait.min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn wait(asked: &str, date: Option<&str>) -> Option<u64> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_str(asked).ok()?);
        if let Some(date) = date {
            headers.insert(DATE, HeaderValue::from_str(date).ok()?);
        }
        retry_after(&headers).map(|wait| wait.as_secs())
    }

    #[test]
    fn seconds_and_dates_are_understood() {
        let now = Some("Fri, 31 Dec 1999 23:59:00 GMT");
        assert_eq!(wait("30", None), Some(30));
        assert_eq!(wait(" 120 ", now), Some(120));
        assert_eq!(wait("Fri, 31 Dec 1999 23:59:59 GMT", now), Some(59));
        // Without the server's own time a date says nothing; neither does one that has passed.
        assert_eq!(wait("Fri, 31 Dec 1999 23:59:59 GMT", None), None);
        assert_eq!(wait("Fri, 31 Dec 1999 23:58:00 GMT", now), None);
        assert_eq!(wait("0", None), None);
        assert_eq!(wait("-5", None), None);
        assert_eq!(wait("soon", now), None);
        assert_eq!(wait("99999999999", None), Some(3_600));
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }

    proptest! {
        /// Whatever the headers say, the wait is none or within its bound.
        #[test]
        fn any_header_gives_a_bounded_wait(asked in "\\PC{0,30}|[0-9]{0,25}", date in "\\PC{0,30}") {
            prop_assert!(wait(&asked, Some(&date)).is_none_or(|seconds| (1..=3_600).contains(&seconds)));
        }
    }
}
