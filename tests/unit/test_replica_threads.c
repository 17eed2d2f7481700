/* SPDX-License-Identifier: Apache-2.0 */
/* Many loops at one partition: nobody waits for its lock, nothing is lost,
 * twice there or out of order. */
#include <ftw.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "replica_rig.h"

#define STORM_LOOPS 3
#define STORM_SIZE 200

/* --- producers ------------------------------------------------------------ */

struct storm {
	struct replica_rig *rig;
	int loop;
	struct rig_produce items[STORM_SIZE];
	int done;      /* its loop's */
	int16_t acks;
	struct gate gate;
};

static void
storm_done(struct produce *produce)
{
	struct rig_produce *item = produce->owner;
	struct storm *storm = container_of(item - item->loop,
	    struct storm, items[0]);

	item->done = true;
	if (++storm->done == STORM_SIZE)
		gate_open(&storm->gate);
}

static void
storm_appended(struct produce *produce)
{
	struct rig_produce *item = produce->owner;

	item->released = true;
	buffer_fini(&item->bytes);
}

/* All of them in a row, as a connection that does not wait for answers. */
static void
storm_run(void *arg)
{
	struct storm *storm = arg;

	for (int i = 0; i < STORM_SIZE; i++) {
		struct rig_produce *item = &storm->items[i];

		item->part.bytes = item->bytes.data;
		item->part.size = item->bytes.length;
		item->produce.owner = item;
		item->produce.loop = storm->rig->loops[storm->loop];
		produce_run(&item->produce);
	}
}

static struct storm *
storm_new(struct replica_rig *rig, int loop, int16_t acks)
{
	struct storm *storm = mem_zalloc(sizeof(*storm));

	storm->rig = rig;
	storm->loop = loop;
	storm->acks = acks;
	gate_init(&storm->gate);
	for (int i = 0; i < STORM_SIZE; i++) {
		struct rig_produce *item = &storm->items[i];

		/* Every other one does not wait for replicas. */
		rig_produce_init(item, rig, (i & 1) != 0 ? 1 : acks);
		item->loop = i; /* here: its place */
		item->produce.timeout_ms = 60000;
		item->produce.appended = storm_appended;
		item->produce.done = storm_done;
	}
	return (storm);
}

static void
storm_free(struct storm *storm)
{
	for (int i = 0; i < STORM_SIZE; i++)
		rig_produce_fini(&storm->items[i]);
	mem_free(storm);
}

/* --- a reader that follows the end ---------------------------------------- */

struct reader {
	struct replica_rig *rig;
	struct rig_fetch fetch;
	int64_t until;
	bool gap;
	struct post post;
	struct gate gate;
};

static void
reader_take(struct reader *reader)
{
	struct fetch_part *part = &reader->fetch.parts[0];
	uint8_t *bytes;
	struct slice rest;
	struct batch batch;

	if (part->extent.blob == NULL)
		return;
	bytes = mem_alloc(part->extent.length);
	reader->gap |= part->extent.blob->ops->read_at(part->extent.blob,
			   bytes, part->extent.length,
			   part->extent.position) !=
	    (ssize_t)part->extent.length;
	rest = slice_of(bytes, part->extent.length);
	while (batch_next(&rest, &batch) == BATCH_OK) {
		reader->gap |= batch.base_offset != part->fetch_offset ||
		    !batch_crc_good(&batch);
		part->fetch_offset = batch.last_offset + 1;
	}
	mem_free(bytes);
}

static void
reader_done(struct fetch *fetch)
{
	struct reader *reader = container_of(fetch, struct reader, fetch.fetch);

	reader->gap |= fetch->parts[0].error != ERR_NONE;
	reader_take(reader);
	reader->fetch.done = true;
	if (!reader->gap && (fetch->parts[0].fetch_offset < reader->until ||
	    (fetch->replica_id >= 0 && fetch->max_wait_ms > 0))) {
		/* A follower tells in one more fetch that it has the last. */
		if (fetch->parts[0].fetch_offset >= reader->until)
			fetch->max_wait_ms = 0;
		loop_post(fetch->loop, &reader->post);
		return;
	}
	gate_open(&reader->gate);
}

static void
reader_next(struct post *post)
{
	struct reader *reader = container_of(post, struct reader, post);

	rig_fetch_again(&reader->fetch);
	arena_reset(&reader->fetch.arena);
	reader->fetch.done = false;
	fetch_run(&reader->fetch.fetch);
}

static void
reader_start(struct reader *reader, struct replica_rig *rig,
    int32_t replica_id, int64_t until)
{
	*reader = (struct reader){ .rig = rig, .until = until };
	rig_fetch_init(&reader->fetch, rig, 0);
	reader->fetch.fetch.loop = rig->loops[RIG_LOOPS - 1];
	reader->fetch.fetch.replica_id = replica_id;
	reader->fetch.fetch.max_wait_ms = 50;
	reader->fetch.fetch.done = reader_done;
	reader->post.run = reader_next;
	gate_init(&reader->gate);
	loop_post(reader->fetch.fetch.loop, &reader->post);
}

/* --- tests ---------------------------------------------------------------- */

/* The answers of one loop ascend; all together they are 0, 1, 2, ... */
static void
storms_check(struct storm **storms)
{
	const int total = STORM_LOOPS * STORM_SIZE;
	bool *seen = mem_zalloc((size_t)total * sizeof(*seen));
	int bad = 0;

	for (int s = 0; s < STORM_LOOPS; s++) {
		int64_t last = -1;

		for (int i = 0; i < STORM_SIZE; i++) {
			const struct produce_part *part =
			    &storms[s]->items[i].part;

			bad += part->error != ERR_NONE;
			bad += part->base_offset <= last;
			last = part->base_offset;
			if (last < 0 || last >= total || seen[last])
				bad++;
			else
				seen[last] = true;
		}
	}
	CU_ASSERT_EQUAL(bad, 0);
	mem_free(seen);
}

static void
storms_run(int32_t replica_count, int16_t acks)
{
	struct replica_rig rig;
	struct storm *storms[STORM_LOOPS];
	struct reader reader;

	replica_rig_init(&rig, true, NULL);
	replica_rig_lead(&rig, replica_count, replica_count);
	for (int i = 0; i < STORM_LOOPS; i++)
		storms[i] = storm_new(&rig, i, acks);
	reader_start(&reader, &rig, replica_count == 1 ? -1 : 2,
	    STORM_LOOPS * STORM_SIZE);
	for (int i = 0; i < STORM_LOOPS; i++)
		loop_post_call(rig.loops[i], storm_run, storms[i]);
	/* The same leader in new epochs, and looks from outside, meanwhile. */
	for (int32_t epoch = 6; epoch < 12; epoch++) {
		struct replica_view view;

		CU_ASSERT_EQUAL(replica_rig_order(&rig, &(struct rig_order){
		    .epoch = epoch, .replica_count = replica_count }),
		    ERR_NONE);
		view = rig_view(&rig);
		CU_ASSERT_EQUAL(view.leader_epoch, epoch);
		CU_ASSERT(view.high_watermark <= view.end_offset);
	}
	for (int i = 0; i < STORM_LOOPS; i++)
		gate_await(&storms[i]->gate);
	gate_await(&reader.gate);
	CU_ASSERT_FALSE(reader.gap);
	CU_ASSERT_EQUAL(reader.fetch.parts[0].fetch_offset,
	    STORM_LOOPS * STORM_SIZE);
	CU_ASSERT_EQUAL(rig_view(&rig).high_watermark,
	    STORM_LOOPS * STORM_SIZE);
	storms_check(storms);
	for (int i = 0; i < STORM_LOOPS; i++)
		storm_free(storms[i]);
	rig_fetch_fini(&reader.fetch);
	replica_rig_fini(&rig);
}

static void
test_storm(void)
{
	storms_run(1, -1);
}

static void
test_storm_replicated(void)
{
	storms_run(2, -1);
}

/* Somebody holds the partition for long. */
struct holder {
	struct work work;
	struct replica *replica;
	struct gate held;
	struct gate release;
	struct gate over;
};

static void
holder_run(struct work *work)
{
	struct holder *holder = container_of(work, struct holder, work);

	replica_lock(holder->replica);
	gate_open(&holder->held);
	gate_await(&holder->release);
	replica_unlock(holder->replica);
	gate_open(&holder->over);
}

static void
holder_start(struct holder *holder, struct replica_rig *rig)
{
	*holder = (struct holder){ .work.run = holder_run };
	gate_init(&holder->held);
	gate_init(&holder->release);
	gate_init(&holder->over);
	holder->replica = replicas_find(rig->replicas,
	    SLICE_LITERAL(RIG_TOPIC), 0);
	work_submit(rig->workers, &holder->work);
	gate_await(&holder->held);
}

static void
holder_end(struct holder *holder)
{
	gate_open(&holder->release);
	gate_await(&holder->over);
	replica_unref(holder->replica);
}

static void
test_held(void)
{
	struct replica_rig rig;
	struct storm *storm;
	struct holder holder;

	replica_rig_init(&rig, true, NULL);
	replica_rig_lead(&rig, 1, 1);
	holder_start(&holder, &rig);
	storm = storm_new(&rig, 0, 1);
	/* The loop comes back though no append could be made. */
	replica_rig_on(&rig, 0, storm_run, storm);
	CU_ASSERT_EQUAL(storm->done, 0);
	CU_ASSERT_EQUAL(rig_view(&rig).end_offset, 0);
	holder_end(&holder);
	gate_await(&storm->gate);
	for (int i = 0; i < STORM_SIZE; i++)
		CU_ASSERT_EQUAL(storm->items[i].part.base_offset, i);
	storm_free(storm);
	replica_rig_fini(&rig);
}

struct hung {
	struct work work;
	struct gate held;
	struct gate release;
};

static void
hung_run(struct work *work)
{
	struct hung *hung = container_of(work, struct hung, work);

	gate_open(&hung->held);
	gate_await(&hung->release);
}

/* All who may wait for a disk do: what only costs the processor goes on. */
static void
test_workers_hang(void)
{
	struct replica_rig rig;
	struct storm *storm;
	struct hung hung[3];

	replica_rig_init(&rig, true, NULL);
	rig.configs.options.codec = CODEC_GZIP;
	replica_rig_lead(&rig, 1, 1);
	for (size_t i = 0; i < nelems(hung); i++) {
		hung[i] = (struct hung){ .work.run = hung_run };
		gate_init(&hung[i].held);
		gate_init(&hung[i].release);
		work_submit(rig.workers, &hung[i].work);
		gate_await(&hung[i].held);
	}
	storm = storm_new(&rig, 0, 1);
	loop_post_call(rig.loops[0], storm_run, storm);
	gate_await(&storm->gate);
	for (int i = 0; i < STORM_SIZE; i++)
		CU_ASSERT_EQUAL(storm->items[i].part.error, ERR_NONE);
	CU_ASSERT_EQUAL(rig_view(&rig).end_offset, STORM_SIZE);
	for (size_t i = 0; i < nelems(hung); i++)
		gate_open(&hung[i].release);
	work_queue_wait(rig.workers);
	storm_free(storm);
	replica_rig_fini(&rig);
}

/* --- a directory that hangs ----------------------------------------------- */

#define HANGING "test_replica_hangs"
#define GOING "test_replica_goes"

static struct hanging {
	const struct files_ops *ops;
	atomic_bool hangs;
	atomic_int held;
} hanging;

static int
hanging_sync(struct files *files, int descriptor)
{
	char link[64], path[512];
	ssize_t length;

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", descriptor);
	length = readlink(link, path, sizeof(path) - 1);
	path[length < 0 ? 0 : length] = '\0';
	if (atomic_load(&hanging.hangs) && strstr(path, HANGING) != NULL) {
		atomic_fetch_add(&hanging.held, 1);
		while (atomic_load(&hanging.hangs))
			(void)usleep(1000);
	}
	return (hanging.ops->sync(files, descriptor));
}

static int
hanging_remove(const char *path, const struct stat *status, int type,
    struct FTW *at)
{
	(void)status;
	(void)type;
	(void)at;
	return (remove(path));
}

static void
hanging_clean(void)
{
	(void)nftw(HANGING, hanging_remove, 16, FTW_DEPTH | FTW_PHYS);
	(void)nftw(GOING, hanging_remove, 16, FTW_DEPTH | FTW_PHYS);
}

/* As many syncs as there are workers, and more, wait for one directory: those
 * in another go on, and so does an order. */
static void
test_dir_hangs(void)
{
	struct replica_rig rig;
	struct files_ops ops;
	struct storm *storms[2];

	hanging_clean();
	replica_rig_init(&rig, true, "log.dirs=" HANGING "," GOING);
	rig.configs.options.flush_messages = 1;
	replica_rig_image(&rig, RIG_TOPIC, 2, 1);
	for (int32_t i = 0; i < 2; i++)
		CU_ASSERT_EQUAL(replica_rig_order(&rig, &(struct rig_order){
		    .partition = i, .epoch = 5 }), ERR_NONE);
	hanging.ops = rig.files->ops;
	ops = *rig.files->ops;
	ops.sync = hanging_sync;
	rig.files->ops = &ops;
	atomic_store(&hanging.hangs, true);
	for (int i = 0; i < 2; i++) {
		storms[i] = storm_new(&rig, i, 1);
		for (int n = 0; n < STORM_SIZE; n++)
			storms[i]->items[n].part.partition = i;
		loop_post_call(rig.loops[i], storm_run, storms[i]);
		while (i == 0 && atomic_load(&hanging.held) == 0)
			(void)usleep(1000);
	}
	if (!gate_await(&storms[1]->gate))
		atomic_store(&hanging.hangs, false);
	CU_ASSERT_EQUAL(replica_rig_order(&rig, &(struct rig_order){
	    .partition = 1, .epoch = 6 }), ERR_NONE);
	atomic_store(&hanging.hangs, false);
	gate_await(&storms[0]->gate);
	for (int i = 0; i < 2; i++) {
		for (int n = 0; n < STORM_SIZE; n++)
			CU_ASSERT_EQUAL(storms[i]->items[n].part.error,
			    ERR_NONE);
		storm_free(storms[i]);
	}
	replica_rig_fini(&rig);
	hanging_clean();
}

static void
abandon_all(void *arg)
{
	struct storm *storm = arg;

	for (int i = 0; i < STORM_SIZE; i++)
		produce_abandon(&storm->items[i].produce);
}

/* An asker that goes while its append is queued still is told, after it. */
static void
test_held_abandoned(void)
{
	struct replica_rig rig;
	struct storm *storm;
	struct holder holder;

	replica_rig_init(&rig, true, NULL);
	replica_rig_lead(&rig, 2, 2);
	holder_start(&holder, &rig);
	storm = storm_new(&rig, 0, -1);
	replica_rig_on(&rig, 0, storm_run, storm);
	replica_rig_on(&rig, 0, abandon_all, storm);
	CU_ASSERT_EQUAL(storm->done, 0);
	holder_end(&holder);
	gate_await(&storm->gate);
	CU_ASSERT_EQUAL(rig_view(&rig).end_offset, STORM_SIZE);
	storm_free(storm);
	replica_rig_fini(&rig);
}

/* Leadership goes to another in the midst: each is told one thing or the
 * other, and what was told to be there is there. */
static void
test_storm_leader_moves(void)
{
	struct replica_rig rig;
	struct storm *storms[STORM_LOOPS];
	int64_t end, good = 0;

	replica_rig_init(&rig, true, NULL);
	replica_rig_lead(&rig, 2, 1);
	for (int i = 0; i < STORM_LOOPS; i++) {
		storms[i] = storm_new(&rig, i, 1);
		loop_post_call(rig.loops[i], storm_run, storms[i]);
	}
	CU_ASSERT_EQUAL(replica_rig_order(&rig, &(struct rig_order){
	    .epoch = 6, .leader = 2, .replica_count = 2 }), ERR_NONE);
	end = rig_view(&rig).end_offset;
	for (int i = 0; i < STORM_LOOPS; i++) {
		gate_await(&storms[i]->gate);
		for (int j = 0; j < STORM_SIZE; j++) {
			enum error error = storms[i]->items[j].part.error;

			CU_ASSERT(error == ERR_NONE ||
			    error == ERR_NOT_LEADER_OR_FOLLOWER);
			good += error == ERR_NONE;
		}
		storm_free(storms[i]);
	}
	CU_ASSERT_EQUAL(rig_view(&rig).end_offset, end);
	CU_ASSERT_EQUAL(good, end);
	replica_rig_fini(&rig);
}

static const struct unit_test tests[] = {
	{ "many loops, one partition", test_storm },
	{ "the same with a follower", test_storm_replicated },
	{ "a partition that is held", test_held },
	{ "workers that hang", test_workers_hang },
	{ "a directory that hangs", test_dir_hangs },
	{ "an asker that goes meanwhile", test_held_abandoned },
	{ "a leader that changes meanwhile", test_storm_leader_moves },
};

int
main(void)
{
	return (unit_main("replica, threads", tests, nelems(tests)));
}
