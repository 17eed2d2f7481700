/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Seam 4: files.  All file calls of the broker's data go through a struct
 * files: the kernel's in life; in tests one that fails, runs full, is slow or
 * dies half-way.  Calls answer as the system calls do: -1 and errno.
 */
#ifndef STORAGE_FILE_H
#define STORAGE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct files;

struct file_info {
	int64_t size_bytes;
	int64_t mtime_ms;
	uint64_t inode;
	bool is_directory;
};

struct files_ops {
	int (*open)(struct files *files, const char *path, int flags,
	    int mode);
	int (*close)(struct files *files, int descriptor);
	ssize_t (*pread)(struct files *files, int descriptor, void *to,
	    size_t size, int64_t position);
	ssize_t (*pwritev)(struct files *files, int descriptor,
	    const struct iovec *parts, int count, int64_t position);
	int (*truncate)(struct files *files, int descriptor, int64_t size);
	int (*allocate)(struct files *files, int descriptor, int64_t size);
	/* Blocks behind the end, which stays where it is, on file systems where
	 * that makes appends cheaper; EOPNOTSUPP on others. */
	int (*reserve)(struct files *files, int descriptor, int64_t position,
	    int64_t size);
	/* Data and size; the directory by a descriptor of its own. */
	int (*sync)(struct files *files, int descriptor);
	/* Begins to write out what is dirty, so that a sync finds less to do;
	 * promises nothing. */
	void (*write_out)(struct files *files, int descriptor);
	int (*rename)(struct files *files, const char *from, const char *to);
	int (*unlink)(struct files *files, const char *path);
	int (*mkdir)(struct files *files, const char *path, int mode);
	int (*rmdir)(struct files *files, const char *path);
	int (*stat)(struct files *files, const char *path,
	    struct file_info *out);
	int (*fstat)(struct files *files, int descriptor,
	    struct file_info *out);
	int (*set_mtime)(struct files *files, const char *path,
	    int64_t mtime_ms);
	/* Calls `each` for every name but . and ..; it answers 0 to go on. */
	int (*list)(struct files *files, const char *path,
	    int (*each)(void *arg, const char *name, bool is_directory),
	    void *arg);
	/* An exclusive advisory lock on the file; EWOULDBLOCK when taken. */
	int (*lock)(struct files *files, int descriptor);
	/* Bytes of the file system, and those free to us. */
	int (*total_bytes)(struct files *files, const char *path,
	    int64_t *out);
	int (*free_bytes)(struct files *files, const char *path,
	    int64_t *out);
	/* How many of the pages are in memory: 1 all, 0 not all, -1 unknown. */
	int (*resident)(struct files *files, int descriptor,
	    int64_t position, size_t size);
	/* Begins to read what will be wanted soon; promises nothing. */
	void (*read_ahead)(struct files *files, int descriptor,
	    int64_t position, size_t size);
};

struct files {
	const struct files_ops *ops;
};

struct files *files_system(void);

/* Helpers over the ops; the same answers. */

/* The whole of size bytes, or -1; short at the end of the file is EIO. */
int file_read_full(struct files *files, int descriptor, void *to, size_t size,
    int64_t position);
/* All of it, by as many pwritev as it takes. Changes `parts`. */
int file_write_full(struct files *files, int descriptor, struct iovec *parts,
    int count, int64_t position);
/* Writes PATH.tmp, syncs, renames, syncs the directory: all or nothing. */
int file_replace(struct files *files, const char *path, const void *bytes,
    size_t size);
/*
 * The same in steps, for many files step by step: PATH.tmp is written (its
 * descriptor); it is synced and closed; it is renamed.  Durable after a
 * file_sync_directory() behind that.
 */
int file_replace_begin(struct files *files, const char *path,
    const void *bytes, size_t size);
int file_replace_sync(struct files *files, int descriptor);
int file_replace_rename(struct files *files, const char *path);
/* The whole small file into memory of the caller's (mem_free), at most limit
 * bytes (EFBIG). */
int file_load(struct files *files, const char *path, size_t limit,
    void **bytes, size_t *size);
int file_sync_directory(struct files *files, const char *path);

/*
 * A files that misbehaves on order, around another.  For tests; any thread.
 */
enum file_call { FILE_CALL_ANY, FILE_CALL_WRITE, FILE_CALL_SYNC,
	FILE_CALL_RENAME, FILE_CALL_OPEN, FILE_CALL_READ, FILE_CALL_UNLINK,
	FILE_CALL_ALLOCATE, FILE_CALL_RESERVE, FILE_CALLS };
struct files *files_faulty_new(struct files *below);
void files_faulty_free(struct files *faulty);
/* After `after` calls on paths that contain `part`, fail with `error` (errno),
 * `times` times (-1: for ever). One order at a time. */
void files_faulty_set(struct files *faulty, const char *part,
    enum file_call call, int after, int times, int error);
void files_faulty_clear(struct files *faulty);
/* A failing write writes half of its first part before. */
void files_faulty_set_torn(struct files *faulty, bool torn);
/* The process died: from now on every call but close() fails, and nothing is
 * changed any more. */
void files_faulty_kill(struct files *faulty);
/* The same, after so many more calls of any kind. */
void files_faulty_kill_after(struct files *faulty, int calls);
bool files_faulty_killed(struct files *faulty);
/* How many calls of a kind there were. */
size_t files_faulty_calls(struct files *faulty, enum file_call call);

#endif
