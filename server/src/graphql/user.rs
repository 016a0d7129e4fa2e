//! `user`: what is known of a user. Facts that cost a statement are read only if they are asked for, and those of many
//! users together. They are guarded field by field: a user also stands in the answer to who may only send events.

use std::collections::HashMap;
use std::time::Duration;

use async_graphql::dataloader::{DataLoader, Loader};
use async_graphql::{Context, Lookahead, Object, ScalarType, Value};
use store::{EventsQuestion, Order, Store, StoreError, UserFacts};

use super::arguments::user_id;
use super::connection::{EventConnection, PageArguments};
use super::error::{ApiError, Result};
use super::event::Event;
use super::guard::Needs;
use super::rows::Row;
use super::scalars::{Count, Instant};
use crate::limits::MAX_PAGE;

/// The fields that need a user's facts.
const FACTS: [&str; 3] = ["firstSeen", "lastSeen", "eventCount"];

#[derive(Default)]
pub(super) struct UserQuery;

#[Object]
impl UserQuery {
    /// The user with this id; null if nothing is stored of such a user.
    #[graphql(guard = "Needs::Query", complexity = "10 + child_complexity")]
    async fn user(
        &self,
        context: &Context<'_>,
        #[graphql(
            desc = "The id under which the user's events were sent, byte for byte.",
            name = "userId"
        )]
        id: String,
    ) -> Result<Option<User>> {
        let id = user_id("userId", id)?;
        let facts = Users::of(context)?.0.load_one(id.clone()).await?;
        Ok(facts.map(|facts| User {
            user_id: id,
            facts: Some(facts),
        }))
    }
}

/// Somebody with at least one event.
#[derive(Debug, Clone)]
pub(super) struct User {
    user_id: String,
    /// Where they are known already.
    facts: Option<UserFacts>,
}

/// Somebody with at least one event.
#[Object]
impl User {
    /// The id under which the user's events were sent, byte for byte.
    async fn user_id(&self) -> &str {
        &self.user_id
    }

    /// When the earliest of the user's events happened.
    #[graphql(guard = "Needs::Query")]
    async fn first_seen(&self, context: &Context<'_>) -> Result<Instant> {
        Ok(Instant::new(self.facts(context).await?.first_seen))
    }

    /// When the latest of the user's events happened.
    #[graphql(guard = "Needs::Query")]
    async fn last_seen(&self, context: &Context<'_>) -> Result<Instant> {
        Ok(Instant::new(self.facts(context).await?.last_seen))
    }

    /// How many events are stored of the user.
    #[graphql(guard = "Needs::Query")]
    async fn event_count(&self, context: &Context<'_>) -> Result<Count> {
        Ok(Count(self.facts(context).await?.event_count))
    }

    /// The user's events, newest first, in pages as of `events`.
    #[graphql(
        guard = "Needs::Query",
        complexity = "super::page::timeline_cost(first, last, child_complexity)"
    )]
    async fn events(
        &self,
        context: &Context<'_>,
        #[graphql(
            desc = "How many events from the newest on, or behind `after`: 0 to 1,000; 50 if neither `first` \
                          nor `last` is given."
        )]
        first: Option<i32>,
        #[graphql(desc = "Only events behind the one with this cursor, that is: older ones.")] after: Option<
            String,
        >,
        #[graphql(desc = "How many events up to the oldest, or before `before`: 0 to 1,000.")] last: Option<
            i32,
        >,
        #[graphql(desc = "Only events before the one with this cursor, that is: newer ones.")] before: Option<
            String,
        >,
    ) -> Result<EventConnection> {
        let list = EventsQuestion {
            user_id: Some(self.user_id.clone()),
            ..EventsQuestion::new(Order::NewestFirst)
        };
        let page = PageArguments {
            first,
            after,
            last,
            before,
        };
        EventConnection::read(context, list, page).await
    }
}

impl User {
    /// A user of whom only the id is known.
    pub(super) fn new(user_id: String) -> Self {
        Self { user_id, facts: None }
    }

    async fn facts(&self, context: &Context<'_>) -> Result<UserFacts> {
        let facts = match self.facts {
            Some(facts) => Some(facts),
            None => Users::of(context)?.0.load_one(self.user_id.clone()).await?,
        };
        facts.ok_or_else(|| ApiError::vanished("the user"))
    }
}

impl Row for User {
    fn value(&self, name: &str) -> Option<Value> {
        let facts = self.facts.as_ref();
        Some(match name {
            "userId" => self.user_id.as_str().into(),
            "firstSeen" => Instant::new(facts?.first_seen).to_value(),
            "lastSeen" => Instant::new(facts?.last_seen).to_value(),
            "eventCount" => Count(facts?.event_count).to_value(),
            _ => return None,
        })
    }
}

/// Reads the facts of users in batches: one statement for all who are asked for at the same moment.
pub(super) struct Users(DataLoader<UserLoader>);

impl Users {
    /// Those of `store`. Nothing is kept: what a user's facts are may change with every event.
    pub(super) fn new(store: Store) -> Self {
        let batch = usize::try_from(MAX_PAGE).unwrap_or(usize::MAX);
        let loader = DataLoader::new(UserLoader(store), tokio::spawn);
        Self(loader.delay(Duration::ZERO).max_batch_size(batch))
    }

    /// Those of the schema that runs `context`.
    fn of<'a>(context: &Context<'a>) -> Result<&'a Self> {
        context
            .data::<Self>()
            .map_err(|_| ApiError::defect("the schema was built without a loader of users"))
    }

    /// Gives the users of `events` their facts, if the selection below `user` in one of `selections` needs them.
    pub(super) async fn fill(
        context: &Context<'_>,
        selections: [Lookahead<'_>; 2],
        events: &mut [Event],
    ) -> Result<()> {
        let needed = selections.iter().any(|event| {
            let user = event.field("user");
            FACTS.iter().any(|name| user.field(name).exists())
        });
        if !needed {
            return Ok(());
        }
        let ids = events.iter().map(|event| event.user.user_id.clone());
        let facts = Self::of(context)?.0.load_many(ids).await?;
        for event in events {
            event.user.facts = facts.get(&event.user.user_id).copied();
        }
        Ok(())
    }
}

struct UserLoader(Store);

impl Loader<String> for UserLoader {
    type Value = UserFacts;
    type Error = StoreError;

    async fn load(&self, keys: &[String]) -> std::result::Result<HashMap<String, UserFacts>, StoreError> {
        self.0.user_facts(keys.to_vec()).await
    }
}
