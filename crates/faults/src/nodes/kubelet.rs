//! The kubelets of all played machines: they see which pods are theirs and give each a task of its own.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use futures::StreamExt;
use futures::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, ResourceExt};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};

use super::machines::{HEARTBEAT, Machine};
use super::network::{Addresses, Cable};
use super::objects::Objects;
use super::pod::{self, Life};
use super::provisioner;

/// What a test does to a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Its container dies, as by the kernel's hand; it is started again.
    Kill,
    /// All its processes stand still.
    Hang,
    /// They go on.
    GoOn,
    /// Its container dies, and starts again with another address.
    Move,
    /// Its network cable is out.
    Cut,
    /// And in again.
    Join,
}

/// All played kubelets. They end when this is dropped.
pub struct Kubelets {
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

/// What the tasks of pods share.
pub struct Shared {
    /// What the API server has.
    pub objects: Objects,
    /// Addresses for pods.
    pub addresses: Addresses,
    /// Folders of volumes, pods and images.
    pub folder: PathBuf,
    /// How long files of pods stay behind their ConfigMaps and Secrets, by namespace.
    projection_delays: Mutex<HashMap<String, Duration>>,
    names: Mutex<BTreeMap<String, Ipv4Addr>>,
    powered: Mutex<BTreeSet<Machine>>,
    pods: Mutex<HashMap<String, Played>>,
    serial: AtomicU64,
}

struct Played {
    name: String,
    machine: String,
    seen: watch::Sender<Arc<Pod>>,
    orders: mpsc::UnboundedSender<Order>,
    cable: Arc<Cable>,
    task: JoinHandle<()>,
}

impl Played {
    /// Ends without a word to anybody.
    async fn vanish(self) {
        self.cable.cut().await;
        self.task.abort();
    }
}

impl Kubelets {
    /// Starts without a machine. `folder` is theirs.
    pub async fn start(client: Client, folder: &Path) -> Result<Self> {
        let mut tasks = JoinSet::new();
        fs::create_dir_all(folder)?;
        fs::write(hosts(folder), "")?;
        provisioner::make_class(&client).await?;
        tasks.spawn(provisioner::provision(client.clone(), volumes(folder)));
        let shared = Arc::new(Shared {
            objects: Objects::watch(client, &mut tasks).await?,
            addresses: Addresses::default(),
            folder: folder.to_owned(),
            projection_delays: Mutex::default(),
            names: Mutex::default(),
            powered: Mutex::default(),
            pods: Mutex::default(),
            serial: AtomicU64::new(0),
        });
        tasks.spawn(follow_pods(Arc::clone(&shared)));
        tasks.spawn(beat(Arc::clone(&shared)));
        Ok(Self { shared, _tasks: tasks })
    }

    /// The names of all pods, as a file.
    pub fn hosts(&self) -> PathBuf {
        self.shared.hosts()
    }

    /// The pods of a namespace with their addresses, whether they answer or not.
    pub fn pods(&self, namespace: &str) -> BTreeMap<String, IpAddr> {
        let ours = format!(".{namespace}.svc.cluster.local");
        let names = lock(&self.shared.names);
        let ours = names.iter().filter(|(name, _)| name.ends_with(&ours));
        ours.map(|(name, ip)| (name.split('.').next().unwrap_or(name).to_owned(), (*ip).into())).collect()
    }

    /// Adds machines.
    pub async fn add(&self, machines: &[Machine]) -> Result<()> {
        for machine in machines {
            machine.register(&self.shared.objects.client).await?;
            lock(&self.shared.powered).insert(machine.clone());
        }
        Ok(())
    }

    /// Does something to the pod of this name.
    pub fn order(&self, namespace: &str, pod: &str, order: Order) -> Result<()> {
        let name = format!("{namespace}/{pod}");
        let pods = lock(&self.shared.pods);
        let played = pods
            .values()
            .find(|played| played.name == name)
            .with_context(|| format!("no pod {name} is played"))?;
        played.orders.send(order).with_context(|| format!("the pod {name} has ended"))
    }

    /// The next pod of this name gets this address, whoever had it.
    pub fn next_address(&self, namespace: &str, pod: &str, address: Ipv4Addr) {
        self.shared.addresses.order(&format!("{namespace}/{pod}"), address);
    }

    /// How long files of the pods of a namespace stay behind their ConfigMaps and Secrets.
    pub fn delay_projection(&self, namespace: &str, delay: Duration) {
        lock(&self.shared.projection_delays).insert(namespace.to_owned(), delay);
    }

    /// Cuts the power of a machine: what runs there is gone, and nobody tells.
    pub async fn power_off(&self, machine: &str) {
        lock(&self.shared.powered).retain(|one| one.name != machine);
        let gone: Vec<Played> = lock(&self.shared.pods)
            .extract_if(|_, played| played.machine == machine)
            .map(|(_, played)| played)
            .collect();
        join_all(gone.into_iter().map(Played::vanish)).await;
    }

    /// Starts a machine again; its pods come back with new containers and addresses.
    pub async fn power_on(&self, machine: &Machine) -> Result<()> {
        if !lock(&self.shared.powered).insert(machine.clone()) {
            return Ok(());
        }
        machine.wake(&self.shared.objects.client).await?;
        let pods = Api::<Pod>::all(self.shared.objects.client.clone()).list(&ListParams::default()).await?;
        pods.items.into_iter().for_each(|pod| seen(&self.shared, pod));
        Ok(())
    }
}

impl Shared {
    /// How long files of the pods of a namespace stay behind.
    pub fn projection_delay(&self, namespace: &str) -> Duration {
        lock(&self.projection_delays).get(namespace).copied().unwrap_or_default()
    }

    /// A number that no other run or network has.
    pub fn serial(&self) -> u64 {
        self.serial.fetch_add(1, Ordering::Relaxed)
    }

    /// Where volumes are.
    pub fn volumes(&self) -> PathBuf {
        volumes(&self.folder)
    }

    /// The names of all pods, as a file.
    pub fn hosts(&self) -> PathBuf {
        hosts(&self.folder)
    }

    /// What a pod is called in DNS; `None` as soon as it is gone.
    pub fn call(&self, name: String, ip: Option<Ipv4Addr>) {
        let mut names = lock(&self.names);
        match ip {
            Some(ip) => names.insert(name, ip),
            None => names.remove(&name),
        };
        let mut text = String::from("127.0.0.1 localhost\n");
        for (name, ip) in names.iter() {
            let _ = writeln!(text, "{ip} {name}");
        }
        // In place, for containers have mounted this very file.
        let _ = fs::write(self.hosts(), text);
    }
}

fn hosts(folder: &Path) -> PathBuf {
    folder.join("hosts")
}

fn volumes(folder: &Path) -> PathBuf {
    folder.join("volumes")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn beat(shared: Arc<Shared>) {
    let mut last = Instant::now();
    loop {
        let client = &shared.objects.client;
        // After a long silence the controllers may have given the machines up, and only a new status heals that.
        let late = last.elapsed() > 2 * HEARTBEAT;
        last = Instant::now();
        let machines = lock(&shared.powered).clone();
        join_all(machines.iter().map(async |machine| {
            let sign = async { if late { machine.wake(client).await } else { machine.live(client).await } };
            if let Err(error) = timeout(HEARTBEAT, sign).await.map_err(Into::into).flatten() {
                eprintln!("sign of life of {}: {error:#}", machine.name);
            }
        }))
        .await;
        sleep(HEARTBEAT).await;
    }
}

async fn follow_pods(shared: Arc<Shared>) {
    let pods = watcher(Api::<Pod>::all(shared.objects.client.clone()), watcher::Config::default());
    let mut pods = std::pin::pin!(pods.default_backoff());
    while let Some(event) = pods.next().await {
        match event {
            Ok(Event::Apply(pod) | Event::InitApply(pod)) => seen(&shared, pod),
            Ok(Event::Delete(pod)) => {
                // By force: the API server does not wait for anybody, and neither does the process.
                let gone = lock(&shared.pods).remove(&pod.uid().unwrap_or_default());
                if let Some(played) = gone {
                    tokio::spawn(played.vanish());
                }
            }
            Ok(Event::Init | Event::InitDone) => {}
            Err(error) => eprintln!("pods: {error:#}"),
        }
    }
}

fn seen(shared: &Arc<Shared>, pod: Pod) {
    let uid = pod.uid().unwrap_or_default();
    let machine = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).unwrap_or_default();
    if !lock(&shared.powered).iter().any(|one| one.name == machine) {
        return;
    }
    let mut pods = lock(&shared.pods);
    if let Some(played) = pods.get(&uid) {
        played.seen.send_replace(Arc::new(pod));
        return;
    }
    let name = format!("{}/{}", pod.namespace().unwrap_or_default(), pod.name_any());
    let (seen, updates) = watch::channel(Arc::new(pod));
    let (orders, ordered) = mpsc::unbounded_channel();
    let cable = Arc::<Cable>::default();
    let life = Life { updates, orders: ordered, cable: Arc::clone(&cable) };
    let task = tokio::spawn(pod::play(Arc::clone(shared), life));
    pods.insert(uid, Played { name, machine, seen, orders, cable, task });
}
