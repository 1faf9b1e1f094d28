//! Connections to the server: how long each may take to ask for something, and how all of them end.

use std::{convert::Infallible, future::Future, net::SocketAddr, pin::pin, time::Duration};

use axum::{
    body::Body,
    http::{Request, Response},
    serve::{Listener, ListenerExt},
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use latchkey_token_lambda::Body as HandlersBody;
use tokio::net::TcpListener;

/// A client has this long to send a request's headers, from the connection on or from the answer before. So a connection
/// that nobody uses is closed after that time as well.
const HEADERS_PATIENCE: Duration = Duration::from_secs(10);

/// Answers every request of every connection until `stopped` is ready. Then takes no more, and returns when those under
/// way have been answered.
pub(super) async fn serve<F, A>(listener: TcpListener, stopped: impl Future<Output = ()>, answer: F)
where
    F: Fn(SocketAddr, Request<Incoming>) -> A + Clone + Send + 'static,
    A: Future<Output = Response<Body>> + Send + 'static,
{
    let mut listener = listener.tap_io(|connection| {
        // Answers are small; waiting to fill a packet only costs time.
        let _ = connection.set_nodelay(true);
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADERS_PATIENCE);
    let connections = GracefulShutdown::new();
    let mut stopped = pin!(stopped);
    loop {
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stopped => break,
        };
        let answer = answer.clone();
        let service = service_fn(move |request| {
            let answer = answer(peer, request);
            async move { Ok::<_, Infallible>(answer.await) }
        });
        let connection = connections.watch(http.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection broke off");
            }
        });
    }
    drop(listener);
    connections.shutdown().await;
}

/// A handler's body, as a connection sends it.
pub(super) fn into_http_body(body: HandlersBody) -> Body {
    match body {
        HandlersBody::Text(text) => Body::from(text),
        HandlersBody::Binary(bytes) => Body::from(bytes),
        _ => Body::empty(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use tokio::{
        io::AsyncWriteExt,
        net::TcpStream,
        sync::Notify,
        task::{JoinHandle, yield_now},
        time::{advance, sleep},
    };

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const SLOW: Duration = Duration::from_secs(60);

    /// A server that names the peer: when asked for `/slow` after a while, for `/held` when it is released.
    struct Served {
        address: SocketAddr,
        asked: Arc<AtomicUsize>,
        release: Arc<Notify>,
        stop: Arc<Notify>,
        task: JoinHandle<()>,
    }

    impl Served {
        async fn start() -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let asked = Arc::new(AtomicUsize::new(0));
            let [release, stop] = [(); 2].map(|()| Arc::new(Notify::new()));
            let (counted, released, stopped) = (Arc::clone(&asked), Arc::clone(&release), Arc::clone(&stop));
            let answer = move |peer: SocketAddr, request: Request<Incoming>| {
                counted.fetch_add(1, Ordering::Relaxed);
                let released = Arc::clone(&released);
                async move {
                    match request.uri().path() {
                        "/slow" => sleep(SLOW).await,
                        "/held" => released.notified().await,
                        _ => {}
                    }
                    Response::new(Body::from(format!("<{peer}>")))
                }
            };
            let task = tokio::spawn(async move { serve(listener, stopped.notified(), answer).await });
            Self { address, asked, release, stop, task }
        }

        async fn connect(&self) -> TcpStream {
            let connection = TcpStream::connect(self.address).await.unwrap();
            connection.set_nodelay(true).unwrap();
            connection
        }

        async fn has_been_asked(&self, times: usize) {
            while self.asked.load(Ordering::Relaxed) < times {
                yield_now().await;
            }
        }
    }

    async fn send(connection: &mut TcpStream, text: &str) {
        connection.write_all(text.as_bytes()).await.unwrap();
    }

    /// Up to the end of an answer's body, or of the connection. Never idle: a paused clock would move on.
    async fn answer(connection: &TcpStream) -> String {
        let mut bytes = Vec::new();
        while !bytes.ends_with(b">") {
            let mut byte = [0];
            match connection.try_read(&mut byte) {
                Ok(0) => break,
                Ok(_) => bytes.extend(byte),
                Err(_) => yield_now().await,
            }
        }
        String::from_utf8(bytes).unwrap()
    }

    fn is_silent(connection: &TcpStream) -> bool {
        connection.try_read(&mut [0]).is_err()
    }

    #[tokio::test]
    async fn a_connection_serves_many_requests_of_its_peer() {
        let served = Served::start().await;
        let mut connection = served.connect().await;
        let peer = format!("<{}>", connection.local_addr().unwrap());
        for _ in 0..3 {
            send(&mut connection, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
            assert!(answer(&connection).await.ends_with(&peer));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn headers_may_come_slowly_and_the_answer_too() {
        let served = Served::start().await;
        let mut connection = served.connect().await;
        for request in 1..=2 {
            send(&mut connection, "GET /slow HTTP/1.1\r\nHos").await;
            advance(HEADERS_PATIENCE - SECOND).await;
            send(&mut connection, "t: x\r\n\r\n").await;
            served.has_been_asked(request).await;
            advance(SLOW - SECOND).await;
            assert!(is_silent(&connection), "it is being answered");
            advance(2 * SECOND).await;
            assert!(answer(&connection).await.starts_with("HTTP/1.1 200 OK\r\n"));
        }
        advance(HEADERS_PATIENCE - SECOND).await;
        assert!(is_silent(&connection), "another request may come");
        advance(2 * SECOND).await;
        assert_eq!(answer(&connection).await, "", "none came, and the connection is closed");
    }

    #[tokio::test]
    async fn who_is_being_answered_when_the_server_stops_has_the_answer() {
        let served = Served::start().await;
        let (mut idle, mut asking) = (served.connect().await, served.connect().await);
        send(&mut idle, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
        answer(&idle).await;
        send(&mut asking, "GET /held HTTP/1.1\r\nHost: x\r\n\r\n").await;
        served.has_been_asked(2).await;
        served.stop.notify_one();
        assert_eq!(answer(&idle).await, "", "closed");
        assert!(TcpStream::connect(served.address).await.is_err(), "no more connections");
        assert!(!served.task.is_finished());
        served.release.notify_one();
        assert!(answer(&asking).await.starts_with("HTTP/1.1 200 OK\r\n"));
        assert_eq!(answer(&asking).await, "", "closed");
        served.task.await.unwrap();
    }
}
