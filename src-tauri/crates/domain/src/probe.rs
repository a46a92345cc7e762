//! One scheduled check of one endpoint and what came of it.
//!
//! What must stay true: a failure of ours is [`Outcome::Unknown`], never [`Outcome::TargetFailed`]. Reasons are closed
//! enums with stable numeric codes, because they are stored for years.

use serde::{Deserialize, Serialize};

use crate::{EndpointId, Generation, TimestampMs, VersionId};

/// How long each phase of one request took, in microseconds. A phase is present only when it was reached; on a reused
/// connection `dns`, `connect`, `tunnel` and `tls` are absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phases {
    /// Name resolution.
    pub dns: Option<u32>,
    /// TCP connect: to the server, or to the proxy on the way to it.
    pub connect: Option<u32>,
    /// Opening a tunnel to the server through somebody else, where there is one: what a proxy asks before it passes bytes
    /// on, its own TLS included. Not time of the model.
    #[serde(default)]
    pub tunnel: Option<u32>,
    /// TLS handshake.
    pub tls: Option<u32>,
    /// Writing the request.
    pub send: Option<u32>,
    /// From the last byte sent to the first byte of the answer.
    pub wait: Option<u32>,
    /// From the first byte to the last byte of the answer.
    pub receive: Option<u32>,
}

/// One probe of one endpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct Probe {
    /// The endpoint.
    pub endpoint: EndpointId,
    /// When the probe was due. The clock of `total_us` starts here (coordinated omission is not hidden).
    pub due: TimestampMs,
    /// How late the probe was started after it was due, in microseconds. Not part of the phases.
    pub late_us: u32,
    /// What came of it.
    pub outcome: Outcome,
    /// The HTTP status, when an answer came.
    pub http_status: Option<u16>,
    /// The model version that the answer reported, if the protocol reports one.
    pub version: Option<VersionId>,
    /// Time per phase.
    pub phases: Phases,
    /// From start of the request to its end, in microseconds; absent when nothing was sent.
    pub total_us: Option<u32>,
    /// Whether a kept-alive connection was used.
    pub reused: bool,
    /// Decompressed size of the answer's body in bytes.
    pub response_bytes: u32,
    /// A short text for people: what happened, to what. Untrusted, at most 300 characters, never with a secret.
    pub detail: Option<String>,
    /// What a generated answer measured, where one was asked for and text began to come.
    pub generation: Option<Box<Generation>>,
}

/// What came of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "outcome", content = "reason", rename_all = "snake_case")]
pub enum Outcome {
    /// The endpoint answered and the answer passed every check.
    Ok,
    /// The endpoint failed, for this reason.
    TargetFailed(TargetFailure),
    /// We cannot say: the failure is ours.
    Unknown(UnknownReason),
}

macro_rules! coded_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $code:literal, $text:literal;)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$variant_doc])* $variant,)* }

        impl $name {
            /// Every reason, in the order of its code.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The stable number under which this is stored. A number is never given a second meaning.
            pub const fn code(self) -> u8 {
                match self { $(Self::$variant => $code,)* }
            }

            /// The reason with this stored number.
            pub const fn from_code(code: u8) -> Option<Self> {
                match code { $($code => Some(Self::$variant),)* _ => None }
            }

            /// A short phrase for people, without the endpoint's name.
            pub const fn phrase(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

coded_enum!(
    /// Why the endpoint, and not we, failed.
    TargetFailure {
        /// The name does not resolve although the network works.
        DnsFailed = 1, "name does not resolve";
        /// Nothing listens on the port.
        ConnectionRefused = 2, "connection refused";
        /// The connection ended before the answer was complete.
        ConnectionReset = 3, "connection closed early";
        /// No TCP connection within the connect timeout.
        ConnectTimeout = 4, "connect timed out";
        /// The TLS handshake failed.
        TlsFailed = 5, "TLS handshake failed";
        /// The certificate is expired, for another name, or from an unknown issuer.
        CertificateInvalid = 6, "certificate not valid";
        /// No first byte within the first-byte timeout.
        FirstByteTimeout = 7, "no answer in time";
        /// The answer did not end within the total timeout.
        TotalTimeout = 8, "answer did not end in time";
        /// 401: the credential is missing or wrong.
        Unauthorized = 9, "unauthorized (401)";
        /// 403: the credential may not do this.
        Forbidden = 10, "forbidden (403)";
        /// 404 or the protocol's "no such model".
        ModelNotFound = 11, "model not found";
        /// 429.
        RateLimited = 12, "rate limited (429)";
        /// Another 4xx: the server did not accept the request's form.
        RequestRejected = 13, "request rejected (4xx)";
        /// 5xx.
        ServerError = 14, "server error (5xx)";
        /// The server says that the model is not ready.
        NotReady = 15, "model not ready";
        /// The body is larger than the limit.
        ResponseTooLarge = 16, "answer too large";
        /// More than three redirects, or a redirect that would have carried a credential to another origin.
        RedirectRefused = 17, "redirect refused";
        /// The answer is not HTTP, not decodable, or not JSON where JSON is due.
        BodyMalformed = 18, "answer not readable";
        /// The answer is JSON but not of the protocol's form.
        ProtocolViolation = 19, "answer not of the protocol";
        /// The prediction has another shape than the number of rows sent or the model's metadata say.
        WrongShape = 20, "wrong output shape";
        /// The prediction has another data type than the metadata say.
        WrongDtype = 21, "wrong output type";
        /// A prediction is NaN or infinite.
        NotFinite = 22, "prediction is NaN or infinite";
        /// Class probabilities lie outside [0, 1] or do not sum to 1.
        ProbabilitySum = 23, "probabilities do not sum to 1";
        /// The network says that the host cannot be reached, while other hosts can.
        Unreachable = 24, "host unreachable";
        /// A generated answer does not satisfy a check of its prompt.
        CheckFailed = 25, "answer failed its check";
    }
);

coded_enum!(
    /// Why we cannot say.
    UnknownReason {
        /// This machine has no network.
        NoNetwork = 1, "this machine is offline";
        /// This machine slept.
        Asleep = 2, "this machine was asleep";
        /// The keyring is locked, so the credential cannot be read.
        KeyringLocked = 3, "keyring locked";
        /// The keyring cannot be reached.
        KeyringUnavailable = 4, "keyring unavailable";
        /// The keyring holds no secret of that name.
        SecretMissing = 5, "secret missing in the keyring";
        /// The probe was cancelled by stopping or pausing.
        Cancelled = 6, "cancelled";
        /// Our own settings for this endpoint cannot be used (unreadable CA file, bad template).
        Misconfigured = 7, "settings not usable";
        /// Our own resources ran out (file descriptors, memory) or an invariant of ours broke.
        Internal = 8, "internal failure";
        /// The proxy between us and the endpoint failed.
        ProxyFailed = 9, "proxy failed";
        /// The server that issues access tokens gave none, so that the endpoint could not be asked.
        TokenUnavailable = 10, "no access token";
        /// The tunnel to the endpoint (through a jump host, say) could not be opened, or broke.
        TunnelFailed = 11, "tunnel failed";
        /// Nobody could say whether the endpoint's name has an address: this machine's resolver gave no answer.
        ResolverFailed = 12, "name could not be looked up";
    }
);

impl Outcome {
    /// A short phrase for people.
    pub const fn phrase(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::TargetFailed(reason) => reason.phrase(),
            Self::Unknown(reason) => reason.phrase(),
        }
    }

    /// The numbers under which this is stored: kind (0 ok, 1 target failed, 2 unknown) and reason (0 for ok).
    pub const fn codes(self) -> (u8, u8) {
        match self {
            Self::Ok => (0, 0),
            Self::TargetFailed(reason) => (1, reason.code()),
            Self::Unknown(reason) => (2, reason.code()),
        }
    }

    /// The outcome with these stored numbers.
    pub const fn from_codes(kind: u8, reason: u8) -> Option<Self> {
        match kind {
            0 => Some(Self::Ok),
            1 => match TargetFailure::from_code(reason) {
                Some(reason) => Some(Self::TargetFailed(reason)),
                None => None,
            },
            2 => match UnknownReason::from_code(reason) {
                Some(reason) => Some(Self::Unknown(reason)),
                None => None,
            },
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_survives_its_codes() {
        let failed = TargetFailure::ALL.iter().map(|&r| Outcome::TargetFailed(r));
        let unknown = UnknownReason::ALL.iter().map(|&r| Outcome::Unknown(r));
        for outcome in failed.chain(unknown).chain([Outcome::Ok]) {
            let (kind, reason) = outcome.codes();
            assert_eq!(Outcome::from_codes(kind, reason), Some(outcome));
        }
    }
}
