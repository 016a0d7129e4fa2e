//! What a question with a filter is answered from: the sets where event types alone decide, else `events`.

use sea_orm::ConnectionTrait;

use crate::{
    Store, StoreError,
    filter::{Filter, StringTest},
};

/// What has the answer to a question with a filter.
#[derive(Debug)]
pub(crate) enum Source {
    /// The sets of everybody: every event passes.
    Everybody,
    /// The sets of these event types, whose events all pass, while no others do.
    Types(Vec<String>),
    /// `events`.
    Events(Passing),
}

/// Events that may pass a filter, by their types.
#[derive(Debug)]
pub(crate) struct Passing {
    /// Passes exactly the events that pass the question's filter.
    pub(crate) filter: Filter,
    /// The only event types with events that may pass; `None` where that is every one.
    pub(crate) types: Option<Vec<String>>,
}

/// Reads every event type.
pub(crate) const EVERY_TYPE: &str = "-- store: every_type
SELECT name
FROM facets
WHERE kind = 'event_type'
ORDER BY name";

impl Store {
    /// What has the answer to a question with this filter in `snapshot`.
    pub(crate) async fn source(
        &self,
        snapshot: &impl ConnectionTrait,
        filter: &Filter,
    ) -> Result<Source, StoreError> {
        let statement = self.inner.dialect.statement(EVERY_TYPE, vec![]);
        let mut names = Vec::new();
        for row in snapshot.query_all_raw(statement).await? {
            names.push(row.try_get_by_index::<String>(0)?);
        }
        Ok(source_of(filter, names))
    }
}

fn source_of(filter: &Filter, names: Vec<String>) -> Source {
    let known = names.len();
    let verdicts = names.into_iter().map(|name| (filter.verdict(&name), name));
    let possible: Vec<(Option<bool>, String)> =
        verdicts.filter(|(verdict, _)| *verdict != Some(false)).collect();
    let decided = possible.iter().all(|(verdict, _)| verdict.is_some());
    let every_one = possible.len() == known;
    let types: Vec<String> = possible.into_iter().map(|(_, name)| name).collect();
    match (decided, every_one) {
        (true, true) => Source::Everybody,
        (true, false) => Source::Types(types),
        (false, true) => Source::Events(Passing {
            filter: filter.clone(),
            types: None,
        }),
        (false, false) => Source::Events(Passing {
            filter: Filter::All(vec![
                Filter::EventType(StringTest::In(types.clone())),
                filter.clone(),
            ]),
            types: Some(types),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::{Passing, Source, source_of};
    use crate::filter::{Filter, StringTest};

    fn check(filter: Filter, expected: &str) {
        let names = ["buy", "open"].map(str::to_owned).to_vec();
        let found = match source_of(&filter, names) {
            Source::Everybody => "everybody".to_owned(),
            Source::Types(names) => format!("types {}", names.join(" ")),
            Source::Events(Passing { types: None, .. }) => "events".to_owned(),
            Source::Events(Passing {
                types: Some(names), ..
            }) => format!("events {}", names.join(" ")),
        };
        assert_eq!(found, expected, "{filter:?}");
    }

    #[test]
    fn types_alone_are_answered_from_sets() {
        let is = |name: &str| Filter::EventType(StringTest::Eq(name.to_owned()));
        let who = || Filter::UserId(StringTest::Eq("ana".to_owned()));
        check(is("buy"), "types buy");
        check(Filter::Not(Box::new(is("buy"))), "types open");
        check(is("sell"), "types ");
        check(Filter::Not(Box::new(is("sell"))), "everybody");
        check(Filter::Any(vec![is("buy"), is("open")]), "everybody");
        check(who(), "events");
        check(Filter::All(vec![is("buy"), who()]), "events buy");
        check(Filter::Any(vec![is("buy"), who()]), "events");
        check(Filter::All(vec![is("sell"), who()]), "types ");
    }
}
