//! One pass over the text of a document: size, nesting, tokens, names, exact numbers.
//!
//! Strings and comments are skipped by the same rules as the parser's, and a string that does not end is refused
//! here: what this pass takes for a string the parser must never read as brackets.

use store::json::is_exact_number;
use store::new_event::quoted;

use super::Refusal;
use crate::error_code::Code;
use crate::limits::{MAX_DOCUMENT_BYTES, MAX_DOCUMENT_NESTING, MAX_DOCUMENT_TOKENS, MAX_GRAPHQL_NAME_BYTES};

/// Refuses a text that is too large to be parsed safely.
pub(super) fn check(text: &str) -> Result<(), Refusal> {
    if text.len() > MAX_DOCUMENT_BYTES {
        return Err(Refusal::limit(format!(
            "the document is {} bytes long; at most {MAX_DOCUMENT_BYTES} are allowed",
            text.len()
        )));
    }
    let mut scan = Scan { text, at: 0 };
    let mut tokens = 0_usize;
    let mut nesting = 0_usize;
    while let Some(token) = scan.next()? {
        tokens += 1;
        if tokens > MAX_DOCUMENT_TOKENS {
            let message =
                format!("the document has more than {MAX_DOCUMENT_TOKENS} tokens, the most allowed");
            return Err(Refusal::limit(message));
        }
        match token {
            Token::Open => nesting += 1,
            Token::Close => nesting = nesting.saturating_sub(1),
            Token::Other => {}
        }
        if nesting > MAX_DOCUMENT_NESTING {
            let message =
                format!("the document nests brackets deeper than {MAX_DOCUMENT_NESTING}, the most allowed");
            return Err(Refusal::limit(message));
        }
    }
    Ok(())
}

enum Token {
    Open,
    Close,
    Other,
}

struct Scan<'a> {
    text: &'a str,
    at: usize,
}

impl Scan<'_> {
    fn next(&mut self) -> Result<Option<Token>, Refusal> {
        let bytes = self.text.as_bytes();
        while let Some(byte) = bytes.get(self.at) {
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' | b',' => self.at += 1,
                b'#' => self.at += self.length_of(|byte| !matches!(byte, b'\n' | b'\r')),
                b'{' | b'[' | b'(' => return Ok(Some(self.take(1, Token::Open))),
                b'}' | b']' | b')' => return Ok(Some(self.take(1, Token::Close))),
                b'"' => {
                    let length = self.string_length()?;
                    return Ok(Some(self.take(length, Token::Other)));
                }
                b'-' | b'0'..=b'9' => {
                    let length = self.number_length()?;
                    return Ok(Some(self.take(length, Token::Other)));
                }
                b'a'..=b'z' | b'A'..=b'Z' | b'_' => {
                    let length = self.name_length()?;
                    return Ok(Some(self.take(length, Token::Other)));
                }
                // Punctuation, or something that the parser will refuse.
                _ => return Ok(Some(self.take(1, Token::Other))),
            }
        }
        Ok(None)
    }

    fn take(&mut self, length: usize, token: Token) -> Token {
        self.at += length;
        token
    }

    fn length_of(&self, accepts: impl Fn(u8) -> bool) -> usize {
        self.text.as_bytes()[self.at..]
            .iter()
            .take_while(|byte| accepts(**byte))
            .count()
    }

    /// The length of the name at the present position. An alias stands in every row of an answer, a name in every error
    /// about it.
    fn name_length(&self) -> Result<usize, Refusal> {
        let length = self.length_of(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if length <= MAX_GRAPHQL_NAME_BYTES {
            return Ok(length);
        }
        Err(Refusal::limit(format!(
            "the document has a name of {length} bytes; at most {MAX_GRAPHQL_NAME_BYTES} are allowed"
        )))
    }

    fn string_length(&self) -> Result<usize, Refusal> {
        let rest = &self.text.as_bytes()[self.at..];
        if rest.starts_with(b"\"\"\"") {
            return block_string_length(rest);
        }
        let mut at = 1;
        while let Some(byte) = rest.get(at) {
            match byte {
                b'"' => return Ok(at + 1),
                b'\n' | b'\r' => break,
                b'\\' => at += 2,
                _ => at += 1,
            }
        }
        Err(unterminated())
    }

    /// The length of the number at the present position, which must be kept exactly.
    fn number_length(&self) -> Result<usize, Refusal> {
        let accepted = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E');
        let length = self.length_of(accepted);
        let token = &self.text[self.at..self.at + length];
        if token.parse::<f64>().is_ok() && !is_exact_number(token) {
            let message = format!(
                "the number {} cannot be kept exactly as a 64-bit integer or a double; send it as a string",
                quoted(token)
            );
            return Err(Refusal::new(Code::BadUserInput, message));
        }
        Ok(length)
    }
}

fn block_string_length(rest: &[u8]) -> Result<usize, Refusal> {
    let mut at = 3;
    while at < rest.len() {
        if rest[at..].starts_with(b"\\\"\"\"") {
            at += 4;
        } else if rest[at..].starts_with(b"\"\"\"") {
            return Ok(at + 3);
        } else {
            at += 1;
        }
    }
    Err(unterminated())
}

fn unterminated() -> Refusal {
    Refusal::new(Code::GraphqlParseFailed, "syntax error: a string has no end")
}

#[cfg(test)]
mod tests {
    use async_graphql::Value;
    use async_graphql::parser::parse_query;
    use async_graphql::parser::types::{DocumentOperations, ExecutableDocument, Selection};
    use proptest::collection::vec;
    use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};

    use super::check;
    use crate::error_code::Code;
    use crate::limits::MAX_DOCUMENT_NESTING;

    /// Values that hide brackets, or look as if they did.
    const LEAVES: [&str; 14] = [
        "1",
        "-0.5e3",
        "name",
        "$v",
        r#""""#,
        r#""[{(""#,
        r#""\"[[[""#,
        r#""\\""#,
        r#""a # b""#,
        "\"\"\"[[[{{{\"\"\"",
        "\"\"\"a\n\"b\" [ \\\"\"\" [ \"\"\"",
        "\"\"\"\"\"\"",
        "\"\"\"\\\\ \"\"\"",
        "true",
    ];
    /// What may stand between two values.
    const GAPS: [&str; 8] = [
        " ",
        ",",
        "\n",
        "\r",
        "\t,\n",
        " #[[[{{{(((\n",
        " #]]]}}}\"\n",
        " # \"\"\" [\r\n",
    ];

    fn nesting(value: &Value) -> usize {
        match value {
            Value::List(items) => 1 + items.iter().map(nesting).max().unwrap_or(0),
            Value::Object(members) => 1 + members.values().map(nesting).max().unwrap_or(0),
            _ => 0,
        }
    }

    /// How deep the brackets around the arguments of the only field nest, as the parser has understood them.
    fn understood(tree: &ExecutableDocument) -> usize {
        let DocumentOperations::Single(operation) = &tree.operations else {
            return 0;
        };
        let Some(Selection::Field(field)) = operation
            .node
            .selection_set
            .node
            .items
            .first()
            .map(|item| &item.node)
        else {
            return 0;
        };
        let values = field.node.arguments.iter().map(|(_, value)| {
            let constant = value.node.clone().into_const_with(|_| Ok::<_, ()>(Value::Null));
            nesting(&constant.expect("variables are null"))
        });
        // The selection, the arguments.
        2 + values.max().unwrap_or(0)
    }

    /// A document whose only argument nests as deep as there are levels, with other values beside each.
    fn nested(levels: &[(bool, usize, usize)]) -> String {
        let mut text = "{a(b:".to_owned();
        for (is_list, leaf, gap) in levels {
            let (leaf, gap) = (LEAVES[leaf % LEAVES.len()], GAPS[gap % GAPS.len()]);
            match is_list {
                true => text.push_str(&format!("[{gap}{leaf}{gap}")),
                false => text.push_str(&format!("{{{gap}x:{leaf}{gap}y:{gap}")),
            }
        }
        text.push('1');
        for (is_list, _, gap) in levels.iter().rev() {
            text.push_str(GAPS[gap % GAPS.len()]);
            text.push(if *is_list { ']' } else { '}' });
        }
        text + ")}"
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Neither strings nor comments make the pass see another nesting than the parser does.
        #[test]
        fn brackets_are_counted_as_the_parser_sees_them(
            levels in vec((any::<bool>(), 0_usize..100, 0_usize..100), 0..90)
        ) {
            let text = nested(&levels);
            // Far more stack than a worker has: what is refused must be parsed here.
            let parsing = std::thread::Builder::new().stack_size(256 << 20);
            let parsed = parsing.spawn({
                let text = text.clone();
                move || parse_query(&text).map(|tree| understood(&tree))
            });
            let parsed = parsed.expect("a thread").join().expect("it does not panic");
            prop_assert_eq!(parsed.ok(), Some(levels.len() + 2), "{}", text);
            let refused = check(&text).err().map(|refusal| refusal.code);
            let expected = (levels.len() + 2 > MAX_DOCUMENT_NESTING).then_some(Code::GraphqlLimitExceeded);
            prop_assert_eq!(refused, expected, "{}", text);
        }

        /// Whatever passes does not overflow the stack of a thread as small as those that serve requests.
        #[test]
        fn what_passes_can_be_parsed(
            pieces in vec(0..LEAVES.len() + GAPS.len() + 12, 0..60),
            times in 1_usize..200,
        ) {
            let own = ["[", "{", "(", "]", "}", ")", "\"", "\"\"\"", "\\", "{a(b:", "{x:", "query($v:Int="];
            let all: Vec<&str> = LEAVES.into_iter().chain(GAPS).chain(own).collect();
            let text: String = pieces.iter().map(|piece| all[*piece]).collect::<String>().repeat(times);
            for text in [text.clone(), format!("{{a(b:{text}"), format!("{{a(b:\"{text}")] {
                if check(&text).is_ok() {
                    // Any outcome will do.
                    let _ = parse_query(&text);
                }
            }
        }

        /// Names are as long for the pass as for the parser.
        #[test]
        fn names_are_measured_as_the_parser_sees_them(name in "[_A-Za-z][_0-9A-Za-z]{100,160}") {
            for text in [format!("{{{name}:x}}"), format!("query {name} {{x}}"), format!("{{x(a:${name})}}")] {
                prop_assert!(parse_query(&text).is_ok());
                prop_assert_eq!(check(&text).is_ok(), name.len() <= 128);
            }
        }
    }
}
