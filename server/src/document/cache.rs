//! Documents that have been executed, kept with their tree: clients send the same text again and again, with other
//! variables.
//!
//! What is kept has passed every check that depends on the text alone: our limits, the parser, and the validation of the
//! GraphQL library. So it needs none of them again. Bounded in bytes, whatever clients send.

use std::hash::Hash;
use std::sync::Arc;

use quick_cache::{Equivalent, Weighter, sync::Cache};
use serde_json::{Map, Value};

use super::{Document, Refusal, check_variables, parse};
use crate::limits::{DOCUMENT_CACHE_BYTES, MAX_CACHED_DOCUMENT_BYTES};

/// A document's text, and which of its operations is to run.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Source {
    pub(crate) query: String,
    pub(crate) operation_name: Option<String>,
}

/// A source that is looked for; hashes as [`Source`] does.
#[derive(Hash)]
struct Wanted<'a> {
    query: &'a str,
    operation_name: Option<&'a str>,
}

impl Equivalent<Source> for Wanted<'_> {
    fn equivalent(&self, source: &Source) -> bool {
        self.query == source.query && self.operation_name == source.operation_name.as_deref()
    }
}

/// A document that may run.
#[derive(Debug)]
pub(crate) struct Readied {
    pub(crate) document: Arc<Document>,
    /// Whether it has been executed before, so that validating it anew could find nothing but its variables wanting.
    pub(crate) known: bool,
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<Source, Arc<Document>> for ByBytes {
    fn weight(&self, source: &Source, _: &Arc<Document>) -> u64 {
        weight(source)
    }
}

/// What a document takes in memory, roughly: a selected field of five letters has a node of 300 bytes.
fn weight(source: &Source) -> u64 {
    const BYTES_PER_LETTER: u64 = 64;
    const BYTES_PER_ENTRY: u64 = 1_024;
    let name_length = source.operation_name.as_ref().map_or(0, String::len);
    BYTES_PER_ENTRY + source.query.len() as u64 * BYTES_PER_LETTER + name_length as u64
}

/// The cache. Clones share it.
#[derive(Clone)]
pub(crate) struct Documents(Arc<Cache<Source, Arc<Document>, ByBytes>>);

impl Documents {
    pub(crate) fn new() -> Self {
        const ESTIMATED_DOCUMENTS: usize = 256;
        Self(Arc::new(Cache::with_weighter(
            ESTIMATED_DOCUMENTS,
            DOCUMENT_CACHE_BYTES,
            ByBytes,
        )))
    }

    /// The document `query`, kept or parsed now, for a run of `operation_name` with `variables`.
    ///
    /// # Errors
    /// As [`parse`].
    pub(crate) fn ready(
        &self,
        query: &str,
        operation_name: Option<&str>,
        variables: &Map<String, Value>,
    ) -> Result<Readied, Refusal> {
        let wanted = Wanted {
            query,
            operation_name,
        };
        if let Some(document) = self.0.get(&wanted) {
            check_variables(&document.variables, variables)?;
            return Ok(Readied {
                document,
                known: true,
            });
        }
        let document = Arc::new(parse(query, operation_name, variables)?);
        Ok(Readied {
            document,
            known: false,
        })
    }

    /// Keeps a document that was executed.
    pub(crate) fn keep(&self, source: Source, document: Arc<Document>) {
        if source.query.len() <= MAX_CACHED_DOCUMENT_BYTES {
            self.0.insert(source, document);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use super::{Documents, Readied, Refusal, Source};
    use crate::limits::MAX_CACHED_DOCUMENT_BYTES;

    fn source(query: &str, operation_name: Option<&str>) -> Source {
        Source {
            query: query.to_owned(),
            operation_name: operation_name.map(str::to_owned),
        }
    }

    fn ready(
        documents: &Documents,
        source: &Source,
        variables: &Map<String, Value>,
    ) -> Result<Readied, Refusal> {
        documents.ready(&source.query, source.operation_name.as_deref(), variables)
    }

    fn is_known(documents: &Documents, source: &Source) -> bool {
        let variables = Map::from_iter([("a".to_owned(), json!(1))]);
        let readied = ready(documents, source, &variables).expect("a good document");
        if !readied.known {
            documents.keep(source.clone(), readied.document);
        }
        readied.known
    }

    #[test]
    fn a_document_is_known_by_its_text_and_its_operation() {
        let documents = Documents::new();
        let two = "query A($a: Int!) { x(a: $a) } query B { y }";
        for (query, name) in [
            ("{ x }", None),
            (two, Some("A")),
            (two, Some("B")),
            ("{ x  }", None),
        ] {
            let source = source(query, name);
            assert!(!is_known(&documents, &source), "{source:?} is new");
            assert!(is_known(&documents, &source), "{source:?} is known");
        }
        let of = |name| ready(&documents, &source(two, Some(name)), &Map::new());
        let missing = of("A").expect_err("a variable is missing, however well the document is known");
        assert_eq!(missing.message, "the variable $a of type Int! is missing");
        assert_eq!(of("B").expect("no variables").document.root_fields[0].name, "y");
    }

    #[test]
    fn memory_is_bounded_by_the_texts() {
        let documents = Documents::new();
        let long = source(
            &format!("{{ x }} #{}", "x".repeat(MAX_CACHED_DOCUMENT_BYTES)),
            None,
        );
        assert!(!is_known(&documents, &long));
        assert!(!is_known(&documents, &long), "too long to be kept");
        for number in 0..20_000 {
            is_known(&documents, &source(&format!("{{ x{number} }}"), None));
        }
        assert!(documents.0.weight() <= crate::limits::DOCUMENT_CACHE_BYTES);
        assert!(documents.0.len() < 20_000);
    }
}
