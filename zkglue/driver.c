/* SPDX-License-Identifier: Apache-2.0 */
#include "zkglue/driver_int.h"

#include "base/text.h"

struct slice
zk_hosts_cut(const char *connect, struct slice *chroot)
{
	struct slice hosts = slice_of_text(connect);
	const char *slash = strchr(connect, '/');

	*chroot = SLICE_EMPTY;
	if (slash == NULL)
		return (hosts);
	hosts.length = (size_t)(slash - connect);
	*chroot = slice_of_text(slash);
	while (chroot->length > 0 && chroot->data[chroot->length - 1] == '/')
		chroot->length--;
	return (hosts);
}

const char *
zk_path_full(struct arena *arena, const char *chroot, const char *path)
{
	if (chroot[0] == '\0')
		return (path);
	if (strcmp(path, "/") == 0)
		return (chroot);
	return (arena_printf(arena, "%s%s", chroot, path));
}

/* One name between slashes. */
static bool
name_valid(struct slice name)
{
	if (name.length == 0 || slice_equal_text(name, ".") ||
	    slice_equal_text(name, ".."))
		return (false);
	for (size_t i = 0; i < name.length; i++)
		if (name.data[i] < 0x20 || name.data[i] == 0x7f)
			return (false);
	return (text_is_utf8(name));
}

bool
zk_path_valid(const char *path, bool sequential)
{
	struct slice rest;

	if (path == NULL || path[0] != '/')
		return (false);
	if (path[1] == '\0')
		return (!sequential);
	rest = slice_of_text(path + 1);
	while (rest.data != NULL) {
		struct slice after;
		struct slice name = text_cut(rest, '/', &after);

		/* A sequential's own name may be nothing but its number. */
		if (!(sequential && after.data == NULL && name.length == 0) &&
		    !name_valid(name))
			return (false);
		rest = after;
	}
	return (true);
}
