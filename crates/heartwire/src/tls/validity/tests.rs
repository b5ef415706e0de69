use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::*;
use heartwire_testkit::Authority;

#[test]
fn not_after_is_read_in_either_form() {
    let authority = Authority::new();
    for (year, secs) in [(2030, 1_893_456_000), (2049, 2_493_072_000), (2050, 2_524_608_000)] {
        let files = authority.issue_with(&["localhost"], |params| {
            params.not_after = rcgen::date_time_ymd(year, 1, 1);
        });
        let pem = std::fs::read(&files.certificate).unwrap();
        let certificate = CertificateDer::from_pem_slice(&pem).unwrap();
        assert_eq!(not_after(&certificate), Some(secs), "{year}");
        for end in 0..certificate.len() {
            assert_eq!(not_after(&certificate[..end]), None);
        }
    }
    assert_eq!(not_after(b"0"), None);
}
