//! Work that is tried again when the database gives it up for another transaction's sake.

use std::time::Duration;

use rand::RngExt;
use tracing::warn;

use crate::error::StoreError;

/// The most times in a row that work is tried again.
const MAX_RETRIES: u32 = 5;

/// Does `work`, one transaction, and does it again while the database gives it up: nothing of it has happened then.
///
/// # Errors
/// What stands in the way for good.
pub(crate) async fn despite_contention<T, Work>(work: impl Fn() -> Work) -> Result<T, StoreError>
where
    Work: Future<Output = Result<T, StoreError>>,
{
    let mut retries = 0;
    loop {
        match work().await {
            Err(StoreError::Contended(cause)) if retries < MAX_RETRIES => {
                retries += 1;
                warn!(retries, error = %cause, "the database gave a transaction up, trying again");
                let pause_ms = rand::rng().random_range(1..=50_u64 << retries);
                tokio::time::sleep(Duration::from_millis(pause_ms)).await;
            }
            other => return other,
        }
    }
}
