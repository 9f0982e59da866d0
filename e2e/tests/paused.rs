//! A paused resource is only watched.

use std::time::Duration;

use anyhow::{Result, ensure};
use keyslot_api::conditions::{ConditionType, Reason};
use keyslot_e2e::clusters::{self, WORKER_RULES, user};
use keyslot_e2e::settings::Server;
use keyslot_e2e::{nodes, wait, with_namespace};
use serde_json::json;

use crate::steps::{DEFAULT_SECRET, acl_lines, formed, on_all_nodes};

/// Longer than the operator leaves a settled cluster alone.
const LONG_ENOUGH: Duration = Duration::from_secs(15);

#[test]
fn nothing_is_changed_while_paused_and_everything_afterwards() -> Result<()> {
    with_namespace(async |namespace| {
        let cluster = formed(namespace, clusters::spec(Server::Redis80, 1, 0)).await?;
        cluster.change(json!({ "paused": true })).await?;
        let paused = cluster.wait_for(ConditionType::Paused, Reason::PausedByUser).await?;
        ensure!(paused.status == "True", "{paused:?}");

        let users = [user("default", &["~*", "&*", "+@all"]), user("late", &WORKER_RULES)];
        cluster.set_users(&users).await?;
        let password = cluster.secret(DEFAULT_SECRET, "password").await?;
        nodes::ask_as(&cluster, "demo-0", "default", &password, &["ACL SETUSER intruder on"]).await?;
        wait::throughout("nothing changes", LONG_ENOUGH, async || {
            let late = acl_lines(&cluster, "late").await?;
            let worker = acl_lines(&cluster, "worker").await?;
            let intruder = acl_lines(&cluster, "intruder").await?;
            let is_there = |lines: &[Option<String>]| lines.iter().all(Option::is_some);
            ensure!(
                !is_there(&late) && is_there(&worker) && is_there(&intruder),
                "{late:?} {worker:?} {intruder:?}"
            );
            Ok(())
        })
        .await?;

        cluster.change(json!({ "paused": false })).await?;
        on_all_nodes(&cluster, "late", "is there", |line| line.is_some()).await?;
        on_all_nodes(&cluster, "worker", "is gone", |line| line.is_none()).await?;
        on_all_nodes(&cluster, "intruder", "is gone", |line| line.is_none()).await?;
        cluster.wait_ready().await?;
        Ok(())
    })
}
