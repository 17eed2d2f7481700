/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that fail on order.  It keeps which path each descriptor was opened
 * with, since an order names paths.  One order at a time; a failing write may
 * write half of its bytes before, as a disk does that runs full.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "storage/file.h"

#define DESCRIPTORS_MAX 4096

struct files_faulty {
	struct files files; /* first */
	struct files *below;
	pthread_mutex_t mutex; /* guards all that follows */
	char *paths[DESCRIPTORS_MAX];
	char *part;
	enum file_call call;
	int after;
	int times;
	int error;
	bool torn;
	bool dead;
	int calls_left; /* until it is; -1: no end */
	size_t calls[FILE_CALLS];
};

static struct files_faulty *
faulty_of(struct files *files)
{
	return ((struct files_faulty *)(void *)files);
}

/* The mutex is held: one call more. */
static bool
faulty_dies(struct files_faulty *faulty)
{
	if (faulty->calls_left == 0)
		faulty->dead = true;
	else if (faulty->calls_left > 0)
		faulty->calls_left--;
	return (faulty->dead);
}

/* Whether this call is to fail; then errno is set.  `torn`: half of it
 * works. */
static bool
faulty_fails(struct files_faulty *faulty, enum file_call call, const char *path,
    int descriptor, bool *torn)
{
	bool fails = false;

	pthread_mutex_lock(&faulty->mutex);
	faulty->calls[call]++;
	if (faulty_dies(faulty)) {
		pthread_mutex_unlock(&faulty->mutex);
		errno = EIO;
		return (true);
	}
	if (path == NULL && descriptor >= 0 && descriptor < DESCRIPTORS_MAX)
		path = faulty->paths[descriptor];
	if (faulty->part != NULL && path != NULL && faulty->times != 0 &&
	    (faulty->call == FILE_CALL_ANY || faulty->call == call) &&
	    strstr(path, faulty->part) != NULL) {
		if (faulty->after > 0)
			faulty->after--;
		else {
			fails = true;
			if (faulty->times > 0)
				faulty->times--;
			if (torn != NULL)
				*torn = faulty->torn;
		}
	}
	if (fails)
		errno = faulty->error;
	pthread_mutex_unlock(&faulty->mutex);
	return (fails);
}

/* Calls that no order names fail with the process alone. */
static bool
faulty_dead(struct files_faulty *faulty)
{
	bool dead;

	pthread_mutex_lock(&faulty->mutex);
	dead = faulty_dies(faulty);
	pthread_mutex_unlock(&faulty->mutex);
	if (dead)
		errno = EIO;
	return (dead);
}

static int
faulty_open(struct files *files, const char *path, int flags, int mode)
{
	struct files_faulty *faulty = faulty_of(files);
	int descriptor;

	if (faulty_fails(faulty, FILE_CALL_OPEN, path, -1, NULL))
		return (-1);
	descriptor = faulty->below->ops->open(faulty->below, path, flags, mode);
	if (descriptor >= 0 && descriptor < DESCRIPTORS_MAX) {
		pthread_mutex_lock(&faulty->mutex);
		mem_free(faulty->paths[descriptor]);
		faulty->paths[descriptor] = mem_strdup(path);
		pthread_mutex_unlock(&faulty->mutex);
	}
	return (descriptor);
}

static int
faulty_close(struct files *files, int descriptor)
{
	struct files_faulty *faulty = faulty_of(files);

	if (descriptor >= 0 && descriptor < DESCRIPTORS_MAX) {
		pthread_mutex_lock(&faulty->mutex);
		mem_free(faulty->paths[descriptor]);
		faulty->paths[descriptor] = NULL;
		pthread_mutex_unlock(&faulty->mutex);
	}
	return (faulty->below->ops->close(faulty->below, descriptor));
}

static ssize_t
faulty_pread(struct files *files, int descriptor, void *to, size_t size,
    int64_t position)
{
	struct files_faulty *faulty = faulty_of(files);

	if (faulty_fails(faulty, FILE_CALL_READ, NULL, descriptor, NULL))
		return (-1);
	return (faulty->below->ops->pread(faulty->below, descriptor, to, size,
	    position));
}

static ssize_t
faulty_pwritev(struct files *files, int descriptor, const struct iovec *parts,
    int count, int64_t position)
{
	struct files_faulty *faulty = faulty_of(files);
	bool torn = false;

	if (faulty_fails(faulty, FILE_CALL_WRITE, NULL, descriptor, &torn)) {
		int error = errno;

		if (torn && count > 0) {
			struct iovec half = { parts->iov_base,
				parts->iov_len / 2 };

			(void)faulty->below->ops->pwritev(faulty->below,
			    descriptor, &half, 1, position);
		}
		errno = error;
		return (-1);
	}
	return (faulty->below->ops->pwritev(faulty->below, descriptor, parts,
	    count, position));
}

static int
faulty_truncate(struct files *files, int descriptor, int64_t size)
{
	struct files_faulty *faulty = faulty_of(files);

	if (faulty_dead(faulty))
		return (-1);
	return (faulty->below->ops->truncate(faulty->below, descriptor, size));
}

static int
faulty_allocate(struct files *files, int descriptor, int64_t size)
{
	struct files_faulty *faulty = faulty_of(files);

	if (faulty_fails(faulty, FILE_CALL_ALLOCATE, NULL, descriptor, NULL))
		return (-1);
	return (faulty->below->ops->allocate(faulty->below, descriptor, size));
}

static int
faulty_reserve(struct files *files, int descriptor, int64_t position,
    int64_t size)
{
	struct files_faulty *faulty = faulty_of(files);

	if (faulty_fails(faulty, FILE_CALL_RESERVE, NULL, descriptor, NULL))
		return (-1);
	return (faulty->below->ops->reserve(faulty->below, descriptor,
	    position, size));
}

static int
faulty_sync(struct files *files, int descriptor)
{
	struct files_faulty *faulty = faulty_of(files);

	if (faulty_fails(faulty, FILE_CALL_SYNC, NULL, descriptor, NULL))
		return (-1);
	return (faulty->below->ops->sync(faulty->below, descriptor));
}

static void
faulty_write_out(struct files *files, int descriptor)
{
	struct files_faulty *faulty = faulty_of(files);

	if (!faulty_dead(faulty))
		faulty->below->ops->write_out(faulty->below, descriptor);
}

static int
faulty_rename(struct files *files, const char *from, const char *to)
{
	struct files_faulty *faulty = faulty_of(files);

	if (faulty_fails(faulty, FILE_CALL_RENAME, to, -1, NULL))
		return (-1);
	return (faulty->below->ops->rename(faulty->below, from, to));
}

static int
faulty_unlink(struct files *files, const char *path)
{
	struct files_faulty *faulty = faulty_of(files);

	if (faulty_fails(faulty, FILE_CALL_UNLINK, path, -1, NULL))
		return (-1);
	return (faulty->below->ops->unlink(faulty->below, path));
}

static int
faulty_mkdir(struct files *files, const char *path, int mode)
{
	struct files_faulty *faulty = faulty_of(files);

	if (faulty_fails(faulty, FILE_CALL_OPEN, path, -1, NULL))
		return (-1);
	return (faulty->below->ops->mkdir(faulty->below, path, mode));
}

static int
faulty_rmdir(struct files *files, const char *path)
{
	struct files_faulty *faulty = faulty_of(files);

	if (faulty_dead(faulty))
		return (-1);
	return (faulty->below->ops->rmdir(faulty->below, path));
}

static int
faulty_stat(struct files *files, const char *path, struct file_info *out)
{
	struct files_faulty *faulty = faulty_of(files);

	return (faulty->below->ops->stat(faulty->below, path, out));
}

static int
faulty_fstat(struct files *files, int descriptor, struct file_info *out)
{
	struct files_faulty *faulty = faulty_of(files);

	return (faulty->below->ops->fstat(faulty->below, descriptor, out));
}

static int
faulty_set_mtime(struct files *files, const char *path, int64_t mtime_ms)
{
	struct files_faulty *faulty = faulty_of(files);

	if (faulty_dead(faulty))
		return (-1);
	return (faulty->below->ops->set_mtime(faulty->below, path, mtime_ms));
}

static int
faulty_list(struct files *files, const char *path,
    int (*each)(void *arg, const char *name, bool is_directory), void *arg)
{
	struct files_faulty *faulty = faulty_of(files);

	if (faulty_fails(faulty, FILE_CALL_OPEN, path, -1, NULL))
		return (-1);
	return (faulty->below->ops->list(faulty->below, path, each, arg));
}

static int
faulty_lock(struct files *files, int descriptor)
{
	struct files_faulty *faulty = faulty_of(files);

	return (faulty->below->ops->lock(faulty->below, descriptor));
}

static int
faulty_total_bytes(struct files *files, const char *path, int64_t *out)
{
	struct files_faulty *faulty = faulty_of(files);

	return (faulty->below->ops->total_bytes(faulty->below, path, out));
}

static int
faulty_free_bytes(struct files *files, const char *path, int64_t *out)
{
	struct files_faulty *faulty = faulty_of(files);

	return (faulty->below->ops->free_bytes(faulty->below, path, out));
}

static int
faulty_resident(struct files *files, int descriptor, int64_t position,
    size_t size)
{
	struct files_faulty *faulty = faulty_of(files);

	return (faulty->below->ops->resident(faulty->below, descriptor,
	    position, size));
}

static void
faulty_read_ahead(struct files *files, int descriptor, int64_t position,
    size_t size)
{
	struct files_faulty *faulty = faulty_of(files);

	faulty->below->ops->read_ahead(faulty->below, descriptor, position,
	    size);
}

struct files *
files_faulty_new(struct files *below)
{
	static const struct files_ops ops = {
		.open = faulty_open,
		.close = faulty_close,
		.pread = faulty_pread,
		.pwritev = faulty_pwritev,
		.truncate = faulty_truncate,
		.allocate = faulty_allocate,
		.reserve = faulty_reserve,
		.sync = faulty_sync,
		.write_out = faulty_write_out,
		.rename = faulty_rename,
		.unlink = faulty_unlink,
		.mkdir = faulty_mkdir,
		.rmdir = faulty_rmdir,
		.stat = faulty_stat,
		.fstat = faulty_fstat,
		.set_mtime = faulty_set_mtime,
		.list = faulty_list,
		.lock = faulty_lock,
		.total_bytes = faulty_total_bytes,
		.free_bytes = faulty_free_bytes,
		.resident = faulty_resident,
		.read_ahead = faulty_read_ahead,
	};
	struct files_faulty *faulty = mem_zalloc(sizeof(*faulty));

	faulty->files.ops = &ops;
	faulty->below = below;
	faulty->calls_left = -1;
	CHECK(pthread_mutex_init(&faulty->mutex, NULL) == 0);
	return (&faulty->files);
}

void
files_faulty_free(struct files *files)
{
	struct files_faulty *faulty = faulty_of(files);

	for (int i = 0; i < DESCRIPTORS_MAX; i++)
		mem_free(faulty->paths[i]);
	mem_free(faulty->part);
	pthread_mutex_destroy(&faulty->mutex);
	mem_free(faulty);
}

void
files_faulty_set(struct files *files, const char *part, enum file_call call,
    int after, int times, int error)
{
	struct files_faulty *faulty = faulty_of(files);

	pthread_mutex_lock(&faulty->mutex);
	mem_free(faulty->part);
	faulty->part = mem_strdup(part);
	faulty->call = call;
	faulty->after = after;
	faulty->times = times;
	faulty->error = error;
	pthread_mutex_unlock(&faulty->mutex);
}

void
files_faulty_set_torn(struct files *files, bool torn)
{
	struct files_faulty *faulty = faulty_of(files);

	pthread_mutex_lock(&faulty->mutex);
	faulty->torn = torn;
	pthread_mutex_unlock(&faulty->mutex);
}

void
files_faulty_clear(struct files *files)
{
	struct files_faulty *faulty = faulty_of(files);

	pthread_mutex_lock(&faulty->mutex);
	mem_free(faulty->part);
	faulty->part = NULL;
	pthread_mutex_unlock(&faulty->mutex);
}

void
files_faulty_kill(struct files *files)
{
	struct files_faulty *faulty = faulty_of(files);

	pthread_mutex_lock(&faulty->mutex);
	faulty->dead = true;
	pthread_mutex_unlock(&faulty->mutex);
}

void
files_faulty_kill_after(struct files *files, int calls)
{
	struct files_faulty *faulty = faulty_of(files);

	pthread_mutex_lock(&faulty->mutex);
	faulty->calls_left = calls;
	pthread_mutex_unlock(&faulty->mutex);
}

bool
files_faulty_killed(struct files *files)
{
	struct files_faulty *faulty = faulty_of(files);
	bool dead;

	pthread_mutex_lock(&faulty->mutex);
	dead = faulty->dead;
	pthread_mutex_unlock(&faulty->mutex);
	return (dead);
}

size_t
files_faulty_calls(struct files *files, enum file_call call)
{
	struct files_faulty *faulty = faulty_of(files);
	size_t count;

	pthread_mutex_lock(&faulty->mutex);
	count = faulty->calls[call];
	pthread_mutex_unlock(&faulty->mutex);
	return (count);
}
