//! Operations over a connection that lives on, whatever the transport: what to run, and what it answers, part by part.
//!
//! A document passes the same guard and limits as over plain HTTP. Queries and mutations answer once and go the same way
//! as well. Subscriptions answer until they fail or their reader goes; equal ones to `eventAdded` run once for all.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use async_graphql::parser::types::OperationType;
use async_graphql::{Request as GraphqlRequest, Response as GraphqlResponse, Value};
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};

use super::answer::{self, Errors};
use super::exchange::RequestId;
use super::graphql::{Executed, hidden_schema, with_argument_names};
use super::parameters::Parameters;
use super::shared::{Payloads, Shared, SharedStreams};
use crate::auth::Principal;
use crate::document::{self, Document, Refusal, RootField};
use crate::error_code::Code;
use crate::graphql::{Introspection, Schema};
use crate::metrics;
use crate::rate::RateLimits;

/// Who asks, and the id of the exchange in which they do.
#[derive(Clone)]
pub(super) struct Asker {
    pub(super) id: RequestId,
    pub(super) principal: Principal,
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
    pub(super) schema: Schema,
    pub(super) timeout: Duration,
    pub(super) introspection: Introspection,
    pub(super) shared: SharedStreams,
}

impl Operations {
    /// Counts one more operation, for connections whose opening was the only request.
    pub(super) fn count(&self, asker: &Asker) -> Result<(), Refusal> {
        self.rates.take_key(asker.principal.holder).map_err(|wait| {
            let seconds = wait.as_secs_f64().ceil().max(1.0);
            let message = format!("too many requests with this API key; try again after {seconds} seconds");
            Refusal::new(Code::RateLimited, message)
        })
    }

    /// Begins an operation.
    pub(super) fn run(&self, parameters: Parameters, asker: &Asker) -> Answers {
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
        let prepared = Prepared {
            asker: asker.clone(),
            hides_schema: hidden.is_some(),
            parameters,
            document,
        };
        if prepared.document.operation_type != OperationType::Subscription {
            return self.once(prepared);
        }
        let mut root_fields = prepared.document.root_fields.iter();
        if root_fields.any(|field| field.name == "eventAdded") {
            return self.shared(prepared);
        }
        self.stream(prepared)
    }

    fn once(&self, prepared: Prepared) -> Answers {
        let (schema, limit) = (self.schema.clone(), self.timeout);
        let answering = async move {
            let operation = prepared.label();
            let root_fields = prepared.document.root_fields.clone();
            let id = prepared.asker.id.clone();
            let query = prepared.parameters.query.clone();
            let (request, executed) = prepared.request();
            let started = Instant::now();
            let outcome = tokio::time::timeout(limit, schema.execute(request)).await;
            let has_run = executed.0.load(Ordering::Relaxed);
            if has_run {
                metrics::query_finished(operation, started.elapsed());
            }
            match outcome {
                Ok(response) if has_run => {
                    let response = with_argument_names(response, &query);
                    let text = answer::payload(answer::in_order(response, &root_fields), &id);
                    Part::Next(Payloads::new(vec![text]))
                }
                Ok(response) => Part::Failed(answer::errors(response, false, &id)),
                Err(_) => {
                    let message = format!("no answer within {} seconds; try again", limit.as_secs());
                    Part::Failed(answer::refusal(Refusal::new(Code::Timeout, message), &id))
                }
            }
        };
        stream::once(answering).boxed()
    }

    fn stream(&self, prepared: Prepared) -> Answers {
        let counted = metrics::subscription(prepared.label());
        let id = prepared.asker.id.clone();
        let (request, executed) = prepared.request();
        let part = move |response| {
            let _ = &counted;
            match result(response, &executed, &id) {
                Ok(text) => Part::Next(Payloads::new(vec![text])),
                Err(errors) => Part::Failed(errors),
            }
        };
        self.schema.execute_stream(request).map(part).boxed()
    }

    fn shared(&self, prepared: Prepared) -> Answers {
        let counted = metrics::subscription(prepared.label());
        let id = prepared.asker.id.clone();
        let key = prepared.shared_key();
        let start = || {
            let id = id.clone();
            let (request, executed) = prepared.request();
            let results = self.schema.execute_stream(request);
            results
                .map(move |response| result(response, &executed, &id))
                .boxed()
        };
        match self.shared.join(key, start) {
            Some(parts) => {
                let id = id.clone();
                parts
                    .map(move |part| {
                        let _ = &counted;
                        match part {
                            Shared::Next(payloads) => Part::Next(payloads),
                            Shared::Failed(errors) => Part::Failed(errors),
                            Shared::TooSlow => Part::Failed(answer::refusal(too_slow(), &id)),
                        }
                    })
                    .boxed()
            }
            None => {
                let message = "the server runs as many different subscriptions as it takes; try again";
                failed(answer::refusal(Refusal::new(Code::Overloaded, message), &id))
            }
        }
    }
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

    /// What tells subscriptions that give everybody the same from others.
    fn shared_key(&self) -> String {
        let operation = self.parameters.operation_name.as_deref().unwrap_or_default();
        let variables = serde_json::to_string(&self.parameters.variables).unwrap_or_default();
        let scope = self.asker.principal.scope;
        format!("{scope}\0{operation}\0{variables}\0{}", self.parameters.query)
    }

    fn request(self) -> (GraphqlRequest, Executed) {
        let executed = Executed::default();
        let mut request = GraphqlRequest::new(self.parameters.query)
            .variables(self.parameters.variables)
            .data(executed.clone())
            .data(self.asker.principal)
            .data(self.asker.id);
        request.operation_name = self.parameters.operation_name;
        if self.hides_schema {
            request = request.disable_introspection();
        }
        request.set_parsed_query(self.document.tree);
        (request, executed)
    }
}

/// One result of a subscription as JSON; without data the subscription has failed.
fn result(response: GraphqlResponse, executed: &Executed, id: &RequestId) -> Result<String, Errors> {
    if response.data == Value::Null && !response.errors.is_empty() {
        return Err(answer::errors(response, executed.0.load(Ordering::Relaxed), id));
    }
    Ok(answer::payload(response, id))
}

fn failed(errors: Errors) -> Answers {
    stream::once(async move { Part::Failed(errors) }).boxed()
}
