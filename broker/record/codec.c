/* SPDX-License-Identifier: Apache-2.0 */
/* Codecs by name, and whole streams: tools, tests, internal topics. */
#include <limits.h>
#include <lz4frame.h>
#include <snappy-c.h>
#include <zlib.h>
#include <zstd.h>

#include "base/check.h"
#include "base/mem.h"
#include "record/record_int.h"

#define PIECE_SIZE ((size_t)16 << 10)
#define SNAPPY_BLOCK_SIZE ((size_t)32 << 10)
/* The defaults of compression.{gzip,lz4,zstd}.level. */
#define GZIP_LEVEL_DEFAULT Z_DEFAULT_COMPRESSION
#define LZ4_LEVEL_DEFAULT 9
#define ZSTD_LEVEL_DEFAULT 3

static const char *const codec_names[CODEC_COUNT] = { "none", "gzip",
	"snappy", "lz4", "zstd" };

static enum error gzip_compress(int level, struct slice plain,
    struct buffer *out);
static enum error snappy_compress_blocks(struct slice plain,
    struct buffer *out);
static enum error lz4_compress(int level, struct slice plain,
    struct buffer *out);
static enum error zstd_compress(int level, struct slice plain,
    struct buffer *out);

const char *
codec_name(enum codec codec)
{
	return ((unsigned)codec < CODEC_COUNT ? codec_names[codec] : "unknown");
}

enum error
codec_decompress(enum codec codec, int8_t magic, struct slice compressed,
    size_t limit_bytes, struct buffer *out)
{
	struct codec_stream *stream;
	enum error error = ERR_CORRUPT_MESSAGE;
	size_t made = 0;

	if (codec == CODEC_NONE) {
		if (compressed.length > limit_bytes)
			return (ERR_MESSAGE_TOO_LARGE);
		buffer_append_slice(out, compressed);
		return (ERR_NONE);
	}
	if ((unsigned)codec >= CODEC_COUNT)
		return (ERR_UNSUPPORTED_COMPRESSION_TYPE);
	stream = codec_stream_new();
	if (!codec_stream_begin(stream, codec, magic, compressed))
		goto out;
	for (;;) {
		uint8_t *to = buffer_reserve(out, PIECE_SIZE);
		ssize_t part = codec_stream_read(stream, to, PIECE_SIZE);

		if (part <= 0) {
			error = part == 0 ? ERR_NONE : ERR_CORRUPT_MESSAGE;
			break;
		}
		if ((size_t)part > limit_bytes - made) {
			error = ERR_MESSAGE_TOO_LARGE;
			break;
		}
		made += (size_t)part;
		out->length += (size_t)part;
	}
out:
	codec_stream_free(stream);
	return (error);
}

enum error
codec_compress(enum codec codec, int level, struct slice plain,
    struct buffer *out)
{
	switch (codec) {
	case CODEC_NONE:
		buffer_append_slice(out, plain);
		return (ERR_NONE);
	case CODEC_GZIP:
		return (gzip_compress(level, plain, out));
	case CODEC_SNAPPY:
		return (snappy_compress_blocks(plain, out));
	case CODEC_LZ4:
		return (lz4_compress(level, plain, out));
	case CODEC_ZSTD:
		return (zstd_compress(level, plain, out));
	}
	return (ERR_UNSUPPORTED_COMPRESSION_TYPE);
}

enum error
codec_compress_magic_0(enum codec codec, struct slice plain,
    struct buffer *out)
{
	size_t start = out->length;
	enum error error = codec_compress(codec, INT_MIN, plain, out);
	uint8_t *header = out->data + start;

	/* Magic, flags, descriptor, then the checksum: those producers took the
	 * magic into it, and their consumers verify that. */
	if (error == ERR_NONE && codec == CODEC_LZ4)
		header[6] = codec_lz4_header_check(header, 6);
	return (error);
}

static enum error
gzip_compress(int level, struct slice plain, struct buffer *out)
{
	z_stream z = { 0 };
	size_t bound;
	int answer;

	if (level == INT_MIN)
		level = GZIP_LEVEL_DEFAULT;
	if (plain.length > INT_MAX ||
	    deflateInit2(&z, level, Z_DEFLATED, 15 + 16, 8,
		Z_DEFAULT_STRATEGY) != Z_OK)
		return (ERR_UNKNOWN_SERVER_ERROR);
	bound = deflateBound(&z, plain.length);
	z.next_in = (Bytef *)(uintptr_t)plain.data;
	z.avail_in = (uInt)plain.length;
	z.next_out = buffer_reserve(out, bound);
	z.avail_out = (uInt)bound;
	answer = deflate(&z, Z_FINISH);
	if (answer == Z_STREAM_END)
		out->length += bound - z.avail_out;
	deflateEnd(&z);
	return (answer == Z_STREAM_END ? ERR_NONE : ERR_UNKNOWN_SERVER_ERROR);
}

static enum error
snappy_compress_blocks(struct slice plain, struct buffer *out)
{
	static const uint8_t header[16] = { 0x82, 'S', 'N', 'A', 'P', 'P', 'Y',
		0, 0, 0, 0, 1, 0, 0, 0, 1 };

	buffer_append(out, header, sizeof(header));
	while (plain.length > 0) {
		size_t part = plain.length < SNAPPY_BLOCK_SIZE
		    ? plain.length
		    : SNAPPY_BLOCK_SIZE;
		size_t made = snappy_max_compressed_length(part);
		uint8_t *to = buffer_reserve(out, 4 + made);

		if (snappy_compress((const char *)plain.data, part,
			(char *)to + 4, &made) != SNAPPY_OK)
			return (ERR_UNKNOWN_SERVER_ERROR);
		bytes_put_u32(to, (uint32_t)made);
		out->length += 4 + made;
		plain.data += part;
		plain.length -= part;
	}
	return (ERR_NONE);
}

static enum error
lz4_compress(int level, struct slice plain, struct buffer *out)
{
	LZ4F_preferences_t wishes = {
		.frameInfo = {
			.blockSizeID = LZ4F_max64KB,
			.blockMode = LZ4F_blockIndependent,
		},
		.compressionLevel = level == INT_MIN ? LZ4_LEVEL_DEFAULT
						     : level,
	};
	size_t bound = LZ4F_compressFrameBound(plain.length, &wishes);
	size_t made = LZ4F_compressFrame(buffer_reserve(out, bound), bound,
	    plain.data, plain.length, &wishes);

	if (LZ4F_isError(made))
		return (ERR_UNKNOWN_SERVER_ERROR);
	out->length += made;
	return (ERR_NONE);
}

static enum error
zstd_compress(int level, struct slice plain, struct buffer *out)
{
	size_t bound = ZSTD_compressBound(plain.length);
	size_t made = ZSTD_compress(buffer_reserve(out, bound), bound,
	    plain.data, plain.length,
	    level == INT_MIN ? ZSTD_LEVEL_DEFAULT : level);

	if (ZSTD_isError(made))
		return (ERR_UNKNOWN_SERVER_ERROR);
	out->length += made;
	return (ERR_NONE);
}
