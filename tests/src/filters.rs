//! Random filters, and events with properties that break what is not careful.
//!
//! Values and paths of a filter come mostly from the events that it is asked of, or lie right beside theirs: what is
//! purely random hardly ever meets.

use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use serde_json::{Map, Number, Value, json};
use store::filter::{Filter, StringTest, ValueTest};

use crate::events::Event;

/// Properties with keys and values of every kind, up to three levels deep.
pub fn properties(random: &mut StdRng) -> Map<String, Value> {
    let members = random.random_range(0..=6);
    object(random, members, 2)
}

/// A valid filter about `events`.
///
/// # Panics
/// If `events` is empty.
pub fn filter(random: &mut StdRng, events: &[Event]) -> Filter {
    let filter = part(random, events, 3);
    filter.checked().expect("filters of tests are valid")
}

/// A valid filter about nothing but event types.
///
/// # Panics
/// If `events` is empty.
pub fn type_filter(random: &mut StdRng, events: &[Event]) -> Filter {
    let filter = type_part(random, events, 3);
    filter.checked().expect("filters of tests are valid")
}

fn part(random: &mut StdRng, events: &[Event], depth: u32) -> Filter {
    let event = any(random, events);
    match random.random_range(0..if depth == 0 { 6 } else { 10 }) {
        0 => Filter::EventType(string_test(random, &event.event_type)),
        1 => Filter::UserId(string_test(random, &event.user_id)),
        2..=5 => property(random, event),
        6 => Filter::Not(Box::new(part(random, events, depth - 1))),
        7 => Filter::All(parts(random, |random| part(random, events, depth - 1))),
        _ => Filter::Any(parts(random, |random| part(random, events, depth - 1))),
    }
}

fn type_part(random: &mut StdRng, events: &[Event], depth: u32) -> Filter {
    match random.random_range(0..if depth == 0 { 3 } else { 6 }) {
        0..=2 => {
            let event_type = &any(random, events).event_type;
            Filter::EventType(string_test(random, event_type))
        }
        3 => Filter::Not(Box::new(type_part(random, events, depth - 1))),
        4 => Filter::All(parts(random, |random| type_part(random, events, depth - 1))),
        _ => Filter::Any(parts(random, |random| type_part(random, events, depth - 1))),
    }
}

fn parts(random: &mut StdRng, mut part: impl FnMut(&mut StdRng) -> Filter) -> Vec<Filter> {
    (0..random.random_range(0..=3)).map(|_| part(random)).collect()
}

fn string_test(random: &mut StdRng, text: &str) -> StringTest {
    match random.random_range(0..5) {
        0 => StringTest::Eq(text.to_owned()),
        1 => StringTest::In(vec!["nobody".to_owned(), text.to_owned(), "%".to_owned()]),
        2 => StringTest::StartsWith(named(slice(random, text, true))),
        3 => StringTest::Contains(named(slice(random, text, false))),
        _ => StringTest::Contains((*["%", "_", "\\", "A", "o"].choose(random).unwrap_or(&"%")).to_owned()),
    }
}

fn property(random: &mut StdRng, event: &Event) -> Filter {
    let (mut path, value) = place(random, &event.properties);
    if path.is_empty() || random.random_bool(0.1) {
        path.push(key(random));
    }
    let test = value_test(random, &value);
    Filter::Property { path, test }
}

/// A random path into properties and what is there; empty if they are.
fn place(random: &mut StdRng, properties: &Map<String, Value>) -> (Vec<String>, Value) {
    let mut path = Vec::new();
    let mut value = Value::Object(properties.clone());
    while let Value::Object(map) = &value {
        let keys: Vec<&String> = map.keys().collect();
        let Some(key) = keys.choose(random) else {
            break;
        };
        if !path.is_empty() && random.random_bool(0.2) {
            break;
        }
        path.push((*key).clone());
        value = map[*key].clone();
    }
    if value.is_array() && random.random_bool(0.3) {
        path.push("0".to_owned());
    }
    (path, value)
}

fn value_test(random: &mut StdRng, value: &Value) -> ValueTest {
    let value = &beside(random, value);
    match (random.random_range(0..8), value) {
        (0, _) => ValueTest::Exists(random.random_bool(0.5)),
        (1, _) => ValueTest::Ne(value.clone()),
        (2, _) => ValueTest::In(vec![self::value(random, 1), value.clone(), json!("0")]),
        (3, _) | (_, Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) => {
            ValueTest::Eq(value.clone())
        }
        (_, Value::Number(bound)) => order_test(random, bound.clone()),
        (4, Value::String(_)) => {
            let bound = number(random);
            order_test(random, bound)
        }
        (5, Value::String(text)) => ValueTest::StartsWith(slice(random, text, true)),
        (_, Value::String(text)) => ValueTest::Contains(slice(random, text, false)),
    }
}

fn order_test(random: &mut StdRng, bound: Number) -> ValueTest {
    match random.random_range(0..4) {
        0 => ValueTest::Gt(bound),
        1 => ValueTest::Gte(bound),
        2 => ValueTest::Lt(bound),
        _ => ValueTest::Lte(bound),
    }
}

/// The value itself, or one that a careless database takes for it.
fn beside(random: &mut StdRng, value: &Value) -> Value {
    if random.random_bool(0.5) {
        return value.clone();
    }
    match value {
        Value::Bool(true) => json!(1),
        Value::Bool(false) => json!(0),
        Value::Null => [json!("null"), json!(""), json!(false)]
            .choose(random)
            .cloned()
            .unwrap_or_default(),
        Value::Number(number) => near(random, number),
        Value::String(text) => match text.parse::<Number>() {
            Ok(number) => Value::Number(number),
            Err(_) => json!(text.to_uppercase()),
        },
        Value::Array(items) => items.first().cloned().unwrap_or_default(),
        Value::Object(map) => map.values().next().cloned().unwrap_or_default(),
    }
}

fn near(random: &mut StdRng, number: &Number) -> Value {
    let double = number.as_f64().unwrap_or_default();
    match (random.random_range(0..5), number.as_i64(), number.as_u64()) {
        (0, _, _) => json!(number.to_string()),
        (1, Some(integer), _) => json!(integer.saturating_add(1)),
        (2, Some(integer), _) => json!(integer.saturating_sub(1)),
        (1, None, Some(integer)) => json!(integer.saturating_add(1)),
        (2, None, Some(integer)) => json!(integer.saturating_sub(1)),
        (3, _, _) => finite(double.next_down()),
        _ => finite(double.next_up()),
    }
}

/// The number, unless it is infinite, or -2^63, which as a double no edge lets in.
fn finite(double: f64) -> Value {
    if double == -9_223_372_036_854_775_808.0 {
        return json!(i64::MIN);
    }
    Number::from_f64(double).map_or(json!(0), Value::Number)
}

fn number(random: &mut StdRng) -> Number {
    match finite(f64::from_bits(random.random())) {
        Value::Number(number) => number,
        _ => 0.into(),
    }
}

/// A part of `text`, whole characters, perhaps all or nothing of it.
fn slice(random: &mut StdRng, text: &str, from_start: bool) -> String {
    let characters: Vec<char> = text.chars().collect();
    let start = if from_start {
        0
    } else {
        random.random_range(0..=characters.len())
    };
    let end = random.random_range(start..=characters.len());
    characters[start..end].iter().collect()
}

/// Names are never empty.
fn named(text: String) -> String {
    if text.is_empty() { "a".to_owned() } else { text }
}

fn object(random: &mut StdRng, members: usize, depth: u32) -> Map<String, Value> {
    (0..members)
        .map(|_| (key(random), value(random, depth)))
        .collect()
}

fn key(random: &mut StdRng) -> String {
    (*KEYS.choose(random).unwrap_or(&"a")).to_owned()
}

fn value(random: &mut StdRng, depth: u32) -> Value {
    match random.random_range(0..if depth == 0 { 12 } else { 16 }) {
        0 => Value::Null,
        1 => json!(random.random_bool(0.5)),
        2..=4 => json!(random.random_range(-2..=3)),
        5 => INTEGERS.choose(random).map_or(Value::Null, |integer| {
            i64::try_from(*integer).map_or(json!(u64::try_from(*integer).unwrap_or(u64::MAX)), |small| {
                json!(small)
            })
        }),
        6 => finite(*DOUBLES.choose(random).unwrap_or(&0.5)),
        7 => Value::Number(number(random)),
        8..=11 => json!(*TEXTS.choose(random).unwrap_or(&"")),
        12..=13 => (0..random.random_range(0..3))
            .map(|_| value(random, depth - 1))
            .collect(),
        _ => {
            let members = random.random_range(0..4);
            Value::Object(object(random, members, depth - 1))
        }
    }
}

fn any<'a>(random: &mut StdRng, events: &'a [Event]) -> &'a Event {
    events.choose(random).expect("there are events")
}

const KEYS: [&str; 24] = [
    "", "a", "A", "b", "plan", "a.b", "0", "1", "-1", "[0]", "$", "$.a", "#-1", "\"", "a\"b", "\\", "\\\"",
    "\\u0061", "'", "%", "\u{1}", "\n", "é", "名前",
];

const TEXTS: [&str; 26] = [
    "",
    "5",
    "0",
    "1",
    "1.0",
    "0.1",
    "true",
    "false",
    "null",
    "a",
    "A",
    "abc",
    "ABC",
    "100 %",
    "100 x",
    "a_b",
    "axb",
    "\\",
    "\\%",
    "\"quoted\"",
    "line\nbreak\t\u{1}",
    "é",
    "e\u{301}",
    "名前",
    "👩‍👩‍👧",
    "{\"a\":1}",
];

const INTEGERS: [i128; 12] = [
    9_007_199_254_740_991,
    9_007_199_254_740_992,
    9_007_199_254_740_993,
    i64::MAX as i128 - 1,
    i64::MAX as i128,
    i64::MAX as i128 + 1,
    u64::MAX as i128 - 1,
    u64::MAX as i128,
    9_999_999_999_999_999_999,
    10_000_000_000_000_000_000,
    i64::MIN as i128,
    i64::MIN as i128 + 1,
];

const DOUBLES: [f64; 16] = [
    0.1,
    0.2,
    0.300_000_000_000_000_04,
    1.0,
    -0.0,
    1.5,
    1e15,
    1e16,
    1e21,
    1e300,
    5e-324,
    f64::MAX,
    9_007_199_254_740_992.0,
    9_223_372_036_854_775_808.0,
    18_446_744_073_709_551_616.0,
    -1e19,
];
