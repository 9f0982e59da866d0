//! The whole vocabulary of the status: condition types and reasons, both closed lists.
//!
//! Whatever tells people something (conditions, events, metric labels, `docs/reference.md`) takes its
//! words from here. A reason once released keeps its name and meaning, since alerts match on it.

/// Declares a closed list of words, each with its meaning, so that code and documentation can't differ.
macro_rules! vocabulary {
    ($(#[$about:meta])* $list:ident { $($(#[doc = $meaning:literal])+ $word:ident,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $list {
            $($(#[doc = $meaning])+ $word,)+
        }

        impl $list {
            /// Every word of the list, in the order of its declaration.
            pub const ALL: &[Self] = &[$(Self::$word,)+];

            /// The word as it stands in a condition.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$word => stringify!($word),)+
                }
            }

            /// What the word means and what to do next, as documented.
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$word => concat!($($meaning),+).trim_ascii(),)+
                }
            }
        }

        impl std::fmt::Display for $list {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

vocabulary! {
    /// Type of a condition; each says what is the case when its status is True.
    ConditionType {
        /// The spec of the current generation is in force: all 16384 slots are served, every shard has
        /// its primary, every user and setting is in force on every reachable node.
        Ready,
        /// Every slot has a living owner that serves it.
        SlotsCovered,
        /// Every shard has the wanted number of in-sync replicas.
        ReplicasHealthy,
        /// Every user of the resource is in force on every reachable node. When False, the message names
        /// the user that is not; the other users are in force.
        AclApplied,
        /// Every setting of the resource is in force on every reachable node. When False, the message
        /// names the setting that is not; the other settings are in force.
        ConfigApplied,
        /// The operator is forming or changing the cluster; the message has numbers.
        Progressing,
        /// An accepted change of the spec waits; the message names the fields. Does not make Ready False.
        UpdatePending,
        /// Something needs a person or time; the message names the object and the next step. Does not
        /// make Ready False.
        Degraded,
        /// The operator could go on only by losing data or restarting primaries, and waits for consent.
        ConsentNeeded,
        /// `spec.paused` is set: the operator only reports.
        Paused,
    }
}

vocabulary! {
    /// Reason of a condition: why it has its status, and what to do next.
    Reason {
        /// Everything is as wanted. Nothing to do.
        AllHealthy,
        /// The cluster is being formed for the first time: pods start, nodes meet, slots are assigned.
        /// Wait; the message says what is missing.
        Forming,
        /// The operator can't reach enough nodes to say how the cluster is. Look at the network and at
        /// network policies between the operator and the pods.
        NodesUnreachable,
        /// Some slots are not served at this moment; commands for their keys fail. The operator works on
        /// it; the message names the slots and the pods that should serve them.
        SlotsNotCovered,
        /// A shard has no primary and waits for a failover or for its pod. The message names the shard.
        ShardWithoutPrimary,
        /// Slots have no owner any more and no copy of their data was found. Bring the lost volume back,
        /// or give the consent that the message asks for.
        SlotsLost,

        /// Every shard has its in-sync replicas.
        AllReplicasInSync,
        /// `spec.replicasPerShard` is 0: a lost pod is a lost shard. Set it to 1 or more.
        NoRedundancy,
        /// A shard has fewer replicas than wanted. Look at the pods that the message names.
        ReplicaMissing,
        /// A replica has no link to its primary. It repairs itself after most interruptions; otherwise
        /// read the log of the replica that the message names.
        ReplicaLinkDown,

        /// In force on every reachable node. Nothing to do.
        Applied,
        /// Some nodes do not have all users as wanted yet. Wait; the message names the nodes.
        AclNotApplied,
        /// Some nodes do not have all settings as wanted yet. Wait; the message names the nodes.
        ConfigNotApplied,
        /// A user's Secret does not exist in this namespace. Create it, or remove the entry from
        /// `spec.users[].passwords`. Until then the user stays as it was.
        SecretNotFound,
        /// A user's Secret lacks the key that `secretKeyRef.key` names. Add it or correct the name.
        SecretKeyMissing,
        /// A user's Secret lacks the label `keyslot.dev/user-password: "true"`, with which its owner
        /// allows its use. The message has the command that sets it.
        SecretNotAllowed,
        /// The value in a user's Secret can't be a password: it is empty, longer than 16000 bytes or has
        /// control characters. Store one line of text there. Until then the user stays as it was.
        SecretUnusable,
        /// A field has a value that can't be used, and got past admission; the message has the field and what it may be.
        /// Until it is corrected, what was in force stays.
        FieldRefused,
        /// A server refused an ACL rule; the message has its words. Correct the rule of the user that is
        /// named. Until then the user stays as it was.
        RuleRefused,
        /// A server refused a directive of `spec.config`; the message has its words. Correct it. Until
        /// then the setting stays as it was.
        DirectiveRefused,

        /// Nothing is in progress.
        Settled,
        /// An accepted change waits until the operator restarts pods; the message names the fields.
        WaitingForRoll,
        /// No accepted change waits.
        UpToDate,

        /// A pod finds no host with room for it. Add hosts, or lower `spec.resources`, or relax
        /// `spec.affinity`, `spec.nodeSelector` or `spec.topologySpreadConstraints`.
        Unschedulable,
        /// A pod's image can't be pulled. Correct `spec.image` or `spec.imagePullSecrets`.
        ImagePullFailed,
        /// A pod's server starts and ends again and again. Read the log of the pod that is named.
        PodCrashLooping,
        /// A pod can't be reached, or its host is lost. Repair or remove the host that is named.
        NodeUnreachable,
        /// A node of the Redis Cluster belongs to no pod of this resource. Remove it from the cluster,
        /// or find out who joined it.
        ForeignNode,
        /// An object with a name that this resource needs exists and was made by someone else; it is not
        /// touched. Remove or rename it, or choose another name for this resource.
        ResourceConflict,
        /// Secret `<name>-system` is gone, and with it the only passwords with which the operator gets into the nodes. Put
        /// it back from a backup. If there is none: delete the resource, keeping its volumes
        /// (`spec.storage.retentionPolicy`), and create it again, which takes the data over under new passwords.
        SystemSecretLost,
        /// An operation on a Kubernetes object or a node failed; the message has the error. The operator
        /// tries again; if it stays, the message says what is in the way.
        OperationFailed,
        /// The resource can't be read by this version of the operator. Correct the field that is named,
        /// or update the operator. Until then nothing is changed.
        SpecUndecodable,

        /// No decision of a person is needed.
        NoConsentNeeded,
        /// `spec.paused` is true. Set it to false to let the operator work again.
        PausedByUser,
        /// `spec.paused` is false.
        NotPaused,
    }
}
