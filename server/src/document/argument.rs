//! Finds the argument that stands at a place in a document: the GraphQL library says where a value is wrong, not whose.

use async_graphql::parser::parse_query;
use async_graphql::parser::types::{Selection, SelectionSet};
use async_graphql::{Name, Pos, Positioned};

/// The name of the argument whose value stands at `position` in `query`, a document that was taken before.
pub(crate) fn argument_at(query: &str, position: Pos) -> Option<Name> {
    let tree = parse_query(query).ok()?;
    let operations = tree
        .operations
        .iter()
        .map(|(_, operation)| &operation.node.selection_set);
    let fragments = tree
        .fragments
        .values()
        .map(|fragment| &fragment.node.selection_set);
    operations
        .chain(fragments)
        .find_map(|set| argument_in(set, position))
}

/// Nesting is bounded: the document has passed the limits.
fn argument_in(set: &Positioned<SelectionSet>, position: Pos) -> Option<Name> {
    set.node.items.iter().find_map(|selection| match &selection.node {
        Selection::Field(field) => {
            let arguments = field.node.arguments.iter();
            let mut found = arguments.filter(|(_, value)| value.pos == position);
            found
                .next()
                .map(|(name, _)| name.node.clone())
                .or_else(|| argument_in(&field.node.selection_set, position))
        }
        Selection::InlineFragment(fragment) => argument_in(&fragment.node.selection_set, position),
        Selection::FragmentSpread(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use async_graphql::Pos;

    use super::argument_at;

    #[test]
    fn arguments_are_found_wherever_they_stand() {
        let query = "query($n: Int) {\n a(b: 1, c: $n)\n x { ... { y(d: {e: 1}) } ...F } }\nfragment F on X { z(f: 2) }";
        let at = |line, column| argument_at(query, Pos { line, column }).map(|name| name.to_string());
        assert_eq!(at(2, 7).as_deref(), Some("b"));
        assert_eq!(at(2, 13).as_deref(), Some("c"));
        assert_eq!(at(3, 17).as_deref(), Some("d"));
        assert_eq!(at(4, 24).as_deref(), Some("f"));
        assert_eq!(at(1, 1), None);
    }
}
