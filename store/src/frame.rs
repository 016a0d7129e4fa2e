//! What a question begins with: one statement that reads, at one moment, the counts of the days in range and what the
//! log still holds. Sets come after it, mostly from the cache, and [`View`] puts the log on top of them with the same
//! fold that the folder uses: an answer is the same before and after folding.
//!
//! Between two folds only the log changes. So what was read of the stored rows is kept ([`crate::kept_rows`]), and the
//! statement leaves them out where it finds the fold that they are of.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use activity::{
    active_users::{DayCounts, users_before},
    calendar::{Day, DayRange},
    fold::{DayActivity, DayDelta, FacetActivity, FacetDelta, fold_days},
    reuse::{CHANGING, Marks},
    set::UserSet,
};
use sea_orm::{ConnectionTrait, QueryResult};

use crate::{
    Store,
    activity_log::{joined_sets, joined_users, users_of_rows},
    database::begin_snapshot,
    dialect::{Column, Dialect},
    error::StoreError,
    ingest_sql::NAME_COLUMNS,
    kept_rows::StoredRows,
    sets::{Keeping, LoadedSets, WantedSets},
    settings,
};

/// How often a question starts over because the reporting time zone changed under it.
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
    /// Whether the facet of an event type is asked for.
    fn is_about(&self, name: &str) -> bool {
        !name.is_empty() && (self.every_type || self.names.iter().any(|asked| asked == name))
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
    pub(crate) rows: BTreeMap<Day, (DayCounts, i64)>,
    /// What the log holds and the rows do not have yet.
    delta: FacetDelta,
    /// The days on which the log holds something, also after the rows have it.
    pub(crate) unfolded: BTreeSet<Day>,
}

impl FacetFrame {
    /// How many events the facet has on the days of `range`.
    pub(crate) fn events(&self, range: DayRange) -> u64 {
        if range.length() == 0 {
            return 0;
        }
        let stored: u64 = self
            .rows
            .range(range.from..=range.to)
            .map(|(_, row)| row.0.events)
            .sum();
        let new: u64 = self
            .delta
            .range(range.from..=range.to)
            .map(|(_, delta)| delta.events)
            .sum();
        stored + new
    }
}

/// Everything a question is about, at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) generation: i64,
    /// The number of the last fold.
    pub(crate) fold: i64,
    /// The name of the reporting time zone.
    timezone: String,
    /// The first day that still has its events.
    pub(crate) horizon: Option<Day>,
    pub(crate) facets: Vec<FacetFrame>,
}

impl Frame {
    /// Whether the log holds nothing that the question is about.
    pub(crate) fn is_folded(&self) -> bool {
        self.facets.iter().all(|facet| facet.unfolded.is_empty())
    }

    /// The position of an event type's facet, or of everybody's.
    pub(crate) fn position(&self, name: Option<&str>) -> Option<usize> {
        self.facets.iter().position(|facet| facet.name.as_deref() == name)
    }

    /// The sets that `needs` (facets by position, and the days whose sets are wanted) make necessary: those themselves,
    /// and what the log touches.
    fn wanted(&self, needs: &[Need]) -> WantedSets {
        let mut wanted = WantedSets::default();
        for need in needs {
            let facet = &self.facets[need.position];
            let touched_from = facet.delta.keys().next().copied();
            if need.seen || touched_from.is_some() {
                wanted.seen.insert(facet.facet, facet.seen_version);
            }
            for (day, (_, version)) in &facet.rows {
                if need.days.contains(*day) || touched_from.is_some_and(|from| from <= *day) {
                    wanted.days.insert((facet.facet, *day), *version);
                }
            }
        }
        wanted
    }
}

/// A facet whose users matter, and the days whose sets do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Need {
    /// The facet's position in the frame.
    pub(crate) position: usize,
    /// The days; empty where the counts are enough.
    pub(crate) days: DayRange,
    /// Whether it matters who was ever seen in the facet.
    pub(crate) seen: bool,
}

/// Later than any day with events.
pub(crate) const LAST_DAY: Day = Day::new(i32::MAX);

/// How many days after the end of its range a question reads to the end of all days: then what it has read serves it also when
/// the log holds something.
const NEAR_DAYS: i32 = 7;

/// A need for counts alone.
pub(crate) fn no_days() -> DayRange {
    DayRange {
        from: Day::new(1),
        to: Day::new(0),
    }
}

/// A frame with the sets that were needed, and with the log on top of them.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) frame: Frame,
    /// By position in the frame: the days whose sets were loaded, and who was ever seen, if that was.
    sets: BTreeMap<usize, FacetActivity>,
    /// By position in the frame: the days whose sets are not those of the stored rows.
    changed: BTreeMap<usize, BTreeSet<Day>>,
}

impl View {
    fn new(frame: Frame, needs: &[Need], loaded: &LoadedSets) -> Self {
        let mut view = Self {
            frame,
            sets: BTreeMap::new(),
            changed: BTreeMap::new(),
        };
        for need in needs {
            view.put_together(need, loaded);
        }
        view
    }

    fn put_together(&mut self, need: &Need, loaded: &LoadedSets) {
        let position = need.position;
        let facet = &mut self.frame.facets[position];
        let rows = facet.rows.iter().filter_map(|(day, (counts, _))| {
            let sets = loaded.days.get(&(facet.facet, *day))?;
            let (active, joined) = (Arc::clone(&sets.active), Arc::clone(&sets.joined));
            Some((
                *day,
                DayActivity {
                    events: counts.events,
                    active,
                    joined,
                },
            ))
        });
        let mut activity = FacetActivity {
            seen: loaded.seen.get(&facet.facet).cloned().unwrap_or_default(),
            days: rows.collect(),
        };
        if !facet.delta.is_empty() {
            let (changed, newcomers) = fold_days(&mut activity, &std::mem::take(&mut facet.delta));
            if need.seen && !newcomers.is_empty() {
                Arc::make_mut(&mut activity.seen).add(&newcomers);
            }
            for day in &changed {
                let row = &activity.days[day];
                let counts = DayCounts {
                    events: row.events,
                    users: row.active.len(),
                    new_users: row.joined.len(),
                };
                facet.rows.entry(*day).or_default().0 = counts;
            }
            self.changed.insert(position, changed);
        }
        self.sets.insert(position, activity);
    }

    /// The counts of a facet by day.
    pub(crate) fn counts(&self, position: usize) -> BTreeMap<Day, DayCounts> {
        self.frame.facets[position]
            .rows
            .iter()
            .map(|(day, row)| (*day, row.0))
            .collect()
    }

    /// What tells the sets of a facet on the days of `range` from those of another moment.
    pub(crate) fn marks(&self, position: usize, range: DayRange) -> Marks {
        let changed = self.changed.get(&position);
        let mark = |(day, _)| {
            let stored = self.frame.facets[position].rows.get(&day);
            match stored.filter(|_| !changed.is_some_and(|changed| changed.contains(&day))) {
                Some((_, version)) => (day, *version),
                None => (day, CHANGING),
            }
        };
        self.sets(position, range).map(mark).collect()
    }

    /// The sets of a facet on the days of `range`, as far as they were needed.
    pub(crate) fn sets(&self, position: usize, range: DayRange) -> impl Iterator<Item = (Day, &DayActivity)> {
        let days = self.sets.get(&position).into_iter().flat_map(|facet| &facet.days);
        days.filter(move |(day, _)| range.contains(**day))
            .map(|(day, row)| (*day, row))
    }

    /// Who was in a facet before `day`. The need must have asked for who was ever seen, and for every day from `day` on.
    pub(crate) fn users_before(&self, position: usize, day: Day) -> UserSet {
        let since = DayRange {
            from: day,
            to: LAST_DAY,
        };
        match self.sets.get(&position) {
            Some(facet) => users_before(
                &facet.seen,
                self.sets(position, since).map(|(_, row)| &row.joined),
            ),
            None => UserSet::default(),
        }
    }
}

impl Store {
    /// Reads a frame and the sets that `needs` asks for, all at one moment.
    pub(crate) async fn view(
        &self,
        request: &FrameRequest,
        needs: impl Fn(&Frame) -> Vec<Need> + Send,
    ) -> Result<View, StoreError> {
        let frame = self.frame(&self.inner.read, request).await?;
        if let Some(view) = self.cached_view(frame, &needs) {
            return Ok(view);
        }
        let snapshot = begin_snapshot(&self.inner.read).await?;
        let frame = self.frame(&snapshot, request).await?;
        let view = self.load_view(&snapshot, frame, needs).await?;
        snapshot.commit().await?;
        Ok(view)
    }

    /// [`Store::view`] inside of `snapshot`.
    pub(crate) async fn view_in(
        &self,
        snapshot: &impl ConnectionTrait,
        request: &FrameRequest,
        needs: impl Fn(&Frame) -> Vec<Need> + Send,
    ) -> Result<View, StoreError> {
        let frame = self.frame(snapshot, request).await?;
        self.load_view(snapshot, frame, needs).await
    }

    /// The view, if the cache has every set that it needs.
    pub(crate) fn cached_view(&self, frame: Frame, needs: impl Fn(&Frame) -> Vec<Need>) -> Option<View> {
        let needs = needs(&frame);
        let loaded = self.cached_sets(&frame.wanted(&needs))?;
        Some(View::new(frame, &needs, &loaded))
    }

    /// The view, with sets from the cache or from `snapshot`, which must be the one that the frame was read from.
    pub(crate) async fn load_view(
        &self,
        snapshot: &impl ConnectionTrait,
        frame: Frame,
        needs: impl Fn(&Frame) -> Vec<Need>,
    ) -> Result<View, StoreError> {
        let needs = needs(&frame);
        let loaded = self
            .load_sets(snapshot, &frame.wanted(&needs), Keeping::InMemory)
            .await?;
        Ok(View::new(frame, &needs, &loaded))
    }

    /// Reads a frame in one statement; in a second one where what is kept of the stored rows turns out not to be enough.
    pub(crate) async fn frame(
        &self,
        connection: &impl ConnectionTrait,
        request: &FrameRequest,
    ) -> Result<Frame, StoreError> {
        for _ in 0..MAX_RESTARTS {
            let kept = self.inner.kept_rows.get(request);
            let mut frame = self.read_frame(connection, request, kept.as_deref()).await?;
            if frame.is_none() {
                frame = self.read_frame(connection, request, None).await?;
            }
            match frame {
                Some(frame) if frame.timezone == self.timezone().name() => return Ok(frame),
                _ => self.reload_rules(&self.inner.write).await?,
            }
        }
        Err(StoreError::Mismatch(
            "the reporting time zone of this database keeps changing".to_owned(),
        ))
    }
}

impl Store {
    /// Reads a frame with the stored rows that are known, if they are still those of the database. `None` if they are not
    /// enough.
    async fn read_frame(
        &self,
        connection: &impl ConnectionTrait,
        request: &FrameRequest,
        known: Option<&StoredRows>,
    ) -> Result<Option<Frame>, StoreError> {
        let (from, to) = (request.range.from, request.range.to);
        let near = self.inner.kept_rows.latest_day() <= to.plus(NEAR_DAYS);
        let read_to = if near { LAST_DAY } else { to };
        let number =
            |number: fn(&StoredRows) -> i64| known.map_or(String::new(), |known| number(known).to_string());
        let names = vec![Column::Text(request.names.clone())];
        let single = vec![
            i32::from(request.everybody).into(),
            i32::from(request.every_type).into(),
            from.number().into(),
            to.number().into(),
            i32::from(request.every_type || !request.names.is_empty()).into(),
            read_to.number().into(),
            number(|known| known.fold).into(),
            number(|known| known.generation).into(),
        ];
        let statement = self
            .inner
            .dialect
            .list_statement(&self.inner.sql.frame, names, single);
        let rows = connection.query_all_raw(statement).await?;
        let (mut frame, log) = read_rows(&rows)?;
        let of_log = |row: &&QueryResult| row.try_get_by_index::<i32>(3).map(Day::new);
        let earliest = log
            .iter()
            .map(of_log)
            .collect::<Result<Vec<Day>, _>>()?
            .into_iter()
            .min();
        let needed = DayRange {
            from: earliest.map_or(from, |day| day.min(from)),
            to: if earliest.is_some() { LAST_DAY } else { to },
        };
        match known.filter(|known| known.fold == frame.fold && known.generation == frame.generation) {
            Some(known) if known.days.from > needed.from || known.days.to < needed.to => return Ok(None),
            Some(known) => frame.facets.clone_from(&known.facets),
            None => {
                let days = DayRange {
                    from: needed.from,
                    to: needed.to.max(read_to),
                };
                self.inner.kept_rows.keep(request, &frame, days);
            }
        }
        let complete = add_log(&mut frame, request, &log)?;
        if !complete && known.is_none() {
            return Err(StoreError::internal(
                "there is no facet for an event type of the log",
            ));
        }
        Ok(complete.then_some(frame))
    }
}

/// What the stored rows say, and the rows of the log.
fn read_rows(rows: &[QueryResult]) -> Result<(Frame, Vec<&QueryResult>), StoreError> {
    let mut frame = Frame {
        generation: 0,
        fold: 0,
        timezone: String::new(),
        horizon: None,
        facets: Vec::new(),
    };
    let mut positions: BTreeMap<i32, usize> = BTreeMap::new();
    let mut log = Vec::new();
    for row in rows {
        match row.try_get_by_index::<i32>(0)? {
            0 => {
                let value: String = row.try_get_by_index(8)?;
                let number = || {
                    let number = value.parse();
                    number.map_err(|_| StoreError::internal("a setting is not a number"))
                };
                match row.try_get_by_index::<String>(2)?.as_str() {
                    settings::FOLD => frame.fold = number()?,
                    settings::GENERATION => frame.generation = number()?,
                    settings::HORIZON => frame.horizon = Some(settings::parse_day(&value)?),
                    _ => frame.timezone = value,
                }
            }
            1 => {
                let facet: i32 = row.try_get_by_index(1)?;
                let name =
                    (row.try_get_by_index::<i64>(4)? == 0).then_some(row.try_get_by_index::<String>(2)?);
                positions.insert(facet, frame.facets.len());
                frame.facets.push(FacetFrame {
                    name,
                    facet,
                    seen_version: row.try_get_by_index(7)?,
                    rows: BTreeMap::new(),
                    delta: FacetDelta::new(),
                    unfolded: BTreeSet::new(),
                });
            }
            2 => add_row(&mut frame, &positions, row)?,
            _ => log.push(row),
        }
    }
    Ok((frame, log))
}

/// Adds what the log says. False if it has an event type of the request that the frame has no facet of.
fn add_log(frame: &mut Frame, request: &FrameRequest, log: &[&QueryResult]) -> Result<bool, StoreError> {
    let everybody = frame.position(None).filter(|_| request.everybody);
    let by_name: HashMap<String, usize> = (0..)
        .zip(&frame.facets)
        .filter_map(|(position, facet)| Some((facet.name.clone()?, position)))
        .collect();
    for row in log {
        let day = Day::new(row.try_get_by_index(3)?);
        let new = DayDelta {
            events: row.try_get_by_index::<i64>(4)?.unsigned_abs(),
            users: users_of_rows(row.try_get_by_index(8)?, row.try_get_by_index(9)?)?,
        };
        let name: String = row.try_get_by_index(2)?;
        let of_type = by_name.get(&name).copied();
        if of_type.is_none() && request.is_about(&name) {
            return Ok(false);
        }
        for position in of_type.into_iter().chain(everybody) {
            let facet = &mut frame.facets[position];
            facet.delta.entry(day).or_default().add(&new);
            facet.unfolded.insert(day);
        }
    }
    Ok(true)
}

/// The users of a list of ordinals with commas between them.
pub(crate) fn users_of(list: &str) -> Result<UserSet, StoreError> {
    let numbers: Result<Vec<u32>, _> = list.split(',').map(str::parse).collect();
    numbers
        .map(|numbers| numbers.into_iter().collect())
        .map_err(|_| StoreError::internal("a user's ordinal is not below 2^32"))
}

fn add_row(frame: &mut Frame, positions: &BTreeMap<i32, usize>, row: &QueryResult) -> Result<(), StoreError> {
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
    frame.facets[*position]
        .rows
        .insert(day, (counts, row.try_get_by_index(7)?));
    Ok(())
}

/// Reads a frame. Part 0: settings. Part 1: the facets. Part 2: their rows in range, and from the earliest day on
/// that the log touches; with a log, also the days after the range, whose newcomers may turn out to have come earlier. Both are
/// left out where the fold and the generation are those that the caller knows them of.
/// Part 3: the log up to the end of the range (later events change nothing in it), for each day and, where types are asked
/// for, event type the number of events and the users.
pub(crate) fn frame_sql(dialect: Dialect) -> String {
    let wanted = dialect.rows("wanted", NAME_COLUMNS);
    let [
        everybody,
        every_type,
        from,
        to,
        by_type,
        read_to,
        fold,
        generation,
    ] = [0, 1, 2, 3, 4, 5, 6, 7].map(|nth| dialect.parameter(NAME_COLUMNS, nth));
    let (users, sets, none) = (joined_users(dialect), joined_sets(dialect), dialect.no_bytes());
    format!(
        "-- store: frame
WITH facet AS (
  SELECT facet_id, kind, name, version
  FROM facets
  WHERE ((kind = 'all' AND {everybody} = 1)
      OR (kind = 'event_type' AND ({every_type} = 1 OR name IN (SELECT wanted.name FROM {wanted}))))
    AND EXISTS (
      SELECT 1
      FROM settings
      WHERE (key = 'fold' AND value <> {fold}) OR (key = 'generation' AND value <> {generation})
    )
)
SELECT 0 AS part, 0 AS facet_id, key AS name, 0 AS day, 0 AS a, 0 AS b, 0 AS c, 0 AS version, value AS users, {none} AS sets
FROM settings
WHERE key IN ('fold', 'generation', 'timezone', 'horizon')
UNION ALL
SELECT 1, facet_id, name, 0, CASE WHEN kind = 'all' THEN 1 ELSE 0 END, 0, 0, version, '', {none}
FROM facet
UNION ALL
SELECT 2, activity.facet_id, '', activity.day, activity.events, activity.users, activity.new_users, activity.version, '', {none}
FROM facet
JOIN activity ON activity.facet_id = facet.facet_id
WHERE activity.day <= CASE WHEN EXISTS (SELECT 1 FROM activity_log WHERE day <= {to}) THEN 2147483647 ELSE {read_to} END
  AND activity.day >= COALESCE((SELECT MIN(day) FROM activity_log WHERE day < {from}), {from})
UNION ALL
SELECT 3, 0, name, day, CAST(SUM(events) AS bigint), 0, 0, 0, {users}, {sets}
FROM (
  SELECT CASE WHEN {by_type} = 1 THEN event_type ELSE '' END AS name, day, user_no, events, users
  FROM activity_log
  WHERE day <= {to}
    AND ({everybody} = 1 OR {every_type} = 1 OR event_type IN (SELECT wanted.name FROM {wanted}))
) AS unfolded
GROUP BY name, day"
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
