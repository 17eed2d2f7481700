// SPDX-License-Identifier: Apache-2.0
//
// kafkajs: administers and sends.  (It reads in a group only; so what it sent
// is read by another client.)  Prints one JSON object of step to outcome, in
// which nothing differs from one broker to another.
"use strict";
const fs = require("fs");
const { Kafka, CompressionTypes, CompressionCodecs, ConfigResourceTypes, logLevel } =
	require("kafkajs");

CompressionCodecs[CompressionTypes.Snappy] = require("kafkajs-snappy");

const [address, topic, ca] = process.argv.slice(2);
const kafka = new Kafka({
	clientId: "kafkajs",
	brokers: [address],
	logLevel: logLevel.NOTHING,
	retry: { retries: 3 },
	ssl: ca ? { ca: [fs.readFileSync(ca)], servername: "localhost" } : false,
});
const seen = {};

// The outcome of a step: what it answers, or the error's type and words.
async function step(name, work) {
	try {
		const answer = await work();
		seen[name] = answer === undefined ? "ok" : answer;
	} catch (e) {
		const causes = (e.errors || [e]).map(c => [c.type || c.name, c.message]);
		seen[name] = causes;
	}
}

function settings(described, names) {
	return described.resources.map(r => [r.errorCode, r.errorMessage, r.configEntries
		.filter(c => names.includes(c.configName))
		.map(c => [c.configName, c.configValue, c.readOnly, c.isDefault, c.configSource,
			c.isSensitive, c.configSynonyms])
		.sort()]);
}

const names = ["retention.ms", "segment.bytes", "max.message.bytes"];

async function administer(admin) {
	const of = { topic, numPartitions: 3, replicationFactor: 1,
		configEntries: [{ name: "retention.ms", value: "-1" }] };
	const resource = { type: ConfigResourceTypes.TOPIC, name: topic };
	await step("validate", () => admin.createTopics({ validateOnly: true, topics: [of] }));
	await step("create", () => admin.createTopics({ topics: [of] }));
	await step("create again", () => admin.createTopics({ topics: [of] }));
	await step("create a bad name", () => admin.createTopics({ topics: [{ topic: "a/b" }] }));
	await step("create with a bad config", () => admin.createTopics({ topics: [
		{ ...of, topic: topic + "-x", configEntries: [{ name: "none.such", value: "1" }] }] }));
	await step("configs", async () => settings(await admin.describeConfigs(
		{ includeSynonyms: true, resources: [resource] }), names));
	await step("alter", async () => (await admin.alterConfigs({ validateOnly: false,
		resources: [{ ...resource, configEntries: [
			{ name: "max.message.bytes", value: "900000" },
			{ name: "retention.ms", value: "-1" }] }] })).resources);
	await step("configs altered", async () => settings(await admin.describeConfigs(
		{ includeSynonyms: true, resources: [resource] }), names));
	await step("cluster", async () => (await admin.describeCluster()).brokers.length);
}

async function send(codec, type) {
	const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 });
	await producer.connect();
	const messages = [];
	for (let i = 0; i < 300; i++)
		messages.push({
			partition: i % 3, key: i % 7 ? "key-" + i % 50 : null,
			value: i % 9 ? codec + (" value " + i).repeat(i % 20) : null,
			headers: { codec }, timestamp: String(1700000000000 + i),
		});
	await step("send " + codec, async () => (await producer.send(
		{ topic, acks: -1, compression: type, messages }))
		.map(p => [p.partition, p.errorCode, p.baseOffset, p.logStartOffset])
		.sort((a, b) => a[0] - b[0]));
	await producer.disconnect();
}

async function administerMore(admin) {
	const byPartition = list => list.sort((a, b) => a.partition - b.partition);
	await step("offsets", async () => byPartition(await admin.fetchTopicOffsets(topic)));
	await step("offsets by time", async () => byPartition(
		await admin.fetchTopicOffsetsByTimestamp(topic, 1700000000100)));
	await step("delete records", () => admin.deleteTopicRecords(
		{ topic, partitions: [{ partition: 0, offset: "10" }] }));
	await step("delete too many records", () => admin.deleteTopicRecords(
		{ topic, partitions: [{ partition: 0, offset: "100000" }] }));
	await step("start offsets", async () => byPartition(await admin.fetchTopicOffsets(topic)));
	await step("more partitions", () => admin.createPartitions(
		{ topicPartitions: [{ topic, count: 5 }] }));
	await step("fewer partitions", () => admin.createPartitions(
		{ topicPartitions: [{ topic, count: 1 }] }));
	await step("metadata", async () => (await admin.fetchTopicMetadata({ topics: [topic] }))
		.topics[0].partitions.map(p => [p.partitionErrorCode, p.partitionId, p.leader,
			p.replicas, p.isr, p.offlineReplicas])
		.sort((a, b) => a[1] - b[1]));
}

async function main() {
	const admin = kafka.admin();
	await admin.connect();
	await administer(admin);
	await send("none", CompressionTypes.None);
	await send("gzip", CompressionTypes.GZIP);
	await send("snappy", CompressionTypes.Snappy);
	await administerMore(admin);
	await admin.disconnect();
	console.log(JSON.stringify(seen, null, 2));
}

main().catch(e => {
	console.error(e);
	process.exit(1);
});
