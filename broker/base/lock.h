/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order of locks.  A thread that holds one may take only one further down
 * this list; BARNABAS_DEBUG builds CHECK it.  Leaf locks (waitq, loop posts,
 * work queues) are taken last and nothing is taken under them.
 */
#ifndef BASE_LOCK_H
#define BASE_LOCK_H

#include <pthread.h>
#include <stdbool.h>

enum lock_rank {
	LOCK_RANK_REPLICAS,  /* the table of partitions that are here */
	LOCK_RANK_PARTITION, /* one partition's role and appends */
	LOCK_RANK_LOG,       /* one log's writing: appends, rolls, truncation */
	LOCK_RANK_CLOSING,   /* files of one log's closed segments */
	LOCK_RANK_CHECKPOINTS, /* writing one of a directory's */
	LOCK_RANK_LOG_DIRS,  /* which logs lie where */
	LOCK_RANK_STATE,     /* one partition's offsets; held for moments */
	LOCK_RANK_SEGMENTS,  /* publishing a log's segment list */
	LOCK_RANK_CACHE,     /* descriptor and index caches */
	LOCK_RANK_TLS,       /* other keys and certificates, one at a time */
	LOCK_RANK_LEAF       /* waitq, loop posts, work queues, metrics */
};

struct lock {
	pthread_mutex_t mutex;
	enum lock_rank rank;
};

void lock_init(struct lock *lock, enum lock_rank rank);
void lock_fini(struct lock *lock);
void lock_take(struct lock *lock);
/* False when somebody holds it. */
bool lock_try(struct lock *lock);
void lock_release(struct lock *lock);

/* To wait, on a worker, for what another thread changes under a lock. */
struct lock_news {
	pthread_cond_t told;
};

void lock_news_init(struct lock_news *news);
void lock_news_fini(struct lock_news *news);
/* The lock is held, and is free meanwhile. Look again afterwards: it may return
 * without any news. */
void lock_news_await(struct lock_news *news, struct lock *lock);
/* All who wait look again. */
void lock_news_tell(struct lock_news *news);

#endif
