//! GraphQL documents: checked before anything recursive sees them, then parsed once.
//!
//! The parser and the validator that run behind this have no bounds of their own: 4 KB of nested brackets overflow a
//! stack, 1 KB of fragments that spread each other twice keeps a core busy for seconds. [`parse`] refuses both
//! in one pass over the text and one walk over the tree, so nothing behind it meets a document that could do harm.
//! [`Documents`] keeps those that were executed.

mod argument;
mod cache;
mod selected;
mod shape;
mod text;

use async_graphql::Pos;
use async_graphql::Positioned;
use async_graphql::parser::types::{
    DocumentOperations, ExecutableDocument, OperationDefinition, OperationType, Selection, VariableDefinition,
};
use async_graphql::parser::{Error as ParserError, parse_query};

use serde_json::{Map, Value};

use crate::error_code::Code;

pub(crate) use argument::argument_at;
pub(crate) use cache::{Documents, Readied, Source};
pub(crate) use selected::Selected;

/// Why a document is not executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: Code,
    pub(crate) message: String,
    pub(crate) locations: Vec<Pos>,
}

impl Refusal {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            locations: Vec::new(),
        }
    }

    fn limit(message: String) -> Self {
        Self::new(Code::GraphqlLimitExceeded, message)
    }
}

/// A field at the top of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RootField {
    pub(crate) name: String,
    /// Under which its value stands in the answer: the alias, if it has one.
    pub(crate) response_key: String,
}

impl RootField {
    /// Whether the field asks for the schema itself.
    pub(crate) fn is_introspection(&self) -> bool {
        matches!(self.name.as_str(), "__schema" | "__type")
    }
}

/// A document within all limits, and the one operation of it that is to run.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) tree: ExecutableDocument,
    pub(crate) operation_type: OperationType,
    /// The fields at the top of the operation; those behind fragments are left out.
    pub(crate) root_fields: Vec<RootField>,
    /// Everything that the operation selects.
    pub(crate) selected: Selected,
    /// The variables that the operation declares.
    pub(crate) variables: Vec<Positioned<VariableDefinition>>,
}

impl Document {
    /// The operation that is to run, by the name that the document was readied with.
    pub(crate) fn operation(&self, name: Option<&str>) -> Option<&OperationDefinition> {
        pick_operation(&self.tree, name).ok()
    }

    /// What kind of operation is to run, in the word of the language.
    pub(crate) fn operation_kind(&self) -> &'static str {
        match self.operation_type {
            OperationType::Query => "query",
            OperationType::Mutation => "mutation",
            OperationType::Subscription => "subscription",
        }
    }
}

/// Parses `query` and picks the operation `operation_name`.
///
/// # Errors
/// [`Refusal`] if the document exceeds a limit, is no GraphQL, or does not say which operation is to run; also if a
/// variable that the operation requires is missing.
pub(crate) fn parse(
    query: &str,
    operation_name: Option<&str>,
    variables: &Map<String, Value>,
) -> Result<Document, Refusal> {
    text::check(query)?;
    let tree = parse_query(query).map_err(|error| parse_failed(&error))?;
    shape::check(&tree)?;
    let operation = pick_operation(&tree, operation_name)?;
    check_variables(&operation.variable_definitions, variables)?;
    check_subscription(operation)?;
    let operation_type = operation.ty;
    let root_fields = operation
        .selection_set
        .node
        .items
        .iter()
        .filter_map(root_field)
        .collect();
    let selected = Selected::of(&operation.selection_set.node, &tree.fragments);
    let variables = operation.variable_definitions.clone();
    Ok(Document {
        tree,
        operation_type,
        root_fields,
        selected,
        variables,
    })
}

fn root_field(selection: &Positioned<Selection>) -> Option<RootField> {
    match &selection.node {
        Selection::Field(field) => Some(RootField {
            name: field.node.name.node.to_string(),
            response_key: field.node.response_key().node.to_string(),
        }),
        Selection::FragmentSpread(_) | Selection::InlineFragment(_) => None,
    }
}

fn pick_operation<'a>(
    tree: &'a ExecutableDocument,
    name: Option<&str>,
) -> Result<&'a OperationDefinition, Refusal> {
    let wrong = |message: &str| Refusal::new(Code::GraphqlValidationFailed, message);
    match (&tree.operations, name) {
        (DocumentOperations::Single(operation), None) => Ok(&operation.node),
        (DocumentOperations::Single(_), Some(_)) => Err(wrong(
            "operationName names an operation, but the only one in the document has no name",
        )),
        (DocumentOperations::Multiple(operations), Some(name)) => operations
            .get(name)
            .map(|operation| &operation.node)
            .ok_or_else(|| wrong("operationName names an operation that is not in the document")),
        (DocumentOperations::Multiple(operations), None) => match operations.values().next() {
            Some(operation) if operations.len() == 1 => Ok(&operation.node),
            _ => Err(wrong(
                "the document has several operations; operationName must name one of them",
            )),
        },
    }
}

/// A variable of a type that ends in `!` must have a value; behind this point its absence would be found only while
/// the operation runs.
fn check_variables(
    definitions: &[Positioned<VariableDefinition>],
    variables: &Map<String, Value>,
) -> Result<(), Refusal> {
    for definition in definitions {
        let (name, of_type) = (&definition.node.name.node, &definition.node.var_type.node);
        if of_type.nullable {
            continue;
        }
        let fault = match variables.get(name.as_str()) {
            None if definition.node.default_value.is_some() => continue,
            None => "is missing",
            Some(Value::Null) => "must not be null",
            Some(_) => continue,
        };
        let mut refusal = Refusal::new(
            Code::BadUserInput,
            format!("the variable ${name} of type {of_type} {fault}"),
        );
        refusal.locations.push(definition.pos);
        return Err(refusal);
    }
    Ok(())
}

/// A subscription has one field at its top; what stands beside it, or in a fragment, would never be answered.
fn check_subscription(operation: &OperationDefinition) -> Result<(), Refusal> {
    let selections = &operation.selection_set.node.items;
    let one_field = matches!(selections.as_slice(), [only] if root_field(only).is_some());
    if operation.ty != OperationType::Subscription || one_field {
        return Ok(());
    }
    Err(Refusal::new(
        Code::GraphqlValidationFailed,
        "a subscription has exactly one field at its top, and no fragment there",
    ))
}

fn parse_failed(error: &ParserError) -> Refusal {
    let message = match error {
        // The parser's text repeats the whole line; only what follows the last "= " says what is wrong.
        ParserError::Syntax { message, .. } => {
            let reason = message.rsplit("= ").next().unwrap_or_default().trim();
            format!("syntax error: {reason}")
        }
        other => other.to_string().trim_end_matches('.').to_owned(),
    };
    let locations = error.positions().collect();
    Refusal {
        code: Code::GraphqlParseFailed,
        message,
        locations,
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use serde_json::{Map, Value, json};

    use super::parse;
    use crate::error_code::Code;

    fn code_of(query: &str) -> Option<Code> {
        let started = Instant::now();
        let code = parse(query, None, &Map::new()).err().map(|refusal| refusal.code);
        assert!(
            started.elapsed() < Duration::from_millis(500),
            "slow: {:?}",
            started.elapsed()
        );
        code
    }

    #[test]
    fn nested_literals_never_reach_the_parser() {
        for (open, close) in [("[", "]"), ("{a:", "}")] {
            let bomb = format!("{{a(b:{}1{})}}", open.repeat(2_000), close.repeat(2_000));
            assert_eq!(code_of(&bomb), Some(Code::GraphqlLimitExceeded));
            let unclosed = format!("query($v:Int={}", open.repeat(2_000));
            assert_eq!(code_of(&unclosed), Some(Code::GraphqlLimitExceeded));
        }
        assert_eq!(
            code_of(&format!("{{a(b:{}1{})}}", "[".repeat(60), "]".repeat(60))),
            None
        );
    }

    #[test]
    fn brackets_hidden_by_a_broken_string_never_reach_the_parser() {
        let brackets = "[".repeat(2_000);
        for opening in [r#"""" x""#, r#"" "#, "\"\n\""] {
            let code = code_of(&format!("{{a(b:[{opening}{brackets}"));
            assert!(
                code == Some(Code::GraphqlParseFailed) || code == Some(Code::GraphqlLimitExceeded),
                "{opening}"
            );
        }
    }

    #[test]
    fn fragments_that_double_are_refused_at_once() {
        for levels in [9, 28] {
            let mut bomb = String::from("{...F0}");
            for level in 0..levels {
                bomb.push_str(&format!(
                    "fragment F{level} on Query{{...F{0} ...F{0} ...F{0}}}",
                    level + 1
                ));
            }
            bomb.push_str(&format!("fragment F{levels} on Query{{__typename}}"));
            assert_eq!(
                code_of(&bomb),
                Some(Code::GraphqlLimitExceeded),
                "{levels} levels"
            );
        }
    }

    #[test]
    fn fragments_in_a_circle_are_refused() {
        let circle = "{...A} fragment A on Query{...B} fragment B on Query{x{...A}}";
        assert_eq!(code_of(circle), Some(Code::GraphqlValidationFailed));
        assert_eq!(
            code_of("{x} fragment A on Query{...A}"),
            Some(Code::GraphqlValidationFailed)
        );
    }

    #[test]
    fn floods_are_refused() {
        let flood = |count: usize, part: &dyn Fn(usize) -> String| (0..count).map(part).collect::<String>();
        let aliases = |count| format!("{{{}}}", flood(count, &|n| format!("a{n}:__typename ")));
        assert_eq!(code_of(&aliases(30)), None);
        assert_eq!(code_of(&aliases(31)), Some(Code::GraphqlLimitExceeded));
        let directives = |count| format!("{{x {}}}", "@d ".repeat(count));
        assert_eq!(code_of(&directives(10)), None);
        assert_eq!(code_of(&directives(11)), Some(Code::GraphqlLimitExceeded));
        let operations = flood(6, &|n| format!("query Q{n}{{x}}"));
        assert_eq!(code_of(&operations), Some(Code::GraphqlLimitExceeded));
        assert_eq!(
            code_of(&format!("{{{}}}", "x ".repeat(2_500))),
            Some(Code::GraphqlLimitExceeded)
        );
        assert_eq!(
            code_of(&format!("{{x}}#{}", "x".repeat(70_000))),
            Some(Code::GraphqlLimitExceeded)
        );
        let deep =
            |levels: usize| format!("{}x{}", "{x".repeat(levels), "}".repeat(levels)).replace("xx", "x{x}");
        assert_eq!(code_of(&deep(13)), None);
        assert_eq!(code_of(&deep(16)), Some(Code::GraphqlLimitExceeded));
    }

    #[test]
    fn names_are_bounded_wherever_they_stand() {
        let name = |length| "n".repeat(length);
        for document in [
            |name: &str| format!("{{ {name}: x }}"),
            |name: &str| format!("{{ {name} }}"),
            |name: &str| format!("query {name} {{ x }}"),
            |name: &str| format!("query (${name}: Int) {{ x }}"),
            |name: &str| format!("query ($a: {name}) {{ x }}"),
            |name: &str| format!("{{ x({name}: 1) }}"),
            |name: &str| format!("{{ x(a: {{ {name}: {name} }}) }}"),
            |name: &str| format!("{{ x @{name} }}"),
            |name: &str| format!("{{ ...{name} }} fragment {name} on {name} {{ x }}"),
        ] {
            assert_eq!(code_of(&document(&name(128))), None);
            let refusal = parse(&document(&name(129)), None, &Map::new());
            let refusal = refusal.expect_err("the name is too long");
            assert_eq!(refusal.code, Code::GraphqlLimitExceeded);
            assert!(
                refusal.message.contains("129 bytes; at most 128"),
                "{}",
                refusal.message
            );
        }
        assert_eq!(
            code_of(&format!("{{ x(a: \"{0}\") }} # {0}", name(60_000 / 2))),
            None
        );
    }

    #[test]
    fn strings_and_comments_do_not_count() {
        let brackets = "[".repeat(100);
        assert_eq!(code_of(&format!("{{x(a:\"{brackets}\\\"{brackets}\")}}")), None);
        assert_eq!(
            code_of(&format!(
                "{{x(a:\"\"\"{brackets}\n\"\"{brackets}\\\"\"\"{brackets}\"\"\")}}"
            )),
            None
        );
        assert_eq!(code_of(&format!("{{x #{brackets}\n}}")), None);
    }

    #[test]
    fn inexact_numbers_are_refused() {
        assert_eq!(
            code_of("{x(a:12345678901234567890123)}"),
            Some(Code::BadUserInput)
        );
        assert_eq!(code_of("{x(a:\"12345678901234567890123\", b:-1.5e3)}"), None);
    }

    #[test]
    fn required_variables_must_be_there() {
        let query = "query($a:Int!,$b:Int!=1,$c:Int){x(a:$a,b:$b,c:$c)}";
        let check = |variables: Value| {
            let variables = variables.as_object().expect("an object");
            parse(query, None, variables).err().map(|refusal| refusal.message)
        };
        assert_eq!(
            check(json!({})).as_deref(),
            Some("the variable $a of type Int! is missing")
        );
        assert_eq!(
            check(json!({ "a": null })).as_deref(),
            Some("the variable $a of type Int! must not be null")
        );
        assert_eq!(check(json!({ "a": 1 })), None);
    }

    #[test]
    fn subscriptions_have_one_field() {
        assert_eq!(code_of("subscription { a }"), None);
        for several in [
            "subscription { a b }",
            "subscription { ...F } fragment F on Subscription { a }",
            "subscription { a ...F } fragment F on Subscription { b }",
            "subscription { ... { a } }",
        ] {
            assert_eq!(code_of(several), Some(Code::GraphqlValidationFailed), "{several}");
        }
    }

    #[test]
    fn syntax_errors_are_short_and_say_where() {
        let refusal = parse("{ dau( }", None, &Map::new()).expect_err("the document is broken");
        assert_eq!(refusal.code, Code::GraphqlParseFailed);
        assert!(
            refusal.message.starts_with("syntax error: expected"),
            "{}",
            refusal.message
        );
        assert!(!refusal.message.contains('\n'));
        assert_eq!(
            refusal
                .locations
                .first()
                .map(|position| (position.line, position.column)),
            Some((1, 8))
        );
    }
}
