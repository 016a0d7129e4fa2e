//! Cursors: a place in a list, as a word that clients hand back unread.
//!
//! A cursor says where its entry stands, not which page it was on, so it holds whatever is stored or deleted meanwhile.
//! It is checked like everything else that clients send: one that was not given out is a fault of the client, or means
//! a place at which nothing stands.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::DateTime;
use store::Position;
use store::new_event::{MAX_NAME_BYTES, quoted};

use super::error::{ApiError, Result};

/// What the first byte says that a cursor is. A new layout gets a new number.
const EVENT: u8 = 1;
const NAME: u8 = 2;
/// The longest cursor that is decoded: that of the longest name.
const MAX_CHARACTERS: usize = (MAX_NAME_BYTES + 1).div_ceil(3) * 4;

/// The cursor of an event.
pub(super) fn of_event(position: Position) -> String {
    let mut bytes = [0; 25];
    bytes[0] = EVENT;
    bytes[1..9].copy_from_slice(&position.occurred_at.timestamp_micros().to_be_bytes());
    bytes[9..].copy_from_slice(position.event_id.as_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The place that the cursor in the argument `field` means in a list of events.
pub(super) fn into_position(field: &str, cursor: &str) -> Result<Position> {
    let place = decoded(cursor, EVENT).and_then(|bytes| {
        let (micros, id) = bytes.split_first_chunk::<8>()?;
        Some(Position {
            occurred_at: DateTime::from_timestamp_micros(i64::from_be_bytes(*micros))?,
            event_id: uuid::Uuid::from_slice(id).ok()?,
        })
    });
    place.ok_or_else(|| wrong(field, cursor, "an event"))
}

/// The cursor of an entry that is known by its name.
pub(super) fn of_name(name: &str) -> String {
    let mut bytes = Vec::with_capacity(name.len() + 1);
    bytes.push(NAME);
    bytes.extend_from_slice(name.as_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The name that the cursor in the argument `field` means in a list of event types.
pub(super) fn into_name(field: &str, cursor: &str) -> Result<String> {
    let name = decoded(cursor, NAME)
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .filter(|name| (1..=MAX_NAME_BYTES).contains(&name.len()) && !name.chars().any(char::is_control));
    name.ok_or_else(|| wrong(field, cursor, "an event type"))
}

/// What follows the first byte of a cursor of this kind.
fn decoded(cursor: &str, kind: u8) -> Option<Vec<u8>> {
    if cursor.len() > MAX_CHARACTERS {
        return None;
    }
    let mut bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
    if bytes.first() != Some(&kind) {
        return None;
    }
    bytes.remove(0);
    Some(bytes)
}

fn wrong(field: &str, cursor: &str, entry: &str) -> ApiError {
    let fault = format!(
        "{} is not the cursor of {entry}; take one from an answer",
        quoted(cursor)
    );
    ApiError::bad_input(field, &fault)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use chrono::DateTime;
    use proptest::collection::vec;
    use proptest::prelude::{Strategy, any, prop_oneof};
    use proptest::{prop_assert, prop_assert_eq, proptest};
    use store::Position;

    use super::{into_name, into_position, of_event, of_name};

    /// Words that clients might send; most have the look of a cursor.
    fn words() -> impl Strategy<Value = String> {
        let bytes = (0_u8..4, vec(any::<u8>(), 0..60));
        prop_oneof![
            any::<String>(),
            "[A-Za-z0-9_-]{0,400}",
            bytes.prop_map(|(kind, bytes)| URL_SAFE_NO_PAD.encode([&[kind], bytes.as_slice()].concat())),
            vec(any::<u8>(), 24).prop_map(|bytes| URL_SAFE_NO_PAD.encode([&[1], bytes.as_slice()].concat())),
        ]
    }

    proptest! {
        #[test]
        fn a_word_is_the_one_cursor_of_its_place_or_none(word in words()) {
            if let Ok(position) = into_position("after", &word) {
                prop_assert_eq!(of_event(position), word.as_str());
            }
            if let Ok(name) = into_name("after", &word) {
                prop_assert_eq!(of_name(&name), word.as_str());
            }
            prop_assert!(into_position("after", &word).is_err() || into_name("after", &word).is_err());
        }

        #[test]
        fn every_place_has_a_cursor(
            micros in -8_334_601_228_800_000_000_i64..8_210_266_876_799_999_999,
            id in any::<u128>(),
        ) {
            let position = Position {
                occurred_at: DateTime::from_timestamp_micros(micros).expect("in range"),
                event_id: uuid::Uuid::from_u128(id),
            };
            let cursor = of_event(position);
            prop_assert_eq!(into_position("after", &cursor).ok(), Some(position));
            prop_assert!(into_name("after", &cursor).is_err());
        }

        #[test]
        fn every_name_has_a_cursor(name in "\\PC{1,64}") {
            let cursor = of_name(&name);
            prop_assert_eq!(into_name("after", &cursor).ok(), Some(name));
            prop_assert!(into_position("after", &cursor).is_err());
        }
    }

    #[test]
    fn cursors_come_back_as_what_they_were_made_of() {
        for (micros, id) in [(0, 0), (1_772_352_000_123_456, u128::MAX), (-1, 1)] {
            let position = Position {
                occurred_at: DateTime::from_timestamp_micros(micros).expect("in range"),
                event_id: uuid::Uuid::from_u128(id),
            };
            let cursor = of_event(position);
            assert_eq!(into_position("after", &cursor).ok(), Some(position), "{cursor}");
        }
        for name in ["a", "購入", &"x".repeat(256)] {
            assert_eq!(into_name("after", &of_name(name)).ok().as_deref(), Some(name));
        }
    }

    #[test]
    fn what_was_never_given_out_is_refused() {
        let instant = DateTime::from_timestamp_micros(1_772_352_000_123_456).expect("in range");
        let event = of_event(Position::first_of(instant));
        let far = [[1].as_slice(), &i64::MAX.to_be_bytes(), &[0; 16]].concat();
        let far = base64::Engine::encode(&URL_SAFE_NO_PAD, far);
        for wrong in [
            "",
            "x",
            "AQ",
            "ü",
            "AAAA",
            &event[1..],
            &event[..event.len() - 2],
            &format!("{event}AA"),
            &format!("{event}="),
            &of_name("login"),
            &far,
            &"A".repeat(100_000),
        ] {
            assert!(into_position("after", wrong).is_err(), "{wrong}");
        }
        for wrong in [
            "",
            "Ag",
            "Av8",
            &event,
            &of_name("a\0b"),
            &of_name(&"x".repeat(257)),
            &"A".repeat(100_000),
        ] {
            assert!(into_name("after", wrong).is_err(), "{wrong}");
        }
    }
}
