//! Errors of resolvers: a stable code and a sentence that a client may know.
//!
//! [`ApiError`] has no `Display` on purpose: the GraphQL library publishes whatever can be displayed, so a
//! stray `?` on an internal error must not compile.

use async_graphql::ErrorExtensions as _;
use store::{Scope, StoreError};

use crate::answer_memory::NoMemory;
use crate::error_code::Code;
use crate::http::exchange::RequestId;
use crate::logging::chain;

/// What a client may know of an error.
#[derive(Debug, Clone)]
pub(crate) struct ApiError {
    code: Code,
    message: String,
}

pub(crate) type Result<T> = std::result::Result<T, ApiError>;

impl ApiError {
    /// The argument `field` has a value that is not allowed; `fault` says what is wrong and what would be right.
    pub(super) fn bad_input(field: &str, fault: &str) -> Self {
        Self {
            code: Code::BadUserInput,
            message: format!("{field} {fault}"),
        }
    }

    /// `field` needs a scope that the key has not.
    pub(super) fn forbidden(field: &str, needed: Scope, present: Scope) -> Self {
        let message =
            format!("{field} needs an API key with the scope {needed}; this one has the scope {present}");
        Self {
            code: Code::Forbidden,
            message,
        }
    }

    /// What was asked about was deleted while the answer was made.
    pub(super) fn vanished(what: &str) -> Self {
        Self {
            code: Code::Unavailable,
            message: format!("{what} was deleted while this was answered; ask again"),
        }
    }

    /// A defect of ours: logged here, told to the client only as such.
    pub(super) fn defect(what: &str) -> Self {
        tracing::error!(what, request_id = request_id(), "a defect");
        Self::internal()
    }

    /// As much of this is under way as the server takes.
    pub(super) fn overloaded(message: &str) -> Self {
        Self {
            code: Code::Overloaded,
            message: message.to_owned(),
        }
    }

    /// A subscription's results came faster than they were taken.
    pub(super) fn too_slow() -> Self {
        let message = "results came faster than they were read, some are lost; subscribe again".to_owned();
        Self {
            code: Code::SlowReader,
            message,
        }
    }

    fn internal() -> Self {
        let message = "an unexpected error of the server; its log has more under this request id".to_owned();
        Self {
            code: Code::Internal,
            message,
        }
    }
}

impl From<NoMemory> for ApiError {
    fn from(refused: NoMemory) -> Self {
        let (code, message) = match refused {
            NoMemory::OfOne(most) => (
                Code::GraphqlLimitExceeded,
                format!(
                    "the answer takes more than {most} bytes of memory, the most allowed; ask for fewer entries, fields or \
                     questions at once"
                ),
            ),
            NoMemory::OfAll(most) => (
                Code::Overloaded,
                format!("all answers under way take {most} bytes of memory, the most at a time; try again"),
            ),
        };
        Self { code, message }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let retryable = |code, message: &str| Self {
            code,
            message: message.to_owned(),
        };
        match &error {
            StoreError::Invalid { field, reason } => Self::bad_input(field, reason),
            StoreError::Overloaded { limit } => Self::overloaded(&format!(
                "{limit} are waiting to be stored, the most at a time; try again"
            )),
            StoreError::Unavailable(_) | StoreError::Contended(_) => {
                tracing::warn!(
                    error = chain(&error),
                    request_id = request_id(),
                    "the database is unavailable"
                );
                retryable(Code::Unavailable, "the database is unavailable; try again")
            }
            StoreError::Timeout(_) => {
                tracing::warn!(
                    error = chain(&error),
                    request_id = request_id(),
                    "the database took too long"
                );
                retryable(Code::Timeout, "the database took too long; try again")
            }
            StoreError::Closed => retryable(Code::Unavailable, "the server is stopping; try again"),
            StoreError::Mismatch(_) | StoreError::Internal(_) | StoreError::Damaged(_) => {
                tracing::error!(
                    error = chain(&error),
                    request_id = request_id(),
                    "the store failed"
                );
                Self::internal()
            }
        }
    }
}

fn request_id() -> String {
    RequestId::current()
        .map(|id| id.as_str().to_owned())
        .unwrap_or_default()
}

impl From<ApiError> for async_graphql::Error {
    fn from(error: ApiError) -> Self {
        Self::new(error.message).extend_with(|_, extensions| extensions.set("code", error.code.as_str()))
    }
}
