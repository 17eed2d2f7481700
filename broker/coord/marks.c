/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ends of transactions in a partition that is led: another room appends them,
 * and tells when they are committed.
 *
 *	coord_marked() --> a post --> the shard's marks --> ops->marker
 *
 * What this room wrote in front may not be replayed yet: a mark waits for all
 * writes that were under way when it arrived, but for those that turn out to
 * lie behind it.  While the shard loads it waits too, and is forgotten as soon
 * as the load is known to read it: what lay in the log at one of its reads.  A
 * mark of an earlier epoch than the shard's lies in a log that is read, or was;
 * one of a later epoch is of the same leadership, which is no news to the
 * shard, or comes before news that end it.
 */
#include "coord/coord_int.h"

#include "base/mem.h"

struct mark_post {
	struct list link; /* coord.marks under the lock, then shard.marks */
	struct post post;
	struct coord *coord;
	struct coord_mark mark;
	uint64_t behind; /* the shard's writes so far, when it arrived */
};

static struct mark_post *
mark_at(struct list *link)
{
	return (list_entry(link, struct mark_post, link));
}

void
marks_forget(struct list *marks)
{
	struct list *link;

	while ((link = list_pop_head(marks)) != NULL)
		mem_free(mark_at(link));
}

void
marks_forget_below(struct coord_shard *shard, int64_t offset)
{
	LIST_EACH(link, &shard->marks)
		if (mark_at(link)->mark.offset < offset) {
			list_remove(link);
			mem_free(mark_at(link));
		}
}

static bool
mark_may_be_told(const struct coord_shard *shard, const struct mark_post *m)
{
	const struct coord_write_int *w;

	if (shard->phase < COORD_ENDING || list_empty(&shard->writes))
		return (shard->phase >= COORD_ENDING);
	w = list_entry(shard->writes.next, struct coord_write_int, link);
	return (w->number > m->behind || (w->done &&
	    w->write->error == ERR_NONE &&
	    w->write->base_offset > m->mark.offset));
}

void
marks_settle(struct coord_shard *shard)
{
	const struct coord_ops *ops = shard->coord->setup.ops;

	while (!list_empty(&shard->marks) &&
	    mark_may_be_told(shard, mark_at(shard->marks.next))) {
		struct mark_post *m = mark_at(list_pop_head(&shard->marks));

		if (ops->marker != NULL)
			ops->marker(shard->state, m->mark.producer_id,
			    m->mark.producer_epoch, m->mark.offset,
			    m->mark.commit);
		mem_free(m);
	}
}

static void
mark_arrived(struct post *post)
{
	struct mark_post *m = container_of(post, struct mark_post, post);
	struct coord_shard *shard = shard_of(m->coord, m->mark.partition);

	lock_take(&m->coord->lock);
	list_remove(&m->link);
	lock_release(&m->coord->lock);
	if (shard == NULL || shard->phase == COORD_AWAY ||
	    m->mark.epoch < shard->epoch) {
		mem_free(m);
		return;
	}
	m->behind = shard->write_count;
	list_push_tail(&shard->marks, &m->link);
	marks_settle(shard);
}

void
coord_marked(struct coord *coord, const struct coord_mark *mark)
{
	struct mark_post *m = mem_alloc(sizeof(*m));

	CHECK_MAGIC(coord, COORD_MAGIC);
	*m = (struct mark_post){
		.post.run = mark_arrived,
		.coord = coord,
		.mark = *mark,
	};
	list_init(&m->link);
	lock_take(&coord->lock);
	list_push_tail(&coord->marks, &m->link);
	lock_release(&coord->lock);
	loop_post(coord_loop(coord, mark->partition), &m->post);
}
