//! `ACL USERS` and `ACL GETUSER`.

use keyslot_planner::acl::{LiveUser, PasswordHash, Permissions};

use super::Malformed;
use crate::reply::Reply;

const GETUSER: &str = "ACL GETUSER";

/// The names in `ACL USERS`, as bytes: a name need not be UTF-8.
pub fn user_names(reply: &Reply) -> Result<Vec<Vec<u8>>, Malformed> {
    let wrong = || Malformed::new("ACL USERS", "not a list of names");
    let Reply::Array(items) = reply else { return Err(wrong()) };
    items
        .iter()
        .map(|item| if let Reply::Text(name) = item { Ok(name.clone()) } else { Err(wrong()) })
        .collect()
}

/// A user, from the array of RESP2 or the map of RESP3; `None` when there is no such user. Fields that are unknown are
/// not read: two users of one server are compared, and such a field comes with a later version's normal form.
pub fn live_user(reply: &Reply) -> Result<Option<LiveUser>, Malformed> {
    if *reply == Reply::Nil {
        return Ok(None);
    }
    let user = Section::of(reply)?;
    let flags = user.texts("flags")?;
    let has = |flag: &str| flags.iter().any(|known| known == flag);
    if has("on") == has("off") {
        return Err(Malformed::new(GETUSER, "neither on nor off"));
    }
    let hash =
        |text: &String| PasswordHash::parse(text).map_err(|_| Malformed::new(GETUSER, "a password hash"));
    let passwords = user.texts("passwords")?.iter().map(hash).collect::<Result<_, _>>()?;
    let mut permissions = vec![user.permissions()?];
    for selector in user.list("selectors")? {
        permissions.push(Section::of(selector)?.permissions()?);
    }
    Ok(Some(LiveUser { enabled: has("on"), nopass: has("nopass"), passwords, permissions }))
}

/// The fields of a user, or of one of its selectors.
struct Section<'a>(Vec<(&'a Reply, &'a Reply)>);

impl<'a> Section<'a> {
    fn of(reply: &'a Reply) -> Result<Self, Malformed> {
        reply.pairs().map(Self).ok_or_else(|| Malformed::new(GETUSER, "not a list of fields and values"))
    }

    fn get(&self, name: &str) -> Option<&'a Reply> {
        self.0.iter().find(|(key, _)| key.text().is_some_and(|key| key == name)).map(|(_, value)| *value)
    }

    fn list(&self, name: &'static str) -> Result<&'a [Reply], Malformed> {
        match self.get(name) {
            Some(Reply::Array(items)) => Ok(items),
            _ => Err(Malformed::new(GETUSER, format!("no list {name}"))),
        }
    }

    fn texts(&self, name: &'static str) -> Result<Vec<String>, Malformed> {
        let text = |item: &Reply| {
            item.text()
                .map(std::borrow::Cow::into_owned)
                .ok_or_else(|| Malformed::new(GETUSER, format!("an item of {name}")))
        };
        self.list(name)?.iter().map(text).collect()
    }

    fn permissions(&self) -> Result<Permissions, Malformed> {
        let text = |name: &'static str| {
            let value = self.get(name).and_then(Reply::text);
            value
                .map(std::borrow::Cow::into_owned)
                .ok_or_else(|| Malformed::new(GETUSER, format!("no text {name}")))
        };
        Ok(Permissions {
            commands: text("commands")?,
            keys: text("keys")?,
            channels: text("channels")?,
            databases: if self.get("databases").is_some() { text("databases")? } else { String::new() },
        })
    }
}

#[cfg(test)]
mod tests;
