//! Who asks, and what they may do.
//!
//! A [`Gate`] turns the key that a client shows into a [`Principal`], for requests and WebSockets alike. It promises that
//! a key that was taken back opens nothing after a few seconds, that an outage of the database neither opens the gate nor
//! shuts it at once, and that the key from the environment works whatever the database does. It knows no HTTP.

mod keyring;
mod secret;

use std::sync::Arc;
use std::time::Duration;

use store::{Scope, Store};
use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::error_code::Code;
use crate::limits::{KEYS_REFRESH, MAX_KEY_BYTES};
use crate::metrics;
use keyring::{Keyring, Lookup};

pub use secret::FixedKey;
pub(crate) use secret::{generate, hash};

/// Who gets in.
#[derive(Debug, Clone)]
pub struct AuthOptions {
    /// Whether keys are asked for.
    pub policy: Policy,
    /// A key with the scope `admin` that does not stand in the database.
    pub fixed_key: Option<FixedKey>,
    /// How often the keys are read from the database.
    pub refresh: Duration,
}

impl Default for AuthOptions {
    fn default() -> Self {
        Self {
            policy: Policy::OnceThereAreKeys,
            fixed_key: None,
            refresh: KEYS_REFRESH,
        }
    }
}

/// Whether keys are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Never: somebody else stands in front.
    Never,
    /// As soon as there is a key, or ever was one. Right for a server that only its own machine can reach.
    OnceThereAreKeys,
    /// Always, even if no key exists.
    Always,
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Principal {
    pub(crate) scope: Scope,
    pub(crate) holder: Holder,
}

/// Whose key it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Holder {
    /// Nobody was asked for a key.
    Anybody,
    /// The key from the environment.
    Operator,
    /// The key with this number in the database.
    Key(i64),
}

impl Principal {
    const ANYBODY: Self = Self {
        scope: Scope::Admin,
        holder: Holder::Anybody,
    };

    /// Whether the principal has `scope`; `admin` has all.
    pub(crate) fn may(&self, scope: Scope) -> bool {
        self.scope == Scope::Admin || self.scope == scope
    }
}

/// Why somebody does not get in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Denied {
    /// No key was shown.
    Missing,
    /// What was shown is no key.
    Malformed,
    /// There is no such key, or it was taken back.
    Unknown,
    /// The key is past its end.
    Expired,
    /// Whether the key is good cannot be known now.
    Unavailable,
}

impl Denied {
    pub(crate) fn code(self) -> Code {
        match self {
            Self::Missing | Self::Malformed | Self::Unknown | Self::Expired => Code::Unauthenticated,
            Self::Unavailable => Code::Unavailable,
        }
    }

    pub(crate) fn message(self) -> &'static str {
        match self {
            Self::Missing => "this server wants an API key, as in: Authorization: Bearer kohorta_query_…",
            Self::Malformed => "the authorization is not of the form: Bearer, one space, an API key",
            Self::Unknown => "there is no such API key, or it was revoked",
            Self::Expired => "this API key has expired",
            Self::Unavailable => "API keys cannot be checked: the database is unavailable; try again",
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::Unknown => "unknown",
            Self::Expired => "expired",
            Self::Unavailable => "unavailable",
        }
    }
}

/// Lets in who has a key. Clones share what they know.
#[derive(Clone)]
pub(crate) struct Gate {
    policy: Policy,
    fixed_key: Option<FixedKey>,
    keyring: Arc<Keyring>,
}

impl Gate {
    pub(crate) fn new(store: Store, clock: Clock, options: &AuthOptions) -> Self {
        Self {
            policy: options.policy,
            fixed_key: options.fixed_key.clone(),
            keyring: Arc::new(Keyring::new(store, clock)),
        }
    }

    /// Keeps what is known about keys fresh, until the task is aborted.
    pub(crate) fn keep_fresh(&self, every: Duration) -> JoinHandle<()> {
        let (policy, keyring) = (self.policy, self.keyring.clone());
        tokio::spawn(async move {
            if policy != Policy::Never {
                keyring.keep_fresh(every).await;
            }
        })
    }

    /// Says who shows the value of an `Authorization` header, such as `Bearer kohorta_query_…`.
    ///
    /// # Errors
    /// [`Denied`] if the value is of another form, or as [`Self::authenticate`] says.
    pub(crate) async fn authorize(&self, authorization: Option<&str>) -> Result<Principal, Denied> {
        let Some(value) = authorization else {
            return self.authenticate(None).await;
        };
        if self.policy == Policy::Never {
            // Those in front may have credentials of their own.
            return Ok(Principal::ANYBODY);
        }
        let bearer = match value.split_once(' ') {
            Some((scheme, key)) if scheme.eq_ignore_ascii_case("bearer") => Some(key.trim()),
            _ => None,
        };
        match bearer {
            Some(key) if !key.is_empty() => self.authenticate(Some(key)).await,
            _ => Err(counted(Denied::Malformed)),
        }
    }

    /// Says who shows this key. Failed attempts are counted.
    ///
    /// # Errors
    /// [`Denied`] if nobody may get in with it.
    pub(crate) async fn authenticate(&self, key: Option<&str>) -> Result<Principal, Denied> {
        self.judge(key).await.map_err(counted)
    }

    async fn judge(&self, key: Option<&str>) -> Result<Principal, Denied> {
        if self.policy == Policy::Never {
            return Ok(Principal::ANYBODY);
        }
        let shown = match key {
            Some(key) if key.len() > MAX_KEY_BYTES => return Err(Denied::Malformed),
            Some(key) => Some(hash(key)),
            None => None,
        };
        if let (Some(fixed), Some(shown)) = (&self.fixed_key, &shown)
            && fixed.is(shown)
        {
            return Ok(Principal {
                scope: Scope::Admin,
                holder: Holder::Operator,
            });
        }
        let asked_always = self.policy == Policy::Always || self.fixed_key.is_some();
        if asked_always && shown.is_none() {
            return Err(Denied::Missing);
        }
        let mut lookup = self.keyring.look_up(shown.as_ref());
        if matches!(lookup, Lookup::Unread) {
            // Hardly ever, so it is not a part of every request.
            Box::pin(self.keyring.read_first()).await;
            lookup = self.keyring.look_up(shown.as_ref());
        }
        if matches!(lookup, Lookup::Unknown) && shown.is_some() {
            // It may have been made a moment ago.
            Box::pin(self.keyring.read_soon()).await;
            lookup = self.keyring.look_up(shown.as_ref());
        }
        match lookup {
            Lookup::Found(holder, scope) => Ok(Principal { scope, holder }),
            Lookup::Expired => Err(Denied::Expired),
            Lookup::NoKeys if !asked_always => Ok(Principal::ANYBODY),
            Lookup::NoKeys | Lookup::Unknown if shown.is_none() => Err(Denied::Missing),
            Lookup::NoKeys | Lookup::Unknown => Err(Denied::Unknown),
            Lookup::Unread | Lookup::Stale => Err(Denied::Unavailable),
        }
    }
}

fn counted(denied: Denied) -> Denied {
    metrics::denied(denied.label());
    denied
}
