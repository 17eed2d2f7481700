// SPDX-License-Identifier: Apache-2.0

//! rdkafka: AdminClient, an idempotent FutureProducer, a BaseConsumer that
//! reads by partition.  Prints one line "step: outcome" each; nothing in them
//! differs from one broker to another.

mod member;

use std::time::Duration;

use futures_executor::block_on;
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier,
    TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

const PARTITIONS: i32 = 3;
const RECORDS: usize = 300;
const BASE: i64 = 1_700_000_000_000;
const PATIENCE: Duration = Duration::from_secs(30);

type Admin = AdminClient<DefaultClientContext>;

fn settings(address: &str, ca: Option<&String>) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", address);
    if let Some(ca) = ca {
        config.set("security.protocol", "SSL").set("ssl.ca.location", ca);
    }
    config
}

fn new_topic<'a>(name: &'a str, config: (&'a str, &'a str)) -> NewTopic<'a> {
    NewTopic::new(name, PARTITIONS, TopicReplication::Fixed(1)).set(config.0, config.1)
}

fn configs(admin: &Admin, resource: ResourceSpecifier, names: &[&str]) -> String {
    let answer = block_on(admin.describe_configs([&resource], &AdminOptions::new()));
    let mut out = Vec::new();
    for resource in answer.expect("an answer") {
        match resource {
            Err(error) => out.push(format!("{error:?}")),
            Ok(resource) => out.extend(
                resource
                    .entries
                    .iter()
                    .filter(|e| names.contains(&e.name.as_str()))
                    .map(|e| format!("{e:?}")),
            ),
        }
    }
    out.sort();
    out.join("; ")
}

fn administer(admin: &Admin, topic: &str) {
    let options = AdminOptions::new();
    let names = ["retention.ms", "segment.bytes", "max.message.bytes"];
    let bad = format!("{topic}-x");
    for (step, wanted) in [
        ("create", new_topic(topic, ("retention.ms", "-1"))),
        ("create again", new_topic(topic, ("retention.ms", "-1"))),
        ("create a bad name", new_topic("a/b", ("retention.ms", "-1"))),
        ("create with a bad config", new_topic(&bad, ("retention.ms", "x"))),
    ] {
        println!("{step}: {:?}", block_on(admin.create_topics([&wanted], &options)));
    }
    println!("configs: {}", configs(admin, ResourceSpecifier::Topic(topic), &names));
    let change = AlterConfig::new(ResourceSpecifier::Topic(topic))
        .set("max.message.bytes", "900000")
        .set("retention.ms", "-1");
    println!("alter: {:?}", block_on(admin.alter_configs([&change], &options)));
    println!("configs altered: {}", configs(admin, ResourceSpecifier::Topic(topic), &names));
}

fn send(config: &ClientConfig, topic: &str, codec: &str) -> Vec<String> {
    let producer: FutureProducer = config
        .clone()
        .set("enable.idempotence", "true")
        .set("linger.ms", "20")
        .set("compression.type", codec)
        .create()
        .expect("a producer");
    let mut waiting = Vec::new();
    let mut lines = Vec::new();
    for i in 0..RECORDS {
        let key = format!("key-{}", i % 50);
        let value = format!("{codec}{}", format!(" value {i}").repeat(i % 20));
        let partition = i as i32 % PARTITIONS;
        let mut record = FutureRecord::to(topic)
            .partition(partition)
            .key(&key)
            .timestamp(BASE + i as i64)
            .headers(OwnedHeaders::new().insert(Header { key: "codec", value: Some(codec) }));
        if i % 9 != 0 {
            record = record.payload(&value);
        }
        let told = if i % 9 != 0 { Some(value.as_bytes()) } else { None };
        lines.push(line(partition, Some(key.as_bytes()), told, codec.as_bytes(), BASE + i as i64));
        waiting.push(producer.send_result(record).unwrap_or_else(|(e, _)| panic!("{e}")));
    }
    producer.flush(PATIENCE).expect("flush");
    let failed: Vec<_> = waiting
        .into_iter()
        .filter_map(|w| block_on(w).expect("a delivery").err())
        .map(|(e, _)| e.to_string())
        .collect();
    println!("send {codec}: {failed:?}");
    lines
}

fn line(partition: i32, key: Option<&[u8]>, value: Option<&[u8]>, codec: &[u8], ms: i64) -> String {
    format!("{partition} {key:?} {value:?} {codec:?} {ms}")
}

fn read(config: &ClientConfig, topic: &str, count: usize) -> Vec<String> {
    // The group's name is needed by the library only: it joins none.
    let consumer: BaseConsumer = config.clone().set("group.id", "none").create().expect("a consumer");
    let mut wanted = TopicPartitionList::new();
    for p in 0..PARTITIONS {
        wanted.add_partition_offset(topic, p, Offset::Beginning).expect("an offset");
    }
    consumer.assign(&wanted).expect("assign");
    let mut lines = Vec::new();
    while lines.len() < count {
        let m = consumer.poll(PATIENCE).expect("records in time").expect("a record");
        let codec = m.headers().expect("headers").get(0).value.expect("a value").to_vec();
        let ms = m.timestamp().to_millis().expect("a timestamp");
        lines.push(line(m.partition(), m.key(), m.payload(), &codec, ms));
    }
    lines
}

fn administer_more(config: &ClientConfig, admin: &Admin, topic: &str) {
    let options = AdminOptions::new();
    let consumer: BaseConsumer = config.create().expect("a consumer");
    let mut low = TopicPartitionList::new();
    low.add_partition_offset(topic, 0, Offset::Offset(10)).expect("an offset");
    let deleted = block_on(admin.delete_records(&low, &options));
    println!("delete records: {:?}", deleted.map(|list| list.to_topic_map()));
    for p in 0..PARTITIONS {
        println!("watermarks {p}: {:?}", consumer.fetch_watermarks(topic, p, PATIENCE));
    }
    let mut times = TopicPartitionList::new();
    for p in 0..PARTITIONS {
        times.add_partition_offset(topic, p, Offset::Offset(BASE + 100)).expect("an offset");
    }
    let mut found: Vec<_> = consumer
        .offsets_for_times(times, PATIENCE)
        .expect("offsets")
        .elements()
        .iter()
        .map(|e| (e.partition(), e.offset()))
        .collect();
    found.sort_by_key(|e| e.0);
    println!("offsets by time: {found:?}");
    for (step, count) in [("more partitions", 5), ("fewer partitions", 1)] {
        let wanted = NewPartitions::new(topic, count);
        println!("{step}: {:?}", block_on(admin.create_partitions([&wanted], &options)));
    }
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).expect("metadata");
    println!("metadata: {} {}", metadata.brokers().len(), metadata.topics()[0].name());
    let none = format!("{topic}-none");
    println!("delete: {:?}", block_on(admin.delete_topics(&[topic, &none], &options)));
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, mode, address, topic, group] = &arguments[..] {
        assert_eq!(mode, "member");
        return member::run(address, topic, group);
    }
    let config = settings(&arguments[1], arguments.get(3));
    let topic = &arguments[2];
    let admin: Admin = config.create().expect("an admin client");
    administer(&admin, topic);
    let mut sent = Vec::new();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        sent.extend(send(&config, topic, codec));
    }
    let mut got = read(&config, topic, sent.len());
    sent.sort();
    got.sort();
    println!("records: {} {}", got.len(), got == sent);
    administer_more(&config, &admin, topic);
}
