//! What renewals on this machine cannot be faster than: their signatures, with every core signing, and their writes to the
//! durable store, with nothing around it but the SDK.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use latchkey::serve::dynamodb;
use latchkey_token::{
    keys::Algorithm,
    ports::{InsertSession, RenewSession},
    session::WriteOutcome,
};
use latchkey_token_aws::{DynamoDbSessions, table};
use latchkey_token_testkit::fixture;

use crate::{
    installation::{Secrets, TABLE},
    serving::CONNECTIONS,
    warm::prepared,
};

/// Renewals per second whose two signatures, of access and ID token, are all there is to do.
pub fn signing(algorithm: Algorithm, secrets: &Secrets, time: Duration) -> f64 {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let count = || {
        let (sign, message) = (prepared(algorithm, secrets), vec![b'x'; 700]);
        let (begin, mut renewals) = (Instant::now(), 0.0);
        while begin.elapsed() < time {
            std::hint::black_box((sign(&message), sign(&message)));
            renewals += 1.0;
        }
        renewals / begin.elapsed().as_secs_f64()
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(count)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    })
}

/// Conditional writes per second to a store in `folder`, from as many chains as suit it best.
pub async fn writing(folder: &Path, time: Duration) -> f64 {
    let mut most = 0.0_f64;
    for chains in [1, 2, 4, CONNECTIONS] {
        let file = folder.join(format!("{chains}.sqlite"));
        most = most.max(writing_from(chains, &file, time / 4).await);
    }
    most
}

async fn writing_from(chains: usize, file: &Path, time: Duration) -> f64 {
    let sdk = dynamodb::embedded(dynamodb::open(file).unwrap(), None).await;
    table::create_if_missing(&sdk, TABLE).await.unwrap();
    let begin = Instant::now();
    let chains: Vec<_> = (0..chains)
        .map(|number| {
            let store = DynamoDbSessions::new(&sdk, TABLE);
            tokio::spawn(async move {
                let mut session = fixture::session(u32::try_from(number).unwrap());
                store.insert(&session).await.unwrap();
                let mut writes = 0.0;
                while begin.elapsed() < time {
                    let outcome = store.renew(&fixture::renewal(&session, fixture::NOW)).await.unwrap();
                    let WriteOutcome::Done(renewed) = outcome else { panic!("nobody else renews it") };
                    session = renewed;
                    writes += 1.0;
                }
                writes
            })
        })
        .collect();
    let mut writes = 0.0;
    for chain in chains {
        writes += chain.await.unwrap();
    }
    writes / begin.elapsed().as_secs_f64()
}
