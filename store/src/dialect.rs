//! What differs between SQLite and PostgreSQL, side by side.
//!
//! Every statement has one constant text per database, whatever the number of rows, so that both prepare it once. Rows
//! travel as one list: on PostgreSQL as one array for each column (`unnest`), on SQLite as one JSON text (`json_each`).
//! Values are always bound, never formatted in.

use sea_orm::{DbBackend, Statement, Value, sea_query::ArrayType};
use serde_json::Value as Json;
use uuid::Uuid;

/// The order of texts of JSON numbers by their exact value, which every SQLite connection of ours has. SQLite itself reads
/// some texts as a double beside the right one, and integers beyond 63 bits as the nearest double.
pub(crate) const NUMBER_ORDER: &str = "kohorta_number";

/// One of the two databases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Sqlite,
    Postgres,
}

/// The type of a column in a list of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ColumnType {
    Uuid,
    Text,
    Integer,
    BigInt,
    Json,
    Bytes,
}

/// One column of a list of rows.
#[derive(Clone, Debug)]
pub(crate) enum Column {
    Uuid(Vec<Uuid>),
    Text(Vec<String>),
    Integer(Vec<i32>),
    BigInt(Vec<i64>),
    /// JSON texts.
    Json(Vec<String>),
    Bytes(Vec<Vec<u8>>),
}

/// The names and types of a list's columns.
pub(crate) type Columns = &'static [(&'static str, ColumnType)];

impl Dialect {
    pub(crate) fn of(backend: DbBackend) -> Self {
        match backend {
            DbBackend::Postgres => Self::Postgres,
            _ => Self::Sqlite,
        }
    }

    pub(crate) fn backend(self) -> DbBackend {
        match self {
            Self::Sqlite => DbBackend::Sqlite,
            Self::Postgres => DbBackend::Postgres,
        }
    }

    /// The table expression for a list of rows called `name`, which takes the first parameters of the statement.
    pub(crate) fn rows(self, name: &str, columns: Columns) -> String {
        self.rows_from(1, name, columns)
    }

    /// The same for a list that takes the parameters from the one with the number `first` on.
    pub(crate) fn rows_from(self, first: usize, name: &str, columns: Columns) -> String {
        match self {
            Self::Postgres => {
                let arrays: Vec<String> = columns
                    .iter()
                    .enumerate()
                    .map(|(position, (_, column_type))| {
                        format!("${}::{}[]", position + first, column_type.array_type())
                    })
                    .collect();
                let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
                format!("unnest({}) AS {name} ({})", arrays.join(", "), names.join(", "))
            }
            Self::Sqlite => {
                let values: Vec<String> = columns
                    .iter()
                    .enumerate()
                    .map(|(position, (name, column_type))| column_type.json_column(position, name))
                    .collect();
                format!(
                    "(SELECT {} FROM json_each(${first})) AS {name}",
                    values.join(", ")
                )
            }
        }
    }

    /// The `nth` (from 0) single parameter of a statement that begins with a list of `columns`.
    pub(crate) fn parameter(self, columns: Columns, nth: usize) -> String {
        format!("${}", self.first_parameter(columns) + nth)
    }

    /// The number of the first single parameter of a statement that begins with a list of `columns`.
    pub(crate) fn first_parameter(self, columns: Columns) -> usize {
        match self {
            Self::Postgres => columns.len() + 1,
            Self::Sqlite => 2,
        }
    }

    /// The condition that a column is one of the values of a subquery, looked up by the column's index however many rows
    /// the planner expects.
    pub(crate) fn one_of(self, column: &str, subquery: &str) -> String {
        match self {
            Self::Postgres => format!("{column} = ANY (ARRAY({subquery}))"),
            Self::Sqlite => format!("{column} IN ({subquery})"),
        }
    }

    /// The expression that turns a selected list column into the table's JSON type.
    pub(crate) fn json(self, expression: &str) -> String {
        match self {
            Self::Postgres => format!("{expression}::jsonb"),
            Self::Sqlite => expression.to_owned(),
        }
    }

    /// The aggregate that puts the values of an integer column into one text, with commas between them.
    pub(crate) fn joined_text(self, column: &str) -> String {
        match self {
            Self::Postgres => format!("STRING_AGG({column}::text, ',')"),
            Self::Sqlite => format!("GROUP_CONCAT({column}, ',')"),
        }
    }

    /// The aggregate that puts the values of a column of bytes one behind the other; what is NULL adds nothing.
    pub(crate) fn joined_bytes(self, column: &str) -> String {
        match self {
            Self::Postgres => format!("STRING_AGG({column}, {})", self.no_bytes()),
            Self::Sqlite => format!("unhex(GROUP_CONCAT(hex({column}), ''))"),
        }
    }

    /// No bytes, as a value.
    pub(crate) fn no_bytes(self) -> &'static str {
        match self {
            Self::Postgres => "'\\x'::bytea",
            Self::Sqlite => "x''",
        }
    }

    /// A condition that SQLite looks for no index for: without statistics it takes an event type for as good as a user.
    pub(crate) fn without_index(self, condition: &str) -> String {
        match self {
            Self::Postgres => condition.to_owned(),
            Self::Sqlite => format!("CASE WHEN {condition} THEN 1 ELSE 0 END = 1"),
        }
    }

    /// A statement whose first parameters are a list of rows; `single` follow.
    pub(crate) fn list_statement(self, sql: &str, columns: Vec<Column>, single: Vec<Value>) -> Statement {
        let mut values = self.list(columns);
        values.extend(single);
        Statement::from_sql_and_values(self.backend(), sql, values)
    }

    /// The values of the parameters that a list of rows takes.
    pub(crate) fn list(self, columns: Vec<Column>) -> Vec<Value> {
        match self {
            Self::Postgres => columns.into_iter().map(Column::into_array).collect(),
            Self::Sqlite => vec![json_rows(&columns).into()],
        }
    }

    /// A statement with single parameters only.
    pub(crate) fn statement(self, sql: &str, values: Vec<Value>) -> Statement {
        Statement::from_sql_and_values(self.backend(), sql, values)
    }
}

impl ColumnType {
    fn array_type(self) -> &'static str {
        match self {
            Self::Uuid => "uuid",
            Self::Text | Self::Json => "text",
            Self::Integer => "integer",
            Self::BigInt => "bigint",
            Self::Bytes => "bytea",
        }
    }

    fn json_column(self, position: usize, name: &str) -> String {
        match self {
            Self::Uuid | Self::Bytes => format!("unhex(value ->> {position}) AS {name}"),
            Self::Text | Self::Integer | Self::BigInt | Self::Json => {
                format!("value ->> {position} AS {name}")
            }
        }
    }
}

impl Column {
    fn into_array(self) -> Value {
        fn array<T: Into<Value>>(array_type: ArrayType, items: Vec<T>) -> Value {
            Value::Array(
                array_type,
                Some(Box::new(items.into_iter().map(Into::into).collect())),
            )
        }
        match self {
            Self::Uuid(items) => array(ArrayType::Uuid, items),
            Self::Text(items) | Self::Json(items) => array(ArrayType::String, items),
            Self::Integer(items) => array(ArrayType::Int, items),
            Self::BigInt(items) => array(ArrayType::BigInt, items),
            Self::Bytes(items) => array(ArrayType::Bytes, items),
        }
    }

    fn length(&self) -> usize {
        match self {
            Self::Uuid(items) => items.len(),
            Self::Text(items) | Self::Json(items) => items.len(),
            Self::Integer(items) => items.len(),
            Self::BigInt(items) => items.len(),
            Self::Bytes(items) => items.len(),
        }
    }

    fn write_json(&self, row: usize, text: &mut String) {
        match self {
            Self::Uuid(items) => push_hex(text, items[row].as_bytes()),
            Self::Bytes(items) => push_hex(text, &items[row]),
            Self::Text(items) | Self::Json(items) => {
                text.push_str(&Json::from(items[row].as_str()).to_string());
            }
            Self::Integer(items) => text.push_str(&items[row].to_string()),
            Self::BigInt(items) => text.push_str(&items[row].to_string()),
        }
    }
}

/// The rows as a JSON array of arrays: UUIDs and bytes in hexadecimal, JSON texts as strings.
fn json_rows(columns: &[Column]) -> String {
    let rows = columns.first().map_or(0, Column::length);
    let mut text = String::with_capacity(rows * 64 + 2);
    text.push('[');
    for row in 0..rows {
        text.push_str(if row == 0 { "[" } else { ",[" });
        for (position, column) in columns.iter().enumerate() {
            if position > 0 {
                text.push(',');
            }
            column.write_json(row, &mut text);
        }
        text.push(']');
    }
    text.push(']');
    text
}

fn push_hex(text: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    text.push('"');
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use super::{Column, ColumnType, Columns, Dialect, json_rows};
    use uuid::Uuid;

    const COLUMNS: Columns = &[
        ("event_id", ColumnType::Uuid),
        ("name", ColumnType::Text),
        ("n", ColumnType::BigInt),
    ];

    #[test]
    fn lists_have_one_text_per_database() {
        assert_eq!(
            Dialect::Postgres.rows("new", COLUMNS),
            "unnest($1::uuid[], $2::text[], $3::bigint[]) AS new (event_id, name, n)"
        );
        assert_eq!(
            Dialect::Sqlite.rows("new", COLUMNS),
            "(SELECT unhex(value ->> 0) AS event_id, value ->> 1 AS name, value ->> 2 AS n FROM json_each($1)) AS new"
        );
        assert_eq!(
            Dialect::Postgres.rows_from(4, "old", &COLUMNS[1..]),
            "unnest($4::text[], $5::bigint[]) AS old (name, n)"
        );
        assert_eq!(
            Dialect::Sqlite.rows_from(2, "old", &COLUMNS[1..]),
            "(SELECT value ->> 0 AS name, value ->> 1 AS n FROM json_each($2)) AS old"
        );
        assert_eq!(Dialect::Postgres.parameter(COLUMNS, 0), "$4");
        assert_eq!(Dialect::Sqlite.parameter(COLUMNS, 0), "$2");
    }

    #[test]
    fn json_rows_escape_what_must_be_escaped() {
        let text = json_rows(&[
            Column::Uuid(vec![Uuid::nil()]),
            Column::Text(vec!["a\"\\ü\u{7f}".to_owned()]),
            Column::BigInt(vec![-5]),
            Column::Json(vec!["{\"a\":\"b\"}".to_owned()]),
        ]);
        let hex = "0".repeat(32);
        assert_eq!(
            text,
            format!(r#"[["{hex}","a\"\\ü{}",-5,"{{\"a\":\"b\"}}"]]"#, '\u{7f}')
        );
        assert_eq!(json_rows(&[]), "[]");
    }
}
