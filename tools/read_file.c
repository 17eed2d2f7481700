/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>

#include "tools/read_file.h"

#define READ_BYTES ((size_t)65536)

bool
read_file(const char *path, size_t most, struct buffer *out)
{
	FILE *file = fopen(path, "rb");
	size_t size = 1;
	int error = 0;

	if (file == NULL)
		return (false);
	while (size != 0 && out->length <= most) {
		size = fread(buffer_reserve(out, READ_BYTES), 1, READ_BYTES,
		    file);
		out->length += size;
	}
	if (ferror(file))
		error = errno;
	else if (out->length > most)
		error = EFBIG;
	fclose(file);
	errno = error;
	return (error == 0);
}
