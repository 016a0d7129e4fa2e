//! `kohorta keys`: makes, lists and revokes API keys.
//!
//! A new key goes to standard output and nowhere else, so that a script can take it: only its hash is kept.

use std::process::ExitCode;

use chrono::{DateTime, SecondsFormat, Utc};
use store::{ApiKey, NewKey, StoreError};

use super::print;
use crate::auth::{generate, hash};
use crate::clock::Clock;
use crate::config::{CommonOptions, Expiry, KeysAction};
use crate::start::StartError;

/// `kohorta keys`. Brings the tables up to date first, so that there can be a key before the server runs.
///
/// # Errors
/// [`StartError`] if the database cannot be reached, or the key is not one that can be made or revoked.
pub async fn keys(common: &CommonOptions, action: KeysAction) -> Result<ExitCode, StartError> {
    let now = Clock::System.now();
    let database = store::connect(common.database_url.as_str()).await?;
    let is_current = migration::is_current(&database)
        .await
        .map_err(StartError::migration)?;
    if !is_current {
        migration::migrate(&database)
            .await
            .map_err(StartError::migration)?;
    }
    let said = match action {
        KeysAction::Create { name, scope, expires } => {
            let secret = generate(scope).map_err(|error| StartError::Random(Box::new(error)))?;
            let key = NewKey {
                name,
                scope,
                hash: hash(&secret),
                expires_at: end(expires, now)?,
            };
            let name = key.name.clone();
            store::create_key(&database, key, now).await?;
            tracing::info!(%name, %scope, "made a key; it is shown this once and cannot be shown again");
            format!("{secret}\n")
        }
        KeysAction::List => table(&store::all_keys(&database).await?, now),
        KeysAction::Revoke { name } => {
            store::revoke_key(&database, &name, now).await?;
            tracing::info!(%name, "revoked; servers notice within seconds");
            String::new()
        }
    };
    // What was written is committed.
    let _ = database.close().await;
    print(&said)
}

fn end(expires: Option<Expiry>, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, StoreError> {
    match expires.map(|expiry| expiry.of_key_made_at(now)) {
        Some(None) => Err(StoreError::Invalid {
            field: "expiry",
            reason: "it lies beyond all calendars".to_owned(),
        }),
        Some(end) => Ok(end),
        None => Ok(None),
    }
}

/// One line for each key.
fn table(keys: &[ApiKey], now: DateTime<Utc>) -> String {
    let mut rows = vec![["NAME", "SCOPE", "STATE", "CREATED", "EXPIRES", "LAST USED"].map(ToOwned::to_owned)];
    rows.extend(keys.iter().map(|key| {
        [
            key.name.clone(),
            key.scope.to_string(),
            state(key, now).to_owned(),
            time(Some(key.created_at)),
            time(key.expires_at),
            time(key.last_used_at),
        ]
    }));
    let mut widths = [0; 6];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.len().max(*width);
        }
    }
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (width, cell) in widths.iter().zip(row) {
            line.push_str(&format!("{cell:width$}  "));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn state(key: &ApiKey, now: DateTime<Utc>) -> &'static str {
    if key.revoked_at.is_some() {
        "revoked"
    } else if key.has_expired(now) {
        "expired"
    } else {
        "live"
    }
}

fn time(at: Option<DateTime<Utc>>) -> String {
    at.map_or_else(
        || "-".to_owned(),
        |at| at.to_rfc3339_opts(SecondsFormat::Secs, true),
    )
}
