//! What a question is about: the counts of the days in range, of the fold that its moment ([`crate::moment`]) is behind, and
//! what the log still holds. Sets come after it ([`crate::view`], [`crate::unions`]).
//!
//! Between two folds only the log changes. So what was read of the stored rows is kept until the next one
//! ([`crate::kept_rows`]).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use activity::{
    active_users::DayCounts,
    calendar::{Day, DayRange},
    fold::FacetDelta,
    set::UserSet,
};
use sea_orm::{ConnectionTrait, QueryResult};

use crate::{
    Store,
    database::begin_snapshot,
    dialect::{Column, Dialect},
    error::StoreError,
    ingest_sql::NAME_COLUMNS,
    kept_rows::StoredRows,
    moment::{Basis, Log, Moment},
    settings,
};

/// How often a question reads a later moment because of a fold between its moment and its rows, before it reads both in one
/// snapshot.
const MAX_RESTARTS: u32 = 3;

/// Which facets and days a question is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FrameRequest {
    /// The facet of everybody.
    pub(crate) everybody: bool,
    /// Every event type's facet.
    pub(crate) every_type: bool,
    /// These event types' facets.
    pub(crate) names: Vec<String>,
    /// The days.
    pub(crate) range: DayRange,
}

impl FrameRequest {
    /// The event types that are asked for and of which the log holds something.
    fn types_of<'a>(&'a self, log: &'a Log) -> impl Iterator<Item = &'a str> {
        let asked = |name: &&str| self.every_type || self.names.iter().any(|asked| asked == name);
        log.types().filter(asked)
    }

    /// The earliest day of the log that changes the answer: later ones than those asked for change nothing in it.
    fn touched_from(&self, log: &Log) -> Option<Day> {
        let everybody = self.everybody.then_some(None).into_iter();
        let facets = everybody.chain(self.types_of(log).map(Some));
        let days = facets.filter_map(|name| log.facet(name)?.keys().next().copied());
        days.min().filter(|day| *day <= self.range.to)
    }
}

/// A facet at one moment.
#[derive(Clone, Debug)]
pub(crate) struct FacetFrame {
    /// The event type; `None` is everybody.
    pub(crate) name: Option<String>,
    pub(crate) facet: i32,
    pub(crate) seen_version: i64,
    /// The stored rows in range, and every one from the earliest day of `delta` on.
    pub(crate) rows: Arc<BTreeMap<Day, (DayCounts, i64)>>,
    /// What the log holds up to the end of the range and the rows do not have yet.
    pub(crate) delta: Arc<FacetDelta>,
}

impl FacetFrame {
    /// How many events the facet has on the days of `range`.
    pub(crate) fn events(&self, range: DayRange) -> u64 {
        let stored: u64 = days_of(&self.rows, range).map(|(_, row)| row.0.events).sum();
        let new: u64 = days_of(&self.delta, range).map(|(_, delta)| delta.events).sum();
        stored + new
    }

    /// The days of `range` that have a stored row, each with the version of its sets.
    pub(crate) fn stored(&self, range: DayRange) -> impl Iterator<Item = (Day, i64)> {
        days_of(&self.rows, range).map(|(day, row)| (*day, row.1))
    }

    /// Who is in the log on the days of `range`, day by day.
    pub(crate) fn logged(&self, range: DayRange) -> impl Iterator<Item = &UserSet> {
        days_of(&self.delta, range).map(|(_, delta)| &delta.users)
    }
}

fn days_of<Row>(rows: &BTreeMap<Day, Row>, range: DayRange) -> impl Iterator<Item = (&Day, &Row)> {
    // A map has no range that ends before it begins.
    let range = (range.length() > 0).then_some(range.from..=range.to);
    range.into_iter().flat_map(|range| rows.range(range))
}

/// Everything a question is about, at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) basis: Basis,
    /// The first day that still has its events.
    pub(crate) horizon: Option<Day>,
    pub(crate) facets: Vec<FacetFrame>,
}

impl Frame {
    /// The position of an event type's facet, or of everybody's.
    pub(crate) fn position(&self, name: Option<&str>) -> Option<usize> {
        self.facets.iter().position(|facet| facet.name.as_deref() == name)
    }
}

/// Later than any day with events.
pub(crate) const LAST_DAY: Day = Day::new(i32::MAX);

/// How many days after the end of its range a question reads to the end of all days: then what it has read serves it also when
/// the log holds something.
const NEAR_DAYS: i32 = 7;

impl Store {
    /// The frame of this moment, or, if there was a fold since then, of a later one.
    pub(crate) async fn frame(
        &self,
        moment: &Arc<Moment>,
        request: &FrameRequest,
    ) -> Result<Frame, StoreError> {
        let mut moment = Arc::clone(moment);
        for _ in 0..MAX_RESTARTS {
            if let Some(frame) = self.frame_at(&self.inner.read, &moment, request).await? {
                return Ok(frame);
            }
            moment = self.moment().await?;
        }
        let snapshot = begin_snapshot(&self.inner.read).await?;
        let frame = self.frame_in(&snapshot, request).await?;
        snapshot.commit().await?;
        Ok(frame)
    }

    /// The frame of the moment that `snapshot` sees.
    pub(crate) async fn frame_in(
        &self,
        snapshot: &impl ConnectionTrait,
        request: &FrameRequest,
    ) -> Result<Frame, StoreError> {
        let moment = self.moment_in(snapshot).await?;
        let frame = self.frame_at(snapshot, &moment, request).await?;
        frame.ok_or_else(|| StoreError::internal("there was a fold inside of a snapshot"))
    }

    /// The frame of a moment, with stored rows that are kept or that `connection` has; `None` if those are of another fold.
    async fn frame_at(
        &self,
        connection: &impl ConnectionTrait,
        moment: &Moment,
        request: &FrameRequest,
    ) -> Result<Option<Frame>, StoreError> {
        let (from, to) = (request.range.from, request.range.to);
        let touched_from = request.touched_from(&moment.log);
        let needed = DayRange {
            from: touched_from.map_or(from, |day| day.min(from)),
            to: if touched_from.is_some() { LAST_DAY } else { to },
        };
        if let Some(kept) = self.inner.kept_rows.get(request)
            && kept.basis.has_rows_of(&moment.basis)
            && kept.days.from <= needed.from
            && needed.to <= kept.days.to
            && let Some(frame) = with_log(kept.facets.clone(), moment, request)
        {
            return Ok(Some(frame));
        }
        let near = self.inner.kept_rows.latest_day() <= to.plus(NEAR_DAYS);
        let days = DayRange {
            to: if near { LAST_DAY } else { needed.to },
            ..needed
        };
        let read = self.read_rows(connection, request, days).await?;
        if !read.basis.has_rows_of(&moment.basis) {
            return Ok(None);
        }
        self.inner.kept_rows.keep(request, &read);
        let frame = with_log(read.facets, moment, request);
        let frame =
            frame.ok_or_else(|| StoreError::internal("there is no facet for an event type of the log"));
        frame.map(Some)
    }

    /// Reads the facets of a request and their rows on some days.
    async fn read_rows(
        &self,
        connection: &impl ConnectionTrait,
        request: &FrameRequest,
        days: DayRange,
    ) -> Result<StoredRows, StoreError> {
        let names = vec![Column::Text(request.names.clone())];
        let single = vec![
            i32::from(request.everybody).into(),
            i32::from(request.every_type).into(),
            days.from.number().into(),
            days.to.number().into(),
        ];
        let statement = self
            .inner
            .dialect
            .list_statement(&self.inner.sql.frame, names, single);
        let mut read = StoredRows {
            basis: Basis::default(),
            days,
            facets: Vec::new(),
        };
        let mut positions: BTreeMap<i32, usize> = BTreeMap::new();
        for row in connection.query_all_raw(statement).await? {
            match row.try_get_by_index::<i32>(0)? {
                0 => {
                    let number = row.try_get_by_index(4)?;
                    match row.try_get_by_index::<String>(2)?.as_str() {
                        settings::FOLD => read.basis.fold = number,
                        _ => read.basis.generation = number,
                    }
                }
                1 => {
                    let facet: i32 = row.try_get_by_index(1)?;
                    let name =
                        (row.try_get_by_index::<i64>(4)? == 0).then_some(row.try_get_by_index::<String>(2)?);
                    positions.insert(facet, read.facets.len());
                    read.facets.push(FacetFrame {
                        name,
                        facet,
                        seen_version: row.try_get_by_index(7)?,
                        rows: Arc::default(),
                        delta: Arc::default(),
                    });
                }
                _ => add_row(&mut read.facets, &positions, &row)?,
            }
        }
        Ok(read)
    }
}

/// The frame of stored rows and a log. `None` if the log has an event type of the request that there is no facet of.
fn with_log(mut facets: Vec<FacetFrame>, moment: &Moment, request: &FrameRequest) -> Option<Frame> {
    let to = request.range.to;
    for facet in &mut facets {
        let Some(delta) = moment.log.facet(facet.name.as_deref()) else {
            continue;
        };
        facet.delta = match delta.keys().next_back() {
            Some(last) if *last > to => {
                let until = delta.range(..=to).map(|(day, delta)| (*day, delta.clone()));
                Arc::new(until.collect())
            }
            _ => Arc::clone(delta),
        };
    }
    let known: BTreeSet<&str> = facets.iter().filter_map(|facet| facet.name.as_deref()).collect();
    let touched = |name: &str| {
        let first = moment.log.facet(Some(name)).and_then(|delta| delta.keys().next());
        first.is_some_and(|day| *day <= to)
    };
    if request
        .types_of(&moment.log)
        .any(|name| touched(name) && !known.contains(name))
    {
        return None;
    }
    drop(known);
    Some(Frame {
        basis: moment.basis,
        horizon: moment.horizon,
        facets,
    })
}

/// The users of a list of ordinals with commas between them.
pub(crate) fn users_of(list: &str) -> Result<UserSet, StoreError> {
    let numbers: Result<Vec<u32>, _> = list.split(',').map(str::parse).collect();
    numbers
        .map(|numbers| numbers.into_iter().collect())
        .map_err(|_| StoreError::internal("a user's ordinal is not below 2^32"))
}

fn add_row(
    facets: &mut [FacetFrame],
    positions: &BTreeMap<i32, usize>,
    row: &QueryResult,
) -> Result<(), StoreError> {
    let facet: i32 = row.try_get_by_index(1)?;
    let Some(position) = positions.get(&facet) else {
        return Err(StoreError::internal("a row of sets has no facet"));
    };
    let day = Day::new(row.try_get_by_index(3)?);
    let count = |column| Ok::<u64, StoreError>(row.try_get_by_index::<i64>(column)?.unsigned_abs());
    let counts = DayCounts {
        events: count(4)?,
        users: count(5)?,
        new_users: count(6)?,
    };
    let rows = Arc::make_mut(&mut facets[*position].rows);
    rows.insert(day, (counts, row.try_get_by_index(7)?));
    Ok(())
}

/// Reads the stored rows of a frame. Part 0: the numbers of the fold and of the generation that they are of. Part 1: the
/// facets. Part 2: their rows.
pub(crate) fn frame_sql(dialect: Dialect) -> String {
    let wanted = dialect.rows("wanted", NAME_COLUMNS);
    let [everybody, every_type, from, to] = [0, 1, 2, 3].map(|nth| dialect.parameter(NAME_COLUMNS, nth));
    format!(
        "-- store: frame
WITH facet AS (
  SELECT facet_id, kind, name, version
  FROM facets
  WHERE (kind = 'all' AND {everybody} = 1)
    OR (kind = 'event_type' AND ({every_type} = 1 OR name IN (SELECT wanted.name FROM {wanted})))
)
SELECT 0 AS part, 0 AS facet_id, key AS name, 0 AS day, CAST(value AS bigint) AS a, 0 AS b, 0 AS c, 0 AS version
FROM settings
WHERE key IN ('fold', 'generation')
UNION ALL
SELECT 1, facet_id, name, 0, CASE WHEN kind = 'all' THEN 1 ELSE 0 END, 0, 0, version
FROM facet
UNION ALL
SELECT 2, activity.facet_id, '', activity.day, activity.events, activity.users, activity.new_users, activity.version
FROM facet
JOIN activity ON activity.facet_id = facet.facet_id
WHERE activity.day BETWEEN {from} AND {to}"
    )
}

#[cfg(test)]
mod tests {
    use super::frame_sql;
    use crate::dialect::Dialect;

    #[test]
    fn statements() {
        insta::assert_snapshot!("frame_sqlite", frame_sql(Dialect::Sqlite));
        insta::assert_snapshot!("frame_postgres", frame_sql(Dialect::Postgres));
    }
}
