//! What pages of other origins may do with a mount (Fetch §3.2, A107–A113).

use super::rules::{HeaderRules, check, line};
use crate::config;
use crate::error::{Error, ErrorKind};

/// What a mount says of other origins.
#[derive(Debug)]
pub(crate) struct Cors {
    origins: Origins,
    /// What every granted response says beside the origin.
    granted: Vec<u8>,
    /// What the answer to a preflight says beside that.
    preflight: Vec<u8>,
}

#[derive(Debug)]
enum Origins {
    /// All, without credentials.
    All,
    Some(Vec<Origin>),
}

#[derive(Debug)]
enum Origin {
    Exact(Box<[u8]>),
    /// `https://`, and `.a.example` with its port.
    Subdomains(Box<[u8]>, Box<[u8]>),
}

/// Fields that are this mount's to say alone (A113).
const OWN: &[&str] = &[
    "Access-Control-Allow-Origin",
    "Access-Control-Allow-Credentials",
    "Access-Control-Allow-Methods",
    "Access-Control-Allow-Headers",
    "Access-Control-Expose-Headers",
    "Access-Control-Max-Age",
];

/// No origin is longer.
const LONGEST: usize = 512;

impl Cors {
    /// Also has `rules` see to it that a mount's responses say nothing else of it, and that caches know what they depend on (A111).
    ///
    /// # Errors
    /// A name or an origin that is none.
    pub(crate) fn new(config: &config::Cors, rules: &mut HeaderRules) -> Result<Self, Error> {
        for text in [&config.methods, &config.headers, &config.expose].into_iter().flatten() {
            if text != "*" {
                check("Vary", text)?;
            }
        }
        let all = config.origins.iter().any(|origin| origin == "*");
        if all && config.credentials {
            let message = "cors: credentials are not for every origin.";
            return Err(Error::new(ErrorKind::Config, message.to_owned()));
        }
        rules.take_over(OWN);
        let origins = if all {
            Origins::All
        } else {
            rules.add(b"Vary: Origin\r\n");
            Origins::Some(config.origins.iter().map(|origin| Origin::new(origin)).collect())
        };
        let mut granted = Vec::new();
        if config.credentials {
            granted.extend_from_slice(b"Access-Control-Allow-Credentials: true\r\n");
        }
        if !config.expose.is_empty() {
            let names = config.expose.join(", ");
            granted.extend_from_slice(&line("Access-Control-Expose-Headers", &names));
        }
        let mut preflight = line("Access-Control-Allow-Methods", &config.methods.join(", "));
        if !config.headers.is_empty() {
            let names = config.headers.join(", ");
            preflight.extend_from_slice(&line("Access-Control-Allow-Headers", &names));
        }
        preflight.extend_from_slice(&line("Access-Control-Max-Age", &config.max_age.to_string()));
        preflight.extend_from_slice(
            b"Vary: Access-Control-Request-Method, Access-Control-Request-Headers\r\n",
        );
        Ok(Self { origins, granted, preflight })
    }

    /// What a response says. Nothing, if the origin is not one that may read it: the browser sees to the rest (A110). `is_preflight`: it is the answer to
    /// the question whether another request would be granted.
    pub(crate) fn lines(&self, origin: Option<&[u8]>, is_preflight: bool) -> Vec<u8> {
        let mut lines = Vec::new();
        let granted: &[u8] = match (&self.origins, origin) {
            (Origins::All, _) => b"*",
            (Origins::Some(list), Some(origin))
                if origin.len() <= LONGEST && list.iter().any(|own| own.is(origin)) =>
            {
                origin
            }
            (Origins::Some(_), _) => return lines,
        };
        lines.extend_from_slice(b"Access-Control-Allow-Origin: ");
        lines.extend_from_slice(granted);
        lines.extend_from_slice(b"\r\n");
        lines.extend_from_slice(&self.granted);
        if is_preflight {
            lines.extend_from_slice(&self.preflight);
        }
        lines
    }
}

impl Origin {
    fn new(text: &str) -> Self {
        match text.split_once("*.") {
            Some((scheme, host)) => {
                Self::Subdomains(scheme.as_bytes().into(), format!(".{host}").into_bytes().into())
            }
            None => Self::Exact(text.as_bytes().into()),
        }
    }

    /// A108: whole, or on the boundary of a label.
    fn is(&self, origin: &[u8]) -> bool {
        match self {
            Self::Exact(own) => **own == *origin,
            Self::Subdomains(scheme, host) => {
                let label = origin
                    .strip_prefix(scheme.as_ref())
                    .and_then(|rest| rest.strip_suffix(host.as_ref()));
                label.is_some_and(|label| {
                    !label.is_empty()
                        && label
                            .iter()
                            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
                        && !label.starts_with(b".")
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cors(origins: &[&str], credentials: bool) -> Cors {
        let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        let config = config::Cors {
            origins: owned(origins),
            credentials,
            methods: owned(&["GET", "PUT"]),
            headers: owned(&["Authorization"]),
            expose: owned(&["X-Total"]),
            max_age: 60,
        };
        Cors::new(&config, &mut HeaderRules::default()).unwrap()
    }

    fn grants(own: &str, origin: &str) -> bool {
        !cors(&[own], false).lines(Some(origin.as_bytes()), false).is_empty()
    }

    #[test]
    fn a108_an_origin_is_compared_whole() {
        assert!(grants("https://a.example", "https://a.example"));
        for other in [
            "https://a.example.evil",
            "https://evila.example",
            "http://a.example",
            "https://a.example:8443",
            "https://A.example",
            "null",
            "",
        ] {
            assert!(!grants("https://a.example", other), "{other}");
        }
        assert!(grants("null", "null") && !grants("null", "https://a.example"));
    }

    #[test]
    fn a108_subdomains_begin_at_a_label() {
        for origin in ["https://b.a.example", "https://c.b.a.example"] {
            assert!(grants("https://*.a.example", origin), "{origin}");
        }
        for other in [
            "https://a.example",
            "https://.a.example",
            "https://evila.example",
            "https://evil.example/.a.example",
            "https://evil.example:1@x.a.example",
            "https://evil.example#.a.example",
            "http://b.a.example",
            "https://b.a.example:8443",
        ] {
            assert!(!grants("https://*.a.example", other), "{other}");
        }
        assert!(grants("https://*.a.example:8443", "https://b.a.example:8443"));
    }

    #[test]
    fn a112_a_preflight_is_told_more() {
        let text = |lines: Vec<u8>| String::from_utf8(lines).unwrap();
        let cors = cors(&["https://a.example"], true);
        let simple = text(cors.lines(Some(b"https://a.example"), false));
        assert_eq!(
            simple,
            "Access-Control-Allow-Origin: https://a.example\r\nAccess-Control-Allow-Credentials: true\r\nAccess-Control-Expose-Headers: X-Total\r\n"
        );
        let preflight = text(cors.lines(Some(b"https://a.example"), true));
        assert!(preflight.starts_with(&simple), "{preflight}");
        assert!(preflight.contains("Access-Control-Allow-Methods: GET, PUT\r\nAccess-Control-Allow-Headers: Authorization\r\nAccess-Control-Max-Age: 60\r\n"));
        assert_eq!(text(cors.lines(None, true)), "");
    }

    #[test]
    fn a109_every_origin_gets_no_credentials() {
        let config = config::Cors {
            origins: vec!["*".to_owned()],
            credentials: true,
            methods: Vec::new(),
            headers: Vec::new(),
            expose: Vec::new(),
            max_age: 0,
        };
        assert!(Cors::new(&config, &mut HeaderRules::default()).is_err());
        assert_eq!(
            cors(&["*"], false).lines(None, false).split(|b| *b == b'\r').next(),
            Some(&b"Access-Control-Allow-Origin: *"[..])
        );
    }
}
