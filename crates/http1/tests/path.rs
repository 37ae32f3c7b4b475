//! The normal form of a path: H67–H73.

use gwanmun_http1::path::{Normal, Normalized, PathError, merge, normalize, rest};

fn normal(raw: &[u8]) -> Result<(Vec<u8>, bool), PathError> {
    let mut out = b"left over".to_vec();
    let Normalized { form, encoded_slash, .. } = normalize(raw, &mut out)?;
    match form {
        Normal::Same => assert!(out.is_empty()),
        Normal::Decoded => assert_ne!(out, raw),
    }
    let path = if form == Normal::Same { raw.to_vec() } else { out };
    assert!(path.starts_with(b"/"));
    for segment in path[1..].split(|&byte| byte == b'/') {
        assert!(segment != b"." && segment != b"..", "{}", path.escape_ascii());
    }
    Ok((path, encoded_slash))
}

#[track_caller]
fn assert_path(row: &str, raw: &str, expected: &str) {
    let (path, encoded_slash) = normal(raw.as_bytes()).expect(raw);
    assert_eq!(path.escape_ascii().to_string(), expected, "{row}: {raw}");
    assert!(!encoded_slash, "{row}: {raw}");
}

#[track_caller]
fn assert_refused(row: &str, raw: &str, error: PathError) {
    assert_eq!(normal(raw.as_bytes()), Err(error), "{row}: {raw}");
}

#[test]
fn normal_paths_stay_untouched() {
    for path in [
        "/",
        "/a",
        "/a/",
        "/a.b/c..d",
        "/.well-known/x",
        "/...",
        "/a/.b",
        "/..a",
        "/a;b=c/d",
        "/~u",
        "/a+b",
        "/\u{e9}",
    ] {
        let mut out = Vec::new();
        let normalized = normalize(path.as_bytes(), &mut out).unwrap();
        assert_eq!(
            normalized,
            Normalized { form: Normal::Same, encoded_slash: false, doubled: false },
            "{path}"
        );
        assert!(out.is_empty());
    }
    assert_eq!(normalize(b"*", &mut Vec::new()).unwrap().form, Normal::Same);
}

#[test]
fn h67_dot_segments_go_after_decoding() {
    for (raw, expected) in [
        ("/a/../b", "/b"),
        ("/a/b/../../c", "/c"),
        ("/a/%2e%2e/b", "/b"),
        ("/a/.%2e/b", "/b"),
        ("/a/%2E./b", "/b"),
        ("/a/.", "/a/"),
        ("/a/..", "/"),
        ("/a/b/..", "/a/"),
        ("/./a", "/a"),
        ("/%2e", "/"),
        ("/a/./b/.", "/a/b/"),
        ("/a/..;/b", "/a/..;/b"),
        ("/a../b", "/a../b"),
        ("/a/%2e%2e%20", "/a/.. "),
    ] {
        assert_path("H67", raw, expected);
    }
    for raw in [
        "/..",
        "/../",
        "/../a",
        "/%2e%2e/",
        "/.%2e/",
        "/%2E./",
        "/a/../..",
        "/a/../../b",
        "/a/../../a/b/c",
        "/./..",
    ] {
        assert_refused("H67", raw, PathError::AboveRoot);
    }
}

#[test]
fn h68_decoded_exactly_once() {
    assert_path("H68", "/%252e%252e/a", "/%2e%2e/a");
    assert_path("H68", "/a%25", "/a%");
    assert_path("H68", "/%41%7e%C3%A9", "/A~\\xc3\\xa9");
    assert_path("H68", "/a%3Fb%23c", "/a?b#c");
    for raw in [
        "/%%32%65",
        "/%",
        "/a%2",
        "/%2",
        "/%g0",
        "/%0g",
        "/% 1",
        "/%+1",
        "/a/%zz/b",
        "/%u0041",
        "/%2\u{e9}",
    ] {
        assert_refused("H68", raw, PathError::Malformed);
    }
}

#[test]
fn h69_encoded_slashes_are_told() {
    for (raw, expected) in [
        ("/a%2fb", "/a/b"),
        ("/a%2Fb", "/a/b"),
        ("/a%2f", "/a/"),
        ("/%2f", "/"),
        ("/a%2f%2e%2e%2fb", "/b"),
        ("/a/%2f/b", "/a/b"),
        ("/a%5Cb", "/a\\\\b"),
        ("/..%5c", "/..\\\\"),
    ] {
        let (path, encoded_slash) = normal(raw.as_bytes()).expect(raw);
        assert_eq!(path.escape_ascii().to_string(), expected, "H69: {raw}");
        assert!(encoded_slash, "H69: {raw}");
    }
    assert_refused("H69", "/..%2fa", PathError::AboveRoot);
    assert_refused("H69", "/a%2f..%2f..%2fb", PathError::AboveRoot);
    // A name that held an encoded slash and was removed again still did.
    assert_eq!(normal(b"/a%5c/../b"), Ok((b"/b".to_vec(), true)));
}

#[test]
fn h71_nul() {
    assert_refused("H71", "/%00", PathError::Nul);
    assert_refused("H71", "/a%00.html", PathError::Nul);
    assert_refused("H71", "/a\0b", PathError::Nul);
}

#[test]
fn h72_bytes_are_not_read_as_utf_8() {
    assert_path("H72", "/%c0%af", "/\\xc0\\xaf");
    assert_path("H72", "/%c0%ae%c0%ae/a", "/\\xc0\\xae\\xc0\\xae/a");
    assert_path("H72", "/%ff", "/\\xff");
    assert_path("H72", "/%ef%bc%8f", "/\\xef\\xbc\\x8f");
}

#[test]
fn h73_slashes_merge_and_parameters_stay() {
    for (raw, expected) in [
        ("//", "/"),
        ("//a", "/a"),
        ("/a//b///c//", "/a/b/c/"),
        ("/a/./b", "/a/b"),
        ("//a;p", "/a;p"),
    ] {
        assert_path("H73", raw, expected);
    }
}

#[test]
fn a140_an_empty_and_a_dot_segment_in_one_path_have_no_normal_form() {
    for raw in [
        "/a//../b",
        "//../",
        "/a//../../b",
        "//.",
        "/.//",
        "/./a//b",
        "/a/..//",
        "/a%2f/%2e%2e/b",
        "/%2f%2e",
        "/a/%2e%2e%2f%2fb",
        "/..//",
    ] {
        assert_refused("A140", raw, PathError::Ambiguous);
    }
    for raw in ["/a/./", "/a/../", "/.", "/..a//b", "/a/.../", "/a//.b"] {
        assert!(normal(raw.as_bytes()).is_ok(), "{raw}");
    }
}

#[test]
fn a140_doubled_slashes_stay_behind_a_prefix_but_never_at_its_start() {
    for (raw, prefix, expected) in [
        ("//", 0, "/"),
        ("//a", 0, "/a"),
        ("///a//b", 0, "/a//b"),
        ("/u/http%3A%2F%2Fx.y%2Fz", 0, "/u/http://x.y/z"),
        ("/%2F%2fa//", 0, "/a//"),
        ("/app//", 4, "/"),
        ("/app//x", 4, "/x"),
        ("/app%2f/x//y", 4, "/x//y"),
        ("//app/x%2F/", 4, "/x//"),
        ("//app", 4, ""),
        ("/a//b///c//d", 4, "/c//d"),
        ("/%61//b///c//d", 4, "/c//d"),
    ] {
        let mut normal = Vec::new();
        assert!(normalize(raw.as_bytes(), &mut normal).unwrap().doubled, "{raw}");
        let mut out = b"before".to_vec();
        rest(raw.as_bytes(), prefix, &mut out);
        assert_eq!(out[6..].escape_ascii().to_string(), expected, "{raw} {prefix}");
        let mut merged = out[6..].to_vec();
        merge(&mut merged);
        assert_eq!(merged, normal[prefix..], "{raw} {prefix}");
    }
}

#[test]
fn a_path_starts_with_a_slash() {
    for raw in ["", "a", "a/b", "%2f", "**"] {
        assert_refused("H25", raw, PathError::Malformed);
    }
}
