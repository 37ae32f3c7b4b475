//! The one form in which names are compared, whoever wrote them.

/// A DNS name in its normal form: ASCII lower case, no dot at its end. `None`: it is no name that a client could ask for. Its first label may be `*`.
#[must_use]
pub fn normal_name(name: &str) -> Option<String> {
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.is_empty() || name.len() > 253 {
        return None;
    }
    let labels = name.strip_prefix("*.").unwrap_or(name);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    labels.split('.').all(is_label).then(|| name.to_ascii_lowercase())
}
