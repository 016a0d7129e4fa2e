//! What clients say: the messages of the protocol, checked.

use serde_json::{Map, Value};
use store::json::parse_exact;

use super::close::Close;
use crate::http::parameters::Parameters;
use crate::limits::MAX_OPERATION_ID_BYTES;

/// A message of a client.
#[derive(Debug)]
pub(super) enum ClientMessage {
    ConnectionInit { authorization: Option<String> },
    Ping,
    Pong,
    Subscribe { id: String, parameters: Parameters },
    Complete { id: String },
}

impl ClientMessage {
    pub(super) fn parse(text: &str) -> Result<Self, Close> {
        let value = parse_exact(text.as_bytes())
            .map_err(|error| Close::invalid(format!("Invalid message: cannot be taken as JSON: {error}")))?;
        let Value::Object(mut members) = value else {
            return Err(Close::invalid("Invalid message: not an object"));
        };
        let Some(Value::String(kind)) = members.remove("type") else {
            return Err(Close::invalid("Invalid message: type is missing or no string"));
        };
        match kind.as_str() {
            "connection_init" => Ok(Self::ConnectionInit {
                authorization: authorization(object(members.remove("payload"))?)?,
            }),
            "ping" => object(members.remove("payload")).map(|_| Self::Ping),
            "pong" => object(members.remove("payload")).map(|_| Self::Pong),
            "subscribe" => {
                let id = id(&mut members)?;
                let payload = members.remove("payload").unwrap_or_default();
                let parameters = Parameters::from_value(payload)
                    .map_err(|error| Close::invalid(format!("Invalid message: {}", error.message)))?;
                Ok(Self::Subscribe { id, parameters })
            }
            "complete" => Ok(Self::Complete {
                id: id(&mut members)?,
            }),
            _ => Err(Close::invalid("Invalid message: unknown type")),
        }
    }
}

/// What a client shows when it begins. Clients put it into the payload itself (`authorization`), or into `headers` in the
/// payload, as if it were a request's; in either place its name is that of a header, in letters of any case.
fn authorization(mut payload: Map<String, Value>) -> Result<Option<String>, Close> {
    let headers = match payload.remove("headers") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(headers)) => headers,
        Some(_) => return Err(Close::invalid("Invalid message: headers must be an object")),
    };
    let mut shown = None;
    for (name, value) in payload.into_iter().chain(headers) {
        if !name.eq_ignore_ascii_case("authorization") {
            continue;
        }
        let text = match value {
            Value::Null => continue,
            Value::String(text) => text,
            _ => return Err(Close::invalid("Invalid message: authorization must be a string")),
        };
        if shown.as_ref().is_some_and(|known| *known != text) {
            return Err(Close::invalid("Invalid message: two authorizations that differ"));
        }
        shown = Some(text);
    }
    Ok(shown)
}

fn object(payload: Option<Value>) -> Result<Map<String, Value>, Close> {
    match payload {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(members)) => Ok(members),
        Some(_) => Err(Close::invalid("Invalid message: payload must be an object")),
    }
}

fn id(members: &mut Map<String, Value>) -> Result<String, Close> {
    match members.remove("id") {
        Some(Value::String(id)) if (1..=MAX_OPERATION_ID_BYTES).contains(&id.len()) => Ok(id),
        _ => Err(Close::invalid(format!(
            "Invalid message: id must be a string of 1 to {MAX_OPERATION_ID_BYTES} bytes"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::ClientMessage;

    /// What a `connection_init` with this payload shows; an error where it is none.
    fn shown(payload: Value) -> Result<Option<String>, u16> {
        let text = json!({ "type": "connection_init", "payload": payload }).to_string();
        match ClientMessage::parse(&text) {
            Ok(ClientMessage::ConnectionInit { authorization }) => Ok(authorization),
            Ok(other) => panic!("{other:?}"),
            Err(close) => Err(close.code),
        }
    }

    #[test]
    fn a_key_stands_where_well_known_clients_put_it() {
        for payload in [
            json!({ "authorization": "Bearer x" }),
            json!({ "Authorization": "Bearer x", "more": { "of": "ours" } }),
            json!({ "headers": { "Authorization": "Bearer x", "x-more": 1 } }),
            json!({ "headers": { "authorization": "Bearer x" } }),
            json!({ "headers": null, "authorization": "Bearer x" }),
            json!({ "headers": { "Authorization": "Bearer x" }, "authorization": "Bearer x" }),
            json!({ "authorization": null, "headers": { "AUTHORIZATION": "Bearer x" } }),
        ] {
            assert_eq!(
                shown(payload.clone()),
                Ok(Some("Bearer x".to_owned())),
                "{payload}"
            );
        }
    }

    #[test]
    fn nothing_else_is_a_key() {
        for payload in [
            Value::Null,
            json!({}),
            json!({ "authorization": null }),
            json!({ "headers": {} }),
            json!({ "token": "Bearer x", "apiKey": "x", "Headers": { "Authorization": "Bearer x" } }),
            json!({ "context": { "headers": { "Authorization": "Bearer x" } } }),
        ] {
            assert_eq!(shown(payload.clone()), Ok(None), "{payload}");
        }
        for payload in [
            json!("Bearer x"),
            json!({ "authorization": 1 }),
            json!({ "authorization": ["Bearer x"] }),
            json!({ "headers": "Authorization: Bearer x" }),
            json!({ "headers": { "Authorization": false } }),
            json!({ "headers": { "Authorization": "Bearer x" }, "authorization": "Bearer y" }),
            json!({ "Authorization": "Bearer x", "authorization": "Bearer y" }),
        ] {
            assert_eq!(shown(payload.clone()), Err(4400), "{payload}");
        }
    }
}
