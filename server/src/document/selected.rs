//! What an operation selects, in the order in which answers have to give it.
//!
//! Fragments are spread where they stand, and what is selected twice stands where it was selected first, as the
//! specification of GraphQL has it. The library gives the fields of an object as they become ready.

use std::collections::HashMap;

use async_graphql::indexmap::IndexMap;
use async_graphql::parser::types::{FragmentDefinition, Selection, SelectionSet};
use async_graphql::{Name, Positioned, Value};

pub(super) type Fragments = HashMap<Name, Positioned<FragmentDefinition>>;

/// The fields of an object by their keys, each with what is selected of it; empty where it is no object.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selected(IndexMap<Name, Selected>);

impl Selected {
    /// The fields of a selection in a document that is within the limits: its fragments spread nothing endlessly.
    pub(super) fn of(selection: &SelectionSet, fragments: &Fragments) -> Self {
        let mut selected = Self::default();
        selected.add(selection, fragments);
        selected
    }

    fn add(&mut self, selection: &SelectionSet, fragments: &Fragments) {
        for item in &selection.items {
            match &item.node {
                Selection::Field(field) => {
                    let key = field.node.response_key().node.clone();
                    let inside = self.0.entry(key).or_default();
                    inside.add(&field.node.selection_set.node, fragments);
                }
                Selection::InlineFragment(inline) => self.add(&inline.node.selection_set.node, fragments),
                Selection::FragmentSpread(spread) => {
                    if let Some(fragment) = fragments.get(&spread.node.fragment_name.node) {
                        self.add(&fragment.node.selection_set.node, fragments);
                    }
                }
            }
        }
    }

    /// Puts the fields of `value`, an object or a list of such, into this order, and those of the objects in it.
    pub(crate) fn put_in_order(&self, value: &mut Value) {
        // Values like `properties` are objects of which nothing is selected, and keep their order.
        if self.0.is_empty() {
            return;
        }
        match value {
            Value::List(items) => {
                for item in items {
                    self.put_in_order(item);
                }
            }
            Value::Object(members) => {
                let mut expected = self.0.keys();
                if !members.keys().all(|key| expected.any(|other| other == key)) {
                    members.sort_by_cached_key(|key, _| self.0.get_index_of(key).unwrap_or(usize::MAX));
                }
                for (key, inside) in self.0.iter().filter(|(_, inside)| !inside.0.is_empty()) {
                    if let Some(member) = members.get_mut(key) {
                        inside.put_in_order(member);
                    }
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::{Value, value};

    use super::super::parse;

    fn ordered(query: &str, mut data: Value) -> String {
        let document = parse(query, None, &serde_json::Map::new()).expect("a good document");
        document.selected.put_in_order(&mut data);
        data.to_string()
    }

    #[test]
    fn fields_stand_as_they_were_selected_at_every_depth() {
        let query =
            "{ b { y x { n m } } a ...F last: c } fragment F on Query { d { q p } b { z } ... { e } }";
        let data = value!({
            "last": 1,
            "e": 2,
            "d": [{ "p": 1, "q": 2 }, null, { "q": 3, "p": 4 }],
            "a": "text",
            "b": { "z": null, "x": { "m": 1, "n": 2 }, "y": true }
        });
        assert_eq!(
            ordered(query, data),
            "{b: {y: true, x: {n: 2, m: 1}, z: null}, a: \"text\", d: [{q: 2, p: 1}, null, {q: 3, p: 4}], e: 2, last: 1}"
        );
    }

    #[test]
    fn values_that_are_objects_keep_their_order() {
        let data = value!({ "properties": { "b": 1, "a": { "d": 1, "c": 2 } }, "id": 1 });
        assert_eq!(
            ordered("{ id properties }", data),
            "{id: 1, properties: {b: 1, a: {d: 1, c: 2}}}"
        );
    }
}
