//! The bounds of a filter: what is checked before one is used.

use serde_json::{Number, Value};

use crate::{
    filter::{Filter, StringTest, ValueTest},
    json::canonical,
    new_event::{MAX_NAME_BYTES, MAX_PROPERTY_DEPTH, quoted},
};

/// The deepest nesting of `all`, `any` and `not`: what reads a filter goes down it level by level, and people think in
/// three.
pub const MAX_FILTER_DEPTH: usize = 10;
/// The most tests and groups of a filter: each may be tried on every event in range.
pub const MAX_FILTER_PARTS: usize = 100;
/// The most values of one `in`.
pub(crate) const MAX_FILTER_LIST: usize = 1_000;
/// The longest value that a property is compared with, in bytes of text or of compact JSON.
pub(crate) const MAX_FILTER_VALUE_BYTES: usize = 4 * 1024;
/// The longest path to a property: no event has properties that nest deeper.
pub(crate) const MAX_FILTER_PATH: usize = MAX_PROPERTY_DEPTH;

/// A rule that a filter breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterError {
    /// Where: names of inputs and positions in lists, outermost first, such as `all`, `0`, `property`, `path`.
    pub path: Vec<String>,
    /// What is wrong and what would be right, as a phrase that follows the path: "must not be empty".
    pub message: String,
}

impl Filter {
    /// The filter with every number in its canonical spelling, if it keeps within the bounds and could pass in some database.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn checked(self) -> Result<Self, FilterError> {
        let mut check = Check::default();
        let checked = check.filter(self, 0);
        checked.map_err(|message| FilterError {
            path: check.path,
            message,
        })
    }
}

/// A walk over a filter; where it fails, `path` says where that was.
#[derive(Default)]
struct Check {
    path: Vec<String>,
    parts: usize,
}

impl Check {
    fn filter(&mut self, filter: Filter, depth: usize) -> Result<Filter, String> {
        self.parts += 1;
        if self.parts > MAX_FILTER_PARTS {
            return Err(format!(
                "makes more than {MAX_FILTER_PARTS} tests and groups, the most a filter may have"
            ));
        }
        if depth > MAX_FILTER_DEPTH {
            return Err(format!(
                "lies more than {MAX_FILTER_DEPTH} levels of all, any and not deep, the most a filter may have"
            ));
        }
        Ok(match filter {
            Filter::All(parts) => Filter::All(self.group("all", parts, depth)?),
            Filter::Any(parts) => Filter::Any(self.group("any", parts, depth)?),
            Filter::Not(part) => {
                Filter::Not(Box::new(self.at("not", |check| check.filter(*part, depth + 1))?))
            }
            Filter::EventType(test) => {
                Filter::EventType(self.at("eventType", |check| check.string_test(test))?)
            }
            Filter::UserId(test) => Filter::UserId(self.at("userId", |check| check.string_test(test))?),
            Filter::Property { path, test } => self.at("property", |check| {
                let path = check.at("path", |check| check.property_path(path))?;
                let test = check.at("is", |check| check.value_test(test))?;
                Ok(Filter::Property { path, test })
            })?,
        })
    }

    fn group(&mut self, name: &str, parts: Vec<Filter>, depth: usize) -> Result<Vec<Filter>, String> {
        self.at(name, |check| {
            check.each(parts, |check, part| check.filter(part, depth + 1))
        })
    }

    fn string_test(&mut self, test: StringTest) -> Result<StringTest, String> {
        Ok(match test {
            StringTest::Eq(text) => StringTest::Eq(self.at("eq", |_| name(text))?),
            StringTest::In(list) => StringTest::In(self.list(list, |_, text| name(text))?),
            StringTest::Contains(part) => StringTest::Contains(self.at("contains", |_| name(part))?),
            StringTest::StartsWith(start) => StringTest::StartsWith(self.at("startsWith", |_| name(start))?),
        })
    }

    fn property_path(&mut self, path: Vec<String>) -> Result<Vec<String>, String> {
        if path.is_empty() {
            return Err("must have at least one key, as in [\"plan\"] or [\"address\", \"city\"]".to_owned());
        }
        if path.len() > MAX_FILTER_PATH {
            return Err(format!(
                "has {} keys; properties nest at most {MAX_FILTER_PATH} levels deep",
                path.len()
            ));
        }
        self.each(path, |_, key| text(key))
    }

    fn value_test(&mut self, test: ValueTest) -> Result<ValueTest, String> {
        Ok(match test {
            ValueTest::Exists(wanted) => ValueTest::Exists(wanted),
            ValueTest::Eq(wanted) => ValueTest::Eq(self.at("eq", |_| value(wanted))?),
            ValueTest::Ne(unwanted) => ValueTest::Ne(self.at("ne", |_| value(unwanted))?),
            ValueTest::In(list) => ValueTest::In(self.list(list, |_, wanted| value(wanted))?),
            ValueTest::Gt(bound) => ValueTest::Gt(number(bound)),
            ValueTest::Gte(bound) => ValueTest::Gte(number(bound)),
            ValueTest::Lt(bound) => ValueTest::Lt(number(bound)),
            ValueTest::Lte(bound) => ValueTest::Lte(number(bound)),
            ValueTest::Contains(part) => ValueTest::Contains(self.at("contains", |_| text(part))?),
            ValueTest::StartsWith(start) => ValueTest::StartsWith(self.at("startsWith", |_| text(start))?),
        })
    }

    /// The values of an `in`.
    fn list<T>(
        &mut self,
        items: Vec<T>,
        check_item: impl Fn(&mut Self, T) -> Result<T, String>,
    ) -> Result<Vec<T>, String> {
        self.at("in", |check| {
            if items.is_empty() {
                return Err("must have at least one value: with none, nothing would pass".to_owned());
            }
            if items.len() > MAX_FILTER_LIST {
                return Err(format!(
                    "has {} values; at most {MAX_FILTER_LIST} are allowed",
                    items.len()
                ));
            }
            check.each(items, check_item)
        })
    }

    /// Checks each item under its position.
    fn each<T, U>(
        &mut self,
        items: Vec<T>,
        check_item: impl Fn(&mut Self, T) -> Result<U, String>,
    ) -> Result<Vec<U>, String> {
        let mut checked = Vec::with_capacity(items.len());
        for (position, item) in items.into_iter().enumerate() {
            checked.push(self.at(&position.to_string(), |check| check_item(check, item))?);
        }
        Ok(checked)
    }

    /// Checks what lies under `step`.
    fn at<T>(&mut self, step: &str, check: impl FnOnce(&mut Self) -> Result<T, String>) -> Result<T, String> {
        self.path.push(step.to_owned());
        let checked = check(self)?;
        self.path.pop();
        Ok(checked)
    }
}

/// An event type, a user's id or a part of one; what none can have is refused.
fn name(name: String) -> Result<String, String> {
    if name.is_empty() {
        Err("must not be empty".to_owned())
    } else if name.len() > MAX_NAME_BYTES {
        Err(format!(
            "is {} bytes long; event types and user ids have at most {MAX_NAME_BYTES}",
            name.len()
        ))
    } else if name.chars().any(char::is_control) {
        Err(format!(
            "{} has a control character; event types and user ids have none",
            quoted(&name)
        ))
    } else {
        Ok(name)
    }
}

/// A text to compare properties with, or a key of theirs.
fn text(text: String) -> Result<String, String> {
    if text.len() > MAX_FILTER_VALUE_BYTES {
        Err(format!(
            "is {} bytes long; at most {MAX_FILTER_VALUE_BYTES} are allowed",
            text.len()
        ))
    } else if text.contains('\0') {
        Err("has a NUL character; properties have none".to_owned())
    } else {
        Ok(text)
    }
}

/// A value to compare properties with.
fn value(value: Value) -> Result<Value, String> {
    if has_nul(&value) {
        return Err("has a NUL character; properties have none".to_owned());
    }
    if depth(&value) > MAX_PROPERTY_DEPTH {
        return Err(format!(
            "nests deeper than {MAX_PROPERTY_DEPTH} levels; properties do not"
        ));
    }
    let value = canonical(value);
    let bytes = value.to_string().len();
    if bytes > MAX_FILTER_VALUE_BYTES {
        return Err(format!(
            "is {bytes} bytes of JSON; at most {MAX_FILTER_VALUE_BYTES} are allowed"
        ));
    }
    Ok(value)
}

fn number(number: Number) -> Number {
    match canonical(Value::Number(number.clone())) {
        Value::Number(canonical) => canonical,
        _ => number,
    }
}

fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(map) => map
            .iter()
            .any(|(key, value)| key.contains('\0') || has_nul(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Levels of objects and arrays.
fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or(0),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{MAX_FILTER_DEPTH, MAX_FILTER_LIST, MAX_FILTER_PARTS, MAX_FILTER_VALUE_BYTES};
    use crate::filter::{Filter, StringTest, ValueTest};

    fn buy() -> Filter {
        Filter::EventType(StringTest::Eq("buy".to_owned()))
    }

    fn property(path: &[&str], test: ValueTest) -> Filter {
        let path = path.iter().copied().map(str::to_owned).collect();
        Filter::Property { path, test }
    }

    #[track_caller]
    fn check(filter: Filter, fault: Option<(&str, &str)>) {
        let found = filter.checked().err();
        let found = found.map(|error| (error.path.join("."), error.message));
        match (fault, found) {
            (None, None) => {}
            (Some((path, part)), Some((found_path, message))) => {
                assert_eq!(found_path, path);
                assert!(message.contains(part), "{message}");
            }
            (fault, found) => panic!("wanted {fault:?}, found {found:?}"),
        }
    }

    fn nested(levels: usize) -> Filter {
        (0..levels).fold(buy(), |filter, _| Filter::Not(Box::new(filter)))
    }

    #[test]
    fn depth_and_number_of_parts_are_bounded() {
        check(nested(MAX_FILTER_DEPTH), None);
        let path = ["not"; MAX_FILTER_DEPTH + 1].join(".");
        check(nested(MAX_FILTER_DEPTH + 1), Some((&path, "10 levels")));
        check(Filter::Any(vec![buy(); MAX_FILTER_PARTS - 1]), None);
        check(
            Filter::Any(vec![buy(); MAX_FILTER_PARTS]),
            Some(("any.99", "100 tests")),
        );
        check(
            Filter::All(vec![Filter::All(vec![]); MAX_FILTER_PARTS]),
            Some(("all.99", "100 tests")),
        );
        check(Filter::All(vec![]), None);
    }

    #[test]
    fn lists_have_at_least_one_value_and_an_end() {
        check(
            Filter::UserId(StringTest::In(vec![])),
            Some(("userId.in", "at least one")),
        );
        let names = |count| Filter::EventType(StringTest::In(vec!["a".to_owned(); count]));
        check(names(MAX_FILTER_LIST), None);
        check(names(MAX_FILTER_LIST + 1), Some(("eventType.in", "1001 values")));
        let values = |count| property(&["k"], ValueTest::In(vec![json!(1); count]));
        check(values(0), Some(("property.is.in", "at least one")));
        check(values(MAX_FILTER_LIST), None);
        check(
            values(MAX_FILTER_LIST + 1),
            Some(("property.is.in", "1001 values")),
        );
    }

    #[test]
    fn names_that_nobody_can_have_are_refused() {
        let eq = |text: &str| Filter::EventType(StringTest::Eq(text.to_owned()));
        check(eq(&"ü".repeat(128)), None);
        check(eq(&"ü".repeat(129)), Some(("eventType.eq", "258 bytes")));
        check(eq(""), Some(("eventType.eq", "must not be empty")));
        check(eq("a\nb"), Some(("eventType.eq", "control character")));
        let names = vec!["a".to_owned(), "\0".to_owned()];
        check(
            Filter::UserId(StringTest::In(names)),
            Some(("userId.in.1", "control character")),
        );
        let part = StringTest::Contains(String::new());
        check(Filter::UserId(part), Some(("userId.contains", "empty")));
    }

    #[test]
    fn paths_are_as_deep_as_properties() {
        let exists = || ValueTest::Exists(true);
        check(
            property(&[], exists()),
            Some(("property.path", "at least one key")),
        );
        check(property(&["k"; 16], exists()), None);
        check(property(&["k"; 17], exists()), Some(("property.path", "17 keys")));
        check(property(&["a", "\0"], exists()), Some(("property.path.1", "NUL")));
        check(property(&[""], exists()), None);
    }

    #[test]
    fn values_are_bounded_and_can_be_stored() {
        let eq = |value: Value| property(&["k"], ValueTest::Eq(value));
        check(eq(json!("x".repeat(MAX_FILTER_VALUE_BYTES - 2))), None);
        check(
            eq(json!("x".repeat(MAX_FILTER_VALUE_BYTES - 1))),
            Some(("property.is.eq", "4097 bytes")),
        );
        check(eq(json!(["a\0"])), Some(("property.is.eq", "NUL")));
        check(eq(json!({ "a\0": 1 })), Some(("property.is.eq", "NUL")));
        let deep = (0..17).fold(json!(1), |inner, _| json!([inner]));
        check(eq(deep), Some(("property.is.eq", "16 levels")));
        let long = ValueTest::StartsWith("x".repeat(MAX_FILTER_VALUE_BYTES + 1));
        check(
            property(&["k"], long),
            Some(("property.is.startsWith", "4097 bytes")),
        );
    }

    #[test]
    fn numbers_get_their_one_spelling() {
        let checked = property(&["k"], ValueTest::In(vec![json!(1.0), json!([2.0])])).checked();
        let expected = property(&["k"], ValueTest::In(vec![json!(1), json!([2])]));
        assert_eq!(checked, Ok(expected));
    }
}
