/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is to be sent and is not in the kernel's memory: sendfile(2) would wait
 * for the disk, and all connections of the loop with it.  So a loop looks
 * before it sends, and has a worker of that disk read the next piece:
 *
 *	output_write --> cold_is? --no--> sent
 *	     ^               |
 *	     |              yes: cold_begin; the socket is watched no more for
 *	     |               |   room, the other connections go on
 *	     +--- a turn <---+   worker: blob_bring
 *
 * Who answered has just read, or brought, the first BLOB_LOOK_BYTES of the
 * answer, and what was looked at stays in memory for a moment: neither is
 * looked at again, so that warm answers cost nothing here.
 */
#include "net/net_int.h"

/* The kernel takes what was not used for long before what was used now. */
#define WARM_NS ((int64_t)100 * 1000000)

/* One at a time a connection, which stays at least as long. */
struct cold {
	struct work work;
	struct connection *connection;
	struct extent extent; /* a reference */
};

static size_t
look_size(const struct extent *extent)
{
	return (extent->length < BLOB_LOOK_BYTES ? extent->length :
						   BLOB_LOOK_BYTES);
}

static void
warm_note(struct connection *c, const struct extent *extent, int64_t now_ns)
{
	c->warm = (struct warm){
		.blob = extent->blob,
		.position = extent->position,
		.end = extent->position + (int64_t)look_size(extent),
		.until_ns = now_ns + WARM_NS,
	};
}

bool
cold_is(struct connection *c, const struct exchange *x,
    const struct out_cursor *at, const struct extent *extent)
{
	const struct warm *warm = &c->warm;
	const int64_t now_ns = loop_now_ns(c->hub->loop);

	if (extent->blob->ops->resident == NULL ||
	    atomic_load(&extent->blob->readers) == NULL)
		return (false);
	if (at->all < BLOB_LOOK_BYTES && now_ns < x->pushed_ns + WARM_NS)
		return (false);
	if (warm->blob == extent->blob && extent->position >= warm->position &&
	    extent->position < warm->end && now_ns < warm->until_ns)
		return (false);
	if (!blob_resident(extent->blob, extent->position, look_size(extent)))
		return (true);
	warm_note(c, extent, now_ns);
	return (false);
}

static void
cold_run(struct work *work)
{
	const struct cold *cold = container_of(work, struct cold, work);

	blob_bring(cold->extent.blob, cold->extent.position,
	    cold->extent.length);
}

static void
cold_done(struct work *work)
{
	struct cold *cold = container_of(work, struct cold, work);
	struct connection *c = cold->connection;

	CHECK_MAGIC(c, CONNECTION_MAGIC);
	c->cold = NULL;
	warm_note(c, &cold->extent, loop_now_ns(c->hub->loop));
	blob_unref(cold->extent.blob);
	mem_free(cold);
	atomic_fetch_sub_explicit(&c->hub->net->under_way, 1,
	    memory_order_release);
	if (c->closed)
		connection_forget(c);
	else
		connection_turn(c);
}

void
cold_begin(struct connection *c, const struct extent *extent)
{
	struct net *net = c->hub->net;
	struct cold *cold = mem_zalloc(sizeof(*cold));

	CHECK(c->cold == NULL);
	cold->connection = c;
	cold->extent = *extent;
	cold->extent.length = look_size(extent);
	(void)blob_ref(extent->blob);
	cold->work.run = cold_run;
	cold->work.done = cold_done;
	cold->work.home = c->hub->loop;
	c->cold = cold;
	/* A stop waits for it as for the handlers. */
	atomic_fetch_add(&net->under_way, 1);
	metrics_add(net->setup.metrics, METRIC_COLD_SENDS, 1);
	work_submit(atomic_load(&extent->blob->readers), &cold->work);
}
