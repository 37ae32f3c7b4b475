//! Names of subjects and issuers as text, in the form that OpenSSL calls RFC 2253, and mod_ssl and nginx with it.

use x509_parser::asn1_rs::{Any, ToDer};
use x509_parser::x509::X509Name;

/// The last part first: `CN=alice,O=Example,C=US`. It is printable ASCII, whatever the certificate holds.
pub(crate) fn rfc2253(name: &X509Name<'_>) -> String {
    let mut parts: Vec<(usize, String)> = Vec::new();
    for (index, rdn) in name.iter_rdn().enumerate() {
        for attribute in rdn.iter() {
            let oid = attribute.attr_type().to_id_string();
            let value = attribute.attr_value();
            let known = short_name(&oid);
            let text = known.and_then(|_| text_of(value));
            let value = text.map_or_else(|| dump(value), |text| escape(&text));
            parts.push((index, format!("{}={value}", known.unwrap_or(&oid))));
        }
    }
    let mut out = String::new();
    let mut last = None;
    for (index, part) in parts.into_iter().rev() {
        match last {
            None => {}
            // Parts of one step.
            Some(before) if before == index => out.push('+'),
            Some(_) => out.push(','),
        }
        last = Some(index);
        out.push_str(&part);
    }
    out
}

/// OpenSSL's short names.
fn short_name(oid: &str) -> Option<&'static str> {
    Some(match oid {
        "2.5.4.3" => "CN",
        "2.5.4.4" => "SN",
        "2.5.4.5" => "serialNumber",
        "2.5.4.6" => "C",
        "2.5.4.7" => "L",
        "2.5.4.8" => "ST",
        "2.5.4.9" => "street",
        "2.5.4.10" => "O",
        "2.5.4.11" => "OU",
        "2.5.4.12" => "title",
        "2.5.4.13" => "description",
        "2.5.4.15" => "businessCategory",
        "2.5.4.17" => "postalCode",
        "2.5.4.41" => "name",
        "2.5.4.42" => "GN",
        "2.5.4.43" => "initials",
        "2.5.4.44" => "generationQualifier",
        "2.5.4.46" => "dnQualifier",
        "2.5.4.65" => "pseudonym",
        "2.5.4.97" => "organizationIdentifier",
        "0.9.2342.19200300.100.1.1" => "UID",
        "0.9.2342.19200300.100.1.3" => "mail",
        "0.9.2342.19200300.100.1.25" => "DC",
        "1.2.840.113549.1.9.1" => "emailAddress",
        "1.2.840.113549.1.9.2" => "unstructuredName",
        _ => return None,
    })
}

fn text_of(value: &Any<'_>) -> Option<String> {
    let bytes = value.as_bytes();
    match value.tag().0 {
        // UTF8String, NumericString, PrintableString, IA5String, VisibleString.
        12 | 18 | 19 | 22 | 26 => String::from_utf8(bytes.to_vec()).ok(),
        // T61String, which everybody takes for Latin-1.
        20 => Some(bytes.iter().copied().map(char::from).collect()),
        // UniversalString.
        28 => bytes
            .chunks(4)
            .map(|four| char::from_u32(u32::from_be_bytes(four.try_into().ok()?)))
            .collect(),
        // BMPString.
        30 => {
            let units: Option<Vec<u16>> =
                bytes.chunks(2).map(|two| Some(u16::from_be_bytes(two.try_into().ok()?))).collect();
            String::from_utf16(&units?).ok()
        }
        _ => None,
    }
}

fn dump(value: &Any<'_>) -> String {
    let der = value.to_der_vec().unwrap_or_default();
    std::iter::once("#".to_owned()).chain(der.iter().map(|byte| format!("{byte:02X}"))).collect()
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let last = text.len().saturating_sub(1);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b',' | b'+' | b'"' | b'\\' | b'<' | b'>' | b';' => out.extend(['\\', byte.into()]),
            b' ' if at == 0 || at == last => out.push_str("\\ "),
            b'#' if at == 0 => out.push_str("\\#"),
            0x20..0x7f => out.push(byte.into()),
            _ => out.push_str(&format!("\\{byte:02X}")),
        }
    }
    out
}
