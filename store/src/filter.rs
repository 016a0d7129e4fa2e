//! What a filter means: which events pass it.
//!
//! A [`Filter`] is tests of an event's type, its user and its properties, put together with "all", "any" and "not".
//! [`Filter::matches`] is the definition; the SQL of [`crate::filter_sql`] gives the same answer on both databases.
//!
//! - Types are JSON's: `"5"` is not `5`, `1` is not `true`. Numbers compare by value, exactly, so `1` equals `1.0`; objects
//!   and arrays compare by value, whatever the order of keys.
//! - Every test says yes or no, never "unknown". What is not there fails every test but `exists: false`; `not` turns any
//!   answer around. `null` is a value that is there.
//! - A path is keys of objects, outermost first. It never reaches into an array: the step `"0"` is the key `"0"`.
//! - Text compares byte for byte. `contains` and `startsWith` pass only strings, `gt` and its kin only numbers.

use std::cmp::Ordering;

use serde_json::{Map, Number, Value};

use crate::{StoredEvent, json::compare_numbers};

/// Which events pass. Made valid by [`Filter::checked`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Filter {
    /// Those that pass every one of these; with none, all events.
    All(Vec<Filter>),
    /// Those that pass at least one of these; with none, no event.
    Any(Vec<Filter>),
    /// Those that do not pass this.
    Not(Box<Filter>),
    /// Those whose type passes.
    EventType(StringTest),
    /// Those whose user's id passes.
    UserId(StringTest),
    /// Those with a property that passes.
    Property {
        /// Keys of objects, outermost first.
        path: Vec<String>,
        /// What is asked of the value there.
        test: ValueTest,
    },
}

/// A test of a text, byte for byte.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum StringTest {
    /// Is exactly this.
    Eq(String),
    /// Is one of these.
    In(Vec<String>),
    /// Has this somewhere.
    Contains(String),
    /// Begins with this.
    StartsWith(String),
}

/// A test of a JSON value, or of its absence.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ValueTest {
    /// Is there (`null` is), or is not.
    Exists(bool),
    /// Is this.
    Eq(Value),
    /// Is there and is something else.
    Ne(Value),
    /// Is one of these.
    In(Vec<Value>),
    /// Is a number above this.
    Gt(Number),
    /// Is a number above this, or this.
    Gte(Number),
    /// Is a number below this.
    Lt(Number),
    /// Is a number below this, or this.
    Lte(Number),
    /// Is a string that has this somewhere.
    Contains(String),
    /// Is a string that begins with this.
    StartsWith(String),
}

impl Filter {
    /// Whether `event` passes.
    pub fn matches(&self, event: &StoredEvent) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.matches(event)),
            Self::Any(parts) => parts.iter().any(|part| part.matches(event)),
            Self::Not(part) => !part.matches(event),
            Self::EventType(test) => test.passes(&event.event_type),
            Self::UserId(test) => test.passes(&event.user_id),
            Self::Property { path, test } => test.passes(value_at(&event.properties, path)),
        }
    }
}

impl Filter {
    /// What can be said of an event of this type alone: that it passes, that it does not, or, where its user or its
    /// properties decide, nothing.
    pub(crate) fn verdict(&self, event_type: &str) -> Option<bool> {
        match self {
            Self::All(parts) => Self::verdict_on_parts(parts, event_type, false),
            Self::Any(parts) => Self::verdict_on_parts(parts, event_type, true),
            Self::Not(part) => part.verdict(event_type).map(|passes| !passes),
            Self::EventType(test) => Some(test.passes(event_type)),
            Self::UserId(_) | Self::Property { .. } => None,
        }
    }

    /// `decisive` is the verdict that settles the whole group.
    fn verdict_on_parts(parts: &[Self], event_type: &str, decisive: bool) -> Option<bool> {
        let mut verdict = Some(!decisive);
        for part in parts {
            match part.verdict(event_type) {
                Some(passes) if passes == decisive => return Some(decisive),
                Some(_) => {}
                None => verdict = None,
            }
        }
        verdict
    }

    /// Whether the filter is small enough to be remembered with its answer.
    pub(crate) fn is_short(&self) -> bool {
        const BYTES: usize = 16 * 1024;
        format!("{self:?}").len() <= BYTES
    }
}

impl StringTest {
    /// Whether `text` passes.
    fn passes(&self, text: &str) -> bool {
        match self {
            Self::Eq(wanted) => text == wanted,
            Self::In(wanted) => wanted.iter().any(|wanted| text == wanted),
            Self::Contains(part) => text.contains(part.as_str()),
            Self::StartsWith(start) => text.starts_with(start.as_str()),
        }
    }
}

impl ValueTest {
    fn passes(&self, value: Option<&Value>) -> bool {
        let Some(value) = value else {
            return *self == Self::Exists(false);
        };
        match self {
            Self::Exists(wanted) => *wanted,
            Self::Eq(wanted) => value == wanted,
            Self::Ne(unwanted) => value != unwanted,
            Self::In(wanted) => wanted.contains(value),
            Self::Gt(bound) => order(value, bound).is_some_and(Ordering::is_gt),
            Self::Gte(bound) => order(value, bound).is_some_and(Ordering::is_ge),
            Self::Lt(bound) => order(value, bound).is_some_and(Ordering::is_lt),
            Self::Lte(bound) => order(value, bound).is_some_and(Ordering::is_le),
            Self::Contains(part) => value.as_str().is_some_and(|text| text.contains(part.as_str())),
            Self::StartsWith(start) => value
                .as_str()
                .is_some_and(|text| text.starts_with(start.as_str())),
        }
    }
}

fn value_at<'a>(properties: &'a Map<String, Value>, path: &[String]) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    rest.iter()
        .try_fold(properties.get(first)?, |value, key| value.as_object()?.get(key))
}

/// How a value lies to a bound; none if the value is no number.
fn order(value: &Value, bound: &Number) -> Option<Ordering> {
    let Value::Number(number) = value else {
        return None;
    };
    compare_numbers(number, bound)
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use serde_json::{Value, json};
    use uuid::Uuid;

    use super::{Filter, StringTest, ValueTest};
    use crate::{StoredEvent, json};

    fn event(properties: Value) -> StoredEvent {
        let properties = json::canonical(properties);
        StoredEvent {
            event_id: Uuid::nil(),
            user_id: "ana".to_owned(),
            event_type: "buy".to_owned(),
            occurred_at: DateTime::UNIX_EPOCH,
            received_at: DateTime::UNIX_EPOCH,
            properties: properties.as_object().cloned().unwrap_or_default(),
        }
    }

    #[track_caller]
    fn check(properties: Value, path: &[&str], test: ValueTest, passes: bool) {
        let context = format!("{properties} {path:?} {test:?}");
        let path = path.iter().copied().map(str::to_owned).collect();
        let filter = Filter::Property { path, test };
        let filter = filter.checked().expect("a valid filter");
        assert_eq!(filter.matches(&event(properties.clone())), passes, "{context}");
        let opposite = Filter::Not(Box::new(filter));
        assert_eq!(opposite.matches(&event(properties)), !passes, "not {context}");
    }

    fn number(value: Value) -> serde_json::Number {
        match value {
            Value::Number(number) => number,
            other => panic!("{other} is no number"),
        }
    }

    #[test]
    fn types_are_those_of_json() {
        for (stored, wanted, equal) in [
            (json!(5), json!(5), true),
            (json!("5"), json!(5), false),
            (json!(5), json!("5"), false),
            (json!(1), json!(1.0), true),
            (json!(1), json!(true), false),
            (json!(0), json!(false), false),
            (json!(0), json!(-0.0), true),
            (json!(null), json!(null), true),
            (json!(null), json!(false), false),
            (json!("a"), json!("A"), false),
            (json!([1, 2]), json!([1.0, 2]), true),
            (json!([1, 2]), json!([2, 1]), false),
            (json!({ "a": 1, "b": 2 }), json!({ "b": 2, "a": 1 }), true),
            (json!({ "a": 1 }), json!({ "a": 1, "b": 2 }), false),
            (
                json!(9_007_199_254_740_993_u64),
                json!(9_007_199_254_740_992.0),
                false,
            ),
            (json!(u64::MAX), json!(18_446_744_073_709_551_616.0), false),
        ] {
            let properties = json!({ "k": stored });
            check(properties.clone(), &["k"], ValueTest::Eq(wanted.clone()), equal);
            check(
                properties.clone(),
                &["k"],
                ValueTest::In(vec![json!("other"), wanted.clone()]),
                equal,
            );
            check(properties, &["k"], ValueTest::Ne(wanted), !equal);
        }
    }

    #[test]
    fn what_is_not_there_passes_nothing_but_absence() {
        for path in [["b"].as_slice(), &["a", "b"], &["list", "0"], &["text", "0"]] {
            let properties = || json!({ "a": {}, "list": [1], "text": "xyz" });
            check(properties(), path, ValueTest::Exists(false), true);
            for test in [
                ValueTest::Exists(true),
                ValueTest::Eq(json!(null)),
                ValueTest::Ne(json!(1)),
                ValueTest::In(vec![json!(null)]),
                ValueTest::Lt(1.into()),
                ValueTest::Gte(0.into()),
                ValueTest::Contains(String::new()),
                ValueTest::StartsWith(String::new()),
            ] {
                check(properties(), path, test, false);
            }
        }
        check(json!({ "a": null }), &["a"], ValueTest::Exists(true), true);
        check(json!({ "a": null }), &["a"], ValueTest::Ne(json!(1)), true);
    }

    #[test]
    fn paths_are_keys_and_nothing_else() {
        let properties = || json!({ "": 1, "a.b": 2, "$": { "0": 3, "\"": 4 }, "a": { "b": 5 } });
        check(properties(), &[""], ValueTest::Eq(json!(1)), true);
        check(properties(), &["a.b"], ValueTest::Eq(json!(2)), true);
        check(properties(), &["$", "0"], ValueTest::Eq(json!(3)), true);
        check(properties(), &["$", "\""], ValueTest::Eq(json!(4)), true);
        check(properties(), &["a", "b"], ValueTest::Eq(json!(5)), true);
    }

    #[test]
    fn only_numbers_have_an_order_and_it_is_exact() {
        let ascending = [
            json!(-1e300),
            json!(i64::MIN),
            json!(-0.1),
            json!(0),
            json!(5e-324),
            json!(0.1),
            json!(0.30000000000000004),
            json!(1),
            json!(9_007_199_254_740_992_u64),
            json!(9_007_199_254_740_993_u64),
            json!(i64::MAX),
            json!(9_223_372_036_854_775_808_u64),
            json!(u64::MAX - 1),
            json!(u64::MAX),
            json!(18_446_744_073_709_551_616.0),
            json!(1e300),
        ];
        for (left_at, left) in ascending.iter().enumerate() {
            for (right_at, right) in ascending.iter().enumerate() {
                let properties = || json!({ "n": left });
                let bound = || number(right.clone());
                check(properties(), &["n"], ValueTest::Gt(bound()), left_at > right_at);
                check(properties(), &["n"], ValueTest::Gte(bound()), left_at >= right_at);
                check(properties(), &["n"], ValueTest::Lt(bound()), left_at < right_at);
                check(properties(), &["n"], ValueTest::Lte(bound()), left_at <= right_at);
            }
        }
        for other in [json!("5"), json!(true), json!(null), json!([5]), json!({})] {
            check(json!({ "n": other }), &["n"], ValueTest::Gte(0.into()), false);
        }
    }

    #[test]
    fn only_strings_contain_and_every_byte_counts() {
        let check_text = |stored: Value, part: &str, contains: bool, starts: bool| {
            let properties = || json!({ "t": stored });
            check(
                properties(),
                &["t"],
                ValueTest::Contains(part.to_owned()),
                contains,
            );
            check(
                properties(),
                &["t"],
                ValueTest::StartsWith(part.to_owned()),
                starts,
            );
        };
        check_text(json!("100 % of_it\\"), "% of_", true, false);
        check_text(json!("100 % of_it\\"), "100 %", true, true);
        check_text(json!("Ana"), "a", true, false);
        check_text(json!("Ana"), "an", false, false);
        check_text(json!("ana\u{301}"), "ana", true, true);
        check_text(json!("aná"), "ana", false, false);
        check_text(json!("x"), "", true, true);
        check_text(json!(100), "1", false, false);
        check_text(json!(["a"]), "a", false, false);
        check_text(json!(null), "null", false, false);
    }

    #[test]
    fn types_decide_where_they_can() {
        let is = |name: &str| Filter::EventType(StringTest::Eq(name.to_owned()));
        let who = || Filter::UserId(StringTest::Eq("ana".to_owned()));
        let not = |filter| Filter::Not(Box::new(filter));
        for (filter, verdict) in [
            (is("buy"), Some(true)),
            (not(is("buy")), Some(false)),
            (who(), None),
            (not(who()), None),
            (Filter::All(vec![is("buy"), who()]), None),
            (Filter::All(vec![who(), is("open")]), Some(false)),
            (Filter::Any(vec![who(), is("buy")]), Some(true)),
            (Filter::Any(vec![is("open"), who()]), None),
            (
                Filter::Any(vec![is("open"), not(Filter::All(vec![]))]),
                Some(false),
            ),
        ] {
            assert_eq!(filter.verdict("buy"), verdict, "{filter:?}");
        }
    }

    #[test]
    fn groups_put_tests_together() {
        let buy = || Filter::EventType(StringTest::In(vec!["x".to_owned(), "buy".to_owned()]));
        let other = || Filter::UserId(StringTest::StartsWith("b".to_owned()));
        let passes = |filter: Filter| filter.matches(&event(json!({})));
        assert!(passes(Filter::All(vec![])));
        assert!(!passes(Filter::Any(vec![])));
        assert!(passes(buy()));
        assert!(!passes(other()));
        assert!(!passes(Filter::All(vec![buy(), other()])));
        assert!(passes(Filter::Any(vec![other(), buy()])));
        assert!(passes(Filter::Not(Box::new(Filter::All(vec![buy(), other()])))));
    }
}
