//! Why a message is refused.

use std::fmt;

/// A request that must be refused: answer with [`status`](Rejection::status), then close the connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Rejection {
    kind: Kind,
}

impl Rejection {
    /// The status code of the answer. With 405 the answer needs an `Allow` field (RFC 9110 §15.5.6).
    pub fn status(&self) -> u16 {
        self.kind.rule().0
    }

    /// The rule that was broken, for the log. It never holds bytes of the request.
    pub fn reason(&self) -> &'static str {
        self.kind.rule().1
    }
}

impl From<Kind> for Rejection {
    fn from(kind: Kind) -> Rejection {
        Rejection { kind }
    }
}

impl fmt::Debug for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rejection({} {})", self.status(), self.reason())
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl std::error::Error for Rejection {}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    // Lines
    BareLf,
    BareCr,
    EmptyLines,
    // Request line
    Method,
    MethodLength,
    Connect,
    Trace,
    RequestLineLength,
    TargetEmpty,
    TargetByte,
    TargetNotUtf8,
    TargetBackslash,
    TargetFragment,
    TargetForm,
    TargetAsterisk,
    TargetAuthority,
    VersionMissing,
    VersionSyntax,
    VersionMajor,
    // Header fields
    HeaderBytes,
    HeaderCount,
    HeaderName,
    HeaderValue,
    LeadingSpace,
    Folded,
    HostMissing,
    HostRepeated,
    Host,
    HostPort,
    HostLong,
    ContentLength,
    ContentLengthRepeated,
    TransferEncoding,
    TransferEncodingRepeated,
    TransferEncodingFinal,
    TransferEncodingUnknown,
    TransferEncodingVersion,
    TransferEncodingAndLength,
    Expect,
    // Chunked coding
    ChunkSize,
    ChunkSizeRange,
    ChunkExtension,
    ChunkLine,
    ChunkLineEnd,
    ChunkDataEnd,
    ChunkOverhead,
    Trailer,
    TrailerBytes,
    TrailerCount,
}

impl Kind {
    fn rule(self) -> (u16, &'static str) {
        match self {
            Kind::BareLf => (400, "line feed without carriage return"),
            Kind::BareCr => (400, "carriage return without line feed"),
            Kind::EmptyLines => (400, "too many empty lines before the request line"),

            Kind::Method => (400, "method is not a token"),
            Kind::MethodLength => (501, "method longer than 32 bytes"),
            Kind::Connect => (501, "CONNECT is not implemented"),
            Kind::Trace => (405, "TRACE is not allowed"),
            Kind::RequestLineLength => (414, "request line longer than the limit"),
            Kind::TargetEmpty => (400, "request target is empty"),
            Kind::TargetByte => (400, "control character in the request target"),
            Kind::TargetNotUtf8 => {
                (400, "bytes beyond ASCII in the request target that are not UTF-8")
            }
            Kind::TargetBackslash => (400, "backslash in the request target's path"),
            Kind::TargetFragment => (400, "fragment in the request target"),
            Kind::TargetForm => (400, "request target is neither a path nor an http or https URL"),
            Kind::TargetAsterisk => (400, "request target * with a method other than OPTIONS"),
            Kind::TargetAuthority => (400, "invalid authority in the request target"),
            Kind::VersionMissing => (400, "no HTTP version in the request line"),
            Kind::VersionSyntax => (400, "malformed HTTP version or bytes behind it"),
            Kind::VersionMajor => (505, "HTTP major version is not 1"),

            Kind::HeaderBytes => (431, "header fields larger than the limit"),
            Kind::HeaderCount => (431, "more header fields than the limit"),
            Kind::HeaderName => (400, "header name is not a token followed by a colon"),
            Kind::HeaderValue => (400, "control character in a header value"),
            Kind::LeadingSpace => (400, "white space before the first header"),
            Kind::Folded => (400, "folded header line"),
            Kind::HostMissing => (400, "no Host in an HTTP/1.1 request"),
            Kind::HostRepeated => (400, "more than one Host"),
            Kind::Host => (400, "invalid Host"),
            Kind::HostPort => (400, "invalid port in Host or authority"),
            Kind::HostLong => (400, "a Host or authority over 1024 bytes"),
            Kind::ContentLength => (400, "invalid Content-Length"),
            Kind::ContentLengthRepeated => (400, "more than one Content-Length"),
            Kind::TransferEncoding => (400, "malformed Transfer-Encoding"),
            Kind::TransferEncodingRepeated => {
                (400, "more than one Transfer-Encoding, or chunked twice")
            }
            Kind::TransferEncodingFinal => (400, "final transfer coding is not chunked"),
            Kind::TransferEncodingUnknown => (501, "transfer coding other than chunked"),
            Kind::TransferEncodingVersion => (400, "Transfer-Encoding in an HTTP/1.0 request"),
            Kind::TransferEncodingAndLength => (400, "both Transfer-Encoding and Content-Length"),
            Kind::Expect => (417, "unknown expectation"),

            Kind::ChunkSize => (400, "chunk size is not a hexadecimal number"),
            Kind::ChunkSizeRange => (400, "chunk size out of range"),
            Kind::ChunkExtension => (400, "malformed chunk extension"),
            Kind::ChunkLine => (400, "chunk line longer than 256 bytes"),
            Kind::ChunkLineEnd => (400, "chunk line does not end in CRLF"),
            Kind::ChunkDataEnd => (400, "chunk data is not followed by CRLF"),
            Kind::ChunkOverhead => (400, "more chunk framing than data"),
            Kind::Trailer => (400, "malformed trailer field"),
            Kind::TrailerBytes => (431, "trailer fields larger than 16 KiB"),
            Kind::TrailerCount => (431, "more than 100 trailer fields"),
        }
    }
}
