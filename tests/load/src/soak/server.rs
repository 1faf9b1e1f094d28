//! The server as a process: started, crashed, started again.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, MutexGuard},
    thread::JoinHandle,
};

use crate::deployment::Deployment;

/// One server at a time, always on the same data.
#[derive(Clone)]
pub struct Servers(Arc<Mutex<State>>);

struct State {
    program: PathBuf,
    arguments: Vec<String>,
    running: Option<Running>,
    url: String,
    starts: usize,
    /// Audit lines of all servers so far, by event.
    audit: BTreeMap<String, u64>,
}

struct Running {
    child: Child,
    reader: Option<JoinHandle<BTreeMap<String, u64>>>,
}

/// Whatever happens to the test, its server ends.
impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Servers {
    pub fn new(program: &Path, deployment: &Deployment, data: PathBuf) -> Self {
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let arguments = ["serve", "--listen", "127.0.0.1:0", "--data", &text(&data)].map(str::to_owned).into_iter();
        let files = ["--keys".to_owned(), text(&deployment.keys), "--clients".to_owned(), text(&deployment.clients)];
        Self(Arc::new(Mutex::new(State {
            program: program.to_owned(),
            arguments: arguments.chain(files).collect(),
            running: None,
            url: String::new(),
            starts: 0,
            audit: BTreeMap::new(),
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Starts a server on any free port and returns when it listens.
    pub fn start(&self) {
        let mut state = self.state();
        assert!(state.running.is_none());
        let mut child = Command::new(&state.program)
            .args(&state.arguments)
            .env_clear()
            // Tokens outlive the server's address.
            .env("LATCHKEY_ISSUER", "https://load.example")
            .env("RUST_LOG", "warn")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", state.program.display()));
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        state.url = loop {
            let mut line = String::new();
            assert_ne!(lines.read_line(&mut line).unwrap(), 0, "the server has ended before it listened");
            if let Some(url) = line.strip_prefix("listening on ") {
                break url.trim().to_owned();
            }
        };
        state.starts += 1;
        let reader = Some(std::thread::spawn(move || count_events(lines)));
        state.running = Some(Running { child, reader });
    }

    /// Where the server that was started last listens, or did.
    pub fn url(&self) -> String {
        self.state().url.clone()
    }

    /// Which start this is, and its process.
    pub fn process(&self) -> Option<(usize, u32)> {
        let state = self.state();
        state.running.as_ref().map(|running| (state.starts, running.child.id()))
    }

    /// SIGKILL, in the middle of whatever it does.
    pub fn crash(&self) {
        let mut running = self.state().running.take().expect("a server");
        running.child.kill().unwrap();
        running.child.wait().unwrap();
        self.collect(running);
    }

    /// SIGINT, as an operator's Ctrl-C; the server must end well.
    pub fn interrupt(&self) {
        let mut running = self.state().running.take().expect("a server");
        let interrupted = Command::new("kill").args(["-INT", &running.child.id().to_string()]).status().unwrap();
        assert!(interrupted.success());
        assert!(running.child.wait().unwrap().success(), "the server did not end well");
        self.collect(running);
    }

    fn collect(&self, mut running: Running) {
        let counts = running.reader.take().map(|reader| reader.join().unwrap()).unwrap_or_default();
        let mut state = self.state();
        for (event, count) in counts {
            *state.audit.entry(event).or_default() += count;
        }
    }

    /// Audit lines of all servers that have ended, by event. A crash may lose the last ones.
    pub fn audit(&self) -> BTreeMap<String, u64> {
        self.state().audit.clone()
    }
}

fn count_events(lines: impl BufRead) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for line in lines.lines().map_while(Result::ok) {
        let event = line.split_once(r#""event":""#).and_then(|(_, rest)| rest.split_once('"'));
        if let Some((event, _)) = event {
            *counts.entry(event.to_owned()).or_default() += 1;
        }
    }
    counts
}
