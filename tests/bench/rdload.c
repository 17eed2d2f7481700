/* SPDX-License-Identifier: Apache-2.0 */
/*
 *	rdload produce ADDRESS TOPIC ACKS VALUE RECORDS [CA]
 *	rdload fetch ADDRESS TOPIC PARTITIONS RECORDS [CA]
 *
 * What librdkafka makes of it, as fast as it can; over TLS when a certificate
 * is named that the broker's is to be checked with.  produce sends so many
 * records with that acks (1; -1: all) over all partitions and waits until all
 * are acknowledged; fetch reads so many of all partitions from their beginning,
 * without a group.
 */
#include <errno.h>
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"

#define TAKEN_MAX 1000
#define STALL_MS 60000
#define VALUE_MAX (1 << 20)

static void
set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
	char why[256];

	if (rd_kafka_conf_set(conf, name, value, why, sizeof(why)) !=
	    RD_KAFKA_CONF_OK) {
		fprintf(stderr, "%s\n", why);
		exit(1);
	}
}

static rd_kafka_conf_t *
conf_new(const char *address, const char *authority)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();

	set(conf, "bootstrap.servers", address);
	if (authority != NULL) {
		set(conf, "security.protocol", "ssl");
		set(conf, "ssl.ca.location", authority);
	}
	return (conf);
}

static rd_kafka_t *
client_new(rd_kafka_type_t type, rd_kafka_conf_t *conf)
{
	char why[256];
	rd_kafka_t *client = rd_kafka_new(type, conf, why, sizeof(why));

	if (client == NULL) {
		fprintf(stderr, "%s\n", why);
		exit(1);
	}
	return (client);
}

static void
print_result(int64_t began_ns, long records, int64_t bytes)
{
	printf("seconds=%.4f records=%ld bytes=%lld\n",
	    (double)(now_ns() - began_ns) / 1e9, records, (long long)bytes);
}

/* --- produce -------------------------------------------------------------- */

/* Nothing is copied, and a full queue makes it wait. */
static void
send_records(rd_kafka_topic_t *topic, const struct slice *value, long count)
{
	rd_kafka_message_t messages[TAKEN_MAX];

	memset(messages, 0, sizeof(messages));
	for (long i = 0; i < count; i++) {
		messages[i].payload = (void *)(uintptr_t)value->data;
		messages[i].len = value->length;
	}
	if (rd_kafka_produce_batch(topic, RD_KAFKA_PARTITION_UA,
		RD_KAFKA_MSG_F_BLOCK, messages, (int)count) != count)
		fail("produce");
}

/* The records of the whole topic; nobody else writes to it. */
static int64_t
records_there(rd_kafka_t *producer, const char *topic)
{
	int64_t low, high, count = 0;

	for (int32_t i = 0; rd_kafka_query_watermark_offsets(producer, topic, i,
		    &low, &high, STALL_MS) == RD_KAFKA_RESP_ERR_NO_ERROR; i++)
		count += high - low;
	return (count);
}

static void
produce(char **words, int count)
{
	static uint8_t value[VALUE_MAX];
	const struct slice sent = { value, (size_t)number_of(words[3]) };
	const long wanted = number_of(words[4]);
	rd_kafka_conf_t *conf = conf_new(words[0], count > 5 ? words[5] : NULL);
	rd_kafka_topic_t *topic;
	rd_kafka_t *producer;
	int64_t began;

	if (sent.length > VALUE_MAX)
		number_of("too large");
	for (size_t i = 0; i < sent.length; i++)
		value[i] = (uint8_t)('a' + i * 7 % 26);
	set(conf, "acks", words[2]);
	set(conf, "queue.buffering.max.messages", "500000");
	producer = client_new(RD_KAFKA_PRODUCER, conf);
	topic = rd_kafka_topic_new(producer, words[1], NULL);
	began = now_ns();
	for (long left = wanted; left > 0; left -= TAKEN_MAX)
		send_records(topic, &sent, left < TAKEN_MAX ? left : TAKEN_MAX);
	if (rd_kafka_flush(producer, STALL_MS) != RD_KAFKA_RESP_ERR_NO_ERROR)
		fail("flush");
	print_result(began, wanted, wanted * (int64_t)sent.length);
	/* No report was asked for, which would cost more than the sending. */
	if (records_there(producer, words[1]) != wanted) {
		fprintf(stderr, "not all records are there\n");
		exit(1);
	}
	rd_kafka_topic_destroy(topic);
	rd_kafka_destroy(producer);
}

/* --- fetch ---------------------------------------------------------------- */

static void
assign_all(rd_kafka_t *consumer, const char *topic, long partitions)
{
	rd_kafka_topic_partition_list_t *list =
	    rd_kafka_topic_partition_list_new((int)partitions);

	for (int32_t i = 0; i < partitions; i++)
		rd_kafka_topic_partition_list_add(list, topic, i)->offset =
		    RD_KAFKA_OFFSET_BEGINNING;
	if (rd_kafka_assign(consumer, list) != RD_KAFKA_RESP_ERR_NO_ERROR)
		fail("assign");
	rd_kafka_topic_partition_list_destroy(list);
}

/* Takes what is there; false: nothing came for long. */
static bool
take(rd_kafka_queue_t *queue, long *records, int64_t *bytes)
{
	rd_kafka_message_t *messages[TAKEN_MAX];
	const ssize_t n = rd_kafka_consume_batch_queue(queue, STALL_MS,
	    messages, TAKEN_MAX);

	for (ssize_t i = 0; i < n; i++) {
		if (messages[i]->err != 0) {
			fprintf(stderr, "not fetched: %s\n",
			    rd_kafka_message_errstr(messages[i]));
			exit(1);
		}
		*bytes += (int64_t)messages[i]->len;
		rd_kafka_message_destroy(messages[i]);
	}
	*records += n;
	return (n > 0);
}

static void
fetch(char **words, int count)
{
	const long wanted = number_of(words[3]);
	rd_kafka_conf_t *conf = conf_new(words[0], count > 4 ? words[4] : NULL);
	rd_kafka_t *consumer;
	rd_kafka_queue_t *queue;
	long records = 0;
	int64_t bytes = 0;
	int64_t began;

	set(conf, "group.id", "bench");
	set(conf, "enable.auto.commit", "false");
	/* A full queue makes it sleep for a second. */
	set(conf, "queued.max.messages.kbytes", "2097151");
	set(conf, "queued.min.messages", "10000000");
	consumer = client_new(RD_KAFKA_CONSUMER, conf);
	(void)rd_kafka_poll_set_consumer(consumer);
	queue = rd_kafka_queue_get_consumer(consumer);
	began = now_ns();
	assign_all(consumer, words[1], number_of(words[2]));
	while (records < wanted)
		if (!take(queue, &records, &bytes)) {
			errno = ETIMEDOUT;
			fail("no progress");
		}
	print_result(began, records, bytes);
	rd_kafka_queue_destroy(queue);
	(void)rd_kafka_consumer_close(consumer);
	rd_kafka_destroy(consumer);
}

int
main(int argc, char **argv)
{
	const char *command = argc > 1 ? argv[1] : "";

	if (strcmp(command, "produce") == 0 && (argc == 7 || argc == 8)) {
		produce(argv + 2, argc - 2);
	} else if (strcmp(command, "fetch") == 0 && (argc == 6 || argc == 7)) {
		fetch(argv + 2, argc - 2);
	} else {
		fprintf(stderr,
		    "usage: see the head of tests/bench/rdload.c\n");
		return (2);
	}
	return (0);
}
