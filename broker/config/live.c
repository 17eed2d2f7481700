/* SPDX-License-Identifier: Apache-2.0 */
/* Generations of a config from loop to loop; see live.h. */
#include "config/live.h"

#include <stdatomic.h>

#include "base/loop.h"
#include "base/mem.h"

#define LIVE_MAGIC 0x6c697665u

/* One loop's; its thread's only, but for the post while it is under way. */
struct live_slot {
	struct post post;
	struct config_live *live;
	struct loop *loop;
	const struct config *config;
};

struct config_live {
	unsigned magic;
	struct config_live_setup setup;
	struct live_slot *slots;
	/* The publication under way; written before the posts. */
	const struct config *next;
	struct task_ref task;
	atomic_size_t pending; /* loops that do not have it yet */
};

static void live_swap(struct post *post);

struct config_live *
config_live_new(const struct config_live_setup *setup)
{
	struct config_live *live = mem_zalloc(sizeof(*live));

	CHECK(setup->loop_count > 0);
	live->magic = LIVE_MAGIC;
	live->setup = *setup;
	live->slots = mem_zalloc(setup->loop_count * sizeof(*live->slots));
	for (size_t i = 0; i < setup->loop_count; i++) {
		struct live_slot *slot = &live->slots[i];

		list_init(&slot->post.link);
		slot->post.run = live_swap;
		slot->live = live;
		slot->loop = setup->loops[i];
		slot->config = config_ref(setup->config);
	}
	live->setup.loops = NULL;
	live->next = config_ref(setup->config);
	atomic_init(&live->pending, 0);
	return (live);
}

void
config_live_free(struct config_live **place)
{
	struct config_live *live = *place;

	if (live == NULL)
		return;
	CHECK_MAGIC(live, LIVE_MAGIC);
	for (size_t i = 0; i < live->setup.loop_count; i++)
		config_unref(live->slots[i].config);
	config_unref(live->next);
	mem_free(live->slots);
	live->magic = 0;
	mem_free(live);
	*place = NULL;
}

const struct config *
config_live_now(const struct config_live *live)
{
	CHECK_MAGIC(live, LIVE_MAGIC);
	for (size_t i = 0; i < live->setup.loop_count; i++)
		if (loop_is_current(live->slots[i].loop))
			return (live->slots[i].config);
	UNREACHABLE();
}

static void
live_swap(struct post *post)
{
	struct live_slot *slot = container_of(post, struct live_slot, post);
	struct config_live *live = slot->live;
	const struct config *before = slot->config;
	/* The last one to swap lets the next be published. */
	const struct task_ref task = live->task;

	if (live->setup.take != NULL)
		live->setup.take(live->setup.arg, live->next);
	slot->config = config_ref(live->next);
	config_unref(before);
	if (atomic_fetch_sub_explicit(&live->pending, 1,
		memory_order_acq_rel) == 1)
		task_wake_ref(task);
}

void
config_live_publish(struct config_live *live, const struct config *next,
    struct task_ref task)
{
	CHECK_MAGIC(live, LIVE_MAGIC);
	CHECK(config_live_settled(live));
	config_unref(live->next);
	live->next = config_ref(next);
	live->task = task;
	atomic_store_explicit(&live->pending, live->setup.loop_count,
	    memory_order_release);
	for (size_t i = 0; i < live->setup.loop_count; i++)
		loop_post(live->slots[i].loop, &live->slots[i].post);
}

bool
config_live_settled(const struct config_live *live)
{
	return (atomic_load_explicit(&live->pending, memory_order_acquire) ==
	    0);
}
