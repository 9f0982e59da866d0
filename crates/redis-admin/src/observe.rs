//! Looks at one node: which questions are asked, and how their answers become an observation. Pure; the asking is done
//! by [`crate::NodeConnections`].

use std::collections::BTreeMap;

use keyslot_planner::acl::{AclToken, LiveUser, PasswordHash};
use keyslot_planner::ids::{NodeId, RunId};
use keyslot_planner::observed::{Engine, NodeSettings, RedisNode, Role, Unreachable};
use keyslot_planner::settings::SCRATCH_PREFIX;

use crate::command::{REPLICATION_PASSWORD, cluster, delete_user, set_user};
use crate::error::{unreachable, unreadable, words};
use crate::parse::{self, Fields, Malformed, NodesTable};
use crate::reply::{Arguments, Reply};

/// Answers in the order of their questions.
struct Answers(std::vec::IntoIter<Reply>);

impl Answers {
    fn of(replies: Vec<Reply>) -> Self {
        Self(replies.into_iter())
    }

    /// The next answer, errors included.
    fn any(&mut self) -> Result<Reply, Unreachable> {
        self.0.next().ok_or_else(|| Unreachable::Other("an answer is missing".to_owned()))
    }

    /// The next answer; an error means that the node can't be read.
    fn next(&mut self) -> Result<Reply, Unreachable> {
        match self.any()? {
            Reply::Error(error) => Err(unreachable(&error)),
            reply => Ok(reply),
        }
    }

    fn text(&mut self, name: &'static str) -> Result<String, Unreachable> {
        let reply = self.next()?;
        let text = reply.text().ok_or_else(|| unreadable(&Malformed::new(name, "not a text")))?;
        Ok(text.into_owned())
    }
}

fn info(sections: &[&'static str]) -> Arguments {
    Arguments::new(["INFO"]).with(sections.iter().copied())
}

/// `CLUSTER MYID`.
pub(crate) fn my_id() -> Arguments {
    cluster(["MYID"])
}

/// The answer to [`my_id`].
pub(crate) fn read_my_id(reply: Reply) -> Result<NodeId, Unreachable> {
    let text = Answers::of(vec![reply]).text("CLUSTER MYID")?;
    text.parse().map_err(|_| unreadable(&Malformed::new("CLUSTER MYID", "not a node id")))
}

/// The questions of a look at the topology: one round trip.
pub fn topology_questions() -> Vec<Arguments> {
    vec![
        my_id(),
        cluster(["NODES"]),
        cluster(["INFO"]),
        info(&["server", "replication", "memory", "persistence"]),
        Arguments::new(["DBSIZE"]),
        Arguments::new(["CONFIG", "GET", "cluster-node-timeout", "maxmemory"]),
    ]
}

/// The answers to [`topology_questions`]. What the node says of itself in two places must agree: it may have changed
/// its role between two questions, and then the next look shows it.
pub fn read_topology(replies: Vec<Reply>) -> Result<RedisNode, Unreachable> {
    let mut answers = Answers::of(replies);
    let id = read_my_id(answers.any()?)?;
    let nodes = answers.text("CLUSTER NODES")?;
    let cluster_info = answers.text("CLUSTER INFO")?;
    let server_info = answers.text("INFO")?;
    let keys = match answers.next()? {
        Reply::Integer(keys) => u64::try_from(keys).ok(),
        _ => None,
    };
    let config = answers.next()?;
    if Fields::parse("INFO", &server_info).flag("loading").map_err(|e| unreadable(&e))? {
        return Err(Unreachable::Loading);
    }
    let keys = keys.ok_or_else(|| unreadable(&Malformed::new("DBSIZE", "not a number")))?;
    node(id, keys, [&nodes, &cluster_info, &server_info], &config).map_err(|malformed| unreadable(&malformed))
}

fn node(id: NodeId, keys: u64, texts: [&str; 3], config: &Reply) -> Result<RedisNode, Malformed> {
    let [nodes, cluster_info, server_info] = texts;
    let table = parse::nodes_table(nodes)?;
    if table.myself.id != id {
        return Err(Malformed::new("CLUSTER NODES", "its own line has another id than CLUSTER MYID"));
    }
    let cluster = Fields::parse("CLUSTER INFO", cluster_info);
    let info = Fields::parse("INFO", server_info);
    let config = parse::configuration(config)?;
    Ok(RedisNode {
        id,
        run_id: RunId::new(info.text("run_id")?),
        engine: parse::engine(&info)?,
        config_epoch: table.myself.config_epoch,
        current_epoch: cluster.number("cluster_current_epoch")?,
        cluster_ok: cluster.text("cluster_state")? == "ok",
        keys,
        libraries: info.number("number_of_libraries")?,
        memory_bytes: info.number("used_memory")?,
        node_timeout: parse::milliseconds(&config, "cluster-node-timeout")?,
        maxmemory: parse::bytes(&config, "maxmemory")?,
        role: role(&table, &info)?,
        peers: table.peers,
    })
}

fn role(table: &NodesTable, info: &Fields<'_>) -> Result<Role, Malformed> {
    let myself = &table.myself;
    match (myself.replicates.clone(), info.text("role")?) {
        (None, "master") => Ok(Role::Primary {
            slots: myself.slots.clone(),
            migrating: myself.migrating.clone(),
            importing: myself.importing.clone(),
            offset: info.number("master_repl_offset")?,
        }),
        (Some(of), "slave") => Ok(Role::Replica {
            of,
            offset: info.number("slave_repl_offset")?,
            link_up: info.text("master_link_status")? == "up" && !info.flag("master_sync_in_progress")?,
            source: info.text("master_host")?.parse().ok(),
        }),
        _ => Err(Malformed::new("INFO", "its role is not the one of CLUSTER NODES")),
    }
}

/// The questions of a greeting: which process is it, and has it read its data?
pub(crate) fn greeting() -> Vec<Arguments> {
    vec![info(&["server", "persistence"])]
}

/// The answer to [`greeting`].
pub(crate) fn read_greeting(replies: Vec<Reply>) -> Result<RunId, Unreachable> {
    let text = Answers::of(replies).text("INFO")?;
    let info = Fields::parse("INFO", &text);
    if info.flag("loading").map_err(|e| unreadable(&e))? {
        return Err(Unreachable::Loading);
    }
    info.text("run_id").map(RunId::new).map_err(|e| unreadable(&e))
}

/// Rules that a node is asked about, by user.
pub type Trials = BTreeMap<String, Vec<AclToken>>;

/// The first questions of a look at the settings. Each trial sets a scratch user, reads it back and deletes it.
pub fn settings_questions(trials: &Trials, config: &[&str]) -> Vec<Arguments> {
    let mut questions = vec![
        my_id(),
        info(&["server"]),
        Arguments::new(["CONFIG", "GET", REPLICATION_PASSWORD]).with(config.iter().copied()),
        Arguments::new(["ACL", "USERS"]),
    ];
    for (number, tokens) in trials.values().enumerate() {
        let scratch = format!("{SCRATCH_PREFIX}{number}");
        questions.push(set_user(&scratch, tokens));
        questions.push(get_user(scratch.as_bytes()));
        questions.push(delete_user(&scratch));
    }
    questions
}

fn get_user(name: &[u8]) -> Arguments {
    Arguments::new(["ACL", "GETUSER"]).with([name])
}

/// What the first answers gave; the users are still to be read.
pub struct SettingsHalf {
    id: NodeId,
    run_id: RunId,
    engine: Engine,
    config: BTreeMap<String, String>,
    replication_password: Option<PasswordHash>,
    trials: BTreeMap<String, Result<LiveUser, String>>,
    /// Names of the users to read.
    users: Vec<Vec<u8>>,
    /// Scratch users that an operator left behind when it crashed in the middle of a trial, and users whose names are no
    /// text: no resource can want them.
    leftovers: Vec<Vec<u8>>,
}

/// The answers to [`settings_questions`].
pub fn read_settings(replies: Vec<Reply>, trials: &Trials) -> Result<SettingsHalf, Unreachable> {
    let mut answers = Answers::of(replies);
    let id = read_my_id(answers.any()?)?;
    let server = answers.text("INFO")?;
    let server = Fields::parse("INFO", &server);
    let engine = parse::engine(&server).map_err(|e| unreadable(&e))?;
    let run_id = server.text("run_id").map(RunId::new).map_err(|e| unreadable(&e))?;
    let mut config = parse::configuration(&answers.next()?).map_err(|e| unreadable(&e))?;
    let replication_password = config.remove(REPLICATION_PASSWORD).filter(|password| !password.is_empty());
    let replication_password = replication_password.map(|password| PasswordHash::of(&password.into()));
    let names = parse::user_names(&answers.next()?).map_err(|e| unreadable(&e))?;
    let is_left =
        |name: &Vec<u8>| name.starts_with(SCRATCH_PREFIX.as_bytes()) || str::from_utf8(name).is_err();
    let (leftovers, users) = names.into_iter().partition(is_left);
    let mut tried = BTreeMap::new();
    for name in trials.keys() {
        let (set, got) = (answers.any()?, answers.next()?);
        answers.next()?;
        tried.insert(name.clone(), trial(set, &got)?);
    }
    Ok(SettingsHalf { id, run_id, engine, config, replication_password, trials: tried, users, leftovers })
}

fn trial(set: Reply, got: &Reply) -> Result<Result<LiveUser, String>, Unreachable> {
    if let Reply::Error(error) = set {
        return match unreachable(&error) {
            Unreachable::Other(_) => Ok(Err(words(&error))),
            other => Err(other),
        };
    }
    match parse::live_user(got).map_err(|e| unreadable(&e))? {
        Some(user) => Ok(Ok(user)),
        None => Err(Unreachable::Other("somebody deleted a scratch user during its trial".to_owned())),
    }
}

impl SettingsHalf {
    /// The second questions: every user, and the end of those that are left over.
    pub fn questions(&self) -> Vec<Arguments> {
        let users = self.users.iter().map(|name| get_user(name));
        let leftovers =
            self.leftovers.iter().map(|name| Arguments::new(["ACL", "DELUSER"]).with([name.as_slice()]));
        users.chain(leftovers).collect()
    }

    /// The answers to [`Self::questions`]. A user that was deleted meanwhile is absent.
    pub fn read(self, replies: Vec<Reply>) -> Result<NodeSettings, Unreachable> {
        let mut answers = Answers::of(replies);
        let mut users = BTreeMap::new();
        for name in &self.users {
            if let Some(user) = parse::live_user(&answers.next()?).map_err(|e| unreadable(&e))? {
                users.insert(String::from_utf8_lossy(name).into_owned(), user);
            }
        }
        let Self { id, run_id, engine, config, replication_password, trials, .. } = self;
        Ok(NodeSettings { id, run_id, engine, users, trials, config, replication_password })
    }
}

#[cfg(test)]
mod tests;
