/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/epochs.h"

#include <inttypes.h>

#include "base/check.h"
#include "base/mem.h"
#include "storage/checkpoint.h"

void
epochs_fini(struct epochs *epochs)
{
	mem_free(epochs->items);
	*epochs = (struct epochs){ 0 };
}

void
epochs_copy(struct epochs *to, const struct epochs *from)
{
	*to = (struct epochs){ .count = from->count, .capacity = from->count };
	if (from->count == 0)
		return;
	to->items = mem_alloc(from->count * sizeof(*to->items));
	memcpy(to->items, from->items, from->count * sizeof(*to->items));
}

static void
epochs_push(struct epochs *epochs, int32_t epoch, int64_t start_offset)
{
	if (epochs->count == epochs->capacity) {
		epochs->capacity = epochs->capacity == 0 ? 8
							 : epochs->capacity * 2;
		epochs->items = mem_realloc(epochs->items,
		    epochs->capacity * sizeof(*epochs->items));
	}
	epochs->items[epochs->count++] = (struct epoch_entry){
		.epoch = epoch,
		.start_offset = start_offset,
	};
}

bool
epochs_lacks(const struct epochs *epochs, int32_t epoch, int64_t start_offset)
{
	const struct epoch_entry *last;

	if (epoch < 0)
		return (false);
	if (epochs->count == 0)
		return (true);
	last = &epochs->items[epochs->count - 1];
	return (epoch != last->epoch || start_offset < last->start_offset);
}

void
epochs_assign(struct epochs *epochs, int32_t epoch, int64_t start_offset)
{
	while (epochs->count > 0 &&
	    (epochs->items[epochs->count - 1].epoch >= epoch ||
		epochs->items[epochs->count - 1].start_offset >= start_offset))
		epochs->count--;
	epochs_push(epochs, epoch, start_offset);
}

bool
epochs_cut_end(struct epochs *epochs, int64_t end_offset)
{
	size_t before = epochs->count;

	while (epochs->count > 0 &&
	    epochs->items[epochs->count - 1].start_offset >= end_offset)
		epochs->count--;
	return (epochs->count != before);
}

bool
epochs_cut_start(struct epochs *epochs, int64_t start_offset)
{
	size_t below = 0;

	while (below < epochs->count &&
	    epochs->items[below].start_offset <= start_offset)
		below++;
	if (below == 0 ||
	    (below == 1 && epochs->items[0].start_offset == start_offset))
		return (false);
	/* The last one below is the epoch of what begins there now. */
	below--;
	memmove(epochs->items, epochs->items + below,
	    (epochs->count - below) * sizeof(*epochs->items));
	epochs->count -= below;
	epochs->items[0].start_offset = start_offset;
	return (true);
}

struct log_epoch_end
epochs_end_of(const struct epochs *epochs, int32_t epoch, int64_t end_offset)
{
	size_t higher = 0;

	if (epoch == -1 || epochs->count == 0 || epoch > epochs_latest(epochs))
		return ((struct log_epoch_end){ -1, -1 });
	if (epoch == epochs_latest(epochs))
		return ((struct log_epoch_end){ epoch, end_offset });
	while (epochs->items[higher].epoch <= epoch)
		higher++;
	return ((struct log_epoch_end){
	    higher == 0 ? epoch : epochs->items[higher - 1].epoch,
	    epochs->items[higher].start_offset });
}

int32_t
epochs_of_offset(const struct epochs *epochs, int64_t offset)
{
	for (size_t i = epochs->count; i > 0; i--)
		if (epochs->items[i - 1].start_offset <= offset)
			return (epochs->items[i - 1].epoch);
	return (-1);
}

int32_t
epochs_latest(const struct epochs *epochs)
{
	return (epochs->count == 0 ? -1
				   : epochs->items[epochs->count - 1].epoch);
}

void
epochs_encode(const struct epochs *epochs, struct buffer *out)
{
	buffer_printf(out, "0\n%zu\n", epochs->count);
	for (size_t i = 0; i < epochs->count; i++)
		buffer_printf(out, "%" PRId32 " %" PRId64 "\n",
		    epochs->items[i].epoch, epochs->items[i].start_offset);
}

static bool
epochs_decode_row(void *arg, struct slice *fields)
{
	int32_t epoch;
	int64_t start_offset;

	if (!text_to_int32(fields[0], &epoch) ||
	    !text_to_int64(fields[1], &start_offset) || epoch < 0 ||
	    start_offset < 0)
		return (false);
	epochs_assign(arg, epoch, start_offset);
	return (true);
}

bool
epochs_decode(struct epochs *epochs, struct slice text)
{
	return (checkpoint_decode(text, 2, epochs_decode_row, epochs));
}
