//! Event types with names that a product would have, some far more frequent than others.

use super::random::Random;

/// What every user does first, where there is more than one type.
const FIRST: &str = "signed_up";

/// The usual types, the most frequent first.
const USUAL: [&str; 47] = [
    "page_viewed",
    "session_started",
    "item_viewed",
    "search_performed",
    "item_opened",
    "video_played",
    "item_added_to_cart",
    "message_sent",
    "notification_received",
    "profile_viewed",
    "filter_applied",
    "comment_posted",
    "item_liked",
    "checkout_started",
    "file_uploaded",
    "purchase_completed",
    "video_finished",
    "item_shared",
    "notification_opened",
    "login",
    "logout",
    "coupon_applied",
    "document_created",
    "document_edited",
    "item_removed_from_cart",
    "review_written",
    "friend_invited",
    "invitation_accepted",
    "settings_changed",
    "report_exported",
    "payment_failed",
    "subscription_started",
    "subscription_renewed",
    "trial_started",
    "plan_upgraded",
    "password_reset",
    "support_ticket_opened",
    "support_ticket_closed",
    "survey_answered",
    "refund_requested",
    "integration_connected",
    "team_created",
    "member_added",
    "plan_downgraded",
    "subscription_cancelled",
    "account_deleted",
    "error_shown",
];

const OBJECTS: [&str; 32] = [
    "album",
    "alert",
    "article",
    "badge",
    "banner",
    "board",
    "bookmark",
    "calendar",
    "campaign",
    "card",
    "channel",
    "contact",
    "course",
    "dashboard",
    "event",
    "feed",
    "folder",
    "goal",
    "group",
    "invoice",
    "lesson",
    "map",
    "note",
    "order",
    "photo",
    "playlist",
    "poll",
    "project",
    "recipe",
    "reminder",
    "task",
    "ticket",
];

const VERBS: [&str; 12] = [
    "opened", "created", "edited", "shared", "archived", "deleted", "starred", "moved", "copied", "pinned",
    "printed", "exported",
];

/// The names of a run and how often each one occurs.
#[derive(Debug)]
pub(crate) struct EventTypes {
    names: Vec<String>,
    /// Running sum of the weights of all types but the first one of a user.
    cumulative: Vec<u64>,
}

impl EventTypes {
    /// `count` types. With more than one, the first of each user's events is `signed_up`; the others follow Zipf's
    /// law: the second most frequent half as often as the most frequent one, the third a third as often.
    pub(crate) fn new(count: usize) -> Self {
        let first = (count > 1).then(|| FIRST.to_owned());
        let others = if count > 1 { count - 1 } else { 1 };
        let names: Vec<String> = first.into_iter().chain((0..others).map(name)).collect();
        let mut sum = 0;
        let cumulative = (1..=others as u64)
            .map(|rank| {
                sum += (1 << 40) / rank;
                sum
            })
            .collect();
        Self { names, cumulative }
    }

    /// The type of a user's first event.
    pub(crate) fn first(&self) -> &str {
        &self.names[0]
    }

    /// The type of any other event.
    pub(crate) fn other(&self, random: &mut Random) -> &str {
        let total = self.cumulative.last().copied().unwrap_or_default();
        let drawn = random.below(total);
        let rank = self.cumulative.partition_point(|sum| *sum <= drawn);
        &self.names[rank + self.names.len() - self.cumulative.len()]
    }
}

fn name(rank: usize) -> String {
    if let Some(usual) = USUAL.get(rank) {
        return (*usual).to_owned();
    }
    let rank = rank - USUAL.len();
    let object = OBJECTS[rank % OBJECTS.len()];
    let verb = VERBS[rank / OBJECTS.len() % VERBS.len()];
    match rank / (OBJECTS.len() * VERBS.len()) {
        0 => format!("{object}_{verb}"),
        round => format!("{object}_{verb}_{}", round + 1),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use super::{EventTypes, Random};

    #[test]
    fn names_differ_up_to_the_most_types_of_a_database() {
        let types = EventTypes::new(10_000);
        let names: HashSet<&String> = types.names.iter().collect();
        assert_eq!(names.len(), 10_000);
    }

    #[test]
    fn frequencies_follow_zipf() {
        let types = EventTypes::new(30);
        let mut random = Random::new(1, 1);
        let mut counts: HashMap<&str, u32> = HashMap::new();
        for _ in 0..400_000 {
            *counts.entry(types.other(&mut random)).or_default() += 1;
        }
        assert_eq!(counts.len(), 29);
        let most = f64::from(counts["page_viewed"]);
        for (name, ratio) in [
            ("session_started", 2.0),
            ("item_viewed", 3.0),
            ("item_opened", 5.0),
        ] {
            let measured = most / f64::from(counts[name]);
            assert!((measured / ratio - 1.0).abs() < 0.03, "{name}: {measured}");
        }
    }

    #[test]
    fn one_type_alone_is_possible() {
        let types = EventTypes::new(1);
        assert_eq!(types.first(), types.other(&mut Random::new(1, 1)));
    }
}
