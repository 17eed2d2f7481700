/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Produce: what becomes of a part's records before they are appended.
 *
 *	batch of magic 2   --validate--------------> as it lies in the frame
 *	                   --validate, rebuild-----> a new batch, another codec
 *	message set (0-2)  --convert---------------> a new batch
 *
 * On the loop this is bounded in time: what is compressed may unpack to some
 * hundred times its size, so the loop gives up after a bound and a worker
 * begins anew; what is large, or has to be compressed, goes to a worker at
 * once: to one that does nothing else and so never waits for a disk.  While it
 * is at it, the connection's next request waits, or it might be appended first.
 */
#include "replica/produce_int.h"

#include "base/bytes.h"
#include "base/mem.h"

/* Bytes that one batch may be when decompressed. */
#define PRODUCE_DECOMPRESSED_MAX ((size_t)256 << 20)
/* One that is made anew is held in memory whole, and twice. */
#define PRODUCE_CONVERTED_MAX ((size_t)64 << 20)
/* What a loop looks at of a compressed batch: its size, and that unpacked. */
#define PRODUCE_CHECKED_ON_LOOP ((size_t)256 << 10)
#define PRODUCE_UNPACKED_ON_LOOP ((size_t)1 << 20)
/* Of plain records that stay plain, what a loop makes anew. */
#define PRODUCE_CONVERTED_ON_LOOP ((size_t)16 << 10)
/* Words about records at fault, until the answer. */
#define PRODUCE_FAULTS_MAX ((size_t)16 << 20)

static bool
produce_is_batch(const struct produce_part *part)
{
	return (part->state->append.verdict.batch.magic == 2);
}

/* --- the work ------------------------------------------------------------- */

static void
produce_validate(struct produce *p, struct produce_part *part,
    struct arena *arena)
{
	struct append *append = &part->state->append;

	/* The pool of them is shared by all loops. */
	if (batch_codec(&append->verdict.batch) != CODEC_NONE)
		append->rules.scratch = replicas_scratch_take(p->replicas);
	record_check(&append->rules, arena, &append->verdict);
	if (append->rules.scratch != NULL)
		replicas_scratch_give(p->replicas, append->rules.scratch);
	append->rules.scratch = NULL;
	append->error = append->verdict.error;
	part->error_message = append->verdict.message;
	part->faults = append->verdict.faults;
	part->fault_count = append->verdict.fault_count;
}

/* `converted` is to be appended, if it is good. */
static void
produce_take_converted(struct produce_part *part)
{
	struct append *append = &part->state->append;

	append->bytes = part->state->converted.data;
	append->error = append->verdict.error;
	if (append->error == ERR_NONE)
		part->state->converted_count =
		    append->verdict.batch.record_count;
}

static void
produce_rebuild(struct produce_part *part)
{
	struct append *append = &part->state->append;

	if (append->error != ERR_NONE || !append->verdict.rebuild)
		return;
	append->rules.decompressed_limit_bytes = PRODUCE_CONVERTED_MAX;
	record_rebuild(&append->rules, &part->state->converted,
	    &append->verdict);
	produce_take_converted(part);
}

static void
produce_convert(struct produce_part *part)
{
	struct append *append = &part->state->append;

	append->rules.decompressed_limit_bytes = PRODUCE_CONVERTED_MAX;
	record_convert(&append->rules, slice_of(part->bytes, part->size),
	    &part->state->converted, &append->verdict);
	produce_take_converted(part);
}

/* --- on a worker ---------------------------------------------------------- */

static void
produce_prepare_run(struct work *work)
{
	struct produce_part_int *state = container_of(work,
	    struct produce_part_int, prepare);
	struct produce_part *part = state->part;
	struct produce *p = state->append.owner;

	if (!produce_is_batch(part)) {
		produce_convert(part);
		return;
	}
	/* The request's arena is the loop's. */
	state->faults = mem_alloc(sizeof(*state->faults));
	arena_init(state->faults, PRODUCE_FAULTS_MAX);
	state->append.rules.decompressed_limit_bytes =
	    PRODUCE_DECOMPRESSED_MAX;
	produce_validate(p, part, state->faults);
	produce_rebuild(part);
}

/* Back on the loop: an append may wait for a disk, and those who prepare must
 * not. The outstanding one that stands for this is given back last. */
static void
produce_prepare_done(struct work *work)
{
	struct produce_part_int *state = container_of(work,
	    struct produce_part_int, prepare);

	produce_submit(state->append.owner, state->part);
	produce_append_done(&state->append);
}

static void
produce_prepare_later(struct produce *p, struct produce_part *part)
{
	struct produce_part_int *state = part->state;

	state->part = part;
	state->prepare.run = produce_prepare_run;
	state->prepare.done = produce_prepare_done;
	state->prepare.home = p->loop;
	atomic_fetch_add(&p->state->outstanding, 1);
	if (p->held != NULL)
		p->held(p);
	work_submit(p->replicas->records, &state->prepare);
}

/* --- on the loop ---------------------------------------------------------- */

/* The size of the batch was looked at before what it unpacks to. */
static bool
produce_unpacks_to_more(const struct append *append)
{
	return (append->verdict.error == ERR_MESSAGE_TOO_LARGE &&
	    append->verdict.batch.size <= append->rules.max_message_bytes);
}

static void
produce_take_batch(struct produce *p, struct produce_part *part)
{
	struct append *append = &part->state->append;
	enum codec codec = batch_codec(&append->verdict.batch);
	bool plain = codec == CODEC_NONE;
	bool rebuild = append->rules.codec_fixed &&
	    append->rules.codec != codec;

	if (rebuild || (!plain && part->size > PRODUCE_CHECKED_ON_LOOP)) {
		produce_prepare_later(p, part);
		return;
	}
	append->rules.decompressed_limit_bytes = PRODUCE_UNPACKED_ON_LOOP;
	produce_validate(p, part, p->arena);
	if (!plain && produce_unpacks_to_more(append))
		produce_prepare_later(p, part);
	else
		produce_submit(p, part);
}

void
produce_take_records(struct produce *p, struct produce_part *part)
{
	struct append *append = &part->state->append;
	if (p->api_version < PRODUCE_BATCH_VERSION &&
	    append->verdict.first != BATCH_OK) {
		part->state->nothing = true;
		return;
	}
	/* From version 3 on the form was checked. */
	if (produce_is_batch(part))
		produce_take_batch(p, part);
	else if (batch_codec(&append->verdict.batch) == CODEC_NONE &&
	    (!append->rules.codec_fixed ||
		append->rules.codec == CODEC_NONE) &&
	    part->size < PRODUCE_CONVERTED_ON_LOOP) {
		produce_convert(part);
		produce_submit(p, part);
	} else
		produce_prepare_later(p, part);
}

/* Copies what a worker said, or drops it where the request has no room. */
static void
produce_take_faults(struct produce *p, struct produce_part *part)
{
	struct record_fault *faults = arena_array(p->arena,
	    (size_t)part->fault_count, sizeof(*faults));

	for (int32_t i = 0; faults != NULL && i < part->fault_count; i++)
		faults[i] = (struct record_fault){
			.batch_index = part->faults[i].batch_index,
			.message = part->faults[i].message == NULL
			    ? NULL
			    : arena_strdup(p->arena, part->faults[i].message),
		};
	if (faults == NULL)
		part->fault_count = 0;
	part->faults = faults;
	if (part->error_message != NULL)
		part->error_message = arena_strdup(p->arena,
		    part->error_message);
}

void
produce_records_end(struct produce *p, struct produce_part *part)
{
	struct produce_part_int *state = part->state;

	buffer_fini(&state->converted);
	state->converted = BUFFER_EMPTY;
	if (state->faults == NULL)
		return;
	if (part->fault_count > 0 || part->error_message != NULL)
		produce_take_faults(p, part);
	arena_fini(state->faults);
	mem_free(state->faults);
	state->faults = NULL;
}
