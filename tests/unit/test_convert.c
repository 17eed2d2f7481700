/* SPDX-License-Identifier: Apache-2.0 */
/* Message sets of magic 0 and 1 as one batch.  What the real Kafka makes of
 * many more of them: tests/functional/test_produce_old.py. */
#include <limits.h>
#include <string.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/mem.h"
#include "record/record.h"
#include "unit.h"

#define NOW 1700000000000

struct message {
	const char *key; /* NULL: null */
	const char *value;
	int64_t offset;
	int64_t timestamp_ms; /* of magic 1 */
	int attributes;
	int8_t magic;
};

static struct record_rules
rules_now(void)
{
	return ((struct record_rules){
	    .max_message_bytes = 1 << 20,
	    .segment_bytes = 1 << 20,
	    .timestamp_before_max_ms = INT64_MAX,
	    .timestamp_after_max_ms = INT64_MAX,
	    .now_ms = NOW,
	    .decompressed_limit_bytes = 1 << 20,
	});
}

static void
put_field(struct buffer *out, struct slice bytes)
{
	uint8_t *size = buffer_extend(out, 4);

	bytes_put_i32(size, bytes.data == NULL ? -1 : (int32_t)bytes.length);
	buffer_append_slice(out, bytes);
}

static void
put_bytes(struct buffer *out, const struct message *m, struct slice value)
{
	size_t start = out->length;
	size_t head = m->magic == 1 ? 26 : 18;
	uint8_t *at;

	memset(buffer_extend(out, head), 0, head);
	put_field(out, slice_of_text(m->key));
	put_field(out, value);
	at = out->data + start;
	bytes_put_i64(at, m->offset);
	bytes_put_i32(at + 8, (int32_t)(out->length - start) - 12);
	at[16] = (uint8_t)m->magic;
	at[17] = (uint8_t)m->attributes;
	if (m->magic == 1)
		bytes_put_i64(at + 18, m->timestamp_ms);
	bytes_put_u32(at + 12,
	    crc32_gzip_of(0, at + 16, out->length - start - 16));
}

static void
put(struct buffer *out, struct message m)
{
	put_bytes(out, &m, slice_of_text(m.value));
}

/* What is there becomes one wrapper. */
static void
wrap(struct buffer *set, struct message wrapper)
{
	struct buffer packed = BUFFER_EMPTY;

	CU_ASSERT_EQUAL_FATAL(
	    codec_compress((enum codec)(wrapper.attributes & 7), INT_MIN,
		buffer_slice(set), &packed),
	    ERR_NONE);
	set->length = 0;
	put_bytes(set, &wrapper, buffer_slice(&packed));
	buffer_fini(&packed);
}

static struct buffer
three(int8_t magic, enum codec codec)
{
	struct buffer set = BUFFER_EMPTY;

	put(&set, (struct message){ "k", "one", 0, NOW - 5, 0, magic });
	put(&set, (struct message){ NULL, "two", 1, NOW + 9, 0, magic });
	put(&set, (struct message){ "k", NULL, 2, NOW - 7, 0, magic });
	if (codec != CODEC_NONE)
		wrap(&set, (struct message){ .offset = 2, .magic = magic,
		    .timestamp_ms = NOW + 9, .attributes = (int)codec });
	return (set);
}

static enum error
convert_flawed(const struct record_rules *rules, const struct buffer *set,
    enum record_flaw *flaw)
{
	struct record_verdict verdict;
	struct buffer out = BUFFER_EMPTY;

	record_convert(rules, buffer_slice(set), &out, &verdict);
	CU_ASSERT(verdict.error != ERR_NONE || out.length > BATCH_HEADER_SIZE);
	buffer_fini(&out);
	*flaw = verdict.flaw;
	return (verdict.error);
}

static enum error
convert(const struct record_rules *rules, const struct buffer *set)
{
	enum record_flaw flaw;

	return (convert_flawed(rules, set, &flaw));
}

/* --- tests ---------------------------------------------------------------- */

static void
check_three(const struct batch *batch, int64_t base_offset, int8_t magic)
{
	static const char *const keys[] = { "k", NULL, "k" };
	static const char *const values[] = { "one", "two", NULL };
	static const int64_t times[] = { NOW - 5, NOW + 9, NOW - 7 };
	struct record_reader *reader;
	struct record record;

	CU_ASSERT_EQUAL_FATAL(record_reader_new(batch, 1 << 20, &reader),
	    ERR_NONE);
	for (int i = 0; i < 3; i++) {
		CU_ASSERT_EQUAL(record_reader_next(reader, &record), 1);
		CU_ASSERT_EQUAL(record.offset, base_offset + i);
		CU_ASSERT_EQUAL(record.timestamp_ms,
		    magic == 0 ? -1 : times[i]);
		CU_ASSERT(slice_equal(record.key, slice_of_text(keys[i])));
		CU_ASSERT_EQUAL(record.key.data == NULL, keys[i] == NULL);
		CU_ASSERT(slice_equal(record.value, slice_of_text(values[i])));
		CU_ASSERT_EQUAL(record.value.data == NULL, values[i] == NULL);
		CU_ASSERT_EQUAL(record.header_count, 0);
	}
	CU_ASSERT_EQUAL(record_reader_next(reader, &record), 0);
	record_reader_free(&reader);
}

static void
test_converts(void)
{
	struct record_rules rules = rules_now();

	for (int codec = CODEC_NONE; codec < CODEC_ZSTD; codec++)
		for (int8_t magic = 0; magic < 2; magic++) {
			struct buffer set = three(magic, (enum codec)codec);
			struct buffer out = BUFFER_EMPTY;
			struct record_verdict verdict;
			struct slice rest;
			struct batch batch;

			record_convert(&rules, buffer_slice(&set), &out,
			    &verdict);
			CU_ASSERT_EQUAL_FATAL(verdict.error, ERR_NONE);
			CU_ASSERT_EQUAL(verdict.batch.record_count, 3);
			CU_ASSERT_EQUAL(verdict.max_timestamp_ms,
			    magic == 0 ? -1 : NOW + 9);
			record_stamp(&rules, &verdict, out.data, 100, 6);
			rest = buffer_slice(&out);
			CU_ASSERT_EQUAL(batch_next(&rest, &batch), BATCH_OK);
			CU_ASSERT_EQUAL(rest.length, 0);
			CU_ASSERT(batch_crc_good(&batch));
			CU_ASSERT_EQUAL(batch.attributes, codec);
			CU_ASSERT_EQUAL(batch.leader_epoch, 6);
			CU_ASSERT_EQUAL(batch.last_offset, 102);
			CU_ASSERT_EQUAL(batch.producer_id, -1);
			CU_ASSERT_EQUAL(batch.producer_epoch, -1);
			CU_ASSERT_EQUAL(batch.base_sequence, -1);
			CU_ASSERT_EQUAL(batch.base_timestamp_ms,
			    magic == 0 ? -1 : NOW - 5);
			check_three(&batch, 100, magic);
			buffer_fini(&set);
			buffer_fini(&out);
		}
}

static void
test_append_time(void)
{
	struct record_rules rules = rules_now();
	struct buffer set = three(0, CODEC_GZIP);
	struct buffer out = BUFFER_EMPTY;
	struct record_verdict verdict;
	struct slice rest;
	struct batch batch;

	rules.log_append_time = true;
	record_convert(&rules, buffer_slice(&set), &out, &verdict);
	CU_ASSERT_EQUAL_FATAL(verdict.error, ERR_NONE);
	CU_ASSERT_EQUAL(verdict.max_timestamp_ms, NOW);
	record_stamp(&rules, &verdict, out.data, 0, 0);
	rest = buffer_slice(&out);
	CU_ASSERT_EQUAL(batch_next(&rest, &batch), BATCH_OK);
	CU_ASSERT(batch_crc_good(&batch));
	CU_ASSERT_EQUAL(batch.attributes,
	    CODEC_GZIP | BATCH_ATTR_LOG_APPEND_TIME);
	CU_ASSERT_EQUAL(batch.max_timestamp_ms, NOW);
	set.length = 0;
	put(&set, (struct message){ "k", "v", 0, NOW, 8, 1 });
	CU_ASSERT_EQUAL(convert(&rules, &set), ERR_INVALID_TIMESTAMP);
	rules.log_append_time = false;
	CU_ASSERT_EQUAL(convert(&rules, &set), ERR_NONE);
	buffer_fini(&set);
	buffer_fini(&out);
}

/* On a compacted topic, plain and wrapped. */
static void
test_keys(void)
{
	struct record_rules rules = rules_now();

	rules.timestamp_after_max_ms = 1000;
	for (int codec = CODEC_NONE; codec < CODEC_SNAPPY; codec++)
		for (int8_t magic = 0; magic < 2; magic++) {
			struct message wrapper = { .magic = magic,
				.timestamp_ms = NOW, .attributes = codec };
			struct buffer set = three(magic, (enum codec)codec);
			enum record_flaw flaw;

			rules.compacted = false;
			CU_ASSERT_EQUAL(convert(&rules, &set), ERR_NONE);
			rules.compacted = true;
			CU_ASSERT_EQUAL(convert_flawed(&rules, &set, &flaw),
			    ERR_INVALID_RECORD);
			CU_ASSERT_EQUAL(flaw, RECORD_FLAW_NO_KEY);
			set.length = 0;
			put(&set, (struct message){ NULL, "v", 0, NOW, 0,
			    magic });
			put(&set, (struct message){ "k", "v", 1, NOW + 2000,
			    0, magic });
			if (codec != CODEC_NONE)
				wrap(&set, wrapper);
			/* The first message's fault; of a wrapper, the time. */
			CU_ASSERT_EQUAL(convert(&rules, &set),
			    codec != CODEC_NONE && magic == 1
				? ERR_INVALID_TIMESTAMP
				: ERR_INVALID_RECORD);
			set.length = 0;
			put(&set, (struct message){ "", "v", 0, NOW, 0,
			    magic });
			if (codec != CODEC_NONE)
				wrap(&set, wrapper);
			CU_ASSERT_EQUAL(convert(&rules, &set), ERR_NONE);
			buffer_fini(&set);
		}
}

static void
test_bounds(void)
{
	struct record_rules rules = rules_now();
	struct buffer plain = three(1, CODEC_NONE);
	struct buffer packed = three(1, CODEC_LZ4);

	rules.decompressed_limit_bytes = plain.length - 1;
	CU_ASSERT_EQUAL(convert(&rules, &plain), ERR_NONE);
	CU_ASSERT_EQUAL(convert(&rules, &packed), ERR_MESSAGE_TOO_LARGE);
	rules.decompressed_limit_bytes++;
	CU_ASSERT_EQUAL(convert(&rules, &packed), ERR_NONE);
	/* Each message is smaller, the batch of all is not. */
	rules.max_message_bytes = 60;
	CU_ASSERT_EQUAL(convert(&rules, &plain), ERR_MESSAGE_TOO_LARGE);
	rules = rules_now();
	rules.segment_bytes = 89;
	CU_ASSERT_EQUAL(convert(&rules, &plain), ERR_RECORD_LIST_TOO_LARGE);
	rules.segment_bytes = 90;
	CU_ASSERT_EQUAL(convert(&rules, &plain), ERR_NONE);
	buffer_fini(&plain);
	buffer_fini(&packed);
}

/* Cut anywhere, and each byte changed: nothing but an answer comes of it, and
 * what is let in is a good batch. */
static void
test_damage(void)
{
	struct record_rules rules = rules_now();

	for (int codec = CODEC_NONE; codec < CODEC_ZSTD; codec++) {
		struct buffer set = three(1, (enum codec)codec);
		struct slice rest = buffer_slice(&set);
		struct batch first;

		CU_ASSERT_EQUAL(batch_next(&rest, &first), BATCH_OK);
		for (size_t i = (size_t)first.size; i < set.length; i++) {
			struct buffer cut = { set.data, i, i };

			CU_ASSERT_EQUAL(convert(&rules, &cut), ERR_NONE);
		}
		for (size_t i = 0; i < set.length; i++) {
			/* Not those that make the first no message. */
			if (i >= 8 && i < 17)
				continue;
			set.data[i] ^= 0x41;
			if (i >= 17 && i < (size_t)first.size) {
				CU_ASSERT_EQUAL(convert(&rules, &set),
				    ERR_CORRUPT_MESSAGE);
			} else
				(void)convert(&rules, &set);
			set.data[i] ^= 0x41;
		}
		buffer_fini(&set);
	}
}

static const struct unit_test tests[] = {
	{ "each magic and codec becomes a batch", test_converts },
	{ "append time", test_append_time },
	{ "compacted topics want keys", test_keys },
	{ "sizes are bounded", test_bounds },
	{ "damage is answered", test_damage },
};

int
main(void)
{
	return (unit_main("convert", tests, nelems(tests)));
}
