//! Lambda's Runtime API, as much of it as a function uses: hands out events and takes answers, and says when.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, Response, StatusCode, body::Bytes, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpListener,
    sync::{Mutex, mpsc, oneshot},
    task::JoinHandle,
};

/// An invocation that takes longer than this has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// A request for the next event: when it came, and where the event goes.
type Poll = (Instant, oneshot::Sender<Bytes>);
/// When an answer was there, whether it is one, and the answer.
type Answer = (Instant, bool, Bytes);

/// One function's Runtime API.
pub struct RuntimeApi {
    address: SocketAddr,
    polls: mpsc::UnboundedReceiver<Poll>,
    answers: mpsc::UnboundedReceiver<Answer>,
    /// The function waits for an event.
    waiting: Option<oneshot::Sender<Bytes>>,
    serving: JoinHandle<()>,
}

impl RuntimeApi {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (poll, polls) = mpsc::unbounded_channel();
        let (answer, answers) = mpsc::unbounded_channel();
        let api = Arc::new(Api { poll, answer: Mutex::new(answer), count: AtomicU64::new(0) });
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                let api = Arc::clone(&api);
                tokio::spawn(async move {
                    let service = service_fn(|request| api.respond(request));
                    // A function that has ended has broken its connection off.
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self { address, polls, answers, waiting: None, serving }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// When the function asked for its next event.
    pub async fn polled(&mut self) -> Instant {
        let poll = tokio::time::timeout(PATIENCE, self.polls.recv()).await.expect("the function asks for an event");
        let (at, waiting) = poll.unwrap();
        self.waiting = Some(waiting);
        at
    }

    /// Hands out `event` and waits for its answer; the time from one to the other.
    pub async fn invoke(&mut self, event: Bytes) -> (Duration, Bytes) {
        if self.waiting.is_none() {
            self.polled().await;
        }
        let waiting = self.waiting.take().unwrap();
        let begin = Instant::now();
        waiting.send(event).expect("the function still waits");
        let answer = tokio::time::timeout(PATIENCE, self.answers.recv()).await.expect("the function answers");
        let (end, is_answer, body) = answer.unwrap();
        assert!(is_answer, "the function failed: {}", String::from_utf8_lossy(&body));
        (end - begin, body)
    }
}

impl Drop for RuntimeApi {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

struct Api {
    poll: mpsc::UnboundedSender<Poll>,
    answer: Mutex<mpsc::UnboundedSender<Answer>>,
    count: AtomicU64,
}

impl Api {
    async fn respond(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let arrived = Instant::now();
        let path = request.uri().path().to_owned();
        if request.method() == Method::GET && path.ends_with("/invocation/next") {
            let (event, next) = oneshot::channel();
            let _ = self.poll.send((arrived, event));
            // Nothing more to do: the function is left waiting, as on Lambda.
            let Ok(event) = next.await else { return std::future::pending().await };
            return Ok(self.invocation(event));
        }
        let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let _ = self.answer.lock().await.send((Instant::now(), path.ends_with("/response"), body));
        Ok(Response::builder().status(StatusCode::ACCEPTED).body(Full::default()).unwrap())
    }

    fn invocation(&self, event: Bytes) -> Response<Full<Bytes>> {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let deadline = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + Duration::from_secs(10);
        Response::builder()
            .header("content-type", "application/json")
            .header("lambda-runtime-aws-request-id", format!("00000000-0000-4000-8000-{number:012}"))
            .header("lambda-runtime-deadline-ms", deadline.as_millis().to_string())
            .header("lambda-runtime-invoked-function-arn", "arn:aws:lambda:eu-central-1:123456789012:function:bench")
            .header("lambda-runtime-trace-id", "Root=1-00000000-000000000000000000000000;Sampled=0")
            .body(Full::from(event))
            .unwrap()
    }
}
