//! What a run under faults knows must be true: which events it sent, and which of them were acknowledged.
//!
//! Events are numbered, and a number says everything about its event, so the ledger needs one bit for each.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{ConnectionTrait, Database, Statement};
use serde_json::{Value, json};
use uuid::Uuid;

/// The events of one run, numbered from 0.
#[derive(Debug)]
pub struct Ledger {
    acknowledged: Vec<AtomicBool>,
    next: AtomicU64,
    claimed: AtomicU64,
    count: AtomicU64,
}

/// What a database holds of a ledger's events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Findings {
    /// Acknowledged events.
    pub acknowledged: u64,
    /// Events in the database; what was sent and not acknowledged may be among them.
    pub stored: u64,
    /// Acknowledged events that are not there.
    pub lost: u64,
    /// Rows too many of one event.
    pub doubled: u64,
    /// Events whose content is not what was sent.
    pub changed: u64,
    /// Events that nobody sent.
    pub alien: u64,
}

impl fmt::Display for Findings {
    fn fmt(&self, output: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            acknowledged,
            lost,
            doubled,
            changed,
            alien,
            ..
        } = self;
        write!(
            output,
            "of {acknowledged} acknowledged events {lost} are lost; {doubled} doubled, {changed} changed, {alien} alien"
        )
    }
}

impl Findings {
    fn is_clean(&self) -> bool {
        self.lost + self.doubled + self.changed + self.alien == 0
    }
}

impl Ledger {
    /// With room for `events` events.
    pub fn new(events: u64) -> Self {
        Self {
            acknowledged: (0..events).map(|_| AtomicBool::new(false)).collect(),
            next: AtomicU64::new(0),
            claimed: AtomicU64::new(0),
            count: AtomicU64::new(0),
        }
    }

    /// The next event to send; none when all were taken.
    pub fn take(&self) -> Option<u64> {
        let number = self.next.fetch_add(1, Ordering::SeqCst);
        (number < self.events()).then_some(number)
    }

    /// How many events there are.
    pub fn events(&self) -> u64 {
        self.acknowledged.len() as u64
    }

    /// How many events were taken to be sent, or claimed: no more can be stored.
    pub fn taken(&self) -> u64 {
        let taken = self.next.load(Ordering::SeqCst);
        taken.max(self.claimed.load(Ordering::SeqCst)).min(self.events())
    }

    /// Notes that somebody else sends events up to this one, too.
    pub fn claim(&self, end: u64) {
        self.claimed.fetch_max(end, Ordering::SeqCst);
    }

    /// Notes that an event was acknowledged; how many are now.
    pub fn acknowledge(&self, number: u64) -> u64 {
        if self.acknowledged[number as usize].swap(true, Ordering::SeqCst) {
            return self.count();
        }
        self.count.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// How many were acknowledged.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::SeqCst)
    }

    /// Whether an event was acknowledged.
    pub fn is_acknowledged(&self, number: u64) -> bool {
        self.acknowledged[number as usize].load(Ordering::SeqCst)
    }

    /// The numbers of the acknowledged events.
    pub fn acknowledged(&self) -> Vec<u64> {
        (0..self.taken())
            .filter(|number| self.is_acknowledged(*number))
            .collect()
    }

    /// Compares what the database holds with `acknowledged`, a list that was made before.
    ///
    /// # Errors
    /// A sentence that says how many events are lost, doubled, changed or alien, or what the database complained of.
    pub async fn check(&self, database_url: &str, acknowledged: &[u64]) -> Result<Findings, String> {
        let stored = stored_events(database_url).await?;
        let findings = self.compare(&stored, acknowledged);
        if findings.is_clean() {
            return Ok(findings);
        }
        Err(findings.to_string())
    }

    fn compare(&self, stored: &Stored, acknowledged: &[u64]) -> Findings {
        let mut findings = Findings {
            acknowledged: acknowledged.len() as u64,
            stored: stored.len() as u64,
            ..Findings::default()
        };
        let missing = |number: &&u64| !stored.contains_key(&event_id(**number));
        findings.lost = acknowledged.iter().filter(missing).count() as u64;
        let sent: HashMap<Uuid, u64> = (0..self.taken())
            .map(|number| (event_id(number), number))
            .collect();
        for (id, rows) in stored {
            findings.doubled += rows.len() as u64 - 1;
            match sent.get(id) {
                None => findings.alien += 1,
                Some(number) if rows.iter().any(|row| *row != content(*number)) => findings.changed += 1,
                Some(_) => {}
            }
        }
        findings
    }
}

/// Event `number` of every run, as the API takes it.
pub fn input(number: u64) -> Value {
    json!({
        "eventId": event_id(number).to_string(),
        "userId": user_id(number),
        "eventType": event_type(number),
        "occurredAt": occurred_at(number).to_rfc3339(),
        "properties": { "number": number },
    })
}

/// Events as a file for the importer.
pub fn csv(numbers: impl Iterator<Item = u64>) -> String {
    let mut text = String::from("event_id,user_id,event_type,occurred_at,properties\n");
    for number in numbers {
        let (id, user, kind) = (event_id(number), user_id(number), event_type(number));
        let time = occurred_at(number).to_rfc3339();
        text.push_str(&format!(
            "{id},{user},{kind},{time},\"{{\"\"number\"\":{number}}}\"\n"
        ));
    }
    text
}

/// The first and the last day on which events of a ledger lie.
pub const DAYS: (&str, &str) = ("2024-10-04", "2025-01-01");

fn event_id(number: u64) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("chaos {number}").as_bytes())
}

fn user_id(number: u64) -> String {
    format!("user {}", number % 1009)
}

fn event_type(number: u64) -> String {
    format!("type {}", number % 7)
}

/// Spread over ninety days, so that the sets of many days change all the time.
fn occurred_at(number: u64) -> DateTime<Utc> {
    let seconds = i64::try_from(number * 7919 % (90 * 86_400)).unwrap_or_default();
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000) + TimeDelta::seconds(seconds)
}

type Content = (String, String, i64, Value);

fn content(number: u64) -> Content {
    let time = occurred_at(number).timestamp_micros();
    (
        user_id(number),
        event_type(number),
        time,
        json!({ "number": number }),
    )
}

/// What the database holds: per event id each row's content.
type Stored = HashMap<Uuid, Vec<Content>>;

async fn stored_events(database_url: &str) -> Result<Stored, String> {
    let database = Database::connect(database_url)
        .await
        .map_err(|error| error.to_string())?;
    let sql = "SELECT event_id, user_id, event_type, occurred_at, properties FROM events";
    let statement = Statement::from_string(database.get_database_backend(), sql);
    let rows = database
        .query_all_raw(statement)
        .await
        .map_err(|error| error.to_string())?;
    let mut stored = Stored::new();
    for row in rows {
        let content = || {
            let id: Uuid = row.try_get("", "event_id")?;
            let names = (row.try_get("", "user_id")?, row.try_get("", "event_type")?);
            Ok((
                id,
                (
                    names.0,
                    names.1,
                    row.try_get("", "occurred_at")?,
                    row.try_get("", "properties")?,
                ),
            ))
        };
        let (id, content) = content().map_err(|error: sea_orm::DbErr| error.to_string())?;
        stored.entry(id).or_default().push(content);
    }
    database.close().await.map_err(|error| error.to_string())?;
    Ok(stored)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{DAYS, Findings, Ledger, Stored, content, event_id, occurred_at};

    #[test]
    fn everything_that_can_go_wrong_is_found() {
        let ledger = Ledger::new(10);
        ledger.claim(10);
        let rows = |number, count| (event_id(number), vec![content(number); count]);
        let mut stored = Stored::from([rows(0, 1), rows(1, 2), rows(2, 1), rows(99, 1)]);
        stored.entry(event_id(2)).or_default()[0].3 = json!({ "number": 3 });
        let found = ledger.compare(&stored, &[0, 1, 2, 3, 4]);
        let expected = Findings {
            acknowledged: 5,
            stored: 4,
            lost: 2,
            doubled: 1,
            changed: 1,
            alien: 1,
        };
        assert_eq!(found, expected);
        assert!(!found.is_clean());
    }

    #[test]
    fn every_event_lies_on_the_days_that_are_asked_for() {
        let days = (0..100_000).map(|number| occurred_at(number).date_naive().to_string());
        assert!(
            days.into_iter()
                .all(|day| (DAYS.0..=DAYS.1).contains(&day.as_str()))
        );
    }
}
