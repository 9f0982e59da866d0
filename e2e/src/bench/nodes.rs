//! Connections of our own to nodes: nothing that they tell comes from the operator.

use std::collections::BTreeMap;
use std::net::IpAddr;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::ListParams;
use redis::aio::MultiplexedConnection;
use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo};

use super::{NAME, cluster};
use crate::Namespace;

pub const PORT: u16 = 6379;
/// May ask what has to be asked here, and nothing that would count as a client's.
pub const USER: &str = "keyslot-operator";

pub async fn connect(ip: IpAddr, user: &str, password: &str) -> Result<MultiplexedConnection> {
    let identity =
        RedisConnectionInfo::default().set_username(user).set_password(password).set_skip_set_lib_name();
    let info: ConnectionInfo = ConnectionAddr::Tcp(ip.to_string(), PORT).into_connection_info()?;
    let client = redis::Client::open(info.set_redis_settings(identity))?;
    client.get_multiplexed_async_connection().await.with_context(|| format!("cannot connect to {ip}"))
}

/// The password of [`USER`].
pub async fn password(namespace: &Namespace) -> Result<String> {
    cluster(namespace).secret(&format!("{NAME}-system"), "operator-password").await
}

/// A value of INFO or CLUSTER INFO.
pub fn field<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.trim_end().strip_prefix(key)?.strip_prefix(':'))
}

/// The addresses of the pods, by name.
pub async fn addresses(namespace: &Namespace) -> Result<BTreeMap<String, IpAddr>> {
    let pods = namespace.api::<Pod>().list(&ListParams::default()).await?;
    let address = |pod: &Pod| {
        let ip = pod.status.as_ref().and_then(|status| status.pod_ip.clone());
        Ok((pod.name_any(), ip.with_context(|| format!("{} has no address", pod.name_any()))?.parse()?))
    };
    pods.iter().map(address).collect()
}
