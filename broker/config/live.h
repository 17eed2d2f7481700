/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The config that counts now, as each loop has it.
 *
 *	publish --> a post to each loop: [rooms are handed it] [slot swapped]
 *	                ... when the last one has it, the task is woken
 *
 * A generation is immutable and counted.  Each loop holds its own reference,
 * so a callback or step reads what it finds there without lock or counting,
 * and the generation before goes with the last loop that lets go of it.
 *
 * Rooms keep a plain pointer to their own struct.  They are handed the next one
 * by `take`, once on every loop, before that loop lets the old one go:
 *
 *   - what a room reads on its loops it reads through a pointer of that loop,
 *     which `take` swaps there;
 *   - what it reads elsewhere, too (on workers), `take` copies into an atomic;
 *   - what no change at run time touches may be read through the first struct,
 *     which lives as long as the broker.
 */
#ifndef CONFIG_LIVE_H
#define CONFIG_LIVE_H

#include "base/task.h"
#include "config/config.h"

struct config_live;

struct config_live_setup {
	struct loop **loops; /* each is one of its own; copied */
	size_t loop_count;
	const struct config *config; /* the first one, resolved; counted */
	/* On each loop, while what it had before is there. May be NULL. */
	void (*take)(void *arg, const struct config *next);
	void *arg;
};

/* Before anybody on a loop asks. */
struct config_live *config_live_new(const struct config_live_setup *setup);
/* The loops were stopped, or are freed. */
void config_live_free(struct config_live **live);

/* What the calling loop has; valid until the callback or step ends, or
 * config_ref() it. */
const struct config *config_live_now(const struct config_live *live);

/* Hands `next`, resolved, to all loops. One at a time: after the one before has
 * settled. Always the same loop. */
void config_live_publish(struct config_live *live, const struct config *next,
    struct task_ref task);
/* Whether all loops have what was published last. Any thread. */
bool config_live_settled(const struct config_live *live);

#endif
