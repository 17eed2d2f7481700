/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images: what is built by one UpdateMetadata and read by every loop.
 *
 *	image -> 1,024 buckets by name -> topics      all counted by reference,
 *	      -> 1,024 buckets by id   -> topics      shared with older images
 *	      -> brokers (whole with each update)
 *
 * A new image begins as a copy of the old one's bucket pointers, or, when all
 * that there is is told, as an empty one.  The first
 * change of a bucket copies it (its generation becomes the image's), later ones
 * of the same update change that copy.
 */
#include "cluster/cluster_int.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/mem.h"
#include "config/listener.h"

/* --- references ----------------------------------------------------------- */

static void
topic_unref(struct image_topic *topic)
{
	if (atomic_fetch_sub_explicit(&topic->references, 1,
		memory_order_acq_rel) == 1)
		mem_free(topic);
}

static struct image_topic *
topic_ref(struct image_topic *topic)
{
	atomic_fetch_add_explicit(&topic->references, 1, memory_order_relaxed);
	return (topic);
}

static struct image_bucket *
bucket_ref(struct image_bucket *bucket)
{
	if (bucket != NULL)
		atomic_fetch_add_explicit(&bucket->references, 1,
		    memory_order_relaxed);
	return (bucket);
}

static void
bucket_unref(struct image_bucket *bucket)
{
	if (bucket == NULL || atomic_fetch_sub_explicit(&bucket->references, 1,
				  memory_order_acq_rel) != 1)
		return;
	for (size_t i = 0; i < bucket->count; i++)
		topic_unref(bucket->topics[i]);
	mem_free(bucket);
}

static void
brokers_unref(struct image_brokers *brokers)
{
	if (brokers == NULL || atomic_fetch_sub_explicit(&brokers->references,
				   1, memory_order_acq_rel) != 1)
		return;
	arena_fini(&brokers->arena);
	mem_free(brokers);
}

const struct cluster_image *
cluster_image_ref(const struct cluster_image *image)
{
	struct image *i = (struct image *)(uintptr_t)image;

	atomic_fetch_add_explicit(&i->references, 1, memory_order_relaxed);
	return (image);
}

void
cluster_image_unref(const struct cluster_image *image)
{
	struct image *i = (struct image *)(uintptr_t)image;

	if (i == NULL || atomic_fetch_sub_explicit(&i->references, 1,
			     memory_order_acq_rel) != 1)
		return;
	for (size_t b = 0; b < IMAGE_BUCKETS; b++) {
		bucket_unref(i->buckets.by_name[b]);
		bucket_unref(i->buckets.by_id[b]);
	}
	brokers_unref(i->brokers);
	mem_free(i);
}

struct image *
image_new_empty(void)
{
	struct image *image = mem_zalloc(sizeof(*image));

	atomic_init(&image->references, 1);
	image->image.controller_id = -1;
	image->image.buckets = &image->buckets;
	return (image);
}

static struct image *
image_copy(const struct image *old)
{
	struct image *image = mem_alloc(sizeof(*image));

	/* All but the count of references, which others move meanwhile. */
	image->image = old->image;
	image->image.buckets = &image->buckets;
	atomic_init(&image->references, 1);
	image->brokers = old->brokers;
	image->buckets = old->buckets;
	for (size_t b = 0; b < IMAGE_BUCKETS; b++) {
		bucket_ref(image->buckets.by_name[b]);
		bucket_ref(image->buckets.by_id[b]);
	}
	if (image->brokers != NULL)
		atomic_fetch_add_explicit(&image->brokers->references, 1,
		    memory_order_relaxed);
	return (image);
}

/* --- buckets -------------------------------------------------------------- */

/* FNV-1a, as the order of topics must not change from process to process.  Who
 * names topics may find names that share a bucket: it is searched in halves. */
static size_t
bucket_of(const void *bytes, size_t length)
{
	const uint8_t *at = bytes;
	uint32_t hash = 2166136261u;

	for (size_t i = 0; i < length; i++)
		hash = (hash ^ at[i]) * 16777619u;
	return ((hash ^ hash >> 16) % IMAGE_BUCKETS);
}

static struct image_bucket **
bucket_by_name(struct image *image, const char *name, size_t length)
{
	return (&image->buckets.by_name[bucket_of(name, length)]);
}

static struct image_bucket **
bucket_by_id(struct image *image, struct uuid id)
{
	return (&image->buckets.by_id[bucket_of(id.bytes, sizeof(id.bytes))]);
}

/* Makes the bucket this image's own, with room for one topic more. */
static struct image_bucket *
bucket_own(struct image *image, struct image_bucket **place)
{
	struct image_bucket *old = *place;
	size_t count = old == NULL ? 0 : old->count;
	struct image_bucket *bucket;

	if (old != NULL && old->generation == image->generation &&
	    old->count < old->capacity)
		return (old);
	bucket = mem_alloc(sizeof(*bucket) +
	    (count + 1 + count / 2) * sizeof(struct image_topic *));
	atomic_init(&bucket->references, 1);
	bucket->generation = image->generation;
	bucket->count = count;
	bucket->capacity = count + 1 + count / 2;
	for (size_t i = 0; i < count; i++)
		bucket->topics[i] = topic_ref(old->topics[i]);
	bucket_unref(old);
	*place = bucket;
	return (bucket);
}

static void
bucket_remove(struct image *image, struct image_bucket **place,
    const struct image_topic *topic)
{
	struct image_bucket *bucket = bucket_own(image, place);

	for (size_t i = 0; i < bucket->count; i++)
		if (bucket->topics[i] == topic) {
			topic_unref(bucket->topics[i]);
			bucket->count--;
			memmove(&bucket->topics[i], &bucket->topics[i + 1],
			    (bucket->count - i) * sizeof(bucket->topics[0]));
			return;
		}
}

static void
bucket_add(struct image *image, struct image_bucket **place, size_t at,
    struct image_topic *topic)
{
	struct image_bucket *bucket = bucket_own(image, place);

	CHECK(at <= bucket->count);
	memmove(&bucket->topics[at + 1], &bucket->topics[at],
	    (bucket->count - at) * sizeof(bucket->topics[0]));
	bucket->topics[at] = topic_ref(topic);
	bucket->count++;
}

static size_t
bucket_count(const struct image_bucket *bucket)
{
	return (bucket == NULL ? 0 : bucket->count);
}

static struct slice
topic_name(const struct image_topic *topic)
{
	return (slice_of(topic->topic.name, topic->topic.name_length));
}

/* In a bucket by name, which ascends: the first that is not before `name`. */
static size_t
bucket_search(const struct image_bucket *bucket, struct slice name)
{
	size_t low = 0, high = bucket_count(bucket);

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (slice_compare(topic_name(bucket->topics[middle]),
			name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return (low);
}

static struct image_topic *
image_find(const struct image *image, struct slice name)
{
	const struct image_bucket *bucket =
	    image->buckets.by_name[bucket_of(name.data, name.length)];
	size_t at = bucket_search(bucket, name);

	return (at < bucket_count(bucket) &&
	    slice_compare(topic_name(bucket->topics[at]), name) == 0 ?
	    bucket->topics[at] : NULL);
}

static void
image_remove(struct image *image, struct image_topic *old)
{
	image->image.topic_count--;
	image->image.partition_count -= (size_t)old->topic.partition_count;
	topic_ref(old);
	bucket_remove(image, bucket_by_name(image, old->topic.name,
	    old->topic.name_length), old);
	if (!uuid_is_zero(old->topic.id))
		bucket_remove(image, bucket_by_id(image, old->topic.id), old);
	topic_unref(old);
}

/* Takes the caller's reference over. */
static void
image_add(struct image *image, struct image_topic *topic)
{
	struct image_bucket **by_name = bucket_by_name(image,
	    topic->topic.name, topic->topic.name_length), **by_id;

	image->image.topic_count++;
	image->image.partition_count += (size_t)topic->topic.partition_count;
	bucket_add(image, by_name, bucket_search(*by_name, topic_name(topic)),
	    topic);
	if (!uuid_is_zero(topic->topic.id)) {
		by_id = bucket_by_id(image, topic->topic.id);
		bucket_add(image, by_id, bucket_count(*by_id), topic);
	}
	topic_unref(topic);
}

/* --- looking -------------------------------------------------------------- */

const struct cluster_topic *
image_topic(const struct cluster_image *image, struct slice name)
{
	struct image_topic *topic = image_find((const struct image *)image,
	    name);

	return (topic == NULL ? NULL : &topic->topic);
}

const struct cluster_topic *
image_topic_by_id(const struct cluster_image *image, struct uuid id)
{
	const struct image_bucket *bucket =
	    image->buckets->by_id[bucket_of(id.bytes, sizeof(id.bytes))];

	if (uuid_is_zero(id))
		return (NULL);
	for (size_t i = 0; bucket != NULL && i < bucket->count; i++)
		if (uuid_equal(bucket->topics[i]->topic.id, id))
			return (&bucket->topics[i]->topic);
	return (NULL);
}

const struct cluster_partition *
topic_partition(const struct cluster_topic *topic, int32_t partition)
{
	int32_t low = 0, high = topic->partition_count;

	/* Nearly always it lies at its own number. */
	if (partition >= 0 && partition < high &&
	    topic->partitions[partition].partition == partition)
		return (&topic->partitions[partition]);
	while (low < high) {
		int32_t middle = low + (high - low) / 2;

		if (topic->partitions[middle].partition < partition)
			low = middle + 1;
		else
			high = middle;
	}
	return (low < topic->partition_count &&
	    topic->partitions[low].partition == partition ?
	    &topic->partitions[low] : NULL);
}

const struct cluster_broker *
image_broker(const struct cluster_image *image, int32_t id)
{
	size_t low = 0, high = image->broker_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (image->brokers[middle]->id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return (low < image->broker_count && image->brokers[low]->id == id ?
	    image->brokers[low] : NULL);
}

const struct cluster_endpoint *
broker_endpoint(const struct cluster_broker *broker, const char *listener)
{
	for (size_t i = 0; i < broker->endpoint_count; i++)
		if (strcmp(broker->endpoints[i].listener, listener) == 0)
			return (&broker->endpoints[i]);
	return (NULL);
}

void
image_each_topic(const struct cluster_image *image,
    bool (*each)(void *arg, const struct cluster_topic *topic), void *arg)
{
	for (size_t b = 0; b < IMAGE_BUCKETS; b++) {
		const struct image_bucket *bucket = image->buckets->by_name[b];

		for (size_t i = 0; bucket != NULL && i < bucket->count; i++)
			if (!each(arg, &bucket->topics[i]->topic))
				return;
	}
}

/* --- brokers -------------------------------------------------------------- */

static const char *
endpoint_listener(struct arena *arena,
    const struct update_metadata_request_endpoint *from)
{
	/* Up to v2 a listener has its protocol's name. */
	if (from->listener.length == 0 &&
	    security_protocol_known(from->security_protocol))
		return (security_protocol_name(
		    (enum security_protocol)from->security_protocol));
	return (arena_slice_text(arena, from->listener));
}

static bool
broker_endpoints(struct arena *arena, struct cluster_broker *broker,
    const struct update_metadata_request_live_broker *from)
{
	/* v0 has one address, in plain text. */
	bool oldest = from->endpoints_count == 0 && from->v0_host.length > 0;
	size_t count = oldest ? 1 : (size_t)from->endpoints_count;
	struct cluster_endpoint *endpoints = arena_array(arena, count,
	    sizeof(*endpoints));

	if (endpoints == NULL)
		return (false);
	if (oldest)
		endpoints[0] = (struct cluster_endpoint){
			.listener = "PLAINTEXT",
			.host = arena_slice_text(arena, from->v0_host),
			.port = from->v0_port,
		};
	for (size_t i = 0; !oldest && i < count; i++)
		endpoints[i] = (struct cluster_endpoint){
			.listener = endpoint_listener(arena,
			    &from->endpoints[i]),
			.host = arena_slice_text(arena,
			    from->endpoints[i].host),
			.port = from->endpoints[i].port,
			.protocol = from->endpoints[i].security_protocol,
		};
	for (size_t i = 0; i < count; i++)
		if (endpoints[i].listener == NULL || endpoints[i].host == NULL)
			return (false);
	broker->endpoints = endpoints;
	broker->endpoint_count = count;
	return (true);
}

static int
compare_brokers(const void *a, const void *b)
{
	const struct cluster_broker *x =
	    *(const struct cluster_broker *const *)a;
	const struct cluster_broker *y =
	    *(const struct cluster_broker *const *)b;

	return ((x->id > y->id) - (x->id < y->id));
}

static bool
brokers_fill(struct image_brokers *brokers,
    const struct update_metadata_request *request)
{
	struct arena *arena = &brokers->arena;

	brokers->count = (size_t)request->live_brokers_count;
	brokers->items = arena_array(arena, brokers->count,
	    sizeof(*brokers->items));
	if (brokers->items == NULL)
		return (false);
	for (size_t i = 0; i < brokers->count; i++) {
		const struct update_metadata_request_live_broker *from =
		    &request->live_brokers[i];
		struct cluster_broker *broker = arena_zalloc(arena,
		    sizeof(*broker));

		if (broker == NULL || !broker_endpoints(arena, broker, from))
			return (false);
		broker->id = from->id;
		if (from->rack.data != NULL) {
			broker->rack = arena_slice_text(arena, from->rack);
			if (broker->rack == NULL)
				return (false);
		}
		brokers->items[i] = broker;
	}
	if (brokers->count > 1)
		qsort(brokers->items, brokers->count, sizeof(*brokers->items),
		    compare_brokers);
	return (true);
}

static bool
image_set_brokers(struct image *image,
    const struct update_metadata_request *request)
{
	struct image_brokers *brokers = mem_zalloc(sizeof(*brokers));

	atomic_init(&brokers->references, 1);
	arena_init(&brokers->arena, 0);
	if (!brokers_fill(brokers, request)) {
		brokers_unref(brokers);
		return (false);
	}
	brokers_unref(image->brokers);
	image->brokers = brokers;
	image->image.brokers = brokers->items;
	image->image.broker_count = brokers->count;
	return (true);
}

/* --- topics --------------------------------------------------------------- */

/* The change of one topic: its states, ascending by partition. */
struct change {
	struct slice name;
	struct uuid id; /* zero: the version carries none */
	const struct update_metadata_request_partition_state **states;
	size_t count;
};

/* What a partition will be: taken over from the old topic, or told anew. */
struct source {
	const struct cluster_partition *old;
	const struct update_metadata_request_partition_state *told;
};

static int
compare_states(const void *a, const void *b)
{
	const struct update_metadata_request_partition_state *x =
	    *(const struct update_metadata_request_partition_state *const *)a;
	const struct update_metadata_request_partition_state *y =
	    *(const struct update_metadata_request_partition_state *const *)b;
	int names = slice_compare(x->topic_name, y->topic_name);

	if (names != 0)
		return (names);
	if (x->partition_index != y->partition_index)
		return (x->partition_index < y->partition_index ? -1 : 1);
	/* The later one of two counts; both lie in one array. */
	return ((x > y) - (x < y));
}

/* Merges old partitions and states, both ascending; the number of sources. */
static size_t
change_merge(const struct change *change, const struct cluster_topic *old,
    struct source *out)
{
	size_t count = 0, i = 0;
	int32_t o = 0;
	int32_t old_count = old == NULL ? 0 : old->partition_count;

	while (i < change->count || o < old_count) {
		const struct update_metadata_request_partition_state *told =
		    i < change->count ? change->states[i] : NULL;
		const struct cluster_partition *kept =
		    o < old_count ? &old->partitions[o] : NULL;

		if (told != NULL && i + 1 < change->count &&
		    change->states[i + 1]->partition_index ==
			told->partition_index) {
			i++;
			continue;
		}
		if (told == NULL || (kept != NULL &&
		    kept->partition < told->partition_index)) {
			out[count++] = (struct source){ .old = kept };
			o++;
			continue;
		}
		if (kept != NULL && kept->partition == told->partition_index)
			o++;
		i++;
		if (told->leader != LEADER_DELETING)
			out[count++] = (struct source){ .told = told };
	}
	return (count);
}

static size_t
source_numbers(const struct source *s)
{
	if (s->old != NULL)
		return ((size_t)s->old->replica_count +
		    (size_t)s->old->isr_count + (size_t)s->old->offline_count);
	return ((size_t)s->told->replicas_count + (size_t)s->told->isr_count +
	    (size_t)s->told->offline_replicas_count);
}

static const int32_t *
numbers_take(int32_t **numbers, const int32_t *from, int32_t count)
{
	int32_t *at = *numbers;

	if (count > 0)
		memcpy(at, from, (size_t)count * sizeof(*at));
	*numbers += count;
	return (at);
}

static void
partition_fill(struct cluster_partition *p, const struct source *s,
    int32_t **numbers)
{
	if (s->old != NULL)
		*p = *s->old;
	else
		*p = (struct cluster_partition){
			.partition = s->told->partition_index,
			.leader = s->told->leader,
			.leader_epoch = s->told->leader_epoch,
			.partition_epoch = s->told->zk_version,
			.controller_epoch = s->told->controller_epoch,
			.replicas = s->told->replicas,
			.replica_count = s->told->replicas_count,
			.isr = s->told->isr,
			.isr_count = s->told->isr_count,
			.offline = s->told->offline_replicas,
			.offline_count = s->told->offline_replicas_count,
		};
	p->replicas = numbers_take(numbers, p->replicas, p->replica_count);
	p->isr = numbers_take(numbers, p->isr, p->isr_count);
	p->offline = numbers_take(numbers, p->offline, p->offline_count);
}

/*
 *	[image_topic][partitions ...][numbers ...][name, NUL]
 */
static struct image_topic *
topic_new(struct slice name, struct uuid id, const struct source *sources,
    size_t count)
{
	size_t number_count = 0, size;
	struct cluster_partition *partitions;
	struct image_topic *topic;
	int32_t *numbers;
	char *text;

	for (size_t i = 0; i < count; i++)
		number_count += source_numbers(&sources[i]);
	size = sizeof(*topic) + count * sizeof(*partitions) +
	    number_count * sizeof(*numbers) + name.length + 1;
	topic = mem_try_alloc(size);
	if (topic == NULL)
		return (NULL);
	partitions = (struct cluster_partition *)(void *)(topic + 1);
	numbers = (int32_t *)(void *)(partitions + count);
	text = (char *)(numbers + number_count);
	for (size_t i = 0; i < count; i++)
		partition_fill(&partitions[i], &sources[i], &numbers);
	memcpy(text, name.data, name.length);
	text[name.length] = '\0';
	atomic_init(&topic->references, 1);
	topic->topic = (struct cluster_topic){
		.name = text,
		.name_length = name.length,
		.id = id,
		.internal = topic_name_internal(name),
		.partitions = partitions,
		.partition_count = (int32_t)count,
	};
	return (topic);
}

static bool
image_apply(struct image *image, struct change *change)
{
	struct image_topic *old = image_find(image, change->name);
	const struct cluster_topic *kept = old == NULL ? NULL : &old->topic;
	struct image_topic *topic = NULL;
	struct source *sources;
	bool other = false;
	size_t count;

	/* Another id is another topic: nothing of the old one stays; but that
	 * the other one goes, told late, is no news of this one. */
	if (kept != NULL && !uuid_is_zero(kept->id)) {
		if (uuid_is_zero(change->id))
			change->id = kept->id;
		else if (!uuid_equal(kept->id, change->id)) {
			other = true;
			kept = NULL;
		}
	}
	count = change->count +
	    (kept == NULL ? 0 : (size_t)kept->partition_count);
	if (count > IMAGE_PARTITION_MAX)
		return (false);
	sources = mem_try_alloc((count + 1) * sizeof(*sources));
	if (sources == NULL)
		return (false);
	count = change_merge(change, kept, sources);
	if (other && count == 0) {
		mem_free(sources);
		return (true);
	}
	if (count > 0)
		topic = topic_new(change->name, change->id, sources, count);
	mem_free(sources);
	if (count > 0 && topic == NULL)
		return (false);
	if (old != NULL)
		image_remove(image, old);
	if (topic != NULL)
		image_add(image, topic);
	return (true);
}

/* v5 and later: one change a topic. */
static bool
apply_grouped(struct image *image,
    const struct update_metadata_request *request, struct arena *arena)
{
	for (int32_t t = 0; t < request->topic_states_count; t++) {
		const struct update_metadata_request_topic_state *topic =
		    &request->topic_states[t];
		struct change change = { .name = topic->topic_name,
			.id = topic->topic_id,
			.count = (size_t)topic->partition_states_count };

		change.states = arena_array(arena, change.count,
		    sizeof(*change.states));
		if (change.states == NULL)
			return (false);
		for (size_t i = 0; i < change.count; i++)
			change.states[i] = &topic->partition_states[i];
		if (change.count > 1)
			qsort(change.states, change.count,
			    sizeof(*change.states), compare_states);
		if (!image_apply(image, &change))
			return (false);
	}
	return (true);
}

/* Up to v4 the states come in one row, each with its topic's name. */
static bool
apply_ungrouped(struct image *image,
    const struct update_metadata_request *request, struct arena *arena)
{
	size_t count = (size_t)request->ungrouped_partition_states_count;
	const struct update_metadata_request_partition_state **states =
	    arena_array(arena, count, sizeof(*states));
	size_t end;

	if (states == NULL)
		return (false);
	for (size_t i = 0; i < count; i++)
		states[i] = &request->ungrouped_partition_states[i];
	if (count > 1)
		qsort(states, count, sizeof(*states), compare_states);
	for (size_t i = 0; i < count; i = end) {
		struct change change = { .name = states[i]->topic_name,
			.states = &states[i] };

		for (end = i; end < count && slice_compare(
		    states[end]->topic_name, change.name) == 0;)
			end++;
		change.count = end - i;
		if (!image_apply(image, &change))
			return (false);
	}
	return (true);
}

struct image *
image_after(const struct image *old,
    const struct update_metadata_request *request)
{
	struct image *image = request->type == UPDATE_METADATA_FULL ?
	    image_new_empty() : image_copy(old);
	struct arena arena;
	bool ok;

	image->generation = old->generation + 1;
	arena_init(&arena, 0);
	image->image.controller_id = request->controller_id;
	image->image.controller_epoch = request->controller_epoch;
	if (request->topic_states_count > 0 ||
	    request->ungrouped_partition_states_count > 0)
		image->image.untold = false;
	ok = image_set_brokers(image, request) &&
	    apply_grouped(image, request, &arena) &&
	    apply_ungrouped(image, request, &arena);
	arena_fini(&arena);
	if (ok)
		return (image);
	cluster_image_unref(&image->image);
	return (NULL);
}
