//! Flows: what a person does with a cluster, from a start to an end. Every request of the operator in between is a place
//! where something can go wrong.

mod acts;
mod clusters;
mod deletions;
mod passwords;

use anyhow::Result;
use futures::FutureExt;
use futures::future::LocalBoxFuture;
use keyslot_api::v1alpha1::RedisClusterSpec;
use serde_json::json;

use crate::oracles::invariants::End;
use crate::scene::Scene;
use acts::{
    change_and_wait, change_retention, change_that_waits, create, cut_cable, cut_power, edit_while_paused,
    kill_with_old_files, let_hang, move_pods, re_create, re_create_with_fewer_shards,
    re_create_without_a_pause, restore_users,
};
use clusters::{OTHER_PASSWORD, on_volumes, other_users, plain, users_in_a_secret, with_secret, with_users};
use deletions::{
    delete_files, delete_services_and_budgets, delete_set, lock_out, lose_system_secret, lose_volume,
};
use passwords::{change_secret, forget_rotation, forget_system_rotation, rotate_password, rotate_system};

pub use clusters::{APP_PASSWORD, FIRST_PASSWORD, every_field};

/// What a person does.
type Acts = for<'a> fn(&'a Scene) -> LocalBoxFuture<'a, Result<()>>;

/// A flow.
#[derive(Clone, Copy)]
pub struct Flow {
    /// Its name, in replay lines and tables.
    pub name: &'static str,
    /// The cluster that is there at the start, Ready and with a full ledger; nothing is there without.
    pub start: Option<fn() -> RedisClusterSpec>,
    /// What is done, up to the end. Faults happen here.
    pub acts: Acts,
    /// What brings everything back to the start. No faults happen here.
    pub back: Acts,
    /// The cluster that is there at the end, if one is.
    pub end: Option<End>,
}

const WHOLE: Option<End> = Some(End { shards: 3, replicas: 1, spread: true });
/// Nodes that start again from their volumes may elect before they are met, too.
const AFTER_ELECTIONS: Option<End> = Some(End { shards: 3, replicas: 1, spread: false });

impl Flow {
    /// No node is touched from the start to the end: who writes notices nothing.
    pub fn keeps_serving(&self) -> bool {
        self.start.is_some() && self.end.is_some_and(|end| end.spread)
    }

    /// The flow of this name.
    pub fn named(name: &str) -> Option<Self> {
        FLOWS.iter().find(|flow| flow.name == name).copied()
    }
}

/// The end is as the start was.
fn nothing(_: &Scene) -> LocalBoxFuture<'_, Result<()>> {
    async { Ok(()) }.boxed_local()
}

/// All flows.
pub const FLOWS: &[Flow] = &[
    Flow {
        name: "create",
        start: None,
        acts: |scene| create(scene, plain()).boxed_local(),
        back: |scene| scene.delete().boxed_local(),
        end: WHOLE,
    },
    Flow {
        name: "create-with-users",
        start: None,
        acts: |scene| create(scene, with_users()).boxed_local(),
        back: |scene| scene.delete().boxed_local(),
        end: WHOLE,
    },
    Flow {
        name: "user-changed",
        start: Some(with_users),
        acts: |scene| change_and_wait(scene, json!({ "users": other_users() })).boxed_local(),
        back: |scene| restore_users(scene).boxed_local(),
        end: WHOLE,
    },
    Flow {
        name: "user-changed-in-a-secret",
        start: Some(users_in_a_secret),
        acts: |scene| change_and_wait(scene, json!({ "users": other_users() })).boxed_local(),
        back: |scene| restore_users(scene).boxed_local(),
        end: WHOLE,
    },
    Flow {
        name: "password-rotated",
        start: Some(with_users),
        acts: |scene| rotate_password(scene).boxed_local(),
        back: |scene| forget_rotation(scene).boxed_local(),
        end: WHOLE,
    },
    Flow {
        name: "secret-changed",
        start: Some(with_secret),
        acts: |scene| change_secret(scene, OTHER_PASSWORD).boxed_local(),
        back: |scene| change_secret(scene, FIRST_PASSWORD).boxed_local(),
        end: WHOLE,
    },
    Flow {
        name: "system-passwords-rotated",
        start: Some(plain),
        acts: |scene| rotate_system(scene).boxed_local(),
        back: |scene| forget_system_rotation(scene).boxed_local(),
        end: WHOLE,
    },
    Flow {
        name: "paused-and-on-again",
        start: Some(with_users),
        acts: |scene| edit_while_paused(scene).boxed_local(),
        back: |scene| restore_users(scene).boxed_local(),
        end: WHOLE,
    },
    Flow {
        name: "change-that-waits",
        start: Some(plain),
        acts: |scene| change_that_waits(scene).boxed_local(),
        back: |scene| {
            let back = json!({ "config": null, "resources": null, "shards": 3 });
            change_and_wait(scene, back).boxed_local()
        },
        end: WHOLE,
    },
    Flow {
        name: "files-deleted-by-hand",
        start: Some(plain),
        acts: |scene| delete_files(scene).boxed_local(),
        back: nothing,
        end: WHOLE,
    },
    Flow {
        name: "services-and-budgets-deleted-by-hand",
        start: Some(plain),
        acts: |scene| delete_services_and_budgets(scene).boxed_local(),
        back: nothing,
        end: WHOLE,
    },
    Flow {
        name: "stateful-set-deleted-by-hand",
        start: Some(on_volumes),
        acts: |scene| delete_set(scene).boxed_local(),
        back: nothing,
        end: AFTER_ELECTIONS,
    },
    Flow {
        name: "retention-changed",
        start: Some(on_volumes),
        acts: |scene| change_retention(scene, "Delete").boxed_local(),
        back: |scene| change_retention(scene, "Retain").boxed_local(),
        end: WHOLE,
    },
    Flow {
        name: "system-secret-lost-and-put-back",
        start: Some(plain),
        acts: |scene| lose_system_secret(scene).boxed_local(),
        back: nothing,
        end: WHOLE,
    },
    Flow {
        name: "operator-locked-out",
        start: Some(plain),
        acts: |scene| lock_out(scene).boxed_local(),
        back: nothing,
        end: AFTER_ELECTIONS,
    },
    Flow {
        name: "pods-move",
        start: Some(on_volumes),
        acts: |scene| move_pods(scene).boxed_local(),
        back: nothing,
        end: AFTER_ELECTIONS,
    },
    Flow {
        name: "power-cut",
        start: Some(on_volumes),
        acts: |scene| cut_power(scene).boxed_local(),
        back: nothing,
        end: AFTER_ELECTIONS,
    },
    Flow {
        name: "node-hangs",
        start: Some(plain),
        acts: |scene| let_hang(scene).boxed_local(),
        back: nothing,
        end: AFTER_ELECTIONS,
    },
    Flow {
        name: "cable-out",
        start: Some(plain),
        acts: |scene| cut_cable(scene).boxed_local(),
        back: nothing,
        end: AFTER_ELECTIONS,
    },
    Flow {
        name: "volume-lost",
        start: Some(on_volumes),
        acts: |scene| lose_volume(scene).boxed_local(),
        back: nothing,
        end: AFTER_ELECTIONS,
    },
    Flow {
        name: "killed-with-old-files",
        start: Some(with_users),
        acts: |scene| kill_with_old_files(scene).boxed_local(),
        back: |scene| restore_users(scene).boxed_local(),
        end: AFTER_ELECTIONS,
    },
    Flow {
        name: "delete",
        start: Some(plain),
        acts: |scene| scene.delete().boxed_local(),
        back: |scene| create(scene, plain()).boxed_local(),
        end: None,
    },
    Flow {
        name: "re-create-on-kept-volumes",
        start: Some(on_volumes),
        acts: |scene| re_create(scene, on_volumes()).boxed_local(),
        back: nothing,
        end: AFTER_ELECTIONS,
    },
    Flow {
        name: "re-create-without-a-pause",
        start: Some(on_volumes),
        acts: |scene| re_create_without_a_pause(scene).boxed_local(),
        back: nothing,
        end: AFTER_ELECTIONS,
    },
    Flow {
        name: "re-create-with-fewer-shards",
        start: Some(on_volumes),
        acts: |scene| re_create_with_fewer_shards(scene).boxed_local(),
        back: |scene| re_create(scene, on_volumes()).boxed_local(),
        end: AFTER_ELECTIONS,
    },
];
