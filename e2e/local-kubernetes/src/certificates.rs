//! The certificates of the cluster and the client configurations that use them. They are made anew by
//! each `up` and are worth nothing outside of this machine.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};
use serde_json::json;

use crate::layout::{API_SERVICE_ADDRESS, HOST_ADDRESS, NODES, Node, State, api_server};

/// The group that may do anything.
const MASTERS: &str = "system:masters";

/// Whom a certificate names.
struct Subject<'a> {
    file: &'a str,
    name: &'a str,
    group: Option<&'a str>,
    addresses: &'a [&'a str],
}

const fn client<'a>(file: &'a str, name: &'a str, group: Option<&'a str>) -> Subject<'a> {
    Subject { file, name, group, addresses: &[] }
}

/// Clients that get a configuration file of the same name.
const CLIENTS: [Subject<'static>; 6] = [
    client("admin", "admin", Some(MASTERS)),
    client("controller-manager", "system:kube-controller-manager", None),
    client("scheduler", "system:kube-scheduler", None),
    client("proxy", "system:kube-proxy", None),
    client("dns", "coredns", Some(MASTERS)),
    client("provisioner", "local-kubernetes-provisioner", Some(MASTERS)),
];

pub fn make(state: &State) -> Result<()> {
    let folder = state.pki();
    let authority = authority(&folder)?;
    let api_names = [
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
        "localhost",
        API_SERVICE_ADDRESS,
        HOST_ADDRESS,
        "127.0.0.1",
    ];
    let api = Subject { file: "apiserver", name: "kube-apiserver", group: None, addresses: &api_names };
    issue(&folder, &authority, &api)?;
    issue(&folder, &authority, &client("apiserver-kubelet", "kube-apiserver-kubelet", Some(MASTERS)))?;
    issue(&folder, &authority, &client("front-proxy", "system:auth-proxy", None))?;
    for subject in &CLIENTS {
        issue(&folder, &authority, subject)?;
        write_client(state, subject.file)?;
    }
    for node in NODES {
        issue_for_node(&folder, &authority, node)?;
        write_client(state, &node.name())?;
    }
    fs::copy(state.client("admin"), state.kubeconfig()).context("cannot write the kubeconfig")?;
    let tokens = KeyPair::generate()?;
    fs::write(folder.join("service-accounts.pub"), tokens.public_key_pem())?;
    write_secret(&folder.join("service-accounts.key"), &tokens.serialize_pem())
}

fn authority(folder: &Path) -> Result<Issuer<'static, KeyPair>> {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, "local-kubernetes");
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign];
    let key = KeyPair::generate()?;
    let certificate = parameters.self_signed(&key)?;
    fs::write(folder.join("ca.crt"), certificate.pem()).context("cannot write the certificate authority")?;
    write_secret(&folder.join("ca.key"), &key.serialize_pem())?;
    Ok(Issuer::new(parameters, key))
}

fn issue(folder: &Path, authority: &Issuer<'_, KeyPair>, subject: &Subject<'_>) -> Result<()> {
    let addresses: Vec<String> = subject.addresses.iter().map(ToString::to_string).collect();
    let mut parameters = CertificateParams::new(addresses)
        .with_context(|| format!("the certificate of {} has a bad address", subject.file))?;
    parameters.distinguished_name = DistinguishedName::new();
    if let Some(group) = subject.group {
        parameters.distinguished_name.push(DnType::OrganizationName, group);
    }
    parameters.distinguished_name.push(DnType::CommonName, subject.name);
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate()?;
    let certificate = parameters.signed_by(&key, authority)?;
    fs::write(folder.join(format!("{}.crt", subject.file)), certificate.pem())?;
    write_secret(&folder.join(format!("{}.key", subject.file)), &key.serialize_pem())
}

/// The node authorizer and the `NodeRestriction` admission know a node by this name and group.
fn issue_for_node(folder: &Path, authority: &Issuer<'_, KeyPair>, node: Node) -> Result<()> {
    let (name, address) = (node.name(), node.address());
    let user = format!("system:node:{name}");
    let addresses = [name.as_str(), address.as_str()];
    issue(
        folder,
        authority,
        &Subject { file: &name, name: &user, group: Some("system:nodes"), addresses: &addresses },
    )
}

/// JSON is YAML too, so this is what every client reads.
fn write_client(state: &State, name: &str) -> Result<()> {
    let file = |ending: &str| state.pki().join(format!("{name}.{ending}"));
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{
            "name": "local",
            "cluster": { "server": api_server(), "certificate-authority": state.pki().join("ca.crt") },
        }],
        "users": [{
            "name": name,
            "user": { "client-certificate": file("crt"), "client-key": file("key") },
        }],
        "contexts": [{ "name": "local", "context": { "cluster": "local", "user": name } }],
        "current-context": "local",
    });
    let path = state.client(name);
    fs::write(&path, format!("{config:#}\n")).with_context(|| format!("cannot write {}", path.display()))
}

fn write_secret(path: &Path, content: &str) -> Result<()> {
    fs::write(path, content)
        .and_then(|()| fs::set_permissions(path, PermissionsExt::from_mode(0o600)))
        .with_context(|| format!("cannot write {}", path.display()))
}
