// SPDX-License-Identifier: Apache-2.0

//! A member of a group, until SIGTERM: what it prints is in members.py.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rdkafka::client::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance};
use rdkafka::message::Message;

static OVER: AtomicBool = AtomicBool::new(false);
const SIGTERM: i32 = 15;

extern "C" {
    fn signal(number: i32, handler: extern "C" fn(i32)) -> usize;
}

extern "C" fn end(_: i32) {
    OVER.store(true, Ordering::Relaxed);
}

fn say(letter: &str, words: &str) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock");
    let mut out = std::io::stdout().lock();
    writeln!(out, "{letter} {} {words}", now.as_millis()).expect("a reader");
    out.flush().expect("a reader");
}

fn partitions(letter: &str, rebalance: &Rebalance) {
    if let Rebalance::Assign(list) | Rebalance::Revoke(list) = rebalance {
        let elements = list.elements();
        let numbers: Vec<_> = elements.iter().map(|e| e.partition().to_string()).collect();
        say(letter, &numbers.join(","));
    }
}

struct Told;

impl ClientContext for Told {}

impl ConsumerContext for Told {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance) {
        match rebalance {
            Rebalance::Assign(_) => partitions("A", rebalance),
            Rebalance::Revoke(_) => partitions("R", rebalance),
            Rebalance::Error(error) => say("E", &error.to_string()),
        }
    }
}

pub fn run(address: &str, topic: &str, group: &str) {
    unsafe {
        signal(SIGTERM, end);
    }
    let consumer: BaseConsumer<Told> = ClientConfig::new()
        .set("bootstrap.servers", address)
        .set("group.id", group)
        .set("auto.offset.reset", "earliest")
        .set("session.timeout.ms", "12000")
        .set("heartbeat.interval.ms", "1000")
        .set("auto.commit.interval.ms", "500")
        .set("enable.auto.offset.store", "false")
        .create_with_context(Told)
        .expect("a consumer");
    consumer.subscribe(&[topic]).expect("a subscription");
    while !OVER.load(Ordering::Relaxed) {
        match consumer.poll(Duration::from_millis(200)) {
            None => (),
            Some(Err(error)) => say("E", &error.to_string()),
            Some(Ok(m)) => {
                say("r", &format!("{} {}", m.partition(), m.offset()));
                if let Err(error) = consumer.store_offset_from_message(&m) {
                    say("E", &error.to_string());
                }
            }
        }
    }
}
