//! The short form of `scripts/soak`: random faults on both databases.

use std::time::Duration;

use tests::kohorta::KohortaOptions;
use tests::soak::{SoakOptions, soak};
use tests::soak_world::Backend;

async fn random_faults(backend: Backend) {
    let options = SoakOptions {
        backend,
        duration: Duration::from_secs(60),
        connections: 16,
        seed: 6,
        kohorta: KohortaOptions {
            arguments: vec!["--fold-interval-ms=50".to_owned()],
            ..KohortaOptions::default()
        },
        importer: None,
    };
    let report = soak(options, |line| println!("{line}"))
        .await
        .unwrap_or_else(|complaint| panic!("{complaint}"));
    println!("{report}");
    assert!(report.faults.values().sum::<u64>() >= 1, "{report}");
    assert!(report.answers > 0, "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_under_random_faults_loses_nothing() {
    random_faults(Backend::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_under_random_faults_loses_nothing() {
    random_faults(Backend::Postgres).await;
}
