//! Random streams of events, the same for the same seed: late ones, duplicates, conflicts, times at the edges of
//! days, names that break what is not careful, and zones whose clocks jump.

use chrono::{DateTime, NaiveDate, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::events::{Event, date};
use crate::filters;

/// Zones whose clocks do something within [`SPAN_DAYS`] days of the date beside them.
const ZONES: [(Tz, &str); 8] = [
    (Tz::UTC, "2024-02-10"),
    (Tz::America__New_York, "2024-02-20"),
    (Tz::America__Santiago, "2024-08-15"),
    (Tz::Australia__Lord_Howe, "2024-03-20"),
    (Tz::Asia__Kolkata, "2024-12-01"),
    (Tz::Africa__Casablanca, "2024-03-01"),
    (Tz::America__St_Johns, "2006-10-10"),
    (Tz::Pacific__Apia, "2011-12-10"),
];
const SPAN_DAYS: u32 = 70;

/// What a store should say to one event of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// New, and kept.
    Stored,
    /// The same event again.
    Duplicate,
    /// A known id with other content.
    Conflict,
}

/// A source of random events and questions.
#[derive(Debug)]
pub struct Stream {
    /// What it was made from: print it when a test fails.
    pub seed: u64,
    /// The reporting time zone.
    pub zone: Tz,
    /// The first day that has events.
    pub from: NaiveDate,
    /// The last one.
    pub to: NaiveDate,
    /// For anything else that a test leaves to chance.
    pub random: StdRng,
}

impl Stream {
    /// As many seeds in a row cover every zone, each seed the same one as `ZONES` seeds later.
    pub const ZONES: u64 = ZONES.len() as u64;

    /// The stream of `seed`.
    pub fn new(seed: u64) -> Self {
        let (zone, from) = ZONES[seed as usize % ZONES.len()];
        let from = date(from);
        let to = from + TimeDelta::days(i64::from(SPAN_DAYS));
        Self {
            seed,
            zone,
            from,
            to,
            random: StdRng::seed_from_u64(seed),
        }
    }

    /// Batches as they might arrive: `count` different events, some sent again, some changed under the same id.
    pub fn deliveries(&mut self, count: usize) -> Vec<Vec<Event>> {
        let mut sent: Vec<Event> = Vec::new();
        for _ in 0..count {
            let event = self.event();
            if self.random.random_bool(0.15) {
                sent.push(event.clone());
            }
            if self.random.random_bool(0.10) {
                sent.push(self.changed(&event));
            }
            sent.push(event);
        }
        sent.shuffle(&mut self.random);
        let mut batches = Vec::new();
        while !sent.is_empty() {
            let size = self.random.random_range(1..=40).min(sent.len());
            batches.push(sent.drain(..size).collect());
        }
        batches
    }

    /// One event of few users and types, so that they meet again.
    pub fn event(&mut self) -> Event {
        let id = self.random.random::<u128>();
        Event {
            event_id: Uuid::from_u128(id),
            user_id: self.user_id(),
            event_type: self.event_type(),
            occurred_at: self.instant(),
            properties: self.properties(),
        }
    }

    /// An event type that the stream uses.
    pub fn event_type(&mut self) -> String {
        (*EVENT_TYPES.choose(&mut self.random).unwrap_or(&"login")).to_owned()
    }

    /// A day inside the stream's span, or up to a week outside.
    pub fn day(&mut self) -> NaiveDate {
        self.from + TimeDelta::days(self.random.random_range(-7..i64::from(SPAN_DAYS) + 7))
    }

    fn user_id(&mut self) -> String {
        if self.random.random_bool(0.5) {
            return format!("user {}", self.random.random_range(0..12));
        }
        let name = (*USER_IDS.choose(&mut self.random).unwrap_or(&"ana")).to_owned();
        if name == "LONGEST" { "ü".repeat(128) } else { name }
    }

    fn instant(&mut self) -> DateTime<Utc> {
        let day = self.from + TimeDelta::days(self.random.random_range(0..=i64::from(SPAN_DAYS)));
        let midnight = day.and_time(chrono::NaiveTime::MIN);
        let near = match self.zone.from_local_datetime(&midnight).earliest() {
            Some(local) => local.with_timezone(&Utc),
            None => Utc.from_utc_datetime(&midnight),
        };
        let edges = [
            -3_600_000_000,
            -1_800_000_000,
            -60_000_000,
            -1,
            0,
            0,
            1,
            60_000_000,
            3_600_000_000,
        ];
        let offset = if self.random.random_bool(0.4) {
            *edges.choose(&mut self.random).unwrap_or(&0)
        } else {
            self.random.random_range(0..86_400_000_000)
        };
        near + TimeDelta::microseconds(offset)
    }

    fn properties(&mut self) -> Map<String, Value> {
        if self.random.random_bool(0.4) {
            return filters::properties(&mut self.random);
        }
        let values = [
            json!({}),
            json!({ "amount": 11.77, "quantity": 1 }),
            json!({ "amount": 5, "plan": "pro" }),
            json!({ "plan": "free", "nested": { "list": [1, "two", null, true, { "deep": [] }] }, "": "empty key" }),
            json!({ "text": "'; DROP TABLE events; -- \u{202e} \\u0000 \"quoted\"", "big": 9_007_199_254_740_993_u64 }),
        ];
        let value = values.choose(&mut self.random).and_then(Value::as_object);
        value.cloned().unwrap_or_default()
    }

    /// Another event under the same id.
    fn changed(&mut self, event: &Event) -> Event {
        let mut changed = event.clone();
        match self.random.random_range(0..4) {
            0 => changed.user_id.push('!'),
            1 => changed.event_type.push('!'),
            2 => changed.occurred_at += TimeDelta::microseconds(1),
            _ => drop(changed.properties.insert("changed".to_owned(), Value::Bool(true))),
        }
        if changed.user_id.len() > 256 {
            changed.user_id = "someone else".to_owned();
        }
        changed
    }
}

/// Takes a delivery as a store should: the first write under an id stands. Adds what is new to `stored`.
pub fn deliver(stored: &mut Vec<Event>, delivery: &[Event]) -> Vec<Expected> {
    let mut outcomes = Vec::new();
    for event in delivery {
        let known = stored.iter().find(|known| known.event_id == event.event_id);
        outcomes.push(match known {
            None => Expected::Stored,
            Some(known) if known == event => Expected::Duplicate,
            Some(_) => Expected::Conflict,
        });
        if known.is_none() {
            stored.push(event.clone());
        }
    }
    outcomes
}

const USER_IDS: [&str; 20] = [
    "ana",
    "Ana",
    "ANA",
    "aná",
    "ana\u{301}",
    "ana ",
    " ana",
    "0",
    "00",
    "null",
    "%",
    "_",
    "'",
    "\\",
    "\"",
    "名前",
    "👩‍👩‍👧",
    "{\"$ne\":1}",
    "';--",
    "LONGEST",
];

const EVENT_TYPES: [&str; 9] = [
    "login",
    "Login",
    "lógin",
    "logi\u{0301}n",
    "purchase",
    "app opened",
    "購入",
    "a,b;c",
    "'||'",
];
