//! `latchkey audit`: the audit trail out of log lines, from a file, a pipe or CloudWatch Logs.

mod cloudwatch;
mod line;
mod page;
mod report;
mod selection;
mod text;

use std::{
    fs::File,
    io::{self, BufRead, BufReader, IsTerminal},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, Subcommand};
use indicatif::ProgressBar;
use latchkey_token::{
    ports::Clock,
    values::{Subject, Timestamp},
};
use latchkey_token_lambda::system::SystemClock;
use serde_json::json;

use self::{
    cloudwatch::{LogGroups, Seen},
    line::Line,
    report::Report,
    selection::{Selection, Wanted},
};
use super::documents::AuditKeyLocation;
use crate::{
    console::{Failure, block_on, print, progress, subject},
    secrets::write_file,
};

/// How often more is looked for.
const FOLLOW_EVERY: Duration = Duration::from_secs(1);
/// How far CloudWatch Logs is read back unless --since says otherwise, in seconds.
const BACK_SECONDS: u32 = 3_600;

#[derive(Subcommand)]
pub(crate) enum AuditCommand {
    Tail(Tail),
    Report(ReportArguments),
    Name(Name),
}

/// Show audit lines, one a line: when, what, and all that is known
///
/// Reads log lines from standard input, a file or CloudWatch Logs, and shows those that are audit lines. Lines from
/// exports are understood with a time in front (`aws logs tail`, exports to S3, Kubernetes) and wrapped as JSON
/// ({"message":"…"}, Docker's json-file, `journalctl -o json`), gzip is unpacked; all others are passed over.
#[derive(Args)]
#[command(after_help = "Examples:
  latchkey serve | latchkey audit tail
  latchkey audit tail server.log --subject alice --keys .latchkey/signing-keys.json
  latchkey audit tail --log-group '/aws/lambda/latchkey-*' --since 1d --event reuse_detected
  latchkey audit tail --log-group '/aws/lambda/latchkey-*' --follow --json | jq .reason")]
pub(crate) struct Tail {
    #[command(flatten)]
    source: Source,
    /// Stay, and show what is added to the file or log group until Ctrl-C
    #[arg(long, short)]
    follow: bool,
    /// Print the lines as the JSON objects that they are
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    selection: Selection,
}

/// Count audit lines: by event, by reason, by client
///
/// Reads what `latchkey audit tail` reads. Lines that are not JSON are skipped and counted; it fails when there is no audit
/// line at all. With --html it also writes a
/// page with plots that needs no network: events over time, why requests were refused, how early tokens are renewed.
#[derive(Args)]
#[command(after_help = "Examples:
  latchkey audit report server.log
  latchkey audit report server.log --json | jq .events.reuse_detected
  latchkey audit report --log-group '/aws/lambda/latchkey-*' --since 7d --html report.html
  aws logs tail /aws/lambda/latchkey-renew --since 1d | latchkey audit report --client librechat")]
pub(crate) struct ReportArguments {
    #[command(flatten)]
    source: Source,
    /// Also write the report, with plots, as a page to be opened in a browser
    #[arg(long, value_name = "PATH")]
    html: Option<PathBuf>,
    /// Print one JSON object: {"events":{"token_issued":2,…},…}
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    selection: Selection,
}

/// Print how the audit trail names a user ("subject_hash")
///
/// The name is the first 16 hex digits of HMAC-SHA256(audit key, user). The audit key stands in the key ring; without it
/// nobody can tell whose name one is. It is never replaced by a rotation, so that a user keeps the name.
#[derive(Args)]
#[command(after_help = "Examples:
  latchkey audit name alice --keys .latchkey/signing-keys.json
  latchkey audit name alice --keys-secret latchkey/signing-keys --json")]
pub(crate) struct Name {
    /// The user, as the external system names it
    #[arg(value_parser = subject)]
    subject: Subject,
    #[command(flatten)]
    audit_key: AuditKeyLocation,
    /// Print {"subject_hash":…}
    #[arg(long)]
    json: bool,
}

/// Where log lines come from; standard input if nothing is said.
#[derive(Args)]
struct Source {
    /// A file of log lines; "-" or nothing: standard input
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// A log group of CloudWatch Logs, or with a * at its end all that begin so; may be given several times. The last hour
    /// of it, unless --since says otherwise. Region, credentials and endpoint come from the usual AWS_* variables
    #[arg(long, value_name = "NAME", conflicts_with = "file")]
    log_group: Vec<String>,
}

impl AuditCommand {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        match self {
            Self::Tail(tail) => tail.run(SystemClock.now()),
            Self::Report(report) => report.run(SystemClock.now()),
            Self::Name(name) => name.run(),
        }
    }
}

impl Tail {
    fn run(&self, now: Timestamp) -> Result<(), Failure> {
        let wanted = self.selection.wanted()?;
        self.source.each_line(&wanted, self.follow.then_some(FOLLOW_EVERY), now, &progress::hidden(), |text| {
            match Line::read(text) {
                Line::Audit(line) if wanted.admits(&line, now) => {
                    print(&format!("{}\n", if self.json { line.json() } else { line.shown() }))
                }
                Line::Audit(_) | Line::Other | Line::NotJson => Ok(()),
            }
        })
    }
}

impl ReportArguments {
    fn run(&self, now: Timestamp) -> Result<(), Failure> {
        let mut report = Report::default();
        let wanted = self.selection.wanted()?;
        let progress = self.source.progress();
        let mut has_audit_lines = false;
        self.source.each_line(&wanted, None, now, &progress, |text| {
            let line = Line::read(text);
            has_audit_lines |= matches!(line, Line::Audit(_));
            match line {
                Line::Audit(line) if wanted.admits(&line, now) => report.count(&line),
                Line::Audit(_) => {}
                Line::Other => report.other_lines += 1,
                Line::NotJson => report.skipped_lines += 1,
            }
            Ok(())
        })?;
        progress.finish_and_clear();
        // A log group may have been quiet: CloudWatch Logs has looked for audit lines itself.
        let is_quiet = !self.source.log_group.is_empty() && report.left_out().is_none();
        if !has_audit_lines && !is_quiet {
            return Err(self.source.without_audit_lines(&report));
        }
        if let Some(path) = &self.html {
            let place = path.display().to_string();
            let page = page::page(&report, now).map_err(|detail| Failure::Place { place: place.clone(), detail })?;
            write_file(path, &page).map_err(|error| Failure::Place {
                place: place.clone(),
                detail: format!("{error}; is its directory there, and may you write to it?"),
            })?;
            eprintln!("the page is {place}");
        }
        print(&if self.json { format!("{}\n", report.json()) } else { report.to_string() })
    }
}

impl Name {
    fn run(&self) -> Result<(), Failure> {
        let Some(key) = self.audit_key.key()? else {
            return Err(Failure::Usage("where is the key ring? --keys FILE or --keys-secret ID".into()));
        };
        let name = key.name(&self.subject);
        print(&if self.json { format!("{}\n", json!({"subject_hash": name})) } else { format!("{name}\n") })
    }
}

impl Source {
    fn progress(&self) -> ProgressBar {
        match self.path().and_then(|path| path.metadata().ok()) {
            Some(metadata) => progress::bytes("reading", metadata.len()),
            None if self.log_group.is_empty() => progress::hidden(),
            None => progress::endless("log events read:"),
        }
    }

    fn path(&self) -> Option<&Path> {
        self.file.as_deref().filter(|path| *path != Path::new("-"))
    }

    /// Nothing to count is no report: whoever reads one must not take a wrong file for a quiet week.
    fn without_audit_lines(&self, report: &Report) -> Failure {
        let place = self.path().map_or_else(|| "the input".to_owned(), |path| path.display().to_string());
        let read = report.left_out().unwrap_or_else(|| "It is empty".to_owned());
        let detail = format!(
            "no audit line in it. {read}. Audit lines are JSON with \"event\", as Latchkey writes them, with a time in front, or \
             as aws logs, Docker (json-file), journalctl -o json and Fluent Bit carry them; gzip is unpacked"
        );
        Failure::Place { place, detail }
    }

    /// Hands over every line; with `follow`, also those that come later, looking that often.
    fn each_line(
        &self,
        wanted: &Wanted<'_>,
        follow: Option<Duration>,
        now: Timestamp,
        progress: &ProgressBar,
        line: impl FnMut(&str) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        match self.path() {
            _ if !self.log_group.is_empty() => block_on(self.cloudwatch(wanted, follow, now, progress, line)),
            Some(path) => {
                let failed = |error: io::Error| Failure::Place {
                    place: path.display().to_string(),
                    detail: format!("{error}; log lines are read from a file, \"-\" (standard input) or --log-group"),
                };
                let file = File::open(path).map_err(failed)?;
                let text = text::unpacked(BufReader::new(file), follow.is_some()).map_err(failed)?;
                read_lines(text, follow, progress, line, failed)
            }
            None => {
                if io::stdin().is_terminal() {
                    eprintln!("reading log lines from standard input; Ctrl-D ends them, --help shows other ways");
                }
                let failed = |error: io::Error| Failure::Input(error.to_string());
                let text = text::unpacked(io::stdin().lock(), false).map_err(failed)?;
                read_lines(text, None, progress, line, failed)
            }
        }
    }

    async fn cloudwatch(
        &self,
        wanted: &Wanted<'_>,
        follow: Option<Duration>,
        now: Timestamp,
        progress: &ProgressBar,
        mut line: impl FnMut(&str) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let groups = LogGroups::open(&self.log_group, wanted.filter_pattern()).await?;
        let mut since = wanted.since(now).unwrap_or(now.minus(BACK_SECONDS));
        let mut seen = Seen::default();
        loop {
            let count = |more| progress.inc(u64::try_from(more).unwrap_or_default());
            for message in groups.read(since, wanted.until(now), &mut seen, count).await? {
                message.lines().try_for_each(&mut line)?;
            }
            let Some(pause) = follow else { return Ok(()) };
            since = seen.resume_at(since);
            tokio::time::sleep(pause).await;
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a command, which has nobody else to serve while it waits")]
fn read_lines(
    mut reader: impl BufRead,
    follow: Option<Duration>,
    progress: &ProgressBar,
    mut line: impl FnMut(&str) -> Result<(), Failure>,
    failed: impl Fn(io::Error) -> Failure,
) -> Result<(), Failure> {
    let mut bytes = Vec::new();
    loop {
        let read = reader.read_until(b'\n', &mut bytes).map_err(&failed)?;
        progress.inc(u64::try_from(read).unwrap_or_default());
        match follow {
            // The rest of a line that is being written comes later.
            Some(pause) if !bytes.ends_with(b"\n") => std::thread::sleep(pause),
            None if bytes.is_empty() => return Ok(()),
            _ => {
                line(&String::from_utf8_lossy(&bytes))?;
                bytes.clear();
            }
        }
    }
}
