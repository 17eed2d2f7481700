/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Kafka protocol's messages as C structs, and the one interpreter that
 * decodes and encodes every version of each.  The messages are rows in
 * messages/ *.def; messages.h makes structs of them, messages.c descriptors.
 *
 * Life of a request: net hands over a frame; wire_read_header() takes its head;
 * wire_decode() fills the struct.  Strings, bytes and records borrow the frame;
 * arrays come from the request's arena.  The reply is a struct that began with
 * wire_init() and goes through wire_encode() into a wire_out: bytes, with
 * extents of files between them.
 *
 * Null: a null array has count 0 and items NULL, an empty one items not NULL;
 * likewise strings and bytes (struct slice).
 * Source: KIP-482 (flexible versions), the schema tables of release 3.9.
 */
#ifndef WIRE_WIRE_H
#define WIRE_WIRE_H

#include "base/arena.h"
#include "base/blob.h"
#include "base/buffer.h"
#include "base/errors.h"
#include "base/slice.h"
#include "base/uuid.h"

struct schema;  /* descriptor of one struct */
struct message; /* descriptor of one message: schema, versions, API */

/* A field of type records: bytes in memory, or a part of a file. */
struct records {
	struct slice bytes;   /* when extent.blob is NULL; null is possible */
	struct extent extent; /* encode only */
};

enum wire_status {
	WIRE_OK = 0,
	WIRE_MALFORMED,  /* no such message: close the connection */
	WIRE_TOO_LARGE,  /* the arena's bound refused */
	WIRE_UNSUPPORTED /* encode: a value that this version cannot carry */
};

/* --- messages ------------------------------------------------------------- */

enum message_kind { MESSAGE_REQUEST, MESSAGE_RESPONSE, MESSAGE_DATA };

const char *message_name(const struct message *message);
enum message_kind message_kind(const struct message *message);
/* -1 for data. */
int message_api(const struct message *message);
/* The first and last version, and the first flexible one (INT16_MAX: never). */
int message_lowest(const struct message *message);
int message_highest(const struct message *message);
int message_flexible(const struct message *message);
/* sizeof the C struct */
size_t message_size(const struct message *message);
/* All messages; index from 0, NULL after the last. */
const struct message *message_at(size_t index);
const struct message *message_by_name(const char *name);

/* Every field at its default. Needed before a struct is filled to be encoded;
 * arrays from wire_array() have it done. */
void wire_init(const struct message *message, void *object);
/* `count` elements of an array field (or one for an OPTIONAL), from the arena,
 * each at its defaults. NULL: the arena refused.
 *	reply.topics = wire_array(arena, metadata_response_topic_schema(), n);
 */
void *wire_array(struct arena *arena, const struct schema *element,
    size_t count);

/* Bytes after the last field are ignored, as Java does, unless `left_over` is
 * given: it gets what follows. WIRE_UNSUPPORTED for a version that the message
 * does not have. After a failure the object holds nothing to be relied on. */
enum wire_status wire_decode(const struct message *message, int version,
    struct slice bytes, struct arena *arena, void *object,
    struct slice *left_over);

/* --- output --------------------------------------------------------------- */

/*
 * An encoded message: bytes, and extents that belong between them.
 *
 *	bytes    [....head....|..middle..|..tail..]
 *	extents            at^        at^
 */
struct wire_insert {
	size_t at; /* position in bytes that the extent goes before */
	struct extent extent;
};
struct wire_out {
	struct buffer bytes;
	struct wire_insert *inserts; /* ascending; each holds a reference */
	size_t insert_count;
	size_t insert_capacity;
	size_t insert_bytes; /* sum of their lengths */
};
void wire_out_init(struct wire_out *out);
/* Gives back buffers and blob references. */
void wire_out_fini(struct wire_out *out);

/* Appends to `out`. Takes a reference of each extent's blob. On failure what
 * was there before is still there, nothing more. */
enum wire_status wire_encode(const struct message *message, int version,
    const void *object, struct wire_out *out);
/* Same, into plain bytes; records must not be extents. */
enum wire_status wire_encode_bytes(const struct message *message, int version,
    const void *object, struct buffer *out);
/* One JSON object, field names in their Kafka spelling (camelCase), for tools
 * and traces; bytes as base64. */
void wire_to_json(const struct message *message, int version,
    const void *object, struct buffer *out);

/* --- APIs ----------------------------------------------------------------- */

enum api_key {
#define API(key, id, ...) API_##id = (key),
#include "wire/apis.def"
#undef API
};

enum api_flag {
	API_CLUSTER_ACTION = 1, /* inter-broker */
	API_FORWARDABLE = 2,
	API_NO_SASL = 4,        /* allowed before authentication */
	API_PIPELINED = 8       /* the next may begin before it ends */
};

struct api {
	int16_t key;
	int16_t lowest; /* versions that 3.9 knows */
	int16_t highest;
	int16_t flexible;      /* first version with request header 2 */
	unsigned flags;
	const char *name;      /* "Produce" */
	const struct message *request;
	const struct message *response;
};
/* NULL for a key that a ZooKeeper-mode broker does not have. */
const struct api *api_by_key(int key);
const struct api *api_by_name(const char *name);
/* Ascending keys; NULL after the last. */
const struct api *api_at(size_t index);

struct request_head {
	int16_t api_key;
	int16_t api_version;
	int32_t correlation_id;
	struct slice client_id; /* null is given as empty */
};
/* Takes the request header off `*frame`. Knows which header version the key and
 * version ask for; an unknown key or version reads the first 8 bytes only and
 * answers WIRE_UNSUPPORTED (ApiVersions of any version is read as flexible). */
enum wire_status wire_read_request_head(struct slice *frame,
    struct request_head *head);
void wire_write_request_head(const struct request_head *head,
    struct buffer *out);
/* Takes the response header off `*frame`. */
enum wire_status wire_read_response_head(const struct api *api, int version,
    struct slice *frame, int32_t *correlation_id);
void wire_write_response_head(const struct api *api, int version,
    int32_t correlation_id, struct buffer *out);

#include "wire/messages.h"

#endif
