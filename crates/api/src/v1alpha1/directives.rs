//! Which directives of redis.conf are Keyslot's own.
//!
//! The schema refuses them by name in `spec.config`, and whoever renders redis.conf refuses them again.
//! A directive is on the list because a wrong value would break what the operator relies on (identity,
//! ports, files, cluster membership, logins) or because it has a field of its own.

/// Directives that are Keyslot's own for the same cause.
pub struct OwnedDirectives {
    /// Full names, in lower case.
    pub names: &'static [&'static str],
    /// Beginnings of names, in lower case.
    pub prefixes: &'static [&'static str],
    /// What to do instead, as the end of a sentence.
    pub instead: &'static str,
}

/// All directives that `spec.config` may not have.
pub const OWNED_DIRECTIVES: &[OwnedDirectives] = &[
    OwnedDirectives {
        names: &["appenddirname", "appendfilename", "appendonly", "dbfilename", "dir", "rdb-del-sync-files"],
        prefixes: &[],
        instead: "use spec.storage, which decides what is written and where",
    },
    OwnedDirectives {
        names: &["aclfile", "masterauth", "masteruser", "primaryauth", "primaryuser", "requirepass", "user"],
        prefixes: &[],
        instead: "use spec.users for users and passwords; Keyslot's own users need nothing",
    },
    OwnedDirectives {
        names: &["cluster-node-timeout"],
        prefixes: &[],
        instead: "use spec.clusterNodeTimeout",
    },
    OwnedDirectives {
        names: &[
            "enable-debug-command",
            "enable-module-command",
            "enable-protected-configs",
            "include",
            "loadmodule",
            "rename-command",
        ],
        prefixes: &[],
        instead: "remove it; to forbid commands, use the rules of spec.users",
    },
    OwnedDirectives {
        names: &["bind", "bind-source-addr", "port", "protected-mode"],
        prefixes: &["rdma-", "tls-", "unixsocket"],
        instead: "remove it: ports and addresses are fixed",
    },
    OwnedDirectives {
        names: &[
            "daemonize",
            "databases",
            "logfile",
            "pidfile",
            "repl-diskless-sync-delay",
            "replicaof",
            "slaveof",
            "supervised",
        ],
        prefixes: &["replica-announce", "shutdown-", "slave-announce", "syslog-"],
        instead: "remove it: the operator and the pods depend on its value",
    },
    OwnedDirectives {
        names: &[],
        prefixes: &["cluster-"],
        instead: "remove it: the operator forms and heals the cluster",
    },
];

/// Directives that [`OWNED_DIRECTIVES`] would cover by a prefix, but which are the user's all the same:
/// they change how nodes serve clients, not what the operator relies on.
pub const FREE_DIRECTIVES: &[&str] = &[
    "cluster-allow-pubsubshard-when-down",
    "cluster-allow-reads-when-down",
    "cluster-link-sendbuf-limit",
    "cluster-require-full-coverage",
    "cluster-slot-stats-enabled",
];

/// What to do instead of setting `directive` in `spec.config`, if it is Keyslot's own.
pub fn owned_directive(directive: &str) -> Option<&'static str> {
    let directive = directive.to_ascii_lowercase();
    if FREE_DIRECTIVES.contains(&directive.as_str()) {
        return None;
    }
    OWNED_DIRECTIVES
        .iter()
        .find(|owned| {
            owned.names.contains(&directive.as_str())
                || owned.prefixes.iter().any(|prefix| directive.starts_with(prefix))
        })
        .map(|owned| owned.instead)
}
