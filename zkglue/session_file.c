/* SPDX-License-Identifier: Apache-2.0 */
/*
 * barnabas.session: the session that runs, kept beside the data so that the
 * next start can close it instead of waiting for its end.  A plain file of
 * lines, readable by its owner alone, for it holds the session's password:
 *
 *	barnabas.session 1
 *	identity <the caller's words for machine and directory>
 *	id <16 hexadecimal digits>
 *	password <32 hexadecimal digits>
 *
 * Written beside and renamed, so that it is whole or not there.  Anything that
 * does not look exactly like this is no saved session.
 */
#include "zkglue/zkglue_int.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/mem.h"
#include "base/text.h"

#define SESSION_FILE_MAX_BYTES 4096

static int
hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return (c - '0');
	if (c >= 'a' && c <= 'f')
		return (c - 'a' + 10);
	return (-1);
}

static bool
hex_read(struct slice text, uint8_t *out, size_t size)
{
	if (text.length != 2 * size)
		return (false);
	for (size_t i = 0; i < size; i++) {
		int high = hex_digit(text.data[2 * i]);
		int low = hex_digit(text.data[2 * i + 1]);

		if (high < 0 || low < 0)
			return (false);
		out[i] = (uint8_t)(high << 4 | low);
	}
	return (true);
}

/* The value of the next line, which must begin with `key` and a blank. */
static struct slice
line_value(struct slice *rest, const char *key)
{
	size_t length = strlen(key);
	struct slice line = text_cut(*rest, '\n', rest);

	if (line.length <= length || memcmp(line.data, key, length) != 0 ||
	    line.data[length] != ' ')
		return (SLICE_NULL);
	return (slice_of(line.data + length + 1, line.length - length - 1));
}

static bool
session_parse(struct slice text, const char *identity,
    struct saved_session *out)
{
	uint8_t id[8];

	if (!slice_equal_text(line_value(&text, "barnabas.session"), "1") ||
	    !slice_equal_text(line_value(&text, "identity"), identity) ||
	    !hex_read(line_value(&text, "id"), id, sizeof(id)) ||
	    !hex_read(line_value(&text, "password"), out->password,
		sizeof(out->password)) || text.length != 0)
		return (false);
	out->id = 0;
	for (size_t i = 0; i < sizeof(id); i++)
		out->id = (int64_t)((uint64_t)out->id << 8 | id[i]);
	return (out->id != 0);
}

struct saved_session
zk_session_load(const char *path, const char *identity)
{
	struct saved_session session = { .present = false };
	char text[SESSION_FILE_MAX_BYTES];
	ssize_t length;
	int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (descriptor < 0)
		return (session);
	length = read(descriptor, text, sizeof(text));
	close(descriptor);
	if (length > 0)
		session.present = session_parse(
		    slice_of(text, (size_t)length), identity, &session);
	return (session);
}

static void
session_format(struct buffer *out, const char *identity,
    const struct saved_session *session)
{
	buffer_printf(out, "barnabas.session 1\nidentity %s\nid %016" PRIx64
	    "\npassword ", identity, (uint64_t)session->id);
	for (size_t i = 0; i < sizeof(session->password); i++)
		buffer_printf(out, "%02x", session->password[i]);
	buffer_append_text(out, "\n");
}

static int
file_write(const char *path, struct slice text)
{
	int error = 0;
	int descriptor = open(path,
	    O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (descriptor < 0)
		return (errno);
	/* An older file may have had another mode. */
	if (fchmod(descriptor, 0600) != 0)
		error = errno;
	while (error == 0 && text.length > 0) {
		ssize_t wrote = write(descriptor, text.data, text.length);

		if (wrote < 0 && errno != EINTR)
			error = errno;
		if (wrote > 0) {
			text.data += wrote;
			text.length -= (size_t)wrote;
		}
	}
	if (error == 0 && fsync(descriptor) != 0)
		error = errno;
	if (close(descriptor) != 0 && error == 0)
		error = errno;
	return (error);
}

static int
directory_sync(const char *path)
{
	char *copy = mem_strdup(path);
	int descriptor = open(dirname(copy),
	    O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int error = 0;

	mem_free(copy);
	if (descriptor < 0)
		return (errno);
	if (fsync(descriptor) != 0)
		error = errno;
	close(descriptor);
	return (error);
}

int
zk_session_save(const char *path, const char *identity,
    const struct saved_session *session)
{
	struct buffer text = BUFFER_EMPTY;
	struct buffer beside = BUFFER_EMPTY;
	int error;

	session_format(&text, identity, session);
	buffer_printf(&beside, "%s.tmp", path);
	error = file_write(buffer_text(&beside), buffer_slice(&text));
	if (error == 0 && rename(buffer_text(&beside), path) != 0)
		error = errno;
	if (error == 0)
		error = directory_sync(path);
	else
		unlink(buffer_text(&beside));
	buffer_fini(&beside);
	buffer_fini(&text);
	return (error);
}

void
zk_session_forget(const char *path)
{
	unlink(path);
	directory_sync(path);
}
