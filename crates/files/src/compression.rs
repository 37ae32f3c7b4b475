//! Content codings: what a client takes, and making it.
//!
//! gzip and brotli are pure Rust (zlib-rs, brotli); zstd has no other encoder of that quality than Zstandard's own.

use std::io::{self, Write};
use zstd::stream::raw::CParameter;

/// A content coding (RFC 9110 §8.4.1), in the order in which the server prefers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Coding {
    Brotli,
    Zstd,
    Gzip,
}

impl Coding {
    pub const ALL: [Self; 3] = [Self::Brotli, Self::Zstd, Self::Gzip];

    /// Its name in `Content-Encoding`.
    #[inline]
    pub fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }

    /// What the name of a file ends in that holds another one in this coding.
    #[inline]
    pub fn extension(self) -> &'static str {
        match self {
            Self::Brotli => ".br",
            Self::Zstd => ".zst",
            Self::Gzip => ".gz",
        }
    }
}

/// How much a client likes each coding, in thousandths; 0: not at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accepted([u16; 3]);

impl Accepted {
    /// Reads an `Accept-Encoding` (RFC 9110 §12.5.3). What is not well-formed counts as not said.
    #[inline]
    pub fn parse(value: &[u8]) -> Self {
        let mut accepted = [None; 3];
        let mut others = None;
        let mut identity = 0;
        for element in value.split(|&byte| byte == b',') {
            let mut parts = element.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
            let name = parts.next().unwrap_or_default();
            let weight = match parts.next() {
                None => Some(1000),
                Some(weight) => parse_weight(weight),
            };
            let Some(weight) = weight.filter(|_| parts.next().is_none()) else { continue };
            let coding = match name.to_ascii_lowercase().as_slice() {
                b"br" => Coding::Brotli,
                b"zstd" => Coding::Zstd,
                b"gzip" | b"x-gzip" => Coding::Gzip,
                b"*" => {
                    others = Some(weight);
                    continue;
                }
                b"identity" => {
                    identity = weight;
                    continue;
                }
                _ => continue,
            };
            accepted[coding as usize] = Some(weight);
        }
        // Who says that it likes the file as it is better gets that.
        Self(accepted.map(|weight| match weight.or(others).unwrap_or(0) {
            weight if weight < identity => 0,
            weight => weight,
        }))
    }

    /// The codings that the client takes, the best first.
    #[inline]
    pub fn best(self) -> impl Iterator<Item = Coding> {
        self.in_order(Coding::ALL)
    }

    /// The best one for what is compressed while a client waits. Brotli comes last: what of it has no more memory than the others compresses
    /// worse than they do.
    #[inline]
    pub fn fastest(self) -> Option<Coding> {
        self.in_order([Coding::Zstd, Coding::Gzip, Coding::Brotli]).next()
    }

    fn in_order(self, mut codings: [Coding; 3]) -> impl Iterator<Item = Coding> {
        // Stable: of equal weight, the server's order.
        codings.sort_by_key(|coding| std::cmp::Reverse(self.0[*coding as usize]));
        codings.into_iter().filter(move |coding| self.0[*coding as usize] > 0)
    }
}

/// `q=0.5`, in thousandths (RFC 9110 §12.4.2).
fn parse_weight(text: &[u8]) -> Option<u16> {
    let number = text.strip_prefix(b"q=").or_else(|| text.strip_prefix(b"Q="))?;
    let (whole, rest) = number.split_first()?;
    let digits = match rest {
        [] => rest,
        [b'.', digits @ ..] if digits.len() <= 3 => digits,
        _ => return None,
    };
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let thousandths =
        [100, 10, 1].iter().zip(digits).map(|(&unit, &digit)| unit * u16::from(digit - b'0')).sum();
    match whole {
        b'0' => Some(thousandths),
        b'1' if thousandths == 0 => Some(1000),
        _ => None,
    }
}

/// Below this, compressing saves no packet.
pub const LEAST: u64 = 1024;

/// Whether content of this type becomes smaller. Parameters do not matter.
#[inline]
pub fn is_compressible(content_type: &[u8]) -> bool {
    let end = content_type.iter().position(|&byte| byte == b';').unwrap_or(content_type.len());
    let media_type = content_type[..end].trim_ascii().to_ascii_lowercase();
    media_type.starts_with(b"text/")
        || media_type.ends_with(b"+json")
        || media_type.ends_with(b"+xml")
        || media_type.ends_with(b"+text")
        || matches!(
            media_type.as_slice(),
            b"application/json"
                | b"application/javascript"
                | b"application/xml"
                | b"application/wasm"
                | b"application/x-ndjson"
                | b"application/x-javascript"
                | b"application/vnd.ms-fontobject"
                | b"font/ttf"
                | b"font/otf"
                | b"image/bmp"
                | b"image/x-icon"
        )
}

/// Compresses as well as can be, however long that takes. BLOCKING.
pub(crate) fn compress_well(coding: Coding, content: &[u8]) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    match coding {
        Coding::Brotli => {
            // The best quality takes a second for a megabyte.
            let quality = if content.len() <= 1024 * 1024 { 11 } else { 9 };
            let mut writer = brotli::CompressorWriter::new(&mut out, 64 * 1024, quality, 22);
            writer.write_all(content)?;
            writer.flush()?;
            drop(writer);
        }
        Coding::Zstd => out = zstd::bulk::compress(content, 19)?,
        Coding::Gzip => {
            let mut writer = flate2::write::GzEncoder::new(out, flate2::Compression::best());
            writer.write_all(content)?;
            out = writer.finish()?;
        }
    }
    Ok(out)
}

/// What an [`Encoder`] allocates at the most, between two pieces: each of the three has between 400 and 416 KiB.
pub const MOST_MEMORY: usize = 416 * 1024;

/// What a piece becomes at the most: its coding's frame comes to it if it cannot be made smaller.
pub fn most_output(length: usize) -> usize {
    length + length / 8 + 1024
}

/// Compresses a body while it comes. It has [`MOST_MEMORY`], whatever the body.
pub enum Encoder {
    Brotli(Box<brotli::CompressorWriter<Vec<u8>>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
    Gzip(flate2::write::GzEncoder<Vec<u8>>),
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder").finish_non_exhaustive()
    }
}

impl Encoder {
    pub fn new(coding: Coding) -> io::Result<Self> {
        Ok(match coding {
            // The next quality has twice the memory.
            Coding::Brotli => {
                Self::Brotli(Box::new(brotli::CompressorWriter::new(Vec::new(), 8 * 1024, 1, 17)))
            }
            Coding::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3)?;
                // Also the size of its blocks, which have most of the memory: with 17 it is 1.2 MB. Tables for that window, not for the level's.
                encoder.window_log(15)?;
                encoder.set_parameter(CParameter::HashLog(14))?;
                encoder.set_parameter(CParameter::ChainLog(14))?;
                Self::Zstd(encoder)
            }
            Coding::Gzip => {
                Self::Gzip(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(5)))
            }
        })
    }

    /// Takes a piece and gives what the client needs to have all of it.
    pub fn push(&mut self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        self.output().reserve_exact(most_output(bytes.len()));
        let writer: &mut dyn Write = match self {
            Self::Brotli(writer) => writer,
            Self::Zstd(writer) => writer,
            Self::Gzip(writer) => writer,
        };
        writer.write_all(bytes)?;
        writer.flush()?;
        Ok(std::mem::take(self.output()))
    }

    fn output(&mut self) -> &mut Vec<u8> {
        match self {
            Self::Brotli(writer) => writer.get_mut(),
            Self::Zstd(writer) => writer.get_mut(),
            Self::Gzip(writer) => writer.get_mut(),
        }
    }

    /// The last piece.
    pub fn finish(self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Self::Brotli(mut writer) => {
                writer.write_all(bytes)?;
                Ok(writer.into_inner())
            }
            Self::Zstd(mut writer) => {
                writer.write_all(bytes)?;
                writer.finish()
            }
            Self::Gzip(mut writer) => {
                writer.write_all(bytes)?;
                writer.finish()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_coding_comes_first() {
        use Coding::{Brotli, Gzip, Zstd};
        for (value, expected) in [
            ("gzip, deflate, br, zstd", vec![Brotli, Zstd, Gzip]),
            ("gzip", vec![Gzip]),
            ("x-gzip", vec![Gzip]),
            ("GZIP;Q=0.5, br;q=0.4", vec![Gzip, Brotli]),
            ("br;q=0, gzip", vec![Gzip]),
            ("*", vec![Brotli, Zstd, Gzip]),
            ("*;q=0.1, gzip;q=1.0", vec![Gzip, Brotli, Zstd]),
            ("br;q=0, *", vec![Zstd, Gzip]),
            ("identity", vec![]),
            ("identity;q=0", vec![]),
            ("identity;q=0, gzip;q=0.1", vec![Gzip]),
            ("identity, gzip;q=0.5", vec![]),
            ("gzip, identity", vec![Gzip]),
            ("gzip;q=0.4, identity;q=0.5, br;q=0.6", vec![Brotli]),
            ("identity;q=0.5, *;q=0.1", vec![]),
            ("", vec![]),
            ("gzip;q=0.001", vec![Gzip]),
            // Not well-formed: not said.
            ("gzip;q=1.1", vec![]),
            ("gzip;q=0.0001", vec![]),
            ("gzip;q=.5", vec![]),
            ("gzip;level=9", vec![]),
            ("gzip;q=0.5;x=1", vec![]),
            ("gzip;q=\u{ff}", vec![]),
            ("brotli", vec![]),
        ] {
            assert_eq!(
                Accepted::parse(value.as_bytes()).best().collect::<Vec<_>>(),
                expected,
                "{value}"
            );
        }
    }

    #[test]
    fn no_value_is_too_strange() {
        let mut state = 1u64;
        for _ in 0..20_000 {
            let value: Vec<u8> = (0..24)
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    b"gzipbr*;,q=01. \xff"[(state >> 33) as usize % 16]
                })
                .collect();
            let _ = Accepted::parse(&value).best().count();
        }
    }

    #[test]
    fn what_is_compressed_well_can_be_read_again() {
        let content = b"gateway ".repeat(4096);
        for coding in Coding::ALL {
            let packed = compress_well(coding, &content).unwrap();
            assert!(packed.len() < content.len() / 10, "{coding:?}: {}", packed.len());
        }
    }

    #[test]
    fn what_is_compressed_while_it_comes_is_all_there_after_each_piece() {
        for coding in Coding::ALL {
            let mut encoder = Encoder::new(coding).unwrap();
            let first = encoder.push(b"data: 1\n\n").unwrap();
            assert!(!first.is_empty(), "{coding:?}");
            let more = encoder.push(&b"gateway ".repeat(5000)).unwrap();
            assert!(!more.is_empty() && more.len() < 5000, "{coding:?}");
            assert!(!encoder.finish(b"end").unwrap().is_empty());
        }
    }

    /// In a process of its own: the allocator counts for all threads.
    #[cfg(target_env = "gnu")]
    #[test]
    fn a_compressor_has_no_more_memory_than_is_counted_for_it() {
        const ALONE: &str = "GWANMUN_TEST_ALONE";
        let name = "compression::tests::a_compressor_has_no_more_memory_than_is_counted_for_it";
        if std::env::var_os(ALONE).is_none() {
            let mut own = std::process::Command::new(std::env::current_exe().unwrap());
            let output =
                own.args([name, "--exact", "--nocapture"]).env(ALONE, "1").output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
            return;
        }
        let used = || {
            // SAFETY: it takes no arguments and writes to nothing of ours.
            let counts = unsafe { libc::mallinfo2() };
            counts.uordblks + counts.hblkhd
        };
        let mut state = 1u64;
        let noise: Vec<u8> = (0..1_000_000)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 33) as u8
            })
            .collect();
        let letters: Vec<u8> = noise.iter().map(|byte| b'a' + byte % 16).collect();
        for coding in Coding::ALL {
            for content in [&noise, &letters] {
                for size in [65_536, 16_384, 100] {
                    let before = used();
                    let mut encoder = Encoder::new(coding).unwrap();
                    for piece in content.chunks(size) {
                        let made = encoder.push(piece).unwrap();
                        assert!(made.capacity() <= most_output(size), "{coding:?}: {size}");
                        drop(made);
                        let has = used() - before;
                        assert!(has <= MOST_MEMORY, "{coding:?} has {has}");
                    }
                }
            }
        }
    }

    #[test]
    fn text_is_compressible_and_images_are_not() {
        for yes in
            ["text/html; charset=utf-8", "application/json", "image/svg+xml", "APPLICATION/LD+JSON"]
        {
            assert!(is_compressible(yes.as_bytes()), "{yes}");
        }
        for no in ["image/png", "application/zip", "font/woff2", "application/octet-stream", ""] {
            assert!(!is_compressible(no.as_bytes()), "{no}");
        }
    }
}
