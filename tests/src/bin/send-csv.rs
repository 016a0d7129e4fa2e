//! Sends a CSV file of events to a running server, in batches, through `ingestEvents`.
//!
//! The file has the columns `event_id,user_id,event_type,occurred_at,properties`; it may be compressed with gzip.
//! For loading files into a database `kohorta-import` is the better program; this one is for measuring the API.

use std::fs::File;
use std::io::{BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use flate2::read::MultiGzDecoder;
use serde_json::{Value, json};
use tests::http::Client;

/// Sends a CSV file of events to a running server through `ingestEvents`.
#[derive(Debug, Parser)]
struct Arguments {
    /// The file; `.gz` is uncompressed.
    file: PathBuf,
    /// Where the server listens.
    #[arg(long, default_value = "127.0.0.1:8000")]
    server: SocketAddr,
    /// Events in one request.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(1..=2_000))]
    batch_events: u64,
}

const INGEST: &str = "mutation ($input: IngestEventsInput!) { ingestEvents(input: $input) { \
     stored duplicates rejected rejections { index userErrors { code message } } } }";

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let started = Instant::now();
    match send(&arguments).await {
        Ok(counts) => {
            let seconds = started.elapsed().as_secs_f64();
            let total = counts.stored + counts.duplicates + counts.rejected;
            let per_second = total as f64 / seconds.max(f64::EPSILON);
            let Counts {
                stored,
                duplicates,
                rejected,
            } = counts;
            println!(
                "{total} events in {seconds:.2} s ({per_second:.0} a second): \
                 {stored} stored, {duplicates} duplicates, {rejected} rejected"
            );
            if rejected == 0 {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(complaint) => {
            eprintln!("send-csv: {complaint}");
            ExitCode::FAILURE
        }
    }
}

#[derive(Debug, Default)]
struct Counts {
    stored: u64,
    duplicates: u64,
    rejected: u64,
}

async fn send(arguments: &Arguments) -> Result<Counts, String> {
    let mut reader = csv::Reader::from_reader(open(&arguments.file)?);
    let mut client = Client::new(arguments.server);
    let mut counts = Counts::default();
    let mut batch = Vec::new();
    for record in reader.records() {
        batch.push(input(&record.map_err(|error| error.to_string())?)?);
        if batch.len() as u64 == arguments.batch_events {
            send_batch(&mut client, &mut batch, &mut counts).await?;
        }
    }
    if !batch.is_empty() {
        send_batch(&mut client, &mut batch, &mut counts).await?;
    }
    Ok(counts)
}

fn open(path: &Path) -> Result<Box<dyn Read>, String> {
    let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let file = BufReader::new(file);
    if path.extension().is_some_and(|extension| extension == "gz") {
        return Ok(Box::new(MultiGzDecoder::new(file)));
    }
    Ok(Box::new(file))
}

fn input(record: &csv::StringRecord) -> Result<Value, String> {
    let line = record.position().map_or(0, csv::Position::line);
    let [event_id, user_id, event_type, occurred_at, properties] =
        [0, 1, 2, 3, 4].map(|column| record.get(column));
    let properties: Value = serde_json::from_str(properties.unwrap_or("{}"))
        .map_err(|error| format!("line {line}: properties are not JSON: {error}"))?;
    Ok(json!({
        "eventId": event_id,
        "userId": user_id,
        "eventType": event_type,
        "occurredAt": occurred_at,
        "properties": properties,
    }))
}

async fn send_batch(client: &mut Client, batch: &mut Vec<Value>, counts: &mut Counts) -> Result<(), String> {
    let variables = json!({ "input": { "events": std::mem::take(batch) } });
    let answer = client.graphql(INGEST, &variables).await?;
    let json = answer.json();
    let payload = &json["data"]["ingestEvents"];
    if answer.status != 200 || payload.is_null() {
        return Err(format!("the server answered {} {}", answer.status, answer.text()));
    }
    if let Some(rejection) = payload["rejections"].get(0) {
        eprintln!("rejected, for example: {rejection}");
    }
    counts.stored += payload["stored"].as_u64().unwrap_or_default();
    counts.duplicates += payload["duplicates"].as_u64().unwrap_or_default();
    counts.rejected += payload["rejected"].as_u64().unwrap_or_default();
    Ok(())
}
