//! What a run under faults knows must be true: which events it sent, and which of them were acknowledged.
//!
//! Events are numbered, and a number says everything about its event, so the ledger needs one bit for each.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{ConnectionTrait, Database, DatabaseConnection, DbErr, QueryResult, Statement};
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
    /// Events of the ledger in the database; what was sent and not acknowledged may be among them.
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
        let database = Database::connect(database_url)
            .await
            .map_err(|error| error.to_string())?;
        let mut comparison = Comparison::with(self.taken());
        let mut last = i64::MIN;
        loop {
            let page = stored_events(&database, last).await?;
            let Some(row) = page.last() else {
                break;
            };
            last = row.id;
            for row in &page {
                comparison.add(row);
            }
        }
        database.close().await.map_err(|error| error.to_string())?;
        let findings = comparison.findings(acknowledged);
        if findings.is_clean() {
            return Ok(findings);
        }
        Err(findings.to_string())
    }
}

/// What was sent, and what of it was found so far. Holds no events, so that a run may be long.
struct Comparison {
    /// Which event has this id.
    sent: HashMap<Uuid, u64>,
    /// Whether an event was found, by its number.
    found: Vec<bool>,
    findings: Findings,
}

impl Comparison {
    /// For a run that sent the first `events` events.
    fn with(events: u64) -> Self {
        Self {
            sent: (0..events).map(|number| (event_id(number), number)).collect(),
            found: vec![false; events as usize],
            findings: Findings::default(),
        }
    }

    fn add(&mut self, row: &Row) {
        let findings = &mut self.findings;
        let Some(number) = self.sent.get(&row.event_id) else {
            findings.alien += 1;
            return;
        };
        if std::mem::replace(&mut self.found[*number as usize], true) {
            findings.doubled += 1;
        } else {
            findings.stored += 1;
        }
        if row.content != content(*number) {
            findings.changed += 1;
        }
    }

    fn findings(self, acknowledged: &[u64]) -> Findings {
        let is_lost = |number: &&u64| !self.found[**number as usize];
        Findings {
            acknowledged: acknowledged.len() as u64,
            lost: acknowledged.iter().filter(is_lost).count() as u64,
            ..self.findings
        }
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

/// What the database holds of an event.
struct Row {
    id: i64,
    event_id: Uuid,
    content: Content,
}

/// The next rows behind the one with the id `last`; none at the end.
async fn stored_events(database: &DatabaseConnection, last: i64) -> Result<Vec<Row>, String> {
    let sql = "SELECT id, event_id, user_id, event_type, occurred_at, properties FROM events \
               WHERE id > $1 ORDER BY id LIMIT 20000";
    let statement = Statement::from_sql_and_values(database.get_database_backend(), sql, [last.into()]);
    let rows = database
        .query_all_raw(statement)
        .await
        .map_err(|error| error.to_string())?;
    let read: Result<Vec<Row>, DbErr> = rows.iter().map(Row::read).collect();
    read.map_err(|error| error.to_string())
}

impl Row {
    fn read(row: &QueryResult) -> Result<Self, DbErr> {
        Ok(Self {
            id: row.try_get("", "id")?,
            event_id: row.try_get("", "event_id")?,
            content: (
                row.try_get("", "user_id")?,
                row.try_get("", "event_type")?,
                row.try_get("", "occurred_at")?,
                row.try_get("", "properties")?,
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Comparison, DAYS, Findings, Row, content, event_id, occurred_at};

    #[test]
    fn everything_that_can_go_wrong_is_found() {
        let mut comparison = Comparison::with(10);
        for number in [0, 1, 1, 2, 99] {
            let mut row = Row {
                id: 0,
                event_id: event_id(number),
                content: content(number),
            };
            if number == 2 {
                row.content.3 = json!({ "number": 3 });
            }
            comparison.add(&row);
        }
        let found = comparison.findings(&[0, 1, 2, 3, 4]);
        let expected = Findings {
            acknowledged: 5,
            stored: 3,
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
