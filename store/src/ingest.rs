//! One transaction of ingest: the events, their users, and what the fold has to know, all or nothing.
//!
//! The answer is given after the commit. Rows are sorted by key before they are written, and tables are written in one
//! order, so two transactions never wait for each other in a circle. Every write runs in a task of its own: a caller
//! that goes away cancels nothing (a connection dropped in the middle of `BEGIN` would poison the pool).

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use chrono::{DateTime, Utc};
use rand::RngExt;
use sea_orm::{ConnectionTrait, DbErr, QueryResult};
use serde_json::{Map, Value};
use tokio::time::Duration;
use tracing::warn;
use uuid::Uuid;

use crate::{
    MAX_RECONNECTS, Store,
    dialect::{Column, Dialect},
    error::StoreError,
    event_ids::lift_ids,
    ingest_sql::COUNT_TYPES,
    insertion::{Insertion, first_of_each_id},
    json,
    new_event::{EventField, NewEvent, Violation, ViolationCode},
    ordinals::{Memory, UserOrdinals},
    write_transaction::WriteTransaction,
};

/// The most event types a database takes. Every type has sets of its own and a line in every ranking: more of them than
/// this are not types but values that belong into `properties`.
pub const MAX_EVENT_TYPES: u64 = 10_000;
/// The most times a transaction is tried again after the database gave up on it for another one's sake.
const MAX_RETRIES: u32 = 3;
/// The advisory lock under which event types are counted and added on PostgreSQL.
const TYPES_LOCK: i64 = 0x6b6f_686f_0001;

/// What became of one event.
#[derive(Debug, Clone, PartialEq)]
pub enum IngestOutcome {
    /// It is stored.
    Stored,
    /// The same event was stored earlier, as given here.
    Duplicate(Box<StoredEvent>),
    /// Its id was stored earlier with other content, which stands.
    Conflict,
    /// It breaks a rule that only the database can tell: its user was erased, the events of its day have expired, or
    /// there are [`MAX_EVENT_TYPES`] event types already.
    Refused(Violation),
}

/// An event as it stands in the database.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredEvent {
    /// The event's identity.
    pub event_id: Uuid,
    /// Whose event it is.
    pub user_id: String,
    /// What happened.
    pub event_type: String,
    /// When it happened.
    pub occurred_at: DateTime<Utc>,
    /// When the server got it.
    pub received_at: DateTime<Utc>,
    /// Everything else.
    pub properties: Map<String, Value>,
}

impl From<&NewEvent> for StoredEvent {
    fn from(event: &NewEvent) -> Self {
        Self {
            event_id: event.event_id,
            user_id: event.user_id.clone(),
            event_type: event.event_type.clone(),
            occurred_at: event.occurred_at,
            received_at: event.received_at,
            properties: event.properties(),
        }
    }
}

impl StoredEvent {
    /// Whether `event`, which has the same id, says the same: by value, so neither the order of keys nor the spelling of
    /// numbers and instants matters. An event without a time agrees with any time.
    fn agrees_with(&self, event: &NewEvent) -> bool {
        self.user_id == event.user_id
            && self.event_type == event.event_type
            && (!event.occurred_at_given || self.occurred_at == event.occurred_at)
            && self.properties == event.properties()
    }

    /// Reads a row with the columns of `events`, found by their names.
    pub(crate) fn from_row(row: &QueryResult) -> Result<Self, StoreError> {
        let properties = match row.try_get_by::<Value, _>("properties")? {
            Value::Object(map) => json::canonical_map(map),
            _ => return Err(StoreError::internal("stored properties are not an object")),
        };
        Ok(Self {
            event_id: row.try_get_by("event_id")?,
            user_id: row.try_get_by("user_id")?,
            event_type: row.try_get_by("event_type")?,
            occurred_at: instant(row.try_get_by("occurred_at")?)?,
            received_at: instant(row.try_get_by("received_at")?)?,
            properties,
        })
    }
}

/// The instant of a stored time.
pub(crate) fn instant(micros: i64) -> Result<DateTime<Utc>, StoreError> {
    DateTime::from_timestamp_micros(micros)
        .ok_or_else(|| StoreError::internal("a stored time is out of range"))
}

impl Store {
    /// Stores events in one transaction and says what became of each, in the order given.
    ///
    /// Ids are unique for ever; where one comes twice in `events`, the first counts. Late events are ordinary.
    ///
    /// # Errors
    /// Nothing is known to be stored then; sending the same events (with their ids) again is safe.
    /// [`StoreError::Unavailable`], [`StoreError::Timeout`] and [`StoreError::Contended`] may pass.
    pub async fn ingest(&self, events: Vec<NewEvent>) -> Result<Vec<IngestOutcome>, StoreError> {
        self.ingest_shared(events.into()).await
    }

    /// [`Store::ingest`] for callers that need the events afterwards, to send them again if that failed.
    ///
    /// # Errors
    /// As [`Store::ingest`].
    pub async fn ingest_shared(&self, events: Arc<[NewEvent]>) -> Result<Vec<IngestOutcome>, StoreError> {
        let store = self.clone();
        self.spawn(async move { store.ingest_here(&events).await }).await
    }

    /// What [`Store::ingest`] would answer now, without writing anything. Event types are not counted.
    ///
    /// # Errors
    /// As [`Store::ingest`].
    pub async fn preview(&self, events: Vec<NewEvent>) -> Result<Vec<IngestOutcome>, StoreError> {
        let store = self.clone();
        self.spawn(async move {
            store.reload_rules(&store.inner.read).await?;
            let refused: HashMap<usize, Violation> = store.admission().refused(&events).collect();
            let ids = events.iter().map(|event| event.event_id).collect();
            let known = store.stored(&store.inner.read, ids).await?;
            let stored = |event: &NewEvent| !known.contains_key(&event.event_id);
            let new = events
                .iter()
                .filter(|event| stored(event))
                .map(|event| event.event_id)
                .collect();
            let known = Known {
                events: known,
                in_doubt: false,
            };
            Ok(outcomes(&events, &refused, &new, &known))
        })
        .await
    }

    /// [`Store::ingest`] for callers that run in a task of their own already.
    pub(crate) async fn ingest_here(&self, events: &[NewEvent]) -> Result<Vec<IngestOutcome>, StoreError> {
        let mut retries = 0;
        let mut attempt = Attempt {
            insertion: self.insertion(),
            hold_rules: false,
            in_doubt: false,
        };
        loop {
            let error = match self.ingest_once(events, attempt).await {
                Ok(outcomes) => return Ok(outcomes),
                Err(Failure::KnownId) => {
                    attempt.insertion = Insertion::Careful;
                    continue;
                }
                // Whether the events are there is to be seen: those of ours are told by the moment they arrived here.
                Err(Failure::Committing(error)) if error.is_broken_connection() => {
                    attempt.insertion = Insertion::Careful;
                    attempt.in_doubt = true;
                    error
                }
                Err(Failure::Committing(error)) => return Err(error),
                Err(Failure::Before(error)) => error,
                Err(Failure::OtherGeneration) => {
                    attempt.hold_rules = true;
                    StoreError::Contended(Arc::new(DbErr::RecordNotUpdated))
                }
            };
            let again = match &error {
                StoreError::Contended(_) => retries < MAX_RETRIES,
                // A connection that was cut. Where none was to be had at all, the caller has waited long enough.
                error if error.is_broken_connection() => retries < MAX_RECONNECTS,
                _ => false,
            };
            if !again {
                return Err(error);
            }
            retries += 1;
            warn!(retries, in_doubt = attempt.in_doubt, %error, "ingest transaction failed, trying again");
            let pause_ms = rand::rng().random_range(1..=20_u64 << retries.min(MAX_RETRIES));
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        }
    }

    async fn ingest_once(
        &self,
        events: &[NewEvent],
        attempt: Attempt,
    ) -> Result<Vec<IngestOutcome>, Failure> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        if !attempt.hold_rules
            && let Some(outcomes) = self.ingest_in_one_statement(events, attempt.insertion).await?
        {
            return Ok(outcomes);
        }
        let transaction = WriteTransaction::begin(&self.inner.write).await?;
        if attempt.hold_rules {
            self.hold_rules(&transaction).await?;
        }
        let admission = self.admission();
        let settings = admission.settings;
        let mut refused: HashMap<usize, Violation> = admission.refused(events).collect();
        let new_types = self.admit_types(&transaction, events, &mut refused).await?;
        let firsts = first_of_each_id(events, &refused);
        let new = match attempt.insertion {
            Insertion::Careful => self.insert_events(&transaction, &firsts).await?,
            Insertion::AllNew => match self.insert_new_events(&transaction, &firsts).await? {
                Some(new) => new,
                None => {
                    transaction.rollback().await.map_err(StoreError::from)?;
                    return Err(Failure::KnownId);
                }
            },
        };
        let known = if new.len() == firsts.len() {
            HashMap::new()
        } else {
            let ids = firsts
                .iter()
                .map(|event| event.event_id)
                .filter(|id| !new.contains(id))
                .collect();
            self.stored(&transaction, ids).await?
        };
        if firsts
            .iter()
            .any(|event| !new.contains(&event.event_id) && !known.contains_key(&event.event_id))
        {
            let cause = DbErr::RecordNotFound("an event was erased while it came again".to_owned());
            return Err(Failure::Before(StoreError::Contended(Arc::new(cause))));
        }
        let stored: Vec<&NewEvent> = firsts
            .into_iter()
            .filter(|event| new.contains(&event.event_id))
            .collect();
        let (mut users, mut log_rows) = (UserOrdinals::default(), 0);
        if !stored.is_empty() {
            if let Some(retired) = settings.retired_ids {
                lift_ids(&transaction, self.inner.dialect, retired).await?;
            }
            let memory = match attempt.hold_rules {
                false => Memory::Used,
                true => Memory::Unused,
            };
            let Some(logged) = self.log(&transaction, &stored, settings, memory).await? else {
                transaction.rollback().await.map_err(StoreError::from)?;
                return Err(match attempt.hold_rules {
                    false => Failure::OtherGeneration,
                    true => StoreError::internal("users of new events have no ordinal").into(),
                });
            };
            (users, log_rows) = logged;
        }
        transaction
            .commit()
            .await
            .map_err(|error| Failure::Committing(error.into()))?;
        self.check_file().map_err(Failure::Committing)?;
        self.remember_commit(new_types, !stored.is_empty(), settings.generation);
        self.inner.ordinals.remember(&users);
        if !stored.is_empty() || attempt.in_doubt {
            self.announce_stored(log_rows);
        }
        let known = Known {
            events: known,
            in_doubt: attempt.in_doubt,
        };
        Ok(outcomes(events, &refused, &new, &known))
    }

    /// Reads the rules as they stand and keeps others from changing them until the transaction ends: whoever does has
    /// the log of activity locked on PostgreSQL, or on SQLite the write lock, which this transaction has. For the same
    /// reason nobody is erased meanwhile.
    async fn hold_rules(&self, transaction: &WriteTransaction) -> Result<(), StoreError> {
        if self.inner.dialect == Dialect::Postgres {
            transaction
                .execute_unprepared("LOCK TABLE activity_log IN ROW EXCLUSIVE MODE")
                .await?;
        }
        self.reload_rules(transaction).await
    }

    /// Adds the event types that are new to those of this database, and what would be one too many to `refused`. Returns the
    /// types that are in the database once the transaction is committed.
    async fn admit_types(
        &self,
        transaction: &WriteTransaction,
        events: &[NewEvent],
        refused: &mut HashMap<usize, Violation>,
    ) -> Result<Vec<String>, StoreError> {
        let names = events
            .iter()
            .enumerate()
            .filter(|(position, _)| !refused.contains_key(position))
            .map(|(_, event)| event.event_type());
        let unknown: BTreeSet<&str> = self.unknown_types(names);
        if unknown.is_empty() {
            return Ok(Vec::new());
        }
        let dialect = self.inner.dialect;
        if dialect == Dialect::Postgres {
            let lock = dialect.statement("SELECT pg_advisory_xact_lock($1)", vec![TYPES_LOCK.into()]);
            transaction.execute_raw(lock).await?;
        }
        let names = || {
            vec![Column::Text(
                unknown.iter().map(|name| (*name).to_owned()).collect(),
            )]
        };
        let sql = &self.inner.sql.known_types;
        let rows = transaction
            .query_all_raw(dialect.list_statement(sql, names(), vec![]))
            .await?;
        let mut admitted: Vec<String> = Vec::with_capacity(unknown.len());
        for row in &rows {
            admitted.push(row.try_get_by_index(0)?);
        }
        let known: HashSet<String> = admitted.iter().cloned().collect();
        let count = transaction
            .query_one_raw(dialect.statement(COUNT_TYPES, vec![]))
            .await?;
        let count: i64 = count.map_or(Ok(0), |row| row.try_get_by_index(0))?;
        let room =
            usize::try_from(MAX_EVENT_TYPES.saturating_sub(count.unsigned_abs())).unwrap_or(usize::MAX);
        let new: Vec<String> = unknown
            .iter()
            .filter(|name| !known.contains(**name))
            .map(|name| (*name).to_owned())
            .take(room)
            .collect();
        if !new.is_empty() {
            let sql = &self.inner.sql.insert_types;
            let statement = dialect.list_statement(sql, vec![Column::Text(new.clone())], vec![]);
            transaction.execute_raw(statement).await?;
        }
        admitted.extend(new);
        let allowed: HashSet<&str> = admitted.iter().map(String::as_str).collect();
        let one_too_many =
            |event: &NewEvent| unknown.contains(event.event_type()) && !allowed.contains(event.event_type());
        for (position, _) in events.iter().enumerate().filter(|(_, event)| one_too_many(event)) {
            refused.entry(position).or_insert_with(too_many_types);
        }
        Ok(admitted)
    }

    /// The events with these ids that are stored.
    pub(crate) async fn stored(
        &self,
        connection: &impl ConnectionTrait,
        ids: Vec<Uuid>,
    ) -> Result<HashMap<Uuid, StoredEvent>, StoreError> {
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let sql = &self.inner.sql.stored_events;
        let statement = self
            .inner
            .dialect
            .list_statement(sql, vec![Column::Uuid(ids)], vec![]);
        let mut stored = HashMap::new();
        for row in connection.query_all_raw(statement).await? {
            let event = StoredEvent::from_row(&row)?;
            stored.insert(event.event_id, event);
        }
        Ok(stored)
    }
}

/// Where a transaction failed: only before its commit is it certain that nothing was stored.
pub(crate) enum Failure {
    /// All events were taken for new, and one was not.
    KnownId,
    Before(StoreError),
    /// Before the commit, because the rules that it went by are those of another generation, or an ordinal that it
    /// remembered is its user's no more.
    OtherGeneration,
    /// While or after it was committed.
    Committing(StoreError),
}

/// How a transaction is tried.
#[derive(Debug, Clone, Copy)]
struct Attempt {
    insertion: Insertion,
    /// The rules and all ordinals are read in the transaction, and nobody changes them until it ends.
    hold_rules: bool,
    /// Whether an earlier attempt may have been committed.
    in_doubt: bool,
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Before(error)
    }
}

fn too_many_types() -> Violation {
    Violation {
        code: ViolationCode::Invalid,
        field: EventField::EventType,
        path: Vec::new(),
        message: format!(
            "is new, and this database has {MAX_EVENT_TYPES} event types already, the most it takes; put what varies into properties"
        ),
    }
}

/// Events that are in the database already.
struct Known {
    events: HashMap<Uuid, StoredEvent>,
    /// Whether some may be there because of an attempt whose end is unknown: those have arrived at the same moment.
    in_doubt: bool,
}

/// What became of each event: `new` were inserted, `known` were there before.
fn outcomes(
    events: &[NewEvent],
    refused: &HashMap<usize, Violation>,
    new: &HashSet<Uuid>,
    known: &Known,
) -> Vec<IngestOutcome> {
    let mut firsts: HashMap<Uuid, StoredEvent> = HashMap::new();
    let repeated = repeated_ids(events);
    let outcome = |(position, event): (usize, &NewEvent)| {
        if let Some(violation) = refused.get(&position) {
            return IngestOutcome::Refused(violation.clone());
        }
        let first = firsts.get(&event.event_id);
        match first.or_else(|| known.events.get(&event.event_id)) {
            Some(stored) if !stored.agrees_with(event) => return IngestOutcome::Conflict,
            Some(stored) if first.is_some() || !known.in_doubt || stored.received_at != event.received_at => {
                return IngestOutcome::Duplicate(Box::new(stored.clone()));
            }
            Some(_) => {}
            None => debug_assert!(new.contains(&event.event_id)),
        }
        if repeated.contains(&event.event_id) {
            firsts.insert(event.event_id, event.into());
        }
        IngestOutcome::Stored
    };
    events.iter().enumerate().map(outcome).collect()
}

fn repeated_ids(events: &[NewEvent]) -> HashSet<Uuid> {
    let mut seen = HashSet::with_capacity(events.len());
    events
        .iter()
        .map(|event| event.event_id)
        .filter(|id| !seen.insert(*id))
        .collect()
}
