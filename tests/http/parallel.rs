//! Many renewals at once with one token.

use std::{collections::BTreeSet, sync::Arc};

use crate::support::App;

async fn answers_to(app: &Arc<App>, client: &'static str, parallel: usize) -> Vec<crate::support::Answer> {
    let tokens = Arc::new(app.issue_for(client).await);
    app.operations();
    let tasks: Vec<_> = (0..parallel)
        .map(|_| {
            let (app, tokens) = (Arc::clone(app), Arc::clone(&tokens));
            tokio::spawn(async move { app.renew_as(client, &tokens).await })
        })
        .collect();
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.unwrap());
    }
    answers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thirty_two_parallel_renewals_make_one_commit_and_identical_successors() {
    let app = Arc::new(App::start().await);
    for client in ["librechat", "spa"] {
        let answers = answers_to(&app, client, 32).await;
        let refresh_tokens: BTreeSet<String> =
            answers.iter().map(|answer| answer.tokens().refresh().to_owned()).collect();
        assert_eq!(refresh_tokens.len(), 1, "identical successors");
        let claims: BTreeSet<String> = answers.iter().map(|answer| answer.tokens().claims().to_string()).collect();
        assert_eq!(claims.len(), 1, "identical claims");
        assert_eq!(app.operations(), vec!["UpdateItem"; 32], "one request each");
        let generations: Vec<String> =
            app.records().await.into_values().filter(|record| record.contains(client)).collect();
        assert!(
            generations.iter().all(|record| record.contains(r#""generation": N("1")"#)),
            "one commit: {generations:?}"
        );
        let latest = answers.first().unwrap().tokens();
        app.renew_as(client, &latest).await.tokens();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_strict_single_use_one_of_many_wins() {
    let app = Arc::new(App::start().await);
    let answers = answers_to(&app, "strict", 8).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        answer.invalid_grant();
    }
}
