//! Measures how long an event takes from its sender through the database to every subscriber, and what subscribers cost.
//!
//! Takes the address of a running server. With `--rate 0` nothing is sent: then the figures are what idle subscribers cost.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use serde_json::{Value, json};
use tests::http::Client;
use tests::socket::{Heard, Socket};
use tokio::task::JoinSet;

/// Measures the delay from sending an event to its arrival at every subscriber.
#[derive(Debug, Clone, Parser)]
struct Arguments {
    /// The server, as address:port.
    #[arg(long, default_value = "127.0.0.1:8000")]
    server: SocketAddr,
    /// How many sockets listen, with one subscription each.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    subscribers: u64,
    /// Events a second; 0 only lets the subscribers wait.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(0..=1_000_000))]
    rate: u64,
    /// Events in one request.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=2_000))]
    batch: u64,
    /// For how long.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
}

const QUERY: &str = "subscription { eventAdded { eventId eventType user { userId } occurredAt properties } }";
const MUTATION: &str =
    "mutation($e: [IngestEventInput!]!) { ingestEvents(input: { events: $e }) { stored } }";

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(complaint) => {
            eprintln!("live-delay: {complaint}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), String> {
    let start = Instant::now();
    let before = Use::of(arguments.server).await?;
    let expected = arguments.rate * arguments.seconds;
    let heard = Arc::new(AtomicU64::new(0));
    let mut subscribers = JoinSet::new();
    for _ in 0..arguments.subscribers {
        let mut socket = Socket::ready(arguments.server).await;
        socket.subscribe("1", QUERY, json!({})).await;
        subscribers.spawn(listen(socket, start, expected, Arc::clone(&heard)));
    }
    // Nothing says that a subscription has begun; what is sent before is not counted.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let joined = Use::of(arguments.server).await?;
    if arguments.rate == 0 {
        tokio::time::sleep(Duration::from_secs(arguments.seconds)).await;
        let after = Use::of(arguments.server).await?;
        println!(
            "{} idle subscribers for {} s",
            arguments.subscribers, arguments.seconds
        );
        after.print("memory with them, and processor time meanwhile", &joined);
        joined.print(
            "memory once they had joined, and processor time of joining",
            &before,
        );
        println!("memory before them: {:.1} MB", before.megabytes);
        return Ok(());
    }
    send(&arguments, start).await?;
    let deadline = Instant::now() + Duration::from_secs(30);
    let all = expected * arguments.subscribers;
    while heard.load(Ordering::Relaxed) < all && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let after = Use::of(arguments.server).await?;
    let mut delays = Vec::new();
    let mut closed = 0;
    if heard.load(Ordering::Relaxed) < all {
        subscribers.abort_all();
    }
    while let Some(listened) = subscribers.join_next().await {
        match listened {
            Ok(listened) => delays.extend(listened),
            Err(_) => closed += 1,
        }
    }
    delays.sort_unstable();
    let percentile = |percent: usize| {
        let position = (delays.len() * percent / 100).min(delays.len().saturating_sub(1));
        f64::from(delays.get(position).copied().unwrap_or_default()) / 1_000.0
    };
    println!(
        "{} subscribers, {} events a second in requests of {} for {} s: {} of {all} arrived, {closed} subscribers did not get all",
        arguments.subscribers,
        arguments.rate,
        arguments.batch,
        arguments.seconds,
        heard.load(Ordering::Relaxed),
    );
    println!(
        "delay from sending to arrival: p50 {:.1} ms, p90 {:.1} ms, p99 {:.1} ms, longest {:.1} ms",
        percentile(50),
        percentile(90),
        percentile(99),
        percentile(100)
    );
    after.print("memory, and processor time meanwhile", &joined);
    Ok(())
}

/// Sends events at the rate asked for, each with the time at which it was sent.
async fn send(arguments: &Arguments, start: Instant) -> Result<(), String> {
    let every = Duration::from_secs_f64(arguments.batch as f64 / arguments.rate as f64);
    let requests = arguments.rate * arguments.seconds / arguments.batch;
    let mut clock = tokio::time::interval(every);
    let mut sending = JoinSet::new();
    let clients = Arc::new(tokio::sync::Mutex::new(Vec::<Client>::new()));
    for request in 0..requests {
        clock.tick().await;
        let (clients, server, batch) = (Arc::clone(&clients), arguments.server, arguments.batch);
        sending.spawn(async move {
            let idle = clients.lock().await.pop();
            let mut client = idle.unwrap_or_else(|| Client::new(server));
            let sent = u64::try_from(start.elapsed().as_micros()).unwrap_or_default();
            let events: Vec<Value> = (0..batch)
                .map(|number| {
                    let user = (request * batch + number) % 5_000;
                    json!({ "userId": format!("user-{user}"), "eventType": "measured", "properties": { "sentAt": sent } })
                })
                .collect();
            let answer = client.graphql(MUTATION, &json!({ "e": events })).await?;
            let stored = &answer.json()["data"]["ingestEvents"]["stored"];
            if stored.as_u64() != Some(batch) {
                return Err(format!("not stored: {}", answer.text()));
            }
            clients.lock().await.push(client);
            Ok(())
        });
    }
    while let Some(sent) = sending.join_next().await {
        sent.map_err(|error| error.to_string())??;
    }
    Ok(())
}

/// The delays of all events until `expected` have come, in microseconds.
async fn listen(mut socket: Socket, start: Instant, expected: u64, heard: Arc<AtomicU64>) -> Vec<u32> {
    let mut delays = Vec::with_capacity(usize::try_from(expected).unwrap_or_default());
    while delays.len() as u64 != expected || expected == 0 {
        let Heard::Message(message) = socket.hear().await else {
            break;
        };
        let sent = message["payload"]["data"]["eventAdded"]["properties"]["sentAt"].as_u64();
        let Some(sent) = sent else {
            eprintln!("live-delay: {message}");
            break;
        };
        let now = u64::try_from(start.elapsed().as_micros()).unwrap_or_default();
        delays.push(u32::try_from(now.saturating_sub(sent)).unwrap_or(u32::MAX));
        heard.fetch_add(1, Ordering::Relaxed);
    }
    delays
}

/// What the server says of its memory and processor time.
struct Use {
    at: Instant,
    megabytes: f64,
    cpu_seconds: f64,
}

impl Use {
    async fn of(server: SocketAddr) -> Result<Self, String> {
        let text = Client::new(server).get("/metrics").await?.text();
        let value = |name: &str| {
            let line = text.lines().find(|line| line.starts_with(name));
            line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
                .unwrap_or_default()
        };
        Ok(Self {
            at: Instant::now(),
            megabytes: value("process_resident_memory_bytes ") / 1e6,
            cpu_seconds: value("process_cpu_seconds_total "),
        })
    }

    fn print(&self, what: &str, since: &Self) {
        let elapsed = (self.at - since.at).as_secs_f64();
        let cpu = self.cpu_seconds - since.cpu_seconds;
        println!(
            "{what}: {:.1} MB, {cpu:.0} s of processor time in {elapsed:.0} s",
            self.megabytes
        );
    }
}
