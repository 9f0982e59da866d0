//! What a person does with passwords in flows, each to an end that a person would wait for.

use anyhow::{Context, Result, ensure};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use keyslot_api::labels::ROTATE_SYSTEM;
use keyslot_api::v1alpha1::Rotation;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::acts::change_and_wait;
use super::clusters::{APP_PASSWORD, with_users};
use crate::scene::{NAME, Scene, until};

/// From the new password to the end of the old one.
pub(super) async fn rotate_password(scene: &Scene) -> Result<()> {
    let mut users = with_users().users;
    for user in users.iter_mut().filter(|user| user.name == "app") {
        let (trigger, grace_period) = (Some("again".to_owned()), "3s".to_owned());
        user.rotation = Some(Rotation { trigger, interval: None, grace_period });
    }
    let before = password_of_app(scene).await?;
    change_and_wait(scene, json!({ "users": users })).await?;
    until("the Secret tells another password", async || {
        ensure!(password_of_app(scene).await? != before, "it is the same");
        Ok(())
    })
    .await?;
    previous_ends(scene).await
}

/// The Secret of the application changes, and what it was before ends.
pub(super) async fn change_secret(scene: &Scene, password: &str) -> Result<()> {
    scene.password_secret(APP_PASSWORD, password).await?;
    until("the user's Secret tells the new password", async || {
        let told = password_of_app(scene).await?.context("none")?;
        ensure!(told.0 == password.as_bytes(), "it tells the former one");
        Ok(())
    })
    .await?;
    previous_ends(scene).await
}

async fn previous_ends(scene: &Scene) -> Result<()> {
    until("the former password has ended", async || {
        let status = scene.cluster().await?.status.unwrap_or_default();
        let valid = status.users.into_iter().find_map(|user| user.previous_password_valid_until);
        ensure!(valid.is_none(), "it is valid until {valid:?}");
        Ok(())
    })
    .await?;
    scene.ready().await
}

/// New passwords for Keyslot's own users, from the question for them to the end of the previous ones.
pub(super) async fn rotate_system(scene: &Scene) -> Result<()> {
    let before = system_key(scene, "probe-password").await?;
    scene.annotate(ROTATE_SYSTEM, Some("again")).await?;
    until("the new passwords are in use", async || {
        ensure!(system_key(scene, "probe-password").await? != before, "they are not");
        Ok(())
    })
    .await?;
    until("the previous passwords have ended", async || {
        ensure!(system_key(scene, "second.probe-password").await?.is_none(), "they are valid");
        let status = scene.cluster().await?.status.unwrap_or_default();
        ensure!(status.system_rotation.is_none(), "{:?}", status.system_rotation);
        Ok(())
    })
    .await?;
    scene.ready().await
}

/// That there was a rotation is forgotten.
pub(super) async fn forget_system_rotation(scene: &Scene) -> Result<()> {
    scene.annotate(ROTATE_SYSTEM, None).await?;
    let patch = Patch::Merge(json!({ "data": { "system-rotation": null } }));
    scene.api::<Secret>().patch(&format!("{NAME}-system"), &PatchParams::default(), &patch).await?;
    scene.ready().await
}

async fn system_key(scene: &Scene, key: &str) -> Result<Option<ByteString>> {
    let secret = scene.api::<Secret>().get(&format!("{NAME}-system")).await?;
    Ok(secret.data.and_then(|mut data| data.remove(key)))
}

async fn password_of_app(scene: &Scene) -> Result<Option<ByteString>> {
    let secret = scene.api::<Secret>().get(&format!("{NAME}-user-app")).await?;
    Ok(secret.data.and_then(|mut data| data.remove("password")))
}

/// The users of the start; a trigger that was acted on is forgotten.
pub(super) async fn forget_rotation(scene: &Scene) -> Result<()> {
    change_and_wait(scene, json!({ "users": with_users().users })).await?;
    let (secrets, system) = (scene.api::<Secret>(), format!("{NAME}-system"));
    let patch = Patch::Merge(json!({ "data": { "history.app": null } }));
    secrets.patch(&system, &PatchParams::default(), &patch).await?;
    until("the history begins anew", async || {
        let data = secrets.get(&system).await?.data.unwrap_or_default();
        ensure!(data.contains_key("history.app"), "it has not begun");
        Ok(())
    })
    .await?;
    scene.ready().await
}
