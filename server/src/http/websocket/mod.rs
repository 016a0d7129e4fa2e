//! GraphQL over WebSocket, in the protocol `graphql-transport-ws`
//! (<https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md>).
//!
//! A socket is refused before it is opened if a page of another origin asks for it, if it speaks another protocol, with a
//! bad key, or if there are too many. What is said over it is the matter of [`session`].

mod close;
mod message;
mod session;

use async_graphql_axum::GraphQLProtocol;
use axum::extract::ws::WebSocketUpgrade;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::HeaderMap;
use axum::http::header::UPGRADE;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};

use super::client_address::ClientAddress;
use super::credentials::Credential;
use super::error::HttpError;
use super::exchange::RequestId;
use super::graphql::{self, Endpoint};
use super::origin;
use crate::limits::{MAX_SOCKET_MESSAGE_BYTES, SOCKET_READ_BUFFER_BYTES, SOCKET_WRITE_BUFFER_BYTES};
use crate::listener::Stopping;
use crate::metrics::Transport;
use crate::traces::Cause;
use session::Session;

const PROTOCOL: &str = "graphql-transport-ws";

/// GET: opens a socket if the client asks for one; otherwise the query in the query string is answered.
pub(super) async fn get(State(endpoint): State<Arc<Endpoint>>, request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    let id = graphql::request_id(&parts);
    if !asks_for_socket(&parts.headers) {
        return graphql::get(&endpoint, &id, &parts).await;
    }
    match upgrade(&endpoint, id, &mut parts).await {
        Ok(response) => response,
        Err(error) => error.into_response(),
    }
}

fn asks_for_socket(headers: &HeaderMap) -> bool {
    let mut protocols = headers.get_all(UPGRADE).iter();
    protocols.any(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

async fn upgrade(endpoint: &Endpoint, id: RequestId, parts: &mut Parts) -> Result<Response, HttpError> {
    origin::check(&parts.headers, &endpoint.origins)?;
    let other_protocol = || {
        let message =
            format!("the WebSocket must ask for the subprotocol {PROTOCOL}, the only one spoken here");
        HttpError::bad_request(message)
    };
    GraphQLProtocol::from_request_parts(parts, &())
        .await
        .map_err(|_| other_protocol())?;
    let stopping = parts.extensions.get::<Stopping>().cloned().unwrap_or_default();
    let upgrade = WebSocketUpgrade::from_request_parts(parts, &())
        .await
        .map_err(|_| HttpError::bad_request("this is no handshake of a WebSocket of version 13"))?;
    let upgrade = upgrade
        .protocols([PROTOCOL])
        .read_buffer_size(SOCKET_READ_BUFFER_BYTES)
        .write_buffer_size(SOCKET_WRITE_BUFFER_BYTES)
        .max_message_size(MAX_SOCKET_MESSAGE_BYTES)
        .max_frame_size(MAX_SOCKET_MESSAGE_BYTES);
    if upgrade.selected_protocol().is_none() {
        return Err(other_protocol());
    }
    let credential = Credential::of_headers(&endpoint.gate, &parts.headers);
    if credential.is_some() {
        credential.principal().await?;
    }
    let address = parts.extensions.get::<ClientAddress>().copied();
    let connection = endpoint.live.admit(Transport::WebSocket, address)?;
    let session = Session {
        operations: endpoint.operations.clone(),
        bodies: endpoint.bodies.clone(),
        address,
        id,
        cause: Cause::present_handshake(),
        credential,
        init_timeout: endpoint.socket_init_timeout,
        stop: stopping.token.clone(),
        _tracked: stopping.tasks.token(),
        _connection: connection,
    };
    Ok(upgrade.on_upgrade(|socket| session.serve(socket)))
}
