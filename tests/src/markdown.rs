//! The blocks of code in the documentation, for the tests that run them.
//!
//! The words behind the language say what becomes of a block: `run` is run, `answer` is what the block before it must
//! say, `by-hand` is not run and has a reason beside it. Web pages show the language only.

/// A fenced block of code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The first word behind the fence: `sh`, `graphql`, `json`.
    pub language: String,
    /// The words after it.
    pub words: Vec<String>,
    /// What stands between the fences.
    pub text: String,
    /// The line of its first fence, counted from 1.
    pub line: usize,
}

impl Block {
    /// Whether it is marked with this word.
    pub fn is(&self, word: &str) -> bool {
        self.words.iter().any(|own| own == word)
    }
}

/// All fenced blocks of a text in Markdown, in order.
pub fn blocks(markdown: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (number, line) in markdown.lines().enumerate() {
        let fence = line.strip_prefix("```");
        match (fence, open.take()) {
            (Some(_), Some(block)) => blocks.push(block),
            (Some(information), None) => {
                let mut words = information.split_whitespace().map(ToOwned::to_owned);
                open = Some(Block {
                    language: words.next().unwrap_or_default(),
                    words: words.collect(),
                    text: String::new(),
                    line: number + 1,
                });
            }
            (None, Some(mut block)) => {
                block.text.push_str(line);
                block.text.push('\n');
                open = Some(block);
            }
            (None, None) => {}
        }
    }
    blocks
}

/// Whether `said` is what `pattern` says, in which `…` stands for anything within a line.
pub fn says(said: &str, pattern: &str) -> bool {
    let (said, pattern) = (said.trim().lines(), pattern.trim().lines());
    said.clone().count() == pattern.clone().count()
        && said.zip(pattern).all(|(said, pattern)| line_says(said, pattern))
}

fn line_says(said: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('…');
    let Some(mut rest) = said.strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(position) => rest = &rest[position + part.len()..],
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::{blocks, says};

    #[test]
    fn blocks_have_language_words_and_line() {
        let found = blocks("a\n```sh run\nls\npwd\n```\n\n```\nplain\n```\n");
        assert_eq!((found[0].language.as_str(), found[0].line), ("sh", 2));
        assert!(found[0].is("run") && !found[0].is("answer"));
        assert_eq!(found[0].text, "ls\npwd\n");
        assert_eq!((found[1].language.as_str(), found.len()), ("", 2));
    }

    #[test]
    fn an_ellipsis_stands_for_anything_within_a_line() {
        assert!(says("a 17 b\nc\n", "a … b\nc"));
        assert!(says("a", "…") && says("abcabc", "a…c…c"));
        for (said, pattern) in [
            ("a\nb", "a…"),
            ("ab", "a"),
            ("xa", "a…"),
            ("ab", "a…c"),
            ("a", "a\nb"),
        ] {
            assert!(!says(said, pattern), "{said:?} {pattern:?}");
        }
    }
}
