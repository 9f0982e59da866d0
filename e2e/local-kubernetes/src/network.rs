//! The wires: one bridge on the machine, one network namespace for each node, and routes between the
//! pods of different nodes. Traffic of the cluster never leaves the machine.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::command::{output, run, words};
use crate::layout::{
    API_PORT, BRIDGE, CONTROLLER_MANAGER_PORT, DNS_HEALTH_PORT, DNS_PORT, DNS_READY_PORT, ETCD_PEER_PORT,
    ETCD_PORT, HOST_ADDRESS, NODES, Node, SCHEDULER_PORT,
};

fn ip(arguments: &str) -> Result<()> {
    run(&mut words("ip", arguments))
}

pub fn make() -> Result<()> {
    refuse_used_addresses()?;
    ip(&format!("link add {BRIDGE} type bridge"))?;
    ip(&format!("address add {HOST_ADDRESS}/24 dev {BRIDGE}"))?;
    ip(&format!("link set {BRIDGE} up"))?;
    for node in NODES {
        connect(node).with_context(|| format!("cannot connect {}", node.name()))?;
    }
    Ok(())
}

fn connect(node: Node) -> Result<()> {
    let link = node.link();
    ip(&format!("netns add {link}"))?;
    ip(&format!("link add {link} type veth peer name eth0 netns {link}"))?;
    ip(&format!("link set {link} master {BRIDGE} up"))?;
    ip(&format!("-n {link} address add {}/24 dev eth0", node.address()))?;
    ip(&format!("-n {link} link set lo up"))?;
    ip(&format!("-n {link} link set eth0 up"))?;
    ip(&format!("-n {link} route add default via {HOST_ADDRESS}"))?;
    // The machine reaches pods too: an operator that runs outside of the cluster talks to them.
    ip(&format!("route replace {} via {}", node.pod_range(), node.address()))?;
    for other in NODES.into_iter().filter(|other| *other != node) {
        ip(&format!("-n {link} route add {} via {}", other.pod_range(), other.address()))?;
    }
    Ok(())
}

/// Wherever else these addresses are in use, our routes would take its traffic.
fn refuse_used_addresses() -> Result<()> {
    let routes = output(&mut words("ip", "-4 route show"))?;
    let taken = ["10.87.0.", "10.88.", "10.96."];
    let is_taken = |line: &&str| {
        taken.iter().any(|start| line.starts_with(start)) && !line.contains(&format!("dev {BRIDGE}"))
    };
    match routes.lines().find(is_taken) {
        Some(line) => bail!("this machine already uses addresses that the cluster needs: {}", line.trim()),
        None => Ok(()),
    }
}

/// Must be asked before the control plane starts.
pub fn check_ports_are_free() -> Result<()> {
    let on_loopback =
        [ETCD_PORT, ETCD_PEER_PORT, DNS_HEALTH_PORT, DNS_READY_PORT, CONTROLLER_MANAGER_PORT, SCHEDULER_PORT];
    let ports = on_loopback.map(|port| ("127.0.0.1", port));
    for (address, port) in ports.into_iter().chain([(HOST_ADDRESS, API_PORT), (HOST_ADDRESS, DNS_PORT)]) {
        TcpListener::bind((address, port)).with_context(|| {
            format!("port {port} on {address} is taken; find who with: ss -ltnp sport = :{port}")
        })?;
    }
    UdpSocket::bind((HOST_ADDRESS, DNS_PORT)).with_context(|| {
        format!("UDP port {DNS_PORT} on {HOST_ADDRESS} is taken; is a DNS server running here?")
    })?;
    Ok(())
}

/// Asks the DNS server itself; it says yes once it knows all services.
pub fn is_dns_ready() -> bool {
    let ask = || -> Result<String> {
        let mut connection = TcpStream::connect(("127.0.0.1", DNS_READY_PORT))?;
        connection.set_read_timeout(Some(Duration::from_secs(2)))?;
        connection.write_all(b"GET /ready HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with("HTTP/1.0 200") || answer.starts_with("HTTP/1.1 200"))
}

pub fn is_connected(node: Node) -> bool {
    let flags = output(&mut words("ip", &format!("-o link show dev {}", node.link())));
    // `<…,UP,…>` is the switch; the word after `state` also depends on the other end.
    flags.is_ok_and(|line| {
        line.split_once('<')
            .and_then(|(_, rest)| rest.split_once('>'))
            .is_some_and(|(flags, _)| flags.split(',').any(|flag| flag == "UP"))
    })
}

pub fn cut(node: Node) -> Result<()> {
    ip(&format!("link set {} down", node.link()))
}

pub fn join(node: Node) -> Result<()> {
    ip(&format!("link set {} up", node.link()))
}

/// Whether anything of the network is there: a cluster that runs, or what a crash left.
pub fn exists() -> bool {
    has_link(BRIDGE) || NODES.iter().any(|node| has_namespace(*node) || has_link(&node.link()))
}

fn has_link(name: &str) -> bool {
    Path::new("/sys/class/net").join(name).exists()
}

fn has_namespace(node: Node) -> bool {
    Path::new("/run/netns").join(node.link()).exists()
}

/// Routes go with the bridge, and both ends of a cable go with either.
pub fn remove() -> Result<()> {
    for node in NODES {
        if has_link(&node.link()) {
            ip(&format!("link delete {}", node.link()))?;
        }
        if has_namespace(node) {
            ip(&format!("netns delete {}", node.link()))?;
        }
    }
    if has_link(BRIDGE) {
        ip(&format!("link delete {BRIDGE}"))?;
    }
    Ok(())
}
