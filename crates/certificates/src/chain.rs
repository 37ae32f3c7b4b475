//! The order of a chain (T70): clients expect each certificate's issuer behind it, and have the root themselves.

use crate::certificate::Certificate;

/// Brings the certificates of a file into order, with the server's own first. What is not part of its chain is left out. Tells of what was wrong.
pub(crate) fn order(mut found: Vec<Certificate>, warnings: &mut Vec<String>) -> Vec<Certificate> {
    let count = found.len();
    let mut distinct: Vec<Certificate> = Vec::new();
    for certificate in found.drain(..) {
        if !distinct.iter().any(|other| other.der == certificate.der) {
            distinct.push(certificate);
        }
    }
    if distinct.len() < count {
        warnings.push("A certificate is in the file more than once; it is sent once.".to_owned());
    }
    let Some(own) = own_index(&distinct) else { return Vec::new() };
    let mut is_in_order = own == 0;
    let mut at = own;
    let mut chain = vec![distinct.remove(own)];
    while let Some(last) = chain.last()
        && !last.is_self_issued()
    {
        let issuer = distinct.iter().position(|other| last.is_issued_by(other));
        let Some(issuer) = issuer else { break };
        is_in_order &= issuer == at;
        at = issuer;
        chain.push(distinct.remove(issuer));
    }
    let is_alone = matches!(chain.as_slice(), [own] if !own.is_self_issued());
    if chain.len() > 1 && chain.last().is_some_and(Certificate::is_self_issued) {
        chain.pop();
        warnings.push(
            "The root certificate is in the file; it is not sent, because clients have it."
                .to_owned(),
        );
    }
    if !is_in_order {
        warnings.push(
            "The certificates are in another order than clients expect; they are sent in the right one."
                .to_owned(),
        );
    }
    for other in &distinct {
        warnings.push(format!(
            "The certificate of {:?} is not part of the chain; it is not sent.",
            other.name
        ));
    }
    if is_alone && let Some(own) = chain.first() {
        let issuer = own.facts().issuer;
        warnings.push(format!(
            "The file has no certificate of the issuer, {issuer:?}. Unless that is a root that clients have, they will refuse it: append the intermediate certificate, or use the full chain (fullchain.pem)."
        ));
    }
    chain
}

/// The first that has issued no other one, and best one that is no authority's.
fn own_index(certificates: &[Certificate]) -> Option<usize> {
    let issues = |index: usize| {
        let other = |(at, own): (usize, &Certificate)| {
            at != index && own.is_issued_by(&certificates[index])
        };
        certificates.iter().enumerate().any(other)
    };
    let ends = || (0..certificates.len()).filter(|&index| !issues(index));
    ends()
        .find(|&index| !certificates[index].is_authority)
        .or_else(|| ends().next())
        .or_else(|| (!certificates.is_empty()).then_some(0))
}
