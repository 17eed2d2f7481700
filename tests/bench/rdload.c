/* SPDX-License-Identifier: Apache-2.0 */
/*
 *	rdload ADDRESS TOPIC VALUE RECORDS
 *
 * Sends so many records with acks=1 as fast as librdkafka can, over all
 * partitions, and waits for the last acknowledgement.
 */
#include <errno.h>
#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"

struct sender {
	rd_kafka_t *producer;
	atomic_long acknowledged;
	long wanted;
};

static void
on_report(rd_kafka_t *producer, const rd_kafka_message_t *message, void *opaque)
{
	struct sender *sender = opaque;

	(void)producer;
	if (message->err != 0) {
		fprintf(stderr, "not sent: %s\n",
		    rd_kafka_err2str(message->err));
		exit(1);
	}
	atomic_fetch_add_explicit(&sender->acknowledged, 1,
	    memory_order_relaxed);
}

/* Reports are taken by a thread of its own, else the sending waits for them. */
static void *
reports_main(void *arg)
{
	struct sender *sender = arg;

	while (atomic_load(&sender->acknowledged) < sender->wanted)
		(void)rd_kafka_poll(sender->producer, 100);
	return (NULL);
}

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

static void
send_all_records(struct sender *sender, const char *topic, size_t size)
{
	rd_kafka_topic_t *t = rd_kafka_topic_new(sender->producer, topic, NULL);
	char *value = malloc(size);

	if (t == NULL || value == NULL)
		fail(topic);
	for (size_t i = 0; i < size; i++)
		value[i] = (char)('a' + i * 7 % 26);
	for (long i = 0; i < sender->wanted; i++)
		if (rd_kafka_produce(t, RD_KAFKA_PARTITION_UA,
		    RD_KAFKA_MSG_F_COPY | RD_KAFKA_MSG_F_BLOCK, value, size,
		    NULL, 0, NULL) != 0)
			fail("produce");
	free(value);
	rd_kafka_topic_destroy(t);
}

int
main(int argc, char **argv)
{
	struct sender sender = { 0 };
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	pthread_t reports;
	int64_t began;
	char why[256];

	if (argc != 5) {
		fprintf(stderr, "usage: rdload ADDRESS TOPIC VALUE RECORDS\n");
		return (2);
	}
	set(conf, "bootstrap.servers", argv[1]);
	set(conf, "acks", "1");
	set(conf, "queue.buffering.max.messages", "500000");
	rd_kafka_conf_set_dr_msg_cb(conf, on_report);
	rd_kafka_conf_set_opaque(conf, &sender);
	sender.wanted = number_of(argv[4]);
	sender.producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why,
	    sizeof(why));
	if (sender.producer == NULL ||
	    pthread_create(&reports, NULL, reports_main, &sender) != 0)
		fail("start");
	began = now_ns();
	send_all_records(&sender, argv[2], (size_t)number_of(argv[3]));
	(void)pthread_join(reports, NULL);
	printf("seconds=%.4f records=%ld bytes=%ld\n",
	    (double)(now_ns() - began) / 1e9, sender.wanted,
	    sender.wanted * number_of(argv[3]));
	rd_kafka_destroy(sender.producer);
	return (0);
}
