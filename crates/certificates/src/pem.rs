//! PEM (RFC 7468): sections of Base64 between labelled lines, with the lines' numbers for errors.

use rustls_pki_types::pem::{PemObject, SectionKind};

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";

/// One section of a text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Section<'a> {
    pub(crate) label: &'a str,
    /// The number of the line that begins it, from 1.
    pub(crate) line: usize,
    /// From its first line to its last one.
    text: &'a [u8],
}

/// The sections of a text, in order; what is between them is comment. A section without an end is an error: most likely the file is still being written.
pub(crate) fn sections(text: &[u8]) -> impl Iterator<Item = Result<Section<'_>, String>> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut at = 0;
    let mut number = 0;
    std::iter::from_fn(move || {
        let mut open: Option<(&str, usize, usize)> = None;
        while at < text.len() {
            let start = at;
            let rest = &text[at..];
            at += rest.iter().position(|&byte| byte == b'\n').map_or(rest.len(), |end| end + 1);
            number += 1;
            let line = std::str::from_utf8(&text[start..at]).unwrap_or_default().trim();
            if let Some(label) = label_of(line, BEGIN) {
                if let Some((label, line, _)) = open {
                    return Some(Err(unfinished(label, line)));
                }
                open = Some((label, number, start));
            } else if let Some(label) = label_of(line, END)
                && let Some((begun, line, start)) = open
            {
                if begun != label {
                    return Some(Err(unfinished(begun, line)));
                }
                return Some(Ok(Section { label, line, text: &text[start..at] }));
            }
        }
        open.map(|(label, line, _)| Err(unfinished(label, line)))
    })
}

/// A section as text.
pub(crate) fn encode(label: &str, der: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = format!("{BEGIN}{label}{DASHES}\n");
    // 48 bytes make a line of 64 digits.
    for line in der.chunks(48) {
        for three in line.chunks(3) {
            let byte = |at: usize| u32::from(three.get(at).copied().unwrap_or_default());
            let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
            for digit in 0..4 {
                let index = (bits >> (18 - 6 * digit)) as usize % 64;
                out.push(if digit > three.len() { '=' } else { DIGITS[index].into() });
            }
        }
        out.push('\n');
    }
    out + END + label + DASHES + "\n"
}

fn label_of<'a>(line: &'a str, kind: &str) -> Option<&'a str> {
    line.strip_prefix(kind)?.strip_suffix(DASHES)
}

fn unfinished(label: &str, line: usize) -> String {
    format!(
        "The section {} at line {line} has no end: the file is damaged, or not completely written.",
        label.escape_debug()
    )
}

impl Section<'_> {
    pub(crate) fn der(&self) -> Result<Vec<u8>, String> {
        <(SectionKind, Vec<u8>)>::from_pem_slice(self.text)
            .map(|(_, der)| der)
            .map_err(|_| format!("What is between the dashes at line {} is not Base64.", self.line))
    }

    /// Whether its header lines say so, as in keys of the older form (RFC 1421).
    pub(crate) fn is_encrypted(&self) -> bool {
        self.text.windows(9).any(|bytes| bytes == b"ENCRYPTED")
            && self.text.windows(10).any(|bytes| bytes == b"Proc-Type:")
    }
}
