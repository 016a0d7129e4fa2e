//! One walk over the tree of a document: what it holds once its fragments are spread.
//!
//! Each fragment is measured once and remembered, so the walk is linear however often fragments spread each other.

use std::collections::HashMap;

use async_graphql::parser::types::{ExecutableDocument, Selection, SelectionSet};

use super::Refusal;
use crate::error_code::Code;
use crate::limits::{
    MAX_ALIASES, MAX_DIRECTIVES, MAX_EXPANDED_FIELDS, MAX_FRAGMENTS, MAX_OPERATIONS, MAX_QUERY_DEPTH,
};

/// Refuses a document that is too large in any of its dimensions, or whose fragments spread in a circle.
pub(super) fn check(tree: &ExecutableDocument) -> Result<(), Refusal> {
    bound("operations", tree.operations.iter().count(), MAX_OPERATIONS)?;
    bound("fragments", tree.fragments.len(), MAX_FRAGMENTS)?;
    let mut walk = Walk {
        tree,
        measured: HashMap::new(),
        aliases: 0,
        directives: 0,
    };
    for name in tree.fragments.keys() {
        walk.fragment(name.as_str())?;
    }
    let mut fields = 0_usize;
    for (_, operation) in tree.operations.iter() {
        walk.directives += operation.node.directives.len();
        walk.directives += operation
            .node
            .variable_definitions
            .iter()
            .map(|variable| variable.node.directives.len())
            .sum::<usize>();
        let size = walk.selection_set(&operation.node.selection_set.node)?;
        fields = fields.saturating_add(size.fields);
        if size.depth > MAX_QUERY_DEPTH {
            let message = format!(
                "the document nests fields {} deep; at most {MAX_QUERY_DEPTH} are allowed",
                size.depth
            );
            return Err(Refusal::limit(message));
        }
    }
    bound("aliases", walk.aliases, MAX_ALIASES)?;
    bound("directives", walk.directives, MAX_DIRECTIVES)?;
    bound(
        "fields once its fragments are spread",
        fields,
        MAX_EXPANDED_FIELDS,
    )
}

fn bound(what: &str, count: usize, most: usize) -> Result<(), Refusal> {
    if count <= most {
        return Ok(());
    }
    Err(Refusal::limit(format!(
        "the document has {count} {what}; at most {most} are allowed"
    )))
}

/// What a selection holds once its fragments are spread.
#[derive(Clone, Copy, Default)]
struct Size {
    /// Fields and spreads.
    fields: usize,
    /// Levels of fields.
    depth: usize,
}

impl Size {
    fn beside(self, other: Self) -> Self {
        Self {
            fields: self.fields.saturating_add(other.fields),
            depth: self.depth.max(other.depth),
        }
    }
}

struct Walk<'a> {
    tree: &'a ExecutableDocument,
    /// The size of each fragment; none while it is being measured.
    measured: HashMap<&'a str, Option<Size>>,
    aliases: usize,
    directives: usize,
}

impl<'a> Walk<'a> {
    fn selection_set(&mut self, set: &'a SelectionSet) -> Result<Size, Refusal> {
        let mut total = Size::default();
        for item in &set.items {
            self.directives += item.node.directives().len();
            total = total.beside(self.selection(&item.node)?);
        }
        Ok(total)
    }

    fn selection(&mut self, selection: &'a Selection) -> Result<Size, Refusal> {
        match selection {
            Selection::Field(field) => {
                self.aliases += usize::from(field.node.alias.is_some());
                let inside = self.selection_set(&field.node.selection_set.node)?;
                Ok(Size {
                    fields: inside.fields.saturating_add(1),
                    depth: inside.depth + 1,
                })
            }
            Selection::InlineFragment(fragment) => self.selection_set(&fragment.node.selection_set.node),
            Selection::FragmentSpread(spread) => {
                let inside = self.fragment(spread.node.fragment_name.node.as_str())?;
                Ok(Size {
                    fields: inside.fields.saturating_add(1),
                    ..inside
                })
            }
        }
    }

    /// The size of the fragment `name`; nothing if the document has none, which validation reports.
    fn fragment(&mut self, name: &str) -> Result<Size, Refusal> {
        let Some((name, fragment)) = self.tree.fragments.get_key_value(name) else {
            return Ok(Size::default());
        };
        let name = name.as_str();
        match self.measured.get(name) {
            Some(Some(size)) => return Ok(*size),
            Some(None) => {
                let message = format!("the fragment {name} spreads itself, directly or through others");
                return Err(Refusal::new(Code::GraphqlValidationFailed, message));
            }
            None => {}
        }
        self.measured.insert(name, None);
        self.directives += fragment.node.directives.len();
        let size = self.selection_set(&fragment.node.selection_set.node)?;
        self.measured.insert(name, Some(size));
        Ok(size)
    }
}
