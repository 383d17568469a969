//! `metrics.listen`.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
};

use crate::support::{Options, Server, own_address};

#[test]
fn nothing_is_measured_unless_somebody_is_to_read_it() {
    let server = Server::start(Options::new());
    assert!(!server.stdout().contains("metrics at"));
}

#[test]
fn metrics_are_read_at_their_own_address_only() {
    let address = own_address();
    let server = Server::start(Options::new().set("GATEWARD_METRICS__LISTEN", &address.to_string()));
    let get = |address, path: &str| {
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let told = get(address, "/metrics");
    for part in [
        "HTTP/1.1 200 OK",
        "\ngateward_http_connections ",
        "\ngateward_signing_key_age_seconds{algorithm=\"ES256\"} ",
        "\ngateward_password_hashes{state=\"free\"} 128.0\n",
        "\ngateward_store_pool_connections{family=\"tokens\",backend=\"sqlite\",state=\"limit\"} ",
        "\ngateward_store_waiting_writes{family=\"tokens\",backend=\"sqlite\"} 0.0\n",
        "\nprocess_resident_memory_bytes ",
    ] {
        assert!(told.contains(part), "no {part} in {told}");
    }
    assert!(get(server.address(), "/metrics").starts_with("HTTP/1.1 404 "));
}

#[test]
fn a_server_does_not_start_without_the_address_that_it_was_told_to_use() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let home = crate::Home::new()
        .set("GATEWARD_SERVER__LISTEN", own_address().to_string())
        .set("GATEWARD_METRICS__LISTEN", taken.local_addr().unwrap().to_string());
    let said = home.fails(&["serve"], 5);
    assert!(said.contains("see metrics.listen"), "{said}");
}
