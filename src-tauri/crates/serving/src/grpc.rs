//! gRPC's own layer between HTTP/2 and the messages: frames, and the status that stands behind an answer.
//!
//! Source: "gRPC over HTTP2" (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>) for frames and trailers,
//! "gRPC status codes" for the codes, and `google/rpc/code.proto` for the status of HTTP that belongs to each. What it
//! hides: that a failed call is a success of HTTP. What must stay true: nothing here does I/O; an answer of any bytes gives
//! a message or a reason; what a server says is told as it is, on one line and not too long.

use bytes::{BufMut, Bytes, BytesMut};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use pilothouse_domain::TargetFailure;

use crate::text::{DETAIL_LIMIT, one_line, percent_decoded, server_message};
use crate::transport::{Exchange, Failure};

/// Before each message: whether it is compressed, and its length.
const FRAME_HEAD_BYTES: usize = 5;

/// What came of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GrpcCode(u32);

impl GrpcCode {
    const OK: Self = Self(0);

    /// Its name, and the status of HTTP that belongs to it.
    const fn meaning(self) -> (&'static str, u16) {
        match self.0 {
            0 => ("OK", 200),
            // 499 would say that the client went away; but this one waits for the answer.
            1 => ("CANCELLED", 500),
            3 => ("INVALID_ARGUMENT", 400),
            4 => ("DEADLINE_EXCEEDED", 504),
            5 => ("NOT_FOUND", 404),
            6 => ("ALREADY_EXISTS", 409),
            7 => ("PERMISSION_DENIED", 403),
            8 => ("RESOURCE_EXHAUSTED", 429),
            9 => ("FAILED_PRECONDITION", 400),
            10 => ("ABORTED", 409),
            11 => ("OUT_OF_RANGE", 400),
            12 => ("UNIMPLEMENTED", 501),
            13 => ("INTERNAL", 500),
            14 => ("UNAVAILABLE", 503),
            15 => ("DATA_LOSS", 500),
            16 => ("UNAUTHENTICATED", 401),
            // "gRPC status codes": a code that is not known is to be taken for this one.
            _ => ("UNKNOWN", 500),
        }
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        self.meaning().0
    }

    /// The status of HTTP that belongs to it; the message tells apart what one code is used for.
    fn http_status(self, message: &str) -> u16 {
        // Every library refuses a message beyond its limit with the code for "asked too often".
        let is_too_large = message.contains("larger than max") || message.contains("message length too large");
        match self.meaning().1 {
            429 if is_too_large => 413,
            status => status,
        }
    }
}

/// A message in its frame; none stands for an empty one.
pub(crate) fn framed(message: Option<&Bytes>) -> Bytes {
    let message = message.map(AsRef::as_ref).unwrap_or_default();
    let mut framed = BytesMut::with_capacity(FRAME_HEAD_BYTES + message.len());
    framed.put_u8(0);
    framed.put_u32(message.len() as u32);
    framed.put_slice(message);
    framed.freeze()
}

/// The message of an answer to a unary call.
fn unframed(body: &Bytes) -> Result<Bytes, &'static str> {
    let Some((head, rest)) = body.split_at_checked(FRAME_HEAD_BYTES) else {
        return Err(if body.is_empty() { "no message" } else { "a message that is cut off" });
    };
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
    match rest.len() {
        _ if head[0] != 0 => Err("a compressed message, which was not asked for"),
        found if found < length => Err("a message that is cut off"),
        found if found > length => Err("more than one message"),
        _ => Ok(body.slice(FRAME_HEAD_BYTES..)),
    }
}

/// The exchange as its status tells it: of a call that went well the message is the body; of any other the status of HTTP
/// that belongs to its code, with the code and the server's own words as the body.
pub(crate) fn settled(mut exchange: Exchange, place: &str) -> Exchange {
    let Some(status) = exchange.status.filter(|_| exchange.failure.is_none()) else { return exchange };
    match read(status, &exchange.headers, &exchange.body) {
        Ok(Reading::Message(message)) => {
            exchange.grpc_code = Some(GrpcCode::OK);
            exchange.body = message;
        }
        Ok(Reading::Refusal(code, message)) => {
            exchange.grpc_code = Some(code);
            exchange.status = Some(code.http_status(&message));
            let words = if message.is_empty() { code.name().to_owned() } else { format!("{}: {message}", code.name()) };
            exchange.body = words.into();
        }
        // A gateway's own refusal (401, 403, 429, 503 …) says more than that it is not gRPC.
        Err(_) if matches!(status, 401 | 403 | 407 | 429 | 500..=599) => {}
        Err(problem) => {
            exchange.failure =
                Some(Failure::target(TargetFailure::ProtocolViolation, format!("{place} answered with {problem}")));
            exchange.body = Bytes::new();
        }
    }
    exchange
}

enum Reading {
    Message(Bytes),
    Refusal(GrpcCode, String),
}

/// Reads an answer: its status of HTTP, its headers with the trailers behind them, and its body.
fn read(status: u16, headers: &HeaderMap, body: &Bytes) -> Result<Reading, String> {
    let text = |name: &str| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let content_type = text(CONTENT_TYPE.as_str()).unwrap_or_default();
    let kind = content_type.split([';', '+']).next().unwrap_or_default().trim();
    if status != 200 || !kind.eq_ignore_ascii_case("application/grpc") {
        let said = server_message(body).map(|said| format!(" ({})", one_line(&said, 100))).unwrap_or_default();
        let kind = if content_type.is_empty() { "no content type".into() } else { one_line(&content_type, 60) };
        return Err(format!("{status}, {kind}{said}, which is HTTP/2 but not gRPC; is it the gRPC port?"));
    }
    let Some(code) = text("grpc-status") else {
        return Err("an answer that ends without the status that gRPC demands".into());
    };
    let code = GrpcCode(code.trim().parse().map_err(|_| format!("the status `{}`", one_line(&code, 40)))?);
    if code == GrpcCode::OK {
        return unframed(body).map(Reading::Message).map_err(str::to_owned);
    }
    let message = text("grpc-message").map(|message| one_line(&percent_decoded(&message), DETAIL_LIMIT));
    Ok(Reading::Refusal(code, message.unwrap_or_default()))
}

/// Entry for fuzzing: an answer whose first bytes choose its status and headers.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn read_any(bytes: &[u8]) -> Option<Bytes> {
    let (choice, body) = bytes.split_first()?;
    let mut headers = HeaderMap::new();
    if choice & 1 == 0 {
        headers.insert(CONTENT_TYPE, http::HeaderValue::from_static("application/grpc+proto"));
    }
    let (word, body) = body.split_at(usize::from(choice >> 4).min(body.len()));
    if let Ok(word) = http::HeaderValue::from_bytes(word) {
        headers.insert("grpc-message", word.clone());
        headers.insert("grpc-status", if choice & 2 == 0 { http::HeaderValue::from_static("0") } else { word });
    }
    let status = if choice & 4 == 0 { 200 } else { 404 };
    match read(status, &headers, &Bytes::copy_from_slice(body)) {
        Ok(Reading::Message(message)) => Some(message),
        Ok(Reading::Refusal(..)) | Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use pilothouse_domain::Outcome;
    use proptest::prelude::*;

    use super::*;

    fn answered(status: u16, headers: &[(&'static str, &'static str)], body: &[u8]) -> Exchange {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        let body = Bytes::copy_from_slice(body);
        settled(Exchange { status: Some(status), headers, body, ..Exchange::begun() }, "h:1")
    }

    const GRPC: (&str, &str) = ("content-type", "application/grpc");

    #[test]
    fn a_message_is_taken_out_of_its_frame() {
        let found = answered(200, &[GRPC, ("grpc-status", "0")], &framed(Some(&Bytes::from_static(b"abc"))));
        assert_eq!((found.status, &found.body[..], found.failure.clone()), (Some(200), &b"abc"[..], None));
        assert_eq!((found.grpc_code, found.http_status()), (Some(GrpcCode::OK), None));
        let with_kind = [("content-type", "application/grpc+proto;x=1"), ("grpc-status", "0")];
        assert_eq!(answered(200, &with_kind, &framed(None)).failure, None);
        for (body, problem) in [
            (&b""[..], "no message"),
            (b"\0\0\0", "cut off"),
            (b"\0\0\0\0\x04abc", "cut off"),
            (b"\0\0\0\0\x02abc", "more than one"),
            (b"\x01\0\0\0\x03abc", "compressed"),
        ] {
            let failure = answered(200, &[GRPC, ("grpc-status", "0")], body).failure.unwrap();
            assert!(failure.detail.contains(problem), "{body:?}: {failure:?}");
            assert_eq!(failure.outcome, Outcome::TargetFailed(TargetFailure::ProtocolViolation));
        }
    }

    #[test]
    fn each_code_has_the_status_of_http_that_belongs_to_it() {
        let check = |code: &'static str, message: &'static str, status: u16, body: &str| {
            let found = answered(200, &[GRPC, ("grpc-status", code), ("grpc-message", message)], b"");
            assert_eq!((found.status, &*String::from_utf8_lossy(&found.body)), (Some(status), body), "{code}");
            assert_eq!((found.http_status(), found.failure), (None, None));
        };
        check("3", "wrong%20shape", 400, "INVALID_ARGUMENT: wrong shape");
        check("4", "", 504, "DEADLINE_EXCEEDED");
        check("5", "no model 1+1", 404, "NOT_FOUND: no model 1+1");
        check("7", "", 403, "PERMISSION_DENIED");
        check("8", "too many requests", 429, "RESOURCE_EXHAUSTED: too many requests");
        check(
            "8",
            "Received message larger than max (5 vs. 4)",
            413,
            "RESOURCE_EXHAUSTED: Received message larger than max (5 vs. 4)",
        );
        check("12", "", 501, "UNIMPLEMENTED");
        check("14", "a%0Ab%E2%80%AEc", 503, "UNAVAILABLE: a b c");
        check("16", "%zz%", 401, "UNAUTHENTICATED: %zz%");
        check("99", "", 500, "UNKNOWN");
    }

    #[test]
    fn what_is_no_grpc_is_told_from_a_refusal() {
        let check = |status: u16, headers: &[(&'static str, &'static str)], expect: &str| {
            let found = answered(status, headers, b"sign in");
            let detail = found.failure.clone().map(|failure| failure.detail).unwrap_or_default();
            assert!(if expect.is_empty() { detail.is_empty() } else { detail.contains(expect) }, "{status}: {detail}");
            assert_eq!((found.status, found.http_status()), (Some(status), Some(status)));
        };
        check(200, &[("content-type", "text/html"), ("grpc-status", "0")], "text/html (sign in), which is HTTP/2 but");
        check(200, &[("content-type", "application/grpc-web"), ("grpc-status", "0")], "not gRPC");
        check(404, &[], "404, no content type");
        check(302, &[], "not gRPC");
        check(200, &[GRPC], "without the status");
        check(200, &[GRPC, ("grpc-status", "fine")], "the status `fine`");
        for status in [401, 403, 429, 503] {
            check(status, &[("content-type", "application/json")], "");
        }
    }

    proptest! {
        /// An answer of any bytes, under any headers, gives a message or a reason.
        #[test]
        fn any_answer_is_read(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read_any(&bytes);
        }

        /// What was put into a frame comes out of it.
        #[test]
        fn frames_hold_any_message(message in proptest::collection::vec(any::<u8>(), 0..200)) {
            let message = Bytes::from(message);
            prop_assert_eq!(unframed(&framed(Some(&message))), Ok(message));
        }
    }
}
