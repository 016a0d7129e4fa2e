//! Long lists of small objects, answered without a future for each of their fields.
//!
//! A retention of 30 × 31 cells has 3,700 fields, and resolving each on its own takes fifty times as long as computing
//! it. [`Rows`] looks at the selection once; where it asks for nothing but plain fields, it writes the values down row by
//! row. Anything else (fragments, directives, arguments) takes the library's way, with the same result.

use std::borrow::Cow;

use async_graphql::indexmap::IndexMap;
use async_graphql::parser::types::{Field, Selection, SelectionSet};
use async_graphql::registry::Registry;
use async_graphql::resolver_utils::resolve_list;
use async_graphql::{ContextSelectionSet, Name, OutputType, Positioned, ServerResult, Value};

/// An object whose fields, or most of them, are at hand.
pub(super) trait Row: OutputType {
    /// The value of the field `name`, which has no fields itself; none if it is not at hand.
    fn value(&self, name: &str) -> Option<Value>;

    /// The value of the field `name`, an object (or a list of objects) of which `fields` are selected; none if it is not at
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

/// Selected fields without arguments, directives and fragments.
pub(super) struct PlainFields<'a>(Vec<PlainField<'a>>);

struct PlainField<'a> {
    name: &'a str,
    /// The key of its value.
    key: &'a Name,
    /// What is selected of an object.
    inside: Option<PlainFields<'a>>,
}

impl<'a> PlainFields<'a> {
    /// The fields of a selection; none if something else is selected as well.
    pub(super) fn of(selection: &'a SelectionSet) -> Option<Self> {
        let mut fields: Vec<PlainField<'a>> = Vec::with_capacity(selection.items.len());
        for item in &selection.items {
            let field = match &item.node {
                Selection::Field(field) => PlainField::of(&field.node)?,
                Selection::FragmentSpread(_) | Selection::InlineFragment(_) => return None,
            };
            // Objects that are selected twice would have to be merged.
            if field.inside.is_some() && fields.iter().any(|known| known.key == field.key) {
                return None;
            }
            fields.push(field);
        }
        Some(Self(fields))
    }

    /// Whether all of these are among `known`: names of plain fields, behind those of the objects that they are in and a dot each.
    pub(super) fn are_among(&self, known: &[&str]) -> bool {
        self.are_within("", known)
    }

    fn are_within(&self, path: &str, known: &[&str]) -> bool {
        self.0.iter().all(|field| match &field.inside {
            Some(inside) => inside.are_within(&format!("{path}{}.", field.name), known),
            None => {
                let is_known = |known: &&str| known.strip_prefix(path) == Some(field.name);
                field.name == "__typename" || known.iter().any(is_known)
            }
        })
    }

    /// These fields of each of `rows`, as a list; none if one is not at hand.
    pub(super) fn of_rows<T: Row>(&self, rows: &[T]) -> Option<Value> {
        let rows: Option<Vec<Value>> = rows.iter().map(|row| self.of_row(row)).collect();
        rows.map(Value::List)
    }

    /// These fields of `row`; none if one is not at hand.
    pub(super) fn of_row<T: Row>(&self, row: &T) -> Option<Value> {
        let mut members = IndexMap::with_capacity(self.0.len());
        for field in &self.0 {
            let value = match &field.inside {
                Some(inside) => row.object(field.name, inside),
                None if field.name == "__typename" => Some(Value::String(T::type_name().into_owned())),
                None => row.value(field.name),
            };
            members.insert(field.key.clone(), value?);
        }
        Some(Value::Object(members))
    }
}

impl<'a> PlainField<'a> {
    fn of(field: &'a Field) -> Option<Self> {
        if !field.directives.is_empty() || !field.arguments.is_empty() {
            return None;
        }
        let selection = &field.selection_set.node;
        let inside = if selection.items.is_empty() {
            None
        } else {
            Some(PlainFields::of(selection)?)
        };
        Some(Self {
            name: field.name.node.as_str(),
            key: &field.response_key().node,
            inside,
        })
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
        let plain = PlainFields::of(&context.item.node).and_then(|fields| fields.of_rows(&self.0));
        match plain {
            Some(list) => Ok(list),
            None => resolve_list(context, field, &self.0, Some(self.0.len())).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::{EmptyMutation, EmptySubscription, Object, Schema, SimpleObject, Value};

    use super::{PlainFields, Row, Rows};

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
    async fn everything_else_takes_the_ordinary_way() {
        check("x @skip(if: true) a: x", r#"[{"a":1},{"a":2}]"#).await;
        check("... on Point { x }", r#"[{"x":1},{"x":2}]"#).await;
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
