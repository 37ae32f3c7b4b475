//! Writing a request.

use crate::{BEGIN_REQUEST, PARAMS, REQUEST, STDIN, VERSION};

/// Bytes of a record's header.
pub const HEADER: usize = 8;
/// Bytes of body in a record: the most that need no padding.
pub const MAX_BODY: usize = 65_528;
/// Bytes that a record of parameters has at the most.
const MAX_PARAMS: usize = 65_535;
/// Bytes of all parameters together (F5).
const MAX_ALL_PARAMS: usize = 256 * 1024;

const RESPONDER: u8 = 1;

/// Appends the record that begins a request. The application closes the connection after it.
pub fn begin(out: &mut Vec<u8>) {
    header(out, BEGIN_REQUEST, 8);
    out.extend_from_slice(&[0, RESPONDER, 0, 0, 0, 0, 0, 0]);
}

/// Appends the parameters with the record that ends them. A pair never crosses a record's end: php-fpm reads each record by itself (F4). `false`: a
/// pair is too long for one, or all are too many.
#[must_use]
pub fn params<'a>(out: &mut Vec<u8>, pairs: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> bool {
    let start = out.len();
    let mut record = out.len();
    header(out, PARAMS, 0);
    for (name, value) in pairs {
        let size = length_size(name.len()) + length_size(value.len()) + name.len() + value.len();
        if size > MAX_PARAMS || out.len() - start + size > MAX_ALL_PARAMS {
            return false;
        }
        if out.len() - record - HEADER + size > MAX_PARAMS {
            set_length(out, record);
            record = out.len();
            header(out, PARAMS, 0);
        }
        length(out, name.len());
        length(out, value.len());
        out.extend_from_slice(name);
        out.extend_from_slice(value);
    }
    if out.len() > record + HEADER {
        set_length(out, record);
        header(out, PARAMS, 0);
    }
    true
}

/// The header of a record with so many bytes of the body, [`MAX_BODY`] at the most.
#[must_use]
pub fn stdin_header(bytes: usize) -> [u8; HEADER] {
    debug_assert!(bytes <= MAX_BODY);
    record_header(STDIN, bytes as u16)
}

/// Appends the record that ends the body, which there always is (F3).
pub fn end_of_body(out: &mut Vec<u8>) {
    header(out, STDIN, 0);
}

fn header(out: &mut Vec<u8>, kind: u8, length: u16) {
    out.extend_from_slice(&record_header(kind, length));
}

fn record_header(kind: u8, length: u16) -> [u8; HEADER] {
    let [a, b] = REQUEST.to_be_bytes();
    let [c, d] = length.to_be_bytes();
    [VERSION, kind, a, b, c, d, 0, 0]
}

/// Sets the length of the record that begins at `at` and ends where `out` does.
fn set_length(out: &mut [u8], at: usize) {
    let length = (out.len() - at - HEADER) as u16;
    out[at + 4..at + 6].copy_from_slice(&length.to_be_bytes());
}

fn length_size(length: usize) -> usize {
    if length < 128 { 1 } else { 4 }
}

fn length(out: &mut Vec<u8>, length: usize) {
    if length < 128 {
        out.push(length as u8);
    } else {
        out.extend_from_slice(&(length as u32 | 1 << 31).to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The contents of the records, with their kinds.
    fn records(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
        let mut all = Vec::new();
        while !bytes.is_empty() {
            assert_eq!((bytes[0], bytes[2], bytes[3]), (1, 0, 1));
            let length = usize::from(bytes[4]) << 8 | usize::from(bytes[5]);
            let end = HEADER + length + usize::from(bytes[6]);
            all.push((bytes[1], bytes[HEADER..HEADER + length].to_vec()));
            bytes = &bytes[end..];
        }
        all
    }

    fn read_pairs(mut bytes: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
        let take = |bytes: &mut &[u8]| {
            let first = usize::from(bytes[0]);
            if first < 128 {
                *bytes = &bytes[1..];
                return first;
            }
            let length = u32::from_be_bytes(bytes[..4].try_into().unwrap()) & !(1 << 31);
            *bytes = &bytes[4..];
            length as usize
        };
        let mut pairs = Vec::new();
        while !bytes.is_empty() {
            let (name, value) = (take(&mut bytes), take(&mut bytes));
            pairs.push((bytes[..name].to_vec(), bytes[name..name + value].to_vec()));
            bytes = &bytes[name + value..];
        }
        pairs
    }

    #[test]
    fn f3_a_request_without_a_body_has_all_its_records() {
        let mut out = Vec::new();
        begin(&mut out);
        assert!(params(&mut out, [(&b"A"[..], &b"b"[..])].into_iter()));
        end_of_body(&mut out);
        let expected = [
            (BEGIN_REQUEST, vec![0, 1, 0, 0, 0, 0, 0, 0]),
            (PARAMS, b"\x01\x01Ab".to_vec()),
            (PARAMS, vec![]),
            (STDIN, vec![]),
        ];
        assert_eq!(records(&out), expected);
        let mut none = Vec::new();
        assert!(params(&mut none, std::iter::empty()));
        assert_eq!(records(&none), [(PARAMS, vec![])]);
    }

    #[test]
    fn f4_f6_pairs_are_whole_in_their_records() {
        let values: Vec<Vec<u8>> = [0, 1, 127, 128, 300, 40_000, 30_000, 65_000, 70, 127, 128]
            .iter()
            .map(|length| vec![b'v'; *length])
            .collect();
        let pairs: Vec<_> = values.iter().map(|value| (&b"NAME"[..], &value[..])).collect();
        let mut out = Vec::new();
        assert!(params(&mut out, pairs.iter().copied()));
        let records = records(&out);
        assert!(records.len() > 3);
        assert_eq!(records.last(), Some(&(PARAMS, vec![])));
        assert_eq!(records.iter().filter(|(_, content)| content.is_empty()).count(), 1);
        let read: Vec<_> = records.iter().flat_map(|(_, content)| read_pairs(content)).collect();
        let expected: Vec<_> =
            pairs.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
        assert_eq!(read, expected);
    }

    #[test]
    fn f5_what_does_not_fit_is_not_sent() {
        let long = vec![b'v'; 65_530];
        assert!(!params(&mut Vec::new(), [(&b"NAME"[..], &long[..])].into_iter()));
        let fits = &long[..65_526];
        assert!(params(&mut Vec::new(), [(&b"NAME"[..], fits)].into_iter()));
        let many = std::iter::repeat_n((&b"NAME"[..], &long[..60_000]), 5);
        assert!(!params(&mut Vec::new(), many));
    }
}
