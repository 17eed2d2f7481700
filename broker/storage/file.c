/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/check.h"
#include "base/mem.h"

/* Where system_resident() looks: both ends, and between; a page once. */
#define PROBE_COUNT 16
#define PROBE_STEP_LEAST 4096

static int
system_open(struct files *files, const char *path, int flags, int mode)
{
	(void)files;
	return (open(path, flags | O_CLOEXEC, mode));
}

static int
system_close(struct files *files, int descriptor)
{
	(void)files;
	return (close(descriptor));
}

static ssize_t
system_pread(struct files *files, int descriptor, void *to, size_t size,
    int64_t position)
{
	(void)files;
	return (pread(descriptor, to, size, position));
}

static ssize_t
system_pwritev(struct files *files, int descriptor, const struct iovec *parts,
    int count, int64_t position)
{
	(void)files;
	/* One part costs less when the kernel need not copy a list. */
	if (count == 1)
		return (pwrite(descriptor, parts[0].iov_base, parts[0].iov_len,
		    position));
	return (pwritev(descriptor, parts, count, position));
}

static int
system_truncate(struct files *files, int descriptor, int64_t size)
{
	(void)files;
	return (ftruncate(descriptor, size));
}

static int
system_allocate(struct files *files, int descriptor, int64_t size)
{
	(void)files;
	return (fallocate(descriptor, FALLOC_FL_KEEP_SIZE, 0, size));
}

/* ext4 looks up, counts and notes each block of its own that is written behind
 * those it has: a fifth of the whole write. */
static int
system_reserve(struct files *files, int descriptor, int64_t position,
    int64_t size)
{
	struct statfs status;

	(void)files;
	if (fstatfs(descriptor, &status) != 0)
		return (-1);
	if (status.f_type != EXT4_SUPER_MAGIC) {
		errno = EOPNOTSUPP;
		return (-1);
	}
	return (fallocate(descriptor, FALLOC_FL_KEEP_SIZE, position, size));
}

static int
system_sync(struct files *files, int descriptor)
{
	(void)files;
	return (fsync(descriptor));
}

static void
system_write_out(struct files *files, int descriptor)
{
	(void)files;
	(void)sync_file_range(descriptor, 0, 0, SYNC_FILE_RANGE_WRITE);
}

static int
system_rename(struct files *files, const char *from, const char *to)
{
	(void)files;
	return (rename(from, to));
}

static int
system_unlink(struct files *files, const char *path)
{
	(void)files;
	return (unlink(path));
}

static int
system_mkdir(struct files *files, const char *path, int mode)
{
	(void)files;
	return (mkdir(path, (mode_t)mode));
}

static int
system_rmdir(struct files *files, const char *path)
{
	(void)files;
	return (rmdir(path));
}

static void
info_of(const struct stat *status, struct file_info *out)
{
	*out = (struct file_info){
		.size_bytes = status->st_size,
		.mtime_ms = (int64_t)status->st_mtim.tv_sec * 1000 +
		    status->st_mtim.tv_nsec / 1000000,
		.inode = status->st_ino,
		.is_directory = S_ISDIR(status->st_mode),
	};
}

static int
system_stat(struct files *files, const char *path, struct file_info *out)
{
	struct stat status;

	(void)files;
	if (stat(path, &status) != 0)
		return (-1);
	info_of(&status, out);
	return (0);
}

static int
system_fstat(struct files *files, int descriptor, struct file_info *out)
{
	struct stat status;

	(void)files;
	if (fstat(descriptor, &status) != 0)
		return (-1);
	info_of(&status, out);
	return (0);
}

static int
system_set_mtime(struct files *files, const char *path, int64_t mtime_ms)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT },
		{ .tv_sec = mtime_ms / 1000,
		    .tv_nsec = mtime_ms % 1000 * 1000000 } };

	(void)files;
	return (utimensat(AT_FDCWD, path, times, 0));
}

static int
system_list(struct files *files, const char *path,
    int (*each)(void *arg, const char *name, bool is_directory), void *arg)
{
	DIR *directory = opendir(path);
	struct dirent *entry;
	int answer = 0;
	int error;

	if (directory == NULL)
		return (-1);
	while (answer == 0 && (errno = 0, entry = readdir(directory)) != NULL) {
		bool is_directory = entry->d_type == DT_DIR;

		if (strcmp(entry->d_name, ".") == 0 ||
		    strcmp(entry->d_name, "..") == 0)
			continue;
		if (entry->d_type == DT_UNKNOWN || entry->d_type == DT_LNK) {
			struct stat status;

			if (fstatat(dirfd(directory), entry->d_name, &status,
				0) != 0)
				continue; /* gone, or points nowhere */
			is_directory = S_ISDIR(status.st_mode);
		}
		answer = each(arg, entry->d_name, is_directory);
	}
	error = errno;
	(void)files;
	closedir(directory);
	errno = error;
	if (answer == 0 && error != 0)
		return (-1);
	return (answer);
}

static int
system_lock(struct files *files, int descriptor)
{
	/* As Java's FileLock: a record lock over the whole file, so that each
	 * sees the other's.  Of the open file description: ours alone. */
	struct flock wish = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	(void)files;
	if (fcntl(descriptor, F_OFD_SETLK, &wish) == 0)
		return (0);
	if (errno == EACCES)
		errno = EWOULDBLOCK;
	return (-1);
}

static int
system_total_bytes(struct files *files, const char *path, int64_t *out)
{
	struct statvfs status;

	(void)files;
	if (statvfs(path, &status) != 0)
		return (-1);
	*out = (int64_t)status.f_blocks * (int64_t)status.f_frsize;
	return (0);
}

static int
system_free_bytes(struct files *files, const char *path, int64_t *out)
{
	struct statvfs status;

	(void)files;
	if (statvfs(path, &status) != 0)
		return (-1);
	*out = (int64_t)status.f_bavail * (int64_t)status.f_frsize;
	return (0);
}

/* A read that must not wait tells whether the page is there. */
static int
system_resident(struct files *files, int descriptor, int64_t position,
    size_t size)
{
	int64_t step = (int64_t)size / (PROBE_COUNT - 1) + 1;
	int64_t end = position + (int64_t)size;
	int64_t probed = -1;

	(void)files;
	if (step < PROBE_STEP_LEAST)
		step = PROBE_STEP_LEAST;
	for (int i = 0; i < PROBE_COUNT && size > 0; i++) {
		int64_t at = i == PROBE_COUNT - 1 ? end - 1
						  : position + i * step;
		char byte;
		struct iovec part = { &byte, 1 };

		if (at >= end || at / PROBE_STEP_LEAST == probed)
			continue;
		probed = at / PROBE_STEP_LEAST;
		if (preadv2(descriptor, &part, 1, at, RWF_NOWAIT) >= 0)
			continue;
		return (errno == EAGAIN ? 0 : -1);
	}
	return (1);
}

static void
system_read_ahead(struct files *files, int descriptor, int64_t position,
    size_t size)
{
	(void)files;
	(void)posix_fadvise(descriptor, (off_t)position, (off_t)size,
	    POSIX_FADV_WILLNEED);
}

struct files *
files_system(void)
{
	static const struct files_ops ops = {
		.open = system_open,
		.close = system_close,
		.pread = system_pread,
		.pwritev = system_pwritev,
		.truncate = system_truncate,
		.allocate = system_allocate,
		.reserve = system_reserve,
		.sync = system_sync,
		.write_out = system_write_out,
		.rename = system_rename,
		.unlink = system_unlink,
		.mkdir = system_mkdir,
		.rmdir = system_rmdir,
		.stat = system_stat,
		.fstat = system_fstat,
		.set_mtime = system_set_mtime,
		.list = system_list,
		.lock = system_lock,
		.total_bytes = system_total_bytes,
		.free_bytes = system_free_bytes,
		.resident = system_resident,
		.read_ahead = system_read_ahead,
	};
	static const struct files files = { &ops };

	/* Nobody writes to it: the ops take it to find their own state. */
	return ((struct files *)(uintptr_t)&files);
}

/* --- helpers -------------------------------------------------------------- */

int
file_read_full(struct files *files, int descriptor, void *to, size_t size,
    int64_t position)
{
	size_t done = 0;

	while (done < size) {
		ssize_t part = files->ops->pread(files, descriptor,
		    (char *)to + done, size - done, position + (int64_t)done);

		if (part < 0 && errno == EINTR)
			continue;
		if (part == 0)
			errno = EIO;
		if (part <= 0)
			return (-1);
		done += (size_t)part;
	}
	return (0);
}

int
file_write_full(struct files *files, int descriptor, struct iovec *parts,
    int count, int64_t position)
{
	while (count > 0) {
		ssize_t done;

		if (parts->iov_len == 0) {
			parts++;
			count--;
			continue;
		}
		done = files->ops->pwritev(files, descriptor, parts,
		    count < IOV_MAX ? count : IOV_MAX, position);
		if (done < 0 && errno == EINTR)
			continue;
		if (done == 0)
			errno = EIO;
		if (done <= 0)
			return (-1);
		position += done;
		while (count > 0 && (size_t)done >= parts->iov_len) {
			done -= (ssize_t)parts->iov_len;
			parts++;
			count--;
		}
		if (count > 0) {
			parts->iov_base = (char *)parts->iov_base + done;
			parts->iov_len -= (size_t)done;
		}
	}
	return (0);
}

/* The part of a path before its last slash. */
static char *
directory_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (slash == NULL)
		return (mem_strdup("."));
	return (mem_strndup(path, slash == path ? 1 : (size_t)(slash - path)));
}

int
file_sync_directory(struct files *files, const char *path)
{
	int descriptor = files->ops->open(files, path, O_RDONLY | O_DIRECTORY,
	    0);
	int answer;
	int error;

	if (descriptor < 0)
		return (-1);
	answer = files->ops->sync(files, descriptor);
	error = errno;
	files->ops->close(files, descriptor);
	errno = error;
	return (answer);
}

/* PATH.tmp; mem_free. */
static char *
temporary_of(const char *path)
{
	size_t size = strlen(path) + sizeof(".tmp");
	char *temporary = mem_alloc(size);

	snprintf(temporary, size, "%s.tmp", path);
	return (temporary);
}

int
file_replace_begin(struct files *files, const char *path, const void *bytes,
    size_t size)
{
	char *temporary = temporary_of(path);
	struct iovec part = { (void *)(uintptr_t)bytes, size };
	int descriptor = files->ops->open(files, temporary,
	    O_WRONLY | O_CREAT | O_TRUNC, 0644);
	int error = errno;

	if (descriptor >= 0 &&
	    file_write_full(files, descriptor, &part, 1, 0) != 0) {
		error = errno;
		files->ops->close(files, descriptor);
		descriptor = -1;
	}
	mem_free(temporary);
	errno = error;
	return (descriptor);
}

int
file_replace_sync(struct files *files, int descriptor)
{
	int answer = files->ops->sync(files, descriptor);
	int error = errno;

	if (files->ops->close(files, descriptor) != 0 && answer == 0)
		return (-1);
	errno = error;
	return (answer);
}

int
file_replace_rename(struct files *files, const char *path)
{
	char *temporary = temporary_of(path);
	int answer = files->ops->rename(files, temporary, path);
	int error = errno;

	mem_free(temporary);
	errno = error;
	return (answer);
}

int
file_replace(struct files *files, const char *path, const void *bytes,
    size_t size)
{
	int descriptor = file_replace_begin(files, path, bytes, size);
	char *directory;
	int answer;
	int error;

	if (descriptor < 0 || file_replace_sync(files, descriptor) != 0 ||
	    file_replace_rename(files, path) != 0)
		return (-1);
	directory = directory_of(path);
	answer = file_sync_directory(files, directory);
	error = errno;
	mem_free(directory);
	errno = error;
	return (answer);
}

int
file_load(struct files *files, const char *path, size_t limit, void **bytes,
    size_t *size)
{
	int descriptor = files->ops->open(files, path, O_RDONLY, 0);
	struct file_info info;
	int answer = -1;
	int error;

	*bytes = NULL;
	*size = 0;
	if (descriptor < 0)
		return (-1);
	if (files->ops->fstat(files, descriptor, &info) != 0)
		goto out;
	if (info.size_bytes < 0 || (uint64_t)info.size_bytes > limit) {
		errno = EFBIG;
		goto out;
	}
	*size = (size_t)info.size_bytes;
	*bytes = mem_try_alloc(*size);
	if (*bytes == NULL) {
		errno = ENOMEM;
		goto out;
	}
	answer = file_read_full(files, descriptor, *bytes, *size, 0);
out:
	error = errno;
	files->ops->close(files, descriptor);
	if (answer != 0) {
		mem_free(*bytes);
		*bytes = NULL;
	}
	errno = error;
	return (answer);
}
