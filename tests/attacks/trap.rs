//! Where an attacker wants the server to connect to. It counts who does.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

static CONNECTIONS: AtomicU64 = AtomicU64::new(0);

/// Serves the attacker's keys, so that a server that fetches them is also let down by them.
static ADDRESS: LazyLock<SocketAddr> = LazyLock::new(|| {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            CONNECTIONS.fetch_add(1, Ordering::SeqCst);
            let _ = connection.set_read_timeout(Some(Duration::from_secs(1)));
            let _ = connection.read(&mut [0; 4096]);
            let keys = crate::forge::attackers_jwks();
            let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", keys.len());
            let _ = connection.write_all(format!("{head}{keys}").as_bytes());
        }
    });
    address
});

/// `127.0.0.1` and a port.
pub fn address() -> String {
    ADDRESS.to_string()
}

/// Ways to name the trap in a token or a request.
pub fn urls() -> Vec<String> {
    let port = ADDRESS.port();
    vec![
        format!("http://127.0.0.1:{port}/jwks.json"),
        format!("http://localhost:{port}/jwks.json"),
        format!("http://[::ffff:127.0.0.1]:{port}/jwks.json"),
        format!("http://2130706433:{port}/jwks.json"),
        format!("https://127.0.0.1:{port}/jwks.json"),
        format!("{}@127.0.0.1:{port}/jwks.json", test_support::ISSUER),
        format!("{}/../@127.0.0.1:{port}", test_support::ISSUER),
        format!("//127.0.0.1:{port}/jwks.json"),
        format!("gopher://127.0.0.1:{port}/_GET"),
        format!("ldap://127.0.0.1:{port}/a"),
    ]
}

/// Connections that were made. The trap itself is tried last: it must count.
pub fn connections() -> u64 {
    let before = CONNECTIONS.load(Ordering::SeqCst);
    let mut connection = std::net::TcpStream::connect(*ADDRESS).unwrap();
    connection.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("keys") && CONNECTIONS.load(Ordering::SeqCst) == before + 1, "the trap does not count");
    before
}
