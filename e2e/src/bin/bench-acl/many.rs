//! One patch that changes as many users as a resource may have.

use anyhow::{Context, Result};
use keyslot_api::v1alpha1::User;
use keyslot_e2e::operator;
use keyslot_e2e::settings::OPERATOR_NAMESPACE;
use kube::Client;

use crate::changes::apply;
use crate::look::Wanted;
use crate::subject::{Subject, user};

/// What one patch has shown.
pub struct Many {
    /// Seconds until all nodes had all users.
    pub all_nodes: f64,
    /// Passes of the settings loop until the cluster was settled again.
    pub passes: f64,
    /// Commands that set users, on all nodes together.
    pub commands: f64,
}

/// So many users.
pub fn users(count: usize) -> Vec<User> {
    let rules = |number: usize| [format!("~many-{number}:*"), "+@read".to_owned(), "+@write".to_owned()];
    let user = |number: usize| {
        let rules = rules(number);
        let name = format!("many-{number}");
        user(&name, &rules.each_ref().map(String::as_str), &[&name])
    };
    (0..count).map(user).collect()
}

/// Changes the rules of each user at once.
pub async fn change_all(client: &Client, subject: &mut Subject, run: usize) -> Result<Many> {
    let mut wanted = Vec::new();
    for user in &mut subject.users {
        let keys = format!("~{}-{run}:*", user.name);
        user.rules[0].clone_from(&keys);
        wanted.push((user.name.clone(), Wanted::Keys(keys)));
    }
    let before = Counted::read(client).await?;
    let changed = apply(subject, None, &wanted).await?;
    subject.settle(None).await?;
    let after = Counted::read(client).await?;
    Ok(Many {
        all_nodes: changed.all_nodes,
        passes: after.passes - before.passes,
        commands: after.commands - before.commands,
    })
}

/// What the operator that leads has counted.
struct Counted {
    passes: f64,
    commands: f64,
}

impl Counted {
    async fn read(client: &Client) -> Result<Self> {
        let leader = operator::leader(client).await?;
        let metrics = operator::metrics(client, OPERATOR_NAMESPACE, &leader).await?;
        let passes = metrics.sum("keyslot_reconciles_total", &[("controller", "settings")]);
        let commands = metrics.sum("keyslot_redis_commands_total", &[("kind", "set-user")]);
        Ok(Self {
            passes: passes.context("no pass is counted")?,
            commands: commands.context("no command is counted")?,
        })
    }
}
