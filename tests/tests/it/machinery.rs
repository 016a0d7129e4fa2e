//! The machinery itself, where a mistake would make other tests say yes too easily.

use std::collections::BTreeSet;

use tests::database::{Backend, TestDatabase};
use tests::streams::{Expected, Stream, deliver};

#[tokio::test]
async fn every_test_has_a_database_of_its_own() {
    for backend in [Backend::Sqlite, Backend::Postgres] {
        let [one, other] = [
            TestDatabase::migrated(backend).await,
            TestDatabase::migrated(backend).await,
        ];
        one.execute("INSERT INTO users (user_id) VALUES ('ana')").await;
        assert_eq!(one.number("SELECT COUNT(*) FROM users").await, 1);
        assert_eq!(other.number("SELECT COUNT(*) FROM users").await, 0);
    }
}

#[test]
fn a_seed_gives_the_same_stream_again() {
    let [one, same, other] = [7, 7, 15].map(|seed| Stream::new(seed).deliveries(50));
    assert_eq!(one, same);
    assert_ne!(one, other);
}

#[test]
fn streams_hold_duplicates_and_conflicts_and_hit_the_edges_of_days() {
    for seed in 0..8 {
        let mut stream = Stream::new(seed);
        let mut stored = Vec::new();
        let mut outcomes = Vec::new();
        for delivery in stream.deliveries(220) {
            outcomes.extend(deliver(&mut stored, &delivery));
        }
        let count = |kind| outcomes.iter().filter(|outcome| **outcome == kind).count();
        assert_eq!(count(Expected::Stored), 220, "seed {seed}");
        assert!(
            count(Expected::Duplicate) >= 5 && count(Expected::Conflict) >= 5,
            "seed {seed}"
        );
        let users: BTreeSet<&str> = stored.iter().map(|event| event.user_id.as_str()).collect();
        assert!(users.len() >= 15, "seed {seed}");
        let times: BTreeSet<_> = stored.iter().map(|event| event.occurred_at).collect();
        assert!(
            times.len() < stored.len(),
            "seed {seed}: no two events at the same instant"
        );
    }
}
