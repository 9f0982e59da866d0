//! The cluster that is measured: its users, connections of our own to its nodes, and when it is settled.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::future::{join_all, try_join_all};
use keyslot_api::conditions::ConditionType;
use keyslot_api::v1alpha1::{Password, User};
use keyslot_e2e::bench::NAME;
use keyslot_e2e::bench::nodes::{self, field};
use keyslot_e2e::bench::shape::Shape;
use keyslot_e2e::clusters::{self, Cluster};
use keyslot_e2e::settings::Server;
use keyslot_e2e::{Namespace, wait};
use redis::aio::MultiplexedConnection;
use sha2::{Digest, Sha256};
use tokio::time::sleep;

use crate::hang::Hanging;

/// After the status says that a change is in force everywhere: what the operator writes about it comes back to it as
/// events, and it looks once more.
const REST: Duration = Duration::from_millis(2500);
/// Many pods on a busy machine.
const FORMING: Duration = Duration::from_mins(5);

/// A formed cluster.
pub struct Subject {
    pub cluster: Cluster,
    pub nodes: Vec<Node>,
    /// As they were when it was made.
    pub users: Vec<User>,
    /// Server and version, as the resource tells it.
    pub engine: String,
}

/// One node.
pub struct Node {
    pub pod: String,
    pub ip: IpAddr,
    /// As a user who may ask for users.
    pub connection: MultiplexedConnection,
}

impl Subject {
    /// Forms a cluster, and returns when it has come to rest.
    pub async fn form(namespace: &Namespace, server: Server, shape: Shape, users: Vec<User>) -> Result<Self> {
        let mut spec = clusters::spec(server, shape.shards, shape.replicas);
        spec.users.clone_from(&users);
        let cluster = Cluster::create(namespace, NAME, spec).await?;
        cluster.wait_ready_for(FORMING).await?;
        let engine = cluster.status().await?.engine.context("the status names no server")?;
        ensure!(
            engine.version.starts_with(server.version()),
            "the image has {} {}",
            engine.name,
            engine.version
        );
        let password = &nodes::password(namespace).await?;
        let connected = nodes::addresses(namespace).await?.into_iter().map(|(pod, ip)| async move {
            let connection = nodes::connect(ip, nodes::USER, password).await?;
            anyhow::Ok(Node { pod, ip, connection })
        });
        let nodes = try_join_all(connected).await?;
        ensure!(nodes.len() == shape.nodes(), "{} pods for {shape}", nodes.len());
        let engine = format!("{} {}", engine.name, engine.version);
        let subject = Self { cluster, nodes, users, engine };
        subject.settle(None).await?;
        Ok(subject)
    }

    /// The nodes that answer.
    pub fn answering(&self, hanging: Option<&Hanging>) -> Vec<&Node> {
        let answers = |node: &&Node| hanging.is_none_or(|hanging| hanging.pod != node.pod);
        self.nodes.iter().filter(answers).collect()
    }

    /// Waits until the resource as it is now is in force on all nodes that answer, and nothing is left to do. Then
    /// for a time by chance, as changes come.
    pub async fn settle(&self, hanging: Option<&Hanging>) -> Result<()> {
        let nodes = i32::try_from(self.answering(hanging).len())?;
        wait::until(&format!("{NAME} is settled"), wait::A_WHILE, async || {
            let resource = self.cluster.get().await?;
            let applied = clusters::condition(&resource, ConditionType::AclApplied);
            let generation = resource.metadata.generation;
            let is_applied = applied
                .as_ref()
                .is_some_and(|one| one.status == "True" && one.observed_generation == generation);
            let told = resource.status.iter().flat_map(|status| &status.users);
            let all = told.clone().filter(|user| user.nodes_applied == nodes).count();
            let is_everywhere = all == resource.spec.users.len() && told.count() == all;
            ensure!(is_applied && is_everywhere, "{nodes} nodes answer; {}", clusters::summary(&resource));
            Ok(())
        })
        .await?;
        sleep(REST.mul_f64(1.0 + rand::random::<f64>() / 2.0)).await;
        Ok(())
    }

    /// Stops the server of a replica until what is returned is dropped. A primary would be replaced, which is another
    /// matter than users.
    pub async fn hang(&self) -> Result<Hanging> {
        let roles = self.nodes.iter().map(|node| async move {
            let mut connection = node.connection.clone();
            let asked = redis::cmd("INFO").arg("replication").query_async::<String>(&mut connection).await;
            asked.is_ok_and(|info| field(&info, "role") == Some("slave")).then_some(node)
        });
        let replica = join_all(roles).await.into_iter().flatten().next().context("no replica can hang")?;
        let hanging = Hanging::begin(&self.cluster.pods.get(&replica.pod).await?)?;
        self.settle(Some(&hanging)).await?;
        Ok(hanging)
    }
}

/// A user with passwords of which the resource has only the hashes.
pub fn user(name: &str, rules: &[&str], passwords: &[&str]) -> User {
    let mut user = clusters::user(name, rules);
    user.passwords = passwords.iter().map(|password| hashed(password)).collect();
    user
}

pub fn hashed(password: &str) -> Password {
    Password { secret_key_ref: None, sha256: Some(hash(password)) }
}

pub fn hash(password: &str) -> String {
    hex::encode(Sha256::digest(password.as_bytes()))
}
