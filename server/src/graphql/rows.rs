//! Long lists of small objects, answered without a future for each of their fields.
//!
//! A retention of 30 × 31 cells has 3,700 fields, and resolving each on its own takes fifty times as long as computing
//! it. [`Rows`] looks at the selection once; where it asks for nothing but plain fields, it writes the values down row by
//! row. Anything else (fragments, directives, `__typename`) takes the library's way, with the same result.

use std::borrow::Cow;

use async_graphql::parser::types::{Field, Selection};
use async_graphql::registry::Registry;
use async_graphql::resolver_utils::resolve_list;
use async_graphql::{ContextSelectionSet, Name, OutputType, Positioned, ServerResult, Value};

/// An object all of whose fields are values without arguments.
pub(super) trait Row: OutputType {
    /// The value of the field with this name; none if there is no such field.
    fn value(&self, name: &str) -> Option<Value>;
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
        let plain = plain_fields(context).and_then(|fields| {
            let rows: Option<Vec<Value>> = self.0.iter().map(|row| object(row, &fields)).collect();
            rows.map(Value::List)
        });
        match plain {
            Some(list) => Ok(list),
            None => resolve_list(context, field, &self.0, Some(self.0.len())).await,
        }
    }
}

/// The selected fields by name, each with the key of its value; none if something else is selected as well.
fn plain_fields<'a>(context: &ContextSelectionSet<'a>) -> Option<Vec<(&'a str, &'a Name)>> {
    let items = &context.item.node.items;
    let plain = items.iter().map(|selection| match &selection.node {
        Selection::Field(field) if field.node.directives.is_empty() => {
            Some((field.node.name.node.as_str(), &field.node.response_key().node))
        }
        Selection::Field(_) | Selection::FragmentSpread(_) | Selection::InlineFragment(_) => None,
    });
    plain.collect()
}

fn object<T: Row>(row: &T, fields: &[(&str, &Name)]) -> Option<Value> {
    let members = fields
        .iter()
        .map(|(name, key)| Some(((*key).clone(), row.value(name)?)));
    members.collect::<Option<_>>().map(Value::Object)
}

#[cfg(test)]
mod tests {
    use async_graphql::{EmptyMutation, EmptySubscription, Object, Schema, SimpleObject, Value};

    use super::{Row, Rows};

    #[derive(SimpleObject)]
    struct Point {
        x: i32,
        label: Option<String>,
    }

    impl Row for Point {
        fn value(&self, name: &str) -> Option<Value> {
            Some(match name {
                "x" => self.x.into(),
                "label" => self.label.clone().map_or(Value::Null, Value::from),
                _ => return None,
            })
        }
    }

    struct Query;

    #[Object]
    impl Query {
        async fn points(&self) -> Rows<Point> {
            let label = Some("two".to_owned());
            [Point { x: 1, label: None }, Point { x: 2, label }]
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
    async fn everything_else_takes_the_ordinary_way() {
        check("__typename", r#"[{"__typename":"Point"},{"__typename":"Point"}]"#).await;
        check("x @skip(if: true) a: x", r#"[{"a":1},{"a":2}]"#).await;
        check("... on Point { x }", r#"[{"x":1},{"x":2}]"#).await;
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
