/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes: a batch is built, produced and, when that is acknowledged, replayed.
 *
 *	coord_append --> [queued] --> [sent: produce] --> [done] --> replayed,
 *	                    |                                      owner told
 *	                    +-- while one in front is held up by a worker
 *	                        (another codec is wanted): this is the
 *	                        log's order
 *
 * What is acknowledged out of turn waits for those in front of it.  A write
 * that was sent in one term and would be appended in another is refused by the
 * partition's leader itself (struct produce, leads_since).
 */
#include "coord/coord_int.h"

#include "base/mem.h"

/* The version of Produce whose rules count: all of them. */
#define PRODUCE_VERSION 11
/* A spent write's buffer that is larger is not kept. */
#define KEPT_BYTES ((size_t)64 << 10)

static void write_build(struct coord_write_int *w);
static void write_settle_later(struct coord_shard *shard);
static void writes_send(struct coord_shard *shard);
static void write_end(struct coord_write_int *w);
static void write_held(struct produce *produce);
static void write_appended(struct produce *produce);
static void write_produced(struct produce *produce);

/* --- memory --------------------------------------------------------------- */

static struct coord_write_int *
write_take(struct coord_loop *home)
{
	struct list *link = list_pop_head(&home->spare);
	struct coord_write_int *w;

	if (link != NULL) {
		home->spare_count--;
		return (list_entry(link, struct coord_write_int, link));
	}
	w = mem_zalloc(sizeof(*w));
	list_init(&w->link);
	arena_init(&w->arena, 0);
	return (w);
}

void
write_free(struct coord_write_int *w)
{
	arena_fini(&w->arena);
	buffer_fini(&w->bytes);
	mem_free(w);
}

static void
write_give(struct coord_loop *home, struct coord_write_int *w)
{
	if (home->spare_count >= WRITES_KEPT ||
	    w->bytes.capacity > KEPT_BYTES) {
		write_free(w);
		return;
	}
	arena_reset(&w->arena);
	w->bytes.length = 0;
	home->spare_count++;
	list_push_head(&home->spare, &w->link);
}

/* --- in ------------------------------------------------------------------- */

void
coord_append(struct coord_shard *shard, struct coord_write *write)
{
	struct coord *coord = shard->coord;
	struct coord_write_int *w = write_take(shard->home);

	CHECK(loop_is_current(shard->home->loop) && write->count > 0);
	atomic_fetch_add(&coord->running, 1);
	w->shard = shard;
	w->write = write;
	w->number = ++shard->write_count;
	w->term = shard->term;
	w->epoch = shard->epoch;
	w->began_ns = loop_now_ns(shard->home->loop);
	w->sent = w->done = false;
	write->state = w;
	write->error = ERR_NONE;
	write->base_offset = -1;
	write->closed = false;
	if (shard->phase < COORD_ENDING)
		write->error = ERR_NOT_LEADER_OR_FOLLOWER;
	else
		write_build(w);
	if (write->error == ERR_NONE && shard->write_bytes > 0 &&
	    shard->write_bytes + w->bytes.length > WRITES_BYTES_MAX)
		write->error = ERR_COORDINATOR_NOT_AVAILABLE;
	w->done = write->error != ERR_NONE;
	if (w->done)
		w->bytes.length = 0;
	shard->write_bytes += w->bytes.length;
	list_push_tail(&shard->writes, &w->link);
	if (w->done)
		write_settle_later(shard);
	else
		writes_send(shard);
}

static void
write_build(struct coord_write_int *w)
{
	struct coord_write *write = w->write;
	const int64_t now_ms = loop_wall_ms(w->shard->home->loop);
	struct batch_builder builder;

	CHECK(write->codec >= 0 && write->codec < CODEC_COUNT);
	batch_builder_init(&builder, 0, (enum codec)write->codec);
	builder.producer_id = write->producer_id;
	if (write->producer_id >= 0)
		builder.producer_epoch = write->producer_epoch;
	if (write->producer_id >= 0 || write->sequenced)
		builder.base_sequence = 0;
	if (write->transactional)
		builder.attributes |= BATCH_ATTR_TRANSACTIONAL;
	for (size_t i = 0; i < write->count; i++)
		batch_builder_add(&builder, now_ms, write->entries[i].key,
		    write->entries[i].value, NULL, 0);
	write->error = builder.records.length > BATCH_UNPACKED_MAX ?
	    ERR_MESSAGE_TOO_LARGE : batch_builder_finish(&builder, &w->bytes);
	batch_builder_fini(&builder);
	write->entries = NULL; /* the caller's until here */
}

static void
write_send(struct coord_write_int *w)
{
	struct coord_shard *shard = w->shard;
	const struct coord_setup *setup = &shard->coord->setup;

	w->sent = true;
	w->part = (struct produce_part){
		.topic = slice_of_text(setup->topic),
		.partition = shard->partition,
		.bytes = w->bytes.data,
		.size = w->bytes.length,
	};
	w->produce = (struct produce){
		.replicas = setup->replicas,
		.loop = shard->home->loop,
		.arena = &w->arena,
		.parts = &w->part,
		.part_count = 1,
		.acks = w->write->acks,
		.timeout_ms = w->write->timeout_ms,
		.api_version = PRODUCE_VERSION,
		.internal_allowed = true,
		.names_transaction = true,
		.coordinators = true,
		.leads_since = w->epoch,
		.held = write_held,
		.appended = write_appended,
		.done = write_produced,
		.owner = w,
	};
	produce_run(&w->produce);
}

static struct coord_write_int *
write_at(struct list *link)
{
	return (list_entry(link, struct coord_write_int, link));
}

/* Those that may go, in order: they stand behind the last one that went. */
static void
writes_send(struct coord_shard *shard)
{
	struct list *at = shard->writes.prev;

	while (at != &shard->writes && !write_at(at)->sent)
		at = at->prev;
	for (at = at->next; at != &shard->writes && shard->holder == NULL;
	     at = at->next)
		if (!write_at(at)->done)
			write_send(write_at(at));
}

/* --- produce tells -------------------------------------------------------- */

static void
write_held(struct produce *produce)
{
	struct coord_write_int *w = produce->owner;

	w->shard->holder = w;
}

static void
write_passes(struct coord_write_int *w)
{
	if (w->shard->holder != w)
		return;
	w->shard->holder = NULL;
	write_settle_later(w->shard);
}

static void
write_appended(struct produce *produce)
{
	write_passes(produce->owner);
}

/* Maybe before coord_append() returned: the owner is told later. */
static void
write_produced(struct produce *produce)
{
	struct coord_write_int *w = produce->owner;

	w->done = true;
	w->write->error = w->part.error;
	w->write->base_offset = w->part.base_offset;
	write_passes(w);
	write_settle_later(w->shard);
}

/* --- out ------------------------------------------------------------------ */

static void
write_settle_later(struct coord_shard *shard)
{
	if (shard->settling)
		return;
	shard->settling = true;
	loop_post(shard->home->loop, &shard->settle);
}

void
writes_settle(struct post *post)
{
	struct coord_shard *shard = container_of(post, struct coord_shard,
	    settle);

	shard->settling = false;
	writes_send(shard);
	marks_settle(shard);
	while (!list_empty(&shard->writes) &&
	    write_at(shard->writes.next)->done) {
		write_end(write_at(shard->writes.next));
		marks_settle(shard);
	}
}

static void
write_replay(const struct coord_write_int *w)
{
	const struct coord_ops *ops = w->shard->coord->setup.ops;
	struct slice rest = buffer_slice(&w->bytes);
	struct record_reader *reader;
	struct record record;
	struct batch batch;
	int found;

	/* It may be stored in another codec, but these are its records. */
	batch_set_base_offset(w->bytes.data, w->write->base_offset);
	CHECK(batch_next(&rest, &batch) == BATCH_OK);
	CHECK(record_reader_new(&batch, BATCH_UNPACKED_MAX, &reader) ==
	    ERR_NONE);
	while ((found = record_reader_next(reader, &record)) > 0)
		ops->replay(w->shard->state, &(struct coord_record){
			.offset = record.offset,
			.timestamp_ms = record.timestamp_ms,
			.producer_id = w->write->producer_id,
			.producer_epoch = w->write->producer_epoch,
			.transactional = w->write->transactional,
			.key = record.key,
			.value = record.value,
		    });
	CHECK(found == 0);
	record_reader_free(&reader);
}

static void
write_count(const struct coord_write_int *w)
{
	const struct coord *coord = w->shard->coord;
	struct metrics *metrics = coord->setup.metrics;

	metrics_add(metrics, coord->metrics->writes, 1);
	if (w->write->error != ERR_NONE)
		metrics_add(metrics, coord->metrics->write_failures, 1);
	else
		metrics_observe(metrics, coord->metrics->write_time,
		    loop_now_ns(w->shard->home->loop) - w->began_ns);
}

static void
write_end(struct coord_write_int *w)
{
	struct coord_shard *shard = w->shard;
	struct coord_write *write = w->write;

	list_remove(&w->link);
	shard->write_bytes -= w->bytes.length;
	write->closed = w->term != shard->term || shard->phase < COORD_ENDING;
	if (write->error == ERR_NONE && !write->closed)
		write_replay(w);
	write_count(w);
	write->state = NULL;
	write_give(shard->home, w);
	write->done(write);
	atomic_fetch_sub(&shard->coord->running, 1);
}
