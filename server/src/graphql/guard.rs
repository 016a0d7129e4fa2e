//! What a key must allow for a field to be answered.
//!
//! Every field at the top of the schema carries one of these, as in `#[graphql(guard = "Needs::Query")]`; a test holds
//! that none is forgotten. It is asked where the field is resolved, so no alias, fragment or batch gets around it.

use async_graphql::{Context, Guard};
use store::Scope;

use super::error::ApiError;
use crate::auth::Principal;
use crate::metrics;

/// What a key must allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Needs {
    /// Nothing in particular: whoever got in may ask.
    AnyScope,
    /// To send events.
    Ingest,
    /// To ask questions.
    Query,
    /// Everything.
    Admin,
}

impl Needs {
    fn scope(self) -> Option<Scope> {
        match self {
            Self::AnyScope => None,
            Self::Ingest => Some(Scope::Ingest),
            Self::Query => Some(Scope::Query),
            Self::Admin => Some(Scope::Admin),
        }
    }
}

impl Guard for Needs {
    async fn check(&self, context: &Context<'_>) -> async_graphql::Result<()> {
        // A request that came past the gate is nobody's, and gets nothing.
        let Some(principal) = context.data_opt::<Principal>() else {
            return Err(ApiError::defect("a request has no principal").into());
        };
        match self.scope() {
            Some(needed) if !principal.may(needed) => {
                metrics::denied("forbidden");
                Err(ApiError::forbidden(context.field().name(), needed, principal.scope).into())
            }
            _ => Ok(()),
        }
    }
}
