//! A rotation of Keyslot's own passwords over time, with whatever may go wrong in between.

use serde_json::json;

use super::*;
use crate::desired::{Desired, next_memory};

const DELAY: Duration = Duration::from_mins(10);

/// A cluster as the operator lives through it.
struct Story {
    asked: Option<&'static str>,
    inputs: Inputs,
    now: Timestamp,
    made: usize,
}

impl Story {
    /// A cluster that has formed.
    fn new(asked: Option<&'static str>) -> Self {
        let inputs = Inputs { files_delay: DELAY, ..Inputs::default() };
        let mut story = Self { asked, inputs, now: Timestamp::UNIX_EPOCH, made: 0 };
        story.passes();
        story.inputs.system.formed = true;
        story
    }

    fn cluster(&self) -> RedisCluster {
        let annotations = self.asked.map(|asked| json!({ROTATE_SYSTEM: asked}));
        serde_json::from_value(json!({
            "apiVersion": "keyslot.dev/v1alpha1", "kind": "RedisCluster",
            "metadata": {"name": "demo", "namespace": "shop", "uid": "1", "annotations": annotations},
            "spec": {"image": "redis:8.0"},
        }))
        .unwrap()
    }

    fn passes(&mut self) {
        let (cluster, made) = (self.cluster(), &mut self.made);
        let generate = || {
            *made += 1;
            SecretString::from(format!("generated-{made}"))
        };
        let memory = next_memory(&cluster, &self.inputs, self.now, generate);
        self.inputs.system = memory.unwrap_or_else(|| self.inputs.system.clone());
    }

    /// Every node and the file get what they should have, and then it takes some time.
    fn settles_for(&mut self, time: Duration) {
        self.inputs.system_in_force = Some(self.inputs.system.system_hashes());
        self.passes();
        self.now = self.now.checked_add(time).unwrap();
        self.passes();
    }

    fn stage(&self) -> &'static str {
        match &self.inputs.system.system_rotation.stage {
            None => "none",
            Some(Stage::Announced(_)) => "announced",
            Some(Stage::InUse(_)) => "in use",
        }
    }

    /// Numbers of the operator's passwords: the one that it uses, and all that are valid.
    fn operator(&self) -> (usize, Vec<usize>) {
        let users = Desired::from_spec(&self.cluster(), &self.inputs).system_users;
        let valid = &users[crate::system_users::OPERATOR].passwords;
        let is_valid = |number: &usize| {
            valid.contains(&PasswordHash::of(&SecretString::from(format!("generated-{number}"))))
        };
        let used = PasswordHash::of(self.inputs.system.passwords.operator.as_ref().unwrap());
        let is_used =
            |number: &usize| used == PasswordHash::of(&SecretString::from(format!("generated-{number}")));
        ((1..=self.made).find(is_used).unwrap(), (1..=self.made).filter(is_valid).collect())
    }
}

#[test]
fn the_next_passwords_are_valid_everywhere_before_they_are_used_and_the_previous_ones_while_files_have_them()
{
    let mut story = Story::new(None);
    story.settles_for(DELAY);
    assert_eq!((story.stage(), story.operator()), ("none", (1, vec![1])), "nobody asks");

    story.asked = Some("a leak");
    story.passes();
    assert_eq!((story.stage(), story.operator()), ("announced", (1, vec![1, 4])));
    story.now = story.now.checked_add(10 * DELAY).unwrap();
    story.passes();
    assert_eq!(story.operator(), (1, vec![1, 4]), "some node does not have the next one yet");
    story.settles_for(DELAY.checked_sub(Duration::from_secs(1)).unwrap());
    assert_eq!(story.operator(), (1, vec![1, 4]), "a file may lack it");
    story.settles_for(Duration::from_secs(1));
    assert_eq!((story.stage(), story.operator()), ("in use", (4, vec![1, 4])));

    story.now = story.now.checked_add(10 * DELAY).unwrap();
    story.passes();
    assert_eq!(story.operator(), (4, vec![1, 4]), "some replica does not log in with it yet");
    story.settles_for(Duration::ZERO);
    assert_eq!((story.stage(), story.operator()), ("none", (4, vec![4])));
    story.settles_for(10 * DELAY);
    assert_eq!((story.stage(), story.operator()), ("none", (4, vec![4])), "it was asked for once");
}

#[test]
fn who_asks_again_gets_another_rotation_when_the_first_has_ended() {
    let mut story = Story::new(Some("from the beginning"));
    story.settles_for(DELAY);
    assert_eq!((story.stage(), story.made), ("none", 3), "the first passwords are as new as it gets");
    story.asked = None;
    story.settles_for(DELAY);
    assert_eq!(story.stage(), "none", "to take it away asks for nothing");
    story.asked = Some("one");
    story.passes();
    story.asked = Some("two");
    for stage in ["in use", "none"] {
        story.settles_for(DELAY);
        assert_eq!((story.stage(), story.made), (stage, 6));
    }
    story.passes();
    assert_eq!((story.stage(), story.made), ("announced", 9));
}

#[test]
fn an_upgrade_rotates_when_asked() {
    let mut story = Story::new(None);
    story.asked = Some(ROTATE_ON_UPGRADE);
    story.inputs.system.system_rotation.request =
        Some(format!("{ROTATE_ON_UPGRADE} {}", env!("CARGO_PKG_VERSION")));
    story.settles_for(DELAY);
    assert_eq!(story.stage(), "none", "the same version");
    story.inputs.system.system_rotation.request = Some(format!("{ROTATE_ON_UPGRADE} 0.0.1"));
    story.passes();
    assert_eq!(story.stage(), "announced");
}

#[test]
fn nothing_is_rotated_before_the_cluster_has_formed() {
    let mut story = Story::new(None);
    story.inputs.system.formed = false;
    story.asked = Some("now");
    story.settles_for(DELAY);
    assert_eq!(story.stage(), "none");
}

/// Whatever is lost from the Secret besides the passwords in use: those stay valid, and the rest is made or ends.
#[test]
fn a_damaged_record_never_takes_a_password_that_is_used() {
    for stage in ["announced", "in use"] {
        let begun = || {
            let mut story = Story::new(None);
            story.asked = Some("now");
            story.passes();
            if stage == "in use" {
                story.settles_for(DELAY);
            }
            assert_eq!(story.stage(), stage);
            story
        };
        let used = begun().operator().0;

        let mut story = begun();
        story.inputs.system.system_rotation = SystemRotation::default();
        for _ in 0..8 {
            story.settles_for(DELAY);
            assert_eq!(story.stage() == "none", story.operator().1.len() == 1, "{stage}");
            let (used, valid) = story.operator();
            assert!(valid.contains(&used), "{stage}");
        }
        assert_eq!(story.stage(), "none", "{stage}");
        let is_written = story.inputs.system.system_rotation != SystemRotation::default();
        assert!(
            is_written || crate::manifests::is_forgotten("system-rotation"),
            "{stage}: it would come back"
        );

        let mut story = begun();
        story.inputs.system.second_passwords.operator = None;
        let known = story.inputs.system_in_force.clone();
        story.passes();
        assert_eq!(story.operator().0, used, "{stage}: not with a password that nobody was told");
        story.inputs.system_in_force = known;
        for _ in 0..4 {
            story.settles_for(DELAY);
        }
        let (used, valid) = story.operator();
        assert_eq!((story.stage(), valid), ("none", vec![used]), "{stage}");
    }
}

#[test]
fn the_memory_survives_being_written_and_read() {
    let mut story = Story::new(None);
    story.asked = Some("now");
    story.passes();
    for _ in 0..3 {
        let memory = &story.inputs.system;
        let crate::Manifest::Secret(secret) = crate::manifests::system_secret(&story.cluster(), memory)
        else {
            panic!("it is a Secret")
        };
        let read = SystemMemory::parse(&secret.data.unwrap());
        assert_eq!(read.system_hashes(), memory.system_hashes());
        assert_eq!(read.system_rotation, memory.system_rotation);
        story.settles_for(DELAY);
    }
}
