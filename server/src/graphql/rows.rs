//! Long lists of small objects, answered without a future for each of their fields.
//!
//! A retention of 30 × 31 cells has 3,700 fields, and resolving each on its own takes fifty times as long as computing
//! it, and many times the memory. [`Rows`] looks at the selection once; where it asks for nothing but plain fields,
//! it writes the values down row by row. Anything else (directives, arguments) takes the library's way, with the same
//! result. Either way the answer's memory is taken first, see [`crate::answer_memory`].

use std::borrow::Cow;
use std::collections::HashMap;

use async_graphql::indexmap::IndexMap;
use async_graphql::parser::types::{Field, FragmentDefinition, Selection, SelectionSet};
use async_graphql::registry::Registry;
use async_graphql::resolver_utils::resolve_list;
use async_graphql::{
    ContextSelectionSet, Error, Name, OutputType, Positioned, ServerError, ServerResult, Value,
};

use super::error::ApiError;
use crate::answer_memory::{AnswerMemory, MEMBER_BYTES, NoMemory, OBJECT_BYTES, weight};
use crate::limits::RESOLVED_FIELD_BYTES;

/// An object whose fields, or most of them, are at hand.
pub(super) trait Row: OutputType {
    /// The value of the field `name`, which has no fields itself; none if it is not at hand.
    fn value(&self, name: &str) -> Option<Value>;

    /// The value of the field `name`, an object of which `fields` are selected, or a list of such; none if it is not at
    /// hand.
    fn object(&self, _name: &str, _fields: &PlainFields<'_>) -> Option<Value> {
        None
    }
}

impl<T: Row> Row for &T {
    fn value(&self, name: &str) -> Option<Value> {
        T::value(self, name)
    }

    fn object(&self, name: &str, fields: &PlainFields<'_>) -> Option<Value> {
        T::object(self, name, fields)
    }
}

/// Selected fields without arguments and directives.
pub(super) struct PlainFields<'a> {
    fields: Vec<PlainField<'a>>,
    memory: Option<&'a AnswerMemory>,
}

/// What a selection stands in.
#[derive(Clone, Copy)]
pub(super) struct Surroundings<'a> {
    /// The fragments of its document.
    pub(super) fragments: &'a HashMap<Name, Positioned<FragmentDefinition>>,
    /// What its answer takes, if that is counted.
    pub(super) memory: Option<&'a AnswerMemory>,
}

impl<'a> Surroundings<'a> {
    fn of(context: &ContextSelectionSet<'a>) -> Self {
        Self {
            fragments: &context.query_env.fragments,
            memory: context.data_opt(),
        }
    }
}

struct PlainField<'a> {
    name: &'a str,
    /// The key of its value.
    key: &'a Name,
    /// What is selected of an object.
    inside: Option<PlainFields<'a>>,
}

impl<'a> PlainFields<'a> {
    /// The fields of a selection; none if something else is selected as well.
    pub(super) fn of(selection: &'a SelectionSet, around: Surroundings<'a>) -> Option<Self> {
        let mut plain = Self {
            fields: Vec::with_capacity(selection.items.len()),
            memory: around.memory,
        };
        plain.add(selection, around)?;
        Some(plain)
    }

    /// Fragments are spread where they stand: there are no types in the schema of which one could be another.
    fn add(&mut self, selection: &'a SelectionSet, around: Surroundings<'a>) -> Option<()> {
        for item in &selection.items {
            if !item.node.directives().is_empty() {
                return None;
            }
            match &item.node {
                Selection::Field(field) => self.add_field(&field.node, around)?,
                Selection::InlineFragment(fragment) => {
                    self.add(&fragment.node.selection_set.node, around)?;
                }
                Selection::FragmentSpread(spread) => {
                    let fragment = around.fragments.get(&spread.node.fragment_name.node)?;
                    if !fragment.node.directives.is_empty() {
                        return None;
                    }
                    self.add(&fragment.node.selection_set.node, around)?;
                }
            }
        }
        Some(())
    }

    fn add_field(&mut self, field: &'a Field, around: Surroundings<'a>) -> Option<()> {
        if !field.arguments.is_empty() {
            return None;
        }
        let selection = &field.selection_set.node;
        let inside = if selection.items.is_empty() {
            None
        } else {
            Some(PlainFields::of(selection, around)?)
        };
        let key = &field.response_key().node;
        if let Some(known) = self.fields.iter().find(|known| known.key == key) {
            // Objects that are selected twice would have to be merged. Of values the second one says the same.
            return (known.inside.is_none() && inside.is_none()).then_some(());
        }
        self.fields.push(PlainField {
            name: field.name.node.as_str(),
            key,
            inside,
        });
        Some(())
    }

    /// Whether all of these are among `known`: names of plain fields, behind those of the objects that they are in and a dot each.
    pub(super) fn are_among(&self, known: &[&str]) -> bool {
        self.are_within("", known)
    }

    fn are_within(&self, path: &str, known: &[&str]) -> bool {
        self.fields.iter().all(|field| match &field.inside {
            Some(inside) => inside.are_within(&format!("{path}{}.", field.name), known),
            None => {
                let is_known = |known: &&str| known.strip_prefix(path) == Some(field.name);
                field.name == "__typename" || known.iter().any(is_known)
            }
        })
    }

    /// These fields of `row`; none if one is not at hand, or there is no memory for them.
    pub(super) fn of_row<T: Row>(&self, row: &T) -> Option<Value> {
        const STEP_BYTES: usize = 16 * 1024;
        let mut bytes = OBJECT_BYTES;
        let mut members = IndexMap::with_capacity(self.fields.len());
        for field in &self.fields {
            let value = match &field.inside {
                Some(inside) => row.object(field.name, inside)?,
                None => {
                    let value = match field.name {
                        "__typename" => Value::String(T::type_name().into_owned()),
                        name => row.value(name)?,
                    };
                    bytes += weight(&value);
                    value
                }
            };
            bytes += MEMBER_BYTES;
            if bytes > STEP_BYTES {
                self.take(std::mem::take(&mut bytes))?;
            }
            members.insert(field.key.clone(), value);
        }
        self.take(bytes)?;
        Some(Value::Object(members))
    }

    /// [`of_row`](Self::of_row) for each of `rows`.
    pub(super) fn of_rows<T: Row>(&self, rows: &[T]) -> Option<Value> {
        self.take(size_of_val(rows).max(rows.len() * size_of::<Value>()))?;
        let values: Option<Vec<Value>> = rows.iter().map(|row| self.of_row(row)).collect();
        values.map(Value::List)
    }

    fn take(&self, bytes: usize) -> Option<()> {
        match self.memory {
            Some(memory) => memory.take(bytes).ok(),
            None => Some(()),
        }
    }
}

/// A list of rows; to clients an ordinary list.
pub(super) struct Rows<T>(pub(super) Vec<T>);

impl<T> FromIterator<T> for Rows<T> {
    fn from_iter<I: IntoIterator<Item = T>>(rows: I) -> Self {
        Self(rows.into_iter().collect())
    }
}

impl<T: Row> OutputType for Rows<T> {
    fn type_name() -> Cow<'static, str> {
        Vec::<T>::type_name()
    }

    fn qualified_type_name() -> String {
        Vec::<T>::qualified_type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        Vec::<T>::create_type_info(registry)
    }

    async fn resolve(
        &self,
        context: &ContextSelectionSet<'_>,
        field: &Positioned<Field>,
    ) -> ServerResult<Value> {
        let selection = &context.item.node;
        let around = Surroundings::of(context);
        let plain = PlainFields::of(selection, around).and_then(|fields| fields.of_rows(&self.0));
        if let Some(list) = plain {
            return Ok(list);
        }
        if let Some(memory) = around.memory {
            let fields = fields_in(selection, around);
            let needed = self
                .0
                .len()
                .saturating_mul(fields)
                .saturating_mul(RESOLVED_FIELD_BYTES);
            let refused = memory.refused().map_or_else(|| memory.take(needed), Err);
            refused.map_err(|refused| no_memory(refused, context, field))?;
        }
        resolve_list(context, field, &self.0, Some(self.0.len())).await
    }
}

fn no_memory(refused: NoMemory, context: &ContextSelectionSet<'_>, field: &Positioned<Field>) -> ServerError {
    let error = Error::from(ApiError::from(refused)).into_server_error(field.pos);
    context.set_error_path(error)
}

/// How many fields stand in a selection, at any depth, once its fragments are spread; there are at most so many as a
/// document may have.
fn fields_in(selection: &SelectionSet, around: Surroundings<'_>) -> usize {
    let mut count = 0;
    for item in &selection.items {
        count += match &item.node {
            Selection::Field(field) => 1 + fields_in(&field.node.selection_set.node, around),
            Selection::InlineFragment(fragment) => fields_in(&fragment.node.selection_set.node, around),
            Selection::FragmentSpread(spread) => {
                let fragment = around.fragments.get(&spread.node.fragment_name.node);
                fragment.map_or(0, |fragment| fields_in(&fragment.node.selection_set.node, around))
            }
        };
    }
    count
}

#[cfg(test)]
mod tests {
    use async_graphql::{
        EmptyMutation, EmptySubscription, Object, Request, Schema, SimpleObject, Value, value,
    };

    use super::{PlainFields, Row, Rows};
    use crate::answer_memory::AnswersMemory;
    use crate::limits::MAX_ANSWER_MEMORY_BYTES;

    #[derive(SimpleObject)]
    struct Point {
        x: i32,
        label: Option<String>,
        inner: Inner,
    }

    #[derive(SimpleObject)]
    struct Inner {
        y: i32,
        /// Not at hand.
        z: i32,
    }

    impl Row for Inner {
        fn value(&self, name: &str) -> Option<Value> {
            (name == "y").then(|| self.y.into())
        }
    }

    impl Row for Point {
        fn value(&self, name: &str) -> Option<Value> {
            Some(match name {
                "x" => self.x.into(),
                "label" => self.label.clone().map_or(Value::Null, Value::from),
                _ => return None,
            })
        }

        fn object(&self, name: &str, fields: &PlainFields<'_>) -> Option<Value> {
            match name {
                "inner" => fields.of_row(&self.inner),
                _ => None,
            }
        }
    }

    struct Query;

    #[Object]
    impl Query {
        async fn points(&self) -> Rows<Point> {
            let inner = |y| Inner { y, z: -y };
            let point = |x, label, y| Point {
                x,
                label,
                inner: inner(y),
            };
            [point(1, None, 3), point(2, Some("two".to_owned()), 4)]
                .into_iter()
                .collect()
        }
    }

    /// What a selection gives, and that a list of the library gives the same.
    async fn check(selection: &str, expected: &str) {
        let schema = Schema::new(Query, EmptyMutation, EmptySubscription);
        let response = schema.execute(format!("{{ points {{ {selection} }} }}")).await;
        assert!(response.errors.is_empty(), "{:?}", response.errors);
        let json = response.data.into_json().map(|json| json["points"].to_string());
        assert_eq!(json.ok().as_deref(), Some(expected));
    }

    #[tokio::test]
    async fn plain_fields_keep_their_keys_and_nulls() {
        check("x label", r#"[{"label":null,"x":1},{"label":"two","x":2}]"#).await;
        check("a: x b: x x", r#"[{"a":1,"b":1,"x":1},{"a":2,"b":2,"x":2}]"#).await;
    }

    #[tokio::test]
    async fn objects_inside_are_written_down_as_well() {
        check("inner { y }", r#"[{"inner":{"y":3}},{"inner":{"y":4}}]"#).await;
        check(
            "x i: inner { __typename k: y }",
            r#"[{"i":{"__typename":"Inner","k":3},"x":1},{"i":{"__typename":"Inner","k":4},"x":2}]"#,
        )
        .await;
        check("__typename", r#"[{"__typename":"Point"},{"__typename":"Point"}]"#).await;
    }

    #[tokio::test]
    async fn fragments_are_spread_where_they_stand() {
        check("... on Point { x } a: x", r#"[{"a":1,"x":1},{"a":2,"x":2}]"#).await;
        check(
            "... { inner { ... { y } } }",
            r#"[{"inner":{"y":3}},{"inner":{"y":4}}]"#,
        )
        .await;
        let schema = Schema::new(Query, EmptyMutation, EmptySubscription);
        let query = "{ points { ...F } } fragment F on Point { x inner { ...G } } fragment G on Inner { y }";
        let data = schema.execute(query).await.data;
        let expected =
            value!({ "points": [{ "x": 1, "inner": { "y": 3 } }, { "x": 2, "inner": { "y": 4 } }] });
        assert_eq!(data, expected);
    }

    #[tokio::test]
    async fn an_answer_takes_memory_for_its_rows_or_is_given_up() {
        let schema = Schema::new(Query, EmptyMutation, EmptySubscription);
        let cost = async |selection: &str| {
            let memory = AnswersMemory::new().of_one();
            // All but a little is taken already.
            memory
                .take(MAX_ANSWER_MEMORY_BYTES - 1_500)
                .expect("so much is there");
            let request = Request::new(format!("{{ points {{ {selection} }} }}")).data(memory);
            let errors = schema.execute(request).await.errors;
            errors
                .first()
                .map(|error| (error.message.clone(), error.path.len()))
        };
        assert_eq!(cost("x").await, None);
        let many = "a: x b: x c: x d: x e: x f: x";
        for selection in [
            many.to_owned(),
            format!("... {{ {many} }}"),
            "inner { z }".to_owned(),
        ] {
            let (message, path) = cost(&selection).await.expect("there is no memory");
            assert!(message.contains("134217728 bytes of memory"), "{message}");
            assert_eq!(path, 1);
        }
    }

    #[tokio::test]
    async fn everything_else_takes_the_ordinary_way() {
        check("x @skip(if: true) a: x", r#"[{"a":1},{"a":2}]"#).await;
        check(
            "inner { y z }",
            r#"[{"inner":{"y":3,"z":-3}},{"inner":{"y":4,"z":-4}}]"#,
        )
        .await;
        check(
            "inner { y } inner { z }",
            r#"[{"inner":{"y":3,"z":-3}},{"inner":{"y":4,"z":-4}}]"#,
        )
        .await;
    }

    #[tokio::test]
    async fn an_unknown_field_is_still_refused() {
        let schema = Schema::new(Query, EmptyMutation, EmptySubscription);
        let response = schema.execute("{ points { y } }").await;
        assert_eq!(response.errors.len(), 1);
    }

    #[test]
    fn clients_see_an_ordinary_list() {
        let sdl = Schema::new(Query, EmptyMutation, EmptySubscription).sdl();
        assert!(sdl.contains("points: [Point!]!"), "{sdl}");
    }
}
