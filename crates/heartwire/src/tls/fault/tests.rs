use super::TlsFault;

#[test]
fn an_alert_is_told_in_words_with_its_number() {
    for (alert, expected) in [
        (116, "the peer requires a certificate from us (alert 116)"),
        (48, "the peer does not trust the CA of our certificate (alert 48)"),
        (70, "the peer does not speak TLS 1.3 (alert 70)"),
        (20, "the peer ended TLS (alert 20)"),
        (200, "the peer ended TLS (alert 200)"),
    ] {
        assert_eq!(TlsFault::Refused { alert }.to_string(), expected);
    }
}
