//! A namespace per story: stories run beside each other and leave nothing behind.

use std::panic::{AssertUnwindSafe, resume_unwind};

use anyhow::{Context, Result};
use futures::FutureExt;
use k8s_openapi::api::core::v1::{Namespace as KubeNamespace, ServiceAccount};
use kube::Client;
use kube::api::{Api, DeleteParams, PostParams};
use kube::core::NamespaceResourceScope;
use rand::distr::{Alphanumeric, SampleString};
use serde_json::json;

use crate::{install, report, settings, wait};

/// Where one story takes place.
#[derive(Clone)]
pub struct Namespace {
    pub client: Client,
    pub name: String,
}

impl Namespace {
    /// Objects of this namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.name)
    }

    /// A new namespace with pod security `restricted`, ready for pods.
    pub async fn create(client: &Client) -> Result<Self> {
        let random = Alphanumeric.sample_string(&mut rand::rng(), 8).to_lowercase();
        let name = format!("keyslot-e2e-{random}");
        let namespace: KubeNamespace = serde_json::from_value(json!({
            "metadata": {
                "name": name,
                "labels": { "pod-security.kubernetes.io/enforce": "restricted" },
            },
        }))?;
        Api::all(client.clone()).create(&PostParams::default(), &namespace).await?;
        let accounts = Api::<ServiceAccount>::namespaced(client.clone(), &name);
        // Pods made before it are refused.
        wait::until("the namespace has its service account", wait::SOON, async || {
            accounts.get("default").await.context("there is none yet").map(|_| ())
        })
        .await?;
        Ok(Self { client: client.clone(), name })
    }

    /// Begins its deletion; Kubernetes does the rest.
    pub async fn delete(&self) -> Result<()> {
        let namespaces = Api::<KubeNamespace>::all(self.client.clone());
        namespaces.delete(&self.name, &DeleteParams::default()).await?;
        Ok(())
    }
}

/// Tells a story in a namespace of its own, with the operator installed. When it fails, everything that
/// may say why is printed before the namespace goes.
pub fn with_namespace(story: impl AsyncFnOnce(&Namespace) -> Result<()>) -> Result<()> {
    on_kubernetes(async |client| {
        install::once(client).await?;
        in_new_namespace(client, story).await
    })
}

/// The same without an operator, for what the API server does by itself.
pub fn with_definitions_only(story: impl AsyncFnOnce(&Namespace) -> Result<()>) -> Result<()> {
    on_kubernetes(async |client| {
        install::install_definitions(client).await?;
        in_new_namespace(client, story).await
    })
}

/// Runs it with a client of the Kubernetes under test, which can't be shared between runtimes.
pub fn on_kubernetes(work: impl AsyncFnOnce(&Client) -> Result<()>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async { work(&settings::connect().await?).await })
}

async fn in_new_namespace(client: &Client, story: impl AsyncFnOnce(&Namespace) -> Result<()>) -> Result<()> {
    let namespace = Namespace::create(client).await?;
    let outcome = AssertUnwindSafe(story(&namespace)).catch_unwind().await;
    if !matches!(outcome, Ok(Ok(()))) {
        report::print(&namespace).await;
    }
    if settings::keeps_namespaces() {
        eprintln!("namespace {} stays", namespace.name);
    } else if let Err(error) = namespace.delete().await {
        eprintln!("namespace {} stays: {error:#}", namespace.name);
    }
    outcome.unwrap_or_else(|panic| resume_unwind(panic))
}
