//! A server under load to which something happens, and what must be true of it meanwhile and afterwards: nobody is
//! acknowledged in vain, nobody waits in vain, and nobody has to help it up.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::chaos::verify;
use tests::http::{Answer, Client};
use tests::kohorta::{Kohorta, KohortaOptions};
use tests::ledger::{DAYS, input};
use tests::load::{INGEST, Load, LoadOptions, Tally};
use tokio::task::JoinSet;

/// How long a single request may take while the database is away.
const ANSWER: Duration = Duration::from_secs(5);
/// How long many at once may take.
const ANSWERS: Duration = Duration::from_secs(20);
/// How long `/healthz` tells what it has found out.
const HEALTH_MEMORY: Duration = Duration::from_millis(250);
/// How long after the fault all must be well again.
const RECOVERY: Duration = Duration::from_secs(10);
/// How long a load may take to get some events through where nothing is in its way; machines are busy.
pub(crate) const FLOW: Duration = Duration::from_secs(60);

/// A server under load.
pub(crate) struct Trial {
    pub(crate) load: Load,
    pub(crate) server: Kohorta,
    /// The database as the checks at the end reach it: past whatever stands in between.
    database_url: String,
}

impl Trial {
    /// A server on `server_url`, the way to `database_url`, and the default load on it.
    pub(crate) async fn start(server_url: &str, database_url: &str) -> Self {
        Self::start_with(server_url, database_url, LoadOptions::default()).await
    }

    pub(crate) async fn start_with(server_url: &str, database_url: &str, options: LoadOptions) -> Self {
        let server = serve(server_url).unwrap_or_else(|complaint| panic!("{complaint}"));
        let load = Load::start(options, vec![server.address()]);
        let trial = Self {
            load,
            server,
            database_url: database_url.to_owned(),
        };
        trial.flows().await;
        trial
    }

    /// Events get through.
    pub(crate) async fn flows(&self) {
        self.load
            .more(100, FLOW)
            .await
            .unwrap_or_else(|complaint| panic!("{complaint}"));
    }

    /// While the database is away ingest, reads and health say so, and soon.
    pub(crate) async fn is_away(&self) {
        self.refuses_ingest().await;
        let started = Instant::now();
        let answer = self.ask().await;
        check_unavailable(&answer, started, ANSWER);
        // What health found out before is told for a moment.
        tokio::time::sleep(HEALTH_MEMORY).await;
        assert_eq!(self.health().await, 503);
        assert_eq!(self.get("/livez").await.status, 200);
    }

    /// Ingest says that the database is unavailable: one alone within seconds, many at once in not much more.
    pub(crate) async fn refuses_ingest(&self) {
        let started = Instant::now();
        let (_, answer) = self.send().await;
        check_unavailable(&answer, started, ANSWER);
        let started = Instant::now();
        let mut requests = JoinSet::new();
        for _ in 0..60 {
            requests.spawn(send(self.server.client(), self.number()));
        }
        for answer in requests.join_all().await {
            check_unavailable(&answer, started, ANSWERS);
        }
    }

    /// Reads say that the database is unavailable: one alone within seconds, many at once in not much more.
    pub(crate) async fn refuses_reads(&self) {
        for (requests, within) in [(1, ANSWER), (20, ANSWERS)] {
            let started = Instant::now();
            let mut asking = JoinSet::new();
            for number in 0..requests {
                let question = QUESTIONS[number % QUESTIONS.len()];
                asking.spawn(ask(self.server.client(), question));
            }
            for answer in asking.join_all().await {
                check_unavailable(&answer, started, within);
            }
        }
    }

    /// Reads are answered, with every event that is acknowledged and none that nobody sent.
    pub(crate) async fn reads(&self) {
        let before = self.load.ledger().count();
        let answer = self.ask().await;
        let total = answer.json()["data"]["topEvents"]["totalEvents"].as_u64();
        let total = total.unwrap_or_else(|| panic!("{} {}", answer.status, answer.text()));
        let after = self.load.ledger().taken();
        assert!(
            (before..=after).contains(&total),
            "{total} events are counted; {before} were acknowledged before and {after} sent after"
        );
    }

    /// Health, ingest and reads are well again, within seconds and by themselves.
    pub(crate) async fn comes_back(&self) {
        let started = Instant::now();
        loop {
            if self.health().await == 200 {
                let (number, answer) = self.send().await;
                let stored = answer.json()["data"]["ingestEvent"]["status"] == "STORED";
                if stored {
                    self.load.ledger().acknowledge(number);
                }
                if stored && self.ask().await.json().get("errors").is_none() {
                    break;
                }
            }
            assert!(
                started.elapsed() < RECOVERY,
                "not well again after {:?}",
                started.elapsed()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.reads().await;
        self.flows().await;
    }

    /// Ends the load and the server, and checks that every acknowledged event is there once, unchanged, and that the
    /// sets equal a recount.
    pub(crate) async fn ends_well(mut self) -> Tally {
        let tally = self
            .load
            .finish()
            .await
            .unwrap_or_else(|complaint| panic!("{complaint}"));
        let status = self.server.terminate().expect("the end is known");
        assert_eq!(status.code(), Some(0), "{:#?}", self.server.log_to_end());
        check_database(&self.load, &self.database_url).await;
        tally
    }

    pub(crate) async fn health(&self) -> u16 {
        self.get("/healthz").await.status
    }

    async fn get(&self, path: &str) -> Answer {
        self.server.client().get(path).await.expect("an answer")
    }

    /// An event of the ledger that nobody else sends.
    fn number(&self) -> u64 {
        self.load.ledger().take().expect("there are events left")
    }

    async fn send(&self) -> (u64, Answer) {
        let number = self.number();
        (number, send(self.server.client(), number).await)
    }

    async fn ask(&self) -> Answer {
        ask(self.server.client(), QUESTIONS[0]).await
    }
}

/// Questions about all days on which events of a ledger lie, and about events themselves.
const QUESTIONS: [&str; 4] = [
    "query ($from: LocalDate!, $to: LocalDate!) { topEvents(from: $from, to: $to) { totalEvents } }",
    "query ($from: LocalDate!, $to: LocalDate!) { dau(from: $from, to: $to) { points { users } } }",
    "query { events(first: 2) { nodes { eventId user { eventCount } } } }",
    "query { eventTypes { nodes { name } } }",
];

async fn ask(mut client: Client, question: &str) -> Answer {
    let variables = json!({ "from": DAYS.0, "to": DAYS.1 });
    client.graphql(question, &variables).await.expect("an answer")
}

/// Every acknowledged event is there once, unchanged, and the sets equal a recount.
pub(crate) async fn check_database(load: &Load, database_url: &str) {
    let ledger = load.ledger();
    ledger
        .check(database_url, &ledger.acknowledged())
        .await
        .unwrap_or_else(|complaint| panic!("{complaint}"));
    verify(&KohortaOptions::default(), database_url).unwrap_or_else(|complaint| panic!("{complaint}"));
}

/// Starts a server that folds often.
pub(crate) fn serve(database_url: &str) -> Result<Kohorta, String> {
    let arguments = [
        "--database-url",
        database_url,
        "--fold-interval-ms",
        "50",
        "--log-filter",
        "info,access=off,sqlx=warn",
    ];
    Kohorta::serve(&KohortaOptions {
        arguments: arguments.iter().map(ToString::to_string).collect(),
        ..KohortaOptions::default()
    })
}

async fn send(mut client: Client, number: u64) -> Answer {
    let variables = json!({ "input": input(number) });
    client.graphql(INGEST, &variables).await.expect("an answer")
}

#[track_caller]
fn check_unavailable(answer: &Answer, since: Instant, within: Duration) {
    let took = since.elapsed();
    let error = &answer.json()["errors"][0]["extensions"];
    assert_eq!(
        (answer.status, &error["code"], &error["retryable"]),
        (503, &json!("UNAVAILABLE"), &Value::Bool(true)),
        "{}",
        answer.text()
    );
    assert!(!answer.header("retry-after").is_empty());
    assert!(took < within, "the answer took {took:?}");
}
