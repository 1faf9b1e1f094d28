//! A proxy in front of a service of AWS. It passes requests on until it is told to fail at one of them, and counts how
//! often it did.

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// Longer than the SDK waits for one attempt (2.2 s).
const TOO_LONG: Duration = Duration::from_millis(2_700);
/// Nobody waits so long.
const FOR_EVER: Duration = Duration::from_secs(60);

/// A way to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The request never arrives, and nothing says so.
    RequestDropped,
    /// The request arrives when the sender has given up on it.
    RequestDelayed,
    /// Done, and the connection is closed without an answer.
    ResponseDropped,
    /// Done, and the answer comes when nobody waits any more.
    ResponseDelayed,
    ResetBefore,
    ResetAfter,
    /// 400, as DynamoDB throttles.
    Throttled,
    ThroughputExceeded,
    /// 500.
    InternalError,
    /// 503 with a page of a load balancer.
    Unavailable,
    /// Done, and half of the answer's body arrives.
    ResponseTruncated,
    /// Done, and the answer is no JSON.
    ResponseGarbled,
    /// A kept-alive connection whose other end has gone: a reset at the next request.
    StaleSocket,
    /// The same, and nothing comes back at all: a thawed function's.
    DeadSocket,
}

impl Fault {
    pub const ALL: [Self; 14] = [
        Self::RequestDropped,
        Self::RequestDelayed,
        Self::ResponseDropped,
        Self::ResponseDelayed,
        Self::ResetBefore,
        Self::ResetAfter,
        Self::Throttled,
        Self::ThroughputExceeded,
        Self::InternalError,
        Self::Unavailable,
        Self::ResponseTruncated,
        Self::ResponseGarbled,
        Self::StaleSocket,
        Self::DeadSocket,
    ];

    /// Whether the fault is the connection's, so that a new one is free of it.
    pub fn is_of_connection(self) -> bool {
        matches!(self, Self::StaleSocket | Self::DeadSocket)
    }
}

/// Which requests fail: those for this operation, with this text in their body.
#[derive(Clone, Copy, Debug)]
pub struct Site {
    pub operation: &'static str,
    pub marker: &'static str,
}

struct Plan {
    site: Site,
    fault: Fault,
    times: u64,
}

struct State {
    upstream: String,
    plan: Mutex<Option<Plan>>,
    injected: AtomicU64,
    /// Requests that matched a site or not, by operation.
    seen: Mutex<Vec<String>>,
}

pub struct Proxy {
    state: Arc<State>,
    pub url: String,
    serving: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Proxy {
    /// In front of `upstream`, an address.
    pub async fn start(upstream: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(State {
            upstream: upstream.to_owned(),
            plan: Mutex::default(),
            injected: AtomicU64::new(0),
            seen: Mutex::default(),
        });
        let shared = Arc::clone(&state);
        let serving = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                tokio::spawn(async move {
                    // Whatever goes wrong here looks like what it is from the other end: a connection that closes.
                    let _ = serve(connection, &state).await;
                });
            }
        });
        Self { state, url, serving }
    }

    /// From now on, `times` requests at `site` fail.
    pub fn fail(&self, site: Site, fault: Fault, times: u64) {
        *self.state.plan.lock().unwrap() = Some(Plan { site, fault, times });
    }

    /// The fault is over.
    pub fn heal(&self) {
        *self.state.plan.lock().unwrap() = None;
    }

    pub fn injected(&self) -> u64 {
        self.state.injected.load(Ordering::SeqCst)
    }

    /// The operations since the last call.
    pub fn seen(&self) -> Vec<String> {
        std::mem::take(&mut *self.state.seen.lock().unwrap())
    }
}

impl State {
    /// The fault for a request, if one is due.
    fn due(&self, request: &Message, is_first_on_connection: bool) -> Option<Fault> {
        let operation = request.header("x-amz-target")?.rsplit('.').next()?.to_owned();
        let mut plan = self.plan.lock().unwrap();
        let due = plan.as_mut().filter(|plan| {
            plan.times > 0
                && plan.site.operation == operation
                && String::from_utf8_lossy(&request.body).contains(plan.site.marker)
                && !(plan.fault.is_of_connection() && is_first_on_connection)
        });
        let fault = due.map(|plan| {
            plan.times -= 1;
            plan.fault
        });
        self.seen.lock().unwrap().push(operation);
        if fault.is_some() {
            self.injected.fetch_add(1, Ordering::SeqCst);
        }
        fault
    }

    async fn forward(&self, request: &Message) -> io::Result<Message> {
        let mut upstream = TcpStream::connect(&self.upstream).await?;
        upstream.write_all(&request.bytes()).await?;
        Message::read(&mut upstream).await?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

/// A request or an answer of HTTP/1.1 with a Content-Length.
pub struct Message {
    pub head: String,
    pub body: Vec<u8>,
}

impl Message {
    pub async fn read(connection: &mut TcpStream) -> io::Result<Option<Self>> {
        let mut bytes = Vec::new();
        let end = loop {
            if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            if connection.read_buf(&mut bytes).await? == 0 {
                return Ok(None);
            }
        };
        let body = bytes.split_off(end);
        let mut message = Self { head: String::from_utf8_lossy(&bytes).into_owned(), body };
        let length: usize = message.header("content-length").map_or(0, |length| length.parse().unwrap());
        while message.body.len() < length {
            if connection.read_buf(&mut message.body).await? == 0 {
                return Ok(None);
            }
        }
        Ok(Some(message))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let line = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        line.into_iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    fn bytes(&self) -> Vec<u8> {
        [self.head.as_bytes(), &self.body].concat()
    }
}

fn answer(status: &str, content_type: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n\r\n{body}").into_bytes()
}

/// What a service of AWS answers in JSON.
pub fn json_answer(status: &str, body: &str) -> Vec<u8> {
    answer(status, "application/x-amz-json-1.0", body)
}

fn exception(name: &str) -> String {
    format!(r#"{{"__type":"com.amazonaws.dynamodb.v20120810#{name}","message":"as asked for"}}"#)
}

async fn serve(mut connection: TcpStream, state: &State) -> io::Result<()> {
    let mut is_first = true;
    while let Some(request) = Message::read(&mut connection).await? {
        match state.due(&request, is_first) {
            None => {
                let response = state.forward(&request).await?;
                connection.write_all(&response.bytes()).await?;
            }
            Some(fault) => match fail(&mut connection, state, &request, fault).await? {
                Connection::Kept => {}
                Connection::Closed => return Ok(()),
                Connection::Reset => return connection.set_zero_linger(),
            },
        }
        is_first = false;
    }
    Ok(())
}

enum Connection {
    Kept,
    Closed,
    Reset,
}

async fn fail(connection: &mut TcpStream, state: &State, request: &Message, fault: Fault) -> io::Result<Connection> {
    match fault {
        Fault::RequestDropped | Fault::DeadSocket => {
            tokio::time::sleep(FOR_EVER).await;
            Ok(Connection::Closed)
        }
        Fault::RequestDelayed => {
            tokio::time::sleep(TOO_LONG).await;
            state.forward(request).await?;
            Ok(Connection::Closed)
        }
        Fault::ResponseDropped => {
            state.forward(request).await?;
            Ok(Connection::Closed)
        }
        Fault::ResponseDelayed => {
            let response = state.forward(request).await?;
            tokio::time::sleep(TOO_LONG).await;
            connection.write_all(&response.bytes()).await?;
            Ok(Connection::Closed)
        }
        Fault::ResetBefore | Fault::StaleSocket => Ok(Connection::Reset),
        Fault::ResetAfter => {
            state.forward(request).await?;
            Ok(Connection::Reset)
        }
        Fault::Throttled => kept(connection, json_answer("400 Bad Request", &exception("ThrottlingException"))).await,
        Fault::ThroughputExceeded => {
            let body = exception("ProvisionedThroughputExceededException");
            kept(connection, json_answer("400 Bad Request", &body)).await
        }
        Fault::InternalError => {
            kept(connection, json_answer("500 Internal Server Error", &exception("InternalServerError"))).await
        }
        Fault::Unavailable => {
            kept(connection, answer("503 Service Unavailable", "text/html", "<h1>Service Unavailable</h1>")).await
        }
        Fault::ResponseTruncated => {
            let response = state.forward(request).await?;
            let bytes = response.bytes();
            connection.write_all(&bytes[..bytes.len() - response.body.len().div_ceil(2)]).await?;
            Ok(Connection::Closed)
        }
        Fault::ResponseGarbled => {
            state.forward(request).await?;
            kept(connection, json_answer("200 OK", "{\"Item\": {\"sid\": ")).await
        }
    }
}

async fn kept(connection: &mut TcpStream, answer: Vec<u8>) -> io::Result<Connection> {
    connection.write_all(&answer).await?;
    Ok(Connection::Kept)
}
