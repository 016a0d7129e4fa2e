//! Known ingest mutations, executed without the GraphQL library.
//!
//! Nearly all requests of a busy server are one of two documents: `ingestEvent` or `ingestEvents`, with what is to be stored in
//! one variable and a few plain fields selected. For those the library copies the variables, reads them field by field into
//! values of its own, and makes a future for each field of the answer, which together cost more than checking the events and
//! handing them to the writer. So once such a document has been executed the library's way, its events are read from the
//! request's JSON at once, and its answer is written down.
//!
//! Whatever is not exactly that takes the library's way, with its errors: another document, a variable of another shape, a
//! number of events that is out of bounds, the field `event`. What is decided here is decided by the same code.

use std::collections::HashMap;

use async_graphql::parser::types::{
    Field, FragmentDefinition, OperationDefinition, OperationType, Selection,
};
use async_graphql::{Name, PathSegment, Pos, Positioned, Response, ServerError, Value as GraphqlValue};
use serde_json::{Map, Value};
use store::new_event::RawEvent;

use super::error::{ApiError, Result};
use super::ingest::{IngestEventPayload, IngestEventsPayload, Parsed, ingest};
use super::resources::Resources;
use super::rows::{PlainFields, Surroundings};
use crate::answer_memory::AnswerMemory;
use crate::limits::MAX_BATCH_EVENTS;

/// An operation that does nothing but store what one of its variables holds.
pub(crate) struct KnownIngest<'a> {
    mutation: Mutation,
    /// The variable that holds the argument.
    variable: String,
    /// Where the mutation stands in the document, and in the answer.
    position: Pos,
    key: &'a Name,
    selected: PlainFields<'a>,
    /// What its answer takes.
    memory: &'a AnswerMemory,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mutation {
    IngestEvent,
    IngestEvents,
}

impl Mutation {
    fn of(field: &Field) -> Option<Self> {
        match field.name.node.as_str() {
            "ingestEvent" => Some(Self::IngestEvent),
            "ingestEvents" => Some(Self::IngestEvents),
            _ => None,
        }
    }

    /// Whether all of these fields of the payload are at hand.
    fn has(self, selected: &PlainFields<'_>) -> bool {
        selected.are_among(match self {
            Self::IngestEvent => &[
                "status",
                "userErrors.code",
                "userErrors.message",
                "userErrors.field",
            ],
            Self::IngestEvents => &[
                "stored",
                "duplicates",
                "rejected",
                "rejections.index",
                "rejections.eventId",
                "rejections.userErrors.code",
                "rejections.userErrors.message",
                "rejections.userErrors.field",
            ],
        })
    }
}

impl<'a> KnownIngest<'a> {
    /// The operation, if it is one of these. It must have passed validation.
    pub(crate) fn of(
        operation: &'a OperationDefinition,
        fragments: &'a HashMap<Name, Positioned<FragmentDefinition>>,
        memory: &'a AnswerMemory,
    ) -> Option<Self> {
        if operation.ty != OperationType::Mutation || !operation.directives.is_empty() {
            return None;
        }
        let [only] = operation.selection_set.node.items.as_slice() else {
            return None;
        };
        let Selection::Field(field) = &only.node else {
            return None;
        };
        let position = field.pos;
        let field = &field.node;
        let mutation = Mutation::of(field)?;
        let [(_, argument)] = field.arguments.as_slice() else {
            return None;
        };
        // Nothing but a variable is written with a dollar at its beginning.
        let variable = argument.node.to_string().strip_prefix('$')?.to_owned();
        let around = Surroundings {
            fragments,
            memory: Some(memory),
        };
        let selected = PlainFields::of(&field.selection_set.node, around);
        let selected = selected.filter(|selected| mutation.has(selected))?;
        field.directives.is_empty().then_some(Self {
            mutation,
            variable,
            position,
            key: &field.response_key().node,
            selected,
            memory,
        })
    }

    /// Takes the events out of the variables. Where they are not of the plainest shape, nothing is taken.
    pub(crate) fn take_events(&self, variables: &mut Map<String, Value>) -> Option<Vec<RawEvent>> {
        let input = variables.get_mut(&self.variable)?.as_object_mut()?;
        match self.mutation {
            Mutation::IngestEvent => is_plain(input).then(|| vec![raw_event(input)]),
            Mutation::IngestEvents => {
                let alone = input.len() == 1;
                let events = input.get_mut("events").filter(|_| alone)?.as_array_mut()?;
                let plain = (1..=MAX_BATCH_EVENTS).contains(&events.len())
                    && events.iter().all(|event| event.as_object().is_some_and(is_plain));
                plain.then(|| {
                    events
                        .iter_mut()
                        .filter_map(Value::as_object_mut)
                        .map(raw_event)
                        .collect()
                })
            }
        }
    }

    /// Stores the events and answers as the library would.
    pub(crate) async fn execute(&self, events: Vec<RawEvent>, resources: &Resources) -> Response {
        match self.payload(events, resources).await {
            Ok(payload) => Response::new(GraphqlValue::Object(
                [(self.key.clone(), payload)].into_iter().collect(),
            )),
            Err(error) => {
                let error: async_graphql::Error = error.into();
                let mut error: ServerError = error.into_server_error(self.position);
                error.path = vec![PathSegment::Field(self.key.to_string())];
                Response::from_errors(vec![error])
            }
        }
    }

    async fn payload(&self, events: Vec<RawEvent>, resources: &Resources) -> Result<GraphqlValue> {
        let now = resources.now();
        let parsed = events
            .into_iter()
            .map(|raw| Parsed::new(raw, resources, now))
            .collect();
        let mut judged = ingest(resources, parsed).await?;
        let payload = match self.mutation {
            Mutation::IngestEvent => judged
                .pop()
                .and_then(|only| self.selected.of_row(&IngestEventPayload::new(only, None))),
            Mutation::IngestEvents => self.selected.of_row(&IngestEventsPayload::new(judged)),
        };
        payload.ok_or_else(|| match self.memory.refused() {
            Some(refused) => refused.into(),
            None => ApiError::defect("a field of a payload is not at hand"),
        })
    }
}

/// Whether an event has nothing but members that it may have, each of the type that is usual in JSON. What they say is judged
/// later.
fn is_plain(event: &Map<String, Value>) -> bool {
    let known = |(key, value): (&String, &Value)| match key.as_str() {
        "userId" | "eventType" => value.is_string(),
        "eventId" | "occurredAt" => value.is_string() || value.is_null(),
        "properties" => value.is_object() || value.is_null(),
        _ => false,
    };
    event.contains_key("userId") && event.contains_key("eventType") && event.iter().all(known)
}

/// An event that is plain; nothing of it is left behind.
fn raw_event(event: &mut Map<String, Value>) -> RawEvent {
    let mut text = |key: &str| match event.remove(key) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    };
    RawEvent {
        event_id: text("eventId"),
        user_id: text("userId").unwrap_or_default(),
        event_type: text("eventType").unwrap_or_default(),
        occurred_at: text("occurredAt"),
        properties: event
            .remove("properties")
            .filter(|properties| !properties.is_null()),
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_query;
    use async_graphql::parser::types::DocumentOperations;
    use serde_json::{Map, Value, json};

    use super::KnownIngest;
    use crate::answer_memory::AnswersMemory;

    /// What becomes of the only operation of a document.
    fn with_known<T>(document: &str, then: impl FnOnce(Option<KnownIngest<'_>>) -> T) -> T {
        let document = parse_query(document).expect("a good document");
        let DocumentOperations::Single(operation) = &document.operations else {
            panic!("the document has one operation without a name");
        };
        let memory = AnswersMemory::new().of_one();
        then(KnownIngest::of(&operation.node, &document.fragments, &memory))
    }

    fn is_known(document: &str) -> bool {
        with_known(document, |known| known.is_some())
    }

    #[test]
    fn only_plain_documents_are_known() {
        for known in [
            "mutation($i: X) { ingestEvent(input: $i) { ... on IngestEventPayload { status } ...f } } fragment f on IngestEventPayload { userErrors { code } }",
            "mutation($i: IngestEventInput!) { ingestEvent(input: $i) { status } }",
            "mutation($i: IngestEventInput!) { a: ingestEvent(input: $i) { s: status __typename userErrors { code field } } }",
            "mutation($i: IngestEventsInput!) { ingestEvents(input: $i) { stored rejections { index eventId userErrors { message } } } }",
        ] {
            assert!(is_known(known), "{known}");
        }
        for other in [
            "query($i: Int) { ingestEvent(input: $i) { status } }",
            "mutation($i: X) { eraseUser(input: $i) { eventsDeleted } }",
            "mutation($i: X) { ingestEvent(input: $i) { status event { eventId } } }",
            "mutation($i: X) { ingestEvent(input: $i) { status @skip(if: true) } }",
            "mutation($i: X) { ingestEvent(input: $i) @skip(if: true) { status } }",
            "mutation($i: X) { ingestEvent(input: $i) { userErrors { code } userErrors { field } } }",
            "mutation($i: X) { ingestEvent(input: $i) { status } b: ingestEvent(input: $i) { status } }",
            "mutation($i: String!) { ingestEvent(input: { userId: $i, eventType: $i }) { status } }",
            "mutation($i: X) { ... on Mutation { ingestEvent(input: $i) { status } } }",
        ] {
            assert!(!is_known(other), "{other}");
        }
    }

    fn taken(document: &str, input: Value) -> Option<usize> {
        let mut variables = Map::from_iter([("i".to_owned(), input)]);
        let before = variables.clone();
        let events = with_known(document, |known| {
            known.expect("a known document").take_events(&mut variables)
        });
        if events.is_none() {
            assert_eq!(variables, before, "the library must see what was sent");
        }
        events.map(|events| events.len())
    }

    #[test]
    fn only_plain_events_are_taken() {
        let single = "mutation($i: X) { ingestEvent(input: $i) { status } }";
        let batch = "mutation($i: X) { ingestEvents(input: $i) { stored } }";
        let event = json!({ "userId": "u", "eventType": "t" });
        let full = json!({ "userId": "", "eventType": "t", "eventId": "no id", "occurredAt": null, "properties": { "a": [1] } });
        assert_eq!(taken(single, event.clone()), Some(1));
        assert_eq!(taken(single, full.clone()), Some(1));
        assert_eq!(taken(batch, json!({ "events": [event, full] })), Some(2));
        for other in [
            json!(null),
            json!("u"),
            json!([event]),
            json!({ "userId": "u" }),
            json!({ "userId": "u", "eventType": 1 }),
            json!({ "userId": "u", "eventType": "t", "more": 1 }),
            json!({ "userId": "u", "eventType": "t", "eventId": 1 }),
            json!({ "userId": "u", "eventType": "t", "properties": "p" }),
        ] {
            assert_eq!(taken(single, other.clone()), None, "{other}");
            assert_eq!(taken(batch, json!({ "events": [event, other] })), None, "{other}");
        }
        for other in [
            json!({ "events": [] }),
            json!({ "events": event }),
            json!({ "events": [event], "more": [] }),
            json!({ "events": vec![event.clone(); 2_001] }),
        ] {
            assert_eq!(taken(batch, other), None);
        }
    }
}
