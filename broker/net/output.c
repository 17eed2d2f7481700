/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From answers to bytes.  An answer is its size, bytes, and extents of files
 * between them:
 *
 *	[size][bytes.........][extent][bytes..][extent][bytes...]
 *
 * What lies in memory is gathered over all answers that wait, and leaves in one
 * call.  Small extents are read into the hub's copy buffer and go with it: one
 * pread(2) is cheaper than the two calls that sendfile(2) beside a header
 * costs.  Long ones go by sendfile.
 */
#include <errno.h>

#include "net/net_int.h"

/* The next piece of an answer: bytes in memory, or a part of an extent. */
struct piece {
	const uint8_t *bytes; /* NULL: the extent */
	struct extent extent;
	size_t length;
	size_t *progress; /* in the cursor */
};

/* What is gathered for one write. */
struct gather {
	struct iovec parts[OUTPUT_PARTS_MAX];
	int count;
	size_t length;
	size_t copied; /* of the copy buffer */
	bool more;     /* an extent follows */
	struct extent extent; /* that follows or, without parts, is next */
	bool cold;     /* and must be read from the disk first */
};

/* False: the answer is at its end. */
static bool
piece_next(const struct exchange *x, struct out_cursor *at,
    struct piece *piece)
{
	const struct wire_out *out = &x->out;

	for (;;) {
		const struct wire_insert *insert =
		    at->insert < out->insert_count
		    ? &out->inserts[at->insert] : NULL;
		const size_t until = insert != NULL
		    ? insert->at : out->bytes.length;

		if (at->size < FRAME_SIZE_BYTES) {
			*piece = (struct piece){ x->out_size + at->size,
				{ NULL, 0, 0 }, FRAME_SIZE_BYTES - at->size,
				&at->size };
			return (true);
		}
		if (at->bytes < until) {
			*piece = (struct piece){ out->bytes.data + at->bytes,
				{ NULL, 0, 0 }, until - at->bytes, &at->bytes };
			return (true);
		}
		if (insert == NULL)
			return (false);
		if (at->extent < insert->extent.length) {
			*piece = (struct piece){ NULL, insert->extent,
				insert->extent.length - at->extent,
				&at->extent };
			piece->extent.position += (int64_t)at->extent;
			piece->extent.length = piece->length;
			return (true);
		}
		at->insert++;
		at->extent = 0;
	}
}

/* --- gathering ------------------------------------------------------------ */

static bool
read_whole(const struct extent *extent, uint8_t *to)
{
	size_t have = 0;

	while (have < extent->length) {
		ssize_t n = extent->blob->ops->read_at(extent->blob, to + have,
		    extent->length - have, extent->position + (int64_t)have);

		if (n <= 0)
			return (false);
		have += (size_t)n;
	}
	return (true);
}

enum gathered { GATHER_ON, GATHER_FULL, GATHER_FAILED };

static enum gathered
gather_piece(struct gather *g, const struct piece *piece, uint8_t *copy)
{
	const uint8_t *bytes = piece->bytes;

	if (g->count == OUTPUT_PARTS_MAX || g->length >= OUTPUT_TURN_BYTES)
		return (GATHER_FULL);
	if (bytes == NULL) {
		if (piece->length > EXTENT_COPY_BYTES) {
			g->extent = piece->extent;
			g->more = true;
			return (GATHER_FULL);
		}
		if (piece->length > COPY_BUFFER_BYTES - g->copied)
			return (GATHER_FULL);
		if (!read_whole(&piece->extent, copy + g->copied))
			return (GATHER_FAILED);
		bytes = copy + g->copied;
		g->copied += piece->length;
	}
	g->parts[g->count++] = (struct iovec){
		.iov_base = (void *)(uintptr_t)bytes, .iov_len = piece->length
	};
	g->length += piece->length;
	return (GATHER_ON);
}

/* False: an extent could not be read. */
static bool
gather_output(struct connection *c, struct gather *g)
{
	enum gathered result = GATHER_ON;

	g->count = 0;
	g->length = g->copied = 0;
	g->more = g->cold = false;
	LIST_EACH(element, &c->output) {
		const struct exchange *x = list_entry(element, struct exchange,
		    request.link);
		struct out_cursor at = x->sent;
		struct piece piece;

		while (result == GATHER_ON && piece_next(x, &at, &piece)) {
			if (piece.bytes == NULL &&
			    cold_is(c, x, &at, &piece.extent)) {
				g->extent = piece.extent;
				g->cold = true;
				return (true);
			}
			result = gather_piece(g, &piece, c->hub->copy_buffer);
			*piece.progress += piece.length;
			at.all += piece.length;
		}
		if (result != GATHER_ON)
			break;
	}
	return (result != GATHER_FAILED);
}

/* --- progress ------------------------------------------------------------- */

static void
output_advance(struct connection *c, size_t sent)
{
	const int64_t now_ns = loop_clock_ns(c->hub->loop);
	struct piece piece;

	c->unsent_bytes -= sent;
	while (!list_empty(&c->output)) {
		struct exchange *x = list_entry(c->output.next,
		    struct exchange, request.link);

		if (piece_next(x, &x->sent, &piece)) {
			const size_t n = piece.length < sent
			    ? piece.length : sent;

			if (sent == 0)
				return;
			*piece.progress += n;
			x->sent.all += n;
			sent -= n;
			continue;
		}
		list_remove(&x->request.link);
		c->output_count--;
		hub_count(&c->hub->output_count, 0, 1);
		request_observe(&x->request, METRIC_RESPONSE_SEND_TIME,
		    now_ns - x->pushed_ns);
		hub_exchange_give(c->hub, x);
	}
	CHECK(sent == 0);
}

/* What a call sent, or -1 when the connection is closed or must wait. */
static ssize_t
output_sent(struct connection *c, ssize_t n)
{
	struct net *net = c->hub->net;

	if (n >= 0) {
		connection_touch(c);
		metrics_add(net->setup.metrics, METRIC_NETWORK_BYTES_OUT, n);
		output_advance(c, (size_t)n);
		return (n);
	}
	if (errno == EAGAIN || errno == EWOULDBLOCK)
		return (-1);
	if (errno == EPIPE || errno == ECONNRESET || errno == ETIMEDOUT) {
		connection_close(c, "network");
		return (-1);
	}
	diag_warn(net->setup.diag, net, "connection=%s sending failed: %s, "
	    "closing", c->peer, strerror(errno));
	connection_close(c, errno == ENODATA ? "extent" : "network");
	return (-1);
}

void
output_write(struct connection *c)
{
	const struct sockets_ops *ops = c->socket->sockets->ops;
	struct gather g;
	size_t turn = 0;
	ssize_t n;

	if (c->cold != NULL)
		return;
	while (!list_empty(&c->output) && turn < OUTPUT_TURN_BYTES) {
		if (!gather_output(c, &g)) {
			diag_warn(c->hub->net->setup.diag, net,
			    "connection=%s an extent could not be read, "
			    "closing", c->peer);
			connection_close(c, "extent");
			return;
		}
		if (g.count != 0) {
			n = output_sent(c, ops->write(c->socket, g.parts,
			    g.count, g.more));
			if (n < 0 || (size_t)n < g.length)
				return;
			turn += (size_t)n;
		}
		if (g.cold) {
			cold_begin(c, &g.extent);
			return;
		}
		if (!g.more)
			continue;
		/* No more of it than was looked at. */
		if (g.extent.length > BLOB_LOOK_BYTES)
			g.extent.length = BLOB_LOOK_BYTES;
		n = output_sent(c, ops->send_extent(c->socket, &g.extent));
		if (n < 0)
			return;
		turn += (size_t)n;
	}
}

void
output_fini(struct connection *c)
{
	struct list *element;

	while ((element = list_pop_head(&c->output)) != NULL)
		hub_exchange_give(c->hub, list_entry(element, struct exchange,
		    request.link));
	hub_count(&c->hub->output_count, 0, c->output_count);
	c->output_count = 0;
	c->unsent_bytes = 0;
}
