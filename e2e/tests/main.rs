//! Stories about Keyslot on a real Kubernetes. Each has a namespace of its own; the operator is
//! installed once. How to run one: docs/development.md.

mod all_pods_lost;
mod bad_input;
mod canary;
mod connections;
mod deleted_and_re_created_on_kept_volumes;
mod demo_story;
mod killed_while_forming;
mod lost_memory;
mod objects_repaired;
mod operator_process;
mod paused;
mod pending_changes;
mod problems_of_pods;
mod problems_of_users;
mod quiet_when_idle;
mod restart_race;
mod shapes;
mod steps;
mod system_users;
mod users_live;
mod users_under_load;
mod watch_namespaces;
