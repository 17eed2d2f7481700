/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of partitions hosted here: shards of a hash, each under a leaf lock
 * held for one look.  The table holds one reference of each replica; what is
 * found holds one more, so nothing goes away under a reader.
 */
#include "replica/replica_int.h"

#include "base/bytes.h"
#include "base/mem.h"
#include "config/options.h"
#include "config/topic.h"
#include "replica/closest.h"

static int64_t high_watermark_of(void *arg, struct log *log);
static void replica_free(struct replica *replica);

static void
table_shard_init(struct table_shard *shard)
{
	lock_init(&shard->lock, LOCK_RANK_LEAF);
	lock_news_init(&shard->unclaimed);
}

static int
half(int background_threads)
{
	return ((background_threads + 1) / 2);
}

void
replicas_set_workers(struct replicas *replicas, int background_threads)
{
	work_queue_set_parallel(replicas->records, half(background_threads));
	append_dirs_set_workers(replicas, half(background_threads));
}

struct replicas *
replicas_new(const struct replicas_setup *setup)
{
	struct replicas *replicas = mem_zalloc(sizeof(*replicas));

	replicas->magic = REPLICAS_MAGIC;
	replicas->setup = *setup;
	replicas->clock = scheduler_clock(setup->scheduler);
	for (size_t i = 0; i < TABLE_SHARDS; i++)
		table_shard_init(&replicas->shards[i]);
	list_init(&replicas->watches);
	lock_init(&replicas->scratch_lock, LOCK_RANK_LEAF);
	lock_init(&replicas->dirs_lock, LOCK_RANK_LOG_DIRS);
	orders_again_init(replicas);
	moves_init(replicas);
	throttles_init(replicas);
	replicas->reads_closest = closest_is_selected(
	    setup->options->selector_class);
	replicas->drains = work_queue_new(setup->scheduler, "appends", 1);
	replicas->dir_workers = half(
	    setup->broker_options->daemon.background_threads);
	replicas->records = work_queue_new_apart(setup->scheduler, "records",
	    replicas->dir_workers);
	atomic_init(&replicas->controller_epoch, -1);
	atomic_init(&replicas->led_ns, INT64_MIN / 2);
	waitq_init(&replicas->led);
	storage_set_high_watermarks(setup->storage, high_watermark_of,
	    replicas);
	traffic_register(replicas);
	return (replicas);
}

void
replicas_watch_roles(struct replicas *replicas, struct role_watch *watch)
{
	CHECK_MAGIC(replicas, REPLICAS_MAGIC);
	list_push_tail(&replicas->watches, &watch->link);
}

static bool
stop_one(void *arg, struct replica *replica)
{
	(void)arg;
	/* Behind the appends that had begun. */
	replica_lock(replica);
	replica_stop_following(replica);
	replica_unlock(replica);
	replica_wake(replica);
	return (true);
}

void
replicas_stop(struct replicas *replicas)
{
	CHECK_MAGIC(replicas, REPLICAS_MAGIC);
	atomic_store(&replicas->stopped, true);
	orders_again_stop(replicas);
	moves_stop(replicas);
	fetchers_close(replicas->fetchers);
	replicas_each(replicas, stop_one, NULL);
	fetchers_stop(replicas->fetchers);
	isr_proposer_stop(replicas->proposer);
	ends_stop(replicas->ends);
}

void
replicas_leave(struct replicas *replicas)
{
	CHECK_MAGIC(replicas, REPLICAS_MAGIC);
	atomic_store(&replicas->leaving, true);
}

bool
replicas_stopped(const struct replicas *replicas)
{
	return (atomic_load(&replicas->stopped));
}

void
replicas_free(struct replicas **replicas)
{
	struct replicas *gone = *replicas;

	*replicas = NULL;
	if (gone == NULL)
		return;
	CHECK_MAGIC(gone, REPLICAS_MAGIC);
	work_queue_free(gone->drains);
	work_queue_free(gone->records);
	append_dirs_free(gone);
	orders_again_fini(gone);
	moves_fini(gone);
	waitq_fini(&gone->led);
	throttles_fini(gone);
	fetchers_free(&gone->fetchers);
	isr_proposer_free(&gone->proposer);
	ends_free(&gone->ends);
	storage_set_high_watermarks(gone->setup.storage, NULL, NULL);
	for (size_t i = 0; i < TABLE_SHARDS; i++) {
		struct hash *hash = &gone->shards[i].replicas;

		HASH_EACH(node, hash) {
			struct replica *replica = container_of(node,
			    struct replica, node);

			hash_remove(hash, node);
			CHECK(atomic_load(&replica->references) == 1);
			replica_unref(replica);
		}
		hash_clear(hash);
		lock_news_fini(&gone->shards[i].unclaimed);
		lock_fini(&gone->shards[i].lock);
	}
	for (size_t i = 0; i < gone->scratch_count; i++)
		record_scratch_free(&gone->scratch[i]);
	lock_fini(&gone->scratch_lock);
	lock_fini(&gone->dirs_lock);
	gone->magic = 0;
	mem_free(gone);
}

int64_t
replicas_now_ms(const struct replicas *replicas)
{
	return (clock_mono_ms(replicas->clock));
}

/* --- one ------------------------------------------------------------------ */

static struct replica *
replica_new(struct replicas *replicas, const uint8_t *key, size_t key_length)
{
	struct replica *replica = mem_zalloc(sizeof(*replica));

	replica->magic = REPLICA_MAGIC;
	atomic_init(&replica->references, 1);
	replica->replicas = replicas;
	replica->key = mem_alloc(key_length);
	memcpy(replica->key, key, key_length);
	replica->key_length = key_length;
	replica->partition = bytes_get_i32(key);
	replica->topic = mem_strndup((const char *)key + sizeof(int32_t),
	    key_length - sizeof(int32_t));
	waitq_init(&replica->readable);
	waitq_init(&replica->acked);
	atomic_init(&replica->copy_start_offset, INT64_MAX);
	waitq_init(&replica->trimmed);
	lock_init(&replica->lock, LOCK_RANK_PARTITION);
	lock_init(&replica->state, LOCK_RANK_STATE);
	lock_init(&replica->queue_lock, LOCK_RANK_LEAF);
	list_init(&replica->queue);
	list_init(&replica->drain.link);
	list_init(&replica->wish_link);
	atomic_init(&replica->min_insync, 1);
	atomic_init(&replica->fetch_lag, FETCH_LAG_NONE);
	replica->leader = replica->leader_epoch = replica->leads_since = -1;
	replica->partition_epoch = replica->told_since = -1;
	lock_take(&replica->state);
	replica_publish(replica);
	lock_release(&replica->state);
	return (replica);
}

static void
replica_free(struct replica *replica)
{
	struct log *log = atomic_load(&replica->log);

	CHECK(list_empty(&replica->queue) && replica->kept == NULL);
	moves_let_go(replica);
	if (log != NULL)
		log_unref(log);
	isr_fini(&replica->isr);
	waitq_fini(&replica->readable);
	waitq_fini(&replica->acked);
	waitq_fini(&replica->trimmed);
	lock_fini(&replica->lock);
	lock_fini(&replica->state);
	lock_fini(&replica->queue_lock);
	mem_free(replica->topic);
	mem_free(replica->key);
	replica->magic = 0;
	mem_free(replica);
}

struct replica *
replica_ref(struct replica *replica)
{
	CHECK_MAGIC(replica, REPLICA_MAGIC);
	atomic_fetch_add_explicit(&replica->references, 1,
	    memory_order_relaxed);
	return (replica);
}

void
replica_unref(struct replica *replica)
{
	CHECK_MAGIC(replica, REPLICA_MAGIC);
	if (atomic_fetch_sub_explicit(&replica->references, 1,
		memory_order_acq_rel) == 1)
		replica_free(replica);
}

struct log *
replica_log(struct replica *replica)
{
	struct log *log = atomic_load_explicit(&replica->log,
	    memory_order_acquire);

	return (log == NULL || log_failed(log) ? NULL : log);
}

/* --- the table ------------------------------------------------------------ */

size_t
replica_make_key(struct slice topic, int32_t partition,
    uint8_t key[REPLICA_KEY_MAX])
{
	if (topic.length == 0 || topic.length > TOPIC_NAME_MAX)
		return (0);
	bytes_put_i32(key, partition);
	memcpy(key + sizeof(int32_t), topic.data, topic.length);
	return (sizeof(int32_t) + topic.length);
}

/* FNV-1a; only spreads locks and work. */
static uint32_t
key_sum(const uint8_t *key, size_t length)
{
	uint32_t sum = 2166136261U;

	for (size_t i = 0; i < length; i++)
		sum = (sum ^ key[i]) * 16777619U;
	return (sum);
}

size_t
replicas_spread(struct slice topic, int32_t partition, size_t ways)
{
	uint8_t key[REPLICA_KEY_MAX];

	return (key_sum(key, replica_make_key(topic, partition, key)) % ways);
}

static struct table_shard *
table_shard_of(struct replicas *replicas, const uint8_t *key, size_t length)
{
	return (&replicas->shards[key_sum(key, length) % TABLE_SHARDS]);
}

static struct replica *
table_find(struct replicas *replicas, struct slice topic, int32_t partition,
    bool add)
{
	uint8_t key[REPLICA_KEY_MAX];
	size_t length = replica_make_key(topic, partition, key);
	struct table_shard *shard;
	struct hash_node *node;
	struct replica *replica = NULL;

	CHECK_MAGIC(replicas, REPLICAS_MAGIC);
	if (length == 0)
		return (NULL);
	shard = table_shard_of(replicas, key, length);
	lock_take(&shard->lock);
	node = hash_find(&shard->replicas, key, length);
	if (node != NULL)
		replica = replica_ref(container_of(node, struct replica, node));
	lock_release(&shard->lock);
	if (replica != NULL || !add)
		return (replica);
	replica = replica_new(replicas, key, length);
	lock_take(&shard->lock);
	node = hash_find(&shard->replicas, key, length);
	if (node == NULL) {
		hash_insert(&shard->replicas, &replica->node, replica->key,
		    length);
		(void)replica_ref(replica);
		lock_release(&shard->lock);
		return (replica);
	}
	/* Another was quicker. */
	(void)replica_ref(container_of(node, struct replica, node));
	lock_release(&shard->lock);
	replica_unref(replica);
	return (container_of(node, struct replica, node));
}

struct replica *
replicas_find(struct replicas *replicas, struct slice topic,
    int32_t partition)
{
	return (table_find(replicas, topic, partition, false));
}

struct replica *
replicas_find_or_add(struct replicas *replicas, struct slice topic,
    int32_t partition)
{
	return (table_find(replicas, topic, partition, true));
}

void
replicas_remove(struct replica *replica)
{
	struct table_shard *shard = table_shard_of(replica->replicas,
	    replica->key, replica->key_length);

	if (atomic_exchange(&replica->gone, true))
		return;
	lock_take(&shard->lock);
	hash_remove(&shard->replicas, &replica->node);
	lock_release(&shard->lock);
	replica_unref(replica);
}

bool
replica_claim(struct replica *replica, bool wait)
{
	struct table_shard *shard = table_shard_of(replica->replicas,
	    replica->key, replica->key_length);
	bool free;

	lock_take(&shard->lock);
	while (replica->claimed && wait)
		lock_news_await(&shard->unclaimed, &shard->lock);
	free = !replica->claimed;
	replica->claimed = true;
	lock_release(&shard->lock);
	return (free);
}

void
replica_unclaim(struct replica *replica)
{
	struct table_shard *shard = table_shard_of(replica->replicas,
	    replica->key, replica->key_length);

	lock_take(&shard->lock);
	CHECK(replica->claimed);
	replica->claimed = false;
	lock_news_tell(&shard->unclaimed);
	lock_release(&shard->lock);
}

/* A shard's replicas, each with a reference. */
static struct replica **
shard_copy(struct table_shard *shard, size_t *count)
{
	struct replica **copy;
	size_t n = 0;

	lock_take(&shard->lock);
	copy = mem_alloc((hash_count(&shard->replicas) + 1) * sizeof(*copy));
	HASH_EACH(node, &shard->replicas)
		copy[n++] = replica_ref(container_of(node, struct replica,
		    node));
	lock_release(&shard->lock);
	*count = n;
	return (copy);
}

void
replicas_each(struct replicas *replicas,
    bool (*each)(void *arg, struct replica *replica), void *arg)
{
	bool on = true;

	for (size_t i = 0; i < TABLE_SHARDS; i++) {
		size_t count;
		struct replica **copy = shard_copy(&replicas->shards[i],
		    &count);

		for (size_t j = 0; j < count; j++) {
			on = on && each(arg, copy[j]);
			replica_unref(copy[j]);
		}
		mem_free(copy);
	}
}

/* --- what storage and the daemon ask or tell ------------------------------ */

int64_t
replicas_steady_ms(struct replicas *replicas)
{
	return (storage_steady_ms(replicas->setup.storage));
}

/* Of a log that no LeaderAndIsr named yet, storage keeps what it has. */
static int64_t
high_watermark_of(void *arg, struct log *log)
{
	struct replica *replica = replicas_find(arg,
	    slice_of_text(log_topic(log)), log_partition(log));
	struct replica_sight sight;

	if (replica == NULL)
		return (-1);
	replica_look(replica, &sight);
	replica_unref(replica);
	return (sight.view.leader_epoch == -1 ? -1 :
						sight.view.high_watermark);
}

static bool
dir_failed_one(void *arg, struct replica *replica)
{
	struct log *log = atomic_load_explicit(&replica->log,
	    memory_order_acquire);

	if (log != NULL && log_directory(log) == arg)
		replica_set_offline(replica);
	return (true);
}

void
replicas_dir_failed(struct replicas *replicas, struct log_dir *dir)
{
	replicas_each(replicas, dir_failed_one, dir);
}

static void
config_changed(struct replica *replica, const struct topic_config *config)
{
	bool moved;

	lock_take(&replica->state);
	replica_set_rules(replica, config->options);
	/* A lower demand may be met already. */
	moved = replica_advance(replica);
	replica_publish(replica);
	lock_release(&replica->state);
	if (moved)
		replica_tell_high_watermark(replica);
	replica_wake(replica);
}

static bool
config_changed_one(void *arg, struct replica *replica)
{
	const struct topic_config *config = arg;

	if (strcmp(config->topic, replica->topic) == 0)
		config_changed(replica, config);
	return (true);
}

static bool
defaults_changed_one(void *arg, struct replica *replica)
{
	struct replicas *replicas = arg;
	const struct topic_config *config = configs_topic(
	    replicas->setup.configs, replica->topic);

	config_changed(replica, config);
	topic_config_unref(config);
	return (true);
}

void
replicas_defaults_changed(struct replicas *replicas)
{
	replicas_each(replicas, defaults_changed_one, replicas);
}

void
replicas_config_changed(struct replicas *replicas,
    const struct topic_config *config)
{
	union {
		const struct topic_config *config;
		void *arg;
	} passed = { .config = config };

	replicas_each(replicas, config_changed_one, passed.arg);
}

bool
replicas_accept_controller_epoch(struct replicas *replicas, int32_t epoch)
{
	int seen = atomic_load(&replicas->controller_epoch);

	while (epoch > seen)
		if (atomic_compare_exchange_weak(&replicas->controller_epoch,
			&seen, epoch))
			return (true);
	return (epoch == seen);
}

/* --- whom to ask instead -------------------------------------------------- */

bool
replicas_in_image(struct replicas *replicas, struct slice topic,
    int32_t partition)
{
	const struct cluster_topic *known = image_topic(
	    cluster_image(replicas->setup.cluster), topic);

	return (known != NULL && topic_partition(known, partition) != NULL);
}

enum error
replicas_refusal(struct replicas *replicas, const struct replica *replica,
    struct slice topic, int32_t partition)
{
	return (replica != NULL && atomic_load(&replica->gone) &&
		    !replicas_in_image(replicas, topic, partition) ?
		    ERR_UNKNOWN_TOPIC_OR_PARTITION :
		    ERR_NOT_LEADER_OR_FOLLOWER);
}

struct leader_hint
replicas_leader_hint(struct replicas *replicas, struct replica *replica,
    struct slice topic, int32_t partition)
{
	const struct cluster_topic *known;
	const struct cluster_partition *row = NULL;
	struct replica_sight sight;

	if (replica != NULL && !atomic_load(&replica->gone)) {
		replica_look(replica, &sight);
		return ((struct leader_hint){ sight.view.leader,
		    sight.view.leader_epoch });
	}
	known = image_topic(cluster_image(replicas->setup.cluster), topic);
	if (known != NULL)
		row = topic_partition(known, partition);
	if (row == NULL)
		return ((struct leader_hint){ -1, -1 });
	return ((struct leader_hint){ row->leader, row->leader_epoch });
}

/* --- windows for decompression -------------------------------------------- */

struct record_scratch *
replicas_scratch_take(struct replicas *replicas)
{
	struct record_scratch *scratch = NULL;

	lock_take(&replicas->scratch_lock);
	if (replicas->scratch_count > 0)
		scratch = replicas->scratch[--replicas->scratch_count];
	lock_release(&replicas->scratch_lock);
	return (scratch != NULL ? scratch : record_scratch_new());
}

void
replicas_scratch_give(struct replicas *replicas,
    struct record_scratch *scratch)
{
	lock_take(&replicas->scratch_lock);
	if (replicas->scratch_count < SCRATCH_KEPT) {
		replicas->scratch[replicas->scratch_count++] = scratch;
		scratch = NULL;
	}
	lock_release(&replicas->scratch_lock);
	if (scratch != NULL)
		record_scratch_free(&scratch);
}

/* --- counts --------------------------------------------------------------- */

static bool
count_one(void *arg, struct replica *replica)
{
	struct replicas_counts *counts = arg;
	struct replica_sight sight;

	replica_look(replica, &sight);
	counts->partitions++;
	counts->offline += sight.view.offline;
	if (!sight.view.leads || sight.view.offline)
		return (true);
	counts->leaders++;
	counts->under_replicated += sight.isr_count < sight.replica_count;
	counts->under_min_isr += sight.isr_count <
	    replica_min_isr(replica, sight.replica_count);
	return (true);
}

void
replicas_count(struct replicas *replicas, struct replicas_counts *out)
{
	*out = (struct replicas_counts){ 0 };
	replicas_each(replicas, count_one, out);
}
