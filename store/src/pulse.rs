//! Signs of life of PostgreSQL, asked for while somebody waits for it.
//!
//! A database whose process stands still, or whose machine is gone, breaks no connection: whoever has asked something would
//! wait for ever, and TCP says nothing. So while work waits and none of it gets on, something trivial is asked over a
//! connection of its own, every half second. Any answer will do, also a refusal. Where none comes in time, all work that
//! waits is ended as unavailable, and what comes later fails while it waits for a connection.
//!
//! Work that is ended leaves connections in the middle of something. None that was made before is ever used again, so no
//! transaction that nobody knows of takes later work with it. SQLite runs in this process and has no pulse.

use std::{
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use sea_orm::sqlx::{self, ConnectOptions, Connection, Executor, PgConnection, postgres::PgConnectOptions};
use tokio::sync::watch;
use tracing::warn;

use crate::{
    database::{is_postgres, postgres_options},
    error::StoreError,
};

/// How often there is a look whether those who wait get on.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long the connection of its own may take to close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// Needs neither tables nor the disk.
const SIGN_OF_LIFE: &str = "-- store: pulse
SELECT 1";

/// Watches over whatever waits for one PostgreSQL database. It has the password and shows itself in no message.
pub(crate) struct Pulse {
    options: PgConnectOptions,
    /// How long a sign of life is waited for.
    patience: Duration,
    /// How many wait.
    waiting: AtomicUsize,
    /// How many were answered by the database so far.
    answered: AtomicU64,
    /// Whether a task is watching.
    watched: AtomicBool,
    /// How often the database was found silent.
    silences: watch::Sender<u64>,
    /// Connections made until then are not used again.
    distrusted: Mutex<Option<Instant>>,
}

/// Does `work`, and gives it up where the database is silent, or where it takes longer than `limit`. Without a pulse it
/// takes as long as it takes.
///
/// # Errors
/// Those of the work; [`StoreError::Unavailable`] where it was given up: what becomes of it is unknown.
pub(crate) async fn attend<T>(
    pulse: Option<&Arc<Pulse>>,
    limit: Duration,
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let Some(pulse) = pulse else {
        return work.await;
    };
    let mut silences = pulse.silences.subscribe();
    let _waiting = Waiting::with(pulse);
    let mut work = pin!(work);
    tokio::select! {
        result = &mut work => {
            if !matches!(result, Err(StoreError::Unavailable(_))) {
                pulse.answered.fetch_add(1, Ordering::Relaxed);
            }
            result
        }
        _ = silences.changed() => Err(StoreError::unanswered(pulse.patience)),
        () = tokio::time::sleep(limit) => {
            // Before the work is dropped, and its connection with it.
            pulse.distrust();
            Err(StoreError::unanswered(limit))
        }
    }
}

/// Somebody who waits.
struct Waiting<'a>(&'a Pulse);

impl<'a> Waiting<'a> {
    fn with(pulse: &'a Arc<Pulse>) -> Self {
        pulse.waiting.fetch_add(1, Ordering::SeqCst);
        if !pulse.watched.swap(true, Ordering::SeqCst) {
            tokio::spawn(watch_over(Arc::clone(pulse)));
        }
        Self(pulse)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Pulse {
    /// The pulse of the database at this address; SQLite has none.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for an address that PostgreSQL cannot have.
    pub(crate) fn of(database_url: &str, patience: Duration) -> Result<Option<Arc<Self>>, StoreError> {
        if !is_postgres(database_url) {
            return Ok(None);
        }
        let options = postgres_options(database_url)?
            .application_name("kohorta")
            .disable_statement_logging();
        Ok(Some(Arc::new(Self {
            options,
            patience,
            waiting: AtomicUsize::new(0),
            answered: AtomicU64::new(0),
            watched: AtomicBool::new(false),
            silences: watch::Sender::new(0),
            distrusted: Mutex::new(None),
        })))
    }

    /// Whether a connection of this age may be used again.
    pub(crate) fn trusts(&self, age: Duration) -> bool {
        let distrusted = *self.distrusted.lock().unwrap_or_else(PoisonError::into_inner);
        distrusted.is_none_or(|moment| age < moment.elapsed())
    }

    /// Returns when the database is found silent the next time.
    pub(crate) async fn silence(&self) {
        // There is a sender as long as there is `self`.
        let _ = self.silences.subscribe().changed().await;
    }

    fn distrust(&self) {
        *self.distrusted.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Ends all work that waits.
    fn declare_silence(&self) {
        warn!(
            seconds = self.patience.as_secs_f32(),
            waiting = self.waiting.load(Ordering::Relaxed),
            "the database says nothing any more; what waits for it is given up"
        );
        // Before any work is dropped, and its connection with it.
        self.distrust();
        self.silences.send_modify(|silences| *silences += 1);
    }

    /// Asks for a sign of life, over `connection` if there is one. An error is a sign as well.
    async fn ask(&self, connection: Option<PgConnection>) -> Result<PgConnection, sqlx::Error> {
        let mut connection = match connection {
            Some(connection) => connection,
            None => self.options.connect().await?,
        };
        connection.execute(SIGN_OF_LIFE).await?;
        Ok(connection)
    }
}

/// Watches until nobody waits any more.
async fn watch_over(pulse: Arc<Pulse>) {
    let mut connection = None;
    loop {
        let answered = pulse.answered.load(Ordering::Relaxed);
        let got_on = || pulse.answered.load(Ordering::Relaxed) != answered;
        tokio::time::sleep(LOOK_EVERY).await;
        if pulse.waiting.load(Ordering::SeqCst) == 0 {
            pulse.watched.store(false, Ordering::SeqCst);
            // Somebody who came between the look and the word has found this task watching and started none.
            let came = pulse.waiting.load(Ordering::SeqCst) > 0;
            if !came || pulse.watched.swap(true, Ordering::SeqCst) {
                break;
            }
            continue;
        }
        if got_on() {
            continue;
        }
        match tokio::time::timeout(pulse.patience, pulse.ask(connection.take())).await {
            Ok(answer) => connection = answer.ok(),
            // Where others are answered, it is this connection that is broken.
            Err(_) if got_on() => {}
            Err(_) => pulse.declare_silence(),
        }
    }
    if let Some(connection) = connection {
        // One that does not close in order is gone all the same.
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, connection.close()).await;
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use tokio::net::TcpListener;

    use super::{Pulse, attend};
    use crate::error::StoreError;

    const PATIENCE: Duration = Duration::from_millis(50);

    /// The pulse of something that takes connections and never says a word.
    async fn silent() -> (TcpListener, Arc<Pulse>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("the port is known").port();
        let url = format!("postgres://nobody@127.0.0.1:{port}/nothing");
        let pulse = Pulse::of(&url, PATIENCE).expect("a good address");
        (listener, pulse.expect("PostgreSQL has a pulse"))
    }

    #[test]
    fn sqlite_has_no_pulse() {
        let pulse = Pulse::of("sqlite://x.db", PATIENCE).expect("a good address");
        assert!(pulse.is_none());
    }

    #[tokio::test]
    async fn what_waits_for_a_silent_database_is_given_up() {
        let (_listener, pulse) = silent().await;
        let waits = || attend::<()>(Some(&pulse), Duration::MAX, std::future::pending());
        let (first, second) = tokio::join!(waits(), waits());
        for outcome in [first, second] {
            assert!(matches!(outcome, Err(StoreError::Unavailable(_))), "{outcome:?}");
        }
        assert!(
            !pulse.trusts(Duration::from_secs(1)),
            "older connections are not used"
        );
        tokio::time::sleep(Duration::from_millis(2)).await;
        assert!(pulse.trusts(Duration::ZERO), "new ones are");
    }

    #[tokio::test]
    async fn work_that_gets_on_is_a_sign_of_life() {
        let (_listener, pulse) = silent().await;
        let slow = attend(Some(&pulse), Duration::MAX, async {
            tokio::time::sleep(Duration::from_millis(900)).await;
            Ok(())
        });
        let others = async {
            for _ in 0..30 {
                let quick = async {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    Ok(())
                };
                attend(Some(&pulse), Duration::MAX, quick)
                    .await
                    .expect("it was done");
            }
        };
        let (slow, ()) = tokio::join!(slow, others);
        slow.expect("somebody was answered all the time");
    }

    #[tokio::test]
    async fn a_refusal_is_a_sign_of_life() {
        let (listener, pulse) = silent().await;
        drop(listener);
        let slow = attend(Some(&pulse), Duration::MAX, async {
            tokio::time::sleep(Duration::from_millis(1_200)).await;
            Ok(())
        });
        slow.await.expect("nobody was silent");
    }

    #[tokio::test]
    async fn work_has_a_limit_of_its_own() {
        let (_listener, pulse) = silent().await;
        let outcome = attend::<()>(Some(&pulse), Duration::from_millis(10), std::future::pending()).await;
        assert!(matches!(outcome, Err(StoreError::Unavailable(_))), "{outcome:?}");
        assert!(!pulse.trusts(Duration::from_secs(1)));
    }
}
