//! Tables on what is generated, replaced and ended, and when.

use keyslot_api::v1alpha1::RedisCluster;
use serde_json::{Value, json};

use super::*;
use crate::desired::{Desired, Part, PasswordSecret};

/// A cluster over time, as the operator lives through it.
struct Story {
    users: Value,
    inputs: Inputs,
    now: Timestamp,
    made: usize,
}

impl Story {
    fn new(users: Value) -> Self {
        let mut story = Self { users, inputs: Inputs::default(), now: Timestamp::UNIX_EPOCH, made: 0 };
        story.passes();
        story
    }

    fn cluster(&self) -> RedisCluster {
        serde_json::from_value(json!({
            "apiVersion": "keyslot.dev/v1alpha1", "kind": "RedisCluster",
            "metadata": {"name": "demo", "namespace": "shop", "uid": "1"},
            "spec": {"image": "redis:8.0", "users": self.users},
        }))
        .unwrap()
    }

    /// A pass of the operator; the users' Secrets tell the present passwords after it.
    fn passes(&mut self) {
        self.passes_without_telling();
        let desired = Desired::from_spec(&self.cluster(), &self.inputs);
        let told =
            desired.user_passwords.iter().map(|(user, password)| (user.clone(), PasswordHash::of(password)));
        self.inputs.told = told.collect();
    }

    fn passes_without_telling(&mut self) {
        let (cluster, made) = (self.cluster(), &mut self.made);
        let generate = || {
            *made += 1;
            SecretString::from(format!("generated-{made}"))
        };
        if let Some(memory) = next_memory(&cluster, &self.inputs, self.now, generate) {
            self.inputs.system = memory;
        }
        let again = next_memory(&cluster, &self.inputs, self.now, || panic!("generated again"));
        assert!(again.is_none(), "a second pass at the same time changes nothing");
    }

    fn later(&mut self, time: Duration) {
        self.now = self.now.checked_add(time).unwrap();
        self.passes();
    }

    fn stores(&mut self, secret: &str, password: &str) {
        let values = [("password".to_owned(), SecretString::from(password))].into();
        self.inputs.password_secrets.insert(secret.to_owned(), PasswordSecret { allowed: true, values });
    }

    /// Which of these passwords let `app` in.
    fn valid(&self, passwords: &[&'static str]) -> Vec<&'static str> {
        let desired = Desired::from_spec(&self.cluster(), &self.inputs);
        let Part::Wanted(rules) = &desired.users["app"] else { panic!("{:?}", desired.users["app"]) };
        let is_valid = |password: &&str| rules.passwords.contains(&PasswordHash::of(&(*password).into()));
        assert_eq!(rules.passwords.len(), passwords.iter().filter(|password| is_valid(password)).count());
        passwords.iter().filter(|password| is_valid(password)).copied().collect()
    }
}

const MINUTE: Duration = Duration::from_mins(1);
/// The first three are the system's users'.
const GENERATED: [&str; 4] = ["generated-4", "generated-5", "generated-6", "generated-7"];

fn generated(rotation: &Value) -> Value {
    json!([{"name": "app", "rotation": rotation}])
}

fn at(secret: &str) -> Value {
    json!({"secretKeyRef": {"name": secret, "key": "password"}})
}

fn from_secret(rotation: &Value) -> Value {
    json!([{"name": "app", "passwords": [at("app-password")], "rotation": rotation}])
}

#[test]
fn another_trigger_makes_another_password_and_the_old_one_ends_after_its_grace() {
    let with = |trigger: &str| generated(&json!({"trigger": trigger, "gracePeriod": "10m"}));
    let mut story = Story::new(with("one"));
    assert_eq!(story.valid(&GENERATED), ["generated-4"]);
    story.later(MINUTE);
    assert_eq!(story.valid(&GENERATED), ["generated-4"], "the first trigger is that of the first password");

    story.users = with("two");
    story.passes();
    assert_eq!(story.valid(&GENERATED), ["generated-4", "generated-5"]);
    let due = Desired::from_spec(&story.cluster(), &story.inputs).passwords_due;
    assert_eq!(due, Some(story.now.checked_add(10 * MINUTE).unwrap()));
    story.later(9 * MINUTE);
    assert_eq!(story.valid(&GENERATED), ["generated-4", "generated-5"]);
    story.later(MINUTE);
    assert_eq!(story.valid(&GENERATED), ["generated-5"]);

    story.users = generated(&json!({"gracePeriod": "10m"}));
    story.passes();
    assert_eq!(story.valid(&GENERATED), ["generated-5"], "no trigger asks for nothing");
}

#[test]
fn a_generated_password_that_is_taken_away_by_hand_ends_at_once() {
    let mut story = Story::new(generated(&json!({"gracePeriod": "10m"})));
    story.inputs.system.user_passwords.clear();
    story.passes();
    assert_eq!(story.valid(&GENERATED), ["generated-5"]);
}

#[test]
fn an_interval_rotates_by_itself() {
    let mut story = Story::new(generated(&json!({"interval": "60m", "gracePeriod": "5m"})));
    story.later(59 * MINUTE);
    assert_eq!(story.valid(&GENERATED), ["generated-4"]);
    story.later(MINUTE);
    assert_eq!(story.valid(&GENERATED), ["generated-4", "generated-5"]);
    story.later(5 * MINUTE);
    assert_eq!(story.valid(&GENERATED), ["generated-5"]);
    story.later(600 * MINUTE);
    assert_eq!(story.valid(&GENERATED), ["generated-5", "generated-6"], "once, however long nobody looked");
}

#[test]
fn a_second_rotation_within_the_grace_leaves_each_password_its_own_time() {
    let with = |trigger: &str| generated(&json!({"trigger": trigger, "gracePeriod": "10m"}));
    let mut story = Story::new(with("one"));
    story.users = with("two");
    story.passes();
    story.users = with("three");
    story.later(6 * MINUTE);
    assert_eq!(story.valid(&GENERATED), ["generated-4", "generated-5", "generated-6"]);
    story.later(4 * MINUTE);
    assert_eq!(story.valid(&GENERATED), ["generated-5", "generated-6"]);
    for number in 0..100 {
        story.users = with(&number.to_string());
        story.passes();
    }
    let desired = Desired::from_spec(&story.cluster(), &story.inputs);
    let Part::Wanted(rules) = &desired.users["app"] else { panic!() };
    assert_eq!(rules.passwords.len(), 1 + MOST_PREVIOUS);
}

#[test]
fn the_former_value_of_a_secret_stays_valid_for_its_grace() {
    let mut story = Story::new(json!([]));
    story.stores("app-password", "before");
    story.users = from_secret(&json!({"gracePeriod": "10m"}));
    story.passes();
    story.stores("app-password", "after");
    story.passes();
    assert_eq!(story.valid(&["before", "after"]), ["before", "after"]);
    story.inputs.password_secrets.clear();
    story.later(MINUTE);
    story.stores("app-password", "after");
    story.passes();
    assert_eq!(
        story.valid(&["before", "after"]),
        ["before", "after"],
        "a Secret that was away was not replaced"
    );
    story.stores("app-password", "before");
    story.passes();
    assert_eq!(story.valid(&["before", "after"]), ["before", "after"], "back to the former value");
    story.later(11 * MINUTE);
    assert_eq!(story.valid(&["before", "after"]), ["before"]);
}

#[test]
fn an_hour_of_grace_is_the_default_and_none_is_possible() {
    for (rotation, valid) in
        [(json!(null), ["before", "after"].as_slice()), (json!({"gracePeriod": "0s"}), ["after"].as_slice())]
    {
        let mut story = Story::new(json!([]));
        story.stores("app-password", "before");
        story.users = from_secret(&rotation);
        story.passes();
        story.stores("app-password", "after");
        story.passes();
        story.passes();
        assert_eq!(story.valid(&["before", "after"]), valid);
        story.later(60 * MINUTE);
        assert_eq!(story.valid(&["before", "after"]), ["after"]);
    }
}

#[test]
fn an_entry_that_is_removed_ends_at_once() {
    let mut story = Story::new(json!([]));
    for secret in ["one", "two"] {
        story.stores(secret, secret);
    }
    story.users = json!([{"name": "app", "passwords": [at("one"), at("two")]}]);
    story.passes();
    assert_eq!(story.valid(&["one", "two"]), ["one", "two"]);
    story.stores("one", "another");
    story.passes();
    assert_eq!(story.valid(&["one", "another", "two"]), ["one", "another", "two"]);
    story.users = json!([{"name": "app", "passwords": [at("two")]}]);
    story.passes();
    assert_eq!(story.valid(&["one", "another", "two"]), ["two"], "its former value as well");
    story.users = json!([]);
    story.passes();
    assert!(story.inputs.system.histories.is_empty(), "nothing is remembered of a user that is gone");
}

#[test]
fn no_password_ends_before_the_users_secret_tells_the_new_one() {
    let with = |trigger: &str| generated(&json!({"trigger": trigger, "gracePeriod": "10m"}));
    let mut story = Story::new(with("one"));
    story.users = with("two");
    for _ in 0..3 {
        story.now = story.now.checked_add(20 * MINUTE).unwrap();
        story.passes_without_telling();
        assert_eq!(story.valid(&GENERATED), ["generated-4", "generated-5"]);
    }
    story.passes();
    story.passes();
    assert_eq!(story.valid(&GENERATED), ["generated-5"]);
}

#[test]
fn a_password_that_is_told_is_valid_however_often_another_one_is_due() {
    for rotation in
        [json!({"interval": "60m", "gracePeriod": "1m"}), json!({"interval": "60m", "gracePeriod": "0s"})]
    {
        let mut story = Story::new(generated(&rotation));
        for _ in 0..20 {
            story.now = story.now.checked_add(60 * MINUTE).unwrap();
            story.passes_without_telling();
        }
        assert_eq!(story.valid(&GENERATED), ["generated-4", "generated-5"], "{rotation}");
        for _ in 0..3 {
            story.passes();
        }
        let valid = story.valid(&GENERATED);
        assert!(!valid.contains(&"generated-4") && valid.contains(&"generated-6"), "{valid:?}: it goes on");
    }
}

#[test]
fn who_is_switched_off_has_no_grace() {
    let with = |trigger: &str, enabled: bool| json!([{"name": "app", "enabled": enabled, "rotation": {"trigger": trigger}}]);
    let mut story = Story::new(with("one", true));
    story.users = with("two", false);
    story.passes();
    story.users = with("two", true);
    story.passes();
    assert_eq!(story.valid(&GENERATED), ["generated-5"]);
}

#[test]
fn taking_a_generated_password_away_ends_those_before_it_too() {
    let mut story = Story::new(generated(&json!({"trigger": "one"})));
    story.users = generated(&json!({"trigger": "two"}));
    story.passes();
    story.inputs.system.user_passwords.clear();
    story.passes();
    assert_eq!(story.valid(&["generated-4", "generated-5", "generated-6"]), ["generated-6"]);
}

#[test]
fn an_entry_that_cannot_be_read_is_what_it_was_and_holds_nothing_else_up() {
    let mut story = Story::new(json!([]));
    for secret in ["one", "two", "leaked"] {
        story.stores(secret, secret);
    }
    let user = |secrets: &[&str], rule: &str| {
        let passwords: Vec<Value> = secrets.iter().map(|secret| at(secret)).collect();
        json!([{"name": "app", "rules": [rule], "passwords": passwords, "rotation": {"gracePeriod": "10m"}}])
    };
    story.users = user(&["one", "two", "leaked"], "+@all");
    story.passes();
    let all = ["one", "two", "another", "leaked"];
    story.inputs.password_secrets.remove("one");
    story.stores("two", "another");
    story.users = user(&["one", "two"], "+get");
    story.passes_without_telling();
    assert_eq!(story.valid(&all), ["one", "two", "another"], "what was removed ends at once");
    let desired = Desired::from_spec(&story.cluster(), &story.inputs);
    assert_eq!(desired.users_unread.len(), 1, "it is told");
    let Part::Wanted(rules) = &desired.users["app"] else { panic!("{:?}", desired.users["app"]) };
    assert_eq!(rules.rules.iter().map(crate::acl::AclToken::as_str).collect::<Vec<_>>(), ["+get"]);
    assert!(!desired.user_passwords.contains_key("app"), "its Secret goes on telling what it told");
    story.now = story.now.checked_add(20 * MINUTE).unwrap();
    story.passes_without_telling();
    assert_eq!(story.valid(&all), ["one", "another"]);
    story.stores("one", "one");
    story.passes();
    assert_eq!(story.valid(&all), ["one", "another"]);
}

#[test]
fn nothing_ends_before_what_replaces_it_is_written_down() {
    let mut story = Story::new(json!([]));
    story.stores("app-password", "before");
    story.users = from_secret(&json!({"gracePeriod": "10m"}));
    story.passes();
    let all = ["before", "after", "last"];
    story.inputs.not_stored = Some("403 Forbidden".to_owned());
    for password in ["after", "last"] {
        story.stores("app-password", password);
        assert_eq!(story.valid(&all), ["before"], "nobody could know later that there was another one");
    }
    story.inputs.not_stored = None;
    story.passes();
    assert_eq!(story.valid(&all), ["before", "last"]);
    story.later(11 * MINUTE);
    assert_eq!(story.valid(&all), ["last"]);
}

#[test]
fn the_grace_begins_when_the_new_password_is_valid() {
    let list = |entries: &[&str]| {
        let passwords: Vec<Value> = entries.iter().map(|secret| at(secret)).collect();
        json!([{"name": "app", "passwords": passwords, "rotation": {"gracePeriod": "10m"}}])
    };
    let mut story = Story::new(json!([]));
    story.stores("first", "first");
    story.stores("second", "before");
    story.users = list(&["first", "second"]);
    story.passes();
    story.users = list(&["first", "second", "missing"]);
    story.stores("second", "after");
    story.later(30 * MINUTE);
    story.stores("missing", "third");
    story.passes();
    let all = ["first", "before", "after", "third"];
    assert_eq!(story.valid(&all), all);
    story.later(11 * MINUTE);
    assert_eq!(story.valid(&all), ["first", "after", "third"]);
}

#[test]
fn a_clock_that_was_ahead_makes_no_grace_longer_and_holds_no_rotation_up() {
    let mut story = Story::new(generated(&json!({"interval": "60m", "gracePeriod": "10m"})));
    let right = story.now;
    story.later(365 * 24 * 60 * MINUTE);
    assert_eq!(story.valid(&GENERATED), ["generated-4", "generated-5"]);
    story.now = right;
    story.passes();
    story.later(11 * MINUTE);
    assert_eq!(story.valid(&GENERATED), ["generated-5"]);
    story.later(50 * MINUTE);
    assert_eq!(story.valid(&GENERATED), ["generated-5", "generated-6"]);
}

#[test]
fn a_clock_that_is_behind_for_a_moment_makes_no_grace_shorter() {
    let mut story = Story::new(json!([]));
    story.stores("app-password", "before");
    story.users = from_secret(&json!({"gracePeriod": "10m"}));
    story.later(60 * MINUTE);
    story.stores("app-password", "after");
    story.passes();
    let right = story.now;
    story.now = right.checked_sub(5 * MINUTE).unwrap();
    story.passes();
    story.now = right;
    story.later(6 * MINUTE);
    assert_eq!(story.valid(&["before", "after"]), ["before", "after"]);
    story.later(5 * MINUTE);
    assert_eq!(story.valid(&["before", "after"]), ["after"]);
}

#[test]
fn who_takes_a_leaked_entry_away_ends_it_though_nothing_can_be_written_down() {
    let mut story = Story::new(json!([]));
    story.stores("first", "leaked");
    story.users = json!([{"name": "app", "passwords": [at("first")]}]);
    story.passes();
    story.inputs.not_stored = Some("403 Forbidden".to_owned());
    story.stores("second", "new");
    story.users = json!([{"name": "app", "passwords": [at("second")]}]);
    assert_eq!(story.valid(&["leaked", "new"]), ["new"]);
}

#[test]
fn nothing_is_waited_for_that_time_does_not_bring() {
    let rotation = json!({"interval": "60m", "gracePeriod": "10m"});
    let due = |story: &Story| Desired::from_spec(&story.cluster(), &story.inputs).passwords_due;
    let mut story = Story::new(generated(&rotation));
    assert!(due(&story).is_some());
    story.users = json!([{"name": "app", "enabled": false, "rotation": rotation}]);
    assert_eq!(due(&story), None, "who is switched off gets no new password");
    story.users = generated(&rotation);
    story.inputs.told.clear();
    assert_eq!(due(&story), None, "the present one has to be told first");

    let mut story = Story::new(json!([]));
    story.stores("first", "before");
    story.users = json!([{"name": "app", "passwords": [at("first")]}]);
    story.passes();
    story.stores("first", "after");
    story.passes();
    assert!(due(&story).is_some());
    story.users = json!([{"name": "app", "passwords": [at("first"), at("missing")]}]);
    assert_eq!(due(&story), None, "a person has to do something first");
}

#[test]
fn what_somebody_had_who_was_switched_off_is_replaced_by_nothing() {
    let with =
        |enabled: bool| json!([{"name": "app", "enabled": enabled, "passwords": [at("app-password")]}]);
    let mut story = Story::new(json!([]));
    story.stores("app-password", "leaked");
    story.users = with(true);
    story.passes();
    story.users = with(false);
    story.inputs.password_secrets.clear();
    story.passes();
    story.stores("app-password", "new");
    story.users = with(true);
    story.passes();
    assert_eq!(story.valid(&["leaked", "new"]), ["new"]);
}

#[test]
fn nothing_is_generated_while_the_users_secret_is_somebody_elses() {
    let mut story = Story::new(generated(&json!({"interval": "60m", "gracePeriod": "1m"})));
    story.inputs.told.clear();
    for _ in 0..20 {
        story.now = story.now.checked_add(60 * MINUTE).unwrap();
        story.passes_without_telling();
    }
    assert_eq!(story.valid(&GENERATED), ["generated-4"]);
}

#[test]
fn what_is_remembered_survives_the_secret_and_what_is_damaged_there_is_forgotten() {
    let with = |trigger: &str| generated(&json!({"trigger": trigger, "gracePeriod": "10m"}));
    let mut story = Story::new(with("one"));
    story.users = with("two");
    story.passes();
    let crate::Manifest::Secret(secret) =
        crate::manifests::system_secret(&story.cluster(), &story.inputs.system)
    else {
        panic!("a Secret")
    };
    let mut data = secret.data.unwrap();
    assert_eq!(SystemMemory::parse(&data).histories, story.inputs.system.histories);
    data.insert("history.app".to_owned(), k8s_openapi::ByteString(b"{".to_vec()));
    story.inputs.system = SystemMemory::parse(&data);
    story.passes();
    assert_eq!(story.valid(&GENERATED), ["generated-5"]);
}

#[test]
fn times_are_whole_numbers_with_a_unit() {
    for (text, seconds) in
        [("0s", Some(0)), ("90s", Some(90)), ("30m", Some(1800)), ("720h", Some(2_592_000))]
    {
        assert_eq!(duration(text), seconds.map(Duration::from_secs), "{text}");
    }
    for text in ["", "s", "1", "-1s", "+1s", "1.5h", "1d", "99999999s", "1 h", "é"] {
        assert_eq!(duration(text), None, "{text}");
    }
}
