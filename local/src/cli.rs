//! The command line.

use std::{
    io::{Read, Write},
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
};

use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use latchkey_token::ports::Clock;
use latchkey_token_lambda::{settings, system::SystemClock, telemetry};
use tracing_subscriber::fmt::writer::MakeWriterExt;

use crate::{
    console::Failure,
    inspect,
    operator::{
        AuditCommand, ClientCommand, DynamicClientsCommand, IssuerCommand, KeysCommand, SessionsCommand,
        SubjectsCommand,
    },
    serve::{AuditFeed, DataLocation, McpServer, Options, Server},
};

/// Issues expiring JWTs for LibreChat and renews them safely
///
/// `serve` runs all of it on this machine. The other commands are the operator's: they register who may use the service,
/// look after its keys, see and end sessions, and erase users, here or on AWS. With examples: `latchkey keys generate --help`.
#[derive(Parser)]
#[command(name = "latchkey", version, max_term_width = 100, after_help = EXIT_CODES, after_long_help = FIRST_STEPS)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed (standard error says why, and what to do), 2 wrong usage";

const FIRST_STEPS: &str = "\
First steps:
  latchkey serve                                       # then open http://127.0.0.1:9000
  latchkey sessions list --data .latchkey --subject alice
  latchkey serve | latchkey audit tail                 # who was issued, renewed, refused what
  latchkey completions bash > ~/.local/share/bash-completion/completions/latchkey

Exit codes:
  0  done
  1  failed: standard error says why, and what to do
  2  wrong usage";

#[derive(Subcommand)]
enum Command {
    Serve(ServeArguments),
    /// Look at tokens
    #[command(subcommand)]
    Token(TokenCommand),
    /// Register clients: the applications that hold tokens and renew them
    #[command(subcommand)]
    Client(ClientCommand),
    /// Let MCP clients register themselves, or not
    #[command(subcommand)]
    DynamicClients(DynamicClientsCommand),
    /// Register issuers: the external systems that issue tokens for their users
    #[command(subcommand)]
    Issuer(IssuerCommand),
    /// Look at the key ring and add keys to it
    #[command(subcommand)]
    Keys(KeysCommand),
    /// See and end users' sessions
    #[command(subcommand)]
    Sessions(SessionsCommand),
    /// Erase what is kept of a user
    #[command(subcommand)]
    Subjects(SubjectsCommand),
    /// See what happened: the audit trail, from log lines
    #[command(subcommand)]
    Audit(AuditCommand),
    Completions(CompletionsArguments),
}

/// Run Latchkey on this machine: the same handlers as on Lambda, on an embedded DynamoDB
///
/// The first start makes a signing key, a demo issuer and three demo clients in the data directory and prints
/// their secrets once. Sessions, keys and clients are still there after a restart. A browser finds a playground at its
/// address: issue, renew, lose an answer, be robbed.
///
/// Lifetimes come from the environment, as on Lambda: LATCHKEY_ACCESS_TOKEN_SECONDS, LATCHKEY_GRACE_SECONDS and
/// so on; docs/configuration.md lists them. With AWS_ENDPOINT_URL_DYNAMODB set, that DynamoDB is used instead of the
/// embedded one.
#[derive(Args)]
#[command(after_help = "Examples:
  latchkey serve
  latchkey serve --listen 127.0.0.1:0 --data :memory:
  latchkey serve --mcp http://127.0.0.1:3000/mcp
  LATCHKEY_ACCESS_TOKEN_SECONDS=60 LATCHKEY_GRACE_SECONDS=30 latchkey serve")]
struct ServeArguments {
    /// Address and port of the HTTP API; port 0 takes any free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9000")]
    listen: SocketAddr,
    /// Directory for sessions, keys and clients; ":memory:" keeps nothing
    #[arg(long, value_name = "DIR", default_value = ".latchkey/")]
    data: String,
    /// Key ring (the secret "signing-keys") to use instead of a generated one
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    /// Registrations (the secret "clients") to use instead of the demo ones; then there is no playground
    #[arg(long, value_name = "FILE")]
    clients: Option<PathBuf>,
    /// Also open the embedded DynamoDB to other programs, such as `cargo lambda watch`
    #[arg(long, value_name = "ADDRESS")]
    dynamodb_listen: Option<SocketAddr>,
    /// The MCP server behind /demo/mcp, which lets in access tokens for that address; http only
    #[arg(long, value_name = "URL", value_parser = McpServer::parse)]
    mcp: Option<McpServer>,
}

#[derive(Subcommand)]
enum TokenCommand {
    Inspect(InspectArguments),
}

/// Show what an access token says: header, claims, time left
///
/// Nothing is verified: a forged token is shown just as well.
#[derive(Args)]
#[command(after_help = "Examples:
  latchkey token inspect eyJ...
  echo \"$ACCESS_TOKEN\" | latchkey token inspect -
  latchkey token inspect --json - < token.txt")]
struct InspectArguments {
    /// The token, or "-" to read it from standard input and keep it out of the shell's history
    token: String,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Print a script that completes commands and options in a shell
#[derive(Args)]
#[command(after_help = "Examples:
  latchkey completions bash > ~/.local/share/bash-completion/completions/latchkey
  latchkey completions zsh > \"${fpath[1]}/_latchkey\"
  latchkey completions fish > ~/.config/fish/completions/latchkey.fish
  latchkey completions powershell >> $PROFILE")]
struct CompletionsArguments {
    /// The shell
    shell: Shell,
}

/// Runs the command that the process was started with. Exit codes: 0 done, 1 failed, 2 wrong usage.
pub fn run() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Serve(arguments) => serve(arguments).map_err(Failed::from),
        Command::Token(TokenCommand::Inspect(arguments)) => inspect_token(&arguments).map_err(Failed::from),
        Command::Client(command) => command.run(SystemClock.now()).map_err(Failed::from),
        Command::DynamicClients(command) => command.run(SystemClock.now()).map_err(Failed::from),
        Command::Issuer(command) => command.run(SystemClock.now()).map_err(Failed::from),
        Command::Keys(command) => command.run(SystemClock.now()).map_err(Failed::from),
        Command::Sessions(command) => command.run().map_err(Failed::from),
        Command::Subjects(command) => command.run().map_err(Failed::from),
        Command::Audit(command) => command.run().map_err(Failed::from),
        Command::Completions(arguments) => {
            let mut script = Vec::new();
            clap_complete::generate(arguments.shell, &mut Cli::command(), "latchkey", &mut script);
            std::io::stdout().write_all(&script).map_err(|error| Failed::from(Failure::Output(error)))
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failed { exit_code, message }) => {
            if exit_code != ExitCode::SUCCESS {
                eprintln!("latchkey: {message}");
            }
            exit_code
        }
    }
}

/// Why a command did not do its work, and what the process ends with.
struct Failed {
    exit_code: ExitCode,
    message: String,
}

impl From<String> for Failed {
    fn from(message: String) -> Self {
        Self { exit_code: ExitCode::FAILURE, message }
    }
}

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Self {
        Self { exit_code: failure.exit_code(), message: failure.to_string() }
    }
}

/// The engine has one writer: more threads would wait for it, each with memory of its own.
const ENGINE_THREADS: usize = 8;

fn serve(arguments: ServeArguments) -> Result<(), String> {
    let audit_feed = AuditFeed::default();
    telemetry::init_with(std::io::stdout.and(audit_feed.clone()));
    settings::warn_of_unknown_names();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(ENGINE_THREADS)
        .build()
        .map_err(|error| format!("no runtime: {error}"))?;
    runtime.block_on(async {
        let options = Options {
            listen: arguments.listen,
            data: DataLocation::parse(&arguments.data),
            keys: arguments.keys,
            clients: arguments.clients,
            dynamodb_listen: arguments.dynamodb_listen,
            mcp: arguments.mcp,
            clock: Arc::new(SystemClock),
            environment: Arc::new(|name| std::env::var(name).ok()),
            observer: None,
            audit_feed,
        };
        let server = Server::start(options).await.map_err(|error| error.to_string())?;
        // Whoever reads that it listens may stop it at once.
        let stop = stop_signal().map_err(|error| format!("signals: {error}"))?;
        print!("{}", server.welcome());
        println!("listening on {}", server.url());
        stop.await;
        server.stop().await;
        Ok(())
    })
}

/// Ctrl-C, or SIGTERM from a supervisor. Caught from now on.
#[cfg(unix)]
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Ctrl-C. Caught from now on.
#[cfg(windows)]
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    let mut interrupt = tokio::signal::windows::ctrl_c()?;
    Ok(async move {
        interrupt.recv().await;
    })
}

fn inspect_token(arguments: &InspectArguments) -> Result<(), String> {
    let mut text = arguments.token.clone();
    if text == "-" {
        text.clear();
        std::io::stdin().read_to_string(&mut text).map_err(|error| format!("standard input: {error}"))?;
    }
    let inspected = inspect::inspect(text.trim(), &SystemClock).map_err(|error| error.to_string())?;
    if arguments.json {
        println!("{}", inspected.json());
    } else {
        print!("{inspected}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
