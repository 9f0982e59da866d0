//! The control plane without nodes, for tests that play the nodes themselves: etcd, the API server, the controllers
//! and the scheduler, as `up` starts them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::cache::Cache;
use crate::layout::{HOST_ADDRESS, State};
use crate::{certificates, control_plane, golang, network};

/// Whoever plays nodes changes hundreds of objects at once, and no person waits at another client meanwhile.
const HURRY: [&str; 2] = ["--kube-api-qps=500", "--kube-api-burst=1000"];

/// Where nobody sends to the address of a service, nobody needs to know what is behind it.
const WITHOUT_ENDPOINTS: &str =
    "--controllers=*,-endpoints-controller,-endpointslice-controller,-endpointslice-mirroring-controller";

/// A running control plane. It has the addresses and the ports of the cluster that `up` starts, so it needs a network
/// namespace of its own; its processes end with the process namespace that they are in.
pub struct ControlPlane {
    state: State,
}

impl ControlPlane {
    /// Must be an address of a device before [`ControlPlane::start`].
    pub const ADDRESS: &str = HOST_ADDRESS;

    /// Builds what the cache does not have. The first time takes minutes, and needs the network.
    pub fn build() -> Result<()> {
        golang::ensure(&Cache::open()?).map(drop)
    }

    /// Starts everything, with its files in `folder`. Returns when the API server is ready.
    pub fn start(folder: &Path) -> Result<Self> {
        let state = State::at(folder);
        let folders =
            [state.bin(), state.pki(), state.config(), state.logs(), state.processes(), state.clients()];
        folders.iter().try_for_each(fs::create_dir_all)?;
        golang::link(&golang::ensure(&Cache::open()?)?, &state.bin())?;
        certificates::make(&state)?;
        control_plane::write_configuration(&state)?;
        network::check_ports_are_free()?;
        control_plane::start(&state, "etcd", &[])?;
        control_plane::start(&state, control_plane::API_SERVER, &[])?;
        control_plane::wait_for_api_server(&state)?;
        let controllers = [HURRY[0], HURRY[1], WITHOUT_ENDPOINTS];
        control_plane::start(&state, "kube-controller-manager", &controllers)?;
        control_plane::start(&state, "kube-scheduler", &HURRY)?;
        Ok(Self { state })
    }

    /// The administrator's.
    pub fn kubeconfig(&self) -> PathBuf {
        self.state.kubeconfig()
    }

    /// What the processes have written, a file for each.
    pub fn logs(&self) -> PathBuf {
        self.state.logs()
    }
}
