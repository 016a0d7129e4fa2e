//! What this process knows of its database, all of one generation: the settings, who was erased, and event types.
//!
//! Ingest works by it without a statement of its own, and the statement that appends to the log checks that the
//! generation is still the same. If it is not, nothing was written, and the transaction runs once more with the rules
//! read anew and held still.

use std::{
    collections::{BTreeSet, HashSet},
    sync::{Arc, PoisonError, RwLockReadGuard, RwLockWriteGuard},
};

use chrono::{DateTime, Utc};
use sea_orm::ConnectionTrait;

use crate::{
    Store,
    erased_users::{self, ErasedUsers},
    error::StoreError,
    new_event::{EventField, NewEvent, Violation, ViolationCode},
    settings::{self, Settings},
};

/// What ingest works by.
pub(crate) struct Rules {
    settings: Settings,
    erased: Arc<ErasedUsers>,
    /// Event types that are in the database: one that leaves it begins a new generation.
    types: HashSet<String>,
}

impl Rules {
    pub(crate) fn new(settings: Settings, erased: ErasedUsers) -> Self {
        Self {
            settings,
            erased: Arc::new(erased),
            types: HashSet::new(),
        }
    }
}

/// Which events a database takes, in one generation.
#[derive(Clone)]
pub(crate) struct Admission {
    pub(crate) settings: Settings,
    pub(crate) erased: Arc<ErasedUsers>,
    /// When the oldest event that is taken may have happened.
    earliest: Option<DateTime<Utc>>,
}

impl Admission {
    /// Which events are refused, by their position.
    pub(crate) fn refused<'a>(
        &'a self,
        events: &'a [NewEvent],
    ) -> impl Iterator<Item = (usize, Violation)> + 'a {
        let refusals = events.iter().map(|event| self.refusal(event));
        refusals
            .enumerate()
            .filter_map(|(position, refusal)| Some((position, refusal?)))
    }

    fn refusal(&self, event: &NewEvent) -> Option<Violation> {
        if self.erased.contains(event.user_id()) {
            return Some(Violation {
                code: ViolationCode::UserErased,
                field: EventField::UserId,
                path: Vec::new(),
                message: "names a user who was erased; later events of this user are refused".to_owned(),
            });
        }
        let horizon = self.settings.horizon?;
        (event.occurred_at() < self.earliest?).then(|| Violation {
            code: ViolationCode::TooOld,
            field: EventField::OccurredAt,
            path: Vec::new(),
            message: format!(
                "lies before {horizon}; the events of earlier days have expired, and none is taken"
            ),
        })
    }
}

impl Store {
    pub(crate) fn settings(&self) -> Settings {
        self.rules().settings
    }

    /// Which events are taken, as far as this process knows.
    pub(crate) fn admission(&self) -> Admission {
        let rules = self.rules();
        let settings = rules.settings;
        Admission {
            settings,
            erased: Arc::clone(&rules.erased),
            earliest: settings.horizon.map(|day| settings.calendar.start_of(day)),
        }
    }

    /// Reads the rules again.
    pub(crate) async fn reload_rules(&self, connection: &impl ConnectionTrait) -> Result<(), StoreError> {
        let since = self.settings().generation;
        // In this order: tombstones that are newer than the settings do no harm.
        let settings = settings::read(connection).await?;
        if settings.generation == since {
            return Ok(());
        }
        let erased = erased_users::read_since(connection, since).await?;
        let mut rules = self.rules_mut();
        if settings.generation > rules.settings.generation {
            rules.settings = settings;
            rules.types.clear();
        }
        if !erased.is_empty() {
            Arc::make_mut(&mut rules.erased).add(erased);
        }
        Ok(())
    }

    /// Those of `names` that are not known to be in the database.
    pub(crate) fn unknown_types<'a>(&self, names: impl Iterator<Item = &'a str>) -> BTreeSet<&'a str> {
        let rules = self.rules();
        names.filter(|name| !rules.types.contains(*name)).collect()
    }

    /// Remembers what a transaction of this generation has committed: these event types are in the database, and its
    /// ids are beyond the retired ones.
    pub(crate) fn remember_commit(&self, types: Vec<String>, stored: bool, generation: i64) {
        if types.is_empty() && !(stored && self.settings().retired_ids.is_some()) {
            return;
        }
        let mut rules = self.rules_mut();
        if rules.settings.generation != generation {
            return;
        }
        rules.types.extend(types);
        if stored {
            rules.settings.retired_ids = None;
        }
    }

    fn rules(&self) -> RwLockReadGuard<'_, Rules> {
        self.inner.rules.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn rules_mut(&self) -> RwLockWriteGuard<'_, Rules> {
        self.inner.rules.write().unwrap_or_else(PoisonError::into_inner)
    }
}
