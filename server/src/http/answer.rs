//! Answers of GraphQL: data and errors as JSON, and the HTTP status that goes with them.
//!
//! Answers are bounded in size. Errors get what every error has (`code`, `requestId`, `retryable`), are bounded in number and length, and
//! those of the GraphQL library, which have no code, get theirs here. A request that was not executed has no
//! `data`. An answer that is nothing but "try again" is a 503, one that is nothing but "not with this key" a 403, so that
//! clients and proxies without knowledge of GraphQL do the right thing.

use std::sync::Arc;

use async_graphql::indexmap::IndexMap;
use async_graphql::{Name, PathSegment, Pos, Response as GraphqlResponse, ServerError, Value};
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::answer_text::{self, TooLarge, bounded_json};
use super::error::shortened;
use super::exchange::RequestId;
use super::negotiation::MediaType;
use crate::answer_memory::AnswerMemory;
use crate::document::{Refusal, RootField, Selected};
use crate::error_code::Code;
use crate::limits::{MAX_ANSWER_BYTES, MAX_ERROR_STEPS, MAX_ERRORS, MAX_QUERY_COMPLEXITY, MAX_QUERY_DEPTH};
use crate::metrics;

#[derive(Serialize)]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<ErrorEntry>,
}

#[derive(Serialize)]
struct ErrorEntry {
    message: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    locations: Vec<Pos>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    path: Vec<PathSegment>,
    extensions: serde_json::Map<String, serde_json::Value>,
}

/// The answer to a document that was refused before GraphQL saw it.
pub(super) fn refused(refusal: Refusal, media_type: MediaType, id: &RequestId) -> Response {
    let mut error = ServerError::new(refusal.message, None);
    error.locations = refusal.locations;
    not_executed(&[(refusal.code, error)], media_type, id)
}

/// The answer to a request that did not pass validation.
pub(super) fn rejected(response: GraphqlResponse, media_type: MediaType, id: &RequestId) -> Response {
    let coded: Vec<_> = response
        .errors
        .into_iter()
        .map(|error| coded(error, classify))
        .collect();
    not_executed(&coded, media_type, id)
}

/// The answer to a request that was executed.
pub(super) fn given(
    response: GraphqlResponse,
    media_type: MediaType,
    id: &RequestId,
    memory: AnswerMemory,
) -> Response {
    // Errors without a code come from reading arguments; all others are ours.
    let bad_input = |_: &mut ServerError| Code::BadUserInput;
    let coded: Vec<_> = response
        .errors
        .into_iter()
        .map(|error| coded(error, bad_input))
        .collect();
    let try_again =
        is_empty(&response.data) && !coded.is_empty() && coded.iter().all(|(code, _)| code.retryable());
    let forbidden = is_empty(&response.data) && all_forbidden(&coded);
    let status = if try_again {
        StatusCode::SERVICE_UNAVAILABLE
    } else if forbidden {
        StatusCode::FORBIDDEN
    } else {
        StatusCode::OK
    };
    let body = Body {
        data: Some(&response.data),
        errors: entries(&coded, id),
    };
    let text = match bounded_json(&body) {
        Ok(text) => text,
        Err(TooLarge) => too_large(id),
    };
    drop(response.data);
    let headers = [(CONTENT_TYPE, media_type.content_type())];
    let mut answer = (status, headers, answer_text::body(text, memory)).into_response();
    if try_again {
        answer
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    answer
}

/// Errors as JSON, for transports that carry them without an answer around them.
#[derive(Clone)]
pub(super) struct Errors {
    /// A list.
    pub(super) json: Arc<str>,
    /// Whether the reader was too slow.
    pub(super) slow: bool,
}

/// The error of a document that was refused before GraphQL saw it.
pub(super) fn refusal(refusal: Refusal, id: &RequestId) -> Errors {
    let mut error = ServerError::new(refusal.message, None);
    error.locations = refusal.locations;
    listed(&[(refusal.code, error)], id)
}

/// The errors of a response that has nothing else.
pub(super) fn errors(response: GraphqlResponse, executed: bool, id: &RequestId) -> Errors {
    let code = |error: &mut ServerError| match executed {
        true => Code::BadUserInput,
        false => classify(error),
    };
    let errors = response.errors.into_iter();
    listed(&errors.map(|error| coded(error, code)).collect::<Vec<_>>(), id)
}

/// A result as JSON, `{"data": …, "errors": …}`.
pub(super) fn payload(response: GraphqlResponse, id: &RequestId) -> String {
    let errors = response.errors.into_iter();
    let coded: Vec<_> = errors.map(|error| coded(error, |_| Code::BadUserInput)).collect();
    let body = Body {
        data: Some(&response.data),
        errors: entries(&coded, id),
    };
    let text = bounded_json(&body).unwrap_or_else(|TooLarge| too_large(id));
    // JSON is UTF-8.
    String::from_utf8(text).unwrap_or_default()
}

/// What is answered where an answer would be too large to be sent.
fn too_large(id: &RequestId) -> Vec<u8> {
    let message = format!(
        "the answer is larger than {MAX_ANSWER_BYTES} bytes, the most allowed; ask for fewer entries, fields or questions \
         at once"
    );
    let error = (Code::GraphqlLimitExceeded, ServerError::new(message, None));
    let body = Body {
        data: Some(&Value::Null),
        errors: entries(&[error], id),
    };
    json(&body).into_bytes()
}

fn listed(errors: &[(Code, ServerError)], id: &RequestId) -> Errors {
    Errors {
        json: json(&entries(errors, id)).into(),
        slow: errors.iter().any(|(code, _)| *code == Code::SlowReader),
    }
}

/// Values of GraphQL always have a JSON form.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// Whether there are no data, or all that was asked for is null.
fn is_empty(data: &Value) -> bool {
    match data {
        Value::Null => true,
        Value::Object(members) => members.values().all(|value| *value == Value::Null),
        _ => false,
    }
}

/// The fields at the top inside of which a field may fail without taking all data with it, and how many steps below
/// them lies what becomes null instead: the nearest place whose type allows it.
const NULL_BELOW: [(&str, usize); 3] = [("event", 0), ("user", 0), ("ingestEvent", 1)];

/// `response` with its fields in the order of the request, and null where a field failed. The library gives them in the
/// order in which they were ready, and leaves out a field that failed, at whatever depth, whether or not its type says it
/// is never null: where null is not allowed anywhere above it, there is no data at all.
pub(super) fn in_order(
    mut response: GraphqlResponse,
    root_fields: &[RootField],
    selected: &Selected,
) -> GraphqlResponse {
    let mut data = std::mem::take(&mut response.data);
    for error in &response.errors {
        if is_left_out(&data, &error.path) && set_null(&mut data, &error.path, root_fields).is_none() {
            return response;
        }
    }
    selected.put_in_order(&mut data);
    response.data = data;
    response
}

/// Makes null what may be null above the field at `path`; none if nothing may.
fn set_null(data: &mut Value, path: &[PathSegment], root_fields: &[RootField]) -> Option<()> {
    let key = |step: usize| match path.get(step)? {
        PathSegment::Field(key) => Some(key.as_str()),
        PathSegment::Index(_) => None,
    };
    let of_root = |field: &&RootField| Some(field.response_key.as_str()) == key(0);
    let root = root_fields.iter().find(of_root)?;
    let (_, steps) = NULL_BELOW.iter().find(|(name, _)| *name == root.name)?;
    // Where every field failed, there is no object.
    if *data == Value::Null {
        *data = Value::Object(IndexMap::new());
    }
    let mut value = data;
    for step in 0..*steps {
        value = match value {
            Value::Object(members) => members.get_mut(key(step)?)?,
            _ => return None,
        };
    }
    match value {
        Value::Object(members) => {
            members.insert(Name::new(key(*steps)?), Value::Null);
            Some(())
        }
        _ => None,
    }
}

/// Whether what stands at `path` is missing from `data`: a field that may be null would be there, as null. An object of
/// which nothing is left is null itself.
fn is_left_out(data: &Value, path: &[PathSegment]) -> bool {
    let mut value = data;
    for segment in path {
        let next = match (value, segment) {
            (Value::Object(members), PathSegment::Field(key)) => members.get(key.as_str()),
            (Value::List(items), PathSegment::Index(index)) => items.get(*index),
            _ => None,
        };
        let Some(next) = next else {
            return true;
        };
        value = next;
    }
    false
}

fn all_forbidden(errors: &[(Code, ServerError)]) -> bool {
    !errors.is_empty() && errors.iter().all(|(code, _)| *code == Code::Forbidden)
}

fn coded(mut error: ServerError, classify: impl FnOnce(&mut ServerError) -> Code) -> (Code, ServerError) {
    let code = code_of(&error).unwrap_or_else(|| classify(&mut error));
    (code, error)
}

fn not_executed(errors: &[(Code, ServerError)], media_type: MediaType, id: &RequestId) -> Response {
    let limited = errors.iter().any(|(code, _)| *code == Code::GraphqlLimitExceeded);
    let status = match media_type {
        _ if all_forbidden(errors) => StatusCode::FORBIDDEN,
        MediaType::GraphqlResponse => StatusCode::BAD_REQUEST,
        MediaType::Json if limited => StatusCode::BAD_REQUEST,
        MediaType::Json => StatusCode::OK,
    };
    write(
        status,
        &Body {
            data: None,
            errors: entries(errors, id),
        },
        media_type,
    )
}

fn write(status: StatusCode, body: &Body<'_>, media_type: MediaType) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => (status, [(CONTENT_TYPE, media_type.content_type())], bytes).into_response(),
        Err(error) => {
            tracing::error!(%error, "an answer has no JSON form");
            super::error::HttpError::internal().into_response()
        }
    }
}

fn entries(errors: &[(Code, ServerError)], id: &RequestId) -> Vec<ErrorEntry> {
    for (code, _) in errors {
        metrics::error_answered(*code);
    }
    errors
        .iter()
        .take(MAX_ERRORS)
        .map(|(code, error)| entry(*code, error, id))
        .collect()
}

fn entry(code: Code, error: &ServerError, id: &RequestId) -> ErrorEntry {
    let mut extensions = serde_json::Map::new();
    extensions.insert("code".to_owned(), code.as_str().into());
    extensions.insert("requestId".to_owned(), id.as_str().into());
    extensions.insert("retryable".to_owned(), code.retryable().into());
    ErrorEntry {
        message: shortened(&error.message),
        locations: error.locations.iter().take(MAX_ERROR_STEPS).copied().collect(),
        path: error.path.iter().take(MAX_ERROR_STEPS).cloned().collect(),
        extensions,
    }
}

fn code_of(error: &ServerError) -> Option<Code> {
    match error.extensions.as_ref()?.get("code")? {
        Value::String(code) => Code::parse(code),
        _ => None,
    }
}

/// The code for an error of the GraphQL library's validation, which is known by its text only.
fn classify(error: &mut ServerError) -> Code {
    let text = error.message.as_str();
    if text == "Query is too complex." {
        error.message = format!(
            "the operation costs more than {MAX_QUERY_COMPLEXITY}, the most allowed; ask for fewer fields or questions at once"
        );
        return Code::GraphqlLimitExceeded;
    }
    if text == "Query is nested too deep." || text.starts_with("The recursion depth of the query") {
        error.message = format!("the operation nests fields deeper than {MAX_QUERY_DEPTH}, the most allowed");
        return Code::GraphqlLimitExceeded;
    }
    if text.starts_with("Invalid value for argument") || text.starts_with("Failed to parse") {
        return Code::BadUserInput;
    }
    Code::GraphqlValidationFailed
}

#[cfg(test)]
mod tests {
    use async_graphql::{Response as GraphqlResponse, ServerError, Value, value};
    use axum::http::StatusCode;
    use axum::response::Response;

    use super::{MediaType, RequestId, given, in_order, rejected};
    use crate::answer_memory::AnswersMemory;
    use crate::document::{RootField, Selected};

    fn failing(code: &str) -> ServerError {
        let mut error = ServerError::new("message", None);
        error.extensions.get_or_insert_default().set("code", code);
        error
    }

    fn answer(data: Value, errors: Vec<ServerError>, executed: bool, media_type: MediaType) -> Response {
        let mut response = GraphqlResponse::new(data);
        response.errors = errors;
        if executed {
            let memory = AnswersMemory::new().of_one();
            given(response, media_type, &RequestId::made(), memory)
        } else {
            rejected(response, media_type, &RequestId::made())
        }
    }

    async fn json(response: Response) -> serde_json::Value {
        let bytes = axum::body::to_bytes(response.into_body(), usize::MAX)
            .await
            .expect("a body in memory");
        serde_json::from_slice(&bytes).expect("the body is JSON")
    }

    #[test]
    fn status_says_whether_the_request_ran() {
        let wrong = || vec![ServerError::new("Unknown field", None)];
        let of = |executed, media_type| answer(Value::Null, wrong(), executed, media_type).status();
        assert_eq!(of(false, MediaType::GraphqlResponse), StatusCode::BAD_REQUEST);
        assert_eq!(of(false, MediaType::Json), StatusCode::OK);
        assert_eq!(of(true, MediaType::GraphqlResponse), StatusCode::OK);
    }

    #[test]
    fn nothing_but_try_again_is_503() {
        for code in ["UNAVAILABLE", "OVERLOADED", "TIMEOUT"] {
            let response = answer(Value::Null, vec![failing(code)], true, MediaType::Json);
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(response.headers()["retry-after"], "1");
        }
        let nothing = value!({ "event": null, "user": null });
        let response = answer(nothing, vec![failing("UNAVAILABLE")], true, MediaType::Json);
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        let partial = answer(
            value!({ "a": 1 }),
            vec![failing("UNAVAILABLE")],
            true,
            MediaType::Json,
        );
        assert_eq!(partial.status(), StatusCode::OK);
        let defect = answer(Value::Null, vec![failing("INTERNAL")], true, MediaType::Json);
        assert_eq!(defect.status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn errors_are_few_short_and_complete() {
        let errors = (0..50)
            .map(|_| ServerError::new("x".repeat(10_000), None))
            .collect();
        let body = json(answer(Value::Null, errors, false, MediaType::Json)).await;
        let errors = body["errors"].as_array().expect("a list of errors");
        assert_eq!(errors.len(), 10);
        assert_eq!(
            errors[0]["message"]
                .as_str()
                .map(|message| message.chars().count()),
            Some(500)
        );
        assert_eq!(errors[0]["extensions"]["code"], "GRAPHQL_VALIDATION_FAILED");
        assert_eq!(errors[0]["extensions"]["retryable"], false);
        assert!(errors[0]["extensions"]["requestId"].is_string());
        assert!(body.get("data").is_none());
    }

    #[tokio::test]
    async fn the_largest_errors_fit_into_128_kib() {
        let long = "\u{1}".repeat(1_000);
        let mut error = ServerError::new(long.clone(), None);
        error.path = (0..1_000)
            .map(|_| async_graphql::PathSegment::Field("n".repeat(128)))
            .collect();
        error.locations = vec![
            async_graphql::Pos {
                line: usize::MAX,
                column: usize::MAX
            };
            1_000
        ];
        let response = answer(Value::Null, vec![error; 50], true, MediaType::Json);
        let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await;
        let length = bytes.expect("a body in memory").len();
        assert!(length <= 128 * 1024, "{length} bytes");
    }

    #[tokio::test]
    async fn an_answer_that_is_too_large_says_so_instead() {
        let large = Value::from("x".repeat(crate::limits::MAX_ANSWER_BYTES));
        let response = answer(value!({ "a": large }), Vec::new(), true, MediaType::Json);
        assert_eq!(response.status(), StatusCode::OK);
        let body = json(response).await;
        assert_eq!(body["data"], serde_json::Value::Null);
        assert_eq!(body["errors"][0]["extensions"]["code"], "GRAPHQL_LIMIT_EXCEEDED");
        let message = body["errors"][0]["message"].as_str().unwrap_or_default();
        assert!(message.contains("33554432 bytes, the most allowed"), "{message}");
    }

    #[test]
    fn the_nearest_field_that_may_be_null_is_null() {
        let check = |name: &str, path: &[&str], data: Value, expected: Value| {
            let mut error = ServerError::new("message", None);
            let step = |step: &&str| async_graphql::PathSegment::Field((*step).to_owned());
            error.path = path.iter().map(step).collect();
            let mut response = GraphqlResponse::new(data);
            response.errors = vec![error.clone(), error];
            let root = RootField {
                name: name.to_owned(),
                response_key: "b".to_owned(),
            };
            let answered = in_order(response, &[root], &Selected::default());
            assert_eq!(answered.data, expected, "{name} {path:?}");
        };
        let rest = || value!({ "b": null, "a": 1 });
        check("event", &["b"], value!({ "a": 1 }), rest());
        check("event", &["b"], Value::Null, value!({ "b": null }));
        check("event", &[], Value::Null, Value::Null);
        check(
            "user",
            &["b", "events", "nodes"],
            value!({ "b": { "userId": "x" }, "a": 1 }),
            rest(),
        );
        check(
            "events",
            &["b", "pageInfo"],
            value!({ "b": {}, "a": 1 }),
            Value::Null,
        );
        check(
            "ingestEvent",
            &["b", "event", "user"],
            value!({ "b": { "status": 1, "event": {} } }),
            value!({ "b": { "status": 1, "event": null } }),
        );
        check("ingestEvent", &["b"], value!({ "a": 1 }), Value::Null);
    }

    #[test]
    fn a_failed_field_leaves_no_data_unless_it_may_be_null() {
        use async_graphql::PathSegment::{Field, Index};
        let field = |name: &str| Field(name.to_owned());
        let data = || value!({ "a": 1, "b": { "c": null }, "d": null, "e": [{ "f": 1 }, null] });
        for (path, kept) in [
            (vec![field("x")], false),
            (vec![field("b"), field("x")], false),
            (vec![field("d"), field("x")], false),
            (vec![field("e"), Index(0), field("x")], false),
            (vec![field("e"), Index(1), field("x")], false),
            (vec![field("d")], true),
            (vec![field("b"), field("c")], true),
            (vec![field("e"), Index(1)], true),
            (vec![], true),
        ] {
            let mut error = ServerError::new("message", None);
            error.path = path.clone();
            let mut response = GraphqlResponse::new(data());
            response.errors = vec![error];
            let answered = in_order(response, &[], &Selected::default());
            assert_eq!(answered.data != Value::Null, kept, "{path:?}");
        }
    }
}
