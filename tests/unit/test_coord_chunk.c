/* SPDX-License-Identifier: Apache-2.0 */
/* A log is read in chunks that are no larger than is good for memory. */
#include "coord/coord_int.h"
#include "replica_rig.h"

#define BATCHES 10

/* Each has one record of a third of a chunk. */
static void
log_batches(struct replica_rig *rig)
{
	static char value[CHUNK_BYTES_MAX / 3];
	struct log *log = storage_find(rig->storage, RIG_TOPIC, 0);
	struct log_appended appended;

	CU_ASSERT_PTR_NOT_NULL_FATAL(log);
	for (int i = 0; i < BATCHES; i++) {
		struct buffer bytes = BUFFER_EMPTY;
		struct batch_builder builder;

		batch_builder_init(&builder, i, CODEC_NONE);
		builder.leader_epoch = 4;
		batch_builder_add(&builder, RIG_WALL_MS, SLICE_LITERAL("key"),
		    slice_of(value, sizeof(value)), NULL, 0);
		CU_ASSERT_EQUAL(batch_builder_finish(&builder, &bytes),
		    ERR_NONE);
		batch_builder_fini(&builder);
		CU_ASSERT_EQUAL_FATAL(log_append_as_follower(log,
		    buffer_slice(&bytes), &appended), ERR_NONE);
		buffer_fini(&bytes);
	}
	log_unref(log);
}

static const struct coord_ops no_ops = { .name = "group" };

static void
read_all(struct replica_rig *rig, size_t load_bytes, int64_t batches_at_once)
{
	struct coord coord = { .setup = { .ops = &no_ops, .topic = RIG_TOPIC,
		.replicas = rig->replicas, .load_bytes = load_bytes } };
	struct coord_chunk chunk = { .coord = &coord };
	struct coord_record record;
	bool commit;

	for (;;) {
		chunk_read(&chunk);
		CU_ASSERT_EQUAL_FATAL(chunk.error, ERR_NONE);
		if (chunk.end)
			break;
		CU_ASSERT(chunk.next - chunk.from <= batches_at_once);
		CU_ASSERT(chunk.bytes.capacity <= CHUNK_BYTES_MAX);
		while (chunk_next(&chunk, &record, &commit) != CHUNK_END)
			CU_ASSERT_EQUAL(record.offset, chunk.from++);
		CU_ASSERT_EQUAL(chunk.from, chunk.next);
	}
	CU_ASSERT_EQUAL(chunk.from, BATCHES);
	chunk_fini(&chunk);
}

static void
test_little_at_once(void)
{
	struct rig_order order = { .leader = 2, .replica_count = 2,
		.epoch = 4 };
	struct replica_rig rig;

	replica_rig_init(&rig, false, NULL);
	replica_rig_image(&rig, RIG_TOPIC, 1, 1);
	CU_ASSERT_EQUAL_FATAL(replica_rig_order(&rig, &order), ERR_NONE);
	log_batches(&rig);
	read_all(&rig, 1, 1);
	read_all(&rig, CHUNK_BYTES_MAX, 3);
	read_all(&rig, 5 << 20, 3);
	replica_rig_fini(&rig);
}

static const struct unit_test tests[] = {
	{ "a log is read in small chunks, whatever is allowed",
	    test_little_at_once },
};

int
main(void)
{
	return (unit_main("coord, chunks", tests, nelems(tests)));
}
