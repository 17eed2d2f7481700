/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_coord.h"

#include "base/check.h"
#include "base/mem.h"

struct coord *
coord_new(const struct coord_setup *setup)
{
	struct coord *coord = mem_zalloc(sizeof(*coord));

	coord->setup = *setup;
	coord->shard.loop = setup->loops[0];
	return (coord);
}

void
coord_stop(struct coord *coord)
{
	fake_coord_close(coord);
}

void
coord_free(struct coord **coord_pointer)
{
	struct coord *coord = *coord_pointer;

	for (size_t i = 0; i < coord->log_count; i++) {
		mem_free((void *)(uintptr_t)coord->log[i].key.data);
		mem_free((void *)(uintptr_t)coord->log[i].value.data);
	}
	mem_free(coord->log);
	mem_free(coord);
	*coord_pointer = NULL;
}

int32_t
coord_partition_of(const struct coord *coord,
    const struct cluster_image *image, struct slice id)
{
	(void)coord;
	(void)image;
	(void)id;
	return (0);
}

struct loop *
coord_loop(const struct coord *coord, int32_t partition)
{
	(void)partition;
	return (coord->shard.loop);
}

void *
coord_state(struct coord *coord, int32_t partition, enum error *error)
{
	(void)partition;
	*error = coord->refusal;
	if (*error == ERR_NONE && coord->state == NULL)
		*error = ERR_NOT_COORDINATOR;
	else if (*error == ERR_NONE && !coord->loaded)
		*error = ERR_COORDINATOR_LOAD_IN_PROGRESS;
	return (*error == ERR_NONE ? coord->state : NULL);
}

void
coord_each(struct coord *coord, struct loop *loop,
    bool (*each)(void *state, void *arg), void *arg)
{
	(void)loop;
	if (coord->state != NULL && coord->loaded)
		(void)each(coord->state, arg);
}

int64_t
coord_steady_ms(struct coord *coord)
{
	struct loop *loop = coord->shard.loop;
	enum steady_news news;
	int64_t leap_ms;

	return (steady_look(&coord->steady, loop_wall_ms(loop),
	    loop_now_ms(loop), &news, &leap_ms));
}

bool
coord_loading(const struct coord *coord, const struct loop *loop)
{
	(void)loop;
	return (coord->loading || (coord->state != NULL && !coord->loaded));
}

struct loop *
coord_shard_loop(const struct coord_shard *shard)
{
	return (shard->loop);
}

int32_t
coord_shard_partition(const struct coord_shard *shard)
{
	(void)shard;
	return (0);
}

int32_t
coord_shard_epoch(const struct coord_shard *shard)
{
	return (shard->epoch);
}

/* --- the log -------------------------------------------------------------- */

static struct slice
own(struct slice bytes)
{
	uint8_t *copy;

	if (bytes.data == NULL)
		return (SLICE_NULL);
	copy = mem_alloc(bytes.length + 1);
	memcpy(copy, bytes.data, bytes.length);
	return (slice_of(copy, bytes.length));
}

static struct fake_record *
log_add(struct coord *coord)
{
	if (coord->log_count == coord->log_capacity) {
		coord->log_capacity = coord->log_capacity * 2 + 16;
		coord->log = mem_realloc(coord->log, coord->log_capacity *
			sizeof(*coord->log));
	}
	coord->log[coord->log_count] = (struct fake_record){
		.producer_id = -1 };
	return (&coord->log[coord->log_count++]);
}

void
fake_coord_put(struct coord *coord, struct slice key, struct slice value,
    int64_t transaction)
{
	struct fake_record *record = log_add(coord);

	record->key = own(key);
	record->value = own(value);
	record->producer_id = transaction;
	record->transactional = transaction >= 0;
}

void
fake_coord_mark(struct coord *coord, int64_t producer_id, bool commit)
{
	struct fake_record *record = log_add(coord);

	record->producer_id = producer_id;
	record->marker = true;
	record->commits = commit;
}

static void
log_replay(struct coord *coord, size_t offset, bool loading)
{
	const struct fake_record *record = &coord->log[offset];

	if (record->marker)
		coord->setup.ops->marker(coord->state, record->producer_id, 0,
		    (int64_t)offset, record->commits);
	else
		coord->setup.ops->replay(coord->state, &(struct coord_record){
		    .offset = (int64_t)offset,
		    .producer_id = record->producer_id,
		    .transactional = record->transactional,
		    .loading = loading,
		    .key = record->key,
		    .value = record->value,
		});
}

void
fake_coord_hear(struct coord *coord)
{
	log_replay(coord, coord->log_count - 1, false);
}

bool
fake_coord_close_some(struct coord *coord)
{
	if (coord->closing == NULL) {
		coord->closing = coord->state;
		coord->state = NULL;
		for (size_t i = 0; i < coord->write_count; i++)
			coord->writes[i]->closed = true;
	}
	if (coord->closing != NULL &&
	    !coord->setup.ops->close(coord->closing))
		return (false);
	coord->closing = NULL;
	return (true);
}

void
fake_coord_close(struct coord *coord)
{
	while (!fake_coord_close_some(coord))
		continue;
}

void
fake_coord_replay(struct coord *coord)
{
	fake_coord_close(coord);
	coord->shard.epoch++;
	coord->loaded = false;
	coord->state = coord->setup.ops->open(coord->setup.ops_arg,
	    &coord->shard);
	for (size_t i = 0; i < coord->log_count; i++)
		log_replay(coord, i, true);
}

bool
fake_coord_load_some(struct coord *coord)
{
	coord->loaded = coord->setup.ops->loaded(coord->state);
	return (coord->loaded);
}

void
fake_coord_load(struct coord *coord)
{
	fake_coord_replay(coord);
	while (!fake_coord_load_some(coord))
		continue;
}

/* --- writes --------------------------------------------------------------- */

void
fake_coord_end(struct coord *coord, enum error error)
{
	struct coord_write *write = coord->writes[0];

	CHECK(coord->write_count > 0);
	coord->write_count--;
	memmove(coord->writes, coord->writes + 1,
	    coord->write_count * sizeof(coord->writes[0]));
	write->error = error;
	for (size_t i = 0; i < write->count && error == ERR_NONE &&
	     !write->closed; i++)
		log_replay(coord, (size_t)write->base_offset + i, false);
	write->done(write);
}

static void
end_one(void *arg)
{
	struct coord *coord = arg;

	fake_coord_end(coord, coord->outcome);
}

void
coord_append(struct coord_shard *shard, struct coord_write *write)
{
	struct coord *coord = container_of(shard, struct coord, shard);

	CHECK(coord->write_count < FAKE_WRITES_MAX && write->count > 0);
	if (coord->appending != NULL)
		coord->appending(coord->appending_arg);
	write->base_offset = (int64_t)coord->log_count;
	for (size_t i = 0; i < write->count; i++)
		fake_coord_put(coord, write->entries[i].key,
		    write->entries[i].value,
		    write->transactional ? write->producer_id : -1);
	coord->writes[coord->write_count++] = write;
	coord->batches++;
	if (!coord->hold)
		loop_post_call(shard->loop, end_one, coord);
}
