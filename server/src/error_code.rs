//! The stable codes of errors, `extensions.code` in every answer that holds one.
//!
//! Clients act on the code, people read the message. A code once released never changes its meaning.

/// What kind of error a client has met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    /// The HTTP request is not one that this server understands.
    BadRequest,
    /// The GraphQL document has a syntax error.
    GraphqlParseFailed,
    /// The GraphQL document does not fit the schema.
    GraphqlValidationFailed,
    /// The GraphQL document is larger, deeper or costlier than allowed.
    GraphqlLimitExceeded,
    /// An argument or variable has a value that is not allowed.
    BadUserInput,
    /// There is no API key with the request, or none that is good.
    Unauthenticated,
    /// The API key has not the scope that this needs.
    Forbidden,
    /// The request body is larger than allowed.
    PayloadTooLarge,
    /// The request body is not of a type or encoding that is taken.
    UnsupportedMediaType,
    /// The client sends more requests than it may; the same request may work later.
    RateLimited,
    /// More work is waiting than the server takes; the same request may work later.
    Overloaded,
    /// The database is out of reach; the same request may work later.
    Unavailable,
    /// The answer took too long; the same request may work later.
    Timeout,
    /// Results came faster than the client read them; the subscription may be made again.
    SlowReader,
    /// A defect of the server, never the client's fault.
    Internal,
}

impl Code {
    /// All there are.
    pub(crate) const ALL: [Self; 15] = [
        Self::BadRequest,
        Self::GraphqlParseFailed,
        Self::GraphqlValidationFailed,
        Self::GraphqlLimitExceeded,
        Self::BadUserInput,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::PayloadTooLarge,
        Self::UnsupportedMediaType,
        Self::RateLimited,
        Self::Overloaded,
        Self::Unavailable,
        Self::Timeout,
        Self::SlowReader,
        Self::Internal,
    ];

    /// The code as clients see it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "BAD_REQUEST",
            Self::GraphqlParseFailed => "GRAPHQL_PARSE_FAILED",
            Self::GraphqlValidationFailed => "GRAPHQL_VALIDATION_FAILED",
            Self::GraphqlLimitExceeded => "GRAPHQL_LIMIT_EXCEEDED",
            Self::BadUserInput => "BAD_USER_INPUT",
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::Forbidden => "FORBIDDEN",
            Self::PayloadTooLarge => "PAYLOAD_TOO_LARGE",
            Self::UnsupportedMediaType => "UNSUPPORTED_MEDIA_TYPE",
            Self::RateLimited => "RATE_LIMITED",
            Self::Overloaded => "OVERLOADED",
            Self::Unavailable => "UNAVAILABLE",
            Self::Timeout => "TIMEOUT",
            Self::SlowReader => "SLOW_READER",
            Self::Internal => "INTERNAL",
        }
    }

    /// The code that clients see as `text`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str() == text)
    }

    /// Whether the same request may succeed later.
    pub(crate) fn retryable(self) -> bool {
        matches!(
            self,
            Self::RateLimited | Self::Overloaded | Self::Unavailable | Self::Timeout | Self::SlowReader
        )
    }
}
