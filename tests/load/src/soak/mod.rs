//! The soak: renewals in chains against the server as a process of its own, which is killed and started again while its
//! clients go on; afterwards every session and every renewal is accounted for.

mod chain;
mod memory;
mod plot;
mod report;
mod server;
mod stage;

use std::{fs, num::NonZeroU32, path::PathBuf, time::Instant};

use clap::Args;
use dynoxide::Database;
use latchkey::serve::dynamodb::embedded;
use latchkey_token::{
    keys::Algorithm,
    ports::{ListSessions, ReadSession},
};
use latchkey_token_aws::DynamoDbSessions;
use tokio::task::JoinSet;

use self::{
    chain::Chain,
    memory::Memory,
    report::Report,
    server::Servers,
    stage::{Mode, Stage},
};
use crate::deployment::Deployment;

/// Chains that are renewed at the same time when nothing else is measured.
const SETTLING_CONNECTIONS: usize = 16;

/// Soak a server, crash it on the way, and account for everything.
#[derive(Args)]
pub struct Arguments {
    /// The `latchkey` program
    #[arg(long)]
    server: PathBuf,
    /// Where to write what was measured
    #[arg(long)]
    output: PathBuf,
    /// Renewals in all, those of the last check apart
    #[arg(long, default_value_t = 50_000)]
    renewals: u64,
    /// Connections of the closed loops, one stage each
    #[arg(long, value_delimiter = ',', default_value = "16,64,256")]
    connections: Vec<usize>,
    /// Rates of the open loops, in renewals a second, one stage each
    #[arg(long, value_delimiter = ',', default_value = "100,300")]
    rates: Vec<NonZeroU32>,
    /// Length of each open loop
    #[arg(long, default_value_t = 12)]
    open_seconds: u64,
    /// RS256, PS256, ES256 or EdDSA
    #[arg(long, default_value = "ES256")]
    algorithm: String,
}

impl Arguments {
    /// The closed loops share what the open ones leave. The second closed loop and the last open one have a crash in
    /// the middle.
    fn stages(&self) -> Vec<Stage> {
        let open: Vec<u64> = self.rates.iter().map(|rate| u64::from(rate.get()) * self.open_seconds).collect();
        let closed = self.renewals.checked_sub(open.iter().sum()).expect("renewals for the closed loops");
        let loops = self.connections.len() as u64;
        let closed = self.connections.iter().zip(0..).map(|(connections, number)| Stage {
            mode: Mode::Closed { connections: *connections },
            renewals: closed / loops + u64::from(number < closed % loops),
            crash: number == 1,
        });
        let last = self.rates.len().saturating_sub(1);
        let open = self.rates.iter().zip(open).enumerate().map(|(number, (rate, renewals))| Stage {
            mode: Mode::Open { per_second: rate.get() },
            renewals,
            crash: number == last,
        });
        closed.chain(open).collect()
    }

    fn sessions(&self) -> usize {
        self.connections.iter().copied().max().unwrap_or(1)
    }
}

pub async fn run(arguments: Arguments) {
    let algorithm = Algorithm::parse(&arguments.algorithm).expect("an algorithm");
    let stages = arguments.stages();
    let directory = tempfile::tempdir().unwrap();
    let deployment = Deployment::write(directory.path(), algorithm);
    let servers = Servers::new(&arguments.server, &deployment, directory.path().join("data"));
    servers.start();
    let memory = Memory::watch(servers.clone());

    let begin = Instant::now();
    let mut chains = Vec::new();
    for number in 0..arguments.sessions() {
        chains.push(Chain::issue(number, servers.clone()).await);
    }
    let mut measured = Vec::new();
    for stage in stages {
        let outcome;
        (chains, outcome) = stage::run(stage, chains, &servers).await;
        println!("{}", outcome.line());
        measured.push(outcome);
    }

    servers.crash();
    servers.start();
    let renewed = chains.iter().map(Chain::renewals).sum::<u64>();
    assert_eq!(renewed, arguments.renewals, "one generation for each renewal that was asked for");
    let chains = every_session_goes_on(chains).await;
    let memory = memory.finish();
    servers.interrupt();
    let audit = servers.audit();
    let table = directory.path().join("data/sessions.sqlite");
    let accounts = account(&table, &chains).await;

    fs::create_dir_all(&arguments.output).unwrap();
    let report =
        Report { algorithm, seconds: begin.elapsed().as_secs_f64(), stages: measured, memory, accounts, audit };
    report.write(&arguments.output);
    println!("{report}");
    report.assert_sound();
}

/// Every session gives its last tokens again to the ones before (and nothing new), and renews with its last.
async fn every_session_goes_on(chains: Vec<Chain>) -> Vec<Chain> {
    let mut waiting = chains.into_iter();
    let mut checking = JoinSet::new();
    let mut checked = Vec::new();
    loop {
        while checking.len() < SETTLING_CONNECTIONS
            && let Some(mut chain) = waiting.next()
        {
            checking.spawn(async move {
                chain.retry_the_one_before().await;
                chain.renew().await;
                chain
            });
        }
        match checking.join_next().await {
            Some(chain) => checked.push(chain.unwrap()),
            None => return checked,
        }
    }
}

/// What the table says of the sessions, against what the clients saw.
pub struct Accounts {
    pub sessions: usize,
    /// Renewals that the clients saw, each with a successor that they saw once.
    pub successors: u64,
    /// Sum of the generations in the table.
    pub generations: u64,
    /// Sessions that the table does not have, has ended, has twice, or has in another generation than the client's.
    pub at_odds: usize,
    /// Requests that were sent again because there was no answer to them, or a 503.
    pub resent: u64,
}

async fn account(table: &std::path::Path, chains: &[Chain]) -> Accounts {
    let database = Database::new(table.to_str().unwrap()).unwrap();
    let store = DynamoDbSessions::new(&embedded(database, None).await, "latchkey");
    let (mut generations, mut at_odds) = (0, 0);
    for chain in chains {
        let record = store.read(&chain.session).await.unwrap();
        let of_subject = store.list(&chain.session.owner).await.unwrap().len();
        match record {
            Some(record) => {
                let generation = u64::from(record.generation.number());
                generations += generation;
                let agrees = generation == chain.renewals() && record.revocation.is_none() && of_subject == 1;
                at_odds += usize::from(!agrees);
            }
            None => at_odds += 1,
        }
    }
    Accounts {
        sessions: chains.len(),
        successors: chains.iter().map(Chain::renewals).sum(),
        generations,
        at_odds,
        resent: chains.iter().map(|chain| chain.resent).sum(),
    }
}
