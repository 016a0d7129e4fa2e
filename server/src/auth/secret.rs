//! The texts of keys: how they are made, and what is kept of them.
//!
//! A key reads `kohorta_SCOPE_` and 64 hexadecimal digits, so that people, and programs that search for leaked secrets,
//! know it when they see it. Its hash is all that is kept.

use std::fmt;

use rand::TryRng as _;
use rand::rngs::{SysError, SysRng};
use sha2::{Digest as _, Sha256};
use store::{KeyHash, Scope};
use subtle::ConstantTimeEq as _;

use crate::limits::{MAX_KEY_BYTES, MIN_FIXED_KEY_CHARACTERS};

/// Makes a key: 256 bits from the operating system.
pub(crate) fn generate(scope: Scope) -> Result<String, SysError> {
    let mut secret = [0_u8; 32];
    SysRng.try_fill_bytes(&mut secret)?;
    let digits: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("kohorta_{scope}_{digits}"))
}

/// What is kept of a key.
pub(crate) fn hash(key: &str) -> KeyHash {
    Sha256::digest(key.as_bytes()).into()
}

/// A key that stands in the environment instead of the database. It shows itself in no message.
#[derive(Clone)]
pub struct FixedKey(KeyHash);

impl FixedKey {
    /// The key with this text.
    ///
    /// # Errors
    /// A phrase that says what is wrong with the text, without repeating it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let plain = text.bytes().all(|byte| byte.is_ascii_graphic());
        if plain && (MIN_FIXED_KEY_CHARACTERS..=MAX_KEY_BYTES).contains(&text.len()) {
            return Ok(Self(hash(text)));
        }
        Err(format!(
            "it must be {MIN_FIXED_KEY_CHARACTERS} to {MAX_KEY_BYTES} printable ASCII characters without spaces, such \
             as `openssl rand -hex 32` makes"
        ))
    }

    /// Whether the key with this hash is this one, in a time that does not tell.
    pub(super) fn is(&self, shown: &KeyHash) -> bool {
        self.0.ct_eq(shown).into()
    }
}

impl fmt::Debug for FixedKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("FixedKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use store::Scope;

    use super::{FixedKey, generate, hash};

    #[test]
    fn keys_say_what_they_are_and_never_repeat() {
        let keys = [Scope::Ingest, Scope::Query, Scope::Admin, Scope::Admin]
            .map(|scope| generate(scope).expect("the operating system has random bits"));
        assert!(keys[0].starts_with("kohorta_ingest_") && keys[0].len() == "kohorta_ingest_".len() + 64);
        assert!(keys[1].starts_with("kohorta_query_"));
        assert!(keys[2].starts_with("kohorta_admin_"));
        assert_ne!(keys[2], keys[3]);
    }

    #[test]
    fn hashes_are_sha_256() {
        let digits: String = hash("abc").iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            digits,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn a_fixed_key_is_long_enough_and_only_itself() {
        let key = FixedKey::parse(&"k".repeat(32)).expect("long enough");
        assert!(key.is(&hash(&"k".repeat(32))));
        assert!(!key.is(&hash(&"k".repeat(33))));
        for wrong in [
            "",
            "short",
            &"k".repeat(31),
            &"k".repeat(257),
            &format!("{} ", "k".repeat(40)),
        ] {
            let fault = FixedKey::parse(wrong).expect_err("no good key");
            assert!(fault.contains("32"), "{fault}");
        }
        assert!(!format!("{key:?}").contains("kkk"));
    }
}
