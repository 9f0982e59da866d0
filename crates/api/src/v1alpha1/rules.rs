//! What the API server checks beyond types and limits, as (CEL rule, message).
//!
//! A message names the field and the limit and says what to do. The API server adds up the worst-case
//! cost of every rule before it accepts the CRD, so whatever a rule reads has a `maxLength`, `maxItems`
//! or `maxProperties`, and rules on single ACL rules (25 600 of them at most) prefer `startsWith` to
//! regular expressions.

/// A CEL rule and the message of its refusal.
pub type Rule = (&'static str, &'static str);

/// The longest object name that is made from the resource's name, `<name>-<shard>-<random>` of a pod's
/// volume claim or `<name>-user-<63>` of a Secret, has to stay a valid name and label value.
pub const NAME_LENGTH: Rule = (
    "size(self.metadata.name) <= 40",
    "metadata.name may have at most 40 characters: names of pods and Secrets are made from it; choose a shorter name",
);

/// The name becomes a Service name, which is stricter than other names.
pub const NAME_SHAPE: Rule = (
    "self.metadata.name.matches('^[a-z]([a-z0-9-]*[a-z0-9])?$')",
    "metadata.name must start with a letter and may only have lower case letters, digits and -: it becomes the name of a Service",
);

/// Another resource's children have these names.
pub const NAME_ENDING: Rule = (
    "!['-client', '-config', '-acl', '-system', '-connection'].exists(e, self.metadata.name.endsWith(e))",
    "metadata.name may not end in -client, -config, -acl, -system or -connection: objects of another RedisCluster may have that name; choose another name",
);

pub const TOTAL_NODES: Rule = (
    "self.shards * (1 + self.replicasPerShard) <= 1000",
    "spec.shards x (1 + spec.replicasPerShard) may be at most 1000 nodes: lower one of them",
);

pub const STORAGE_STAYS: Rule = (
    "has(self.storage) == has(oldSelf.storage)",
    "spec.storage can't be added or removed later: create a new RedisCluster and move the data",
);

pub const MAXMEMORY_ONCE: Rule = (
    "!has(self.maxMemoryPercent) || !has(self.config) || !('maxmemory' in self.config)",
    "spec.maxMemoryPercent and spec.config.maxmemory exclude each other: remove one of them",
);

pub const PERCENT_OF_LIMIT: Rule = (
    "!has(self.maxMemoryPercent) || (has(self.resources) && has(self.resources.limits) && 'memory' in self.resources.limits)",
    "spec.maxMemoryPercent is a share of spec.resources.limits.memory, which is not set: set it, or use spec.config.maxmemory",
);

pub const SAVE_NEEDS_RDB: Rule = (
    "!has(self.config) || !('save' in self.config) || (has(self.storage) && self.storage.persistence == 'RDB')",
    "spec.config.save needs spec.storage.persistence: RDB; with AOF or without storage Keyslot switches snapshots off",
);

/// Probes, the operator and every other node of the cluster count among the clients.
pub const MOST_CLIENTS: Rule = (
    "!has(self.config) || !('maxclients' in self.config) || self.config['maxclients'].matches('^[1-9][0-9]{2,}$')",
    "spec.config.maxclients must be at least 100: the other nodes, the probes and the operator need connections too",
);

/// The operator's connections to nodes give a sign of life every 10 s.
pub const CLIENT_TIMEOUT: Rule = (
    "!has(self.config) || !('timeout' in self.config) || self.config['timeout'].matches('^(0|[2-9][0-9]|[1-9][0-9]{2,})$')",
    "spec.config.timeout must be 0 or at least 20 seconds: connections of the operator would end all the time",
);

pub const IMAGE_SHAPE: Rule = (
    "self.matches('^[a-zA-Z0-9][a-zA-Z0-9._-]*(:[0-9]+)?(/[a-z0-9._-]+)*(:[a-zA-Z0-9_][a-zA-Z0-9._-]*)?(@sha256:[0-9a-f]{64})?$')",
    "spec.image must be an image reference such as redis:8.0 or registry.example:5000/team/valkey:8.1, without spaces",
);

/// A floating tag would bring another version at the next restart of a pod, one node at a time and
/// without a roll; Redis and Valkey read newer data files not at all.
pub const IMAGE_FIXED: Rule = (
    "self.matches('(:[a-zA-Z0-9_][a-zA-Z0-9._-]*|@sha256:[0-9a-f]{64})$') && !self.endsWith(':latest')",
    "spec.image must have a tag other than latest, or a digest (@sha256:...): each restart of a pod would otherwise bring another version",
);

pub const NODE_TIMEOUT: Rule = (
    "self.matches('^[1-9][0-9]{0,4}(ms|s)$') && duration(self) >= duration('2s') && duration(self) <= duration('30s')",
    "spec.clusterNodeTimeout must be 2s to 30s, in whole seconds (5s) or milliseconds (2500ms)",
);

pub const DNS_SUBDOMAIN: Rule = (
    "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",
    "must be the name of a Kubernetes object: lower case letters, digits, - and .",
);

/// Pods carry them twice, as they are and in [`crate::labels::IN_FORCE`], beside `config`, and Kubernetes allows 256 KiB
/// of annotations.
pub const ANNOTATIONS_SIZE: Rule = (
    "self.map(k, size(k) + size(self[k])).sum() <= 32768",
    "spec.podAnnotations may have at most 32768 characters in all: shorten or remove some",
);

pub const RESOURCE_NAMES: Rule =
    ("self.all(k, k in ['cpu', 'memory'])", "spec.resources may only have cpu and memory: remove the others");

pub const RESOURCE_QUANTITIES: Rule = (
    "self.all(k, isQuantity(string(self[k])) && !string(self[k]).startsWith('-'))",
    "spec.resources must have quantities that are not negative, such as 100m or 0.5 for cpu and 512Mi or 2Gi for memory",
);

pub const REQUESTS_WITHIN_LIMITS: Rule = (
    "!has(self.requests) || !has(self.limits) || self.requests.all(k, !(k in self.limits) || !isQuantity(string(self.requests[k])) || !isQuantity(string(self.limits[k])) || quantity(string(self.requests[k])).compareTo(quantity(string(self.limits[k]))) <= 0)",
    "spec.resources.requests may not be above spec.resources.limits: lower the request or raise the limit",
);

/// Below this a server with its buffers and a fork does not live.
pub const MEMORY_MINIMUM: Rule = (
    "self.all(k, k != 'memory' || !isQuantity(string(self[k])) || quantity(string(self[k])).compareTo(quantity('64Mi')) >= 0)",
    "spec.resources.limits.memory must be at least 64Mi: raise it",
);

/// An append-only file needs room for its own rewrite even when the data set is small.
pub const STORAGE_MINIMUM: Rule = (
    "isQuantity(string(self.size)) && quantity(string(self.size)).compareTo(quantity('32Mi')) >= 0",
    "spec.storage.size must be a quantity of at least 32Mi, such as 1Gi",
);

pub const STORAGE_GROWS: Rule = (
    "!isQuantity(string(self.size)) || !isQuantity(string(oldSelf.size)) || quantity(string(self.size)).compareTo(quantity(string(oldSelf.size))) >= 0",
    "spec.storage.size can't shrink: set it back, or create a new RedisCluster and move the data",
);

pub const STORAGE_CLASS_STAYS: Rule = (
    "has(self.storageClassName) == has(oldSelf.storageClassName) && (!has(self.storageClassName) || self.storageClassName == oldSelf.storageClassName)",
    "spec.storage.storageClassName can't be changed: set it back, or create a new RedisCluster and move the data",
);

/// The shape keeps `<cluster>-user-<name>`, with `_` as `-`, a valid name of a Secret.
pub const USER_NAME: Rule = (
    "self.matches('^[a-z0-9]([a-z0-9_-]*[a-z0-9])?([.][a-z0-9]([a-z0-9_-]*[a-z0-9])?)*$')",
    "spec.users[].name may only have lower case letters, digits, . _ and -, and must start and end with a letter or digit",
);

pub const USER_NAME_FREE: Rule = (
    "!self.startsWith('keyslot-')",
    "spec.users[].name may not start with keyslot-: these are Keyslot's own users; choose another name",
);

pub const USER_SECRET_FREE: Rule = (
    "!self.endsWith('-system') && !self.endsWith('-acl')",
    "spec.users[].secretName may not end in -system or -acl: Keyslot's own Secrets have such names; choose another name",
);

pub const USER_SECRETS_DIFFER: Rule = (
    "self.all(u, !has(u.secretName) || !self.exists(v, v.name != u.name && has(v.secretName) && v.secretName == u.secretName))",
    "spec.users[].secretName must be different for each user: choose another name",
);

pub const USER_DEFAULT_SECRETS_DIFFER: Rule = (
    "self.all(u, has(u.secretName) || !self.exists(v, v.name != u.name && !has(v.secretName) && v.name.replace('_', '-') == u.name.replace('_', '-')))",
    "spec.users[].name: two names differ only in _ and -, which gives both Secrets the same name; set secretName for one of them",
);

pub const USER_SECRET_NOT_ANOTHERS: Rule = (
    "self.all(u, !has(u.secretName) || !self.exists(v, v.name != u.name && !has(v.secretName) && u.secretName.endsWith('-user-' + v.name.replace('_', '-'))))",
    "spec.users[].secretName may not be the default name of another user's Secret (<cluster>-user-<name>): choose another name",
);

pub const ONE_PASSWORD_SOURCE: Rule = (
    "has(self.secretKeyRef) != has(self.sha256)",
    "spec.users[].passwords[] must have exactly one of secretKeyRef and sha256",
);

pub const PASSWORD_HASH: Rule = (
    "self.matches('^[0-9a-f]{64}$')",
    "spec.users[].passwords[].sha256 must be 64 lower case hexadecimal digits: printf %s 'the password' | sha256sum",
);

pub const ROTATION_INTERVAL: Rule = (
    "self.matches('^[0-9]{1,7}[smh]$') && duration(self) >= duration('1m') && duration(self) <= duration('9999h')",
    "spec.users[].rotation.interval must be 1m to 9999h, in whole seconds (90s), minutes (30m) or hours (720h)",
);

pub const ROTATION_GRACE: Rule = (
    "self.matches('^[0-9]{1,7}[smh]$') && duration(self) <= duration('9999h')",
    "spec.users[].rotation.gracePeriod must be 0s to 9999h, in whole seconds (90s), minutes (30m) or hours (1h)",
);

/// Otherwise there would be more and more valid passwords.
pub const ROTATION_INTERVAL_ABOVE_GRACE: Rule = (
    "!has(self.interval) || !self.interval.matches('^[0-9]{1,7}[smh]$') || !self.gracePeriod.matches('^[0-9]{1,7}[smh]$') || duration(self.interval) > duration(self.gracePeriod)",
    "spec.users[].rotation.interval must be longer than gracePeriod: raise it, or lower gracePeriod",
);

pub const ROTATION_OF_GENERATED: Rule = (
    "!has(self.rotation) || !has(self.passwords) || size(self.passwords) == 0 || (!has(self.rotation.trigger) && !has(self.rotation.interval))",
    "spec.users[].rotation.trigger and interval make generated passwords, and this user has passwords of its own: remove them, or remove spec.users[].passwords",
);

pub const SECRET_KEY: Rule = (
    "self.matches('^[-._a-zA-Z0-9]+$')",
    "spec.users[].passwords[].secretKeyRef.key may only have letters, digits, - _ and .",
);

/// Spaces, quotes and control characters would start another rule or another line in users.acl.
pub const ACL_RULE_CHARACTERS: Rule = (
    "self.matches('^[!#-&*-~]+$')",
    "must be one Redis ACL rule per entry: printable ASCII without spaces, quotes and parentheses; for ( ) use spec.users[].selectors",
);

/// Only what grants or takes a permission; what it does not know is explained by [`ACL_RULE_WORDS`]. The
/// server judges the rest of the rule, on a user that is switched off.
pub const ACL_RULE_SHAPE: &str = "self.startsWith('~') || self.startsWith('%R~') || self.startsWith('%W~') || \
     self.startsWith('%RW~') || self.startsWith('&') || self.startsWith('+') || self.startsWith('-') || \
     self.startsWith('db=') || self in ['allkeys', 'allchannels', 'allcommands', 'nocommands', 'alldbs']";

/// Message when no better one fits.
pub const ACL_RULE_MESSAGE: &str =
    "must be a Redis ACL rule such as ~app:*, %R~app:*, &app:*, +get, -config|set, +@read or -@dangerous";

/// Picks the message by the mistake: which field to use instead. The last branch is [`ACL_RULE_MESSAGE`].
pub const ACL_RULE_WORDS: &str = "self in ['on', 'off'] ? 'use spec.users[].enabled instead of the rule ' + self : \
     self == 'nopass' || self.startsWith('>') || self.startsWith('<') || self.startsWith('#') || self.startsWith('!') ? \
     'passwords are not rules: use spec.users[].passwords (several are valid at the same time; a user without password is not possible)' : \
     self.startsWith('reset') || self == 'clearselectors' ? \
     'a user starts with no permission at all: remove the rule ' + self";

/// Names of directives, in lower case, so that no spelling evades the list of Keyslot's own.
pub const CONFIG_NAMES: Rule = (
    "self.all(k, k.matches('^[a-z][a-z0-9-]{0,63}$'))",
    "spec.config: a directive's name may only have lower case letters, digits and -, and must start with a letter",
);

/// What can be written into redis.conf and read back as the same words.
pub const CONFIG_VALUES: Rule = (
    r"self.all(k, self[k].matches(r'^[ !#-&(-\[\]-~]*$'))",
    "spec.config: a value may only have printable ASCII without quotes and backslashes; several words are separated by spaces",
);

pub const LABEL_KEYS: Rule = (
    "self.all(k, size(k) <= 317 && k.matches('^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))",
    "must have keys such as team or example.com/team: at most 63 letters, digits, - _ and . after an optional prefix",
);

pub const LABEL_VALUES: Rule = (
    "self.all(k, self[k].matches('^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$'))",
    "must have values of at most 63 letters, digits, - _ and ., which start and end with a letter or digit",
);

pub const OWN_LABELS: Rule = (
    "self.all(k, !k.startsWith('keyslot.dev/') && !k.startsWith('app.kubernetes.io/'))",
    "may not have keys that start with keyslot.dev/ or app.kubernetes.io/: Keyslot sets these itself; use another prefix",
);
