//! A frame with sets: those that a question needs, mostly from the cache, and the log on top of them with the same fold that
//! the folder uses. So an answer is the same before and after folding.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use activity::{
    active_users::{DayCounts, users_before},
    calendar::{Day, DayRange},
    fold::{DayActivity, FacetActivity, fold_counts, fold_days},
    reuse::{CHANGING, Marks},
    set::UserSet,
};
use sea_orm::ConnectionTrait;

use crate::{
    Store,
    database::begin_snapshot,
    error::StoreError,
    frame::{Frame, FrameRequest, LAST_DAY},
    moment::Moment,
    sets::{Keeping, LoadedSets, WantedSets},
};

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
        // Where nobody wants to see the sets, they need not be made.
        let counted = match need.seen || need.days.length() > 0 {
            true => None,
            false => fold_counts(&activity, &facet.delta),
        };
        if let Some((day, counts)) = counted {
            facet.delta = Arc::default();
            Arc::make_mut(&mut facet.rows).entry(day).or_default().0 = counts;
            self.changed.insert(position, BTreeSet::from([day]));
            return;
        }
        if !facet.delta.is_empty() {
            let (changed, newcomers) = fold_days(&mut activity, &facet.delta);
            // The rows have it from here on.
            facet.delta = Arc::default();
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
                Arc::make_mut(&mut facet.rows).entry(*day).or_default().0 = counts;
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

    /// Whether the log makes the sets of a facet on a day others than the stored ones.
    pub(crate) fn is_changed(&self, position: usize, day: Day) -> bool {
        let changed = self.changed.get(&position);
        changed.is_some_and(|changed| changed.contains(&day))
    }

    /// What tells the sets of a facet on the days of `range` from those of another moment.
    pub(crate) fn marks(&self, position: usize, range: DayRange) -> Marks {
        let mark = |(day, _)| {
            let stored = self.frame.facets[position].rows.get(&day);
            match stored.filter(|_| !self.is_changed(position, day)) {
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
    /// A frame and the sets that `needs` asks for, all of this moment or of one later moment.
    pub(crate) async fn view(
        &self,
        moment: &Arc<Moment>,
        request: &FrameRequest,
        needs: impl Fn(&Frame) -> Vec<Need> + Send,
    ) -> Result<View, StoreError> {
        let frame = self.frame(moment, request).await?;
        if let Some(view) = self.cached_view(frame, &needs) {
            return Ok(view);
        }
        let snapshot = begin_snapshot(&self.inner.read).await?;
        let view = self.view_in(&snapshot, request, needs).await?;
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
        let frame = self.frame_in(snapshot, request).await?;
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
}

impl Frame {
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
            for (day, (_, version)) in facet.rows.iter() {
                if need.days.contains(*day) || touched_from.is_some_and(|from| from <= *day) {
                    wanted.days.insert((facet.facet, *day), *version);
                }
            }
        }
        wanted
    }
}
