/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decompression in pieces, in Kafka's framings.  A stream is begun on the
 * compressed bytes of one batch and read until its end; then it may be begun
 * again: the libraries' contexts, which are costly to make, stay.
 *
 * Every framing is held to what the Java readers accept, since a batch that we
 * let in must be readable for them: no linked lz4 blocks, for one.
 */
#include <limits.h>
#include <lz4frame.h>
#include <snappy-c.h>
#include <zlib.h>
#include <zstd.h>

#include "base/check.h"
#include "base/mem.h"
#include "record/record_int.h"

/* xerial: 8 bytes of magic, version, least compatible version, then blocks of
 * {int32 size; raw snappy}. */
static const uint8_t xerial_magic[8] = { 0x82, 'S', 'N', 'A', 'P', 'P', 'Y',
	0 };
#define XERIAL_HEADER_SIZE 16
/* Three bytes of a snappy block make at most 64. */
#define SNAPPY_RATIO_MAX 22
#define LZ4_HEADER_SIZE_MAX 15
#define ZSTD_WINDOW_LOG_MAX 27
/* What a stream keeps for its next use. */
#define KEPT_BYTES_MAX ((size_t)8 << 20)

struct codec_stream {
	enum codec codec;
	struct slice rest; /* not yet read */
	bool ended;
	z_stream gzip;
	bool gzip_ready;
	bool snappy_framed;
	uint8_t *block; /* snappy: the block being handed out */
	size_t block_capacity;
	size_t block_length;
	size_t block_at;
	LZ4F_dctx *lz4;
	uint8_t lz4_header[LZ4_HEADER_SIZE_MAX + 4]; /* mended, for magic 0 */
	size_t lz4_header_size; /* 0: none to feed first */
	ZSTD_DCtx *zstd;
	bool zstd_in_frame;
};

static bool gzip_begin(struct codec_stream *stream);
static ssize_t gzip_read(struct codec_stream *stream, uint8_t *to, size_t size);
static bool snappy_begin(struct codec_stream *stream);
static ssize_t snappy_read(struct codec_stream *stream, uint8_t *to,
    size_t size);
static bool snappy_fill(struct codec_stream *stream);
static bool lz4_begin(struct codec_stream *stream, int8_t magic);
static ssize_t lz4_read(struct codec_stream *stream, uint8_t *to, size_t size);
static bool zstd_begin(struct codec_stream *stream);
static ssize_t zstd_read(struct codec_stream *stream, uint8_t *to, size_t size);

struct codec_stream *
codec_stream_new(void)
{
	return (mem_zalloc(sizeof(struct codec_stream)));
}

void
codec_stream_free(struct codec_stream *stream)
{
	if (stream == NULL)
		return;
	if (stream->gzip_ready)
		inflateEnd(&stream->gzip);
	LZ4F_freeDecompressionContext(stream->lz4);
	ZSTD_freeDCtx(stream->zstd);
	mem_free(stream->block);
	mem_free(stream);
}

void
codec_stream_trim(struct codec_stream *stream)
{
	if (stream->zstd != NULL &&
	    ZSTD_sizeof_DCtx(stream->zstd) > KEPT_BYTES_MAX) {
		ZSTD_freeDCtx(stream->zstd);
		stream->zstd = NULL;
	}
	if (stream->block_capacity <= KEPT_BYTES_MAX)
		return;
	mem_free(stream->block);
	stream->block = NULL;
	stream->block_capacity = 0;
}

bool
codec_stream_begin(struct codec_stream *stream, enum codec codec, int8_t magic,
    struct slice compressed)
{
	stream->codec = codec;
	stream->rest = compressed;
	stream->ended = false;
	switch (codec) {
	case CODEC_GZIP:
		return (gzip_begin(stream));
	case CODEC_SNAPPY:
		return (snappy_begin(stream));
	case CODEC_LZ4:
		return (lz4_begin(stream, magic));
	case CODEC_ZSTD:
		return (zstd_begin(stream));
	case CODEC_NONE:
		break;
	}
	return (false);
}

ssize_t
codec_stream_read(struct codec_stream *stream, uint8_t *to, size_t size)
{
	if (stream->ended || size == 0)
		return (0);
	switch (stream->codec) {
	case CODEC_GZIP:
		return (gzip_read(stream, to, size));
	case CODEC_SNAPPY:
		return (snappy_read(stream, to, size));
	case CODEC_LZ4:
		return (lz4_read(stream, to, size));
	case CODEC_ZSTD:
		return (zstd_read(stream, to, size));
	case CODEC_NONE:
		break;
	}
	return (-1);
}

/* --- gzip: RFC 1952, one member or more ----------------------------------- */

static bool
gzip_begin(struct codec_stream *stream)
{
	if (stream->gzip_ready)
		return (inflateReset(&stream->gzip) == Z_OK);
	/* 15 bits of window; 16: a gzip header, nothing else. */
	stream->gzip_ready = inflateInit2(&stream->gzip, 15 + 16) == Z_OK;
	return (stream->gzip_ready);
}

static ssize_t
gzip_read(struct codec_stream *stream, uint8_t *to, size_t size)
{
	z_stream *z = &stream->gzip;

	if (size > UINT_MAX)
		size = UINT_MAX;
	z->next_out = to;
	z->avail_out = (uInt)size;
	while (z->avail_out == size) {
		size_t part = stream->rest.length;
		int answer;

		if (part > UINT_MAX)
			part = UINT_MAX;
		z->next_in = (Bytef *)(uintptr_t)stream->rest.data;
		z->avail_in = (uInt)part;
		answer = inflate(z, Z_NO_FLUSH);
		part -= z->avail_in;
		stream->rest.data += part;
		stream->rest.length -= part;
		if (answer == Z_STREAM_END) {
			/* Java ignores what follows unless it is a member. */
			if (stream->rest.length < 2 ||
			    stream->rest.data[0] != 0x1f ||
			    stream->rest.data[1] != 0x8b) {
				stream->ended = true;
				break;
			}
			if (inflateReset(z) != Z_OK)
				return (-1);
		} else if (answer != Z_OK)
			return (-1);
	}
	return ((ssize_t)(size - z->avail_out));
}

/* --- snappy --------------------------------------------------------------- */

static bool
snappy_begin(struct codec_stream *stream)
{
	stream->block_length = stream->block_at = 0;
	if (stream->rest.length == 0)
		return (false); /* not even an empty stream has no bytes */
	stream->snappy_framed = stream->rest.length >= XERIAL_HEADER_SIZE &&
	    memcmp(stream->rest.data, xerial_magic, sizeof(xerial_magic)) == 0;
	if (stream->snappy_framed) {
		stream->rest.data += XERIAL_HEADER_SIZE;
		stream->rest.length -= XERIAL_HEADER_SIZE;
	}
	return (true);
}

static ssize_t
snappy_read(struct codec_stream *stream, uint8_t *to, size_t size)
{
	size_t part;

	while (stream->block_at == stream->block_length) {
		if (stream->rest.length == 0) {
			stream->ended = true;
			return (0);
		}
		if (!snappy_fill(stream))
			return (-1);
	}
	part = stream->block_length - stream->block_at;
	if (part > size)
		part = size;
	memcpy(to, stream->block + stream->block_at, part);
	stream->block_at += part;
	return ((ssize_t)part);
}

/* Decompresses the next block; without a frame all that is left is one. */
static bool
snappy_fill(struct codec_stream *stream)
{
	struct slice *rest = &stream->rest;
	size_t compressed = rest->length;
	size_t plain;

	if (stream->snappy_framed) {
		if (rest->length < 4)
			return (false);
		/* Streams may follow each other, each with its header. */
		if (memcmp(rest->data, xerial_magic, 4) == 0) {
			if (rest->length < XERIAL_HEADER_SIZE)
				return (false);
			rest->data += XERIAL_HEADER_SIZE;
			rest->length -= XERIAL_HEADER_SIZE;
			return (true);
		}
		compressed = bytes_get_u32(rest->data);
		rest->data += 4;
		rest->length -= 4;
	}
	if (compressed == 0 || compressed > rest->length ||
	    snappy_uncompressed_length((const char *)rest->data, compressed,
		&plain) != SNAPPY_OK ||
	    plain > compressed * SNAPPY_RATIO_MAX)
		return (false);
	if (plain > stream->block_capacity) {
		mem_free(stream->block);
		stream->block_capacity = 0;
		stream->block = mem_try_alloc(plain);
		if (stream->block == NULL)
			return (false);
		stream->block_capacity = plain;
	}
	if (plain != 0 &&
	    snappy_uncompress((const char *)rest->data, compressed,
		(char *)stream->block, &plain) != SNAPPY_OK)
		return (false);
	rest->data += compressed;
	rest->length -= compressed;
	stream->block_at = 0;
	stream->block_length = plain;
	return (true);
}

/* --- lz4 ------------------------------------------------------------------ */

#define ROTATE_LEFT(v, bits) (((v) << (bits)) | ((v) >> (32 - (bits))))

/* XXH32 with seed 0 of fewer than 16 bytes: all that a frame's header needs. */
static uint32_t
lz4_header_hash(const uint8_t *at, size_t size)
{
	uint32_t hash = 374761393U + (uint32_t)size;

	for (; size >= 4; at += 4, size -= 4) {
		uint32_t word = (uint32_t)at[0] | (uint32_t)at[1] << 8 |
		    (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;

		hash += word * 3266489917U;
		hash = ROTATE_LEFT(hash, 17) * 668265263U;
	}
	for (; size > 0; at++, size--) {
		hash += *at * 374761393U;
		hash = ROTATE_LEFT(hash, 11) * 2654435761U;
	}
	hash ^= hash >> 15;
	hash *= 2246822519U;
	hash ^= hash >> 13;
	hash *= 3266489917U;
	return (hash ^ hash >> 16);
}

uint8_t
codec_lz4_header_check(const uint8_t *at, size_t size)
{
	return ((uint8_t)(lz4_header_hash(at, size) >> 8));
}

/*
 * Header: magic 4, FLG 1, BD 1, content size 8 if FLG says so, HC 1.  Clients
 * of magic 0 hashed the wrong bytes into HC; nobody verifies it there, and we
 * feed the library a header with the right one.
 */
static bool
lz4_begin(struct codec_stream *stream, int8_t magic)
{
	struct slice *rest = &stream->rest;
	size_t size;
	uint8_t flags;

	if (stream->lz4 == NULL &&
	    LZ4F_isError(LZ4F_createDecompressionContext(&stream->lz4,
		LZ4F_VERSION)))
		return (false);
	LZ4F_resetDecompressionContext(stream->lz4);
	stream->lz4_header_size = 0;
	if (rest->length < 7)
		return (false);
	flags = rest->data[4];
	/* Version 1, independent blocks, no dictionary: as Java reads. */
	if ((flags & 0xc0) != 0x40 || (flags & 0x20) == 0 || (flags & 3) != 0)
		return (false);
	if (magic != 0)
		return (true);
	size = (flags & 0x08) != 0 ? 15 : 7;
	if (rest->length < size)
		return (false);
	memcpy(stream->lz4_header, rest->data, size);
	stream->lz4_header[size - 1] = codec_lz4_header_check(rest->data + 4,
	    size - 5);
	stream->lz4_header_size = size;
	rest->data += size;
	rest->length -= size;
	return (true);
}

static ssize_t
lz4_read(struct codec_stream *stream, uint8_t *to, size_t size)
{
	size_t made = 0;

	while (made == 0) {
		bool mended = stream->lz4_header_size != 0;
		const uint8_t *from = mended ? stream->lz4_header
					     : stream->rest.data;
		size_t used = mended ? stream->lz4_header_size
				     : stream->rest.length;
		size_t hint;

		made = size;
		hint = LZ4F_decompress(stream->lz4, to, &made, from, &used,
		    NULL);
		if (LZ4F_isError(hint))
			return (-1);
		if (mended) {
			if (used != stream->lz4_header_size)
				return (-1);
			stream->lz4_header_size = 0;
			continue;
		}
		stream->rest.data += used;
		stream->rest.length -= used;
		if (hint == 0) {
			stream->ended = true;
			break;
		}
		if (made == 0 && stream->rest.length == 0)
			return (-1); /* no end mark */
	}
	return ((ssize_t)made);
}

/* --- zstd ----------------------------------------------------------------- */

static bool
zstd_begin(struct codec_stream *stream)
{
	if (stream->zstd == NULL) {
		stream->zstd = ZSTD_createDCtx();
		if (stream->zstd == NULL)
			return (false);
		ZSTD_DCtx_setParameter(stream->zstd, ZSTD_d_windowLogMax,
		    ZSTD_WINDOW_LOG_MAX);
	}
	ZSTD_DCtx_reset(stream->zstd, ZSTD_reset_session_only);
	stream->zstd_in_frame = stream->rest.length != 0;
	return (true);
}

static ssize_t
zstd_read(struct codec_stream *stream, uint8_t *to, size_t size)
{
	ZSTD_outBuffer out = { to, size, 0 };

	while (out.pos == 0) {
		ZSTD_inBuffer in = { stream->rest.data, stream->rest.length,
			0 };
		size_t hint;

		if (stream->rest.length == 0 && !stream->zstd_in_frame) {
			stream->ended = true;
			return (0);
		}
		hint = ZSTD_decompressStream(stream->zstd, &out, &in);
		if (ZSTD_isError(hint))
			return (-1);
		stream->rest.data += in.pos;
		stream->rest.length -= in.pos;
		stream->zstd_in_frame = hint != 0;
		if (hint != 0 && out.pos == 0 && in.pos == 0)
			return (-1); /* cut short */
	}
	return ((ssize_t)out.pos);
}
