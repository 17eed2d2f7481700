/* SPDX-License-Identifier: Apache-2.0 */
/* barnabas check: the log directories. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "config/properties.h"
#include "tools/check.h"
#include "tools/read_file.h"

#define IDENTITY_BYTES_MAX ((size_t)65536)

/* A broker that runs holds its directories by a lock on this file. */
static void
check_lock(struct check *check, const char *dir)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	const char *path = arena_printf(&check->arena, "%s/.lock", dir);
	const int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return; /* nobody had it, or not ours to look at */
	if (fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK)
		check_say(check, FINDING_WARN, path, "",
		    "a broker%s runs on it: stop it before the replacement",
		    lock.l_pid > 0
			? arena_printf(&check->arena, " (process %d)",
			      (int)lock.l_pid)
			: "");
	close(fd);
}

static void
check_identity(struct check *check, const char *path,
    const struct config_map *map)
{
	const char *version = config_map_get(map, "version");
	const char *broker = config_map_get(map, "broker.id");
	const char *cluster = config_map_get(map, "cluster.id");
	int32_t id = -1;

	if (version == NULL || strcmp(version, "0") != 0) {
		check_say(check, FINDING_ERROR, path, "version",
		    "it is %s; only 0 can be taken over, which a broker with "
		    "ZooKeeper writes: this directory is KRaft's",
		    version == NULL ? "missing" : version);
		return;
	}
	if (broker != NULL &&
	    (!text_to_int32(slice_of_text(broker), &id) || id < 0))
		check_say(check, FINDING_ERROR, path, "broker.id",
		    "\"%s\" is no broker's id", broker);
	else if (id >= 0 && check->broker_id >= 0 && id != check->broker_id)
		check_say(check, FINDING_ERROR, path, "broker.id",
		    "the directory is of broker %d, not of %d: correct "
		    "broker.id or log.dirs", id, check->broker_id);
	else if (id >= 0)
		check->broker_id = id;
	if (cluster != NULL && check->cluster_id != NULL &&
	    strcmp(cluster, check->cluster_id) != 0)
		check_say(check, FINDING_ERROR, path, "cluster.id",
		    "the directory is of cluster %s, another one of %s: "
		    "correct log.dirs", cluster, check->cluster_id);
	else if (cluster != NULL)
		check->cluster_id = arena_strdup(&check->arena, cluster);
}

static void
check_meta(struct check *check, const char *dir)
{
	const char *path =
	    arena_printf(&check->arena, "%s/meta.properties", dir);
	struct properties_error error;
	struct buffer text = BUFFER_EMPTY;
	struct config_map map;

	config_map_init(&map);
	if (!read_file(path, IDENTITY_BYTES_MAX, &text)) {
		if (errno == ENOENT)
			check_say(check, FINDING_INFO, path, "",
			    "it is not there: the directory is new");
		else
			check_say(check, FINDING_ERROR, path, "",
			    "it cannot be read: %s", strerror(errno));
	} else if (!properties_read(buffer_slice(&text), &map, &error)) {
		check_say_line(check, &(struct check_finding) {
		    .severity = FINDING_ERROR,
		    .where = path,
		    .line = error.line,
		    .subject = "",
		    .message = arena_strdup(&check->arena, error.message),
		});
	} else {
		check_identity(check, path, &map);
	}
	config_map_fini(&map);
	buffer_fini(&text);
}

static void
check_dir(struct check *check, const char *dir)
{
	struct stat stat_of_dir;

	if (stat(dir, &stat_of_dir) != 0) {
		if (errno == ENOENT)
			check_say(check, FINDING_WARN, dir, "",
			    "it is not there and will be made: right for a "
			    "new broker, wrong for one that has data");
		else
			check_say(check, FINDING_ERROR, dir, "",
			    "it cannot be looked at: %s", strerror(errno));
		return;
	}
	if (!S_ISDIR(stat_of_dir.st_mode)) {
		check_say(check, FINDING_ERROR, dir, "",
		    "it is no directory: correct log.dirs");
		return;
	}
	if (access(dir, R_OK | W_OK | X_OK) != 0)
		check_say(check, FINDING_WARN, dir, "",
		    "this user may not read and write it; the one that "
		    "barnabasd runs as must: chown it");
	check_lock(check, dir);
	check_meta(check, dir);
}

void
check_dirs(struct check *check)
{
	const struct text_list *dirs = &check->options->storage.log_dir_list;

	for (size_t i = 0; i < dirs->count; i++)
		check_dir(check, dirs->items[i]);
}
