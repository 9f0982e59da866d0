//! The two Services: one gives pods their names, the other is where clients begin.

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::meta::Owner;
use super::{Manifest, names};
use crate::command::{BUS_PORT, REDIS_PORT};
use crate::desired::Desired;

/// Name of the port of clients.
pub(super) const REDIS_PORT_NAME: &str = "redis";
/// Name of the port of the cluster bus.
pub(super) const BUS_PORT_NAME: &str = "bus";

/// Headless Service `<name>`: a DNS name per pod, from the pod's first second, since nodes announce these names.
pub fn headless_service(desired: &Desired) -> Manifest {
    let owner = Owner::from(desired);
    Manifest::Service(Service {
        metadata: owner.metadata(desired.name.clone()),
        spec: Some(ServiceSpec {
            cluster_ip: Some("None".to_owned()),
            publish_not_ready_addresses: Some(true),
            selector: Some(owner.selector()),
            ports: Some(vec![port(REDIS_PORT_NAME, REDIS_PORT), port(BUS_PORT_NAME, BUS_PORT)]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    })
}

/// Service `<name>-client`: one address that leads to a ready pod, where a client learns of all the others.
pub fn client_service(desired: &Desired) -> Manifest {
    let owner = Owner::from(desired);
    Manifest::Service(Service {
        metadata: owner.metadata(names::client(&desired.name)),
        spec: Some(ServiceSpec {
            type_: Some("ClusterIP".to_owned()),
            selector: Some(owner.selector()),
            ports: Some(vec![port(REDIS_PORT_NAME, REDIS_PORT)]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    })
}

fn port(name: &str, port: u16) -> ServicePort {
    ServicePort {
        name: Some(name.to_owned()),
        port: i32::from(port),
        target_port: Some(IntOrString::String(name.to_owned())),
        protocol: Some("TCP".to_owned()),
        ..ServicePort::default()
    }
}
