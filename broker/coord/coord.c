/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shards.  Who tells of roles is any thread: each news is a post to the shard's
 * loop, and they arrive in order.
 *
 * Source: the epochs are GroupMetadataManager's of 3.9 (epochForPartitionId),
 * but that a deleted partition's is forgotten, as its successor begins at 0.
 */
#include "coord/coord_int.h"

#include "base/mem.h"

struct coord_news {
	struct list link;
	struct post post;
	struct coord *coord;
	int32_t partition;
	int32_t epoch;
	bool leads;
};

static void coord_role_changed(void *arg, int32_t partition, bool leads,
    int32_t epoch);
static void coord_stop_loop(struct post *post);

struct coord *
coord_new(const struct coord_setup *setup)
{
	struct coord *coord = mem_zalloc(sizeof(*coord));

	CHECK(setup->loop_count > 0 && setup->default_partitions > 0);
	coord->magic = COORD_MAGIC;
	coord->setup = *setup;
	coord->metrics = coord_metrics_of(setup->ops->name);
	coord->loops = mem_zalloc(setup->loop_count * sizeof(*coord->loops));
	for (size_t i = 0; i < setup->loop_count; i++) {
		coord->loops[i].coord = coord;
		coord->loops[i].loop = setup->loops[i];
		coord->loops[i].stop.run = coord_stop_loop;
		list_init(&coord->loops[i].spare);
	}
	atomic_init(&coord->running, setup->loop_count);
	lock_init(&coord->lock, LOCK_RANK_LEAF);
	list_init(&coord->news);
	list_init(&coord->marks);
	list_init(&coord->load_queue);
	coord->watch = (struct role_watch){
		.topic = setup->topic,
		.changed = coord_role_changed,
		.arg = coord,
	};
	times_register(coord);
	replicas_watch_roles(setup->replicas, &coord->watch);
	return (coord);
}

static void
loop_part_fini(struct coord_loop *part)
{
	struct list *link;

	HASH_EACH(node, &part->shards) {
		struct coord_shard *shard = container_of(node,
		    struct coord_shard, node);

		CHECK(shard->phase == COORD_AWAY && list_empty(&shard->writes));
		hash_remove(&part->shards, node);
		mem_free(shard);
	}
	hash_clear(&part->shards);
	while ((link = list_pop_head(&part->spare)) != NULL)
		write_free(list_entry(link, struct coord_write_int, link));
}

void
coord_free(struct coord **coord)
{
	struct coord *gone = *coord;
	struct list *link;

	*coord = NULL;
	if (gone == NULL)
		return;
	CHECK_MAGIC(gone, COORD_MAGIC);
	CHECK(coord_at_rest(gone));
	for (size_t i = 0; i < gone->setup.loop_count; i++)
		loop_part_fini(&gone->loops[i]);
	while ((link = list_pop_head(&gone->news)) != NULL)
		mem_free(list_entry(link, struct coord_news, link));
	marks_forget(&gone->marks);
	lock_fini(&gone->lock);
	mem_free(gone->loops);
	gone->magic = 0;
	mem_free(gone);
}

/* --- opening and closing -------------------------------------------------- */

/* A state that is not closed in one step. */
struct closing {
	struct coord *coord;
	void *state;
};

static void
closing_setup(struct task *task, void *arg)
{
	struct closing *closing = task_state(task);

	*closing = *(struct closing *)arg;
}

static void
closing_fini(struct task *task)
{
	struct closing *closing = task_state(task);

	atomic_fetch_sub(&closing->coord->running, 1);
}

static const struct task_class closing_class = {
	.name = "coordinator closing",
	.state_size = sizeof(struct closing),
	.fini = closing_fini,
};

static enum verdict
closing_step(struct task *t)
{
	const struct closing *closing = task_state(t);

	return (closing->coord->setup.ops->close(closing->state) ? STEP_DONE :
								   STEP_RUN);
}

static void
shard_close(struct coord_shard *shard)
{
	struct coord *coord = shard->coord;
	void *state = shard->state;

	if (shard->phase == COORD_AWAY)
		return;
	if (!shard->home->stopped)
		diag_info(coord->setup.diag, coord, "partition=%s/%d epoch=%d "
		    "no longer the %s coordinator%s", coord->setup.topic,
		    (int)shard->partition, (int)shard->epoch,
		    coord->setup.ops->name, shard->load != NULL ?
		    ": it was loading still" : "");
	if (shard->load != NULL) {
		load_abandon(shard->load);
		shard->load = NULL;
		shard->home->loading--;
		metrics_add(coord->setup.metrics, coord->metrics->loading, -1);
	} else {
		metrics_add(coord->setup.metrics, coord->metrics->partitions,
		    -1);
	}
	shard->phase = COORD_AWAY;
	shard->term++;
	shard->state = NULL;
	marks_forget(&shard->marks);
	if (coord->setup.ops->close(state))
		return;
	atomic_fetch_add(&coord->running, 1);
	task_start(shard->home->loop, &closing_class, closing_step,
	    closing_setup, &(struct closing){ coord, state });
}

static void
shard_open(struct coord_shard *shard)
{
	struct coord *coord = shard->coord;

	shard->term++;
	shard->phase = COORD_LOADING;
	shard->home->loading++;
	shard->state = coord->setup.ops->open(coord->setup.ops_arg, shard);
	metrics_add(coord->setup.metrics, coord->metrics->loading, 1);
	load_start(shard);
}

void
shard_replayed(struct coord_shard *shard, int64_t end_offset)
{
	CHECK(shard->phase == COORD_LOADING);
	shard->phase = COORD_ENDING;
	marks_forget_below(shard, end_offset);
	marks_settle(shard);
}

bool
shard_loaded(struct coord_shard *shard)
{
	struct coord *coord = shard->coord;

	CHECK(shard->phase == COORD_ENDING);
	if (!coord->setup.ops->loaded(shard->state))
		return (false);
	shard->phase = COORD_ACTIVE;
	shard->load = NULL;
	shard->home->loading--;
	metrics_add(coord->setup.metrics, coord->metrics->loading, -1);
	metrics_add(coord->setup.metrics, coord->metrics->partitions, 1);
	return (true);
}

/* --- news ----------------------------------------------------------------- */

static struct coord_loop *
loop_part(const struct coord *coord, int32_t partition)
{
	CHECK(partition >= 0);
	return (&coord->loops[(size_t)partition % coord->setup.loop_count]);
}

static struct coord_shard *
shard_find(const struct coord_loop *part, int32_t partition)
{
	struct hash_node *node = hash_find(&part->shards, &partition,
	    sizeof(partition));

	return (node == NULL ? NULL :
			       container_of(node, struct coord_shard, node));
}

struct coord_shard *
shard_of(const struct coord *coord, int32_t partition)
{
	return (shard_find(loop_part(coord, partition), partition));
}

static struct coord_shard *
shard_make(struct coord_loop *part, int32_t partition)
{
	struct coord_shard *shard = mem_zalloc(sizeof(*shard));

	shard->coord = part->coord;
	shard->home = part;
	shard->partition = partition;
	shard->epoch = -1;
	list_init(&shard->writes);
	list_init(&shard->marks);
	shard->settle.run = writes_settle;
	hash_insert(&part->shards, &shard->node, &shard->partition,
	    sizeof(shard->partition));
	return (shard);
}

static void
shard_elected(struct coord_shard *shard, int32_t epoch)
{
	if (epoch <= shard->epoch) {
		diag_info(shard->coord->setup.diag, coord, "partition=%s/%d "
		    "epoch=%d is not above epoch=%d: not loaded",
		    shard->coord->setup.topic, (int)shard->partition,
		    (int)epoch, (int)shard->epoch);
		return;
	}
	shard_close(shard);
	shard->epoch = epoch;
	shard_open(shard);
}

static void
shard_resigned(struct coord_shard *shard, int32_t epoch)
{
	if (epoch >= 0 && epoch < shard->epoch)
		return;
	shard->epoch = epoch;
	shard_close(shard);
}

static void
coord_news_arrived(struct post *post)
{
	struct coord_news *news = container_of(post, struct coord_news, post);
	struct coord *coord = news->coord;
	struct coord_loop *part = loop_part(coord, news->partition);
	struct coord_shard *shard = shard_find(part, news->partition);

	if (shard == NULL && (news->leads || news->epoch >= 0))
		shard = shard_make(part, news->partition);
	/* Else it was deleted, and never known. */
	if (shard != NULL && !news->leads)
		shard_resigned(shard, news->epoch);
	else if (news->leads && !part->stopped)
		shard_elected(shard, news->epoch);
	lock_take(&coord->lock);
	list_remove(&news->link);
	lock_release(&coord->lock);
	mem_free(news);
}

static void
coord_role_changed(void *arg, int32_t partition, bool leads, int32_t epoch)
{
	struct coord *coord = arg;
	struct coord_news *news = mem_alloc(sizeof(*news));

	*news = (struct coord_news){
		.post.run = coord_news_arrived,
		.coord = coord,
		.partition = partition,
		.epoch = epoch,
		.leads = leads,
	};
	lock_take(&coord->lock);
	list_push_tail(&coord->news, &news->link);
	lock_release(&coord->lock);
	loop_post(coord_loop(coord, partition), &news->post);
}

void
coord_elected(struct coord *coord, int32_t partition, int32_t epoch)
{
	coord_role_changed(coord, partition, true, epoch);
}

void
coord_resigned(struct coord *coord, int32_t partition, int32_t epoch)
{
	coord_role_changed(coord, partition, false, epoch);
}

/* --- the stop ------------------------------------------------------------- */

static void
coord_stop_loop(struct post *post)
{
	struct coord_loop *part = container_of(post, struct coord_loop, stop);

	part->stopped = true;
	HASH_EACH(node, &part->shards)
		shard_close(container_of(node, struct coord_shard, node));
	atomic_fetch_sub(&part->coord->running, 1);
}

void
coord_stop(struct coord *coord)
{
	CHECK_MAGIC(coord, COORD_MAGIC);
	for (size_t i = 0; i < coord->setup.loop_count; i++)
		loop_post(coord->loops[i].loop, &coord->loops[i].stop);
}

bool
coord_at_rest(const struct coord *coord)
{
	return (atomic_load(&coord->running) == 0);
}

/* --- asking --------------------------------------------------------------- */

static int32_t
topic_partitions(const struct coord *coord, const struct cluster_image *image)
{
	const struct coord_setup *setup = &coord->setup;
	const struct cluster_topic *topic = image_topic(image,
	    slice_of_text(setup->topic));

	/* An id that an old tool erased comes back (KAFKA-14190). */
	if (setup->start_partitions > 0 && (topic == NULL ||
		uuid_is_zero(topic->id) ||
		uuid_is_zero(setup->start_topic_id) ||
		uuid_equal(topic->id, setup->start_topic_id)))
		return (setup->start_partitions);
	if (topic == NULL || topic->partition_count == 0 ||
	    (setup->start_partitions == 0 &&
		topic->partition_count > setup->default_partitions))
		return (setup->default_partitions);
	return (topic->partition_count);
}

int32_t
coord_partition_of(const struct coord *coord,
    const struct cluster_image *image, struct slice id)
{
	const int32_t count = topic_partitions(coord, image);
	const int32_t sum = hash_java_string((const char *)id.data, id.length);

	/* Java's absolute of the smallest is taken as 0. */
	if (sum == INT32_MIN)
		return (0);
	return ((sum < 0 ? -sum : sum) % count);
}

struct loop *
coord_loop(const struct coord *coord, int32_t partition)
{
	return (loop_part(coord, partition)->loop);
}

size_t
coord_loop_count(const struct coord *coord)
{
	return (coord->setup.loop_count);
}

void *
coord_state(struct coord *coord, int32_t partition, enum error *error)
{
	const struct coord_loop *part = loop_part(coord, partition);
	const struct coord_shard *shard;

	*error = ERR_NOT_COORDINATOR;
	if (!loop_is_current(part->loop))
		return (NULL);
	if (part->stopped) {
		*error = ERR_COORDINATOR_NOT_AVAILABLE;
		return (NULL);
	}
	shard = shard_find(part, partition);
	if (shard == NULL || shard->phase == COORD_AWAY)
		return (NULL);
	*error = ERR_COORDINATOR_LOAD_IN_PROGRESS;
	if (shard->phase != COORD_ACTIVE)
		return (NULL);
	*error = ERR_NONE;
	return (shard->state);
}

static struct coord_loop *
loop_part_here(const struct coord *coord, const struct loop *loop)
{
	for (size_t i = 0; i < coord->setup.loop_count; i++)
		if (coord->loops[i].loop == loop)
			return (&coord->loops[i]);
	return (NULL);
}

void
coord_each(struct coord *coord, struct loop *loop,
    bool (*each)(void *state, void *arg), void *arg)
{
	const struct coord_loop *part = loop_part_here(coord, loop);

	CHECK(part != NULL && loop_is_current(loop));
	HASH_EACH(node, &part->shards) {
		const struct coord_shard *shard = container_of(node,
		    struct coord_shard, node);

		if (shard->phase == COORD_ACTIVE && !each(shard->state, arg))
			return;
	}
}

int64_t
coord_steady_ms(struct coord *coord)
{
	return (replicas_steady_ms(coord->setup.replicas));
}

bool
coord_loading(const struct coord *coord, const struct loop *loop)
{
	const struct coord_loop *part = loop_part_here(coord, loop);

	CHECK(part != NULL && loop_is_current(loop));
	return (part->loading > 0);
}

struct loop *
coord_shard_loop(const struct coord_shard *shard)
{
	return (shard->home->loop);
}

int32_t
coord_shard_partition(const struct coord_shard *shard)
{
	return (shard->partition);
}

int32_t
coord_shard_epoch(const struct coord_shard *shard)
{
	return (shard->epoch);
}
