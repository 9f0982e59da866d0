//! A small pretend Kubernetes: the objects of one cluster, a StatefulSet controller, a scheduler and kubelets.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use k8s_openapi::api::apps::v1::StatefulSet;
use keyslot_api::labels;
use keyslot_api::v1alpha1::RedisClusterSpec;
use keyslot_planner::ids::{HostName, PodName, Uid, ZoneName};
use keyslot_planner::manifests::{Manifest, retention_of};
use keyslot_planner::observed::{FilesSeen, MemberLabels, PodTrouble, StatefulSetSeen};
use keyslot_planner::plan::KubeOperation;

use super::node::Millis;
use super::random::Random;

/// The objects.
#[derive(Clone, Debug, Default)]
pub struct Kubernetes {
    /// Name of the resource.
    pub name: String,
    /// The StatefulSet.
    pub stateful_set: Option<StatefulSetSeen>,
    /// ConfigMap `<name>-config`.
    pub config: Option<FilesSeen>,
    /// ConfigMap or Secret `<name>-acl`.
    pub acl: Option<FilesSeen>,
    /// The marker in the system Secret.
    pub formed: bool,
    /// Pods.
    pub pods: BTreeMap<PodName, Pod>,
    /// Ordinals of volume claims.
    pub claims: BTreeSet<u32>,
    /// Kubernetes nodes with their zones.
    pub hosts: Vec<(HostName, Option<ZoneName>)>,
    /// Longest time until a new pod's container starts.
    pub slowest_start: Millis,
    /// Whether pods have volume claims.
    pub persistent: bool,
    pub(super) template: String,
    pub(super) revision: String,
    pub(super) made: u64,
    pub(super) addresses: u32,
}

/// A pod.
#[derive(Clone, Debug)]
pub struct Pod {
    /// Unique id.
    pub uid: Uid,
    /// Address, from the start of its sandbox to its end.
    pub ip: Option<IpAddr>,
    /// Where it runs.
    pub host: HostName,
    /// The zone of that host.
    pub zone: Option<ZoneName>,
    /// When its container starts, unless it runs.
    pub starts: Millis,
    /// When it is gone, once deleted.
    pub gone: Option<Millis>,
    /// Our labels.
    pub labels: MemberLabels,
    /// Why it does not run; it stays so until the trouble is taken away.
    pub trouble: Option<PodTrouble>,
    /// Revision of the StatefulSet that it was made from.
    pub revision: Option<String>,
}

impl Kubernetes {
    /// The StatefulSet controller and the scheduler.
    pub fn tick(&mut self, now: Millis, random: &mut Random) {
        let Some(set) = self.stateful_set.clone() else { return };
        for ordinal in 0..set.replicas {
            let name = PodName::new(format!("{}-{ordinal}", self.name));
            if self.pods.contains_key(&name) {
                continue;
            }
            let (host, zone) = self.emptiest_host(random);
            let pod = Pod {
                uid: self.new_uid(),
                ip: None,
                host,
                zone,
                starts: now + random.between(1, self.slowest_start.max(1)),
                gone: None,
                labels: MemberLabels::default(),
                trouble: None,
                revision: set.update_revision.clone(),
            };
            self.pods.insert(name, pod);
            if self.persistent {
                self.claims.insert(ordinal);
            }
        }
    }

    /// Soft spreading: one of the hosts with the fewest pods, and sometimes any.
    fn emptiest_host(&mut self, random: &mut Random) -> (HostName, Option<ZoneName>) {
        let load = |host: &HostName| self.pods.values().filter(|pod| pod.host == *host).count();
        let least = self.hosts.iter().map(|(host, _)| load(host)).min().unwrap_or(0);
        let anywhere = random.chance(10);
        let choice: Vec<_> = self.hosts.iter().filter(|(host, _)| anywhere || load(host) == least).collect();
        choice[random.index(choice.len())].clone()
    }

    fn new_uid(&mut self) -> Uid {
        self.made += 1;
        Uid::new(format!("uid-{}", self.made))
    }

    /// An address that no pod had before.
    pub fn new_address(&mut self) -> IpAddr {
        self.addresses += 1;
        let [_, a, b, c] = self.addresses.to_be_bytes();
        IpAddr::V4(Ipv4Addr::new(10, a, b, c))
    }

    /// Carries out an operation as the API server would; the error is its answer.
    pub fn execute(
        &mut self,
        operation: &KubeOperation,
        now: Millis,
        random: &mut Random,
    ) -> Result<(), String> {
        match operation {
            KubeOperation::Create(manifest) => self.create(manifest),
            KubeOperation::Apply { manifest, uid, version } => self.apply(manifest, uid, version.as_deref()),
            KubeOperation::ScaleUp { uid, replicas } => {
                let set = self.stateful_set.as_mut().filter(|set| set.uid == *uid);
                set.ok_or("409 Conflict: uid")?.replicas = *replicas;
                Ok(())
            }
            KubeOperation::Label { pod, uid, shard, role } => {
                let pod = self.pods.get_mut(pod).filter(|pod| pod.uid == *uid).ok_or("409 Conflict: uid")?;
                pod.labels = MemberLabels { shard: *shard, role: *role };
                Ok(())
            }
            KubeOperation::DeletePod { pod, uid } => {
                let pod = self.pods.get_mut(pod).filter(|pod| pod.uid == *uid).ok_or("404 Not Found")?;
                pod.gone = pod.gone.or(Some(now + random.between(100, 1000)));
                Ok(())
            }
            KubeOperation::Retention { uid, policy } => {
                let set = self.stateful_set.as_mut().filter(|set| set.uid == *uid);
                set.ok_or("409 Conflict: uid")?.retention = Some(*policy);
                Ok(())
            }
            KubeOperation::MarkFormed => {
                self.formed = true;
                Ok(())
            }
        }
    }

    fn create(&mut self, manifest: &Manifest) -> Result<(), String> {
        let uid = self.new_uid();
        if let Manifest::StatefulSet(set) = manifest {
            if self.stateful_set.is_some() {
                return Err("409 AlreadyExists".to_owned());
            }
            self.put_stateful_set(uid, set);
            return Ok(());
        }
        let Some(place) = self.files_of(manifest.name()) else { return Ok(()) };
        if place.is_some() {
            return Err("409 AlreadyExists".to_owned());
        }
        *place = Some(FilesSeen { uid, version: "1".to_owned(), files: files(manifest) });
        Ok(())
    }

    fn apply(&mut self, manifest: &Manifest, uid: &Uid, version: Option<&str>) -> Result<(), String> {
        if let Manifest::StatefulSet(set) = manifest {
            if self.stateful_set.as_ref().is_none_or(|seen| seen.uid != *uid) {
                return Err("409 Conflict: uid".to_owned());
            }
            self.put_stateful_set(uid.clone(), set);
            return Ok(());
        }
        let Some(place) = self.files_of(manifest.name()) else { return Ok(()) };
        let is_seen =
            |there: &&mut FilesSeen| there.uid == *uid && version.is_none_or(|seen| seen == there.version);
        let there = place.as_mut().filter(is_seen).ok_or("409 Conflict: uid or version")?;
        let version = there.version.parse::<u64>().unwrap_or_default() + 1;
        *there = FilesSeen { uid: uid.clone(), version: version.to_string(), files: files(manifest) };
        Ok(())
    }

    fn put_stateful_set(&mut self, uid: Uid, set: &StatefulSet) {
        let Some(spec) = &set.spec else { return };
        let template = serde_json::to_string(&spec.template).unwrap_or_default();
        let annotations = spec.template.metadata.as_ref().and_then(|meta| meta.annotations.as_ref());
        let in_force = annotations
            .and_then(|all| all.get(labels::IN_FORCE))
            .and_then(|text| serde_json::from_str::<RedisClusterSpec>(text).ok());
        if template != self.template {
            self.made += 1;
            self.revision = format!("revision-{}", self.made);
            self.template = template;
        }
        self.stateful_set = Some(StatefulSetSeen {
            uid,
            replicas: spec.replicas.and_then(|count| u32::try_from(count).ok()).unwrap_or(1),
            update_revision: Some(self.revision.clone()),
            in_force,
            retention: retention_of(set),
            terminating: false,
        });
    }

    fn files_of(&mut self, object: &str) -> Option<&mut Option<FilesSeen>> {
        match object.strip_prefix(self.name.as_str()) {
            Some("-config") => Some(&mut self.config),
            Some("-acl") => Some(&mut self.acl),
            _ => None,
        }
    }

    /// The resource and all its objects are gone; volumes stay.
    pub fn delete_all(&mut self) {
        (self.stateful_set, self.config, self.acl, self.formed) = (None, None, None, false);
        self.pods.clear();
    }
}

/// The files that a manifest carries.
pub(super) fn files(manifest: &Manifest) -> BTreeMap<String, String> {
    match manifest {
        Manifest::ConfigMap(map) => map.data.clone().unwrap_or_default(),
        Manifest::Secret(secret) => {
            let text = |(name, bytes): (&String, &k8s_openapi::ByteString)| {
                (name.clone(), String::from_utf8_lossy(&bytes.0).into_owned())
            };
            secret.data.iter().flatten().map(text).collect()
        }
        Manifest::Service(_) | Manifest::StatefulSet(_) | Manifest::PodDisruptionBudget(_) => BTreeMap::new(),
    }
}
