//! `/graphql`: GraphQL over HTTP, with our own handler.
//!
//! POST takes one request as JSON; GET takes queries only (and opens WebSockets, see [`super::websocket`]). Nothing a foreign web page can send without asking the
//! browser's permission first is executed: no other content type, no mutation by GET. The order of the steps is the
//! order in which a client is told what is wrong: what it accepts, what it sends, how large, JSON, document.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_graphql::extensions::{Extension, ExtensionContext, ExtensionFactory, NextExecute};
use async_graphql::parser::types::OperationType;
use async_graphql::{Request as GraphqlRequest, Response as GraphqlResponse, Value};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, VARY};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Uri};
use axum::response::{IntoResponse, Response};
use store::Scope;
use tracing::Instrument as _;

use super::answer;
use super::body::{BodyReader, PlainBody, RawBody};
use super::client_address::{ClientAddress, WITH_THIS_KEY, too_many};
use super::cors::Origins;
use super::credentials::{self, Credential};
use super::error::HttpError;
use super::event_stream;
use super::exchange::RequestId;
use super::live::LiveConnections;
use super::negotiation::{MediaType, negotiate};
use super::operations::{Asker, Operations};
use super::parameters::{Parameters, check_content_type, for_library};
use crate::answer_memory::AnswersMemory;
use crate::auth::{Gate, Principal};
use crate::document::{self, Documents, Readied, Refusal, RootField, Source};
use crate::error_code::Code;
use crate::graphql::{InputTypes, Introspection, KnownIngest, Resources, Schema};
use crate::listener::Stopping;
use crate::metrics::{self, Transport};
use crate::rate::RateLimits;
use crate::traces::{self, Cause};

/// What the handler needs.
pub(super) struct Endpoint {
    pub(super) schema: Schema,
    pub(super) schema_of_known_documents: Schema,
    pub(super) documents: Documents,
    pub(super) resources: Resources,
    pub(super) input_types: Arc<InputTypes>,
    pub(super) gate: Gate,
    pub(super) rates: Arc<RateLimits>,
    pub(super) origins: Origins,
    pub(super) answers: AnswersMemory,
    pub(super) bodies: BodyReader,
    pub(super) timeout: Duration,
    pub(super) introspection: Introspection,
    pub(super) operations: Operations,
    pub(super) live: LiveConnections,
    pub(super) socket_init_timeout: Duration,
}

pub(super) async fn post(State(endpoint): State<Arc<Endpoint>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let id = request_id(&parts);
    let answered = if event_stream::is_wanted(&parts.headers) {
        let live = Live {
            stopping: parts.extensions.get::<Stopping>().cloned().unwrap_or_default(),
            address: parts.extensions.get::<ClientAddress>().copied(),
        };
        endpoint.post_for_events(&id, &parts.headers, body, live).await
    } else {
        endpoint.post(&id, &parts.headers, body).await
    };
    with_common_headers(answered)
}

pub(super) async fn get(endpoint: &Endpoint, id: &RequestId, parts: &Parts) -> Response {
    with_common_headers(endpoint.get(id, &parts.headers, &parts.uri).await)
}

/// The exchange has put one there.
pub(super) fn request_id(parts: &Parts) -> RequestId {
    let id = parts.extensions.get::<RequestId>().cloned();
    id.unwrap_or_else(RequestId::made)
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
        let principal = self.principal(headers).await?;
        let media_type = negotiate(headers)?;
        check_content_type(headers)?;
        // The body's share of the memory is held until the answer stands.
        let (parameters, _share) = self.parameters(headers, body).await?;
        match self.ready(&parameters) {
            Err(refusal) => Ok(answer::refused(refusal, media_type, id)),
            Ok(readied) if readied.document.operation_type == OperationType::Subscription => {
                Err(HttpError::bad_request(
                    "subscriptions are taken over a WebSocket, or by POST with `accept: text/event-stream`",
                ))
            }
            Ok(readied) => {
                let asked = Asked {
                    parameters,
                    readied,
                    principal,
                };
                self.execute(asked, media_type, id).await
            }
        }
    }

    /// POST of an operation whose results are wanted as a stream of events.
    async fn post_for_events(
        &self,
        id: &RequestId,
        headers: &HeaderMap,
        body: Body,
        Live { stopping, address }: Live,
    ) -> Result<Response, HttpError> {
        let credential = Credential::of_headers(&self.gate, headers);
        let principal = self.counted(credential.principal().await?)?;
        check_content_type(headers)?;
        let connection = self.live.admit(Transport::EventStream, address)?;
        let (parameters, share) = self.parameters(headers, body).await?;
        let asker = Asker {
            id: id.clone(),
            principal,
            address,
            cause: Cause::present_request(),
        };
        let answers = self.operations.run(parameters, &asker, share);
        let going = event_stream::Going::new(answers, connection, credential, stopping);
        Ok(event_stream::answer(going))
    }

    async fn parameters(
        &self,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<(Parameters, PlainBody), HttpError> {
        let raw = self.bodies.read(headers, body).await?;
        if !raw.is_large() {
            return decode(raw);
        }
        let decoded = tokio::task::spawn_blocking(move || decode(raw)).await;
        decoded.map_err(|_| HttpError::internal())?
    }

    async fn get(&self, id: &RequestId, headers: &HeaderMap, uri: &Uri) -> Result<Response, HttpError> {
        let principal = self.principal(headers).await?;
        let media_type = negotiate(headers)?;
        let parameters = Parameters::from_query_string(uri)?;
        match self.ready(&parameters) {
            Err(refusal) => Ok(answer::refused(refusal, media_type, id)),
            Ok(readied) if readied.document.operation_type == OperationType::Query => {
                let asked = Asked {
                    parameters,
                    readied,
                    principal,
                };
                self.execute(asked, media_type, id).await
            }
            Ok(_) => Err(HttpError::method_not_allowed("POST")),
        }
    }

    /// Who asks, if they have not asked too often.
    async fn principal(&self, headers: &HeaderMap) -> Result<Principal, HttpError> {
        self.counted(credentials::principal(&self.gate, headers).await?)
    }

    fn counted(&self, principal: Principal) -> Result<Principal, HttpError> {
        self.rates
            .take_key(principal.holder)
            .map_err(|too_often| too_many(WITH_THIS_KEY, too_often))?;
        Ok(principal)
    }

    async fn execute(
        &self,
        asked: Asked,
        media_type: MediaType,
        id: &RequestId,
    ) -> Result<Response, HttpError> {
        let Asked {
            parameters,
            readied: Readied { document, known },
            principal,
        } = asked;
        let hidden = hidden_schema(self.introspection, &principal);
        if let Some(refusal) = hidden.clone()
            && document.root_fields.iter().any(RootField::is_introspection)
        {
            return Ok(answer::refused(refusal, media_type, id));
        }
        let operation = metrics::operation_label(&document.root_fields);
        let Parameters {
            query,
            operation_name,
            mut variables,
        } = parameters;
        let memory = self.answers.of_one();
        let ingest = document
            .operation(operation_name.as_deref())
            .filter(|_| known && principal.may(Scope::Ingest))
            .and_then(|operation| KnownIngest::of(operation, &document.tree.fragments, &memory))
            .and_then(|ingest| Some((ingest.take_events(&mut variables)?, ingest)));
        let started = Instant::now();
        let executing = async {
            if let Some((events, ingest)) = ingest {
                return ingest.execute(events, &self.resources).await;
            }
            let variables = for_library(variables);
            let schema = if known && self.input_types.fit(&document.variables, &variables) {
                &self.schema_of_known_documents
            } else {
                &self.schema
            };
            // The text is not read again: the tree is there.
            let mut request = GraphqlRequest::new("")
                .variables(variables)
                .data(memory.clone())
                .data(principal)
                .data(id.clone());
            request.operation_name.clone_from(&operation_name);
            if hidden.is_some() {
                request = request.disable_introspection();
            }
            request.set_parsed_query(document.tree.clone());
            schema.execute(request).await
        };
        let executing = executing.instrument(traces::operation_span(operation, document.operation_kind()));
        let Ok(response) = tokio::time::timeout(self.timeout, executing).await else {
            metrics::query_finished(operation, started.elapsed());
            let message = format!("no answer within {} seconds; try again", self.timeout.as_secs());
            return Err(HttpError::unavailable(Code::Timeout, message));
        };
        if !was_executed(&response) {
            return Ok(answer::rejected(response, media_type, id));
        }
        metrics::query_finished(operation, started.elapsed());
        let response = with_argument_names(response, &query);
        let response = answer::in_order(response, &document.root_fields, &document.selected);
        let given = answer::given(response, media_type, id, memory);
        if !known {
            let source = Source {
                query,
                operation_name,
            };
            self.documents.keep(source, document);
        }
        Ok(given)
    }

    fn ready(&self, parameters: &Parameters) -> Result<Readied, Refusal> {
        let operation_name = parameters.operation_name.as_deref();
        self.documents
            .ready(&parameters.query, operation_name, &parameters.variables)
    }
}

/// Whether `response` is that of a request that passed validation. Where validation fails there is no data, and its
/// errors belong to the document; an error of execution belongs to a field, whose path it has.
fn was_executed(response: &GraphqlResponse) -> bool {
    response.data != Value::Null
        || response.errors.is_empty()
        || response.errors.iter().any(|error| !error.path.is_empty())
}

/// Why the schema itself is not answered.
pub(super) fn hidden_schema(introspection: Introspection, principal: &Principal) -> Option<Refusal> {
    if introspection == Introspection::Off {
        let message = "introspection is turned off on this server";
        return Some(Refusal::new(Code::GraphqlValidationFailed, message));
    }
    if !principal.may(Scope::Query) {
        let message = "introspection needs an API key with the scope query";
        return Some(Refusal::new(Code::Forbidden, message));
    }
    None
}

/// Names the argument where a value was refused while it was read: the library does not.
pub(super) fn with_argument_names(mut response: GraphqlResponse, query: &str) -> GraphqlResponse {
    for error in &mut response.errors {
        let Some(position) = error.locations.first().filter(|_| error.extensions.is_none()) else {
            continue;
        };
        if let Some(name) = document::argument_at(query, *position) {
            error.message = format!("{name}: {}", error.message);
        }
    }
    response
}

/// What an answer needs that lives on.
struct Live {
    stopping: Stopping,
    address: Option<ClientAddress>,
}

/// What is to be executed, and for whom.
struct Asked {
    parameters: Parameters,
    readied: Readied,
    principal: Principal,
}

fn decode(raw: RawBody) -> Result<(Parameters, PlainBody), HttpError> {
    let plain = raw.into_json()?;
    let parameters = Parameters::from_json(&plain.bytes)?;
    Ok((parameters, plain))
}

/// Carried in a request's data; set once the request has passed validation.
#[derive(Clone, Default)]
pub(super) struct Executed(pub(super) Arc<AtomicBool>);

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
