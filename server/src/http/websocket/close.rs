//! How a socket ends: the codes of the protocol, and ours.

use axum::extract::ws::CloseFrame;

/// The longest reason a close frame takes.
const MAX_REASON_BYTES: usize = 123;

/// Why a socket is closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Close {
    pub(super) code: u16,
    reason: String,
}

impl Close {
    fn new(code: u16, reason: impl Into<String>) -> Self {
        let mut reason = reason.into();
        reason.truncate(reason.floor_char_boundary(MAX_REASON_BYTES));
        Self { code, reason }
    }

    /// The server stops; another one, or the next start, takes the client again.
    pub(super) fn stopping() -> Self {
        Self::new(1001, "the server is stopping")
    }

    /// No sign of life came in answer to pings.
    pub(super) fn silent() -> Self {
        Self::new(1008, "no answer to pings")
    }

    pub(super) fn too_large(limit_bytes: usize) -> Self {
        Self::new(
            1009,
            format!("messages have at most {limit_bytes} bytes; larger data belong into POST /graphql"),
        )
    }

    /// The message is not one of the protocol.
    pub(super) fn invalid(fault: impl Into<String>) -> Self {
        Self::new(4400, fault)
    }

    pub(super) fn not_acknowledged() -> Self {
        Self::new(4401, "Unauthorized: connection_init comes first")
    }

    /// The key is refused, or was taken back.
    pub(super) fn forbidden(why: &str) -> Self {
        Self::new(4403, format!("Forbidden: {why}"))
    }

    /// Something is out of order for the moment.
    pub(super) fn try_again(why: &str) -> Self {
        Self::new(1013, why)
    }

    pub(super) fn init_timeout() -> Self {
        Self::new(4408, "Connection initialisation timeout")
    }

    pub(super) fn id_in_use(id: &str) -> Self {
        Self::new(4409, format!("Subscriber for {id} already exists"))
    }

    /// Results came faster than the client read them; some are lost to it.
    pub(super) fn too_slow() -> Self {
        Self::new(
            4410,
            "Slow reader: results came faster than they were read, some are lost",
        )
    }

    pub(super) fn second_init() -> Self {
        Self::new(4429, "Too many initialisation requests")
    }
}

impl From<Close> for CloseFrame {
    fn from(close: Close) -> Self {
        Self {
            code: close.code,
            reason: close.reason.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Close, MAX_REASON_BYTES};

    #[test]
    fn reasons_fit_into_a_close_frame() {
        assert_eq!(Close::invalid("é".repeat(100)).reason.len(), MAX_REASON_BYTES - 1);
        for close in [Close::too_large(65_536), Close::too_slow()] {
            assert!(close.reason.len() < MAX_REASON_BYTES, "{}", close.reason);
        }
    }
}
