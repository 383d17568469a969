//! `gateward healthcheck`, and what a service manager is told.

use std::{io::Write, net::TcpListener, os::unix::net::UnixDatagram, time::Duration};

use crate::{
    Home,
    support::{DEADLINE, Options, Server, oauth::Wire, own_address, until},
};

#[test]
fn a_server_that_serves_is_ready() {
    let server = Server::start(Options::new());
    let output = server.run(&["healthcheck"]);
    assert_eq!((output.status.code(), &*output.stdout), (Some(0), &b"ready\n"[..]));
}

#[tokio::test]
async fn a_server_that_drains_is_not_ready() {
    let mut server = Server::start(Options::new().set("GATEWARD_SERVER__DRAIN_DELAY", "5m"));
    server.terminate();
    let wire = Wire::to(&server);
    until("it drains", async || wire.get("/readyz").await.status == 503).await;
    let output = server.run(&["healthcheck"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("503"), "{said}");
    server.kill();
}

#[test]
fn where_nothing_or_something_else_or_nobody_answers_no_server_is_ready() {
    let address = own_address();
    let home = Home::new().set("GATEWARD_SERVER__LISTEN", address.to_string());
    assert!(home.fails(&["healthcheck"], 1).contains(&format!("nothing answers at {address}")));

    let listener = TcpListener::bind(address).unwrap();
    // It takes connections, for the kernel does, and says nothing.
    assert!(home.fails(&["healthcheck", "--timeout", "1s"], 1).contains("does not answer in time"));
    let _ = listener.accept().unwrap();
    let other = std::thread::spawn(move || listener.accept().unwrap().0.write_all(b"\x1b[31m 200 OK\r\n"));
    let said = home.fails(&["healthcheck"], 1);
    assert!(!said.contains('\x1b'), "{said}");
    let _ = other.join().unwrap();
}

#[test]
fn a_service_manager_hears_when_the_server_listens_and_when_it_stops() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(DEADLINE)).unwrap();
    let heard = || {
        let mut buffer = [0; 256];
        let length = manager.recv(&mut buffer).expect("a message in time");
        String::from_utf8_lossy(&buffer[..length]).trim().to_owned()
    };
    let mut server = Server::start(Options::new().set("NOTIFY_SOCKET", path.to_str().unwrap()));
    assert_eq!(heard(), "READY=1");
    server.terminate();
    assert_eq!(heard(), "STOPPING=1");
    assert!(server.wait().success());
    manager.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    assert!(manager.recv(&mut [0; 256]).is_err(), "nothing more is said");
}
