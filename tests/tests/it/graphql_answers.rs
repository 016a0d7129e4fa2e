//! `dau`, `topEvents`, `retention` and `serverInfo` as clients see them, and the schema that promises them.

use std::path::Path;

use chrono_tz::Tz;
use serde_json::{Value, json};
use server::app::AppOptions;
use tests::database::TestDatabase;
use tests::events::{Event, events};

use crate::app::Running;

on_both_databases!(
    active_users_are_dense_and_marked,
    top_events_add_up,
    retention_has_cohorts_and_their_average,
    the_defaults_are_those_of_the_contract,
    days_are_those_of_the_reporting_time_zone,
    wrong_questions_are_the_askers_fault,
    filters_are_understood_and_answered,
    wrong_filters_are_the_askers_fault,
    every_answer_counts_what_was_acknowledged_before,
);

const EVENTS: &str = "2026-03-07T08:00Z ana signup
                      2026-03-07T09:00Z ana open
                      2026-03-08T09:00Z ana open
                      2026-03-08T10:00Z bo signup
                      2026-03-10T10:00Z bo open";

async fn filled(database: &TestDatabase) -> Running {
    let mut server = Running::start(database).await;
    store(&mut server, EVENTS).await;
    server
}

async fn store(server: &mut Running, text: &str) {
    let query =
        "mutation ($events: [IngestEventInput!]!) { ingestEvents(input: { events: $events }) { stored } }";
    let inputs: Vec<Value> = events(text).iter().map(Event::input).collect();
    assert_eq!(
        server.data(query, json!({ "events": inputs })).await["ingestEvents"]["stored"],
        inputs.len()
    );
}

async fn active_users_are_dense_and_marked(database: TestDatabase) {
    let mut server = filled(&database).await;
    let query = "{ dau(from: \"2026-03-08\", to: \"2026-03-10\", windowDays: 2) { \
                 timezone points { date users newUsers complete } } }";
    let expected = json!({ "timezone": "UTC", "points": [
        { "date": "2026-03-08", "users": 2, "newUsers": 1, "complete": true },
        { "date": "2026-03-09", "users": 2, "newUsers": 0, "complete": true },
        { "date": "2026-03-10", "users": 1, "newUsers": 0, "complete": false },
    ] });
    assert_eq!(server.data(query, json!({})).await["dau"], expected);
    server.stop().await;
}

async fn top_events_add_up(database: TestDatabase) {
    let mut server = filled(&database).await;
    let query = "{ topEvents(from: \"2026-03-07\", to: \"2026-03-10\", limit: 1, rankBy: USERS) { \
                 totalEvents otherEvents totalUsers rows { eventType events users share } } }";
    let expected = json!({ "totalEvents": 5, "otherEvents": 2, "totalUsers": 2, "rows": [
        { "eventType": "open", "events": 3, "users": 2, "share": 0.6 },
    ] });
    assert_eq!(server.data(query, json!({})).await["topEvents"], expected);
    server.stop().await;
}

async fn retention_has_cohorts_and_their_average(database: TestDatabase) {
    let mut server = filled(&database).await;
    let query = "{ retention(from: \"2026-03-07\", to: \"2026-03-08\", periods: 2, startEvent: \"signup\", \
                 returnEvent: \"open\", criterion: ON_OR_AFTER) { timezone \
                 cohorts { start size cells { index retained rate complete } } \
                 pooled { index rate retained size cohorts } } }";
    let cell = |index, retained, rate: f64, complete| json!({ "index": index, "retained": retained, "rate": rate, "complete": complete });
    let expected = json!({ "timezone": "UTC", "cohorts": [
        { "start": "2026-03-07", "size": 1, "cells": [cell(0, 1, 1.0, true), cell(1, 1, 1.0, true), cell(2, 0, 0.0, true)] },
        { "start": "2026-03-08", "size": 1, "cells": [cell(0, 1, 1.0, true), cell(1, 1, 1.0, true), cell(2, 1, 1.0, false)] },
    ], "pooled": [
        { "index": 0, "rate": 1.0, "retained": 2, "size": 2, "cohorts": 2 },
        { "index": 1, "rate": 1.0, "retained": 2, "size": 2, "cohorts": 2 },
        { "index": 2, "rate": 0.0, "retained": 0, "size": 1, "cohorts": 1 },
    ] });
    assert_eq!(server.data(query, json!({})).await["retention"], expected);
    server.stop().await;
}

async fn the_defaults_are_those_of_the_contract(database: TestDatabase) {
    let mut server = filled(&database).await;
    let range = "from: \"2026-03-07\", to: \"2026-03-10\"";
    let fields = "cohorts { start size cells { retained } }";
    let query = format!(
        "{{ short: retention({range}) {{ {fields} }} \
            long: retention({range}, period: DAY, periods: 7, startEvent: null, returnEvent: null, \
                            entry: FIRST_EVER, criterion: ON) {{ {fields} }} \
            day: dau({range}) {{ points {{ users }} }} one: dau({range}, windowDays: 1) {{ points {{ users }} }} \
            top: topEvents({range}) {{ rows {{ eventType }} }} \
            ten: topEvents({range}, limit: 10, rankBy: EVENTS) {{ rows {{ eventType }} }} }}"
    );
    let data = server.data(&query, json!({})).await;
    assert_eq!(data["short"], data["long"]);
    assert_eq!(
        data["short"]["cohorts"][0]["cells"].as_array().map(Vec::len),
        Some(8)
    );
    assert_eq!((&data["day"], &data["top"]), (&data["one"], &data["ten"]));
    server.stop().await;
}

async fn days_are_those_of_the_reporting_time_zone(database: TestDatabase) {
    let mut server = Running::start_in(&database, Tz::Asia__Kolkata, AppOptions::default()).await;
    store(
        &mut server,
        "2026-03-06T18:29:59Z ana open\n2026-03-06T18:30Z bo open",
    )
    .await;
    let query = "{ dau(from: \"2026-03-06\", to: \"2026-03-07\") { timezone points { users } } \
                 serverInfo { timezone database version } }";
    let data = server.data(query, json!({})).await;
    let expected = json!({ "timezone": "Asia/Kolkata", "points": [{ "users": 1 }, { "users": 1 }] });
    assert_eq!(data["dau"], expected);
    assert_eq!(data["serverInfo"]["timezone"], "Asia/Kolkata");
    assert_eq!(data["serverInfo"]["database"], database.backend().to_string());
    server.stop().await;
}

async fn wrong_questions_are_the_askers_fault(database: TestDatabase) {
    let mut server = Running::start(&database).await;
    for question in [
        "dau(from: \"2026-03-02\", to: \"2026-03-01\") { timezone }",
        "dau(from: \"2010-01-01\", to: \"2026-03-01\") { timezone }",
        "dau(from: \"2026-02-30\", to: \"2026-03-01\") { timezone }",
        "dau(from: \"2026-3-1\", to: \"2026-03-01\") { timezone }",
        "dau(from: \"2026-03-01\", to: \"2026-03-01\", windowDays: 0) { timezone }",
        "topEvents(from: \"2026-03-01\", to: \"2026-03-01\", limit: 0) { totalEvents }",
        "topEvents(from: \"2026-03-01\", to: \"2026-03-01\", limit: 1001) { totalEvents }",
        "retention(from: \"2026-03-01\", to: \"2026-03-01\", periods: -1) { timezone }",
    ] {
        let answer = server.send(&format!("{{ {question} }}"), json!({})).await;
        let error = answer.json()["errors"][0].clone();
        assert_eq!(
            error["extensions"]["code"],
            "BAD_USER_INPUT",
            "{question}: {}",
            answer.text()
        );
        assert_eq!(error["extensions"]["retryable"], false, "{question}");
    }
    server.stop().await;
}

async fn filters_are_understood_and_answered(database: TestDatabase) {
    let mut server = filled(&database).await;
    store(&mut server, "2026-03-09T08:00Z ana buy #buy").await;
    let query = "query ($filter: EventFilter) { \
                 dau(from: \"2026-03-08\", to: \"2026-03-09\", filter: $filter) { points { users newUsers } } \
                 topEvents(from: \"2026-03-07\", to: \"2026-03-10\", filter: $filter) { \
                   totalEvents totalUsers rows { eventType events } } }";
    let opened_or_bought = json!({ "eventType": { "in": ["open", "buy"] } });
    let is_ana = json!({ "userId": { "startsWith": "an" } });
    for (filter, users, new_users, types) in [
        (
            json!(null),
            [2, 1],
            [1, 0],
            json!([["open", 3], ["signup", 2], ["buy", 1]]),
        ),
        (
            opened_or_bought.clone(),
            [1, 1],
            [0, 0],
            json!([["open", 3], ["buy", 1]]),
        ),
        (
            json!({ "all": [opened_or_bought, { "not": is_ana }] }),
            [0, 0],
            [0, 0],
            json!([["open", 1]]),
        ),
        (
            json!({ "property": { "path": ["plan"], "is": { "exists": true } } }),
            [0, 0],
            [0, 0],
            json!([]),
        ),
    ] {
        let data = server.data(query, json!({ "filter": filter })).await;
        let points = data["dau"]["points"].as_array().cloned().unwrap_or_default();
        let column = |name: &str| -> Vec<Value> { points.iter().map(|point| point[name].clone()).collect() };
        assert_eq!(column("users"), users, "{filter}");
        assert_eq!(column("newUsers"), new_users, "{filter}");
        let rows = data["topEvents"]["rows"].as_array().cloned().unwrap_or_default();
        let rows: Value = rows
            .iter()
            .map(|row| json!([row["eventType"], row["events"]]))
            .collect();
        assert_eq!(rows, types, "{filter}");
    }
    server.stop().await;
}

async fn wrong_filters_are_the_askers_fault(database: TestDatabase) {
    let mut server = Running::start(&database).await;
    let deep = (0..11).fold(
        json!({ "eventType": { "eq": "a" } }),
        |inner, _| json!({ "not": inner }),
    );
    let property = |is: Value| json!({ "property": { "path": ["a"], "is": is } });
    for (filter, part) in [
        (
            json!({ "eventType": { "eq": "a", "contains": "b" } }),
            "exactly one",
        ),
        (
            json!({ "eventType": { "eq": "a" }, "userId": { "eq": "b" } }),
            "exactly one",
        ),
        (json!({}), "exactly one"),
        (property(json!({ "eq": null })), "exactly one"),
        (property(json!({ "gt": "5" })), "Float"),
        (property(json!({ "contains": 5 })), "String"),
        (
            json!({ "eventType": { "in": [] } }),
            "filter.eventType.in must have at least one value",
        ),
        (
            property(json!({ "in": [] })),
            "filter.property.is.in must have at least one value",
        ),
        (
            json!({ "any": [{ "property": { "path": [], "is": { "exists": true } } }] }),
            "filter.any.0.property.path must have",
        ),
        (deep, "lies more than 10 levels"),
        (
            json!({ "userId": { "eq": "x".repeat(300) } }),
            "filter.userId.eq is 300 bytes long",
        ),
    ] {
        let query = "query ($filter: EventFilter) { dau(from: \"2026-03-01\", to: \"2026-03-01\", filter: $filter) { timezone } }";
        let answer = server.send(query, json!({ "filter": filter })).await;
        let error = answer.json()["errors"][0].clone();
        let message = error["message"].as_str().unwrap_or_default();
        assert!(message.contains(part), "{filter}: {message}");
        let code = error["extensions"]["code"].as_str().unwrap_or_default();
        assert!(
            ["BAD_USER_INPUT", "GRAPHQL_VALIDATION_FAILED"].contains(&code),
            "{filter}: {code}"
        );
    }
    let question = |count: usize| {
        let one = |number| {
            format!(
                "q{number}: dau(from: \"2026-03-01\", to: \"2026-03-01\", filter: {{ userId: {{ eq: \"ana\" }} }}) {{ timezone }} "
            )
        };
        let all: String = (0..count).map(one).collect();
        format!("{{ {all} }}")
    };
    let answer = server.send(&question(4), json!({})).await;
    assert!(answer.json().get("errors").is_none(), "{}", answer.text());
    let answer = server.send(&question(5), json!({})).await;
    assert_eq!(
        answer.json()["errors"][0]["extensions"]["code"],
        "GRAPHQL_LIMIT_EXCEEDED"
    );
    server.stop().await;
}

async fn every_answer_counts_what_was_acknowledged_before(database: TestDatabase) {
    let mut server = Running::start(&database).await;
    for count in 1..=20 {
        store(
            &mut server,
            &format!("2026-03-01T08:00Z user{count} open #{count}"),
        )
        .await;
        let query = "{ dau(from: \"2026-03-01\", to: \"2026-03-01\") { points { users newUsers } } }";
        let point = &server.data(query, json!({})).await["dau"]["points"][0];
        assert_eq!(*point, json!({ "users": count, "newUsers": count }));
    }
    server.stop().await;
}

#[test]
fn the_committed_schema_is_the_one_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schema.graphql");
    let committed = std::fs::read_to_string(path).expect("schema.graphql is there");
    assert!(
        committed == server::schema_sdl(),
        "run `cargo run -- schema > schema.graphql`"
    );
}
