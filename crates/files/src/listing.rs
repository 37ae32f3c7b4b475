//! What is in a folder, as a page and as JSON.

use super::root::is_servable;
use std::fmt::Write;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::time::{Duration, UNIX_EPOCH};

/// Of a folder with more entries, so many are shown.
const MOST: usize = 5000;
/// And of those whose names are long, so many as fit a page that a client may have in the server's memory.
const MOST_BYTES: usize = 512 * 1024;

/// A folder in both forms.
#[derive(Debug)]
pub struct Listing {
    pub html: String,
    pub json: String,
}

struct Item {
    name: String,
    is_folder: bool,
    size: u64,
    /// Seconds since the epoch.
    modified: u64,
}

/// Lists an open folder: names that may be served, folders first. BLOCKING.
pub(crate) fn list(folder: &File, path: &[u8]) -> io::Result<Listing> {
    // The folder itself, whatever its name leads to by now.
    let mut items = Vec::new();
    let mut is_cut = false;
    for entry in std::fs::read_dir(format!("/proc/self/fd/{}", folder.as_raw_fd()))? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if !is_servable(format!("/{name}").as_bytes()) {
            continue;
        }
        let Ok(metadata) = entry.metadata() else { continue };
        // What is behind a link may not be served; what is no file is not.
        if !(metadata.is_file() || metadata.is_dir()) {
            continue;
        }
        if items.len() == MOST {
            is_cut = true;
            break;
        }
        let modified =
            metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        items.push(Item {
            name,
            is_folder: metadata.is_dir(),
            size: metadata.len(),
            modified: modified.unwrap_or_default().as_secs(),
        });
    }
    items.sort_by(|one, other| (!one.is_folder, &one.name).cmp(&(!other.is_folder, &other.name)));
    let path = String::from_utf8_lossy(path);
    loop {
        let listing = Listing { html: page(&path, &items, is_cut), json: json(&items) };
        if listing.html.len().max(listing.json.len()) <= MOST_BYTES {
            return Ok(listing);
        }
        items.truncate(items.len() / 2);
        is_cut = true;
    }
}

fn page(path: &str, items: &[Item], is_cut: bool) -> String {
    let title = escape(path);
    let mut rows = String::new();
    if path != "/" {
        rows.push_str("<tr><td><a href=\"../\">..</a><td><td>\n");
    }
    for item in items {
        let slash = if item.is_folder { "/" } else { "" };
        let size = if item.is_folder { String::new() } else { item.size.to_string() };
        let when = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(item.modified));
        // `./`: a name with a colon is no scheme.
        let _ = writeln!(
            rows,
            "<tr><td><a href=\"./{}{slash}\">{}{slash}</a><td>{size}<td>{when}",
            encode(&item.name),
            escape(&item.name)
        );
    }
    let note =
        if is_cut { format!("<p>Only {MOST} entries are shown.</p>\n") } else { String::new() };
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n\
         <style>body{{font-family:system-ui,sans-serif}}td,th{{padding:.1rem 1rem .1rem 0;text-align:start}}td+td{{font-variant-numeric:tabular-nums}}</style>\n\
         <h1>{title}</h1>\n<table>\n<tr><th>Name<th>Bytes<th>Modified\n{rows}</table>\n{note}</html>\n"
    )
}

fn json(items: &[Item]) -> String {
    let items: Vec<_> = items
        .iter()
        .map(|item| {
            serde_json::json!({
                "name": item.name,
                "type": if item.is_folder { "folder" } else { "file" },
                "size": (!item.is_folder).then_some(item.size),
                "modified": item.modified,
            })
        })
        .collect();
    serde_json::Value::from(items).to_string()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A name as a segment of a URL (RFC 3986 section 3.3).
fn encode(name: &str) -> String {
    let mut out = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}
