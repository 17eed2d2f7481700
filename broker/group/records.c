/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records of __consumer_offsets.  Key and value begin with a version of two
 * bytes, each of its own:
 *
 *	key     0, 1  offset: group, topic, partition      2  group
 *	value   0 - 4 of an offset                         0 - 4 of a group
 *
 * Written are keys 1 and 2 and values of version 3; version 1 of an offset's
 * where it has a time of its own to expire, which no other version can tell.
 * Source: GroupMetadataManager of Kafka 3.9.
 */
#include "base/bytes.h"
#include "group/offsets_int.h"

enum {
	KEY_OFFSET_HIGHEST = 1,
	KEY_GROUP_VERSION = 2,
	VALUE_VERSION = 3,
	VALUE_EXPIRES_VERSION = 1
};

/* Takes the version off the front. */
static bool
record_version(struct slice *bytes, int *version)
{
	if (bytes->data == NULL || bytes->length < 2)
		return (false);
	*version = bytes_get_i16(bytes->data);
	*bytes = slice_of(bytes->data + 2, bytes->length - 2);
	return (true);
}

static bool
key_read_offset(struct slice body, int version, struct group_key *out)
{
	struct offset_commit_key key;

	if (wire_decode(&message_offset_commit_key, version, body, NULL, &key,
		NULL) != WIRE_OK)
		return (false);
	*out = (struct group_key){
		.kind = KEY_OFFSET,
		.group = key.group,
		.topic = key.topic,
		.partition = key.partition,
	};
	return (true);
}

bool
group_key_read(struct slice bytes, struct group_key *out)
{
	struct group_metadata_key key;
	int version;

	if (!record_version(&bytes, &version))
		return (false);
	if (version >= 0 && version <= KEY_OFFSET_HIGHEST)
		return (key_read_offset(bytes, version, out));
	*out = (struct group_key){ .kind = KEY_UNKNOWN };
	if (version != KEY_GROUP_VERSION)
		return (true);
	if (wire_decode(&message_group_metadata_key, version, bytes, NULL,
		&key, NULL) != WIRE_OK)
		return (false);
	out->kind = KEY_GROUP;
	out->group = key.group;
	return (true);
}

bool
group_value_read_offset(struct slice bytes, struct group_offset *out)
{
	struct offset_commit_value value;
	int version;

	if (!record_version(&bytes, &version) ||
	    wire_decode(&message_offset_commit_value, version, bytes, NULL,
		&value, NULL) != WIRE_OK)
		return (false);
	*out = (struct group_offset){
		.offset = value.offset,
		.leader_epoch = value.leader_epoch,
		.metadata = value.metadata.data == NULL ? SLICE_EMPTY :
							  value.metadata,
		.commit_ms = value.commit_timestamp,
		.expire_ms = value.expire_timestamp,
	};
	return (true);
}

bool
group_value_read_group(struct slice bytes, struct arena *arena,
    struct group_metadata_value *out)
{
	int version;

	if (!record_version(&bytes, &version) ||
	    wire_decode(&message_group_metadata_value, version, bytes, arena,
		out, NULL) != WIRE_OK)
		return (false);
	/* The first version had one time-out for both. */
	for (int32_t i = 0; version == 0 && i < out->members_count; i++)
		out->members[i].rebalance_timeout =
		    out->members[i].session_timeout;
	return (true);
}

/* --- writing -------------------------------------------------------------- */

static bool
record_append(struct buffer *out, const struct message *message, int version,
    const void *object)
{
	const size_t before = out->length;

	bytes_put_i16(buffer_extend(out, 2), (int16_t)version);
	if (wire_encode_bytes(message, version, object, out) == WIRE_OK)
		return (true);
	out->length = before;
	return (false);
}

bool
group_append_group_key(struct buffer *out, struct slice group)
{
	return (record_append(out, &message_group_metadata_key,
	    KEY_GROUP_VERSION, &(struct group_metadata_key){ .group = group }));
}

bool
group_append_offset_key(struct buffer *out, struct slice group,
    struct slice topic, int32_t partition)
{
	return (record_append(out, &message_offset_commit_key,
	    KEY_OFFSET_HIGHEST, &(struct offset_commit_key){
		.group = group,
		.topic = topic,
		.partition = partition,
	    }));
}

bool
group_append_offset_value(struct buffer *out,
    const struct group_offset *offset)
{
	return (record_append(out, &message_offset_commit_value,
	    offset->expire_ms == -1 ? VALUE_VERSION : VALUE_EXPIRES_VERSION,
	    &(struct offset_commit_value){
		.offset = offset->offset,
		.leader_epoch = offset->leader_epoch,
		.metadata = offset->metadata,
		.commit_timestamp = offset->commit_ms,
		.expire_timestamp = offset->expire_ms,
	    }));
}

static struct slice
record_in_arena(struct arena *arena, const struct message *message,
    int version, const void *object)
{
	struct buffer bytes = BUFFER_EMPTY;
	struct slice record = SLICE_NULL;
	bool ok = true;

	if (record_append(&bytes, message, version, object))
		record = arena_slice_copy(arena, buffer_slice(&bytes), &ok);
	buffer_fini(&bytes);
	return (ok ? record : SLICE_NULL);
}

struct slice
group_key_of_group(struct arena *arena, struct slice group)
{
	return (record_in_arena(arena, &message_group_metadata_key,
	    KEY_GROUP_VERSION, &(struct group_metadata_key){ .group = group }));
}

struct slice
group_value_of_group(struct arena *arena,
    const struct group_metadata_value *value)
{
	return (record_in_arena(arena, &message_group_metadata_value,
	    VALUE_VERSION, value));
}

/* --- what an append's error means to who asked for it --------------------- */

static enum error
append_error(enum error appended)
{
	switch (appended) {
	case ERR_UNKNOWN_TOPIC_OR_PARTITION:
	case ERR_NOT_ENOUGH_REPLICAS:
	case ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND:
		return (ERR_COORDINATOR_NOT_AVAILABLE);
	case ERR_NOT_LEADER_OR_FOLLOWER:
	case ERR_KAFKA_STORAGE_ERROR:
		return (ERR_NOT_COORDINATOR);
	default:
		return (appended);
	}
}

static bool
append_was_too_large(enum error appended)
{
	return (appended == ERR_MESSAGE_TOO_LARGE ||
	    appended == ERR_RECORD_LIST_TOO_LARGE ||
	    appended == ERR_INVALID_FETCH_SIZE);
}

enum error
group_commit_error(enum error appended)
{
	if (append_was_too_large(appended))
		return (ERR_INVALID_COMMIT_OFFSET_SIZE);
	if (appended == ERR_NETWORK_EXCEPTION)
		return (ERR_COORDINATOR_LOAD_IN_PROGRESS);
	return (append_error(appended));
}

enum error
group_metadata_error(enum error appended)
{
	if (append_was_too_large(appended))
		return (ERR_UNKNOWN_SERVER_ERROR);
	if (appended == ERR_REQUEST_TIMED_OUT)
		return (ERR_REBALANCE_IN_PROGRESS);
	return (append_error(appended));
}
