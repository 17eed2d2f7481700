// SPDX-License-Identifier: Apache-2.0
//
// kafkajs as a member of a group, until SIGTERM: what it prints is in
// members.py.  Its partitions change all at once.
"use strict";
const { Kafka, logLevel } = require("kafkajs");

const COMMIT_MS = 500;

function say(letter, ...words) {
	process.stdout.write([letter, Date.now(), ...words].join(" ") + "\n");
}

async function member(address, topic, groupId) {
	const kafka = new Kafka({ clientId: "kafkajs", brokers: [address],
		logLevel: logLevel.NOTHING });
	const consumer = kafka.consumer({ groupId, sessionTimeout: 12000, heartbeatInterval: 1000,
		rebalanceTimeout: 30000, maxWaitTimeInMs: 500 });
	let held = [];
	consumer.on(consumer.events.GROUP_JOIN, e => {
		say("R", held.join(","));
		held = e.payload.memberAssignment[topic] || [];
		say("A", held.join(","));
	});
	consumer.on(consumer.events.CRASH, e => say("E", e.payload.error.message));
	process.on("SIGTERM", async () => {
		await consumer.disconnect();
		process.exit(0);
	});
	await consumer.connect();
	await consumer.subscribe({ topics: [topic], fromBeginning: true });
	await consumer.run({ autoCommitInterval: COMMIT_MS,
		eachMessage: async m => say("r", m.partition, m.message.offset) });
}

// member ADDRESS TOPIC GROUP
member(...process.argv.slice(3)).catch(e => {
	console.error(e);
	process.exit(1);
});
