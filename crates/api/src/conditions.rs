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
        /// The cluster serves as it was asked to: all 16384 slots are served, every shard has its primary,
        /// every user is in force on every reachable node, and so is every setting but those that
        /// `UpdatePending` names. While another condition has something to tell, the reason is that one's.
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
        /// The operator is forming the cluster; the message says what it does or waits for.
        Progressing,
        /// An accepted change of the spec waits; the message names the fields. Does not make Ready False.
        UpdatePending,
        /// Something needs a person or time; the message names the object, and the reason tells the next
        /// step. Does not make Ready False.
        Degraded,
        /// Slots can be served again only without their data. That is for a person to decide; the message
        /// says how.
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
        /// Some slots are not served at this moment, since their owners do not see (yet) most of the other
        /// primaries; commands for their keys fail. It ends when the pods that do not answer are back, or
        /// when the servers have elected replicas in their place; the operator does not promote any. Look
        /// at the pods that the message names and at the network between them.
        SlotsNotCovered,
        /// No pod that answers owns some slots; commands for their keys fail. The message names the slots
        /// and the pods that do not answer. The servers elect a replica by themselves, if most primaries
        /// are left to vote; otherwise the pod has to come back, or a person promotes a replica of it
        /// (`CLUSTER FAILOVER TAKEOVER`, as a user with the right to it).
        ShardWithoutPrimary,
        /// Slots have no owner any more and no copy of their data was found. Bring the lost volume back.
        /// If there is none, or the cluster has no storage, the data is lost, and this version can't give
        /// the slots out empty: copy what you need of the other slots, delete the resource and its volumes,
        /// and create it again.
        SlotsLost,

        /// Every shard has its in-sync replicas.
        AllReplicasInSync,
        /// `spec.replicasPerShard` is 0: a lost pod is a lost shard. This can be changed until the cluster
        /// has formed; later the change waits (`UpdatePending`).
        NoRedundancy,
        /// A shard has fewer in-sync replicas than wanted, or its primary does not answer. The message has
        /// the numbers of such shards; look at the pods with their label `keyslot.dev/shard`, and at pods
        /// that do not answer.
        ReplicaMissing,
        /// A replica has no link to its primary. It repairs itself after most interruptions; otherwise
        /// read the log of the replica that the message names.
        ReplicaLinkDown,

        /// In force on every reachable node. Nothing to do.
        Applied,
        /// Some nodes, or the file `users.acl`, do not have all users as wanted yet. Wait; the message
        /// names the users and pods, or says why the file is not up to date, or that the resource is paused.
        AclNotApplied,
        /// Somebody changed users on a node itself (`ACL SETUSER`, `ACL DELUSER`), and they are set back; only told by
        /// an Event. Find out who has the right to `acl` there, and change users in the resource.
        UsersChangedByHand,
        /// New passwords of Keyslot's own users have come a stage further; only told by an Event. Nothing to do.
        SystemPasswordsRotated,
        /// Some nodes do not have all settings as wanted yet. Wait; the message names the pods, or says that
        /// the resource is paused.
        ConfigNotApplied,
        /// A user's Secret does not exist in this namespace. Create it, or remove the entry from
        /// `spec.users[].passwords`. Until then the password that it had stays valid; a user with an entry that never had
        /// one stays as it was.
        SecretNotFound,
        /// A user's Secret lacks the key that `secretKeyRef.key` names. Add it or correct the name.
        SecretKeyMissing,
        /// A user's Secret lacks the label `keyslot.dev/user-password: "true"`, with which its owner
        /// allows its use. The message has the command that sets it.
        SecretNotAllowed,
        /// The value in a user's Secret can't be a password: it is empty, longer than 16000 bytes or has
        /// control characters. Store one line of text there. Until then the password that it had stays valid.
        SecretUnusable,
        /// A field has a value that can't be used, and got past admission; the message has the field and what it may be.
        /// Until it is corrected, what was in force stays.
        FieldRefused,
        /// A server refused an ACL rule; the message has its words. Correct the rule of the user that is
        /// named. Until then the user stays as it was.
        RuleRefused,
        /// A directive of `spec.config` can't be used; the message says why. Either it got past admission:
        /// then it stays as it was until you correct it. Or the server of a pod does not start with it:
        /// before the cluster has formed, correct it, and the pod is replaced. Later a correction only
        /// waits (`UpdatePending`), and the pod stays down until its server takes the line again; look
        /// whether another server version stands behind the image's tag than before.
        DirectiveRefused,

        /// Nothing is in progress.
        Settled,
        /// An accepted change waits: it needs pods to be restarted, added or removed, which this version
        /// does not do once a cluster has formed. The message names the fields. The cluster goes on as it
        /// was; let the change wait or take it back (but for `spec.storage.size`: a size that was accepted
        /// can't shrink again, as volumes can't).
        WaitingForRoll,
        /// No accepted change waits.
        UpToDate,

        /// A pod finds no host with room for it; the message has the scheduler's words. Add hosts or make
        /// room on them. Before the cluster has formed you may also lower `spec.resources`, or relax
        /// `spec.affinity`, `spec.nodeSelector` or `spec.topologySpreadConstraints`; later such a change
        /// only waits (`UpdatePending`), and the pod with it.
        Unschedulable,
        /// A pod is not made, or can't be found by its label; the message has Kubernetes' words, or the label.
        /// Raise the quota, correct the field that the words are about, or put the label back. Kubernetes tries to make
        /// a pod again after ever longer pauses; any change of the StatefulSet, such as an annotation, makes it try at
        /// once.
        PodNotMade,
        /// A pod's image can't be pulled; the message has the kubelet's words. Put the image into the
        /// registry, or the credentials into the Secret that `spec.imagePullSecrets` names. Before the
        /// cluster has formed you may also correct `spec.image` or `spec.imagePullSecrets`; later such a
        /// change only waits (`UpdatePending`), and the pod with it.
        ImagePullFailed,
        /// A pod's container can't be started, or ends again and again. Read the message, and the log and
        /// events of the pod that is named. Before the cluster has formed a correction of the resource
        /// replaces the pod; later it only waits (`UpdatePending`).
        PodCrashLooping,
        /// Pods do not answer the operator; the message names them and says why. Look at each pod, at the
        /// host it runs on and at the network between. For a lost host that does not come back, delete its
        /// Node object, so that its pods are made anew. A pod that goes on refusing the operator's
        /// password is restarted where nothing can be lost by it (see SECURITY.md).
        NodeUnreachable,
        /// A pod's volume belongs to another cluster, or the volumes to two: joined, one would lose its
        /// data. Nothing is joined meanwhile. Look whose volume it is, and remove the one that does not
        /// belong here.
        ForeignNode,
        /// An object with a name that this resource needs exists and was made by someone else, and is not
        /// touched; or it is an earlier one that is still being deleted, perhaps held by a finalizer. Remove
        /// or rename it, or choose another name for this resource; if it is the Secret of a user, another `spec.users[].secretName`.
        ResourceConflict,
        /// Secret `<name>-system`, or a password in it, is gone, and with it the operator's way into the nodes; they go on
        /// serving. Put it back from a backup. If there is none: set `spec.storage.retentionPolicy.onDelete` to Retain,
        /// delete the resource and create it again, which takes its volumes over under new passwords. Without volumes
        /// the data lives only as long as the pods: copy it away first.
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
