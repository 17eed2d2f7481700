/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The frame of a unit test program: one CUnit suite a group, one row a test.
 *
 *	static void test_grows(void) { CU_ASSERT_EQUAL(1, 1); }
 *	static const struct unit_test tests[] = {
 *		{ "buffer grows", test_grows },
 *	};
 *	int main(void) { return (unit_main("base", tests, nelems(tests))); }
 */
#ifndef TESTS_UNIT_UNIT_H
#define TESTS_UNIT_UNIT_H

#include <CUnit/Basic.h>
#include <stddef.h>
#include <stdio.h>

#include "base/check.h"

struct unit_test {
	const char *name;
	void (*run)(void);
};

static inline int
unit_main(const char *suite_name, const struct unit_test *tests, size_t count)
{
	CU_pSuite suite;
	unsigned failures;

	if (CU_initialize_registry() != CUE_SUCCESS)
		return (2);
	suite = CU_add_suite(suite_name, NULL, NULL);
	if (suite == NULL)
		return (2);
	for (const struct unit_test *t = tests; t < tests + count; t++)
		if (CU_add_test(suite, t->name, t->run) == NULL)
			return (2);
	CU_basic_set_mode(CU_BRM_VERBOSE);
	CU_basic_run_tests();
	failures = CU_get_number_of_failures();
	CU_cleanup_registry();
	return (failures == 0 ? 0 : 1);
}

#endif
