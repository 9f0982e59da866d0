//! What the benchmarks share. They need the local Kubernetes: they connect to pods, and look at processes.

pub mod machine;
pub mod nodes;
pub mod shape;
pub mod table;

use anyhow::{Result, bail};
use k8s_openapi::api::core::v1::Namespace as KubeNamespace;
use kube::Client;
use kube::api::Api;

use crate::clusters::Cluster;
use crate::settings::Server;
use crate::{Namespace, report, wait};

/// The name of every cluster here: each has a namespace of its own.
pub const NAME: &str = "bench";

/// The cluster of a namespace.
pub fn cluster(namespace: &Namespace) -> Cluster {
    Cluster::named(namespace, NAME)
}

/// A server by its name on the command line.
pub fn server(name: &str) -> Result<Server> {
    Ok(match name {
        "redis-7.0" => Server::Redis70,
        "redis-8.0" => Server::Redis80,
        "redis-8.6" => Server::Redis86,
        "valkey-8.1" => Server::Valkey81,
        "valkey-9.1" => Server::Valkey91,
        _ => bail!("redis-7.0, redis-8.0, redis-8.6, valkey-8.1 or valkey-9.1"),
    })
}

/// Works in a new namespace, and returns when nothing is left of it.
pub async fn in_namespace<T>(client: &Client, work: impl AsyncFnOnce(&Namespace) -> Result<T>) -> Result<T> {
    let namespace = Namespace::create(client).await?;
    let done = Box::pin(work(&namespace)).await;
    if done.is_err() {
        report::print(&namespace).await;
    }
    namespace.delete().await?;
    let namespaces = Api::<KubeNamespace>::all(client.clone());
    wait::until("the namespace is gone", wait::A_WHILE, async || {
        match namespaces.get_opt(&namespace.name).await? {
            None => Ok(()),
            Some(_) => bail!("{} is still there", namespace.name),
        }
    })
    .await?;
    done
}
