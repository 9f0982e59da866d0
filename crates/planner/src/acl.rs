//! Users: what is wanted of them, how it is said to a server and to a file, and what a server says it has.

use std::collections::BTreeSet;
use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::ids::InvalidId;

/// The SHA-256 of a password as Redis writes it: 64 lower-case hexadecimal characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PasswordHash(String);

impl PasswordHash {
    /// Hashes a password. The only place where a plaintext meets an ACL.
    pub fn of(password: &SecretString) -> Self {
        Self(hex::encode(Sha256::digest(password.expose_secret().as_bytes())))
    }

    /// Takes a hash that a user or a server wrote.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        if text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidId { text: "(a hash)".to_owned(), expected: "64 lower-case hexadecimal characters" })
        }
    }

    /// The 64 characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A password that has to be said to a server as it is. Never shown.
#[derive(Clone)]
pub struct Password(pub SecretString);

impl PartialEq for Password {
    fn eq(&self, other: &Self) -> bool {
        self.0.expose_secret() == other.0.expose_secret()
    }
}

impl Eq for Password {}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

impl TryFrom<String> for PasswordHash {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        Self::parse(&text)
    }
}

impl From<PasswordHash> for String {
    fn from(hash: PasswordHash) -> Self {
        hash.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}…", &self.0[..6])
    }
}

/// One token of an ACL rule, e.g. `~app:*` or `+@read`: printable ASCII without space, quotes or parentheses, so that
/// it can neither end a line of `users.acl` nor become a second token. (Every server version crashes on an unbalanced
/// parenthesis in a file.)
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AclToken(String);

/// Of a hash as much as of [`PasswordHash`].
impl fmt::Debug for AclToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.get(..7).filter(|begin| begin.starts_with('#')) {
            Some(begin) => write!(f, "{begin}…"),
            None => f.write_str(&self.0),
        }
    }
}

impl AclToken {
    /// Parses one rule.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        let plain = |b: u8| b.is_ascii_graphic() && !matches!(b, b'"' | b'\'' | b'(' | b')' | b'\\');
        if !text.is_empty() && text.len() <= 512 && text.bytes().all(plain) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidId {
                text: text.escape_default().to_string(),
                expected: "one ACL rule of printable characters without spaces, quotes, backslashes or parentheses",
            })
        }
    }

    /// The token as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A token made by the operator itself.
    fn own(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// What is wanted of one user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserRules {
    /// `on` or `off`.
    pub enabled: bool,
    /// All passwords that are valid.
    pub passwords: BTreeSet<PasswordHash>,
    /// Rules in the user's order, the root permissions.
    pub rules: Vec<AclToken>,
    /// Selectors, each with its rules in order.
    pub selectors: Vec<Vec<AclToken>>,
}

/// A user as a server has it, from `ACL GETUSER`; comparable only with one from the same server version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LiveUser {
    /// Flag `on`.
    pub enabled: bool,
    /// Flag `nopass`: any password is accepted.
    pub nopass: bool,
    /// Hashes of the valid passwords.
    pub passwords: BTreeSet<PasswordHash>,
    /// Root permissions first, then one per selector.
    pub permissions: Vec<Permissions>,
}

/// What a user (or one selector) may do, in the server's own normal form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permissions {
    /// Field `commands`.
    pub commands: String,
    /// Field `keys`.
    pub keys: String,
    /// Field `channels`.
    pub channels: String,
    /// Field `databases` (Valkey 9.1 and later), else empty.
    pub databases: String,
}

impl UserRules {
    /// The tokens of `ACL SETUSER` that make a user exactly this, whatever it was before, in one call: sessions that
    /// are open stay open.
    pub fn setuser_tokens(&self) -> Vec<AclToken> {
        let mut tokens = vec![AclToken::own("reset"), AclToken::own(if self.enabled { "on" } else { "off" })];
        tokens.extend(self.hash_tokens());
        tokens.extend(self.permission_tokens());
        tokens
    }

    /// The tokens of `ACL SETUSER` that leave a user exactly the wanted passwords, and its permissions as they are.
    pub fn password_tokens(&self) -> Vec<AclToken> {
        std::iter::once(AclToken::own("resetpass")).chain(self.hash_tokens()).collect()
    }

    /// The valid passwords, as `#<sha256>`.
    pub fn hash_tokens(&self) -> impl Iterator<Item = AclToken> + '_ {
        self.passwords.iter().map(|hash| AclToken::own(format!("#{}", hash.as_str())))
    }

    /// The same permissions without password and switched off: how a server is asked whether it takes them.
    pub fn trial_tokens(&self) -> Vec<AclToken> {
        let mut tokens = vec![AclToken::own("reset"), AclToken::own("off")];
        tokens.extend(self.permission_tokens());
        tokens
    }

    /// The line of `users.acl`. Never `nopass`: a user without passwords can't log in.
    pub fn file_line(&self, name: &str) -> String {
        let mut line = format!("user {name}");
        for token in self.setuser_tokens().iter().skip(1) {
            line.push(' ');
            line.push_str(token.as_str());
        }
        line
    }

    fn permission_tokens(&self) -> impl Iterator<Item = AclToken> + '_ {
        let selectors = self.selectors.iter().map(|rules| {
            let inner: Vec<&str> = rules.iter().map(AclToken::as_str).collect();
            AclToken::own(format!("({})", inner.join(" ")))
        });
        self.rules.iter().cloned().chain(selectors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_word_of_harmless_characters() {
        for good in ["~app:*", "+@read", "-config|set", "&*", "%R~x:*", "allkeys"] {
            assert!(AclToken::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "~a b", "~a\n", "~\"x", "(+get", "+get)", "~é", "a\\b", "~a\u{0}"] {
            assert!(AclToken::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_file_line_carries_hashes_and_no_reset() {
        let user = UserRules {
            enabled: true,
            passwords: [PasswordHash::of(&"secret".into())].into(),
            rules: vec![AclToken::parse("~app:*").unwrap(), AclToken::parse("+@read").unwrap()],
            selectors: vec![vec![AclToken::parse("~c:*").unwrap(), AclToken::parse("+get").unwrap()]],
        };
        assert_eq!(
            user.file_line("worker"),
            "user worker on #2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b ~app:* +@read (~c:* +get)"
        );
    }
}
