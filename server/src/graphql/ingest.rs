//! `ingestEvent` and `ingestEvents`: events in.

use async_graphql::{Context, Enum, InputObject, Object, ScalarType, SimpleObject, Value};
use chrono::{DateTime, Utc};
use store::new_event::{NewEvent, RawEvent, Violation};
use store::{IngestOutcome, StoredEvent};

use super::error::{ApiError, Result};
use super::event::Event;
use super::guard::Needs;
use super::resources::Resources;
use super::rows::{PlainFields, Row, Rows};
use super::scalars::{Count, Instant, JsonObject, Uuid};
use super::user_error::{UserError, user_errors};
use crate::limits::MAX_BATCH_EVENTS;
use crate::metrics::{IngestCounts, events_ingested};

#[derive(Default)]
pub(super) struct IngestMutation;

#[Object]
impl IngestMutation {
    /// Stores one event. The answer comes after the commit: an event that is answered STORED or DUPLICATE stays.
    #[graphql(guard = "Needs::Ingest", complexity = "10 + child_complexity")]
    async fn ingest_event(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The event.")] input: IngestEventInput,
    ) -> Result<IngestEventPayload> {
        let resources = Resources::of(context)?;
        let parsed = Parsed::new(input.into(), resources, resources.now());
        let is_wanted = context.look_ahead().field("event").exists();
        let event = parsed.event.as_ref().ok().filter(|_| is_wanted);
        let event = event.map(StoredEvent::from);
        let mut judged = ingest(resources, vec![parsed]).await?;
        let only = judged
            .pop()
            .ok_or_else(|| ApiError::defect("an event has no outcome"))?;
        Ok(IngestEventPayload::new(only, event))
    }

    /// Stores up to 2,000 events. Good events are kept when others are rejected.
    ///
    /// Should the answer be an error, send the same events again: those with an `eventId` are stored once, however
    /// often they are sent.
    #[graphql(guard = "Needs::Ingest", complexity = "100 + child_complexity")]
    async fn ingest_events(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The events.")] input: IngestEventsInput,
    ) -> Result<IngestEventsPayload> {
        let count = input.events.len();
        if !(1..=MAX_BATCH_EVENTS).contains(&count) {
            let fault = format!("has {count} entries; a batch has 1 to {MAX_BATCH_EVENTS}");
            return Err(ApiError::bad_input("input.events", &fault));
        }
        let resources = Resources::of(context)?;
        let now = resources.now();
        let parsed = input
            .events
            .into_iter()
            .map(|input| Parsed::new(input.into(), resources, now))
            .collect();
        Ok(IngestEventsPayload::new(ingest(resources, parsed).await?))
    }
}

/// An event to be stored.
#[derive(InputObject)]
pub(super) struct IngestEventInput {
    /// Supply it to make retries safe for ever; without it the server makes a UUIDv7.
    event_id: Option<Uuid>,
    /// Whose event it is: 1 to 256 bytes without control characters, compared byte for byte.
    user_id: String,
    /// What happened: 1 to 256 bytes without control characters. A database takes 10,000 different event types.
    event_type: String,
    /// Without it, the moment of arrival; a retry without it is a DUPLICATE whatever time was stored.
    ///
    /// From 1970 to one hour ahead of the server's clock. Digits beyond the microsecond are cut off.
    occurred_at: Option<Instant>,
    /// Anything else: at most 64 KiB of JSON and 16 levels deep. Without it, an empty object.
    properties: Option<JsonObject>,
}

/// Events to be stored.
#[derive(InputObject)]
pub(super) struct IngestEventsInput {
    /// 1 to 2,000 events. Their order does not matter, unless two have the same `eventId`: then the first counts.
    events: Vec<IngestEventInput>,
}

impl From<IngestEventInput> for RawEvent {
    fn from(input: IngestEventInput) -> Self {
        Self {
            event_id: input.event_id.map(Uuid::into_text),
            user_id: input.user_id,
            event_type: input.event_type,
            occurred_at: input.occurred_at.map(Instant::into_text),
            properties: input.properties.map(JsonObject::into_json),
        }
    }
}

/// What became of an event.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
pub(super) enum IngestStatus {
    /// It is stored now.
    Stored,
    /// It was stored earlier, with the same content; nothing changed.
    Duplicate,
    /// It is not stored; `userErrors` says why.
    Rejected,
}

/// What became of one event.
#[derive(SimpleObject)]
pub(super) struct IngestEventPayload {
    /// What became of it.
    status: IngestStatus,
    /// The event as it is stored; null if it was rejected.
    event: Option<Event>,
    /// Why it was rejected; empty if it was not.
    user_errors: Vec<UserError>,
}

/// What became of the events of a batch; the three counts add up to their number.
#[derive(SimpleObject)]
pub(super) struct IngestEventsPayload {
    /// Events that are stored now.
    stored: Count,
    /// Events that were stored earlier, or stand in this batch twice, with the same content.
    duplicates: Count,
    /// Events that are not stored.
    rejected: Count,
    /// One entry per rejected event.
    rejections: Rows<IngestRejection>,
}

/// Why one event of a batch is not stored.
#[derive(SimpleObject)]
pub(super) struct IngestRejection {
    /// Its position in the batch, counted from 0.
    index: i32,
    /// Its `eventId`, if it was sent with a valid one.
    event_id: Option<Uuid>,
    /// Why it was rejected.
    user_errors: Vec<UserError>,
}

impl Row for IngestRejection {
    fn value(&self, name: &str) -> Option<Value> {
        Some(match name {
            "index" => self.index.into(),
            "eventId" => self.event_id.as_ref().map_or(Value::Null, ScalarType::to_value),
            _ => return None,
        })
    }

    fn object(&self, name: &str, fields: &PlainFields<'_>) -> Option<Value> {
        match name {
            "userErrors" => fields.of_rows(&self.user_errors),
            _ => None,
        }
    }
}

/// An event before the store sees it: valid, or with what is wrong.
pub(super) struct Parsed {
    /// The event's id, unless it was sent with one that is not valid.
    event_id: Option<uuid::Uuid>,
    event: std::result::Result<NewEvent, Vec<Violation>>,
}

impl Parsed {
    pub(super) fn new(raw: RawEvent, resources: &Resources, now: DateTime<Utc>) -> Self {
        let sent_id = raw
            .event_id
            .as_deref()
            .and_then(|text| uuid::Uuid::try_parse(text).ok());
        let event = NewEvent::parse(raw, now, resources.max_ahead);
        let event_id = event.as_ref().map_or(sent_id, |event| Some(event.event_id()));
        Self { event_id, event }
    }
}

/// An event after the store, or the rules, have judged it.
pub(super) struct Judged {
    event_id: Option<uuid::Uuid>,
    verdict: Verdict,
}

enum Verdict {
    Stored,
    Duplicate(Box<StoredEvent>),
    Conflict,
    Rejected(Vec<Violation>),
}

/// Stores what is valid of `parsed` in one go and judges each, in their order.
pub(super) async fn ingest(resources: &Resources, parsed: Vec<Parsed>) -> Result<Vec<Judged>> {
    let mut valid = Vec::with_capacity(parsed.len());
    let mut entries = Vec::with_capacity(parsed.len());
    for one in parsed {
        let violations = one.event.map(|event| valid.push(event)).err();
        entries.push((one.event_id, violations));
    }
    let count_valid = valid.len() as u64;
    let outcomes = resources.writer.submit(valid).await;
    let outcomes =
        outcomes.and_then(|outcomes| outcomes.into_iter().collect::<std::result::Result<Vec<_>, _>>());
    let mut outcomes = outcomes.inspect_err(|_| failed(count_valid))?.into_iter();
    let mut judged = Vec::with_capacity(entries.len());
    for (event_id, violations) in entries {
        let verdict = match violations {
            Some(violations) => Verdict::Rejected(violations),
            None => match outcomes.next() {
                Some(outcome) => verdict(outcome),
                None => return Err(ApiError::defect("an event has no outcome")),
            },
        };
        judged.push(Judged { event_id, verdict });
    }
    count(&judged);
    Ok(judged)
}

/// Counts events whose sender got an error instead of an outcome.
fn failed(events: u64) {
    events_ingested(IngestCounts {
        failed: events,
        ..IngestCounts::default()
    });
}

fn verdict(outcome: IngestOutcome) -> Verdict {
    match outcome {
        IngestOutcome::Stored => Verdict::Stored,
        IngestOutcome::Duplicate(stored) => Verdict::Duplicate(stored),
        IngestOutcome::Conflict => Verdict::Conflict,
        IngestOutcome::Refused(violation) => Verdict::Rejected(vec![violation]),
    }
}

fn count(judged: &[Judged]) {
    let mut counts = IngestCounts::default();
    for one in judged {
        match one.verdict {
            Verdict::Stored => counts.stored += 1,
            Verdict::Duplicate(_) => counts.duplicate += 1,
            Verdict::Conflict => counts.conflict += 1,
            Verdict::Rejected(_) => counts.rejected += 1,
        }
    }
    events_ingested(counts);
}

impl IngestEventPayload {
    /// `event` is the event as it was sent, if it is valid and asked for.
    pub(super) fn new(judged: Judged, event: Option<StoredEvent>) -> Self {
        let (status, event, user_errors) = match judged.verdict {
            Verdict::Stored => (IngestStatus::Stored, event.map(Event::from), Vec::new()),
            Verdict::Duplicate(stored) => (IngestStatus::Duplicate, Some(Event::from(*stored)), Vec::new()),
            Verdict::Conflict => (
                IngestStatus::Rejected,
                None,
                vec![UserError::conflict(&["input"])],
            ),
            Verdict::Rejected(violations) => {
                (IngestStatus::Rejected, None, user_errors(violations, &["input"]))
            }
        };
        Self {
            status,
            event,
            user_errors,
        }
    }
}

impl IngestEventsPayload {
    pub(super) fn new(judged: Vec<Judged>) -> Self {
        let (mut stored, mut duplicates) = (0, 0);
        let mut rejections = Vec::new();
        for (position, one) in judged.into_iter().enumerate() {
            let place = position.to_string();
            let path = ["input", "events", place.as_str()];
            let user_errors = match one.verdict {
                Verdict::Stored => {
                    stored += 1;
                    continue;
                }
                Verdict::Duplicate(_) => {
                    duplicates += 1;
                    continue;
                }
                Verdict::Conflict => vec![UserError::conflict(&path)],
                Verdict::Rejected(violations) => user_errors(violations, &path),
            };
            let index = i32::try_from(position).unwrap_or(i32::MAX);
            rejections.push(IngestRejection {
                index,
                event_id: one.event_id.map(Uuid::new),
                user_errors,
            });
        }
        let rejected = Count(rejections.len() as u64);
        Self {
            stored: Count(stored),
            duplicates: Count(duplicates),
            rejected,
            rejections: Rows(rejections),
        }
    }
}

impl Row for IngestEventPayload {
    fn value(&self, name: &str) -> Option<Value> {
        (name == "status").then(|| self.status.into())
    }

    fn object(&self, name: &str, fields: &PlainFields<'_>) -> Option<Value> {
        match name {
            "userErrors" => fields.of_rows(&self.user_errors),
            _ => None,
        }
    }
}

impl Row for IngestEventsPayload {
    fn value(&self, name: &str) -> Option<Value> {
        let count = match name {
            "stored" => self.stored,
            "duplicates" => self.duplicates,
            "rejected" => self.rejected,
            _ => return None,
        };
        Some(count.to_value())
    }

    fn object(&self, name: &str, fields: &PlainFields<'_>) -> Option<Value> {
        match name {
            "rejections" => fields.of_rows(&self.rejections.0),
            _ => None,
        }
    }
}
