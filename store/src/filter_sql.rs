//! A filter as SQL: one boolean expression over the columns of `events`, for both databases, side by side.
//!
//! It says what [`Filter::matches`] says, and never NULL, so that `NOT` may stand before any part of it. Values are bound;
//! the text varies with the filter's shape only.
//!
//! - PostgreSQL: `jsonb` compares numbers as exact decimals and everything else by value. Keys are followed one by one:
//!   `->` with a text never reaches into an array.
//! - SQLite: properties are JSON texts in which each value has one spelling (see [`crate::json::canonical`], and keys are
//!   sorted), so `->`, which gives a value's text as it stands, tells equality exactly, also of booleans, and of integers
//!   beyond 63 bits. The order of numbers is that of [`NUMBER_ORDER`], a collation of ours.

use sea_orm::{DbBackend, Value, sea_query::ArrayType};
use serde_json::{Number, Value as Json};

use crate::{
    dialect::{Dialect, NUMBER_ORDER},
    filter::{Filter, StringTest, ValueTest},
};

impl Filter {
    /// The filter as a boolean SQL expression over the columns of `events`, never NULL, and the values of its parameters,
    /// which are numbered from `first_parameter`. The filter must be a checked one.
    pub fn condition(&self, backend: DbBackend, first_parameter: usize) -> (String, Vec<Value>) {
        filter_sql(Dialect::of(backend), self, first_parameter)
    }
}

/// [`Filter::condition`] for those who know the dialect.
pub(crate) fn filter_sql(dialect: Dialect, filter: &Filter, first_parameter: usize) -> (String, Vec<Value>) {
    let mut writer = Writer {
        dialect,
        first_parameter,
        values: Vec::new(),
    };
    let expression = writer.filter(filter);
    (expression, writer.values)
}

struct Writer {
    dialect: Dialect,
    first_parameter: usize,
    values: Vec<Value>,
}

impl Writer {
    /// A parameter with this value.
    fn bind(&mut self, value: impl Into<Value>) -> String {
        self.values.push(value.into());
        format!("${}", self.first_parameter + self.values.len() - 1)
    }

    fn filter(&mut self, filter: &Filter) -> String {
        match filter {
            Filter::All(parts) => self.group(parts, " AND ", "TRUE"),
            Filter::Any(parts) => self.group(parts, " OR ", "FALSE"),
            Filter::Not(part) => format!("(NOT {})", self.filter(part)),
            Filter::EventType(test) => self.string_test("events.event_type", test),
            Filter::UserId(test) => self.string_test("events.user_id", test),
            Filter::Property { path, test } => match self.dialect {
                Dialect::Sqlite => self.sqlite_property(path, test),
                Dialect::Postgres => self.postgres_property(path, test),
            },
        }
    }

    fn group(&mut self, parts: &[Filter], operator: &str, empty: &str) -> String {
        if parts.is_empty() {
            return empty.to_owned();
        }
        let parts: Vec<String> = parts.iter().map(|part| self.filter(part)).collect();
        format!("({})", parts.join(operator))
    }

    /// A test of a column, which is never NULL.
    fn string_test(&mut self, column: &str, test: &StringTest) -> String {
        match test {
            StringTest::Eq(text) => format!("({column} = {})", self.bind(text.as_str())),
            StringTest::In(list) => format!("({})", self.is_one_of(column, list.clone())),
            StringTest::Contains(part) => format!("({})", self.contains(column, part)),
            StringTest::StartsWith(start) => format!("({})", self.starts_with(column, start)),
        }
    }

    fn is_one_of(&mut self, text: &str, list: Vec<String>) -> String {
        match self.dialect {
            Dialect::Sqlite => {
                let list = self.bind(Json::from(list).to_string());
                format!("{text} IN (SELECT value FROM json_each({list}))")
            }
            Dialect::Postgres => format!("{text} = ANY ({})", self.bind(text_array(list))),
        }
    }

    /// Neither `LIKE` nor `GLOB`: both have wildcards, and SQLite's `LIKE` takes `A` for `a`.
    fn contains(&mut self, text: &str, part: &str) -> String {
        let part = self.bind(part);
        match self.dialect {
            Dialect::Sqlite => format!("instr({text}, {part}) > 0"),
            Dialect::Postgres => format!("strpos({text} COLLATE \"C\", {part}) > 0"),
        }
    }

    fn starts_with(&mut self, text: &str, start: &str) -> String {
        let start = self.bind(start);
        match self.dialect {
            Dialect::Sqlite => format!("substr({text}, 1, length({start})) = {start}"),
            Dialect::Postgres => format!("starts_with({text} COLLATE \"C\", {start})"),
        }
    }

    fn postgres_property(&mut self, path: &[String], test: &ValueTest) -> String {
        let keys: Vec<String> = path
            .iter()
            .map(|key| format!(" -> {}::text", self.bind(key.as_str())))
            .collect();
        let value = format!("(events.properties{})", keys.concat());
        let text = format!("({value} #>> '{{}}')");
        let condition = match test {
            ValueTest::Exists(true) => return format!("({value} IS NOT NULL)"),
            ValueTest::Exists(false) => return format!("({value} IS NULL)"),
            ValueTest::Eq(wanted) => format!("{value} = {}::jsonb", self.bind(wanted.to_string())),
            ValueTest::Ne(unwanted) => format!("{value} <> {}::jsonb", self.bind(unwanted.to_string())),
            ValueTest::In(list) => {
                let list = self.bind(text_array(list.iter().map(Json::to_string).collect()));
                format!("{value} = ANY ({list}::text[]::jsonb[])")
            }
            ValueTest::Gt(bound) => self.postgres_order(&value, ">", bound),
            ValueTest::Gte(bound) => self.postgres_order(&value, ">=", bound),
            ValueTest::Lt(bound) => self.postgres_order(&value, "<", bound),
            ValueTest::Lte(bound) => self.postgres_order(&value, "<=", bound),
            ValueTest::Contains(part) => {
                let contains = self.contains(&text, part);
                format!("jsonb_typeof({value}) = 'string' AND {contains}")
            }
            ValueTest::StartsWith(start) => {
                let starts = self.starts_with(&text, start);
                format!("jsonb_typeof({value}) = 'string' AND {starts}")
            }
        };
        format!("COALESCE({condition}, FALSE)")
    }

    fn postgres_order(&mut self, value: &str, operator: &str, bound: &Number) -> String {
        let bound = self.bind(bound.to_string());
        format!("jsonb_typeof({value}) = 'number' AND {value} {operator} {bound}::jsonb")
    }

    fn sqlite_property(&mut self, path: &[String], test: &ValueTest) -> String {
        let path = self.bind(sqlite_path(path));
        let value = format!("(events.properties -> {path})");
        let text = format!("(events.properties ->> {path})");
        let kind = format!("json_type(events.properties, {path})");
        let condition = match test {
            ValueTest::Exists(true) => return format!("({value} IS NOT NULL)"),
            ValueTest::Exists(false) => return format!("({value} IS NULL)"),
            ValueTest::Eq(wanted) => format!("{value} = {}", self.bind(wanted.to_string())),
            ValueTest::Ne(unwanted) => format!("{value} <> {}", self.bind(unwanted.to_string())),
            ValueTest::In(list) => self.is_one_of(&value, list.iter().map(Json::to_string).collect()),
            ValueTest::Gt(bound) => self.sqlite_order(&kind, &value, ">", bound),
            ValueTest::Gte(bound) => self.sqlite_order(&kind, &value, ">=", bound),
            ValueTest::Lt(bound) => self.sqlite_order(&kind, &value, "<", bound),
            ValueTest::Lte(bound) => self.sqlite_order(&kind, &value, "<=", bound),
            ValueTest::Contains(part) => format!("{kind} = 'text' AND {}", self.contains(&text, part)),
            ValueTest::StartsWith(start) => format!("{kind} = 'text' AND {}", self.starts_with(&text, start)),
        };
        format!("COALESCE({condition}, FALSE)")
    }

    fn sqlite_order(&mut self, kind: &str, value: &str, operator: &str, bound: &Number) -> String {
        let bound = self.bind(bound.to_string());
        format!("{kind} IN ('integer', 'real') AND {value} COLLATE {NUMBER_ORDER} {operator} {bound}")
    }
}

/// A path in SQLite's notation: every key quoted and escaped as in JSON, so that none is taken for a position.
fn sqlite_path(keys: &[String]) -> String {
    let steps: Vec<String> = keys
        .iter()
        .map(|key| format!(".{}", Json::from(key.as_str())))
        .collect();
    format!("${}", steps.concat())
}

fn text_array(items: Vec<String>) -> Value {
    Value::Array(
        ArrayType::String,
        Some(Box::new(items.into_iter().map(Into::into).collect())),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::filter_sql;
    use crate::{
        dialect::Dialect,
        filter::{Filter, StringTest, ValueTest},
    };

    #[test]
    fn statements() {
        let text = || "x".to_owned();
        let property = |path: &[&str], test| Filter::Property {
            path: path.iter().copied().map(str::to_owned).collect(),
            test,
        };
        let filter = Filter::All(vec![
            Filter::EventType(StringTest::Eq(text())),
            Filter::EventType(StringTest::Contains(text())),
            Filter::Any(vec![
                Filter::UserId(StringTest::In(vec![text()])),
                Filter::UserId(StringTest::StartsWith(text())),
                Filter::Not(Box::new(Filter::All(vec![]))),
            ]),
            property(&["a"], ValueTest::Exists(true)),
            property(&["a", "b"], ValueTest::Exists(false)),
            property(&["a"], ValueTest::Eq(json!(1))),
            property(&["a", "b"], ValueTest::Ne(json!("x"))),
            property(&["a"], ValueTest::In(vec![json!(null)])),
            property(&["a"], ValueTest::Gt(1.into())),
            property(&["a"], ValueTest::Lte(1.into())),
            property(&["a"], ValueTest::Contains(text())),
            property(&["a"], ValueTest::StartsWith(text())),
            Filter::Any(vec![]),
        ]);
        for (name, dialect) in [("sqlite", Dialect::Sqlite), ("postgres", Dialect::Postgres)] {
            let (sql, values) = filter_sql(dialect, &filter, 3);
            assert!(sql.contains(&format!("${}", values.len() + 2)));
            assert!(!sql.contains(&format!("${}", values.len() + 3)));
            let lines = sql.replace(" AND ", "\nAND ").replace(" OR ", "\nOR ");
            insta::assert_snapshot!(format!("filter_{name}"), lines);
        }
    }
}
