//! The parameters of a GraphQL request: from a JSON body or from a query string, checked by type.

use async_graphql::Variables;
use axum::extract::Query;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode, Uri};
use serde_json::{Map, Value};
use store::json::parse_exact;

use super::error::HttpError;
use crate::error_code::Code;

/// What a GraphQL request asks for.
#[derive(Debug)]
pub(crate) struct Parameters {
    pub(crate) query: String,
    pub(crate) operation_name: Option<String>,
    pub(crate) variables: Map<String, Value>,
}

/// Refuses a body that is not declared as JSON in UTF-8: any other type could be sent by a foreign web page.
pub(super) fn check_content_type(headers: &HeaderMap) -> Result<(), HttpError> {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let declared = match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().unwrap_or_default().to_ascii_lowercase(),
        _ => String::new(),
    };
    let mut parts = declared.split(';').map(str::trim);
    let is_json = parts.next() == Some("application/json");
    let is_utf8 = parts
        .filter_map(|parameter| parameter.split_once('='))
        .filter(|(key, _)| key.trim() == "charset")
        .all(|(_, charset)| matches!(charset.trim().trim_matches('"'), "utf-8" | "utf8"));
    if is_json && is_utf8 {
        return Ok(());
    }
    let message = "the body must be declared as content-type application/json, in UTF-8";
    Err(HttpError::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Code::UnsupportedMediaType,
        message,
    ))
}

/// Variables as the GraphQL library takes them.
pub(super) fn for_library(variables: Map<String, Value>) -> Variables {
    Variables::from_json(Value::Object(variables))
}

impl Parameters {
    /// Reads the body of a POST.
    pub(super) fn from_json(text: &[u8]) -> Result<Self, HttpError> {
        let value = parse_exact(text)
            .map_err(|error| HttpError::bad_request(format!("the body cannot be taken as JSON: {error}")))?;
        Self::from_value(value)
    }

    /// Reads the object that holds a request.
    pub(super) fn from_value(value: Value) -> Result<Self, HttpError> {
        match value {
            Value::Object(members) => Self::from_members(members),
            Value::Array(_) => Err(HttpError::bad_request(
                "the request is a list; requests are taken one at a time, as an object",
            )),
            _ => Err(HttpError::bad_request(
                "the request must be a JSON object with the member query",
            )),
        }
    }

    fn from_members(mut members: Map<String, Value>) -> Result<Self, HttpError> {
        let query = match members.remove("query") {
            Some(Value::String(query)) => query,
            Some(_) => return Err(HttpError::bad_request("query must be a string")),
            None => {
                return Err(HttpError::bad_request(
                    "query is missing; it holds the GraphQL document",
                ));
            }
        };
        let operation_name = match members.remove("operationName") {
            None | Some(Value::Null) => None,
            Some(Value::String(name)) => Some(name),
            Some(_) => return Err(HttpError::bad_request("operationName must be a string or null")),
        };
        let variables = match members.remove("variables") {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(variables)) => variables,
            Some(_) => return Err(HttpError::bad_request("variables must be an object or null")),
        };
        match members.remove("extensions") {
            None | Some(Value::Null | Value::Object(_)) => Ok(Self {
                query,
                operation_name,
                variables,
            }),
            Some(_) => Err(HttpError::bad_request("extensions must be an object or null")),
        }
    }

    /// Reads the query string of a GET.
    pub(super) fn from_query_string(uri: &Uri) -> Result<Self, HttpError> {
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|_| HttpError::bad_request("the query string cannot be read"))?;
        let mut members = Map::new();
        for (name, value) in pairs {
            let value = match name.as_str() {
                "query" => Value::String(value),
                "operationName" if value.is_empty() => Value::Null,
                "operationName" => Value::String(value),
                "variables" | "extensions" if value.is_empty() => Value::Null,
                "variables" | "extensions" => parse_exact(value.as_bytes()).map_err(|error| {
                    HttpError::bad_request(format!("{name} cannot be taken as JSON: {error}"))
                })?,
                _ => continue,
            };
            if members.insert(name.clone(), value).is_some() {
                return Err(HttpError::bad_request(format!(
                    "{name} stands in the query string twice"
                )));
            }
        }
        Self::from_members(members)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue, Uri};

    use super::{Parameters, check_content_type};

    fn fault(body: &[u8]) -> String {
        Parameters::from_json(body)
            .err()
            .map(|error| error.message)
            .unwrap_or_default()
    }

    #[test]
    fn bodies_are_checked_by_type() {
        assert_eq!(fault(br#"{"query":"{x}"}"#), "");
        assert_eq!(
            fault(br#"{"query":"{x}","operationName":null,"variables":null,"extensions":null}"#),
            ""
        );
        assert_eq!(fault(b"{}"), "query is missing; it holds the GraphQL document");
        assert_eq!(fault(br#"{"query":1}"#), "query must be a string");
        assert_eq!(
            fault(br#"{"query":"{x}","operationName":1}"#),
            "operationName must be a string or null"
        );
        assert_eq!(
            fault(br#"{"query":"{x}","variables":[]}"#),
            "variables must be an object or null"
        );
        assert_eq!(
            fault(br#"{"query":"{x}","extensions":""}"#),
            "extensions must be an object or null"
        );
        assert!(fault(br#"[{"query":"{x}"}]"#).starts_with("the request is a list"));
        assert!(fault(b"{").contains("at byte"));
        assert!(fault(br#"{"query":"{x}","variables":{"a":12345678901234567890123}}"#).contains("exactly"));
        assert!(fault(b"{\"query\":\"\xff\"}").starts_with("the body cannot be taken as JSON"));
        assert!(fault("[".repeat(1_000_000).as_bytes()).contains("nesting"));
    }

    #[test]
    fn query_strings_are_read_with_json_inside() {
        let uri = Uri::from_static(
            "/graphql?query=query+A%28%24a%3AInt%29%7Bx%7D&operationName=A&variables=%7B%22a%22%3A1%7D",
        );
        let parameters = Parameters::from_query_string(&uri).expect("a good query string");
        assert_eq!(parameters.query, "query A($a:Int){x}");
        assert_eq!(parameters.operation_name.as_deref(), Some("A"));
        assert_eq!(parameters.variables.len(), 1);
        for wrong in [
            "/graphql",
            "/graphql?query=a&query=b",
            "/graphql?query=a&variables=7",
            "/graphql?query=a&variables={",
        ] {
            assert!(
                Parameters::from_query_string(&wrong.parse().expect("a URI")).is_err(),
                "{wrong}"
            );
        }
    }

    #[test]
    fn only_json_is_taken() {
        let accepted = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("content-type", HeaderValue::from_static(value));
            check_content_type(&headers).is_ok()
        };
        for good in [
            "application/json",
            "Application/JSON; charset=UTF-8",
            "application/json;charset=\"utf-8\"",
        ] {
            assert!(accepted(good), "{good}");
        }
        for bad in [
            "",
            "text/plain",
            "application/json; charset=latin1",
            "multipart/form-data; boundary=x",
            "application/jsonx",
        ] {
            assert!(!accepted(bad), "{bad}");
        }
        assert!(check_content_type(&HeaderMap::new()).is_err());
    }
}
