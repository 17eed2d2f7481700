/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Publication: who builds an image posts it to every loop.
 *
 *	update: mutex { build; post to each loop but the last of the list }
 *	... each loop swaps its slot ... when all have, the last of the list
 *	swaps too and wakes the task
 *
 * The posts go out under the mutex, so that every loop sees the images in the
 * order in which they were built; the last one too, for no loop tells of an
 * image before it told of the one before.
 *
 * The posts come one after another, and what a client was told on a connection
 * of one loop it may ask of another loop first: each takes up the newest image
 * before it begins a request (cluster_catch_up), and its posts find it there.
 * For that it waits for who builds the next one, should that be just now.
 */
#include "cluster/cluster_int.h"

#include <pthread.h>

#include "base/diag.h"
#include "base/mem.h"

/* One loop's image; the loop's thread only. */
struct slot {
	struct loop *loop;
	struct image *image;
	/* That before, which who is under way may have pointers into: until the
	 * next post.  NULL: none. */
	struct image *held;
	struct waitq changed;
};

#define CLUSTER_MAGIC 0x636c7573u

struct cluster {
	unsigned magic;
	char *id;
	int32_t broker_id;
	struct diag *diag;
	struct metrics *metrics;
	pthread_mutex_t mutex; /* over loop_post()'s own; guards `newest` */
	struct image *newest;
	_Atomic uint64_t generation; /* of `newest` */
	struct slot *slots;
	size_t slot_count;
};

struct swap {
	struct post post;
	struct cluster_update *update;
	struct slot *slot;
};

struct cluster_update {
	struct cluster *cluster;
	struct image *image; /* a reference for each swap that is to come */
	struct task_ref task;
	bool failed; /* and so done */
	atomic_size_t pending;
	/* The swaps, and whoever called: the last one frees. */
	atomic_uint references;
	struct swap swaps[];
};

struct cluster *
cluster_new(const struct cluster_setup *setup)
{
	struct cluster *cluster = mem_zalloc(sizeof(*cluster));

	CHECK(setup->loop_count > 0);
	cluster->magic = CLUSTER_MAGIC;
	cluster->id = mem_strdup(setup->cluster_id == NULL ? "" :
	    setup->cluster_id);
	cluster->broker_id = setup->broker_id;
	cluster->diag = setup->diag;
	cluster->metrics = setup->metrics;
	cluster->newest = image_new_empty();
	cluster->newest->image.untold = setup->topics_exist;
	cluster->slot_count = setup->loop_count;
	cluster->slots = mem_zalloc(setup->loop_count *
	    sizeof(*cluster->slots));
	CHECK(pthread_mutex_init(&cluster->mutex, NULL) == 0);
	for (size_t i = 0; i < setup->loop_count; i++) {
		struct slot *slot = &cluster->slots[i];

		slot->loop = setup->loops[i];
		slot->image = cluster->newest;
		cluster_image_ref(&slot->image->image);
		waitq_init(&slot->changed);
	}
	return (cluster);
}

static void
slot_release(struct slot *slot)
{
	if (slot->held != NULL)
		cluster_image_unref(&slot->held->image);
	slot->held = NULL;
}

void
cluster_free(struct cluster **place)
{
	struct cluster *cluster = *place;

	if (cluster == NULL)
		return;
	CHECK_MAGIC(cluster, CLUSTER_MAGIC);
	for (size_t i = 0; i < cluster->slot_count; i++) {
		slot_release(&cluster->slots[i]);
		cluster_image_unref(&cluster->slots[i].image->image);
		waitq_fini(&cluster->slots[i].changed);
	}
	cluster_image_unref(&cluster->newest->image);
	CHECK(pthread_mutex_destroy(&cluster->mutex) == 0);
	mem_free(cluster->slots);
	mem_free(cluster->id);
	cluster->magic = 0;
	mem_free(cluster);
	*place = NULL;
}

const char *
cluster_id(const struct cluster *cluster)
{
	return (cluster->id);
}

static struct slot *
cluster_slot(struct cluster *cluster)
{
	CHECK_MAGIC(cluster, CLUSTER_MAGIC);
	for (size_t i = 0; i < cluster->slot_count; i++)
		if (loop_is_current(cluster->slots[i].loop))
			return (&cluster->slots[i]);
	UNREACHABLE();
}

static const struct slot *
last_slot(const struct cluster *cluster)
{
	return (&cluster->slots[cluster->slot_count - 1]);
}

const struct cluster_image *
cluster_image(struct cluster *cluster)
{
	return (&cluster_slot(cluster)->image->image);
}

void
cluster_catch_up(struct cluster *cluster)
{
	struct slot *slot = cluster_slot(cluster);
	struct image *old = slot->image;

	if (atomic_load_explicit(&cluster->generation, memory_order_acquire) ==
	    old->generation || slot == last_slot(cluster))
		return;
	CHECK(pthread_mutex_lock(&cluster->mutex) == 0);
	slot->image = cluster->newest;
	cluster_image_ref(&slot->image->image);
	CHECK(pthread_mutex_unlock(&cluster->mutex) == 0);
	/* What came behind the one that is held has a post, which keeps it. */
	if (slot->held == NULL)
		slot->held = old;
	else
		cluster_image_unref(&old->image);
	waitq_wake(&slot->changed);
}

struct waitq *
cluster_changed(struct cluster *cluster)
{
	return (&cluster_slot(cluster)->changed);
}

/* --- updates -------------------------------------------------------------- */

static void
update_unref(struct cluster_update *update)
{
	if (atomic_fetch_sub_explicit(&update->references, 1,
		memory_order_acq_rel) == 1)
		mem_free(update);
}

static void swap_run(struct post *post);

static void
swap_post(struct cluster_update *update, size_t index)
{
	struct swap *swap = &update->swaps[index];

	swap->post.run = swap_run;
	swap->update = update;
	swap->slot = &update->cluster->slots[index];
	loop_post(swap->slot->loop, &swap->post);
}

static void
swap_run(struct post *post)
{
	struct swap *swap = container_of(post, struct swap, post);
	struct cluster_update *update = swap->update;
	struct slot *slot = swap->slot;
	struct image *older = update->image;
	size_t left;

	slot_release(slot);
	if (slot->image->generation < update->image->generation) {
		older = slot->image;
		slot->image = update->image;
		waitq_wake(&slot->changed);
	}
	cluster_image_unref(&older->image);
	left = atomic_fetch_sub_explicit(&update->pending, 1,
	    memory_order_acq_rel) - 1;
	if (left == 1)
		swap_post(update, update->cluster->slot_count - 1);
	else if (left == 0)
		task_wake_ref(update->task);
	update_unref(update);
}

static void
cluster_publish(struct cluster *cluster, struct cluster_update *update)
{
	size_t count = cluster->slot_count;

	atomic_init(&update->pending, count);
	atomic_init(&update->references, (unsigned)count + 1);
	for (size_t i = 0; i < count; i++)
		cluster_image_ref(&update->image->image);
	for (size_t i = 0; i + 1 < count; i++)
		swap_post(update, i);
	if (count == 1)
		swap_post(update, 0);
}

struct cluster_update *
cluster_update(struct cluster *cluster,
    const struct update_metadata_request *request, struct task_ref task)
{
	struct cluster_update *update;
	struct image *image;

	CHECK_MAGIC(cluster, CLUSTER_MAGIC);
	update = mem_zalloc(sizeof(*update) +
	    cluster->slot_count * sizeof(update->swaps[0]));
	update->cluster = cluster;
	update->task = task;
	CHECK(pthread_mutex_lock(&cluster->mutex) == 0);
	image = image_after(cluster->newest, request);
	if (image == NULL) {
		diag_error(cluster->diag, cluster, "controller=%d epoch=%d "
		    "update of metadata is too large for memory: dropped, the "
		    "older view stays", request->controller_id,
		    request->controller_epoch);
		update->failed = true;
		atomic_init(&update->pending, 0);
		atomic_init(&update->references, 1);
	} else {
		cluster_image_unref(&cluster->newest->image);
		cluster->newest = image;
		atomic_store_explicit(&cluster->generation, image->generation,
		    memory_order_release);
		update->image = image;
		cluster_publish(cluster, update);
	}
	CHECK(pthread_mutex_unlock(&cluster->mutex) == 0);
	return (update);
}

bool
cluster_update_done(const struct cluster_update *update)
{
	return (atomic_load_explicit(&update->pending, memory_order_acquire) ==
	    0);
}

bool
cluster_update_failed(const struct cluster_update *update)
{
	return (update->failed);
}

void
cluster_update_free(struct cluster_update **update)
{
	if (*update != NULL)
		update_unref(*update);
	*update = NULL;
}
