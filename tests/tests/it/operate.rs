//! The operators' view in `operate/`: alerts that fire when they should, a dashboard whose every query finds something, and
//! no name of a metric that the server does not have. Needs Prometheus itself (Debian's package `prometheus`).

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::events::numbered_events;
use tests::http::Client;
use tests::kohorta::{Kohorta, KohortaOptions};
use tests::programs::signal;

const INSTALL: &str = "install Prometheus, on Debian with `apt-get install prometheus`";

fn operate(path: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    root.expect("the crate lies in the workspace")
        .join("operate")
        .join(path)
}

fn text(path: &str) -> String {
    std::fs::read_to_string(operate(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn dashboard() -> Value {
    serde_json::from_str(&text("grafana/dashboards/kohorta.json")).expect("the dashboard is JSON")
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Every query of the dashboard as Prometheus takes it: what Grafana fills in is filled in.
fn dashboard_queries() -> Vec<String> {
    let dashboard = dashboard();
    let targets = list(&dashboard["panels"]).flat_map(|panel| list(&panel["targets"]));
    targets
        .map(|target| target["expr"].as_str().expect("a query"))
        .map(|query| {
            query
                .replace("$__rate_interval", "10s")
                .replace("$instance", ".*")
        })
        .collect()
}

fn alert_queries() -> Vec<String> {
    let rules: Value = serde_norway::from_str(&text("prometheus/alerts.yml")).expect("alerts.yml is YAML");
    let rules = list(&rules["groups"]).flat_map(|group| list(&group["rules"]));
    rules
        .map(|rule| rule["expr"].as_str().expect("an expression").to_owned())
        .collect()
}

/// The metrics that a query names: every word before `{` or `[`, and every other one that looks like ours.
fn named_metrics(query: &str) -> BTreeSet<&str> {
    let is_name = |character: char| character.is_ascii_alphanumeric() || character == '_' || character == ':';
    let mut names = BTreeSet::new();
    let mut rest = query;
    while let Some(start) = rest.find(is_name) {
        let word = &rest[start..];
        let end = word.find(|character| !is_name(character)).unwrap_or(word.len());
        let (name, after) = word.split_at(end);
        let ours = ["kohorta_", "http_", "process_"]
            .iter()
            .any(|prefix| name.starts_with(prefix));
        if ours || after.starts_with(['{', '[']) {
            names.insert(name);
        }
        // What stands in quotes is the value of a label.
        rest = match after.strip_prefix("=~\"").or(after.strip_prefix("=\"")) {
            Some(value) => value.split_once('"').map_or("", |(_, rest)| rest),
            None => after,
        };
    }
    names
}

async fn metrics_of(client: &mut Client) -> BTreeSet<String> {
    let answer = client.get("/metrics").await.expect("an answer");
    let text = answer.text();
    let declared = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let mut names = BTreeSet::from(["up".to_owned()]);
    for (name, kind) in declared.filter_map(|line| line.split_once(' ')) {
        if kind == "histogram" {
            names.extend(["bucket", "sum", "count"].map(|part| format!("{name}_{part}")));
        } else {
            names.insert(name.to_owned());
        }
    }
    names
}

/// A server in a folder of its own.
fn serve(folder: &Path) -> Kohorta {
    let options = KohortaOptions {
        directory: Some(folder.to_owned()),
        ..KohortaOptions::default()
    };
    Kohorta::serve(&options).expect("the server starts")
}

/// A bit of everything that is counted.
async fn traffic(client: &mut Client, round: usize) {
    let events: Vec<Value> = numbered_events(&format!("round {round} "), 20)
        .iter()
        .map(tests::events::Event::input)
        .collect();
    let ingest = "mutation ($input: IngestEventsInput!) { ingestEvents(input: $input) { stored } }";
    let questions = [
        "{ dau(from: \"2026-01-01\", to: \"2026-01-05\") { points { users } } }",
        "{ topEvents(from: \"2026-01-01\", to: \"2026-01-05\") { totalEvents } }",
        "{ retention(from: \"2026-01-01\", to: \"2026-01-05\") { cohorts { size } } }",
        "{ topEvents(from: \"2026-01-05\", to: \"2026-01-01\") { totalEvents } }",
    ];
    let sent = client
        .graphql(ingest, &json!({ "input": { "events": events } }))
        .await;
    assert_eq!(sent.expect("an answer").status, 200);
    for question in questions {
        client.graphql(question, &json!({})).await.expect("an answer");
    }
    client.get("/healthz").await.expect("an answer");
}

#[tokio::test]
async fn alerts_and_dashboard_name_metrics_that_the_server_has() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = serve(folder.path());
    let mut client = server.client();
    traffic(&mut client, 0).await;
    let known = loop {
        // The fold comes a second after the commit, and with it the last of the metrics.
        let known = metrics_of(&mut client).await;
        if known.contains("kohorta_fold_duration_seconds_count") {
            break known;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let queries: Vec<String> = dashboard_queries().into_iter().chain(alert_queries()).collect();
    assert!(queries.len() > 40, "{queries:#?}");
    for query in &queries {
        let named = named_metrics(query);
        assert!(!named.is_empty(), "{query} names no metric");
        for name in named {
            assert!(
                known.contains(name),
                "the server has no {name}, which is asked for in {query}"
            );
        }
    }
}

/// What is imported elsewhere finds another Prometheus: nothing but the variable's first choice names ours.
#[test]
fn every_panel_asks_the_prometheus_that_is_chosen() {
    let dashboard = dashboard();
    let chosen = json!({ "type": "prometheus", "uid": "${datasource}" });
    for panel in list(&dashboard["panels"]).filter(|panel| panel["type"] != "row") {
        assert_eq!(panel["datasource"], chosen, "{}", panel["title"]);
        for target in list(&panel["targets"]) {
            assert_eq!(target["datasource"], chosen, "{}", panel["title"]);
        }
    }
    let mut variables = list(&dashboard["templating"]["list"]);
    let first = variables.next().expect("a variable");
    let sources = text("grafana/provisioning/datasources/prometheus.yml");
    let sources: Value = serde_norway::from_str(&sources).expect("the data sources are YAML");
    assert_eq!(
        (&first["name"], &first["type"]),
        (&json!("datasource"), &json!("datasource"))
    );
    assert_eq!(first["current"]["value"], sources["datasources"][0]["uid"]);
    assert!(variables.all(|variable| variable["datasource"] == chosen));
}

#[test]
fn names_are_found_in_a_query() {
    let query = "sum by (code) (rate(kohorta_errors_total{code=~\"A|http_x\"}[5m])) / up{job=\"kohorta\"} + process_x";
    let expected = BTreeSet::from(["kohorta_errors_total", "up", "process_x"]);
    assert_eq!(named_metrics(query), expected);
}

#[test]
fn promtool_accepts_the_configuration_and_every_alert_fires_when_it_should() {
    for arguments in [
        &["check", "config", "--lint=all", "prometheus.yml"][..],
        &["test", "rules", "alerts_test.yml"],
    ] {
        let output = Command::new("promtool")
            .args(arguments)
            .current_dir(operate("prometheus"))
            .output()
            .unwrap_or_else(|error| panic!("cannot run promtool ({error}): {INSTALL}"));
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "promtool {arguments:?}: {said}");
    }
    let tested = text("prometheus/alerts_test.yml");
    let alerts = text("prometheus/alerts.yml");
    for alert in alerts
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
    {
        for case in ["fires", "keeps quiet"] {
            assert!(
                tested.contains(&format!("name: {alert} {case}\n")),
                "{alert} {case}: not tested"
            );
        }
    }
}

/// A Prometheus that watches one server every second. It is stopped when this value is dropped.
struct Prometheus {
    process: Child,
    client: Client,
}

impl Prometheus {
    /// The configuration of this repository, with the server's address and less patience.
    fn watching(server: SocketAddr, folder: &Path) -> Self {
        let configuration = text("prometheus/prometheus.yml")
            .replace("kohorta:8000", &server.to_string())
            .replace("15s", "1s");
        std::fs::write(folder.join("prometheus.yml"), configuration).expect("a file can be written");
        std::fs::copy(operate("prometheus/alerts.yml"), folder.join("alerts.yml"))
            .expect("a file can be copied");
        let address = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a free port");
        let process = Command::new("setpriv")
            .args(["--pdeathsig=KILL", "prometheus", "--config.file=prometheus.yml"])
            .args([
                "--storage.tsdb.path=data",
                &format!("--web.listen-address={address}"),
            ])
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run prometheus ({error}): {INSTALL}"));
        Self {
            process,
            client: Client::new(address),
        }
    }

    /// What it answers to a request of its API; null as long as it does not.
    async fn ask(&mut self, path: &str) -> Value {
        match self.client.get(path).await {
            Ok(answer) => answer.json()["data"].clone(),
            Err(_) => Value::Null,
        }
    }

    /// Whether a query finds a number at this moment.
    async fn finds(&mut self, query: &str) -> bool {
        let data = self.ask(&format!("/api/v1/query?query={}", encoded(query))).await;
        list(&data["result"]).any(|sample| sample["value"][1].as_str().is_some_and(|value| value != "NaN"))
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        signal(self.process.id(), "KILL");
        // A failure here means that it is gone already, and what it wrote goes with its folder.
        let _ = self.process.wait();
    }
}

fn encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(encode).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_panel_of_the_dashboard_shows_something_and_no_alert_cannot_be_judged() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = serve(folder.path());
    let mut prometheus = Prometheus::watching(server.address(), folder.path());
    let mut client = server.client();
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut waiting = dashboard_queries();
    for round in 0.. {
        traffic(&mut client, round).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        let mut empty = Vec::new();
        for query in waiting {
            if !prometheus.finds(&query).await {
                empty.push(query);
            }
        }
        waiting = empty;
        if waiting.is_empty() {
            break;
        }
        assert!(Instant::now() < deadline, "these find nothing: {waiting:#?}");
    }
    let rules = prometheus.ask("/api/v1/rules").await;
    let rules: Vec<&Value> = list(&rules["groups"])
        .flat_map(|group| list(&group["rules"]))
        .collect();
    assert_eq!(rules.len(), alert_queries().len());
    for rule in rules {
        assert_eq!(
            (&rule["health"], &rule["state"]),
            (&json!("ok"), &json!("inactive")),
            "{rule}"
        );
    }
}
