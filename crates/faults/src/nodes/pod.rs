//! The life of one pod, from its binding to a machine to its end.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, Patch, PatchParams, Preconditions};
use nix::sys::signal::Signal;
use serde_json::json;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::container::{Container, ContainerPlan};
use super::kubelet::{Order, Shared};
use super::network::{Cable, Network};
use super::probes::{Health, watch_health};
use super::projection::Projection;
use super::status::{Ended, Report, State, now};

mod preparation;

/// What reaches a pod from outside.
pub struct Life {
    /// The pod as the API server has it.
    pub updates: watch::Receiver<Arc<Pod>>,
    /// What a test does to it.
    pub orders: mpsc::UnboundedReceiver<Order>,
    /// Tells which network it has.
    pub cable: Arc<Cable>,
}

/// A container that ends is started again at once, and after that with delays up to this. A real kubelet waits from
/// 10 s to 5 min.
const LONGEST_DELAY: Duration = Duration::from_secs(5);
/// How often it is looked whether files and status are still what they should be.
const LOOK: Duration = Duration::from_millis(300);

/// Plays a pod to its end.
pub async fn play(shared: Arc<Shared>, life: Life) {
    let pod = life.updates.borrow().clone();
    if let Err(error) = Playing::of(shared, &pod, Arc::clone(&life.cable)).live(life).await {
        eprintln!("pod {}/{}: {error:#}", pod.namespace().unwrap_or_default(), pod.name_any());
    }
}

struct Playing {
    shared: Arc<Shared>,
    pod: Arc<Pod>,
    api: Api<Pod>,
    folder: PathBuf,
    network: Option<Network>,
    cable: Arc<Cable>,
    /// Volumes that are made from ConfigMaps and Secrets.
    files: BTreeMap<String, Projection>,
    report: Report,
}

/// Why a run of the container is over.
enum End {
    /// It ended by itself, by a probe or by an order.
    Died(Option<ExitStatus>),
    /// The pod is to go.
    Deleted,
}

impl Playing {
    fn of(shared: Arc<Shared>, pod: &Arc<Pod>, cable: Arc<Cable>) -> Self {
        let namespace = pod.namespace().unwrap_or_default();
        let api = Api::namespaced(shared.objects.client.clone(), &namespace);
        let folder = shared.folder.join("pods").join(pod.uid().unwrap_or_default());
        // After a power cut the pod has had containers before.
        let before = pod.status.as_ref().and_then(|status| status.container_statuses.as_deref());
        let restarts = before.and_then(|all| all.first()).map_or(0, |one| one.restart_count + 1);
        let state = State::Waiting("ContainerCreating", String::new());
        let report = Report { ip: None, state, last: None, restarts };
        Self {
            shared,
            pod: Arc::clone(pod),
            api,
            folder,
            network: None,
            cable,
            files: BTreeMap::new(),
            report,
        }
    }

    async fn live(&mut self, mut life: Life) -> Result<()> {
        let mut delay = Duration::ZERO;
        loop {
            let Some(plan) = self.prepare(&mut life).await? else { break };
            let mut container = Container::start(plan)?;
            let since = now();
            let id = format!("{:016x}", self.shared.serial());
            self.report.state = State::Running { id: id.clone(), since, health: Health::default() };
            self.tell().await;
            let end = self.run(&mut container, &mut life).await;
            let status = match end {
                End::Deleted => {
                    // With the grace period that was asked for.
                    self.pod = life.updates.borrow().clone();
                    self.stop(&mut container).await;
                    break;
                }
                End::Died(status) => status,
            };
            let code = status
                .map_or(137, |status| status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(9)));
            self.report.last = Some(Ended { id, code, log: container.log(), time: (since, now()) });
            self.report.restarts += 1;
            let words = format!("back-off {delay:?} restarting failed container");
            self.report.state = State::Waiting("CrashLoopBackOff", words);
            self.tell().await;
            if timeout(delay, deleted(&mut life.updates)).await.is_ok() {
                break;
            }
            delay = (delay * 2).clamp(Duration::from_secs(1), LONGEST_DELAY);
        }
        self.remove().await
    }

    /// Waits until everything is there that the container needs; `None` when the pod goes before that.
    async fn prepare(&mut self, life: &mut Life) -> Result<Option<ContainerPlan>> {
        loop {
            let waits_for = match self.plan().await {
                Ok(plan) => return Ok(Some(plan)),
                Err(missing) => format!("{missing:#}"),
            };
            let State::Waiting(reason, told) = &self.report.state else { bail!("it runs") };
            if *told != waits_for {
                self.report.state = State::Waiting(reason, waits_for);
                self.tell().await;
            }
            if timeout(Duration::from_millis(100), deleted(&mut life.updates)).await.is_ok() {
                return Ok(None);
            }
        }
    }

    /// Returns when this run is over.
    async fn run(&mut self, container: &mut Container, life: &mut Life) -> End {
        let (tell_health, mut health) = watch::channel(Health::default());
        let mut probes = JoinSet::new();
        if let Ok(spec) = self.container() {
            probes.spawn(watch_health(container.door(), spec.clone(), tell_health));
        }
        let mut probing = true;
        loop {
            tokio::select! {
                status = container.ended() => return End::Died(status),
                () = deleted(&mut life.updates) => return End::Deleted,
                changed = health.changed(), if probing => {
                    probing = changed.is_ok();
                    let found = *health.borrow_and_update();
                    if found.given_up {
                        container.kill().await;
                        return End::Died(None);
                    }
                    if let State::Running { health, .. } = &mut self.report.state {
                        *health = found;
                    }
                    self.tell().await;
                }
                Some(order) = life.orders.recv() => self.obey(order, container).await,
                () = sleep(LOOK) => {
                    self.refresh();
                    // Controllers write into the status of pods, too, when a machine was silent for long.
                    let told = life.updates.borrow().clone();
                    if self.report.differs(&told) {
                        self.pod = told;
                        self.tell().await;
                    }
                }
            }
        }
    }

    async fn obey(&mut self, order: Order, container: &Container) {
        match order {
            Order::Kill => container.signal(Signal::SIGKILL),
            Order::Hang => container.signal(Signal::SIGSTOP),
            Order::GoOn => container.signal(Signal::SIGCONT),
            Order::Move => {
                self.disconnect().await;
                container.signal(Signal::SIGKILL);
            }
            Order::Cut | Order::Join => {
                let Some(network) = &self.network else { return };
                if let Err(error) = network.connect(order == Order::Join).await {
                    eprintln!("the cable of {}: {error:#}", self.pod.name_any());
                }
            }
        }
    }

    /// Files follow their ConfigMaps and Secrets; those of one that is gone stay.
    fn refresh(&mut self) {
        let delay = self.shared.projection_delay(&self.pod.namespace().unwrap_or_default());
        for (volume, projection) in &mut self.files {
            if let Ok(Some(files)) = self.shared.objects.files(&self.pod, volume)
                && let Err(error) = projection.follow(files, delay)
            {
                eprintln!("files of {}: {error:#}", self.pod.name_any());
            }
        }
    }

    /// Hook, request, grace period.
    async fn stop(&mut self, container: &mut Container) {
        let asked = self.pod.metadata.deletion_grace_period_seconds;
        let grace = Duration::from_secs(asked.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(30));
        self.tell().await;
        let hook = self.container().ok().and_then(|spec| {
            let hook = spec.lifecycle.as_ref()?.pre_stop.as_ref()?.exec.as_ref()?;
            hook.command.clone()
        });
        let begin = Instant::now();
        if let Some(hook) = hook {
            container.door().exec(&hook, grace).await;
        }
        container.stop(grace.saturating_sub(begin.elapsed())).await;
    }

    /// The pod has ended: its name is free.
    async fn remove(&mut self) -> Result<()> {
        self.disconnect().await;
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            eprintln!("folder of {}: {error}", self.pod.name_any());
        }
        let now = DeleteParams {
            grace_period_seconds: Some(0),
            preconditions: Some(Preconditions { uid: self.pod.uid(), resource_version: None }),
            ..DeleteParams::default()
        };
        loop {
            match self.api.delete(&self.pod.name_any(), &now).await {
                Ok(_) => return Ok(()),
                Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => {
                    return Ok(());
                }
                // Without an end its name would never be free.
                Err(error) => eprintln!("the end of {}: {error:#}", self.pod.name_any()),
            }
            sleep(LOOK).await;
        }
    }

    async fn disconnect(&mut self) {
        if let Some(name) = self.dns_name() {
            self.shared.call(name, None);
        }
        self.report.ip = None;
        self.cable.take();
        if let Some(network) = self.network.take()
            && let Err(error) = network.remove().await
        {
            eprintln!("network of {}: {error:#}", self.pod.name_any());
        }
    }

    /// Reports the status; the API server may be away, and then the next report has all of it.
    async fn tell(&mut self) {
        let patch = json!({ "metadata": { "uid": self.pod.uid() }, "status": self.report.status(&self.pod) });
        let told =
            self.api.patch_status(&self.pod.name_any(), &PatchParams::default(), &Patch::Merge(patch)).await;
        match told {
            Ok(pod) => self.pod = Arc::new(pod),
            // It is gone, or another one of its name is there.
            Err(kube::Error::Api(status))
                if status.is_not_found() || status.is_conflict() || status.is_invalid() => {}
            Err(error) => eprintln!("status of {}: {error:#}", self.pod.name_any()),
        }
    }
}

/// Returns when the pod is to go.
async fn deleted(updates: &mut watch::Receiver<Arc<Pod>>) {
    let gone = updates.wait_for(|pod| pod.metadata.deletion_timestamp.is_some()).await.is_ok();
    if !gone {
        // The kubelet is gone, and with it this task.
        std::future::pending::<()>().await;
    }
}
