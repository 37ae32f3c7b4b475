//! The media type of a file, from its name alone.

use std::borrow::Cow;

/// The Content-Type for a file of this name. The content is never sniffed: what a file is called says how browsers treat
/// it, so an upload that looks like HTML does not become HTML.
pub(crate) fn content_type(name: &[u8]) -> Cow<'static, str> {
    let media_type = extension(name).and_then(media_type).unwrap_or("application/octet-stream");
    if is_text(media_type) {
        Cow::Owned(format!("{media_type}; charset=utf-8"))
    } else {
        Cow::Borrowed(media_type)
    }
}

pub(crate) fn extension(name: &[u8]) -> Option<&str> {
    let name = name.rsplit(|&byte| byte == b'/').next()?;
    let dot = name.iter().rposition(|&byte| byte == b'.')?;
    str::from_utf8(&name[dot + 1..]).ok()
}

fn media_type(extension: &str) -> Option<&'static str> {
    // Where the table is silent, outdated (RFC 9239 for JavaScript) or thinks of something rarer.
    match extension {
        "map" => Some("application/json"),
        "ts" => Some("video/mp2t"),
        "mjs" | "cjs" => Some("text/javascript"),
        _ => mime_guess::from_ext(extension).first_raw(),
    }
}

fn is_text(media_type: &str) -> bool {
    media_type.starts_with("text/")
        || media_type.ends_with("+json")
        || media_type.ends_with("+xml")
        || matches!(media_type, "application/json" | "application/javascript" | "application/xml")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_carries_its_charset_and_binary_does_not() {
        assert_eq!(content_type(b"/a/index.html"), "text/html; charset=utf-8");
        assert_eq!(content_type(b"app.js"), "text/javascript; charset=utf-8");
        assert_eq!(content_type(b"app.mjs"), "text/javascript; charset=utf-8");
        assert_eq!(content_type(b"STYLE.CSS"), "text/css; charset=utf-8");
        assert_eq!(content_type(b"data.json"), "application/json; charset=utf-8");
        assert_eq!(content_type(b"app.js.map"), "application/json; charset=utf-8");
        assert_eq!(content_type(b"logo.svg"), "image/svg+xml; charset=utf-8");
        assert_eq!(content_type(b"feed.xml"), "text/xml; charset=utf-8");
        assert_eq!(content_type(b"site.webmanifest"), "application/manifest+json; charset=utf-8");
        assert_eq!(content_type(b"logo.png"), "image/png");
        assert_eq!(content_type(b"code.wasm"), "application/wasm");
        assert_eq!(content_type(b"font.woff2"), "font/woff2");
    }

    #[test]
    fn an_unknown_or_missing_extension_is_bytes() {
        for name in [&b"README"[..], b"a.b/README", b"file.unheardof", b"dot.", b"", b"x.\xff"] {
            assert_eq!(content_type(name), "application/octet-stream");
        }
    }
}
