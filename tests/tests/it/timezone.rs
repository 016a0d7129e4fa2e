//! The reporting time zone: fixed by the first opening, held against any other.

use chrono_tz::Tz;
use store::{Store, StoreError, StoreOptions};
use tests::database::TestDatabase;

on_both_databases!(
    the_first_opening_fixes_the_zone,
    without_a_zone_it_is_utc,
    another_zone_is_refused_and_named,
);

async fn the_first_opening_fixes_the_zone(database: TestDatabase) {
    assert_eq!(
        database.store_in(Tz::America__Santiago).await.timezone(),
        Tz::America__Santiago
    );
    assert_eq!(database.store().await.timezone(), Tz::America__Santiago);
    assert_eq!(
        database.store_in(Tz::America__Santiago).await.timezone(),
        Tz::America__Santiago
    );
}

async fn without_a_zone_it_is_utc(database: TestDatabase) {
    assert_eq!(database.store().await.timezone(), Tz::UTC);
    assert_eq!(database.store_in(Tz::UTC).await.timezone(), Tz::UTC);
}

async fn another_zone_is_refused_and_named(database: TestDatabase) {
    database.store_in(Tz::Asia__Kolkata).await;
    let mut options = StoreOptions::new(database.url());
    options.timezone = Some(Tz::UTC);
    let error = Store::open(options).await.err().expect("the zone is another one");
    assert!(
        matches!(&error, StoreError::Mismatch(text) if text.contains("Asia/Kolkata")),
        "{error:?}"
    );
}
