//! Installs Keyslot as `deploy/` and `crds/` say, once per process.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::{Client, ResourceExt, discovery};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::settings::{self, OPERATOR_NAMESPACE};
use crate::wait;

const MANAGER: &str = "keyslot-e2e";
/// On the operator's pods: when this run began. The tests look at nothing that happened before.
const RUN_BEGAN: &str = "keyslot-e2e/run-began";

/// Installs it, or fails again as it failed before: a broken installation must not be tried per story.
pub async fn once(client: &Client) -> Result<()> {
    static INSTALLED: OnceCell<std::result::Result<(), String>> = OnceCell::const_new();
    let done =
        INSTALLED.get_or_init(async || install(client).await.map_err(|error| format!("{error:#}"))).await;
    done.as_ref().map_err(|error| anyhow!("the operator is not installed: {error}")).copied()
}

/// Applies everything and waits for the operator. Its pods are always new, for the image of the same
/// name may be another one than before.
pub async fn install(client: &Client) -> Result<()> {
    install_definitions(client).await?;
    let mut objects = objects(&settings::checkout().join("deploy"))?;
    // What other objects need comes first.
    objects.sort_by_key(|object| kind(object) != "Namespace");
    for object in &mut objects {
        if kind(object) == "Deployment" {
            adapt(object)?;
        }
        apply(client, object).await?;
    }
    wait::until("the operator is available", wait::A_WHILE, async || is_available(client).await).await
}

/// Only the resource's definition: enough for what the API server does by itself.
pub async fn install_definitions(client: &Client) -> Result<()> {
    for object in objects(&settings::checkout().join("crds"))? {
        apply(client, &object).await?;
    }
    let definitions = Api::<CustomResourceDefinition>::all(client.clone());
    wait::until("the definition is established", wait::SOON, async || {
        let definition = definitions.get("redisclusters.keyslot.dev").await?;
        let conditions = definition.status.and_then(|status| status.conditions).unwrap_or_default();
        let is = conditions.iter().any(|one| one.type_ == "Established" && one.status == "True");
        ensure!(is, "conditions: {conditions:?}");
        Ok(())
    })
    .await
}

/// When the operator under test was installed.
pub async fn run_began(client: &Client) -> Result<Timestamp> {
    let mut began = Vec::new();
    for deployment in deployments(client).await? {
        let template = deployment.spec.and_then(|spec| spec.template.metadata);
        let when = template.and_then(|metadata| metadata.annotations?.remove(RUN_BEGAN));
        began.extend(when.map(|when| when.parse::<Timestamp>()).transpose()?);
    }
    began.into_iter().min().context("the operator was not installed by these tests")
}

/// Running pods of the operator.
pub async fn operator_pods(client: &Client) -> Result<Vec<Pod>> {
    let mut found = Vec::new();
    for deployment in deployments(client).await? {
        let selector = deployment.spec.and_then(|spec| spec.selector.match_labels).unwrap_or_default();
        let selector: Vec<String> = selector.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let pods = Api::<Pod>::namespaced(client.clone(), OPERATOR_NAMESPACE);
        found.extend(pods.list(&ListParams::default().labels(&selector.join(","))).await?.items);
    }
    found.retain(|pod| pod.metadata.deletion_timestamp.is_none());
    Ok(found)
}

async fn deployments(client: &Client) -> Result<Vec<Deployment>> {
    let all = Api::<Deployment>::namespaced(client.clone(), OPERATOR_NAMESPACE);
    Ok(all.list(&ListParams::default()).await?.items)
}

async fn is_available(client: &Client) -> Result<()> {
    let deployments = deployments(client).await?;
    ensure!(!deployments.is_empty(), "there is no Deployment in {OPERATOR_NAMESPACE}");
    for deployment in deployments {
        let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
        let status = deployment.status.clone().unwrap_or_default();
        let is_current = status.observed_generation == deployment.metadata.generation;
        let counts = [status.replicas, status.updated_replicas, status.available_replicas];
        let name = deployment.name_any();
        ensure!(
            is_current && counts == [Some(wanted); 3],
            "{name}: {counts:?} of {wanted} pods there, updated and available"
        );
    }
    Ok(())
}

fn adapt(deployment: &mut Value) -> Result<()> {
    let image = settings::operator_image();
    let containers = deployment.pointer_mut("/spec/template/spec/containers").and_then(Value::as_array_mut);
    for container in containers.context("a Deployment without containers")? {
        container["image"] = json!(image);
        container["imagePullPolicy"] = json!("IfNotPresent");
    }
    let metadata = &mut deployment["spec"]["template"]["metadata"];
    metadata["annotations"][RUN_BEGAN] = json!(Timestamp::now().to_string());
    Ok(())
}

/// Server-side apply of any object.
pub async fn apply(client: &Client, object: &Value) -> Result<()> {
    let object: DynamicObject = serde_json::from_value(object.clone())?;
    let types = object.types.as_ref().context("an object without apiVersion and kind")?;
    let kind = GroupVersionKind::try_from(types)?;
    let (resource, capabilities) = discovery::pinned_kind(client, &kind).await?;
    let api: Api<DynamicObject> = match (capabilities.scope, object.namespace()) {
        (discovery::Scope::Cluster, _) => Api::all_with(client.clone(), &resource),
        (discovery::Scope::Namespaced, Some(space)) => {
            Api::namespaced_with(client.clone(), &space, &resource)
        }
        (discovery::Scope::Namespaced, None) => {
            bail!("{}/{} names no namespace", kind.kind, object.name_any())
        }
    };
    let parameters = PatchParams::apply(MANAGER).force();
    api.patch(&object.name_any(), &parameters, &Patch::Apply(&object))
        .await
        .with_context(|| format!("cannot apply {}/{}", kind.kind, object.name_any()))?;
    Ok(())
}

fn kind(object: &Value) -> &str {
    object["kind"].as_str().unwrap_or_default()
}

/// All objects of the YAML files of a folder, but lists of files for kustomize.
fn objects(folder: &Path) -> Result<Vec<Value>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut files: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    files.retain(|file| file.extension().is_some_and(|ending| ending == "yaml" || ending == "yml"));
    files.sort();
    let mut all = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file)?;
        let read = serde_saphyr::from_multiple::<Value>(&text);
        all.extend(read.with_context(|| format!("cannot read {}", file.display()))?);
    }
    all.retain(|object| !object.is_null() && kind(object) != "Kustomization");
    Ok(all)
}
