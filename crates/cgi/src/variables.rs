//! A request as meta-variables (RFC 3875 §4.1), for programs that are started and for those that speak FastCGI.

use gwanmun_gateway::request::{FLAG_BODY, FLAG_HTTP10, FLAG_TLS, HeadView, Piece};

/// What runs, as far as it is a file.
#[derive(Clone, Copy, Debug, Default)]
pub struct Script<'a> {
    /// The decoded path that leads to it (C19).
    pub name: &'a [u8],
    /// What of the decoded path is behind it (C14).
    pub path_info: &'a [u8],
    /// Its file.
    pub file: Option<&'a [u8]>,
    /// The folder that the site's paths begin in.
    pub root: Option<&'a [u8]>,
}

/// What the server and its configuration say of every request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings<'a> {
    /// SERVER_SOFTWARE.
    pub software: &'a str,
    /// Names and values that win over all others (F89).
    pub env: &'a [(Vec<u8>, Vec<u8>)],
    /// A client's `Authorization` is passed on (C22, F72).
    pub pass_authorization: bool,
}

/// Names and values: name NUL value NUL …
#[derive(Debug, Default)]
pub struct Variables(Vec<u8>);

impl Variables {
    /// Those of a request. None of them can be made by a header but as `HTTP_…`, whatever its name (C23, F74).
    #[must_use]
    pub fn new(head: &HeadView<'_>, script: &Script<'_>, settings: &Settings<'_>) -> Self {
        let mut all = Writer { out: Vec::with_capacity(2048), env: settings.env };
        let flags = head.flags();
        let tls = flags & FLAG_TLS != 0;
        let (port, remote_port) = head.ports();
        let number = |number: u64| number.to_string();
        all.pair(b"GATEWAY_INTERFACE", b"CGI/1.1");
        all.pair(b"SERVER_SOFTWARE", settings.software.as_bytes());
        let protocol: &[u8] = if flags & FLAG_HTTP10 != 0 { b"HTTP/1.0" } else { b"HTTP/1.1" };
        all.pair(b"SERVER_PROTOCOL", protocol);
        all.pair(b"SERVER_NAME", head.piece(Piece::ServerName));
        let by_default = if tls { 443 } else { 80 };
        let port = if port == 0 { by_default } else { port };
        all.pair(b"SERVER_PORT", number(port.into()).as_bytes());
        all.pair(b"REQUEST_METHOD", head.piece(Piece::Method));
        all.pair(b"REQUEST_URI", head.piece(Piece::Target));
        let scheme: &[u8] = if tls { b"https" } else { b"http" };
        all.pair(b"REQUEST_SCHEME", scheme);
        // F70: not there at all otherwise.
        if tls {
            all.pair(b"HTTPS", b"on");
        }
        all.pair(b"QUERY_STRING", head.piece(Piece::Query));
        all.pair(b"SCRIPT_NAME", script.name);
        all.parts(b"DOCUMENT_URI", [script.name, script.path_info]);
        if !script.path_info.is_empty() {
            all.pair(b"PATH_INFO", script.path_info);
            if let Some(root) = script.root {
                all.parts(b"PATH_TRANSLATED", [root, script.path_info]);
            }
        }
        if let Some(root) = script.root {
            all.pair(b"DOCUMENT_ROOT", root);
        }
        if let Some(file) = script.file {
            all.pair(b"SCRIPT_FILENAME", file);
        }
        // php-cgi does not run without it (C52).
        all.pair(b"REDIRECT_STATUS", b"200");
        all.pair(b"REMOTE_ADDR", head.piece(Piece::RemoteAddr));
        all.pair(b"REMOTE_HOST", head.piece(Piece::RemoteAddr));
        if remote_port != 0 {
            all.pair(b"REMOTE_PORT", number(remote_port.into()).as_bytes());
        }
        let mut own = head.variables().split(|&byte| byte == 0);
        while let (Some(name), Some(value)) = (own.next(), own.next()) {
            all.pair(name, value);
        }
        if flags & FLAG_BODY != 0 {
            all.pair(b"CONTENT_LENGTH", number(head.body_length()).as_bytes());
        }
        headers(&mut all, head, settings);
        for (name, value) in settings.env {
            all.raw(name, [value, b""]);
        }
        Self(all.out)
    }

    /// Each name with its value.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut pieces = self.0.split(|&byte| byte == 0);
        std::iter::from_fn(move || Some((pieces.next()?, pieces.next()?)))
    }

    /// Bytes of all names and values, each with one more.
    #[must_use]
    pub fn size(&self) -> usize {
        self.0.len()
    }
}

/// C22: each header once, the values of repeated ones joined.
fn headers(all: &mut Writer<'_>, head: &HeadView<'_>, settings: &Settings<'_>) {
    for (index, (name, value)) in head.headers().enumerate() {
        let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
        if is(b"content-type") {
            if !all.has(b"CONTENT_TYPE") {
                all.pair(b"CONTENT_TYPE", value);
            }
            continue;
        }
        // CONTENT_LENGTH is the body's. `Proxy` and names that could be taken for others do not come this far; what they would do is too bad to
        // trust in that (C23, C24).
        let is_withheld = is(b"content-length")
            || is(b"transfer-encoding")
            || is(b"proxy")
            || is(b"proxy-authorization")
            || is(b"authorization") && !settings.pass_authorization
            || !name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-');
        if is_withheld || head.headers().take(index).any(|(other, _)| is(other)) {
            continue;
        }
        let mut key = b"HTTP_".to_vec();
        key.extend(name.iter().map(|byte| match byte {
            b'-' => b'_',
            byte => byte.to_ascii_uppercase(),
        }));
        let separator: &[u8] = if is(b"cookie") { b"; " } else { b", " };
        let mut joined = value.to_vec();
        for (_, value) in head.headers().skip(index + 1).filter(|(other, _)| is(other)) {
            joined.extend_from_slice(separator);
            joined.extend_from_slice(value);
        }
        all.pair(&key, &joined);
    }
}

struct Writer<'a> {
    out: Vec<u8>,
    env: &'a [(Vec<u8>, Vec<u8>)],
}

impl Writer<'_> {
    fn pair(&mut self, name: &[u8], value: &[u8]) {
        self.parts(name, [value, b""]);
    }

    fn parts(&mut self, name: &[u8], value: [&[u8]; 2]) {
        // What the configuration says comes in its place.
        if !self.env.iter().any(|(own, _)| own == name) {
            self.raw(name, value);
        }
    }

    /// NUL would end a value in another's name; no request that is accepted has one.
    fn raw(&mut self, name: &[u8], value: [&[u8]; 2]) {
        self.out.extend(name.iter().filter(|byte| **byte != 0));
        self.out.push(0);
        self.out.extend(value.into_iter().flatten().filter(|byte| **byte != 0));
        self.out.push(0);
    }

    fn has(&self, name: &[u8]) -> bool {
        self.out.split(|&byte| byte == 0).step_by(2).any(|other| other == name)
    }
}
