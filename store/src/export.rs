//! Hands out stored events in their order, all of one moment, to those who write them down elsewhere.
//!
//! Pages of one snapshot are read ahead of the taker, one at a time: memory stays the same however many events there are,
//! and no statement is long. A taker that goes away ends the reading at once.

use std::time::Duration;

use tokio::sync::mpsc;

use crate::{
    EventsQuestion, Order, Position, Store, StoreError, StoredEvent,
    database::{Purpose, begin_snapshot},
    pulse::attend,
};

/// How many events are read at once; fewer where they are large.
const PAGE_EVENTS: u32 = 5_000;
/// How many pages may wait to be taken.
const PAGES_AHEAD: usize = 1;

/// Events being handed out.
#[derive(Debug)]
pub struct Export(mpsc::Receiver<Result<Message, StoreError>>);

#[derive(Debug)]
enum Message {
    Events(Vec<StoredEvent>),
    /// There are no more: nothing is missing.
    End,
}

impl Export {
    /// The next events, in order; none after the last one.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Timeout`] where the database does not answer in time. What was handed
    /// out before is not the whole.
    pub async fn next(&mut self) -> Result<Option<Vec<StoredEvent>>, StoreError> {
        match self.0.recv().await {
            Some(Ok(Message::Events(events))) => Ok(Some(events)),
            Some(Ok(Message::End)) => Ok(None),
            Some(Err(error)) => Err(error),
            None => Err(StoreError::internal("an export ended without saying so")),
        }
    }
}

impl Store {
    /// Begins to hand out the events of `question` (whose limit does not count), over a connection of its own.
    ///
    /// While it goes on, the snapshot keeps the database from clearing away what was deleted meanwhile.
    pub fn export(&self, question: EventsQuestion) -> Export {
        let (sender, receiver) = mpsc::channel(PAGES_AHEAD);
        let store = self.clone();
        tokio::spawn(async move {
            let last = tokio::select! {
                read = store.export_to(question, &sender) => read.map(|()| Message::End),
                // The connection is its own and goes with what is under way on it.
                () = sender.closed() => return,
            };
            // Nobody may be left to be told.
            let _ = sender.send(last).await;
        });
        Export(receiver)
    }

    async fn export_to(
        &self,
        mut question: EventsQuestion,
        taker: &mpsc::Sender<Result<Message, StoreError>>,
    ) -> Result<(), StoreError> {
        let pool = self.open_pool(Purpose::Maintenance, 1).await?;
        let pulse = self.inner.pulse.as_ref();
        let snapshot = attend(pulse, Duration::MAX, begin_snapshot(&pool)).await?;
        question.limit = PAGE_EVENTS;
        loop {
            let page = attend(pulse, Duration::MAX, self.events_from(&snapshot, &question)).await?;
            let (count, last) = (page.events.len(), page.events.last().map(Position::from));
            if let Some(last) = last {
                question = match question.order {
                    Order::OldestFirst => question.newer_than(last),
                    Order::NewestFirst => question.older_than(last),
                };
                // The rest of a page that was cut off for its size was read in vain.
                let fitting = u32::try_from(count).unwrap_or(PAGE_EVENTS);
                question.limit = if page.more && fitting < question.limit {
                    fitting.max(1)
                } else {
                    question.limit.saturating_mul(2).min(PAGE_EVENTS)
                };
                if taker.send(Ok(Message::Events(page.events))).await.is_err() {
                    break;
                }
            }
            if !page.more {
                break;
            }
        }
        snapshot.commit().await?;
        let _ = pool.close().await;
        Ok(())
    }
}
