//! Connections: accepted by our own loop, with the time-outs and bounds that the stock one lacks.
//!
//! HTTP/1.1 only. A client that does not send its headers in time is cut off, and so is a connection that is idle for
//! longer (see [`crate::turns`]); beyond a number of connections, of all or of one address, new ones are told to come back
//! later. What a connection may make the server hold before a request has come is bounded.
//!
//! When told to stop, the loop lingers: for a moment it answers as before, and ends each connection with its answer, so
//! that a request that is just being sent is not cut off and health checks see the 503. Then it accepts no more, closes
//! idle connections, lets requests under way finish within a deadline, and returns.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use crate::error_code::Code;
use crate::http::error::HttpError;
use crate::http::exchange::RequestId;
use crate::limits::{
    ADDRESS_CONNECTIONS, DRAIN_TIMEOUT, HEADER_TIMEOUT, IDLE_TIMEOUT, LINGER, MAX_HEADER_BYTES,
    WRITE_STALL_TIMEOUT,
};
use crate::metrics;
use crate::per_address::{PerAddress, TooMany};
use crate::stall::StallGuard;
use crate::turns::{AnswerBody, TurnGuard, TurnLimits, Turns};

/// How connections are treated.
#[derive(Debug, Clone)]
pub struct ListenOptions {
    /// How many connections may be open at once.
    pub connections: usize,
    /// How many of them from one address that is not this machine's own; however many if there is none, which is right where
    /// a proxy makes the connections.
    pub connections_per_address: Option<usize>,
    /// How long a client may take to send the headers of a request.
    pub header_timeout: Duration,
    /// How long a connection may lie idle between two requests.
    pub idle_timeout: Duration,
    /// How long the server still takes requests when it is told to stop, if anybody is connected.
    pub linger: Duration,
    /// How long requests under way may take to finish when the server stops.
    pub drain_timeout: Duration,
}

impl Default for ListenOptions {
    fn default() -> Self {
        Self {
            connections: 4_096,
            connections_per_address: Some(ADDRESS_CONNECTIONS as usize),
            header_timeout: HEADER_TIMEOUT,
            idle_timeout: IDLE_TIMEOUT,
            linger: LINGER,
            drain_timeout: DRAIN_TIMEOUT,
        }
    }
}

/// Carried by every request, for answers that do not end by themselves.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stopping {
    /// Cancelled when the server stops.
    pub(crate) token: CancellationToken,
    /// The stop waits for whoever has a token of this.
    pub(crate) tasks: TaskTracker,
}

/// Answers requests from `listener` with `router` until `stop` is cancelled, then finishes what is under way.
pub async fn run(listener: TcpListener, router: Router, options: ListenOptions, stop: CancellationToken) {
    let connections = Connections {
        builder: builder(),
        turn_limits: TurnLimits {
            headers: options.header_timeout,
            idle: options.idle_timeout,
        },
        router,
        permits: Arc::new(Semaphore::new(options.connections)),
        most: options.connections,
        per_address: PerAddress::new(options.connections_per_address),
        tasks: TaskTracker::new(),
        stopping: stop.clone(),
        finish: CancellationToken::new(),
        cut_off: CancellationToken::new(),
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = connections.accept(&listener) => {}
    }
    tokio::select! {
        () = tokio::time::sleep(options.linger) => {}
        () = connections.accept_while_connected(&listener) => {}
    }
    // Those who have connected in the last moment are answered as well.
    while let Ok(Ok((stream, peer))) = tokio::time::timeout(Duration::ZERO, listener.accept()).await {
        connections.begin(stream, peer);
    }
    drop(listener);
    connections.finish.cancel();
    let tasks = &connections.tasks;
    tasks.close();
    if tokio::time::timeout(options.drain_timeout, tasks.wait())
        .await
        .is_err()
    {
        let seconds = options.drain_timeout.as_secs();
        tracing::warn!(
            seconds,
            connections = tasks.len(),
            "requests under way took too long and are cut off"
        );
        connections.cut_off.cancel();
        tasks.wait().await;
    }
}

fn builder() -> http1::Builder {
    let mut builder = http1::Builder::new();
    // It would run while a connection is idle as well: see `turns`.
    builder.header_read_timeout(None::<Duration>);
    builder.max_buf_size(MAX_HEADER_BYTES);
    builder
}

/// What every connection needs.
#[derive(Clone)]
struct Connections {
    builder: http1::Builder,
    turn_limits: TurnLimits,
    router: Router,
    permits: Arc<Semaphore>,
    most: usize,
    per_address: PerAddress,
    tasks: TaskTracker,
    /// Cancelled when the server stops: from then on every answer is the last one of its connection.
    stopping: CancellationToken,
    /// Cancelled when idle connections are to end at once, and others after the request under way.
    finish: CancellationToken,
    /// Cancelled when they are to end at once.
    cut_off: CancellationToken,
}

impl Connections {
    /// Accepts connections for ever.
    async fn accept(&self, listener: &TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => self.begin(stream, peer),
                Err(error) => pause_after(&error).await,
            }
        }
    }

    /// Accepts connections until there is none any more, neither open nor waiting to be accepted.
    async fn accept_while_connected(&self, listener: &TcpListener) {
        const LOOK_EVERY: Duration = Duration::from_millis(20);
        loop {
            let waiting = tokio::time::timeout(LOOK_EVERY, listener.accept()).await;
            match waiting {
                Ok(Ok((stream, peer))) => self.begin(stream, peer),
                Ok(Err(error)) => pause_after(&error).await,
                Err(_) if self.tasks.is_empty() => return,
                Err(_) => {}
            }
        }
    }

    fn begin(&self, stream: TcpStream, peer: SocketAddr) {
        let held = match self.per_address.take(peer.ip()) {
            Ok(held) => held,
            Err(TooMany(most)) => {
                let message =
                    format!("there are {most} connections from your address, the most at a time; try again");
                tokio::spawn(turn_away(stream, message));
                return;
            }
        };
        let Ok(permit) = self.permits.clone().try_acquire_owned() else {
            let message = format!(
                "the server has {} connections, the most at a time; try again",
                self.most
            );
            tokio::spawn(turn_away(stream, message));
            return;
        };
        let connections = self.clone();
        self.tasks.spawn(async move {
            connections.serve(stream, peer).await;
            drop((permit, held));
        });
    }

    async fn serve(self, stream: TcpStream, peer: SocketAddr) {
        // Small answers go out at once; a stream that cannot be told so still works.
        let _ = stream.set_nodelay(true);
        let Self {
            builder,
            turn_limits,
            router,
            stopping,
            finish,
            cut_off,
            tasks,
            ..
        } = self;
        let live = Stopping {
            token: stopping.clone(),
            tasks,
        };
        let turns = Turns::default();
        let stream = StallGuard::new(stream, WRITE_STALL_TIMEOUT);
        let stream = TurnGuard::new(stream, turns.clone(), turn_limits);
        let service = service_fn(move |request: Request<Incoming>| {
            turns.answering();
            let turns = turns.clone();
            let carried = (ConnectInfo(peer), live.clone());
            let answering = answer(router.clone(), carried, request);
            let stopping = stopping.clone();
            async move {
                let mut response = answering.await?;
                if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                    // It says something else in that header, and ends when the server tells it to.
                    return Ok(response.map(AnswerBody::last));
                }
                if stopping.is_cancelled() {
                    let headers = response.headers_mut();
                    headers.insert(CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<_, Infallible>(response.map(|body| AnswerBody::new(body, turns)))
            }
        });
        let connection = builder
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        let mut connection = pin!(connection);
        let result = tokio::select! {
            result = connection.as_mut() => result,
            () = finish.cancelled() => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    result = connection => result,
                    () = cut_off.cancelled() => return,
                }
            }
        };
        if let Err(error) = result {
            tracing::debug!(%peer, %error, "connection ended");
        }
    }
}

async fn answer(
    router: Router,
    (peer, stopping): (ConnectInfo<SocketAddr>, Stopping),
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(peer);
    request.extensions_mut().insert(stopping);
    router.oneshot(request).await
}

/// Some errors belong to one connection that is gone already; others, such as too many open files, need time to pass.
async fn pause_after(error: &io::Error) {
    let of_one_connection = matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    );
    if !of_one_connection {
        tracing::warn!(%error, "cannot accept connections; trying again");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Tells a client beyond the bound to come back later.
async fn turn_away(mut stream: TcpStream, message: String) {
    let error = HttpError::unavailable(Code::Overloaded, message);
    metrics::error_answered(Code::Overloaded);
    let body = error.body(&RequestId::made());
    let head = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json; charset=utf-8\r\nretry-after: 1\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let write = async {
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(&body).await?;
        stream.shutdown().await
    };
    // The client may be gone or not read; either way there is nothing more to do for it.
    let _ = tokio::time::timeout(Duration::from_secs(1), write).await;
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::net::SocketAddr;
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use axum::Router;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::Notify;
    use tokio::task::JoinHandle;
    use tokio_util::sync::CancellationToken;

    use super::{ListenOptions, MAX_HEADER_BYTES, run};

    struct Running {
        address: SocketAddr,
        stop: CancellationToken,
        task: JoinHandle<()>,
        /// Told when a request to `/slow` has begun, and waited for before it is answered.
        begun: Arc<Notify>,
        answer: Arc<Notify>,
    }

    async fn start(options: ListenOptions) -> Running {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (begun, answer) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (begin, wait) = (begun.clone(), answer.clone());
        let slow = async move || {
            begin.notify_one();
            wait.notified().await;
            "slow"
        };
        let router = Router::new()
            .route("/", get(async || "quick"))
            .route("/slow", get(slow));
        let stop = CancellationToken::new();
        let task = tokio::spawn(run(listener, router, options, stop.clone()));
        Running {
            address,
            stop,
            task,
            begun,
            answer,
        }
    }

    async fn send(address: SocketAddr, text: &str) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.expect("the server accepts");
        stream.write_all(text.as_bytes()).await.expect("the server reads");
        stream
    }

    async fn rest_of(mut stream: TcpStream) -> io::Result<String> {
        let mut text = String::new();
        stream.read_to_string(&mut text).await.map(|_| text)
    }

    #[tokio::test]
    async fn requests_under_way_are_finished_and_idle_connections_do_not_hold_up() {
        let server = start(ListenOptions::default()).await;
        let mut idle = send(server.address, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
        let mut start_of_answer = [0; 12];
        idle.read_exact(&mut start_of_answer).await.expect("an answer");
        let slow = send(server.address, "GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await;
        server.begun.notified().await;
        server.stop.cancel();
        assert!(rest_of(idle).await.is_ok(), "the idle connection is closed");
        server.answer.notify_one();
        assert!(rest_of(slow).await.expect("an answer").ends_with("slow"));
        server.task.await.expect("the loop returns");
        assert!(
            TcpStream::connect(server.address).await.is_err(),
            "nobody listens any more"
        );
    }

    #[tokio::test]
    async fn while_it_lingers_answers_are_given_and_are_the_last_of_their_connections() {
        let server = start(ListenOptions::default()).await;
        let mut idle = send(server.address, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
        let mut start_of_answer = [0; 12];
        idle.read_exact(&mut start_of_answer).await.expect("an answer");
        server.stop.cancel();
        tokio::task::yield_now().await;
        let late = send(server.address, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
        idle.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .expect("the server reads");
        for stream in [late, idle] {
            let answer = rest_of(stream).await.expect("an answer");
            assert!(
                answer.contains("connection: close") && answer.ends_with("quick"),
                "{answer}"
            );
        }
        server.task.await.expect("the loop returns");
    }

    #[tokio::test]
    async fn requests_that_do_not_finish_are_cut_off() {
        let options = ListenOptions {
            drain_timeout: Duration::from_millis(50),
            ..ListenOptions::default()
        };
        let server = start(options).await;
        let slow = send(server.address, "GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await;
        server.begun.notified().await;
        server.stop.cancel();
        server.task.await.expect("the loop returns");
        assert_eq!(rest_of(slow).await.unwrap_or_default(), "");
    }

    #[tokio::test]
    async fn headers_that_do_not_come_end_the_connection() {
        let options = ListenOptions {
            header_timeout: Duration::from_millis(50),
            ..ListenOptions::default()
        };
        let server = start(options).await;
        let stalled = send(server.address, "GET / HTTP/1.1\r\nhost").await;
        assert_eq!(rest_of(stalled).await.unwrap_or_default(), "");
    }

    #[tokio::test]
    async fn idle_connections_have_a_time_of_their_own() {
        let idle_timeout = Duration::from_secs(1);
        let options = ListenOptions {
            header_timeout: Duration::from_millis(50),
            idle_timeout,
            ..ListenOptions::default()
        };
        let server = start(options).await;
        let request = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";
        let mut idle = send(server.address, request).await;
        let mut answer = [0; 512];
        for _ in 0..2 {
            let length = idle.read(&mut answer).await.expect("an answer");
            assert!(answer[..length].ends_with(b"quick"));
            // Far longer than headers may take.
            tokio::time::sleep(idle_timeout / 4).await;
            idle.write_all(request.as_bytes())
                .await
                .expect("the server reads");
        }
        let length = idle.read(&mut answer).await.expect("an answer");
        assert!(answer[..length].ends_with(b"quick"));
        let since = Instant::now();
        assert_eq!(rest_of(idle).await.unwrap_or_default(), "");
        let took = since.elapsed();
        assert!(idle_timeout / 2 < took && took < 20 * idle_timeout, "{took:?}");
    }

    #[tokio::test]
    async fn headers_that_stall_after_an_answer_end_the_connection() {
        let options = ListenOptions {
            header_timeout: Duration::from_millis(50),
            idle_timeout: Duration::from_secs(3_600),
            ..ListenOptions::default()
        };
        let server = start(options).await;
        let mut stalled = send(server.address, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
        let mut answer = [0; 512];
        let length = stalled.read(&mut answer).await.expect("an answer");
        assert!(answer[..length].ends_with(b"quick"));
        stalled.write_all(b"GET / HT").await.expect("the server reads");
        assert_eq!(rest_of(stalled).await.unwrap_or_default(), "");
    }

    #[tokio::test]
    async fn connections_beyond_the_bound_are_told_to_come_back() {
        let server = start(ListenOptions {
            connections: 1,
            ..ListenOptions::default()
        })
        .await;
        let first = send(
            server.address,
            "GET /slow HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
        )
        .await;
        server.begun.notified().await;
        let second = TcpStream::connect(server.address)
            .await
            .expect("the server accepts");
        let refusal = rest_of(second).await.expect("an answer");
        assert!(
            refusal.starts_with("HTTP/1.1 503 ") && refusal.contains("\"code\":\"OVERLOADED\""),
            "{refusal}"
        );
        assert!(
            refusal.contains("the server has 1 connections, the most"),
            "{refusal}"
        );
        server.answer.notify_one();
        assert!(rest_of(first).await.expect("an answer").ends_with("slow"));
    }

    #[tokio::test]
    async fn headers_are_as_long_as_allowed_or_answered_431() {
        let server = start(ListenOptions::default()).await;
        let padded = |length| {
            format!(
                "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx: {}\r\n\r\n",
                "x".repeat(length)
            )
        };
        let fitting = send(server.address, &padded(MAX_HEADER_BYTES - 1_000)).await;
        assert!(rest_of(fitting).await.expect("an answer").ends_with("quick"));
        // One that is a little longer may have been read whole before its length was known.
        let mut larger = TcpStream::connect(server.address)
            .await
            .expect("the server accepts");
        let _ = larger.write_all(padded(3 * MAX_HEADER_BYTES).as_bytes()).await;
        let mut answer = [0; 12];
        larger.read_exact(&mut answer).await.expect("an answer");
        assert_eq!(&answer, b"HTTP/1.1 431");
    }
}
