/* SPDX-License-Identifier: Apache-2.0 */
#include "base/twins.h"

#include <stdlib.h>

static int
twin_compare_names(const struct twin *one, const struct twin *two)
{
	int order = slice_compare(one->name, two->name);

	return (order != 0 ? order : (one->number > two->number) -
		(one->number < two->number));
}

static int
twin_compare(const void *a, const void *b)
{
	const struct twin *one = a, *two = b;
	int order = twin_compare_names(one, two);

	return (order != 0 ? order : (one->index > two->index) -
		(one->index < two->index));
}

const struct twin_ends *
twins_find(struct arena *arena, struct twin *twins, size_t count)
{
	struct twin_ends *ends = arena_array(arena, count, sizeof(*ends));
	size_t from = 0;

	if (ends == NULL)
		return (NULL);
	for (size_t i = 0; i < count; i++)
		twins[i].index = i;
	if (count > 1)
		qsort(twins, count, sizeof(*twins), twin_compare);
	/* Equal ones stand together now, in the order that they came in. */
	for (size_t to = 1; to <= count; to++) {
		const struct twin_ends same = { twins[from].index,
			twins[to - 1].index };

		if (to < count &&
		    twin_compare_names(&twins[from], &twins[to]) == 0)
			continue;
		for (; from < to; from++)
			ends[twins[from].index] = same;
	}
	return (ends);
}
