//! `eraseUser`: every trace of a user removed.

use async_graphql::{Context, InputObject, Object, SimpleObject};
use store::Erasure;
use store::new_event::check_user_id;

use super::error::Result;
use super::guard::Needs;
use super::resources::Resources;
use super::scalars::Count;
use super::user_error::{UserError, user_errors};

#[derive(Default)]
pub(super) struct EraseMutation;

#[Object]
impl EraseMutation {
    /// Deletes every trace of a user: the events, and the user's part in every number. With `blockFuture`, later events
    /// of the user are rejected as USER_ERASED.
    ///
    /// Erasing a user who is not there deletes nothing and is no error, so the same call may be sent again.
    #[graphql(guard = "Needs::Admin", complexity = "100 + child_complexity")]
    async fn erase_user(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The user.")] input: EraseUserInput,
    ) -> Result<EraseUserPayload> {
        if let Err(violation) = check_user_id(&input.user_id) {
            return Ok(EraseUserPayload {
                events_deleted: Count(0),
                user_errors: user_errors(vec![violation], &["input"]),
            });
        }
        let resources = Resources::of(context)?;
        let erasure = Erasure {
            user_id: input.user_id,
            block_future: input.block_future,
            now: resources.now(),
        };
        let erased = resources.store.erase_user(erasure, |_| {}).await?;
        Ok(EraseUserPayload {
            events_deleted: Count(erased.events_deleted),
            user_errors: Vec::new(),
        })
    }
}

/// A user to be erased.
#[derive(InputObject)]
pub(super) struct EraseUserInput {
    /// The user, as in events: 1 to 256 bytes without control characters, compared byte for byte.
    user_id: String,
    /// Whether later events of the user are rejected. What is kept for that is a salted hash, not the id.
    #[graphql(default = true)]
    block_future: bool,
}

/// What became of an erasure.
#[derive(SimpleObject)]
pub(super) struct EraseUserPayload {
    /// How many events were deleted; 0 for a user who is not there.
    events_deleted: Count,
    /// Why nothing was done; empty if all went well.
    user_errors: Vec<UserError>,
}
