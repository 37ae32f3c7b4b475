//! The numbers of the gateway protocol as this library has them; the TypeScript side asserts that its own are the same.

use gwanmun_gateway::frame::{self, Kind, ResetReason};
use gwanmun_gateway::{
    CAPABILITY_CLOSED, CAPABILITY_SHARED, ENCODING_OFFSETS, ENCODING_PAIRS, MARK_PAGE, MARK_STRIDE,
    NARROW_WINDOW, PULSE_BEATS, PULSE_LAG, SHARED_BUFFER, SHARED_BUFFERS, SHARED_BYTES, VERSION,
    WINDOW, request, response,
};
use napi_derive::napi;
use serde_json::json;

/// JSON: every number that both sides of a link must agree on.
#[napi]
#[must_use]
pub fn protocol_constants() -> String {
    json!({
        "version": VERSION,
        "encodingOffsets": ENCODING_OFFSETS,
        "encodingPairs": ENCODING_PAIRS,
        "window": WINDOW,
        "capabilities": { "closed": CAPABILITY_CLOSED, "shared": CAPABILITY_SHARED },
        "markPage": MARK_PAGE,
        "markStride": MARK_STRIDE,
        "shared": { "buffers": SHARED_BUFFERS, "buffer": SHARED_BUFFER, "bytes": SHARED_BYTES },
        "pulse": { "beats": PULSE_BEATS, "lag": PULSE_LAG },
        "header": frame::HEADER,
        "maxPayload": frame::MAX_PAYLOAD,
        "align": frame::ALIGN,
        "flags": { "end": frame::FLAG_END, "fd": frame::FLAG_FD, "shared": frame::FLAG_SHARED, "narrow": frame::FLAG_NARROW },
        "narrowWindow": NARROW_WINDOW,
        "requestFlags": { "http10": request::FLAG_HTTP10, "tls": request::FLAG_TLS, "body": request::FLAG_BODY, "variables": request::FLAG_VARIABLES },
        "headFixed": request::FIXED,
        "formHttp": response::FORM_HTTP,
        "formReason": response::FORM_REASON,
        "wishes": { "stream": response::WISH_STREAM, "anyTarget": response::WISH_ANY_TARGET },
        "kinds": {
            "hello": Kind::Hello as u8, "ready": Kind::Ready as u8, "names": Kind::Names as u8,
            "block": Kind::Block as u8, "head": Kind::Head as u8, "info": Kind::Info as u8,
            "data": Kind::Data as u8, "trailers": Kind::Trailers as u8, "end": Kind::End as u8, "reset": Kind::Reset as u8,
            "credit": Kind::Credit as u8, "log": Kind::Log as u8,
        },
        "resetReasons": {
            "application": ResetReason::Application as u32, "clientGone": ResetReason::ClientGone as u32,
            "cancelled": ResetReason::Cancelled as u32, "protocol": ResetReason::Protocol as u32,
        },
    })
    .to_string()
}
