//! `EventFilter`: which events a question is about.

use std::borrow::Cow;

use async_graphql::registry::Registry;
use async_graphql::{InputObject, InputType, InputValueError, InputValueResult, Number, OneofObject, Value};
use store::filter::{Filter, StringTest as StoreStringTest, ValueTest as StoreValueTest};

use super::error::{ApiError, Result};
use super::scalars::Json;

/// Which events pass. Give exactly one of the fields; `all`, `any` and `not` put others together, at most 10 levels deep
/// and 100 tests in all.
///
/// `{ all: [{ eventType: { eq: "purchase" } }, { property: { path: ["amount"], is: { gte: 100 } } }] }` are the purchases of 100
/// and more.
#[derive(OneofObject)]
pub(super) enum EventFilter {
    /// Events that pass every one of these; with an empty list, all events.
    All(Vec<EventFilter>),
    /// Events that pass at least one of these; with an empty list, no event.
    Any(Vec<EventFilter>),
    /// Events that do not pass this.
    Not(Box<EventFilter>),
    /// A test of the event type. Filters made of nothing else are answered fastest.
    EventType(StringTest),
    /// A test of the user's id.
    UserId(StringTest),
    /// A test of one of the event's properties.
    Property(PropertyTest),
}

/// A test of an event type or a user's id, byte for byte: `a` is not `A`. Give exactly one of the fields.
#[derive(OneofObject)]
pub(super) enum StringTest {
    /// Is exactly this.
    Eq(String),
    /// Is one of these, 1 to 1,000.
    In(Vec<String>),
    /// Has this somewhere; `%` and `_` stand for themselves.
    Contains(String),
    /// Begins with this; `%` and `_` stand for themselves.
    StartsWith(String),
}

/// A test of one property.
#[derive(InputObject)]
pub(super) struct PropertyTest {
    /// Where the property is: keys of objects, outermost first, 1 to 16. `["address", "city"]` is `"Rome"` in
    /// `{"address": {"city": "Rome"}}`. A path never reaches into an array.
    path: Vec<String>,
    /// What is asked of the value there.
    is: ValueTest,
}

/// A test of a property's value. Give exactly one of the fields.
///
/// Types are JSON's: `"5"` is not `5`, and `1` is not `true`, but `1` is `1.0`. Where the path leads nowhere, every test fails
/// but `exists: false`; so `not: { property: { …, is: { eq: 1 } } }` passes events without the property, and `ne: 1` does not.
#[derive(OneofObject)]
pub(super) enum ValueTest {
    /// True: there is a value, be it null. False: there is none.
    Exists(bool),
    /// Is this: a string, number, boolean, object or array. Objects and arrays are compared as a whole, whatever the order
    /// of keys.
    Eq(Json),
    /// Is there and is something else, be it of another type.
    Ne(Json),
    /// Is one of these, 1 to 1,000.
    In(Vec<Json>),
    /// Is a number above this.
    Gt(ExactFloat),
    /// Is a number above this, or this.
    Gte(ExactFloat),
    /// Is a number below this.
    Lt(ExactFloat),
    /// Is a number below this, or this.
    Lte(ExactFloat),
    /// Is a string that has this somewhere, byte for byte; `%` and `_` stand for themselves.
    Contains(String),
    /// Is a string that begins with this, byte for byte; `%` and `_` stand for themselves.
    StartsWith(String),
}

impl EventFilter {
    /// The filter, given as the argument `filter`.
    pub(super) fn parse(self) -> Result<Filter> {
        Filter::from(self).checked().map_err(|error| {
            let place: String = error.path.iter().map(|step| format!(".{step}")).collect();
            ApiError::bad_input(&format!("filter{place}"), &error.message)
        })
    }
}

impl From<EventFilter> for Filter {
    fn from(filter: EventFilter) -> Self {
        match filter {
            EventFilter::All(parts) => Self::All(parts.into_iter().map(Self::from).collect()),
            EventFilter::Any(parts) => Self::Any(parts.into_iter().map(Self::from).collect()),
            EventFilter::Not(part) => Self::Not(Box::new(Self::from(*part))),
            EventFilter::EventType(test) => Self::EventType(test.into()),
            EventFilter::UserId(test) => Self::UserId(test.into()),
            EventFilter::Property(PropertyTest { path, is }) => Self::Property {
                path,
                test: is.into(),
            },
        }
    }
}

impl From<StringTest> for StoreStringTest {
    fn from(test: StringTest) -> Self {
        match test {
            StringTest::Eq(text) => Self::Eq(text),
            StringTest::In(list) => Self::In(list),
            StringTest::Contains(part) => Self::Contains(part),
            StringTest::StartsWith(start) => Self::StartsWith(start),
        }
    }
}

impl From<ValueTest> for StoreValueTest {
    fn from(test: ValueTest) -> Self {
        match test {
            ValueTest::Exists(wanted) => Self::Exists(wanted),
            ValueTest::Eq(value) => Self::Eq(value.into_json()),
            ValueTest::Ne(value) => Self::Ne(value.into_json()),
            ValueTest::In(list) => Self::In(list.into_iter().map(Json::into_json).collect()),
            ValueTest::Gt(bound) => Self::Gt(bound.0),
            ValueTest::Gte(bound) => Self::Gte(bound.0),
            ValueTest::Lt(bound) => Self::Lt(bound.0),
            ValueTest::Lte(bound) => Self::Lte(bound.0),
            ValueTest::Contains(part) => Self::Contains(part),
            ValueTest::StartsWith(start) => Self::StartsWith(start),
        }
    }
}

/// `Float` in the API, kept as it was sent: a double would round integers from 2^53 on without a word.
#[derive(Debug, Clone)]
pub(super) struct ExactFloat(Number);

impl InputType for ExactFloat {
    type RawValueType = Self;

    fn type_name() -> Cow<'static, str> {
        f64::type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        f64::create_type_info(registry)
    }

    fn parse(value: Option<Value>) -> InputValueResult<Self> {
        match value.unwrap_or_default() {
            Value::Number(number) => Ok(Self(number)),
            other => Err(InputValueError::expected_type(other)),
        }
    }

    fn to_value(&self) -> Value {
        Value::Number(self.0.clone())
    }

    fn as_raw_value(&self) -> Option<&Self::RawValueType> {
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::{EmptyMutation, EmptySubscription, Object, Schema, Variables};
    use serde_json::json;

    use super::EventFilter;
    use crate::graphql::error::Result;

    struct Query;

    #[Object]
    impl Query {
        async fn understood(&self, filter: EventFilter) -> Result<String> {
            Ok(format!("{:?}", filter.parse()?))
        }
    }

    /// What becomes of a filter, given as a literal and as a variable.
    async fn understood(literal: &str, variable: serde_json::Value) -> [String; 2] {
        let schema = Schema::new(Query, EmptyMutation, EmptySubscription);
        let by_literal = async_graphql::Request::new(format!("{{ understood(filter: {literal}) }}"));
        let variables = Variables::from_json(json!({ "filter": variable }));
        let query = "query ($filter: EventFilter!) { understood(filter: $filter) }";
        let by_variable = async_graphql::Request::new(query).variables(variables);
        let mut answers = [String::new(), String::new()];
        for (answer, request) in answers.iter_mut().zip([by_literal, by_variable]) {
            let response = schema.execute(request).await;
            *answer = match response.errors.first() {
                Some(error) => error.message.clone(),
                None => response.data.into_json().map_or_else(
                    |error| error.to_string(),
                    |data| data["understood"].as_str().unwrap_or_default().to_owned(),
                ),
            };
        }
        answers
    }

    #[tokio::test]
    async fn filters_are_understood_as_they_were_sent() {
        let found = understood(
            r#"{ any: [{ not: { eventType: { in: "a" } } }, { property: { path: ["x", "y"], is: { gt: 9007199254740993 } } },
                { property: { path: "x", is: { in: [1.0, "1", true, { k: [1.5] }] } } }] }"#,
            json!({ "any": [
                { "not": { "eventType": { "in": ["a"] } } },
                { "property": { "path": ["x", "y"], "is": { "gt": 9_007_199_254_740_993_u64 } } },
                { "property": { "path": ["x"], "is": { "in": [1.0, "1", true, { "k": [1.5] }] } } },
            ] }),
        )
        .await;
        let expected = "Any([Not(EventType(In([\"a\"]))), \
                        Property { path: [\"x\", \"y\"], test: Gt(Number(9007199254740993)) }, \
                        Property { path: [\"x\"], test: In([Number(1), String(\"1\"), Bool(true), Object {\"k\": Array [Number(1.5)]}]) }])";
        assert_eq!(found, [expected, expected]);
    }

    #[tokio::test]
    async fn errors_name_the_place() {
        let found = understood(
            r#"{ all: [{ userId: { eq: "ana" } }, { property: { path: [], is: { exists: true } } }] }"#,
            json!({ "all": [{ "userId": { "eq": "ana" } }, { "property": { "path": [], "is": { "exists": true } } }] }),
        )
        .await;
        for message in found {
            assert!(
                message.starts_with("filter.all.1.property.path must have at least one key"),
                "{message}"
            );
        }
    }

    #[tokio::test]
    async fn exactly_one_field_is_given() {
        for (literal, variable) in [
            (
                r#"{ eventType: { eq: "a", contains: "b" } }"#,
                json!({ "eventType": { "eq": "a", "contains": "b" } }),
            ),
            ("{}", json!({})),
            (
                r#"{ property: { path: ["a"], is: { eq: null } } }"#,
                json!({ "property": { "path": ["a"], "is": { "eq": null } } }),
            ),
            (
                r#"{ property: { path: ["a"], is: { gt: "1" } } }"#,
                json!({ "property": { "path": ["a"], "is": { "gt": "1" } } }),
            ),
        ] {
            for message in understood(literal, variable).await {
                assert!(
                    !message.is_empty() && !message.contains("EventType("),
                    "{literal}: {message}"
                );
            }
        }
    }
}
