/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ListGroups: the groups of all active shards of a loop, in as many turns of it
 * as they need.  One that is there all the while is listed once; a shard that
 * closes meanwhile tells no more of its own: who coordinates them then does.
 */
#include <strings.h>

#include "group/group_int.h"

/* All groups are of the older kind; the newer one needs KRaft. */
#define GROUP_TYPE "classic"
/* Rows for a start, where a filter may want few. */
#define ROOM_MIN 64

/* In the ask's arena. */
struct listing {
	struct group_wait wait; /* first */
	struct timer timer;
	const struct list_groups_request *request;
	struct group_ask *ask;
	struct list_groups_response *out;
	struct group_walk *walks; /* one a shard */
	size_t walk_count;
	size_t room; /* of out->groups */
	size_t most; /* that can be wanted */
};

static void listing_turn(struct timer *timer);
static void listing_forget(struct group_wait *wait);

/* --- one group ------------------------------------------------------------ */

static bool
names_have(const struct slice *names, int32_t count, const char *wanted)
{
	const size_t length = strlen(wanted);

	for (int32_t i = 0; i < count; i++)
		if (names[i].length == length && strncasecmp(
			(const char *)names[i].data, wanted, length) == 0)
			return (true);
	return (count == 0);
}

static bool
listing_wants(const struct listing *l, const struct group *group)
{
	const struct list_groups_request *r = l->request;

	return (names_have(r->states_filter, r->states_filter_count,
		    group_state_name(group->state)) &&
	    names_have(r->types_filter, r->types_filter_count, GROUP_TYPE));
}

static bool
list_one(const struct group *group, struct arena *arena,
    struct list_groups_response_group *out)
{
	bool ok = true;

	out->group_id = arena_slice_copy(arena, group_id(group), &ok);
	if (group->protocol_type != NULL)
		out->protocol_type = arena_slice_copy(arena,
		    slice_of_text(group->protocol_type), &ok);
	out->group_state = slice_of_text(group_state_name(group->state));
	out->group_type = SLICE_LITERAL(GROUP_TYPE);
	return (ok);
}

/* False: no memory. */
static bool
listing_make_room(struct listing *l, size_t room)
{
	struct list_groups_response *out = l->out;
	struct list_groups_response_group *rows;

	if (room > l->most)
		room = l->most;
	rows = wire_array(l->ask->arena, list_groups_response_group_schema(),
	    room);
	if (rows == NULL)
		return (false);
	for (int32_t i = 0; i < out->groups_count; i++)
		rows[i] = out->groups[i];
	out->groups = rows;
	l->room = room;
	return (true);
}

static bool
listing_add(struct listing *l, const struct group *group)
{
	struct list_groups_response *out = l->out;

	if (!listing_wants(l, group))
		return (true);
	if ((size_t)out->groups_count == l->room &&
	    !listing_make_room(l, 2 * l->room))
		return (false);
	return (list_one(group, l->ask->arena,
	    &out->groups[out->groups_count++]));
}

/* --- a loop's shards ------------------------------------------------------ */

static bool
shard_count(void *state, void *arg)
{
	const struct group_shard *shard = state;
	struct listing *l = arg;

	l->walk_count++;
	l->most += hash_count(&shard->by_id);
	return (true);
}

static bool
shard_begin(void *state, void *arg)
{
	struct listing *l = arg;

	group_walk_begin(&l->walks[l->walk_count++], state);
	return (true);
}

static bool
listing_begin(struct listing *l, struct groups *groups, struct loop *loop)
{
	const bool filtered = l->request->states_filter_count +
	    l->request->types_filter_count > 0;

	coord_each(groups->coord, loop, shard_count, l);
	l->walks = arena_array(l->ask->arena, l->walk_count,
	    sizeof(*l->walks));
	if (l->walks == NULL ||
	    !listing_make_room(l, filtered ? ROOM_MIN : l->most))
		return (false);
	l->walk_count = 0;
	coord_each(groups->coord, loop, shard_begin, l);
	return (true);
}

/* Where the listing is; NULL: at its end. */
static struct group *
listing_next(struct listing *l)
{
	struct group *group = NULL;

	while (l->walk_count > 0 && group == NULL) {
		group = group_walk_next(&l->walks[l->walk_count - 1]);
		if (group == NULL)
			l->walk_count--;
	}
	return (group);
}

static void
listing_end(struct listing *l)
{
	for (; l->walk_count > 0; l->walk_count--)
		group_walk_end(&l->walks[l->walk_count - 1]);
}

/* True: it is over, or refused. */
static bool
listing_go_on(struct listing *l)
{
	struct group *group;

	do {
		group = listing_next(l);
		if (group == NULL)
			return (true);
		if (!listing_add(l, group)) {
			l->ask->refused = true;
			listing_end(l);
			return (true);
		}
	} while (group_turn_goes_on(group->shard, GROUP_COST));
	return (false);
}

static void
listing_turn(struct timer *timer)
{
	struct listing *l = container_of(timer, struct listing, timer);
	struct group_ask *ask = l->ask;

	if (!listing_go_on(l)) {
		timer_arm_in(timer, 0);
		return;
	}
	ask->wait = NULL;
	ask->done = true;
	task_wake_ref(ask->task);
}

static void
listing_forget(struct group_wait *wait)
{
	struct listing *l = (struct listing *)wait;

	timer_disarm(&l->timer);
	listing_end(l);
}

bool
group_list(struct groups *groups, const struct list_groups_request *request,
    struct group_ask *ask)
{
	struct loop *loop = ask->task.loop;
	struct list_groups_response *out = ask->response;
	struct listing *l = arena_zalloc(ask->arena, sizeof(*l));

	ask->refused = l == NULL;
	if (l == NULL)
		return (true);
	*l = (struct listing){
		.wait = { .forget = listing_forget },
		.request = request,
		.ask = ask,
		.out = out,
	};
	out->groups_count = 0;
	out->error_code = coord_loading(groups->coord, loop) ?
	    ERR_COORDINATOR_LOAD_IN_PROGRESS : ERR_NONE;
	ask->refused = !listing_begin(l, groups, loop);
	if (ask->refused || listing_go_on(l)) {
		ask->done = true;
		return (true);
	}
	timer_init(&l->timer, loop, listing_turn);
	timer_arm_in(&l->timer, 0);
	ask->wait = &l->wait;
	return (false);
}
