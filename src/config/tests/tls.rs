//! `[tls]`, and what clients are told about it.

use super::*;

const BOTH: &str = "[tls]\ncertificate = \"server.pem\"\nkey = \"server.key\"\n";

#[test]
fn without_a_certificate_there_is_no_tls() {
    assert_eq!(read(MINIMAL).unwrap().tls, None);
}

#[test]
fn a_certificate_and_its_key_belong_together() {
    let tls = read(&format!("{MINIMAL}{BOTH}")).unwrap().tls.unwrap();
    assert_eq!((tls.certificate.to_str(), tls.key.to_str()), (Some("server.pem"), Some("server.key")));
    let found = problems("[tls]\ncertificate = \"server.pem\"\n");
    assert!(found.contains("`tls.key`: must be set, as there is a certificate"), "{found}");
    let found = problems("[tls]\nkey = \"server.key\"\n");
    assert!(found.contains("`tls.certificate`: must be set, as there is a key"), "{found}");
}

#[test]
fn tls_is_of_no_use_to_an_http_issuer() {
    let text = format!("mode = \"development\"\n{MINIMAL}{BOTH}").replace("https://auth", "http://localhost");
    let found = read(&text.replace("http://localhost.example.com", "http://localhost:3000")).unwrap_err().to_string();
    assert!(found.contains("`tls.certificate`: is of no use to an issuer that is plain http"), "{found}");
}

#[test]
fn clients_of_an_https_issuer_are_told_to_come_by_https_only() {
    let told = |issuer: &str, more: &str| {
        let text = format!("mode = \"development\"\n{MINIMAL}{more}");
        read(&text.replace("https://auth.example.com", issuer)).unwrap().strict_transport_security()
    };
    assert_eq!(told("https://auth.example.com", "").as_deref(), Some("max-age=31536000"));
    assert_eq!(told("https://auth.example.com", "[server]\nhsts = \"1d\"\n").as_deref(), Some("max-age=86400"));
    assert_eq!(told("https://auth.example.com", "[server]\nhsts = \"0s\"\n"), None);
    for own_machine in ["http://localhost:3000", "https://localhost:3000", "https://a.localhost", "https://127.0.0.1"] {
        assert_eq!(told(own_machine, ""), None, "{own_machine}");
    }
}
