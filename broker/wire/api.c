/* SPDX-License-Identifier: Apache-2.0 */
/* The table of APIs: apis.def as data. Immutable. */
#include "base/check.h"
#include "wire/wire.h"

#define NEVER INT16_MAX

static const struct api apis[] = {
#define API(k, id, n, lo, hi, flex, fl, req, resp)                            \
	{ .key = (k), .lowest = (lo), .highest = (hi), .flexible = (flex),    \
	    .flags = (fl), .name = (n), .request = &message_##req,            \
	    .response = &message_##resp },
#include "wire/apis.def"
#undef API
};

/* The keys have gaps: a key's row. */
enum api_row {
#define API(k, id, ...) ROW_##id,
#include "wire/apis.def"
#undef API
};

static const struct api *const by_key[] = {
#define API(k, id, ...) [k] = &apis[ROW_##id],
#include "wire/apis.def"
#undef API
};

const struct api *
api_by_key(int key)
{
	if (key < 0 || (size_t)key >= nelems(by_key))
		return (NULL);
	return (by_key[key]);
}

const struct api *
api_by_name(const char *name)
{
	for (size_t i = 0; i < nelems(apis); i++)
		if (strcmp(apis[i].name, name) == 0)
			return (&apis[i]);
	return (NULL);
}

const struct api *
api_at(size_t index)
{
	return (index < nelems(apis) ? &apis[index] : NULL);
}
