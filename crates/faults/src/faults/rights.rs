//! At no time may a user have rights on a node that no version of the resource gives.

use keyslot_api::v1alpha1::User;
use keyslot_planner::acl::AclToken;
use keyslot_planner::command::RedisCommand;
use keyslot_planner::desired::SystemMemory;
use keyslot_planner::system_users::{RESERVED_PREFIX, system_users};

/// Why a command must not be said while the resource has had only these lists of users.
pub(super) fn ungiven(command: &RedisCommand, lists: &[Vec<User>]) -> Option<String> {
    match command {
        RedisCommand::SetUser { name, tokens, .. } if name.starts_with(RESERVED_PREFIX) => {
            let own = system_users(&SystemMemory::default()).remove(name);
            let is_own =
                own.is_some_and(|own| without_passwords(&own.setuser_tokens()) == without_passwords(tokens));
            (!is_own).then(|| format!("{name} is not to have this"))
        }
        RedisCommand::DeleteUser(name) if name.starts_with(RESERVED_PREFIX) => {
            system_users(&SystemMemory::default())
                .contains_key(name)
                .then(|| format!("{name} is Keyslot's own"))
        }
        RedisCommand::SetUser { name, tokens, .. } => {
            let permissions = without_passwords(tokens);
            let is_given = permissions == ["resetpass"]
                || lists.iter().any(|users| given(users, name).is_some_and(|given| given == permissions));
            (!is_given).then(|| format!("{name} never was to have {}", permissions.join(" ")))
        }
        RedisCommand::DeleteUser(name) => {
            let is_wanted = |users: &Vec<User>| users.iter().any(|user| user.name == *name);
            let always = !lists.is_empty() && lists.iter().all(is_wanted);
            always.then(|| format!("{name} always was to be there"))
        }
        RedisCommand::SetConfigEpoch(_)
        | RedisCommand::AddSlots(_)
        | RedisCommand::Meet { .. }
        | RedisCommand::Replicate(_)
        | RedisCommand::Forget(_)
        | RedisCommand::TakeOver
        | RedisCommand::SetConfig(_)
        | RedisCommand::SetReplicationPassword(_) => None,
    }
}

fn without_passwords(tokens: &[AclToken]) -> Vec<String> {
    let words = tokens.iter().map(AclToken::as_str).filter(|word| !word.starts_with('#'));
    words.map(str::to_owned).collect()
}

/// What a list gives to a user; `default` is in every list, switched off where nobody names it.
pub fn given(users: &[User], name: &str) -> Option<Vec<String>> {
    let off = || vec!["reset".to_owned(), "off".to_owned()];
    let Some(user) = users.iter().find(|user| user.name == name) else {
        return (name == "default").then(off);
    };
    if !user.enabled {
        return Some(off());
    }
    let selectors = user.selectors.iter().map(|selector| format!("({})", selector.rules.join(" ")));
    let permissions = user.rules.iter().cloned().chain(selectors);
    Some(["reset", "on"].map(str::to_owned).into_iter().chain(permissions).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracles::ledger;

    fn said(text: &str) -> RedisCommand {
        let tokens = text.split(' ').map(|word| AclToken::parse(word).unwrap()).collect();
        RedisCommand::SetUser { name: "app".to_owned(), tokens, end_sessions: false }
    }

    #[test]
    fn only_what_some_version_of_the_resource_gives_may_be_said() {
        let list = |rule: &str, enabled: bool| {
            let rules = vec!["~app:*".to_owned(), rule.to_owned()];
            vec![User { name: "app".to_owned(), enabled, rules, ..ledger::user() }]
        };
        let lists = [list("+get", true), list("+set", true)];
        for good in ["reset on #ab ~app:* +get", "reset on ~app:* +set", "resetpass #ab"] {
            assert_eq!(ungiven(&said(good), &lists), None, "{good}");
        }
        for bad in
            ["reset on ~app:* +get +set", "on ~app:* +get", "reset off", "reset on", "reset on ~* +get"]
        {
            assert!(ungiven(&said(bad), &lists).is_some(), "{bad}");
        }
        assert_eq!(ungiven(&said("reset off"), &[list("+get", false)]), None);
        let own = |rules: &str| {
            let tokens = rules.split(' ').map(|word| AclToken::parse(word).unwrap()).collect();
            RedisCommand::SetUser { name: "keyslot-probe".to_owned(), tokens, end_sessions: false }
        };
        assert_eq!(ungiven(&own("reset on #ab -@all +ping +info +cluster|myid"), &lists), None);
        assert!(ungiven(&own("reset on #ab +@all"), &lists).is_some());
        assert!(ungiven(&RedisCommand::DeleteUser("keyslot-operator".to_owned()), &lists).is_some());
        let deleted = RedisCommand::DeleteUser("app".to_owned());
        assert!(ungiven(&deleted, &lists).is_some());
        assert_eq!(ungiven(&deleted, &[list("+get", true), Vec::new()]), None);
    }
}
