//! `/graphql`: GraphQL over HTTP, with our own handler.
//!
//! POST takes one request as JSON; GET takes queries only. Nothing a foreign web page can send without asking the
//! browser's permission first is executed: no other content type, no mutation by GET. The order of the steps is the
//! order in which a client is told what is wrong: what it accepts, what it sends, how large, JSON, document.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_graphql::extensions::{Extension, ExtensionContext, ExtensionFactory, NextExecute};
use async_graphql::parser::types::OperationType;
use async_graphql::{Request as GraphqlRequest, Response as GraphqlResponse};
use axum::body::Body;
use axum::extract::{Extension as FromExtensions, State};
use axum::http::header::{CACHE_CONTROL, VARY};
use axum::http::{HeaderMap, HeaderValue, Uri};
use axum::response::{IntoResponse, Response};
use store::Scope;

use super::answer;
use super::body::{BodyReader, PlainBody, RawBody};
use super::credentials;
use super::error::HttpError;
use super::exchange::RequestId;
use super::negotiation::{MediaType, negotiate};
use super::parameters::{Parameters, check_content_type};
use crate::auth::{Gate, Principal};
use crate::document::{self, Document, Refusal, RootField};
use crate::error_code::Code;
use crate::graphql::{Introspection, Schema};
use crate::metrics;

/// What the handler needs.
#[derive(Clone)]
pub(super) struct Endpoint {
    pub(super) schema: Schema,
    pub(super) gate: Gate,
    pub(super) bodies: BodyReader,
    pub(super) timeout: Duration,
    pub(super) introspection: Introspection,
}

pub(super) async fn post(
    State(endpoint): State<Endpoint>,
    FromExtensions(id): FromExtensions<RequestId>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    with_common_headers(endpoint.post(&id, &headers, body).await)
}

pub(super) async fn get(
    State(endpoint): State<Endpoint>,
    FromExtensions(id): FromExtensions<RequestId>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    with_common_headers(endpoint.get(&id, &headers, &uri).await)
}

pub(super) async fn other_method() -> HttpError {
    HttpError::method_not_allowed("GET, POST")
}

fn with_common_headers(result: Result<Response, HttpError>) -> Response {
    let mut response = result.unwrap_or_else(IntoResponse::into_response);
    response
        .headers_mut()
        .insert(VARY, HeaderValue::from_static("Accept"));
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

impl Endpoint {
    async fn post(&self, id: &RequestId, headers: &HeaderMap, body: Body) -> Result<Response, HttpError> {
        let principal = credentials::principal(&self.gate, headers).await?;
        let media_type = negotiate(headers)?;
        check_content_type(headers)?;
        let raw = self.bodies.read(headers, body).await?;
        // The body's share of the memory is held until the answer stands.
        let (parameters, _share) = if raw.is_large() {
            let decoded = tokio::task::spawn_blocking(move || decode(raw)).await;
            decoded.map_err(|_| HttpError::internal())??
        } else {
            decode(raw)?
        };
        match document::parse(
            &parameters.query,
            parameters.operation_name.as_deref(),
            &parameters.variables,
        ) {
            Err(refusal) => Ok(answer::refused(refusal, media_type, id)),
            Ok(document) if document.operation_type == OperationType::Subscription => {
                Err(HttpError::bad_request("subscriptions are not taken by POST"))
            }
            Ok(document) => {
                let asked = Asked {
                    parameters,
                    document,
                    principal,
                };
                self.execute(asked, media_type, id).await
            }
        }
    }

    async fn get(&self, id: &RequestId, headers: &HeaderMap, uri: &Uri) -> Result<Response, HttpError> {
        let principal = credentials::principal(&self.gate, headers).await?;
        let media_type = negotiate(headers)?;
        let parameters = Parameters::from_query_string(uri)?;
        match document::parse(
            &parameters.query,
            parameters.operation_name.as_deref(),
            &parameters.variables,
        ) {
            Err(refusal) => Ok(answer::refused(refusal, media_type, id)),
            Ok(document) if document.operation_type == OperationType::Query => {
                let asked = Asked {
                    parameters,
                    document,
                    principal,
                };
                self.execute(asked, media_type, id).await
            }
            Ok(_) => Err(HttpError::method_not_allowed("POST")),
        }
    }

    /// Why the schema itself is not answered.
    fn hides_the_schema_from(&self, principal: &Principal) -> Option<Refusal> {
        if self.introspection == Introspection::Off {
            let message = "introspection is turned off on this server";
            return Some(Refusal::new(Code::GraphqlValidationFailed, message));
        }
        if !principal.may(Scope::Query) {
            let message = "introspection needs an API key with the scope query";
            return Some(Refusal::new(Code::Forbidden, message));
        }
        None
    }

    async fn execute(
        &self,
        asked: Asked,
        media_type: MediaType,
        id: &RequestId,
    ) -> Result<Response, HttpError> {
        let Asked {
            parameters,
            document,
            principal,
        } = asked;
        let hidden = self.hides_the_schema_from(&principal);
        if let Some(refusal) = hidden.clone()
            && document.root_fields.iter().any(RootField::is_introspection)
        {
            return Ok(answer::refused(refusal, media_type, id));
        }
        let operation = metrics::operation_label(&document.root_fields);
        let executed = Executed::default();
        let mut request = GraphqlRequest::new(parameters.query)
            .variables(parameters.variables)
            .data(executed.clone())
            .data(principal)
            .data(id.clone());
        request.operation_name = parameters.operation_name;
        if hidden.is_some() {
            request = request.disable_introspection();
        }
        request.set_parsed_query(document.tree);
        let started = Instant::now();
        let outcome = tokio::time::timeout(self.timeout, self.schema.execute(request)).await;
        if executed.0.load(Ordering::Relaxed) {
            metrics::query_finished(operation, started.elapsed());
        }
        let Ok(response) = outcome else {
            let message = format!("no answer within {} seconds; try again", self.timeout.as_secs());
            return Err(HttpError::unavailable(Code::Timeout, message));
        };
        if !executed.0.load(Ordering::Relaxed) {
            return Ok(answer::rejected(response, media_type, id));
        }
        Ok(answer::given(
            answer::in_order(response, &document.root_fields),
            media_type,
            id,
        ))
    }
}

/// What is to be executed, and for whom.
struct Asked {
    parameters: Parameters,
    document: Document,
    principal: Principal,
}

fn decode(raw: RawBody) -> Result<(Parameters, PlainBody), HttpError> {
    let plain = raw.into_plain()?;
    let parameters = Parameters::from_json(&plain.bytes)?;
    Ok((parameters, plain))
}

/// Carried in a request's data; set once the request has passed validation.
#[derive(Clone, Default)]
struct Executed(Arc<AtomicBool>);

/// Tells requests that were executed from those that failed before: the library's answer alone does not.
pub(crate) struct NoteExecution;

impl ExtensionFactory for NoteExecution {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(Self)
    }
}

#[async_graphql::async_trait::async_trait]
impl Extension for NoteExecution {
    async fn execute(
        &self,
        context: &ExtensionContext<'_>,
        operation_name: Option<&str>,
        next: NextExecute<'_>,
    ) -> GraphqlResponse {
        if let Some(executed) = context.data_opt::<Executed>() {
            executed.0.store(true, Ordering::Relaxed);
        }
        next.run(context, operation_name).await
    }
}
