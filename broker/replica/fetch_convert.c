/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fetch, versions 0 to 3: what lies in the log becomes messages of magic 0, 1.
 *
 *	extent of a file   [batch][batch][batch][ba
 *	converted          [messages..][wrapper]         at most `limit` bytes
 *
 * Kafka promises as many bytes as it read, converts while it sends, and fills
 * up with a message that is cut short (KIP-283).  Here an answer is converted
 * before it is sent, on a worker, and holds no more than FETCH_CONVERTED_MAX:
 * a consumer goes on from the last message that it got.  So the size is known,
 * and nothing is to be filled up.  As in Kafka there is no more than was read,
 * but for the first batch, which comes whole; and one that holds nothing for
 * these consumers is answered with the head of a message that never comes.
 */
#include "replica/fetch_int.h"

#include "base/bytes.h"
#include "base/mem.h"
#include "config/topic.h"

/* Converted bytes of one answer, shared out among its partitions, each of which
 * gets one batch, and so many bytes, in any case. */
#define FETCH_CONVERTED_MAX ((size_t)4 << 20)
#define FETCH_SHARE_LEAST ((size_t)128 << 10)
/* What is read of a file at once, unless one batch is larger. */
#define FETCH_WINDOW_BYTES ((size_t)128 << 10)
/* One batch, unpacked: what a produce may bring. */
#define FETCH_UNPACKED_MAX ((size_t)256 << 20)

/* --- bytes in memory, as a blob ------------------------------------------- */

struct converted {
	struct blob blob; /* first */
	struct buffer bytes;
};

static ssize_t
converted_read_at(struct blob *blob, void *to, size_t size, int64_t position)
{
	const struct converted *c = (const void *)blob;
	size_t left = position < 0 || (uint64_t)position > c->bytes.length
	    ? 0
	    : c->bytes.length - (size_t)position;

	if (size > left)
		size = left;
	if (size > 0)
		memcpy(to, c->bytes.data + position, size);
	return ((ssize_t)size);
}

static int
converted_descriptor(struct blob *blob)
{
	(void)blob;
	return (-1);
}

static void
converted_release(struct blob *blob)
{
	struct converted *c = (void *)blob;

	buffer_fini(&c->bytes);
	mem_free(c);
}

static const struct blob_ops converted_ops = {
	.read_at = converted_read_at,
	.descriptor = converted_descriptor,
	.release = converted_release,
};

/* --- one part ------------------------------------------------------------- */

struct conversion {
	const struct fetch *fetch;
	struct fetch_part *part;
	size_t share;      /* of FETCH_CONVERTED_MAX */
	size_t first_size; /* of the first batch that gave something */
	struct buffer window;
	struct buffer out;
	int64_t count;     /* of records converted */
	bool any;          /* whole batches were seen */
	enum error error;
};

/* The most that is answered. */
static size_t
conversion_limit(const struct conversion *c)
{
	return (c->part->extent.length > c->first_size
		? c->part->extent.length
		: c->first_size);
}

static bool
conversion_enough(const struct conversion *c)
{
	return (c->out.length > 0 &&
	    (c->out.length >= c->share ||
		c->out.length >= conversion_limit(c)));
}

/* False: no further one. */
static bool
convert_batch(struct conversion *c, const struct batch *batch)
{
	int32_t count;

	c->any = true;
	c->error = record_down_convert(batch, c->fetch->magic,
	    c->part->fetch_offset, FETCH_UNPACKED_MAX, &c->out, &count);
	if (c->error != ERR_NONE)
		return (false);
	c->count += count;
	if (c->first_size == 0)
		c->first_size = c->out.length;
	return (!conversion_enough(c));
}

/* Fills the window from there on, with `size` bytes. */
static bool
convert_read(struct conversion *c, size_t at, size_t size)
{
	struct blob *blob = c->part->extent.blob;
	size_t have = 0;

	c->window.length = 0;
	buffer_reserve(&c->window, size);
	while (have < size) {
		ssize_t got = blob->ops->read_at(blob, c->window.data + have,
		    size - have,
		    c->part->extent.position + (int64_t)(at + have));

		if (got <= 0)
			break;
		have += (size_t)got;
	}
	c->window.length = have;
	if (have < size)
		c->error = ERR_KAFKA_STORAGE_ERROR;
	return (have == size);
}

static void
convert_extent(struct conversion *c)
{
	size_t length = c->part->extent.length;
	size_t size = FETCH_WINDOW_BYTES;
	size_t at = 0;

	while (at < length) {
		struct slice rest;
		struct batch batch;
		enum batch_walk found;
		size_t used;

		if (size > length - at)
			size = length - at;
		if (!convert_read(c, at, size))
			return;
		rest = buffer_slice(&c->window);
		while ((found = batch_next(&rest, &batch)) == BATCH_OK)
			if (!convert_batch(c, &batch))
				return;
		if (found == BATCH_CORRUPT) {
			c->error = ERR_CORRUPT_MESSAGE;
			return;
		}
		used = size - rest.length;
		at += used;
		/* The next one is cut short by the window, or for good. */
		size = FETCH_WINDOW_BYTES;
		if (found == BATCH_PARTIAL && rest.length >= BATCH_PEEK_SIZE &&
		    (size_t)batch.size > size)
			size = (size_t)batch.size;
		if (size > length - at && used == 0)
			return;
	}
}

/* Whole messages, as many as the limit has room for. */
static void
conversion_trim(struct conversion *c)
{
	size_t limit = conversion_limit(c);
	struct slice rest;
	struct batch message;

	if (c->out.length <= limit)
		return;
	rest = slice_of(c->out.data, limit);
	while (batch_next(&rest, &message) == BATCH_OK)
		continue;
	c->out.length = limit - rest.length;
}

/* There are batches, but nothing in them that these consumers could be told:
 * the head of a message that is longer than the answer, as from Kafka. */
static void
conversion_say_nothing(struct conversion *c)
{
	uint8_t *head = buffer_extend(&c->out, BATCH_LOG_OVERHEAD);

	bytes_put_i64(head, -1);
	bytes_put_i32(head + 8, BATCH_HEADER_SIZE);
}

static void
convert_part(const struct fetch *f, struct fetch_part *part, size_t share)
{
	struct conversion c = { .fetch = f, .part = part, .share = share };
	struct converted *made;

	convert_extent(&c);
	buffer_fini(&c.window);
	/* What was made before an error is sent; it will be met again. */
	if (c.error != ERR_NONE && c.out.length == 0) {
		part->error = c.error;
		fetch_part_fail(part);
		buffer_fini(&c.out);
		return;
	}
	conversion_trim(&c);
	if (c.out.length == 0 && c.any)
		conversion_say_nothing(&c);
	blob_unref(part->extent.blob);
	part->extent = (struct extent){ 0 };
	if (c.count > 0) {
		traffic_add(&part->replica->traffic.fetch_conversions,
		    (uint64_t)c.count);
		metrics_add(f->replicas->setup.metrics,
		    METRIC_FETCH_CONVERSIONS, c.count);
	}
	if (c.out.length == 0) {
		buffer_fini(&c.out);
		return;
	}
	made = mem_zalloc(sizeof(*made));
	blob_init(&made->blob, &converted_ops);
	made->bytes = c.out;
	part->extent = (struct extent){ .blob = &made->blob,
		.length = c.out.length };
}

void
fetch_convert_all(struct fetch *f)
{
	size_t count = 0, share;

	for (size_t i = 0; i < f->part_count; i++)
		count += f->parts[i].extent.blob != NULL;
	share = count == 0 ? 0 : FETCH_CONVERTED_MAX / count;
	if (share < FETCH_SHARE_LEAST)
		share = FETCH_SHARE_LEAST;
	for (size_t i = 0; i < f->part_count; i++)
		if (f->parts[i].extent.blob != NULL)
			convert_part(f, &f->parts[i], share);
}

/* --- what is refused ------------------------------------------------------ */

static enum error
fetch_refusal(const struct fetch *f, const struct replica *replica)
{
	const struct topic_config *config = configs_topic(
	    f->replicas->setup.configs, replica->topic);
	const struct topic_options *options = config->options;
	enum error error = ERR_NONE;

	if (f->refuses_zstd && options->codec == CODEC_ZSTD)
		error = ERR_UNSUPPORTED_COMPRESSION_TYPE;
	else if (f->converts && f->replica_id < 0 &&
	    !options->message_downconversion_enable)
		error = ERR_UNSUPPORTED_VERSION;
	topic_config_unref(config);
	return (error);
}

bool
fetch_must_convert(struct fetch *f)
{
	bool any = false;

	if (!f->converts && !f->refuses_zstd)
		return (false);
	for (size_t i = 0; i < f->part_count; i++) {
		struct fetch_part *part = &f->parts[i];
		enum error error;

		/* Where there is no log, Kafka asks no configuration. */
		if (part->replica == NULL ||
		    replica_log(part->replica) == NULL)
			continue;
		error = fetch_refusal(f, part->replica);
		if (error != ERR_NONE) {
			part->error = error;
			fetch_part_fail(part);
		}
		any |= part->extent.blob != NULL;
	}
	return (any && f->converts);
}
