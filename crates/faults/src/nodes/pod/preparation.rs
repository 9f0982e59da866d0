//! What a container of a pod is made of: files, volumes, network, environment.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::{Container as ContainerSpec, EnvVar, PodSpec, Volume};
use keyslot_testkit::redis_server::rootfs;
use kube::ResourceExt;

use super::Playing;
use crate::nodes::container::ContainerPlan;
use crate::nodes::network::Network;
use crate::nodes::projection::Projection;

impl Playing {
    pub(super) async fn plan(&mut self) -> Result<ContainerPlan> {
        let container = self.container()?.clone();
        is_played(self.pod.spec.as_ref().context("a pod without a spec")?, &container)?;
        let image = container.image.as_deref().unwrap_or_default();
        let version = image.rsplit('/').next().unwrap_or_default().replace(':', "-");
        let image = rootfs(&version)?;
        let mut mounts = vec![(self.shared.hosts(), "/etc/hosts".to_owned())];
        for mount in container.volume_mounts.as_deref().unwrap_or_default() {
            mounts.push((self.volume(&mount.name)?, mount.mount_path.clone()));
        }
        let network = self.connect().await?;
        let folder = self.folder.join(format!("run-{}", self.shared.serial()));
        let environment = self.environment(&container)?;
        let command = container.command.unwrap_or_default();
        Ok(ContainerPlan { folder, image, network, mounts, environment, command })
    }

    pub(super) fn container(&self) -> Result<&ContainerSpec> {
        let spec = self.pod.spec.as_ref().context("a pod without a spec")?;
        spec.containers.first().context("a pod without a container")
    }

    /// The folder of a volume, filled.
    fn volume(&mut self, name: &str) -> Result<PathBuf> {
        let folder = self.folder.join("volumes").join(name);
        if self.files.contains_key(name) {
            // A container that is started again finds what the one before it had.
            return Ok(folder);
        }
        if let Some(files) = self.shared.objects.files(&self.pod, name)? {
            self.files.insert(name.to_owned(), Projection::new(folder.clone(), files)?);
            return Ok(folder);
        }
        let volumes = self.pod.spec.as_ref().and_then(|spec| spec.volumes.as_deref()).unwrap_or_default();
        let volume = volumes.iter().find(|one| one.name == name).context("an unknown volume")?;
        if let Some(source) = &volume.persistent_volume_claim {
            let claim =
                self.shared.objects.claim(&self.pod.namespace().unwrap_or_default(), &source.claim_name);
            let bound = claim.and_then(|claim| claim.spec?.volume_name);
            let bound = bound.with_context(|| format!("claim {} is not bound", source.claim_name))?;
            return Ok(self.shared.volumes().join(bound));
        }
        ensure!(volume.empty_dir.is_some(), "the kind of volume {name} is not played");
        fs::create_dir_all(&folder)?;
        fs::set_permissions(&folder, PermissionsExt::from_mode(0o777))?;
        Ok(folder)
    }

    async fn connect(&mut self) -> Result<String> {
        if let Some(network) = &self.network {
            return Ok(network.name.clone());
        }
        let pod = format!("{}/{}", self.pod.namespace().unwrap_or_default(), self.pod.name_any());
        let ip = self.shared.addresses.give(&pod);
        let network = Network::make(&format!("p{}", self.shared.serial()), ip).await?;
        self.cable.put(network.name.clone());
        self.report.ip = Some(ip);
        if let Some(name) = self.dns_name() {
            self.shared.call(name, Some(ip));
        }
        Ok(self.network.insert(network).name.clone())
    }

    pub(super) fn dns_name(&self) -> Option<String> {
        let spec = self.pod.spec.as_ref()?;
        let namespace = self.pod.namespace()?;
        Some(format!(
            "{}.{}.{namespace}.svc.cluster.local",
            spec.hostname.as_ref()?,
            spec.subdomain.as_ref()?
        ))
    }

    fn environment(&self, container: &ContainerSpec) -> Result<Vec<(String, String)>> {
        let value = |variable: &EnvVar| {
            let Some(source) = &variable.value_from else {
                return Some(variable.value.clone().unwrap_or_default());
            };
            match source.field_ref.as_ref().map(|source| source.field_path.as_str()) {
                Some("metadata.name") => Some(self.pod.name_any()),
                Some("metadata.namespace") => self.pod.namespace(),
                Some("status.podIP") => self.report.ip.map(|ip| ip.to_string()),
                Some(_) | None => None,
            }
        };
        let variables = container.env.iter().flatten();
        variables
            .map(|variable| {
                let value = value(variable).with_context(|| format!("{} is not played", variable.name))?;
                Ok((variable.name.clone(), value))
            })
            .collect()
    }
}

/// What a kubelet would do and this one does not is no reason to look as if it had.
fn is_played(pod: &PodSpec, container: &ContainerSpec) -> Result<()> {
    let probes = [&container.startup_probe, &container.readiness_probe, &container.liveness_probe];
    let mounts = container.volume_mounts.as_deref().unwrap_or_default();
    let volumes = pod.volumes.as_deref().unwrap_or_default();
    let chosen = |volume: &Volume| volume.config_map.as_ref().is_some_and(|source| source.items.is_some());
    for (is_there, what) in [
        (pod.containers.len() != 1, "more than one container"),
        (pod.init_containers.as_ref().is_some_and(|all| !all.is_empty()), "init containers"),
        (container.args.is_some(), "args"),
        (container.env_from.is_some(), "envFrom"),
        (probes.into_iter().flatten().any(|probe| probe.exec.is_none()), "a probe without exec"),
        (mounts.iter().any(|mount| mount.sub_path.is_some()), "subPath"),
        (volumes.iter().any(chosen), "items of a ConfigMap"),
    ] {
        ensure!(!is_there, "{what}: this is not played");
    }
    Ok(())
}
