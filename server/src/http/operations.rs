//! Operations over a connection that lives on, whatever the transport: what to run, and what it answers, part by part.
//!
//! A document passes the same guard and limits as over plain HTTP. Queries and mutations answer once and go the same way
//! as well. Subscriptions answer until they fail or their reader goes; equal ones to `eventAdded` run once for all. Each
//! operation has a span of its own, from its beginning to its end.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Context;
use std::time::{Duration, Instant};

use async_graphql::parser::types::OperationType;
use async_graphql::{Request as GraphqlRequest, Response as GraphqlResponse, ServerError, Value};
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use tracing::{Instrument as _, Span};

use super::answer::{self, Errors};
use super::client_address::{ClientAddress, FROM_YOUR_ADDRESS, WITH_THIS_KEY};
use super::exchange::RequestId;
use super::graphql::{Executed, hidden_schema, with_argument_names};
use super::parameters::{Parameters, for_library};
use super::shared::{Payloads, Shared, SharedStreams};
use crate::answer_memory::{AnswerMemory, AnswersMemory};
use crate::auth::Principal;
use crate::document::{self, Document, Refusal, RootField, Selected};
use crate::error_code::Code;
use crate::graphql::{Introspection, Schema};
use crate::limits::MAX_LIVE_OPERATIONS;
use crate::metrics;
use crate::rate::{RateLimits, TooOften};
use crate::traces::{self, Cause};

/// Who asks, and the exchange in which they do.
#[derive(Clone)]
pub(super) struct Asker {
    pub(super) id: RequestId,
    pub(super) principal: Principal,
    /// If it is known.
    pub(super) address: Option<ClientAddress>,
    pub(super) cause: Cause,
}

/// A part of an answer.
#[derive(Clone)]
pub(super) enum Part {
    /// Results, in their order.
    Next(Payloads),
    /// The operation was not executed, or cannot go on. Nothing follows.
    Failed(Errors),
}

/// The parts of an answer; its end is the operation's.
pub(super) type Answers = BoxStream<'static, Part>;

/// What runs operations.
#[derive(Clone)]
pub(super) struct Operations {
    pub(super) rates: Arc<RateLimits>,
    pub(super) answers: AnswersMemory,
    pub(super) schema: Schema,
    pub(super) timeout: Duration,
    pub(super) introspection: Introspection,
    pub(super) shared: SharedStreams,
}

impl Operations {
    /// Counts one more operation, for connections whose opening was the only request.
    pub(super) fn count(&self, asker: &Asker) -> Result<(), Refusal> {
        let refused = |whose: &'static str| {
            move |too_often: TooOften| Refusal::new(Code::RateLimited, too_often.message(whose))
        };
        if let Some(ClientAddress(address)) = asker.address {
            self.rates
                .take_address(address)
                .map_err(refused(FROM_YOUR_ADDRESS))?;
        }
        let counted = self.rates.take_key(asker.principal.holder);
        counted.map_err(refused(WITH_THIS_KEY))
    }

    /// Begins an operation. `share` is what its message takes in memory: given back with the only answer, or once a
    /// subscription has begun, which keeps no more of the message than the variables that it declares.
    pub(super) fn run(
        &self,
        mut parameters: Parameters,
        asker: &Asker,
        share: impl Send + 'static,
    ) -> Answers {
        let id = &asker.id;
        let document = document::parse(
            &parameters.query,
            parameters.operation_name.as_deref(),
            &parameters.variables,
        );
        let document = match document {
            Ok(document) => document,
            Err(refusal) => return failed(answer::refusal(refusal, id)),
        };
        let hidden = hidden_schema(self.introspection, &asker.principal);
        if let Some(refusal) = hidden.clone()
            && document.root_fields.iter().any(RootField::is_introspection)
        {
            return failed(answer::refusal(refusal, id));
        }
        let is_declared = |name: &str| {
            document
                .variables
                .iter()
                .any(|known| known.node.name.node == *name)
        };
        parameters.variables.retain(|name, _| is_declared(name));
        let prepared = Prepared {
            asker: asker.clone(),
            hides_schema: hidden.is_some(),
            parameters,
            document,
        };
        if prepared.document.operation_type != OperationType::Subscription {
            return self.once(prepared, share);
        }
        let mut root_fields = prepared.document.root_fields.iter();
        if root_fields.any(|field| field.name == "eventAdded") {
            return self.shared(prepared);
        }
        self.stream(prepared)
    }

    fn once(&self, prepared: Prepared, share: impl Send + 'static) -> Answers {
        let (schema, limit, memory) = (self.schema.clone(), self.timeout, self.answers.of_one());
        let (operation, span) = (prepared.label(), prepared.span());
        let answering = async move {
            let _share = share;
            let (request, results) = prepared.begin(memory);
            let started = Instant::now();
            let executing = schema.execute(request).instrument(span);
            let outcome = tokio::time::timeout(limit, executing).await;
            let has_run = results.have_run();
            if has_run {
                metrics::query_finished(operation, started.elapsed());
            }
            match outcome {
                Ok(response) if has_run => Part::Next(results.kept(response)),
                Ok(response) => Part::Failed(answer::errors(response, false, &results.id)),
                Err(_) => {
                    let message = format!("no answer within {} seconds; try again", limit.as_secs());
                    Part::Failed(answer::refusal(Refusal::new(Code::Timeout, message), &results.id))
                }
            }
        };
        stream::once(answering).boxed()
    }

    fn stream(&self, prepared: Prepared) -> Answers {
        let counted = metrics::subscription(prepared.label());
        let span = prepared.span();
        let (request, results) = prepared.begin(self.answers.of_one());
        let part = move |response| {
            let _ = &counted;
            match results.next(response) {
                Ok(text) => Part::Next(Payloads::new(vec![text])),
                Err(errors) => Part::Failed(errors),
            }
        };
        inside(span, self.schema.execute_stream(request))
            .map(part)
            .boxed()
    }

    fn shared(&self, prepared: Prepared) -> Answers {
        let counted = metrics::subscription(prepared.label());
        let (id, span) = (prepared.asker.id.clone(), prepared.span());
        let key = prepared.shared_key();
        let start = || {
            let (request, results) = prepared.begin(self.answers.of_one());
            let responses = self.schema.execute_stream(request);
            responses.map(move |response| results.next(response)).boxed()
        };
        let Some(parts) = self.shared.join(key, start) else {
            let message = format!(
                "the server runs {MAX_LIVE_OPERATIONS} different subscriptions, the most at a time; try again"
            );
            return failed(answer::refusal(Refusal::new(Code::Overloaded, message), &id));
        };
        let part = move |part| {
            let _ = &counted;
            match part {
                Shared::Next(payloads) => Part::Next(payloads),
                Shared::Failed(errors) => Part::Failed(errors),
                Shared::TooSlow => Part::Failed(answer::refusal(too_slow(), &id)),
            }
        };
        inside(span, parts).map(part).boxed()
    }
}

/// The stream, polled inside of `span`, which ends with it.
fn inside<T: 'static>(span: Span, mut stream: BoxStream<'static, T>) -> BoxStream<'static, T> {
    let polling = move |context: &mut Context<'_>| {
        let _entered = span.enter();
        stream.poll_next_unpin(context)
    };
    stream::poll_fn(polling).boxed()
}

fn too_slow() -> Refusal {
    let message = "results came faster than they were read, some are lost; subscribe again";
    Refusal::new(Code::SlowReader, message)
}

/// An operation that may be executed.
struct Prepared {
    asker: Asker,
    hides_schema: bool,
    parameters: Parameters,
    document: Document,
}

impl Prepared {
    fn label(&self) -> &'static str {
        metrics::operation_label(&self.document.root_fields)
    }

    fn span(&self) -> Span {
        traces::live_operation_span(self.label(), self.document.operation_kind(), &self.asker.cause)
    }

    /// What tells subscriptions that give everybody the same from others.
    fn shared_key(&self) -> String {
        let operation = self.parameters.operation_name.as_deref().unwrap_or_default();
        let variables = serde_json::to_string(&self.parameters.variables).unwrap_or_default();
        let scope = self.asker.principal.scope;
        format!("{scope}\0{operation}\0{variables}\0{}", self.parameters.query)
    }

    /// The request to the library, and what makes results of its answers.
    fn begin(self, memory: AnswerMemory) -> (GraphqlRequest, Results) {
        let results = Results {
            id: self.asker.id.clone(),
            query: self.parameters.query.clone(),
            root_fields: self.document.root_fields,
            selected: self.document.selected,
            executed: Executed::default(),
            memory,
        };
        let mut request = GraphqlRequest::new(self.parameters.query)
            .variables(for_library(self.parameters.variables))
            .data(results.memory.clone())
            .data(results.executed.clone())
            .data(self.asker.principal)
            .data(self.asker.id);
        request.operation_name = self.parameters.operation_name;
        if self.hides_schema {
            request = request.disable_introspection();
        }
        request.set_parsed_query(self.document.tree);
        (request, results)
    }
}

/// Makes results as JSON of what the library answers to one operation.
struct Results {
    id: RequestId,
    query: String,
    root_fields: Vec<RootField>,
    selected: Selected,
    executed: Executed,
    memory: AnswerMemory,
}

impl Results {
    /// Whether the operation has passed validation.
    fn have_run(&self) -> bool {
        self.executed.0.load(Ordering::Relaxed)
    }

    fn text(&self, response: GraphqlResponse) -> String {
        let response = with_argument_names(response, &self.query);
        let text = answer::payload(
            answer::in_order(response, &self.root_fields, &self.selected),
            &self.id,
        );
        // The next result begins anew; texts that wait are counted where they do.
        self.memory.shrink_to(0);
        text
    }

    /// The only result of an operation, with its memory until it is sent.
    fn kept(&self, response: GraphqlResponse) -> Payloads {
        let text = self.text(response);
        // It has had so much and more a moment ago.
        let _ = self.memory.take(text.len());
        Payloads::keeping(text, self.memory.clone())
    }

    /// One result of a subscription. Where the field at its top has failed there are no more; a field further down
    /// leaves this one result without data, and the next one comes.
    fn next(&self, response: GraphqlResponse) -> Result<String, Errors> {
        let is_at_top = |error: &ServerError| error.path.len() <= 1;
        if response.data == Value::Null && response.errors.iter().any(is_at_top) {
            return Err(answer::errors(response, self.have_run(), &self.id));
        }
        Ok(self.text(response))
    }
}

fn failed(errors: Errors) -> Answers {
    stream::once(async move { Part::Failed(errors) }).boxed()
}

#[cfg(test)]
mod tests {
    use async_graphql::{PathSegment, Response as GraphqlResponse, ServerError, Value, value};

    use super::{Executed, RequestId, Results};
    use crate::answer_memory::AnswersMemory;
    use crate::document;

    fn next(data: Value, failed: Option<&[&str]>) -> Result<String, bool> {
        let query = "subscription { eventAdded { user { userId firstSeen } eventId } }";
        let document = document::parse(query, None, &serde_json::Map::new()).expect("a good document");
        let results = Results {
            id: RequestId::made(),
            query: query.to_owned(),
            root_fields: document.root_fields,
            selected: document.selected,
            executed: Executed::default(),
            memory: AnswersMemory::new().of_one(),
        };
        let mut response = GraphqlResponse::new(data);
        let error = failed.map(|path| {
            let mut error = ServerError::new("message", None);
            error.path = path
                .iter()
                .map(|step| PathSegment::Field((*step).to_owned()))
                .collect();
            error
        });
        response.errors.extend(error);
        results.next(response).map_err(|_| true)
    }

    #[test]
    fn results_have_their_fields_in_order() {
        let data = value!({ "eventAdded": { "eventId": 1, "user": { "firstSeen": 2, "userId": 3 } } });
        let expected = r#"{"data":{"eventAdded":{"user":{"userId":3,"firstSeen":2},"eventId":1}}}"#;
        assert_eq!(next(data, None).as_deref(), Ok(expected));
    }

    #[test]
    fn a_field_that_failed_costs_one_result_and_the_top_one_the_subscription() {
        let left_out = value!({ "eventAdded": { "eventId": 1, "user": { "userId": 3 } } });
        let text = next(left_out, Some(&["eventAdded", "user", "firstSeen"])).expect("others follow");
        assert!(
            text.starts_with(r#"{"data":null,"errors":[{"message":"message","path":["eventAdded","user""#)
        );
        let nothing = next(Value::Null, Some(&["eventAdded", "user", "firstSeen"]));
        assert!(nothing.is_ok_and(|text| text.starts_with(r#"{"data":null,"errors""#)));
        assert_eq!(next(Value::Null, Some(&["eventAdded"])), Err(true));
        assert_eq!(next(Value::Null, Some(&[])), Err(true));
    }
}
