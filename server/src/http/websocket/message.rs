//! What clients say: the messages of the protocol, checked.

use serde_json::{Map, Value};
use store::json::parse_exact;

use super::close::Close;
use crate::http::parameters::Parameters;
use crate::limits::MAX_OPERATION_ID_BYTES;

/// A message of a client.
#[derive(Debug)]
pub(super) enum ClientMessage {
    ConnectionInit(Map<String, Value>),
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
            "connection_init" => Ok(Self::ConnectionInit(object(members.remove("payload"))?)),
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
