//! Networks of pods: a namespace with one cable to the bridge. Addresses come in turn and are used again only when a
//! test says so.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::tier::{BRIDGE, POD_NETWORK};

/// Gives addresses to pods.
#[derive(Default)]
pub struct Addresses(Mutex<Given>);

#[derive(Default)]
struct Given {
    last: u16,
    /// What the next pod of this name gets.
    ordered: BTreeMap<String, Ipv4Addr>,
}

impl Addresses {
    /// An address for a pod, given as `namespace/name`.
    pub fn give(&self, pod: &str) -> Ipv4Addr {
        let mut given = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ordered) = given.ordered.remove(pod) {
            return ordered;
        }
        // The first ones are the bridge's.
        given.last = given.last.max(9).wrapping_add(1);
        let [a, b] = POD_NETWORK;
        let [c, d] = given.last.to_be_bytes();
        Ipv4Addr::new(a, b, c, d)
    }

    /// The next pod of this name gets this address.
    pub fn order(&self, pod: &str, address: Ipv4Addr) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).ordered.insert(pod.to_owned(), address);
    }
}

/// The network of one pod.
pub struct Network {
    /// Name of its namespace.
    pub name: String,
}

impl Network {
    /// Makes it. `name` has at most 14 letters, for the cable is called after it.
    pub async fn make(name: &str, ip: Ipv4Addr) -> Result<Self> {
        let cable = format!("v{name}");
        let outside = format!(
            "netns add {name}\nlink add {cable} type veth peer name eth0 netns {name}\nlink set {cable} master {BRIDGE} up\n"
        );
        let inside = format!("link set lo up\naddress add {ip}/16 dev eth0\nlink set eth0 up\n");
        ip_commands(&[], &outside).await?;
        ip_commands(&["-n", name], &inside).await?;
        Ok(Self { name: name.to_owned() })
    }

    /// Takes the cable out, or puts it in.
    pub async fn connect(&self, connected: bool) -> Result<()> {
        let switch = if connected { "up" } else { "down" };
        ip_commands(&[], &format!("link set v{} {switch}\n", self.name)).await
    }

    /// Removes it; processes in it keep it alive.
    pub async fn remove(self) -> Result<()> {
        remove(&self.name).await
    }
}

async fn remove(name: &str) -> Result<()> {
    ip_commands(&[], &format!("link delete v{name}\nnetns delete {name}\n")).await
}

/// The network that a pod has at the moment, for those who take it away from outside.
#[derive(Default)]
pub struct Cable(Mutex<Option<String>>);

impl Cable {
    /// The pod has got this network.
    pub fn put(&self, network: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(network);
    }

    /// Whoever takes it has to remove it.
    pub fn take(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Takes it away under the feet of what runs there: nobody hears anything more of it, not even a farewell.
    pub async fn cut(&self) {
        if let Some(name) = self.take()
            && let Err(error) = remove(&name).await
        {
            eprintln!("the network {name}: {error:#}");
        }
    }
}

async fn ip_commands(options: &[&str], lines: &str) -> Result<()> {
    let mut command = Command::new("ip");
    command
        .args(options)
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = command.spawn().context("cannot start ip (Debian package iproute2)")?;
    let mut input = child.stdin.take().context("ip reads nothing")?;
    input.write_all(lines.as_bytes()).await?;
    drop(input);
    let output = child.wait_with_output().await?;
    let words = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ip {}: {}\n{lines}", options.join(" "), words.trim());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_not_used_again_unless_somebody_says_so() {
        let addresses = Addresses::default();
        let first = addresses.give("shop/demo-0");
        assert_ne!(first, addresses.give("shop/demo-0"));
        addresses.order("shop/demo-1", first);
        assert_eq!(addresses.give("shop/demo-1"), first);
        assert_ne!(addresses.give("shop/demo-1"), first);
    }
}
