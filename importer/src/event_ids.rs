//! Event ids made from the content of a row, so that importing the same file twice adds nothing.

use serde_json::Value;
use store::{json, new_event::parse_instant};
use uuid::Uuid;

/// The namespace of these ids; never to be changed, or files imported before would be stored again.
const NAMESPACE: Uuid = Uuid::from_u128(0x6f8a_1d52_94c3_4b0e_9d27_3e5c_80b1_7af4);

/// What an id is made from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Content<'a> {
    pub(crate) user_id: &'a str,
    pub(crate) event_type: &'a str,
    pub(crate) occurred_at: Option<&'a str>,
    pub(crate) properties: Option<&'a Value>,
}

/// The id (a UUID of version 5) of `content`. Content that means the same has the same id: the spelling of the instant and
/// the order of keys make no difference. So two events of a user that agree in everything, to the microsecond, are one.
pub(crate) fn derive(content: Content<'_>) -> Uuid {
    let mut name = Vec::with_capacity(256);
    let instant = content.occurred_at.map(|text| match parse_instant(text) {
        Ok(instant) => instant.timestamp_micros().to_string(),
        // Not an instant: the row is going to be refused for it.
        Err(_) => text.to_owned(),
    });
    for part in [
        content.user_id,
        content.event_type,
        instant.as_deref().unwrap_or_default(),
    ] {
        // The length in front keeps ("ab", "c") and ("a", "bc") apart.
        name.extend_from_slice(&(part.len() as u64).to_be_bytes());
        name.extend_from_slice(part.as_bytes());
    }
    if let Some(properties) = content.properties.filter(|properties| !properties.is_null()) {
        crate::json_text::write_canonical(&mut name, &json::canonical(properties.clone()));
    } else {
        name.extend_from_slice(b"{}");
    }
    Uuid::new_v5(&NAMESPACE, &name)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Content, derive};

    fn id(user_id: &str, event_type: &str, at: &str, properties: &Value) -> String {
        let content = Content {
            user_id,
            event_type,
            occurred_at: Some(at),
            properties: Some(properties),
        };
        derive(content).to_string()
    }

    #[test]
    fn the_same_content_has_the_same_id_for_ever() {
        let first = id(
            "ana",
            "buy",
            "2026-03-01T08:30:00Z",
            &json!({ "a": 1, "b": [true] }),
        );
        assert_eq!(first, "750b2a82-8cb4-508f-b15f-9ea536de7eeb");
        assert_eq!(
            first,
            id(
                "ana",
                "buy",
                "2026-03-01T09:30:00.000+01:00",
                &json!({ "b": [true], "a": 1.0 })
            )
        );
        assert_eq!(
            id("a", "b", "2026-03-01T08:30:00Z", &json!({})),
            id("a", "b", "2026-03-01T08:30:00Z", &Value::Null)
        );
    }

    #[test]
    fn other_content_has_another_id() {
        let at = "2026-03-01T08:30:00Z";
        let ids = [
            id("ab", "c", at, &json!({})),
            id("a", "bc", at, &json!({})),
            id("a", "bc", "2026-03-01T08:30:00.000001Z", &json!({})),
            id("a", "bc", at, &json!({ "x": 1 })),
        ];
        for (at, one) in ids.iter().enumerate() {
            assert!(!ids[..at].contains(one));
        }
    }
}
