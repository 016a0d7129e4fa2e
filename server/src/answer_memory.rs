//! What answers take in memory: counted while they are made, bounded for one and for all.
//!
//! Complexity is known before an operation runs, the size of its answer is not: a list is as long as the data, `properties`
//! as large as somebody has sent them, and every alias writes them down once more. So whoever makes many values takes
//! memory for them first. It is given back when the answer has been sent, or is given up.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_graphql::{Name, Value};

use crate::limits::{MAX_ANSWER_MEMORY_BYTES, MAX_ANSWERS_MEMORY_BYTES};

/// What all answers take. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct AnswersMemory {
    taken: Arc<AtomicUsize>,
    most: usize,
    most_of_one: usize,
}

/// What one answer takes. Clones share it; the last one gives it back.
#[derive(Debug, Clone)]
pub(crate) struct AnswerMemory(Arc<Share>);

#[derive(Debug)]
struct Share {
    all: AnswersMemory,
    amounts: Mutex<Amounts>,
}

#[derive(Debug, Default)]
struct Amounts {
    /// What the answer takes.
    used: usize,
    /// What was taken of all for it, a little more.
    reserved: usize,
    refused: Option<NoMemory>,
}

/// Why an answer is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoMemory {
    /// It takes more than one answer may.
    OfOne(usize),
    /// All together would take more than they may; later it may work.
    OfAll(usize),
}

impl AnswersMemory {
    pub(crate) fn new() -> Self {
        Self::bounded(MAX_ANSWERS_MEMORY_BYTES, MAX_ANSWER_MEMORY_BYTES)
    }

    fn bounded(most: usize, most_of_one: usize) -> Self {
        Self {
            taken: Arc::default(),
            most,
            most_of_one,
        }
    }

    /// The memory of one more answer.
    pub(crate) fn of_one(&self) -> AnswerMemory {
        AnswerMemory(Arc::new(Share {
            all: self.clone(),
            amounts: Mutex::default(),
        }))
    }

    fn reserve(&self, bytes: usize) -> Result<(), NoMemory> {
        let more = |taken: usize| taken.checked_add(bytes).filter(|taken| *taken <= self.most);
        self.taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .map(|_| ())
            .map_err(|_| NoMemory::OfAll(self.most))
    }

    fn give_back(&self, bytes: usize) {
        self.taken.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl AnswerMemory {
    /// Takes memory for a part of the answer.
    ///
    /// # Errors
    /// [`NoMemory`], from the first refusal on for every part that follows.
    pub(crate) fn take(&self, bytes: usize) -> Result<(), NoMemory> {
        /// Taken of all at once, so that small parts need not.
        const STEP_BYTES: usize = 16 * 1024;
        let mut amounts = self.0.amounts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(refused) = amounts.refused {
            return Err(refused);
        }
        let used = amounts.used.saturating_add(bytes);
        let all = &self.0.all;
        let outcome = if used > all.most_of_one {
            Err(NoMemory::OfOne(all.most_of_one))
        } else if used > amounts.reserved {
            let more = (used - amounts.reserved).next_multiple_of(STEP_BYTES);
            all.reserve(more).map(|()| amounts.reserved += more)
        } else {
            Ok(())
        };
        match outcome {
            Ok(()) => amounts.used = used,
            Err(refused) => amounts.refused = Some(refused),
        }
        outcome
    }

    /// Why a part was refused, if one was.
    pub(crate) fn refused(&self) -> Option<NoMemory> {
        let amounts = self.0.amounts.lock().unwrap_or_else(PoisonError::into_inner);
        amounts.refused
    }

    /// What the answer takes from now on, where that is less than before: its values are gone, its text is left.
    pub(crate) fn shrink_to(&self, bytes: usize) {
        let mut amounts = self.0.amounts.lock().unwrap_or_else(PoisonError::into_inner);
        let less = amounts.reserved.saturating_sub(bytes);
        self.0.all.give_back(less);
        amounts.reserved -= less;
        amounts.used = amounts.used.min(bytes);
        amounts.refused = None;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let amounts = self.amounts.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.all.give_back(amounts.reserved);
    }
}

/// About what an object takes besides its members.
pub(crate) const OBJECT_BYTES: usize = 200;
/// About what a member of an object takes besides what its value holds: hash tables grow by doubling.
pub(crate) const MEMBER_BYTES: usize = size_of::<Value>() + size_of::<Name>() + 90;
const TEXT_BYTES: usize = 32;

/// About what a value holds in memory, besides the place in which it stands.
pub(crate) fn weight(value: &Value) -> usize {
    match value {
        Value::Null | Value::Number(_) | Value::Boolean(_) => 0,
        Value::String(text) => TEXT_BYTES + text.len(),
        Value::Enum(_) => TEXT_BYTES,
        Value::Binary(bytes) => TEXT_BYTES + bytes.len(),
        Value::List(items) => {
            let inside: usize = items.iter().map(weight).sum();
            inside + items.capacity() * size_of::<Value>()
        }
        Value::Object(members) => {
            let inside: usize = members.values().map(weight).sum();
            inside + OBJECT_BYTES + members.len() * MEMBER_BYTES
        }
    }
}

/// About what a value that was stored will take as part of an answer, without its being made.
pub(crate) fn weight_of_json(value: &serde_json::Value) -> usize {
    use serde_json::Value as Json;
    match value {
        Json::Null | Json::Bool(_) | Json::Number(_) => 0,
        Json::String(text) => TEXT_BYTES + text.len(),
        Json::Array(items) => {
            // A list grows by doubling.
            let room = if items.is_empty() {
                0
            } else {
                items.len().next_power_of_two().max(4)
            };
            let inside: usize = items.iter().map(weight_of_json).sum();
            inside + room * size_of::<Value>()
        }
        Json::Object(members) => weight_of_members(members),
    }
}

/// [`weight_of_json`] of an object with these members. Their names are made anew for every answer.
pub(crate) fn weight_of_members(members: &serde_json::Map<String, serde_json::Value>) -> usize {
    let member = |(name, value): (&String, _)| MEMBER_BYTES + TEXT_BYTES + name.len() + weight_of_json(value);
    OBJECT_BYTES + members.iter().map(member).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use async_graphql::{Value, value};
    use serde_json::json;

    use super::{AnswersMemory, MEMBER_BYTES, NoMemory, OBJECT_BYTES, weight, weight_of_json};

    const STEP: usize = 16 * 1024;

    #[test]
    fn one_answer_and_all_together_are_bounded() {
        let all = AnswersMemory::bounded(3 * STEP, 2 * STEP);
        let (first, second) = (all.of_one(), all.of_one());
        assert_eq!(first.take(2 * STEP), Ok(()));
        assert_eq!(first.take(1), Err(NoMemory::OfOne(2 * STEP)));
        assert_eq!(first.take(0), first.refused().map_or(Ok(()), Err));
        assert_eq!(second.take(1), Ok(()));
        assert_eq!(second.take(STEP), Err(NoMemory::OfAll(3 * STEP)));
        first.shrink_to(STEP);
        assert_eq!(all.of_one().take(STEP), Ok(()), "what is given back is there");
        let clone = first.clone();
        drop(first);
        let third = all.of_one();
        assert_eq!(third.take(STEP), Ok(()));
        assert!(
            all.of_one().take(1).is_err(),
            "a clone of the first one still holds its part"
        );
        drop((clone, second, third));
        assert_eq!(all.taken.load(std::sync::atomic::Ordering::Relaxed), 0);
    }

    #[test]
    fn values_weigh_what_they_hold() {
        assert_eq!(weight(&Value::Null), 0);
        assert_eq!(
            weight(&value!({ "a": 1, "b": {} })),
            2 * OBJECT_BYTES + 2 * MEMBER_BYTES
        );
        assert!(weight(&Value::from("x".repeat(1_000))) >= 1_000);
        assert!(weight(&value!([1, 2, 3])) >= 3 * size_of::<Value>());
        for json in [
            json!({ "a": [1, 2.5, "text", null, { "b": { "c": [] } }] }),
            json!([[], [[]], "x".repeat(100)]),
        ] {
            let value = Value::from_json(json.clone()).expect("every JSON is a value");
            assert!(weight_of_json(&json) >= weight(&value), "{json}");
        }
    }
}
