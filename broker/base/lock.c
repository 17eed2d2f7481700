/* SPDX-License-Identifier: Apache-2.0 */
#include "base/lock.h"

#include "base/check.h"

#ifdef BARNABAS_DEBUG
/* The ranks that this thread holds, a bit each. */
static _Thread_local unsigned ranks_held;

static void
rank_check(const struct lock *lock)
{
	CHECK(ranks_held >> lock->rank == 0);
}

static void
rank_note(const struct lock *lock)
{
	ranks_held |= 1U << lock->rank;
}

static void
rank_forget(const struct lock *lock)
{
	CHECK((ranks_held & 1U << lock->rank) != 0);
	ranks_held &= ~(1U << lock->rank);
}
#else
#define rank_check(lock) ((void)(lock))
#define rank_note(lock) ((void)(lock))
#define rank_forget(lock) ((void)(lock))
#endif

void
lock_init(struct lock *lock, enum lock_rank rank)
{
	CHECK(pthread_mutex_init(&lock->mutex, NULL) == 0);
	lock->rank = rank;
}

void
lock_fini(struct lock *lock)
{
	int error = pthread_mutex_destroy(&lock->mutex);

	CHECK(error == 0);
}

void
lock_take(struct lock *lock)
{
	int error;

	rank_check(lock);
	error = pthread_mutex_lock(&lock->mutex);
	CHECK(error == 0);
	rank_note(lock);
}

/* Trying cannot deadlock, but the order is the same for all. */
bool
lock_try(struct lock *lock)
{
	rank_check(lock);
	if (pthread_mutex_trylock(&lock->mutex) != 0)
		return (false);
	rank_note(lock);
	return (true);
}

void
lock_release(struct lock *lock)
{
	int error;

	rank_forget(lock);
	error = pthread_mutex_unlock(&lock->mutex);
	CHECK(error == 0);
}

void
lock_news_init(struct lock_news *news)
{
	CHECK(pthread_cond_init(&news->told, NULL) == 0);
}

void
lock_news_fini(struct lock_news *news)
{
	int error = pthread_cond_destroy(&news->told);

	CHECK(error == 0);
}

void
lock_news_await(struct lock_news *news, struct lock *lock)
{
	int error;

	rank_forget(lock);
	error = pthread_cond_wait(&news->told, &lock->mutex);
	CHECK(error == 0);
	rank_note(lock);
}

void
lock_news_tell(struct lock_news *news)
{
	int error = pthread_cond_broadcast(&news->told);

	CHECK(error == 0);
}
