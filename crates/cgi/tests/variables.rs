//! What programs are told of a request.

use gwanmun_cgi::variables::{Script, Settings, Variables};
use gwanmun_gateway::request::{
    FLAG_HTTP10, FLAG_TLS, FLAG_VARIABLES, Fixed, HeadView, HeadWriter, Pair, Piece,
    set_body_length,
};

fn head(fixed: Fixed, headers: &[(&str, &str)], own: &[u8]) -> Vec<u8> {
    let mut text = b"GET /a%20b/index.php/x?a=%20b HTTP/1.1\r\n".to_vec();
    let mut pairs = Vec::new();
    for (name, value) in headers {
        let start = text.len() as u32;
        let middle = start + name.len() as u32;
        text.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        let value = Pair::new(middle + 2, middle + 2 + value.len() as u32);
        pairs.push((Pair::new(start, middle), value));
    }
    let mut out = Vec::new();
    let mut writer = HeadWriter::new(&mut out, fixed);
    writer.headers(pairs.len(), pairs.into_iter());
    writer.text(&text);
    writer.piece(Piece::Method, Pair::new(0, 3));
    writer.piece(Piece::Target, Pair::new(4, 29));
    writer.piece(Piece::Query, Pair::new(23, 29));
    let server = writer.append(b"[::1]");
    writer.piece(Piece::ServerName, server);
    let remote = writer.append(b"192.0.2.1");
    writer.piece(Piece::RemoteAddr, remote);
    writer.append(own);
    assert!(writer.finish());
    out
}

const SCRIPT: Script<'static> = Script {
    name: b"/a b/index.php",
    path_info: b"/x",
    file: Some(b"/srv/a b/index.php"),
    root: Some(b"/srv"),
};

fn variables(head: &[u8], settings: &Settings<'_>) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let variables = Variables::new(&HeadView::new(head), &SCRIPT, settings);
    variables.iter().map(|(name, value)| (text(name), text(value))).collect()
}

fn value<'a>(all: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let mut found = all.iter().filter(|(own, _)| own == name);
    let value = found.next().map(|(_, value)| value.as_str());
    assert!(found.next().is_none(), "{name} comes once");
    value
}

#[test]
fn c13_to_c21_c52_f69_every_variable_is_there() {
    let fixed = Fixed { server_port: 8080, remote_port: 40_000, ..Fixed::default() };
    let own = b"SERVER_ADDR\x00127.0.0.1\0";
    let fixed = Fixed { flags: FLAG_VARIABLES, ..fixed };
    let settings = Settings { software: "gwanmun/1", ..Settings::default() };
    let all = variables(&head(fixed, &[("Host", "h:8080")], own), &settings);
    let expected = [
        ("GATEWAY_INTERFACE", "CGI/1.1"),
        ("SERVER_SOFTWARE", "gwanmun/1"),
        ("SERVER_PROTOCOL", "HTTP/1.1"),
        ("SERVER_NAME", "[::1]"),
        ("SERVER_PORT", "8080"),
        ("SERVER_ADDR", "127.0.0.1"),
        ("REQUEST_METHOD", "GET"),
        ("REQUEST_URI", "/a%20b/index.php/x?a=%20b"),
        ("REQUEST_SCHEME", "http"),
        ("QUERY_STRING", "a=%20b"),
        ("SCRIPT_NAME", "/a b/index.php"),
        ("SCRIPT_FILENAME", "/srv/a b/index.php"),
        ("PATH_INFO", "/x"),
        ("PATH_TRANSLATED", "/srv/x"),
        ("DOCUMENT_ROOT", "/srv"),
        ("DOCUMENT_URI", "/a b/index.php/x"),
        ("REDIRECT_STATUS", "200"),
        ("REMOTE_ADDR", "192.0.2.1"),
        ("REMOTE_HOST", "192.0.2.1"),
        ("REMOTE_PORT", "40000"),
        ("HTTP_HOST", "h:8080"),
    ];
    for (name, expected) in expected {
        assert_eq!(value(&all, name), Some(expected), "{name}");
    }
    assert_eq!(all.len(), expected.len());
}

#[test]
fn f70_https_is_on_or_not_there() {
    let all = variables(
        &head(Fixed { flags: FLAG_TLS | FLAG_HTTP10, ..Fixed::default() }, &[], b""),
        &Settings::default(),
    );
    assert_eq!(value(&all, "HTTPS"), Some("on"));
    assert_eq!(value(&all, "SERVER_PORT"), Some("443"));
    assert_eq!(value(&all, "SERVER_PROTOCOL"), Some("HTTP/1.0"));
    assert_eq!(value(&all, "REQUEST_SCHEME"), Some("https"));
    let all = variables(&head(Fixed::default(), &[], b""), &Settings::default());
    assert_eq!(value(&all, "HTTPS"), None);
    assert_eq!(value(&all, "SERVER_PORT"), Some("80"));
    assert_eq!(value(&all, "REMOTE_PORT"), None);
}

#[test]
fn c22_c23_f72_to_f74_headers_are_only_ever_headers() {
    let headers = [
        ("X-A", "1"),
        ("Cookie", "a=1"),
        ("x-a", "2"),
        ("cookie", "b=2"),
        ("Proxy", "http://evil"),
        ("Authorization", "Basic x"),
        ("Proxy-Authorization", "Basic x"),
        ("PHP-VALUE", "auto_prepend_file=/x"),
        ("Content-Type", "text/plain"),
        ("Content-Length", "7"),
        ("X_B", "1"),
    ];
    let head = head(Fixed::default(), &headers, b"");
    let all = variables(&head, &Settings::default());
    assert_eq!(value(&all, "HTTP_X_A"), Some("1, 2"));
    assert_eq!(value(&all, "HTTP_COOKIE"), Some("a=1; b=2"));
    assert_eq!(value(&all, "HTTP_PHP_VALUE"), Some("auto_prepend_file=/x"));
    assert_eq!(value(&all, "CONTENT_TYPE"), Some("text/plain"));
    for name in [
        "HTTP_PROXY",
        "HTTP_AUTHORIZATION",
        "HTTP_PROXY_AUTHORIZATION",
        "PHP_VALUE",
        "HTTP_CONTENT_TYPE",
        "HTTP_CONTENT_LENGTH",
        "CONTENT_LENGTH",
        "HTTP_X_B",
    ] {
        assert_eq!(value(&all, name), None, "{name}");
    }
    let settings = Settings { pass_authorization: true, ..Settings::default() };
    let all = variables(&head, &settings);
    assert_eq!(value(&all, "HTTP_AUTHORIZATION"), Some("Basic x"));
    assert_eq!(value(&all, "HTTP_PROXY_AUTHORIZATION"), None);
}

#[test]
fn c11_f20_the_length_is_that_of_the_body() {
    let mut head = head(Fixed::default(), &[("Content-Length", "7")], b"");
    set_body_length(&mut head, 0x1_0000_0002);
    assert_eq!(
        value(&variables(&head, &Settings::default()), "CONTENT_LENGTH"),
        Some("4294967298")
    );
}

#[test]
fn f89_what_the_configuration_says_wins() {
    let env = [("HTTP_HOST", "own"), ("APP_ENV", "prod"), ("SERVER_NAME", "a.example")];
    let env = env.map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()));
    let all = variables(
        &head(Fixed::default(), &[("Host", "h")], b""),
        &Settings { env: &env, ..Settings::default() },
    );
    assert_eq!(value(&all, "HTTP_HOST"), Some("own"));
    assert_eq!(value(&all, "APP_ENV"), Some("prod"));
    assert_eq!(value(&all, "SERVER_NAME"), Some("a.example"));
}

#[test]
fn c15_c16_without_path_info_and_query() {
    let payload = head(Fixed::default(), &[], b"");
    let script = Script { path_info: b"", ..SCRIPT };
    let variables = Variables::new(&HeadView::new(&payload), &script, &Settings::default());
    let has = |name: &[u8]| variables.iter().any(|(own, _)| own == name);
    assert!(!has(b"PATH_INFO") && !has(b"PATH_TRANSLATED"));
    assert!(has(b"QUERY_STRING"));
    assert!(variables.size() > 0);
}
