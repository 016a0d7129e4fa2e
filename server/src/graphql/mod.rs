//! The GraphQL schema: one file per question or mutation, with its types and its resolver.
//!
//! Resolvers have three steps: parse the arguments, call the store, convert the answer. The doc comments of types,
//! fields and arguments are the documentation that API users read, so they are written for them.

mod active_today;
mod active_users;
mod arguments;
mod connection;
mod cursor;
mod erase;
mod error;
mod event;
mod event_added;
mod event_types;
mod events;
mod filter;
mod guard;
mod ingest;
mod inputs;
mod known_ingest;
mod page;
mod resources;
mod retention;
mod rows;
mod scalars;
mod server_info;
mod top_events;
mod user;
mod user_error;

use async_graphql::{MergedObject, MergedSubscription, SDLExportOptions, SchemaBuilder, ValidationMode};

pub(crate) use inputs::InputTypes;
pub(crate) use known_ingest::KnownIngest;
pub(crate) use resources::Resources;

use crate::http::graphql::NoteExecution;
use crate::limits::{MAX_DIRECTIVES, MAX_FRAGMENTS, MAX_QUERY_COMPLEXITY, MAX_QUERY_DEPTH};

/// Questions: who was active, what happened most, who came back; and the events themselves.
#[derive(MergedObject, Default)]
#[graphql(name = "Query")]
pub(crate) struct QueryRoot(
    active_users::ActiveUsersQuery,
    top_events::TopEventsQuery,
    retention::RetentionQuery,
    events::EventsQuery,
    event_types::EventTypesQuery,
    user::UserQuery,
    server_info::ServerInfoQuery,
);

/// Events in, and users out.
#[derive(MergedObject, Default)]
#[graphql(name = "Mutation")]
pub(crate) struct MutationRoot(ingest::IngestMutation, erase::EraseMutation);

/// What happens, as it happens.
#[derive(MergedSubscription, Default)]
#[graphql(name = "Subscription")]
pub(crate) struct SubscriptionRoot(
    event_added::EventAddedSubscription,
    active_today::ActiveTodaySubscription,
);

/// The whole schema.
pub(crate) type Schema = async_graphql::Schema<QueryRoot, MutationRoot, SubscriptionRoot>;

/// Whether clients may ask for the schema itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Introspection {
    /// Introspection is answered, and errors suggest what may have been meant.
    On,
    /// Neither.
    Off,
}

/// The schema with everything its resolvers need.
pub(crate) fn schema(resources: Resources, introspection: Introspection) -> Schema {
    finish(builder_with(resources).extension(NoteExecution), introspection)
}

/// The same for documents that [`schema`] has executed before, with variables that [`InputTypes`] has found to fit: it
/// leaves out what cannot have changed since. Complexity and depth are still bounded, for they may depend on variables.
pub(crate) fn schema_of_known_documents(resources: Resources, introspection: Introspection) -> Schema {
    let builder = builder_with(resources).validation_mode(ValidationMode::Fast);
    finish(builder, introspection)
}

fn builder_with(resources: Resources) -> Builder {
    let users = user::Users::new(resources.store.clone());
    builder().data(resources).data(users)
}

fn finish(builder: Builder, introspection: Introspection) -> Schema {
    match introspection {
        Introspection::On => builder.finish(),
        Introspection::Off => builder.disable_introspection().disable_suggestions().finish(),
    }
}

/// The schema in GraphQL's schema language, as `schema.graphql` holds it.
pub fn schema_sdl() -> String {
    let options = SDLExportOptions::new().include_specified_by().use_space_ident();
    let sdl = builder().finish().sdl_with_options(options);
    // The library indents empty lines as well.
    let lines: Vec<&str> = sdl.trim_end().lines().map(str::trim_end).collect();
    format!("{}\n", lines.join("\n"))
}

type Builder = SchemaBuilder<QueryRoot, MutationRoot, SubscriptionRoot>;

fn builder() -> Builder {
    Schema::build(
        QueryRoot::default(),
        MutationRoot::default(),
        SubscriptionRoot::default(),
    )
    .limit_complexity(MAX_QUERY_COMPLEXITY)
    .limit_depth(MAX_QUERY_DEPTH)
    // The library counts spreads as levels too: GraphiQL's introspection query has 15 fields and 3 spreads.
    .limit_recursive_depth(MAX_QUERY_DEPTH + MAX_FRAGMENTS)
    .limit_directives(MAX_DIRECTIVES)
}
