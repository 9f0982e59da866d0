//! A cluster formed by the operator.

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use keyslot_api::conditions::ConditionType;
use keyslot_api::v1alpha1::{Persistence, RedisCluster, RetentionPolicy, Storage};
use keyslot_e2e::bench::shape::Shape;
use keyslot_e2e::bench::{NAME, cluster};
use keyslot_e2e::clusters;
use keyslot_e2e::settings::Server;
use keyslot_e2e::{Namespace, wait};
use kube::api::{Patch, PatchParams};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::formation::{self, Moments, between};
use crate::pods;

/// What one run has shown, in seconds.
pub struct Run {
    pub apply_to_ready: f64,
    pub start_to_formed: f64,
    pub running_to_formed: f64,
    /// As the resource tells it, such as `redis 7.0.15`.
    pub server: String,
}

/// Applies the resource and looks on until it is Ready and the nodes themselves agree.
pub async fn form(namespace: &Namespace, server: Server, shape: Shape, storage: Option<&str>) -> Result<Run> {
    let resource = resource(server, shape, storage);
    let clusters = cluster(namespace);
    let apply = async {
        let applied = Timestamp::now();
        let manager = PatchParams::apply("bench-form").force();
        clusters.api.patch(NAME, &manager, &Patch::Apply(&resource)).await?;
        let ready = timeout(wait::A_WHILE, pods::follow(&clusters.api, ready)).await;
        anyhow::Ok(between(applied, ready.context("not Ready in time")??))
    };
    let (answering, _) = oneshot::channel();
    let (apply_to_ready, moments) = tokio::try_join!(apply, formation::look_on(namespace, shape, answering))?;
    let engine = clusters.status().await?.engine.context("the status names no server")?;
    ensure!(engine.version.starts_with(server.version()), "the image has {} {}", engine.name, engine.version);
    let Moments { running, formed, .. } = moments;
    Ok(Run {
        apply_to_ready,
        start_to_formed: moments.since_last_start(formed),
        running_to_formed: between(running, formed),
        server: format!("{} {}", engine.name, engine.version),
    })
}

fn resource(server: Server, shape: Shape, storage: Option<&str>) -> RedisCluster {
    let mut spec = clusters::spec(server, shape.shards, shape.replicas);
    spec.storage = storage.map(|size| Storage {
        size: Quantity(size.to_owned()),
        storage_class_name: None,
        persistence: Persistence::Aof,
        retention_policy: RetentionPolicy::default(),
    });
    RedisCluster::new(NAME, spec)
}

fn ready(resource: &RedisCluster) -> Option<Timestamp> {
    let ready = clusters::condition(resource, ConditionType::Ready)?;
    let is_ready = ready.status == "True" && ready.observed_generation == resource.metadata.generation;
    is_ready.then(Timestamp::now)
}
