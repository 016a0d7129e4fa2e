//! The schema's input types, to tell whether variables fit the types that an operation declares for them.
//!
//! This decides which way a known document goes. Variables that fit need no other check before they are read; about
//! those that do not, the GraphQL library has the last word and the message. So a value of which this module is not
//! sure does not fit.

use async_graphql::parser::types::VariableDefinition;
use async_graphql::registry::{MetaType, MetaTypeName, Registry};
use async_graphql::{OutputType, Positioned, Value, Variables};

use super::{MutationRoot, QueryRoot};

/// The input types of the schema.
pub(crate) struct InputTypes(Registry);

impl InputTypes {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::default();
        QueryRoot::create_type_info(&mut registry);
        MutationRoot::create_type_info(&mut registry);
        Self(registry)
    }

    /// Whether every one of `variables` is a value of the type that one of `definitions` gives it.
    pub(crate) fn fit(&self, definitions: &[Positioned<VariableDefinition>], variables: &Variables) -> bool {
        definitions.iter().all(|definition| {
            let definition = &definition.node;
            match variables.get(definition.name.node.as_str()) {
                None => true,
                // With a default, a nullable variable may stand where null may not.
                Some(Value::Null) => definition.var_type.node.nullable && definition.default_value.is_none(),
                Some(value) => self.fits(&definition.var_type.node.to_string(), value),
            }
        })
    }

    fn fits(&self, type_name: &str, value: &Value) -> bool {
        match (MetaTypeName::create(type_name), value) {
            (MetaTypeName::NonNull(_), Value::Null) => false,
            (MetaTypeName::NonNull(type_name), _) => self.fits(type_name, value),
            (_, Value::Null) => true,
            (MetaTypeName::List(item_type), Value::List(items)) => {
                items.iter().all(|item| self.fits(item_type, item))
            }
            (MetaTypeName::List(_), _) => false,
            (MetaTypeName::Named(type_name), _) => {
                let of_type = self.0.types.get(type_name);
                of_type.is_some_and(|of_type| self.fits_named(of_type, value))
            }
        }
    }

    fn fits_named(&self, of_type: &MetaType, value: &Value) -> bool {
        match (of_type, value) {
            (MetaType::Scalar { is_valid, .. }, _) => {
                is_valid.as_ref().is_none_or(|is_valid| is_valid(value))
            }
            (MetaType::Enum { enum_values, .. }, Value::String(name)) => {
                enum_values.contains_key(name.as_str())
            }
            (
                MetaType::InputObject {
                    input_fields, oneof, ..
                },
                Value::Object(members),
            ) => {
                let known = members.keys().all(|key| input_fields.contains_key(key.as_str()));
                let is_one = members.len() == 1 && !members.values().any(|member| *member == Value::Null);
                known
                    && (is_one || !oneof)
                    && input_fields
                        .values()
                        .all(|field| match members.get(field.name.as_str()) {
                            Some(member) => self.fits(&field.ty, member),
                            None => !field.ty.ends_with('!') || field.default_value.is_some(),
                        })
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_query;
    use async_graphql::parser::types::DocumentOperations;
    use async_graphql::{Value, Variables, value};

    use super::InputTypes;

    fn fit(declared: &str, value: Value) -> bool {
        let document = parse_query(format!("query({declared}) {{ x }}")).expect("a good document");
        let DocumentOperations::Single(operation) = document.operations else {
            panic!("the document has one operation without a name");
        };
        let variables = Variables::from_value(value!({ "v": value }));
        InputTypes::new().fit(&operation.node.variable_definitions, &variables)
    }

    #[test]
    fn values_of_the_declared_type_fit() {
        let event =
            value!({ "userId": "u", "eventType": "t", "properties": { "a": [1] }, "occurredAt": null });
        assert!(fit("$v: IngestEventInput!", event.clone()));
        assert!(fit(
            "$v: IngestEventsInput!",
            value!({ "events": [event, event] })
        ));
        assert!(fit("$v: Int", value!(null)));
        assert!(fit("$v: Period", value!("WEEK")));
        assert!(fit("$v: StringTest", value!({ "eq": "u" })));
        assert!(fit("$other: Int", value!("of no variable")));
    }

    #[test]
    fn what_the_library_would_refuse_does_not_fit() {
        let event = value!({ "userId": "u", "eventType": "t" });
        for (declared, wrong) in [
            ("$v: Int", value!("1")),
            ("$v: Int!", value!(null)),
            ("$v: Int = 1", value!(null)),
            ("$v: Period", value!("CENTURY")),
            ("$v: Period", value!(1)),
            ("$v: NoSuchType", value!(1)),
            ("$v: [IngestEventInput!]!", event),
            ("$v: [IngestEventInput!]!", value!([null])),
            ("$v: IngestEventInput!", value!({ "userId": "u" })),
            ("$v: IngestEventInput!", value!({ "userId": 1, "eventType": "t" })),
            (
                "$v: IngestEventInput!",
                value!({ "userId": "u", "eventType": "t", "more": 1 }),
            ),
            ("$v: IngestEventInput!", value!("u")),
            ("$v: StringTest", value!({ "eq": "u", "contains": "u" })),
            ("$v: StringTest", value!({ "eq": null })),
            ("$v: StringTest", value!({})),
        ] {
            assert!(!fit(declared, wrong.clone()), "{declared} {wrong}");
        }
    }
}
