//! What the stream and its consumers must look like, and how what is there differs from it.

use std::collections::HashMap;
use std::fmt::Debug;
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, ReplayPolicy, pull};
use async_nats::jetstream::{consumer, stream};
use proto::{ClusterId, Incarnation};

use crate::config::{Config, DUPLICATE_WINDOW, MAX_EVENT_BYTES};
use crate::journal::Identity;
use crate::names::{ConsumerName, SUBJECTS};

/// The stream's metadata key for which life of the journal it is.
pub(crate) const INCARNATION: &str = "highwater_incarnation";
/// The stream's metadata key for the cluster it belongs to.
pub(crate) const CLUSTER: &str = "highwater_cluster";
/// The stream's metadata key for the number of this layout.
pub(crate) const SCHEMA: &str = "highwater_schema";
/// The stream's metadata key that says that it is not whole: it is being restored.
pub(crate) const RESTORING: &str = "highwater_restoring";
/// The number of this layout; a stream with a higher one was made by a later version.
pub(crate) const CURRENT_SCHEMA: u32 = 1;

/// At most this many requests for deliveries stand at one consumer.
const MAX_WAITING: i64 = 512;

/// The stream as it must be.
pub(crate) fn stream(config: &Config, identity: Identity) -> stream::Config {
    stream::Config {
        name: config.stream.clone(),
        description: Some("Highwater's journal: every change, in order. Never delete, purge or edit it.".to_owned()),
        subjects: vec![SUBJECTS.to_owned()],
        retention: stream::RetentionPolicy::Limits,
        storage: stream::StorageType::File,
        persist_mode: Some(stream::PersistenceMode::Default),
        num_replicas: config.replicas.into(),
        max_bytes: i64::try_from(config.max_bytes).unwrap_or(i64::MAX),
        max_messages: -1,
        max_messages_per_subject: -1,
        max_age: Duration::ZERO,
        max_consumers: -1,
        max_message_size: MAX_EVENT_BYTES,
        discard: stream::DiscardPolicy::New,
        discard_new_per_subject: false,
        duplicate_window: DUPLICATE_WINDOW,
        no_ack: false,
        sealed: false,
        deny_delete: true,
        deny_purge: true,
        allow_rollup: false,
        allow_direct: true,
        mirror_direct: false,
        allow_atomic_publish: true,
        allow_batch_publish: false,
        allow_message_ttl: false,
        allow_message_schedules: false,
        allow_message_counter: false,
        subject_delete_marker_ttl: None,
        compression: Some(stream::Compression::S2),
        metadata: HashMap::from([
            (INCARNATION.to_owned(), identity.incarnation.to_string()),
            (CLUSTER.to_owned(), identity.cluster.to_string()),
            (SCHEMA.to_owned(), CURRENT_SCHEMA.to_string()),
        ]),
        first_sequence: None,
        placement: None,
        consumer_limits: None,
        republish: None,
        mirror: None,
        sources: None,
        subject_transform: None,
        pause_until: None,
        template_owner: String::new(),
    }
}

/// What the metadata says about a stream's identity; a sentence when it says nothing usable.
pub(crate) fn identity(found: &stream::Config) -> Result<Identity, String> {
    let name = &found.name;
    let value = |key: &str| found.metadata.get(key).map(String::as_str);
    let schema = value(SCHEMA).and_then(|text| text.parse::<u32>().ok());
    let incarnation = value(INCARNATION).and_then(|text| text.parse::<Incarnation>().ok());
    let cluster = value(CLUSTER).and_then(|text| text.parse::<ClusterId>().ok());
    let (Some(schema), Some(incarnation), Some(cluster)) = (schema, incarnation, cluster) else {
        return Err(format!(
            "the stream {name} was not made by Highwater: its metadata lacks {INCARNATION}, {CLUSTER} or {SCHEMA}; set `nats.stream` to another name"
        ));
    };
    if schema > CURRENT_SCHEMA {
        return Err(format!(
            "the stream {name} has the schema {schema}, this program knows {CURRENT_SCHEMA}: a newer version of Highwater is needed"
        ));
    }
    Ok(Identity { incarnation, cluster })
}

/// The fields in which a stream differs from what it must be, as `field is .. instead of ..`.
pub(crate) fn stream_drift(config: &Config, found: &stream::Config) -> Vec<String> {
    let Ok(identity) = identity(found) else { return Vec::new() };
    let wanted = stream(config, identity);
    let mut drift = Drift::default();
    drift.compare("subjects", &wanted.subjects, &found.subjects);
    drift.compare("retention", &wanted.retention, &found.retention);
    drift.compare("storage", &wanted.storage, &found.storage);
    drift.compare("persist_mode", &stream::PersistenceMode::Default, &found.persist_mode.unwrap_or_default());
    drift.at_least("num_replicas", &wanted.num_replicas, &found.num_replicas);
    if found.max_bytes > 0 {
        drift.at_least("max_bytes", &wanted.max_bytes, &found.max_bytes);
    }
    drift.compare("max_age (the age limit)", &wanted.max_age, &found.max_age);
    drift.compare("max_msgs", &wanted.max_messages, &found.max_messages);
    drift.compare("max_msgs_per_subject", &wanted.max_messages_per_subject, &found.max_messages_per_subject);
    drift.compare("max_consumers", &wanted.max_consumers, &found.max_consumers);
    drift.compare("max_msg_size", &wanted.max_message_size, &found.max_message_size);
    drift.compare("discard", &wanted.discard, &found.discard);
    drift.compare("discard_new_per_subject", &wanted.discard_new_per_subject, &found.discard_new_per_subject);
    drift.compare("duplicate_window", &wanted.duplicate_window, &found.duplicate_window);
    drift.compare("no_ack", &wanted.no_ack, &found.no_ack);
    drift.compare("sealed", &wanted.sealed, &found.sealed);
    drift.compare("deny_delete", &wanted.deny_delete, &found.deny_delete);
    drift.compare("deny_purge", &wanted.deny_purge, &found.deny_purge);
    drift.compare("allow_rollup_hdrs", &wanted.allow_rollup, &found.allow_rollup);
    drift.compare("allow_direct", &wanted.allow_direct, &found.allow_direct);
    drift.compare("allow_atomic", &wanted.allow_atomic_publish, &found.allow_atomic_publish);
    drift.compare("allow_msg_ttl", &wanted.allow_message_ttl, &found.allow_message_ttl);
    drift.compare("allow_msg_schedules", &wanted.allow_message_schedules, &found.allow_message_schedules);
    drift.compare("allow_msg_counter", &wanted.allow_message_counter, &found.allow_message_counter);
    drift.compare("compression", &wanted.compression, &found.compression);
    drift.compare("mirror", &wanted.mirror, &found.mirror);
    drift.compare("sources", &wanted.sources, &found.sources);
    drift.compare("subject_transform", &wanted.subject_transform, &found.subject_transform);
    drift.0
}

/// A replicator's consumer as it must be.
pub(crate) fn consumer(config: &Config, name: &ConsumerName) -> pull::Config {
    // A single subject is given by itself: to the server, a list of one is another configuration.
    let mut filter_subjects = name.lane().subjects();
    let filter_subject = if filter_subjects.len() == 1 { filter_subjects.remove(0) } else { String::new() };
    pull::Config {
        durable_name: Some(name.to_string()),
        description: Some("Which blobs a node still lacks, or must erase. Made by `gateway init`.".to_owned()),
        deliver_policy: DeliverPolicy::All,
        ack_policy: AckPolicy::Explicit,
        ack_wait: config.ack_wait,
        max_deliver: -1,
        filter_subject,
        filter_subjects,
        max_ack_pending: config.max_ack_pending.into(),
        inactive_threshold: Duration::ZERO,
        num_replicas: 0,
        memory_storage: false,
        ..any(name.to_string())
    }
}

/// A replay's own consumer, gone by itself soon after nobody asks it any more. Without subjects it gets everything.
pub(crate) fn replay(config: &Config, name: String, from: u64, subjects: &[String]) -> pull::Config {
    pull::Config {
        durable_name: None,
        description: Some("Reads the journal in order.".to_owned()),
        deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: from },
        ack_policy: AckPolicy::None,
        ack_wait: Duration::ZERO,
        max_deliver: 0,
        filter_subjects: subjects.to_vec(),
        max_ack_pending: 0,
        inactive_threshold: config.pull_expires * 2,
        num_replicas: 1,
        memory_storage: true,
        ..any(name)
    }
}

/// What all consumers have in common.
fn any(name: String) -> pull::Config {
    pull::Config {
        name: Some(name),
        durable_name: None,
        description: None,
        deliver_policy: DeliverPolicy::All,
        ack_policy: AckPolicy::Explicit,
        ack_wait: Duration::ZERO,
        max_deliver: -1,
        filter_subject: String::new(),
        filter_subjects: Vec::new(),
        replay_policy: ReplayPolicy::Instant,
        rate_limit: 0,
        sample_frequency: 0,
        max_waiting: MAX_WAITING,
        max_ack_pending: 0,
        headers_only: false,
        max_batch: 0,
        max_bytes: 0,
        max_expires: Duration::ZERO,
        inactive_threshold: Duration::ZERO,
        num_replicas: 0,
        memory_storage: false,
        metadata: HashMap::new(),
        backoff: Vec::new(),
        priority_policy: consumer::PriorityPolicy::None,
        priority_groups: Vec::new(),
        priority_timeout: Duration::ZERO,
        pause_until: None,
    }
}

/// The fields in which a consumer differs from what it must be.
pub(crate) fn consumer_drift(wanted: &pull::Config, found: &consumer::Config) -> Vec<String> {
    let mut drift = Drift::default();
    drift.compare("deliver_policy", &wanted.deliver_policy, &found.deliver_policy);
    drift.compare("ack_policy", &wanted.ack_policy, &found.ack_policy);
    drift.compare("ack_wait", &wanted.ack_wait, &found.ack_wait);
    drift.compare("max_deliver", &wanted.max_deliver, &found.max_deliver);
    drift.compare("filter_subject", &wanted.filter_subject, &found.filter_subject);
    drift.compare("filter_subjects", &wanted.filter_subjects, &found.filter_subjects);
    drift.compare("replay_policy", &wanted.replay_policy, &found.replay_policy);
    drift.compare("rate_limit", &wanted.rate_limit, &found.rate_limit);
    drift.compare("max_waiting", &wanted.max_waiting, &found.max_waiting);
    drift.compare("max_ack_pending", &wanted.max_ack_pending, &found.max_ack_pending);
    drift.compare("headers_only", &wanted.headers_only, &found.headers_only);
    drift.compare("backoff", &wanted.backoff, &found.backoff);
    drift.compare("inactive_threshold", &wanted.inactive_threshold, &found.inactive_threshold);
    drift.0
}

/// Whether a consumer gets all that its lane works on. One that was made by an earlier version may lack a subject; what
/// it passes over then never comes again, so nobody may take anything from it before `gateway init` has set it right.
pub(crate) fn gets_all(name: &ConsumerName, found: &consumer::Config) -> bool {
    let gets = |subject: &String| found.filter_subject == *subject || found.filter_subjects.contains(subject);
    name.lane().subjects().iter().all(gets)
}

/// Differences found so far.
#[derive(Default)]
struct Drift(Vec<String>);

// === impl Drift ===

impl Drift {
    fn compare<T: PartialEq + Debug>(&mut self, field: &str, wanted: &T, found: &T) {
        if wanted != found {
            self.0.push(format!("{field} is {found:?} instead of {wanted:?}"));
        }
    }

    fn at_least<T: PartialOrd + Debug>(&mut self, field: &str, wanted: &T, found: &T) {
        if found < wanted {
            self.0.push(format!("{field} is {found:?} instead of at least {wanted:?}"));
        }
    }
}
