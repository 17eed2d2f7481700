/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/descriptors.h"

#include <errno.h>
#include <fcntl.h>

#include "base/check.h"
#include "base/mem.h"

#define HELD_OPEN 1U
#define HELD_USED 2U /* since the last look */
#define HELD_PIN 4U
/* How many files an eviction looks at before it takes what it finds. */
#define EVICT_LOOKS 64
/* How often an open() is tried again, and how many are closed for it. */
#define WANT_TRIES 8
#define WANT_CLOSES 2

struct descriptors {
	struct files files; /* first */
	struct files *below;
	size_t bound;
	struct lock lock; /* guards what follows */
	struct list open; /* held_file.link, the oldest first */
	size_t count;
	uint64_t closed;
};

static int evict(struct descriptors *d);

bool
descriptors_wanted(int error)
{
	return (error == EMFILE || error == ENFILE);
}

/* --- one file ------------------------------------------------------------- */

void
held_file_init(struct held_file *file,
    void (*path)(struct held_file *file, enum held_look look,
	char out[PATH_MAX]))
{
	list_init(&file->link);
	atomic_init(&file->state, 0);
	file->descriptor = -1;
	file->inode = 0;
	file->path = path;
}

/* Under the lock: room for one more; *evicted: to be closed without it. */
static void
install(struct descriptors *d, struct held_file *file, int descriptor,
    int *evicted)
{
	*evicted = d->count >= d->bound ? evict(d) : -1;
	file->descriptor = descriptor;
	list_push_tail(&d->open, &file->link);
	d->count++;
}

static void
take(struct descriptors *d, struct held_file *file, int descriptor,
    unsigned pins)
{
	int evicted;

	lock_take(&d->lock);
	CHECK(atomic_load(&file->state) == 0);
	install(d, file, descriptor, &evicted);
	atomic_store_explicit(&file->state, HELD_OPEN | HELD_USED | pins,
	    memory_order_release);
	lock_release(&d->lock);
	if (evicted >= 0)
		d->below->ops->close(d->below, evicted);
}

void
descriptors_take(struct descriptors *d, struct held_file *file, int descriptor)
{
	take(d, file, descriptor, 0);
}

void
descriptors_take_pinned(struct descriptors *d, struct held_file *file,
    int descriptor)
{
	take(d, file, descriptor, HELD_PIN);
}

void
descriptors_drop(struct descriptors *d, struct held_file *file)
{
	unsigned state;

	lock_take(&d->lock);
	state = atomic_load(&file->state);
	CHECK(state < HELD_PIN);
	if ((state & HELD_OPEN) != 0) {
		list_remove(&file->link);
		d->count--;
		atomic_store(&file->state, 0);
	}
	lock_release(&d->lock);
	if ((state & HELD_OPEN) != 0)
		d->below->ops->close(d->below, file->descriptor);
}

static bool
pin_open(struct held_file *file)
{
	unsigned state = atomic_load_explicit(&file->state,
	    memory_order_relaxed);

	while ((state & HELD_OPEN) != 0)
		if (atomic_compare_exchange_weak_explicit(&file->state, &state,
			(state + HELD_PIN) | HELD_USED, memory_order_acquire,
			memory_order_relaxed))
			return (true);
	return (false);
}

/* By its own name or by that of one that is to be deleted; it may be renamed
 * between two looks, and then another may have its name.  -1: errno. */
static int
open_same(struct descriptors *d, struct held_file *file)
{
	static const enum held_look looks[] = { HELD_OWN, HELD_DELETED,
		HELD_BEFORE, HELD_OWN };
	int error = ENOENT;

	for (size_t i = 0; i < nelems(looks) && error == ENOENT; i++) {
		char path[PATH_MAX];
		struct file_info info = { .inode = file->inode };
		int descriptor;

		file->path(file, looks[i], path);
		descriptor = d->files.ops->open(&d->files, path, O_RDWR, 0);
		if (descriptor < 0) {
			error = errno;
			continue;
		}
		if (file->inode == 0 ||
		    (d->below->ops->fstat(d->below, descriptor, &info) == 0 &&
			file->inode == info.inode))
			return (descriptor);
		d->below->ops->close(d->below, descriptor);
	}
	errno = error;
	return (-1);
}

int
descriptors_pin_open(struct held_file *file)
{
	return (pin_open(file) ? file->descriptor : -1);
}

int
descriptors_pin(struct descriptors *d, struct held_file *file)
{
	int descriptor;
	int unwanted = -1;

	if (pin_open(file))
		return (file->descriptor);
	descriptor = open_same(d, file);
	if (descriptor < 0)
		return (-1);
	lock_take(&d->lock);
	if (pin_open(file))
		unwanted = descriptor; /* another was quicker */
	else {
		install(d, file, descriptor, &unwanted);
		atomic_store_explicit(&file->state,
		    HELD_OPEN | HELD_USED | HELD_PIN, memory_order_release);
	}
	descriptor = file->descriptor;
	lock_release(&d->lock);
	if (unwanted >= 0)
		d->below->ops->close(d->below, unwanted);
	return (descriptor);
}

void
descriptors_unpin(struct held_file *file)
{
	unsigned before = atomic_fetch_sub_explicit(&file->state, HELD_PIN,
	    memory_order_release);

	CHECK(before >= HELD_PIN);
}

/* Under the lock.  Second chance: who was used since the last look stays. The
 * descriptor to be closed, -1: all are in use. */
static int
evict(struct descriptors *d)
{
	size_t looks = d->count < EVICT_LOOKS ? 2 * d->count : EVICT_LOOKS;

	for (size_t i = 0; i < looks; i++) {
		struct list *first = list_pop_head(&d->open);
		struct held_file *file = list_entry(first, struct held_file,
		    link);
		unsigned state = HELD_OPEN;

		if (i >= looks / 2)
			(void)atomic_fetch_and(&file->state, ~HELD_USED);
		if (atomic_compare_exchange_strong(&file->state, &state, 0)) {
			d->count--;
			d->closed++;
			return (file->descriptor);
		}
		(void)atomic_fetch_and(&file->state, ~HELD_USED);
		list_push_tail(&d->open, first);
	}
	return (-1);
}

/* --- the layer ------------------------------------------------------------ */

static struct descriptors *
of(struct files *files)
{
	return ((struct descriptors *)(void *)files);
}

/* False: there is nothing left to close. */
static bool
make_room(struct descriptors *d)
{
	int evicted[WANT_CLOSES];
	int count = 0;

	lock_take(&d->lock);
	while (count < WANT_CLOSES && d->count > 0 &&
	    (evicted[count] = evict(d)) >= 0)
		count++;
	lock_release(&d->lock);
	for (int i = 0; i < count; i++)
		d->below->ops->close(d->below, evicted[i]);
	return (count > 0);
}

static int
layer_open(struct files *files, const char *path, int flags, int mode)
{
	struct descriptors *d = of(files);
	int descriptor;

	/* What was closed may be taken by another thread meanwhile. */
	for (int i = 0;; i++) {
		descriptor = d->below->ops->open(d->below, path, flags, mode);
		if (descriptor >= 0 || !descriptors_wanted(errno) ||
		    i == WANT_TRIES)
			return (descriptor);
		if (!make_room(d)) {
			errno = EMFILE;
			return (-1);
		}
	}
}

static int
layer_list(struct files *files, const char *path,
    int (*each)(void *arg, const char *name, bool is_directory), void *arg)
{
	struct descriptors *d = of(files);
	int answer;

	/* The directory is opened before the first name is told. */
	for (int i = 0;; i++) {
		answer = d->below->ops->list(d->below, path, each, arg);
		if (answer >= 0 || !descriptors_wanted(errno) ||
		    i == WANT_TRIES)
			return (answer);
		if (!make_room(d)) {
			errno = EMFILE;
			return (-1);
		}
	}
}

static int
layer_close(struct files *files, int descriptor)
{
	return (of(files)->below->ops->close(of(files)->below, descriptor));
}

static ssize_t
layer_pread(struct files *files, int descriptor, void *to, size_t size,
    int64_t position)
{
	struct files *below = of(files)->below;

	return (below->ops->pread(below, descriptor, to, size, position));
}

static ssize_t
layer_pwritev(struct files *files, int descriptor, const struct iovec *parts,
    int count, int64_t position)
{
	struct files *below = of(files)->below;

	return (below->ops->pwritev(below, descriptor, parts, count,
	    position));
}

static int
layer_truncate(struct files *files, int descriptor, int64_t size)
{
	return (of(files)->below->ops->truncate(of(files)->below, descriptor,
	    size));
}

static int
layer_allocate(struct files *files, int descriptor, int64_t size)
{
	return (of(files)->below->ops->allocate(of(files)->below, descriptor,
	    size));
}

static int
layer_reserve(struct files *files, int descriptor, int64_t position,
    int64_t size)
{
	return (of(files)->below->ops->reserve(of(files)->below, descriptor,
	    position, size));
}

static int
layer_sync(struct files *files, int descriptor)
{
	return (of(files)->below->ops->sync(of(files)->below, descriptor));
}

static void
layer_write_out(struct files *files, int descriptor)
{
	of(files)->below->ops->write_out(of(files)->below, descriptor);
}

static int
layer_rename(struct files *files, const char *from, const char *to)
{
	return (of(files)->below->ops->rename(of(files)->below, from, to));
}

static int
layer_unlink(struct files *files, const char *path)
{
	return (of(files)->below->ops->unlink(of(files)->below, path));
}

static int
layer_mkdir(struct files *files, const char *path, int mode)
{
	return (of(files)->below->ops->mkdir(of(files)->below, path, mode));
}

static int
layer_rmdir(struct files *files, const char *path)
{
	return (of(files)->below->ops->rmdir(of(files)->below, path));
}

static int
layer_stat(struct files *files, const char *path, struct file_info *out)
{
	return (of(files)->below->ops->stat(of(files)->below, path, out));
}

static int
layer_fstat(struct files *files, int descriptor, struct file_info *out)
{
	return (of(files)->below->ops->fstat(of(files)->below, descriptor,
	    out));
}

static int
layer_set_mtime(struct files *files, const char *path, int64_t mtime_ms)
{
	return (of(files)->below->ops->set_mtime(of(files)->below, path,
	    mtime_ms));
}

static int
layer_lock(struct files *files, int descriptor)
{
	return (of(files)->below->ops->lock(of(files)->below, descriptor));
}

static int
layer_total_bytes(struct files *files, const char *path, int64_t *out)
{
	return (of(files)->below->ops->total_bytes(of(files)->below, path,
	    out));
}

static int
layer_free_bytes(struct files *files, const char *path, int64_t *out)
{
	return (of(files)->below->ops->free_bytes(of(files)->below, path,
	    out));
}

static int
layer_resident(struct files *files, int descriptor, int64_t position,
    size_t size)
{
	struct files *below = of(files)->below;

	return (below->ops->resident(below, descriptor, position, size));
}

static void
layer_read_ahead(struct files *files, int descriptor, int64_t position,
    size_t size)
{
	struct files *below = of(files)->below;

	below->ops->read_ahead(below, descriptor, position, size);
}

struct descriptors *
descriptors_new(struct files *below, size_t bound)
{
	static const struct files_ops ops = {
		.open = layer_open,
		.close = layer_close,
		.pread = layer_pread,
		.pwritev = layer_pwritev,
		.truncate = layer_truncate,
		.allocate = layer_allocate,
		.reserve = layer_reserve,
		.sync = layer_sync,
		.write_out = layer_write_out,
		.rename = layer_rename,
		.unlink = layer_unlink,
		.mkdir = layer_mkdir,
		.rmdir = layer_rmdir,
		.stat = layer_stat,
		.fstat = layer_fstat,
		.set_mtime = layer_set_mtime,
		.list = layer_list,
		.lock = layer_lock,
		.total_bytes = layer_total_bytes,
		.free_bytes = layer_free_bytes,
		.resident = layer_resident,
		.read_ahead = layer_read_ahead,
	};
	struct descriptors *d = mem_zalloc(sizeof(*d));

	CHECK(bound > 0);
	d->files.ops = &ops;
	d->below = below;
	d->bound = bound;
	lock_init(&d->lock, LOCK_RANK_CACHE);
	list_init(&d->open);
	return (d);
}

void
descriptors_free(struct descriptors *d)
{
	CHECK(list_empty(&d->open) && d->count == 0);
	lock_fini(&d->lock);
	mem_free(d);
}

struct files *
descriptors_files(struct descriptors *d)
{
	return (&d->files);
}

struct descriptors_count
descriptors_count(struct descriptors *d)
{
	struct descriptors_count out = { .bound = d->bound };

	lock_take(&d->lock);
	out.open = d->count;
	out.closed = d->closed;
	lock_release(&d->lock);
	return (out);
}
