//! Why a row is refused.

use store::new_event::{Violation, quoted};

/// How much of a value is shown.
const SHOWN_CHARACTERS: usize = 200;

/// Why a row is refused, in the words of its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reject {
    /// The file's column that is wrong, the first one where there are several; empty if it is the row as a whole.
    pub(crate) column: String,
    /// What stands there, shortened.
    pub(crate) value: String,
    /// Everything that is wrong with the row and what would be right.
    pub(crate) reason: String,
}

impl Reject {
    /// A fault of the row as a whole.
    pub(crate) fn row(reason: impl Into<String>) -> Self {
        Self {
            column: String::new(),
            value: String::new(),
            reason: reason.into(),
        }
    }

    /// A fault of one column. `phrase` follows the column's name.
    pub(crate) fn column(column: &str, value: &str, phrase: &str) -> Self {
        Self {
            column: column.to_owned(),
            value: shortened(value),
            reason: format!("{column} {phrase}"),
        }
    }

    /// This fault, and then `other`.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.reason.push_str("; ");
        self.reason.push_str(&other.reason);
        self
    }

    /// The reason of a row whose bytes are no UTF-8, which starts at byte `offset` of the uncompressed text.
    pub(crate) fn not_utf8(column: &str, row: &[u8], offset: u64) -> Self {
        let position = std::str::from_utf8(row)
            .err()
            .map_or(0, |error| error.valid_up_to());
        let byte = row.get(position).copied().unwrap_or_default();
        let phrase = format!(
            "is not UTF-8: byte 0x{byte:02X} at byte {} of the row (byte {} of the uncompressed file)",
            position + 1,
            offset + position as u64 + 1,
        );
        match column {
            "" => Self::row(format!("the row {phrase}")),
            column => Self::column(column, "", &phrase),
        }
    }
}

/// A violation as a phrase that follows the column's name.
pub(crate) fn phrase(violation: &Violation) -> String {
    if violation.path.is_empty() {
        return violation.message.clone();
    }
    format!("at {} {}", quoted(&violation.path.join(".")), violation.message)
}

fn shortened(value: &str) -> String {
    match value.char_indices().nth(SHOWN_CHARACTERS) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None => value.to_owned(),
    }
}
